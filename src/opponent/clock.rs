//! What the controller says about time.

use crate::go::Color;

/// Canadian time: `main` seconds, then periods of `period` seconds for `stones` moves each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeSettings {
    /// Main time in seconds.
    pub main: f64,
    /// A period's seconds; 0 is absolute time.
    pub period: f64,
    /// Moves a period.
    pub stones: u32,
}

/// What one player has left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeLeft {
    /// Seconds.
    pub seconds: f64,
    /// Moves left in the period; 0 in main time.
    pub stones: u32,
}

/// The clock of a game; both players' time as last told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Clock {
    settings: Option<TimeSettings>,
    left: [Option<TimeLeft>; 2],
}

impl Clock {
    /// Starts anew; none is no limit.
    pub fn set(&mut self, settings: Option<TimeSettings>) {
        *self = Clock { settings, left: [None; 2] };
    }

    /// Notes what `color` has left.
    pub fn tell(&mut self, color: Color, left: TimeLeft) {
        self.left[color.index()] = Some(left);
    }

    /// The settings; none is no limit.
    pub fn settings(&self) -> Option<TimeSettings> {
        self.settings
    }

    /// What `color` has left: as told, else all of it; none without a limit.
    pub fn left(&self, color: Color) -> Option<TimeLeft> {
        self.left[color.index()].or_else(|| {
            self.settings.map(|s| match s.main > 0.0 {
                true => TimeLeft { seconds: s.main, stones: 0 },
                false => TimeLeft { seconds: s.period, stones: s.stones },
            })
        })
    }
}
