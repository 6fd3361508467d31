//! What pairs of games say about the strength of two players.
//!
//! Each opening is played twice with colours swapped, so the two games of a pair are not independent and the pair is what
//! is counted: five classes by the points in it, the "pentanomial" of Fishtest (Van den Bergh, "The generalized SPRT" and
//! the code of Fishtest's statistics, both public). Elo is logistic: `score = 1 / (1 + 10^(-elo / 400))`.

use serde::{Deserialize, Serialize};

/// Quantile of the normal distribution for a two-sided 95 %.
const Z95: f64 = 1.959_964;
/// Variance of a pair's score in units of `score * (1 - score)` before anything was seen: that of two independent games
/// without draws.
const RATIO_START: f64 = 0.5;
/// How much that counts, in the same units: four pairs of even players.
const RATIO_START_WEIGHT: f64 = 1.0;

/// Pairs by the points of A in them: 0, ½, 1, 1½ and 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairs(pub [u64; 5]);

/// Strength of A against B.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Mean score of A, 0 to 1.
    pub score: f64,
    /// Ends of its 95 % interval.
    pub score_interval: [f64; 2],
    /// Elo of A above B; none where the score is 0 or 1.
    pub elo: Option<f64>,
    /// Ends of its 95 % interval; none for no end.
    pub elo_interval: [Option<f64>; 2],
    /// Probability that A is the stronger, 0 to 1.
    pub los: f64,
}

impl Pairs {
    /// Counts a pair in which A made this many half points, 0 to 4.
    pub fn add(&mut self, half_points: usize) {
        self.0[half_points] += 1;
    }

    /// How many there are.
    pub fn n(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Mean score of A, 0 to 1; ½ without pairs.
    pub fn score(&self) -> f64 {
        match self.n() {
            0 => 0.5,
            n => self.0.iter().zip(SCORES).map(|(&n, score)| n as f64 * score).sum::<f64>() / n as f64,
        }
    }

    /// Variance of a pair's score in units of `score * (1 - score)`: 1 when both games of a pair end alike, ½ when they
    /// are independent and never drawn, less when they balance each other. Few pairs leave it near ½.
    fn variance_ratio(&self) -> f64 {
        let mean = self.score();
        let squares: f64 = self.0.iter().zip(SCORES).map(|(&n, score)| n as f64 * (score - mean).powi(2)).sum();
        let most = self.n() as f64 * mean * (1.0 - mean);
        (squares + RATIO_START * RATIO_START_WEIGHT) / (most + RATIO_START_WEIGHT)
    }

    /// The strength that the pairs speak for; none without pairs.
    ///
    /// The interval is Wilson's (1927) for as many independent games without draws as have the variance of the pairs
    /// (their "effective number", Kish 1965): near 0 and 1, where the normal interval fails, it still holds. Superiority
    /// is that test against an even score.
    pub fn estimate(&self) -> Option<Estimate> {
        if self.n() == 0 {
            return None;
        }
        let (score, n) = (self.score(), self.n() as f64 / self.variance_ratio());
        let z2 = Z95 * Z95;
        let centre = (score + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = Z95 / (1.0 + z2 / n) * (score * (1.0 - score) / n + z2 / (4.0 * n * n)).sqrt();
        // Rounding must not leave a hair below a score of 1.
        let low = if score <= 0.0 { 0.0 } else { (centre - half).max(0.0) };
        let high = if score >= 1.0 { 1.0 } else { (centre + half).min(1.0) };
        Some(Estimate {
            score,
            score_interval: [low, high],
            elo: elo_of_score(score),
            elo_interval: [elo_of_score(low), elo_of_score(high)],
            los: normal_below((score - 0.5) * 2.0 * n.sqrt()),
        })
    }
}

/// The score of A in a pair of each class.
pub(super) const SCORES: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// The expected score of a player this many Elo above the other.
pub fn score_of_elo(elo: f64) -> f64 {
    1.0 / (1.0 + 10f64.powf(-elo / 400.0))
}

/// The Elo difference that makes this score expected; none for 0 and 1, which none makes.
pub fn elo_of_score(score: f64) -> Option<f64> {
    (score > 0.0 && score < 1.0).then(|| 400.0 * (score / (1.0 - score)).log10())
}

/// Probability that a standard normal variable is below `x`; error below 1e-7 (Abramowitz and Stegun 1964, 26.2.17).
fn normal_below(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let poly =
        [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_530].iter().fold(0.0, |sum, c| (sum + c) * t);
    let tail = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt() * poly;
    if x > 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::rng::{Rng, rng};
    use rand::Rng as _;

    fn close(a: f64, b: f64, by: f64, case: &str) {
        assert!((a - b).abs() <= by, "{case}: {a}, expected {b}");
    }

    /// A number from 0 to below 1.
    pub(crate) fn unit(rng: &mut Rng) -> f64 {
        (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A pair's class, drawn with these probabilities.
    pub(crate) fn draw(rng: &mut Rng, classes: &[f64; 5]) -> usize {
        let mut left = unit(rng);
        let drawn = classes.iter().position(|p| {
            left -= p;
            left < 0.0
        });
        drawn.unwrap_or(4)
    }

    /// Classes of two games, A's chance is `bias` better with one colour and worse with the other, no draws.
    pub(crate) fn classes(score: f64, bias: f64) -> [f64; 5] {
        let (p, q) = (score + bias, score - bias);
        [(1.0 - p) * (1.0 - q), 0.0, p * (1.0 - q) + q * (1.0 - p), 0.0, p * q]
    }

    #[test]
    fn elo_and_scores() {
        close(score_of_elo(400.0), 10.0 / 11.0, 1e-12, "400");
        close(elo_of_score(0.75).unwrap(), 190.848_501_9, 1e-6, "0.75");
        assert_eq!((elo_of_score(0.0), elo_of_score(1.0), elo_of_score(0.5)), (None, None, Some(0.0)));
        for elo in [-300.0, -1.0, 0.0, 12.5, 700.0] {
            close(elo_of_score(score_of_elo(elo)).unwrap(), elo, 1e-9, "there and back");
        }
    }

    #[test]
    fn the_normal_distribution() {
        for (x, p) in [(0.0, 0.5), (1.0, 0.841_344_746), (-1.0, 0.158_655_254), (1.959_964, 0.975), (-4.0, 3.167e-5)] {
            close(normal_below(x), p, 1e-7, &x.to_string());
        }
    }

    #[test]
    fn computed_by_hand() {
        // 10 pairs: mean (2 * 0.5 + 4 * 0.75 + 3 * 1 + 1 * 0.25) / 10 = 0.725; squares 2 * 0.050625 + 4 * 0.000625
        // + 3 * 0.075625 + 0.225625 = 0.55625; most 10 * 0.725 * 0.275 = 1.99375; ratio 1.05625 / 2.99375 = 0.352818.
        let pairs = Pairs([0, 1, 2, 4, 3]);
        close(pairs.score(), 0.725, 1e-12, "mean");
        close(pairs.variance_ratio(), 0.352_818, 1e-6, "ratio");
        // n = 28.3432; centre (0.725 + 0.067768) / 1.135535 = 0.698144;
        // half 1.726026 * sqrt(0.00703435 + 0.00119553) = 0.156583.
        let e = pairs.estimate().unwrap();
        close(e.score_interval[0], 0.541_561, 2e-5, "low");
        close(e.score_interval[1], 0.854_727, 2e-5, "high");
        close(e.elo.unwrap(), 168.4, 0.05, "elo");
        // z = 0.225 * 2 * 5.323832 = 2.395724.
        close(e.los, 0.991_706, 2e-5, "los");
        assert_eq!(Pairs::default().estimate(), None);
    }

    #[test]
    fn one_sided_and_split_matches_keep_an_interval() {
        // 50 pairs all won are 100 games: Wilson's lower end is 1 / (1 + 3.84146 / 100).
        let e = Pairs([0, 0, 0, 0, 50]).estimate().unwrap();
        close(e.score_interval[0], 0.963_007, 1e-5, "all won");
        assert_eq!((e.score_interval[1], e.elo, e.elo_interval[1]), (1.0, None, None));
        assert!(e.los > 0.999_999);
        let e = Pairs([50, 0, 0, 0, 0]).estimate().unwrap();
        assert_eq!((e.score_interval[0], e.elo_interval[0]), (0.0, None));
        // The first player always wins: nothing is known of strength but that it matters little.
        let e = Pairs([0, 0, 50, 0, 0]).estimate().unwrap();
        let [low, high] = e.elo_interval.map(Option::unwrap);
        assert!(e.elo == Some(0.0) && low < -5.0 && low > -20.0 && (high + low).abs() < 1e-9, "{e:?}");
    }

    #[test]
    fn the_interval_covers_the_truth() {
        let mut rng = rng(5, 0);
        let n_trials = 3000;
        for (n_pairs, score, bias) in
            [(20, 0.5, 0.0), (50, 0.6, 0.1), (50, 0.5, 0.4), (200, 0.55, 0.05), (50, 0.9, 0.0), (50, 0.97, 0.02), (20, 0.95, 0.0)]
        {
            let classes = classes(score, bias);
            let covered = (0..n_trials).filter(|_| {
                let mut pairs = Pairs::default();
                (0..n_pairs).for_each(|_| pairs.add(draw(&mut rng, &classes)));
                let [low, high] = pairs.estimate().unwrap().score_interval;
                low <= score && score <= high
            });
            let share = covered.count() as f64 / n_trials as f64;
            eprintln!("{n_pairs} pairs, score {score}, bias {bias}: covered {:.1} %", 100.0 * share);
            assert!((0.93..=0.985).contains(&share), "{n_pairs} pairs, score {score}, bias {bias}: {share}");
        }
    }
}
