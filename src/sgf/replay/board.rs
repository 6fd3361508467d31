//! The plain board of [`super`].

use super::Illegal;
use crate::base::rng::mix;

/// `stones[y * w + x]`: one of `.XO`.
pub(super) struct PlainBoard {
    pub(super) w: usize,
    pub(super) h: usize,
    pub(super) stones: Vec<u8>,
    pub(super) ko: Option<usize>,
    /// The position, wide enough that no two of a game are ever taken for one.
    pub(super) hash: u128,
}

impl PlainBoard {
    pub(super) fn new(w: usize, h: usize) -> PlainBoard {
        PlainBoard { w, h, stones: vec![b'.'; w * h], ko: None, hash: 0 }
    }

    pub(super) fn set(&mut self, point: usize, stone: u8) {
        self.hash ^= stone_hash(point, self.stones[point]) ^ stone_hash(point, stone);
        self.stones[point] = stone;
    }

    /// The points left, right, above and below.
    pub(super) fn neighbors(&self, point: usize) -> impl Iterator<Item = Option<usize>> + use<> {
        let (w, h, x, y) = (self.w, self.h, point % self.w, point / self.w);
        [(x > 0).then(|| point - 1), (x + 1 < w).then(|| point + 1), (y > 0).then(|| point - w), (y + 1 < h).then(|| point + w)]
            .into_iter()
    }

    /// The stones of the chain at a point, and how many liberties it has.
    pub(super) fn chain(&self, point: usize) -> (Vec<usize>, usize) {
        let color = self.stones[point];
        let mut seen = vec![false; self.stones.len()];
        seen[point] = true;
        let mut chain = vec![point];
        let (mut next, mut n_liberties) = (0, 0);
        while let Some(&stone) = chain.get(next) {
            next += 1;
            for p in self.neighbors(stone).flatten() {
                if seen[p] {
                    continue;
                }
                if self.stones[p] == b'.' {
                    n_liberties += 1;
                } else if self.stones[p] == color {
                    chain.push(p);
                } else {
                    continue;
                }
                seen[p] = true;
            }
        }
        (chain, n_liberties)
    }

    /// Plays a stone and tells how many it took.
    pub(super) fn play(&mut self, point: usize, stone: u8) -> Result<usize, Illegal> {
        if self.stones[point] != b'.' {
            return Err(Illegal::Occupied);
        }
        if self.ko == Some(point) {
            return Err(Illegal::Ko);
        }
        let other = if stone == b'X' { b'O' } else { b'X' };
        self.set(point, stone);
        let (mut n_taken, mut last_taken) = (0, None);
        for p in self.neighbors(point).flatten() {
            if self.stones[p] != other {
                continue;
            }
            let (chain, n_liberties) = self.chain(p);
            if n_liberties == 0 {
                n_taken += chain.len();
                last_taken = chain.last().copied();
                chain.iter().for_each(|&taken| self.set(taken, b'.'));
            }
        }
        let (own, n_liberties) = self.chain(point);
        if n_liberties == 0 {
            self.set(point, b'.');
            return Err(Illegal::Suicide);
        }
        self.ko = last_taken.filter(|_| n_taken == 1 && own.len() == 1 && n_liberties == 1);
        Ok(n_taken)
    }
}

fn stone_hash(point: usize, stone: u8) -> u128 {
    if stone == b'.' {
        return 0;
    }
    let key = 2 * (((point as u64) << 8) | u64::from(stone));
    (u128::from(mix(key)) << 64) | u128::from(mix(key + 1))
}
