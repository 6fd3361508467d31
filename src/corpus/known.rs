//! Which games are there already, while groups are made and kept in the order of their sources.

use super::config::Duplicates;
use super::duplicate::Seen;
use crate::base::Result;
use crate::shard::{GameHash, Group, hash_of};
use std::path::Path;

/// The group of each accepted game so far. Groups come in the order of their sources, kept ones included, so what is in
/// here when a game is judged is just what comes before it. Empty where duplicates are kept.
pub(super) struct Known {
    pub duplicates: Duplicates,
    groups: Seen,
}

impl Known {
    pub(super) fn new(duplicates: Duplicates) -> Known {
        Known { duplicates, groups: Seen::default() }
    }

    /// The group of the first game with this identity, if it was accepted and is not to be written again.
    pub(super) fn group(&self, hash: GameHash) -> Option<u32> {
        match self.duplicates {
            Duplicates::Keep => None,
            Duplicates::Drop => self.groups.line(hash),
        }
    }

    /// Notes an accepted game.
    pub(super) fn note(&self, hash: GameHash, group_idx: u32) {
        if self.duplicates == Duplicates::Drop {
            self.groups.note(hash, group_idx);
        }
    }

    /// Whether a group that is there holds just what it would if it were made now: all games that it asked for would get
    /// the same answer. Then its games are known.
    ///
    /// # Errors
    /// Shards that cannot be opened.
    pub(super) fn agrees(&self, group_idx: u32, group: &Group, dir: &Path) -> Result<bool> {
        if self.duplicates == Duplicates::Keep {
            return Ok(true);
        }
        let is_known = |hash: GameHash| self.groups.line(hash).is_some();
        let all = |hashes: &[String], known: bool| hashes.iter().all(|text| hash_of(text).is_some_and(|h| is_known(h) == known));
        if !all(&group.dropped, true) || !all(&group.passed, false) {
            return Ok(false);
        }
        let shards = group.open_shards(dir)?;
        if shards.iter().flat_map(|shard| shard.games()).any(|game| is_known(game.hash)) {
            return Ok(false);
        }
        shards.iter().flat_map(|shard| shard.games()).for_each(|game| self.note(game.hash, group_idx));
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_stays_while_its_questions_have_the_same_answers() {
        let hash = |i: u8| GameHash([i; 16]);
        let known = Known::new(Duplicates::Drop);
        let group = Group { dropped: vec![hash(7).to_string()], passed: vec![hash(8).to_string()], ..Group::default() };
        let agrees = || known.agrees(1, &group, Path::new(".")).unwrap();
        assert!(!agrees(), "nobody before it has game 7");
        known.note(hash(7), 0);
        assert_eq!((agrees(), known.group(hash(7)), known.group(hash(8))), (true, Some(0), None));
        known.note(hash(8), 0);
        assert!(!agrees());
        let kept = Known::new(Duplicates::Keep);
        kept.note(hash(1), 0);
        assert!(kept.group(hash(1)).is_none() && kept.agrees(1, &group, Path::new(".")).unwrap());
    }
}
