//! The convert section of a profile.

use crate::base::config::{BadValue, within};
use serde::{Deserialize, Serialize};

/// What becomes of a game whose moves an earlier one has, turned and mirrored copies included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// The first game, in the order of the sources, stays; the others are counted.
    #[default]
    Drop,
    /// All stay; memory does not grow with the number of games.
    Keep,
}

/// What `edgezero convert` does where its flags do not say otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvertConfig {
    /// Threads that parse, replay and encode. The shards' bytes do not depend on it.
    pub workers: usize,
    /// Games in flight between reading and writing, per worker: bounds the memory of a run.
    pub queue_games: usize,
    /// Fewest moves of a game worth learning from.
    pub min_moves: usize,
    /// What becomes of games that are there already.
    #[serde(default)]
    pub duplicates: Duplicates,
}

impl ConvertConfig {
    /// Refuses values that no run can use.
    pub fn check(&self) -> Result<(), BadValue> {
        within("workers", self.workers, 1..=256, "threads")?;
        within("queue_games", self.queue_games, 1..=1024, "games a worker")?;
        within("min_moves", self.min_moves, 0..=1000, "moves")
    }
}
