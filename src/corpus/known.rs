//! Which games are there already, over groups that are made anew and groups that are kept.

use super::config::Duplicates;
use crate::base::Result;
use crate::shard::{GameHash, Group};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// What to do with a game.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No earlier game has its moves.
    First,
    /// A game of its own group does.
    Repeated,
    /// A game of an earlier group does.
    Earlier,
}

/// The first group of each game: about 40 bytes a game. Empty where duplicates are kept.
pub(super) struct Known {
    duplicates: Duplicates,
    first_group: HashMap<GameHash, u32>,
    /// Games of the group that is being made.
    here: HashSet<GameHash>,
}

impl Known {
    pub(super) fn new(duplicates: Duplicates) -> Known {
        Known { duplicates, first_group: HashMap::new(), here: HashSet::new() }
    }

    /// Learns the games of a group that is kept, those included that it dropped.
    ///
    /// # Errors
    /// Shards that cannot be opened.
    pub(super) fn learn(&mut self, group_idx: u32, group: &Group, dir: &Path) -> Result<()> {
        if self.duplicates == Duplicates::Keep {
            return Ok(());
        }
        let mut learn = |hash| {
            let first = self.first_group.entry(hash).or_insert(group_idx);
            *first = (*first).min(group_idx);
        };
        for shard in group.open_shards(dir)? {
            shard.games().for_each(|game| learn(game.hash));
        }
        group.dropped_hashes().flatten().for_each(learn);
        Ok(())
    }

    /// Whether a kept group holds and drops just what it would if it were made anew, now that all games are known.
    ///
    /// # Errors
    /// Shards that cannot be opened.
    pub(super) fn agrees(&self, group_idx: u32, group: &Group, dir: &Path) -> Result<bool> {
        if self.duplicates == Duplicates::Keep {
            return Ok(true);
        }
        let first = |hash: &GameHash| self.first_group.get(hash).copied();
        for shard in group.open_shards(dir)? {
            if shard.games().any(|game| first(&game.hash) != Some(group_idx)) {
                return Ok(false);
            }
        }
        Ok(group.dropped_hashes().all(|hash| hash.is_some_and(|hash| first(&hash).is_some_and(|first| first < group_idx))))
    }

    /// Judges a game of group `group_idx` that is being made. The groups before it are known.
    pub(super) fn judge(&mut self, group_idx: u32, hash: GameHash) -> Verdict {
        if self.duplicates == Duplicates::Keep {
            return Verdict::First;
        }
        let first = self.first_group.entry(hash).or_insert(group_idx);
        if *first < group_idx {
            return Verdict::Earlier;
        }
        *first = group_idx;
        if self.here.insert(hash) { Verdict::First } else { Verdict::Repeated }
    }

    /// The group being made is complete.
    pub(super) fn end_group(&mut self) {
        self.here.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_in_the_order_of_groups_stays() {
        let hash = |i: u8| GameHash([i; 16]);
        let mut known = Known::new(Duplicates::Drop);
        let kept = Group { dropped: vec![hash(7).to_string()], ..Group::default() };
        known.learn(1, &kept, Path::new(".")).unwrap();
        let verdicts = [(0, 1), (0, 1), (2, 1), (2, 7), (2, 2)].map(|(group, game)| known.judge(group, hash(game)));
        assert_eq!(verdicts, [Verdict::First, Verdict::Repeated, Verdict::Earlier, Verdict::Earlier, Verdict::First]);
        // Nobody before group 1 has game 7: the group would not drop it any more.
        assert!(!known.agrees(1, &kept, Path::new(".")).unwrap());
        known.end_group();
        assert_eq!(known.judge(0, hash(7)), Verdict::First);
        assert!(known.agrees(1, &kept, Path::new(".")).unwrap());
        assert_eq!(Known::new(Duplicates::Keep).judge(3, hash(1)), Verdict::First);
    }
}
