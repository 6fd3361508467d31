//! The opponent section of a profile.

use crate::base::config::{BadValue, within};
use serde::{Deserialize, Serialize};

/// How the opponent plays where its flags do not say otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpponentConfig {
    /// Rules by name, as `kata-set-rules` takes them.
    pub rules: String,
    /// Points White receives.
    pub komi: f32,
    /// Resigns when its chance to win is below this. 0 switches resigning off.
    pub resign_below: f32,
    /// Own moves in a row that must look that bad.
    pub resign_streak: usize,
    /// Never resigns before this share of the board's points has been played.
    pub resign_after: f32,
}

impl OpponentConfig {
    /// Refuses values that no game can use.
    pub fn check(&self) -> Result<(), BadValue> {
        within("komi", self.komi, -400.0..=400.0, "points")?;
        within("resign_below", self.resign_below, 0.0..=0.5, "")?;
        within("resign_streak", self.resign_streak, 1..=100, "moves")?;
        within("resign_after", self.resign_after, 0.0..=1.0, "of the points")?;
        if self.komi * 2.0 != (self.komi * 2.0).round() {
            return Err(BadValue::new("komi", self.komi, "an integer or half-integer"));
        }
        Ok(())
    }
}
