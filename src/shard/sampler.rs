//! Which position comes next: a pure function of a seed and a number.

use super::dataset::Dataset;
use super::layout::{DRAWS, GameEntry, GameHash};
use super::reader::Shard;
use super::record::Record;
use crate::base::rng::{below, mix};
use crate::base::{Error, Result};
use std::sync::Arc;

/// Which games: a game belongs to one side by the hash of its moves, so copies of a game never fall on both,
/// and the order or the number of the other games does not matter. Lines beside the main line of a game go with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Games to learn from.
    Train,
    /// Games held out.
    Validation,
}

impl Split {
    /// The side of a game when `validation_permille` of 1000 games are held out.
    pub fn of(game: &GameEntry, validation_permille: u32) -> Split {
        let drawn = game.draw.unwrap_or_else(|| Split::draw(game.hash));
        if u32::from(drawn) < validation_permille { Split::Validation } else { Split::Train }
    }

    /// What decides for a game with these moves, below [`DRAWS`].
    pub fn draw(hash: GameHash) -> u16 {
        let mut first = [0; 8];
        first.copy_from_slice(&hash.0[..8]);
        below(mix(u64::from_le_bytes(first)), DRAWS.into()) as u16
    }
}

/// One drawn position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Index of its record among those of all shards of the sampler's length.
    pub position: u64,
    /// One of the eight symmetries, 0 the identity.
    pub symmetry: u8,
}

/// Draws the positions of the square boards of one split of all shards of one length: every position once an epoch, in an order that
/// `(seed, epoch)` keys. How the positions are spread over files does not matter. Memory: 16 bytes a game.
pub struct Sampler {
    dataset: Arc<Dataset>,
    len: usize,
    /// Positions in the shards of this length up to and with each of them.
    shard_ends: Vec<u64>,
    seed: u64,
    games: Vec<Span>,
    n_positions: u64,
}

/// Positions of one game of the split.
#[derive(Clone, Copy)]
struct Span {
    /// Positions of the split before this game.
    before: u64,
    /// Its first record, counted through the shards.
    first_record: u64,
}

impl Sampler {
    /// A sampler over the square boards of `dataset` with sides of `len`; longer boards that are narrower are in the same
    /// shards and are left out. A split may have no positions: ask
    /// [`Sampler::n_positions`] before drawing.
    ///
    /// # Errors
    /// No such boards in the data set, or a held-out share above 1000.
    pub fn new(dataset: &Arc<Dataset>, split: Split, validation_permille: u32, seed: u64, len: usize) -> Result<Sampler> {
        if validation_permille > 1000 {
            return Err(Error::call("held-out share", format!("{validation_permille} of 1000 games")));
        }
        if dataset.shards_of(len).is_empty() {
            let lens = dataset.board_lens().iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
            let what = format!("no boards of length {len}, only of {lens}");
            return Err(Error::new(dataset.dir().display(), what).hint("--board-size with one of these, or other games"));
        }
        let (mut shard_ends, mut games, mut n_positions, mut before_shard) = (Vec::new(), Vec::new(), 0, 0);
        for shard in dataset.shards_of(len) {
            let is_drawn = |g: &GameEntry| g.size.w() == g.size.h() && Split::of(g, validation_permille) == split;
            for game in shard.games().filter(is_drawn) {
                games.push(Span { before: n_positions, first_record: before_shard + game.first_record });
                n_positions += u64::from(game.n_records);
            }
            before_shard += shard.n_positions();
            shard_ends.push(before_shard);
        }
        Ok(Sampler { dataset: Arc::clone(dataset), len, shard_ends, seed, games, n_positions })
    }

    /// Positions of an epoch.
    pub fn n_positions(&self) -> u64 {
        self.n_positions
    }

    /// Games of an epoch.
    pub fn n_games(&self) -> usize {
        self.games.len()
    }

    /// Sample number `i` of the endless run under this seed: epoch `i / n`, place `i % n`. Needs a position to draw.
    pub fn sample(&self, i: u64) -> Sample {
        let n = self.n_positions;
        assert!(n > 0, "a split with positions");
        let key = mix(self.seed ^ mix(i / n));
        let symmetry = (mix(!self.seed ^ mix(i)) >> 61) as u8;
        Sample { position: self.position(permute(i % n, n, key)), symmetry }
    }

    /// `count` positions of the split (or all, when it has fewer), evenly spread, as they are.
    pub fn in_order(&self, count: u64) -> impl Iterator<Item = Sample> + '_ {
        let n = self.n_positions;
        let count = count.min(n);
        (0..count).map(move |i| {
            let place = (u128::from(i) * u128::from(n) / u128::from(count)) as u64;
            Sample { position: self.position(place), symmetry: 0 }
        })
    }

    /// Side of the array of the boards drawn.
    #[expect(clippy::len_without_is_empty, reason = "a side length, not a count")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The shard of a sample and the index of its record there.
    pub fn place(&self, sample: Sample) -> (&Shard, u64) {
        let idx = self.shard_ends.partition_point(|&end| end <= sample.position);
        let before = if idx == 0 { 0 } else { self.shard_ends[idx - 1] };
        (&self.dataset.shards_of(self.len)[idx], sample.position - before)
    }

    /// The record of a sample.
    ///
    /// # Errors
    /// As [`Shard::record`].
    pub fn record(&self, sample: Sample) -> Result<Record<'_>> {
        let (shard, position) = self.place(sample);
        shard.record(position)
    }

    /// The record index of the split's position `place`.
    fn position(&self, place: u64) -> u64 {
        let game = self.games[self.games.partition_point(|span| span.before <= place) - 1];
        game.first_record + place - game.before
    }
}

/// Rounds of the Feistel network; four already make a pseudorandom permutation (Luby and Rackoff 1988), two more
/// because small splits have narrow halves.
const ROUNDS: u64 = 6;

/// A keyed bijection on `0..n` without a table: a Feistel network on the next power of four, walked until it lands
/// inside (fewer than four steps on average).
fn permute(x: u64, n: u64, key: u64) -> u64 {
    let bits = 64 - (n - 1).leading_zeros();
    let half_bits = bits.div_ceil(2).max(1);
    let mask = (1 << half_bits) - 1;
    let mut x = x;
    loop {
        let (mut left, mut right) = (x >> half_bits, x & mask);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ (mix(key.wrapping_add(round) ^ mix(right)) & mask));
        }
        x = left << half_bits | right;
        if x < n {
            return x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn permutations_are_bijections() {
        for n in (1..40).chain([63, 64, 65, 1000, 4096, 4097]) {
            for key in [0, 1, 99] {
                let seen: HashSet<u64> = (0..n).map(|x| permute(x, n, key)).collect();
                assert_eq!(seen.len() as u64, n, "n {n} key {key}");
                assert!(seen.iter().all(|&x| x < n));
            }
        }
        assert!(permute(u64::MAX / 3, u64::MAX / 2, 7) < u64::MAX / 2);
    }

    #[test]
    fn permutations_look_random() {
        // Of 10,000 places, about one stays and about one neighbour pair stays together.
        let n = 10_000;
        for key in 0..5 {
            let order: Vec<u64> = (0..n).map(|x| permute(x, n, key)).collect();
            let fixed = order.iter().enumerate().filter(|(i, x)| *i as u64 == **x).count();
            let together = order.windows(2).filter(|w| w[0].abs_diff(w[1]) == 1).count();
            let rising = order.windows(2).filter(|w| w[0] < w[1]).count();
            assert!(fixed < 8 && together < 12 && rising.abs_diff(5000) < 150, "key {key}: {fixed} {together} {rising}");
        }
    }

    #[test]
    fn an_epoch_visits_every_position_of_its_split_once() {
        let dir = testing::TempDir::new("sampler");
        let dataset = Arc::new(testing::dataset_in_groups(&dir.0, 120, 5));
        assert_eq!(dataset.shards_of(9).len(), 6);
        let mut all = HashSet::new();
        let mut total = 0;
        for split in [Split::Train, Split::Validation] {
            let sampler = Sampler::new(&dataset, split, 200, 5, 9).unwrap();
            let n = sampler.n_positions();
            assert!(n > 0);
            for epoch in 0..2 {
                let seen: HashSet<u64> = (0..n).map(|i| sampler.sample(epoch * n + i).position).collect();
                assert_eq!(seen.len() as u64, n);
                for &position in &seen {
                    let (shard, position) = sampler.place(Sample { position, symmetry: 0 });
                    let game = shard.record(position).unwrap().game();
                    assert_eq!(Split::of(&shard.game(game.into()), 200), split);
                }
                all.extend(seen);
            }
            total += n;
            let spread: Vec<u64> = sampler.in_order(10).map(|s| s.position).collect();
            assert!(spread.len() == 10 && spread.is_sorted_by(|a, b| a < b));
            assert_eq!(sampler.in_order(n + 9).count() as u64, n);
        }
        assert_eq!((total, all.len() as u64), (dataset.n_positions(), dataset.n_positions()));
    }

    #[test]
    fn a_sample_depends_on_seed_and_number_alone() {
        let dir = testing::TempDir::new("sampler-pure");
        let dataset = Arc::new(testing::small_dataset(&dir.0, 60));
        let draw = |seed| {
            let sampler = Sampler::new(&dataset, Split::Train, 100, seed, 9).unwrap();
            (0..500).map(|i| sampler.sample(i)).collect::<Vec<_>>()
        };
        let a = draw(1);
        assert_eq!(a, draw(1));
        assert_ne!(a, draw(2));
        let symmetries: HashSet<u8> = a.iter().map(|s| s.symmetry).collect();
        assert_eq!(symmetries, (0..8).collect());
        let err = Sampler::new(&dataset, Split::Train, 100, 1, 13).err().unwrap().to_string();
        assert!(err.contains("no boards of length 13, only of 9"), "{err}");
    }

    #[test]
    fn files_of_one_length_are_one_population() {
        let (one, many) = (testing::TempDir::new("sampler-one"), testing::TempDir::new("sampler-many"));
        let sampler = |dataset| Sampler::new(&Arc::new(dataset), Split::Train, 100, 3, 9).unwrap();
        let (one, many) = (sampler(testing::small_dataset(&one.0, 100)), sampler(testing::dataset_in_groups(&many.0, 100, 7)));
        assert_eq!((one.n_positions(), one.n_games()), (many.n_positions(), many.n_games()));
        for i in 0..one.n_positions() {
            let (a, b) = (one.sample(i), many.sample(i));
            assert_eq!(a, b);
            let (a, b) = (one.record(a).unwrap(), many.record(b).unwrap());
            assert_eq!((a.row(), a.policy(), a.ply()), (b.row(), b.policy(), b.ply()));
        }
    }
}
