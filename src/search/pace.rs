//! How long batches take, so that none is begun that would not be done in time.

use super::worker::BATCH_MAX;

/// Sizes of batches that are told apart: 1, 2, up to 4, 8, and so on.
const CLASSES: usize = BATCH_MAX.next_power_of_two().trailing_zeros() as usize + 1;
/// Share by which what is remembered comes closer to a faster batch: one slow batch counts for some twenty.
const FORGETTING: f32 = 0.05;
/// What a search takes over from the one before: one that had no time for a batch could never learn that it was too careful.
const KEPT: f32 = 0.7;

/// The slowest of the last batches, by their size.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Seconds; 0 where no batch was seen.
    seconds: [f32; CLASSES],
}

impl Pace {
    /// Begins another search.
    pub(super) fn begin(&mut self) {
        self.seconds.iter_mut().for_each(|seconds| *seconds *= KEPT);
    }

    /// Learns that `n` positions, 1 or more, took so long.
    pub(super) fn note(&mut self, n: usize, seconds: f32) {
        let known = &mut self.seconds[class(n)];
        *known = seconds.max(*known + FORGETTING * (seconds - *known)).max(f32::MIN_POSITIVE);
    }

    /// The largest part of `most` positions that is likely to be done in `seconds`; 0 if there is no time for one.
    pub(super) fn fitting(&self, most: usize, seconds: f32) -> usize {
        let mut n = if seconds > 0.0 { most } else { 0 };
        while n > 0 && self.expected(n) > seconds {
            n /= 2;
        }
        n
    }

    /// Seconds of `n` positions; 0 before any were seen.
    fn expected(&self, n: usize) -> f32 {
        let (below, above) = self.seconds.split_at(class(n) + 1);
        let smaller = below.iter().rev().enumerate().find(|(_, seconds)| **seconds > 0.0);
        match smaller {
            // Twice as many take twice as long, at the most.
            Some((n_doublings, seconds)) => seconds * (1u32 << n_doublings) as f32,
            None => above.iter().copied().find(|seconds| *seconds > 0.0).unwrap_or(0.0),
        }
    }
}

fn class(n: usize) -> usize {
    n.next_power_of_two().trailing_zeros() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_as_large_as_the_time_allows() {
        let mut pace = Pace::default();
        assert_eq!([pace.fitting(8, 0.1), pace.fitting(8, 0.0)], [8, 0], "nothing was seen");
        pace.note(1, 0.5);
        assert_eq!([4.0, 3.9, 1.9, 0.5, 0.4].map(|left| pace.fitting(8, left)), [8, 4, 2, 1, 0]);
        pace.note(8, 1.0);
        assert_eq!([pace.fitting(8, 1.0), pace.fitting(256, 1.0), pace.fitting(4, 0.9)], [8, 8, 1]);
        // What is slow counts at once, what is fast bit by bit.
        pace.note(1, 2.0);
        pace.note(1, 0.1);
        assert_eq!([pace.fitting(1, 1.95), pace.fitting(1, 1.0)], [1, 0]);
        (0..100).for_each(|_| pace.note(1, 0.1));
        assert_eq!([pace.fitting(1, 0.12), pace.fitting(BATCH_MAX, 1e9)], [1, BATCH_MAX]);
        (0..8).for_each(|_| pace.begin());
        assert_eq!(pace.fitting(1, 0.01), 1);
        // Of a small batch less is known than of a large one: it takes no longer.
        let mut large = Pace::default();
        large.note(64, 1.0);
        assert_eq!([large.fitting(1, 1.0), large.fitting(1, 0.5)], [1, 0]);
    }
}
