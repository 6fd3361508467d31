//! The search section of a profile.

use super::worker::BATCH_MAX;
use crate::base::Result as Fallible;
use crate::base::config::{BadValue, within};
use crate::device::{Budget, Needs};
use serde::{Deserialize, Serialize};

/// Smallest tree in MiB that a budget makes: 10,000 positions of 19x19, what a move of the smallest profile takes.
const TREE_MB_MIN: usize = 16;

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

    /// What each of `n` searches at once may take of this one's memory.
    pub fn shared_by(&self, n: usize) -> SearchConfig {
        SearchConfig { tree_mb: (self.tree_mb / n).max(1), cache_mb: self.cache_mb / n, ..self.clone() }
    }

    /// The settings that fit beside `others` (net, batches): with fewer evaluations kept, then with a smaller tree, where
    /// memory is short. Gives with them what the run will take.
    ///
    /// # Errors
    /// Not even the smallest tree fits.
    pub fn fitted(&self, others: &Needs, budget: &Budget) -> Fallible<(SearchConfig, Needs)> {
        let mut fitted = self.clone();
        let needs =
            |it: &SearchConfig| others.clone().with("tree", (it.tree_mb as u64) << 20).with("cache", (it.cache_mb as u64) << 20);
        while !budget.fits(&needs(&fitted)) {
            match (fitted.cache_mb, fitted.tree_mb) {
                (1.., _) => fitted.cache_mb /= 2,
                (0, tree) if tree / 2 >= TREE_MB_MIN => fitted.tree_mb /= 2,
                _ => return Err(budget.refusal("search", &needs(&fitted), "a smaller net, or a profile with more memory")),
            }
        }
        let change = |key: &str, was: usize, is: usize| (was != is).then(|| format!("{key} {was} -> {is}"));
        let changes =
            [change("search.cache_mb", self.cache_mb, fitted.cache_mb), change("search.tree_mb", self.tree_mb, fitted.tree_mb)];
        budget.say_shrunk(&needs(self), &changes.into_iter().flatten().collect::<Vec<_>>());
        let needs = needs(&fitted);
        Ok((fitted, needs))
    }

    /// Bytes of the tree and of the kept evaluations.
    pub fn bytes(&self) -> u64 {
        ((self.tree_mb + self.cache_mb) as u64) << 20
    }
}
