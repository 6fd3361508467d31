//! The search section of a profile.

use super::worker::BATCH_MAX;
use crate::base::config::{BadValue, within};
use serde::{Deserialize, Serialize};

/// How much a search may take and does where flags do not say otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchConfig {
    /// Memory of the tree, in MiB.
    pub tree_mb: usize,
    /// Memory of evaluations kept for later, in MiB; 0 keeps none.
    pub cache_mb: usize,
    /// Visits of a move when neither time nor a flag limits it.
    pub visits: u32,
    /// Positions gathered before they are evaluated together.
    pub batch_size: usize,
}

impl SearchConfig {
    /// Refuses values that no search can use.
    pub fn check(&self) -> Result<(), BadValue> {
        within("tree_mb", self.tree_mb, 1..=1 << 20, "MiB")?;
        within("cache_mb", self.cache_mb, 0..=1 << 20, "MiB")?;
        within("visits", self.visits, 1..=1_000_000_000, "visits")?;
        within("batch_size", self.batch_size, 1..=BATCH_MAX, "positions")
    }

    /// Bytes of the tree and of the kept evaluations.
    pub fn bytes(&self) -> u64 {
        ((self.tree_mb + self.cache_mb) as u64) << 20
    }
}
