//! Answers kept: positions come up again by other orders of moves, after a move, and in other games.

use super::Evaluation;
use crate::base::rng::{below, mix};
use crate::base::{Error, Result};
use std::sync::Mutex;

/// Parts with a lock each: more than there are threads.
const N_PARTS: usize = 16;

/// A table of fixed size. A new answer takes the place of an older one.
pub struct Cache {
    parts: Vec<Mutex<Part>>,
    n_moves: usize,
    /// Entries of each part.
    n_entries: usize,
}

struct Part {
    /// 0: nothing there.
    keys: Vec<u64>,
    heads: Vec<Head>,
    /// `[n_entries, n_moves]`
    policies: Vec<f32>,
}

#[derive(Clone, Copy, Default)]
struct Head {
    value: [f32; 3],
    score: [f32; 6],
    version: u32,
}

impl Cache {
    /// Room for as many answers about arrays of `len * len` cells as fit in `bytes`.
    ///
    /// # Errors
    /// Not one answer a part does.
    pub fn new(bytes: usize, len: usize) -> Result<Cache> {
        let n_moves = len * len + 1;
        let n_entries = bytes / N_PARTS / Cache::bytes_per_entry(len);
        if n_entries == 0 {
            return Err(
                Error::new("evaluation cache", format!("{bytes} bytes, which hold nothing")).hint("a larger search.cache_mb")
            );
        }
        let part = || {
            let (keys, heads) = (vec![0; n_entries], vec![Head::default(); n_entries]);
            Mutex::new(Part { keys, heads, policies: vec![0.0; n_entries * n_moves] })
        };
        Ok(Cache { parts: (0..N_PARTS).map(|_| part()).collect(), n_moves, n_entries })
    }

    /// Bytes of one answer.
    pub const fn bytes_per_entry(len: usize) -> usize {
        size_of::<u64>() + size_of::<Head>() + (len * len + 1) * size_of::<f32>()
    }

    /// Answers there is room for.
    pub fn n_entries(&self) -> usize {
        self.n_entries * N_PARTS
    }

    /// Forgets everything.
    pub fn clear(&self) {
        for part in &self.parts {
            part.lock().unwrap_or_else(std::sync::PoisonError::into_inner).keys.fill(0);
        }
    }

    /// The answer kept for `key`, without ownership, into memory that is reused; false if there is none.
    /// The key stands for all that the answer depends on.
    pub fn get(&self, key: u64, out: &mut Evaluation) -> bool {
        let (part, at, key) = self.place(key);
        let part = part.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if part.keys[at] != key {
            return false;
        }
        let Head { value, score, version } = part.heads[at];
        (out.value, out.score, out.version) = (value, score, version);
        out.policy.clear();
        out.policy.extend_from_slice(&part.policies[at * self.n_moves..][..self.n_moves]);
        out.ownership.clear();
        true
    }

    /// Keeps an answer, but for its ownership.
    pub fn put(&self, key: u64, answer: &Evaluation) {
        if answer.policy.len() != self.n_moves {
            return;
        }
        let (part, at, key) = self.place(key);
        let mut part = part.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        part.keys[at] = key;
        part.heads[at] = Head { value: answer.value, score: answer.score, version: answer.version };
        part.policies[at * self.n_moves..][..self.n_moves].copy_from_slice(&answer.policy);
    }

    fn place(&self, key: u64) -> (&Mutex<Part>, usize, u64) {
        let spread = mix(key);
        let part = &self.parts[spread as usize % N_PARTS];
        (part, below(spread, self.n_entries), key.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_until_others_come() {
        let cache = Cache::new(1 << 20, 9).unwrap();
        assert!(cache.n_entries() * Cache::bytes_per_entry(9) <= 1 << 20 && cache.n_entries() > 2000);
        let answer = |i: u64| Evaluation { value: [i as f32, 0.0, 1.0], policy: vec![i as f32; 82], ..Evaluation::even(9) };
        let mut out = Evaluation::default();
        assert!(!cache.get(5, &mut out));
        (0..20_000).for_each(|i| cache.put(i, &answer(i)));
        let n_kept = (0..20_000)
            .filter(|&i| cache.get(i, &mut out) && out.value == [i as f32, 0.0, 1.0] && out.policy == vec![i as f32; 82]);
        let n_kept = n_kept.count();
        assert!(n_kept > cache.n_entries() / 2 && n_kept <= cache.n_entries(), "{n_kept}");
        cache.put(77, &Evaluation::even(19));
        cache.clear();
        assert!(!cache.get(19_999, &mut out));
        assert!(Cache::new(1000, 19).is_err());
    }
}
