//! The sequential test: a match ends when its pairs have decided between two strengths.
//!
//! The generalised sequential probability ratio test on the pentanomial (Van den Bergh, "The generalized SPRT"; Fishtest
//! decides with it): the log-likelihood ratio of the two best distributions whose means are the scores that `elo0` and
//! `elo1` expect.

use super::pairs::{Pairs, SCORES, score_of_elo};
use crate::base::config::{BadValue, within};
use serde::{Deserialize, Serialize};

/// What counts for a class without pairs, as Fishtest has it: without it, nothing unseen could ever happen.
const COUNT_MIN: f64 = 1e-3;
/// Halvings of an interval no wider than some hundreds: to the last bit.
const HALVINGS: usize = 64;

/// The two strengths of A above B in Elo, and how often the test may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SprtConfig {
    /// H0: no stronger than this.
    pub elo0: f64,
    /// H1: at least this strong.
    pub elo1: f64,
    /// Chance to accept H1 where H0 holds.
    pub alpha: f64,
    /// Chance to accept H0 where H1 holds.
    pub beta: f64,
}

/// What the test has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// A is not that much stronger.
    H0,
    /// A is.
    H1,
}

impl SprtConfig {
    /// Refuses values that no test can use.
    pub fn check(&self) -> Result<(), BadValue> {
        within("elo0", self.elo0, -1000.0..=1000.0, "Elo")?;
        within("elo1", self.elo1, -1000.0..=1000.0, "Elo")?;
        within("alpha", self.alpha, 1e-6..=0.4, "")?;
        within("beta", self.beta, 1e-6..=0.4, "")?;
        match self.elo1 - self.elo0 >= 0.1 {
            true => Ok(()),
            false => Err(BadValue::new("elo1", self.elo1, "more than elo0")),
        }
    }

    /// Where H0 and H1 are accepted (Wald 1945).
    pub fn bounds(&self) -> [f64; 2] {
        [(self.beta / (1.0 - self.alpha)).ln(), ((1.0 - self.beta) / self.alpha).ln()]
    }

    /// How much the pairs speak for H1 and against H0.
    pub fn llr(&self, pairs: &Pairs) -> f64 {
        if pairs.n() == 0 {
            return 0.0;
        }
        let counts = pairs.0.map(|n| (n as f64).max(COUNT_MIN));
        let n: f64 = counts.iter().sum();
        let share = counts.map(|count| count / n);
        let [p0, p1] = [self.elo0, self.elo1].map(|elo| likeliest(&share, score_of_elo(elo)));
        (0..5).map(|i| counts[i] * (p1[i] / p0[i]).ln()).sum()
    }

    /// What the pairs decide, if they do.
    pub fn verdict(&self, pairs: &Pairs) -> Option<Verdict> {
        let [low, high] = self.bounds();
        match self.llr(pairs) {
            llr if llr >= high => Some(Verdict::H1),
            llr if llr <= low => Some(Verdict::H0),
            _ => None,
        }
    }
}

/// Of all distributions over the classes with this mean score, the one under which `share`, all above 0, is the likeliest.
///
/// With Lagrange's multiplier t it is `share / (1 + t * (score of the class - mean))`, where t makes the mean right;
/// that side of the equation falls with t between the poles.
fn likeliest(share: &[f64; 5], mean: f64) -> [f64; 5] {
    let (mut low, mut high) = (-1.0 / (1.0 - mean), 1.0 / mean);
    let excess = |t: f64| -> f64 { share.iter().zip(SCORES).map(|(p, a)| p * (a - mean) / (1.0 + t * (a - mean))).sum() };
    for _ in 0..HALVINGS {
        let t = 0.5 * (low + high);
        if excess(t) > 0.0 { low = t } else { high = t }
    }
    let t = 0.5 * (low + high);
    std::array::from_fn(|i| share[i] / (1.0 + t * (SCORES[i] - mean)))
}

#[cfg(test)]
mod tests {
    use super::super::pairs::tests::{classes, draw};
    use super::*;
    use crate::base::rng::rng;

    const TEST: SprtConfig = SprtConfig { elo0: 0.0, elo1: 10.0, alpha: 0.05, beta: 0.05 };

    #[test]
    fn the_likeliest_has_the_mean() {
        let share = [0.1, 0.2, 0.3, 0.3, 0.1];
        for mean in [0.01, 0.3, 0.5, 0.525, 0.9, 0.999] {
            let p = likeliest(&share, mean);
            let sum: f64 = p.iter().sum();
            let is: f64 = p.iter().zip(SCORES).map(|(p, a)| p * a).sum();
            assert!(p.iter().all(|p| *p > 0.0) && (sum - 1.0).abs() < 1e-9 && (is - mean).abs() < 1e-9, "{mean}: {p:?}");
        }
        // Its own mean changes nothing.
        assert!(likeliest(&share, 0.525).iter().zip(share).all(|(p, s)| (p - s).abs() < 1e-9));
    }

    #[test]
    fn ratios_computed_by_hand() {
        // With two classes of scores 0 and 1 the mean is the distribution: 60 ln(s1 / s0) + 40 ln((1 - s1) / (1 - s0)),
        // which is 1.16299 for s0 = ½ and s1 = 0.564003 (44.7 Elo), but for the pairs of COUNT_MIN.
        let wide = SprtConfig { elo1: 44.74, ..TEST };
        let s1 = score_of_elo(44.74f64);
        let expected = 60.0 * (s1 / 0.5).ln() + 40.0 * ((1.0 - s1) / 0.5).ln();
        let llr = wide.llr(&Pairs([40, 0, 0, 0, 60]));
        assert!((llr - expected).abs() < 1e-3 * expected, "{llr}, expected {expected}");
        // Near ½ the ratio is n (s1 - s0) (2 mean - s0 - s1) / (2 variance).
        let pairs = Pairs([90, 200, 400, 230, 120]);
        let mean = pairs.score();
        let variance: f64 = pairs.0.iter().zip(SCORES).map(|(&n, a)| n as f64 * (a - mean).powi(2)).sum::<f64>() / 1040.0;
        let s1 = score_of_elo(10.0);
        let expected = 1040.0 * (s1 - 0.5) * (2.0 * mean - s1 - 0.5) / (2.0 * variance);
        let llr = TEST.llr(&pairs);
        assert!((llr - expected).abs() < 0.02 * expected.abs(), "{llr}, near {expected}");
        assert_eq!(TEST.llr(&Pairs::default()), 0.0);
        let [low, high] = TEST.bounds();
        assert!((high - 19f64.ln()).abs() < 1e-12 && low == -high);
    }

    #[test]
    fn values_out_of_range() {
        assert!(TEST.check().is_ok());
        for bad in [
            SprtConfig { elo1: 0.0, ..TEST },
            SprtConfig { elo0: f64::NAN, ..TEST },
            SprtConfig { alpha: 0.0, ..TEST },
            SprtConfig { beta: 0.5, ..TEST },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }

    /// Share of tests that accept H1 when A is `elo` stronger, and their mean length in pairs.
    fn accepted(test: &SprtConfig, elo: f64, bias: f64, n_trials: u64) -> (f64, f64) {
        let classes = classes(score_of_elo(elo), bias);
        let (mut n_accepted, mut n_pairs) = (0, 0);
        for trial in 0..n_trials {
            let mut rng = rng(7, trial);
            let mut pairs = Pairs::default();
            let verdict = loop {
                pairs.add(draw(&mut rng, &classes));
                if let Some(verdict) = test.verdict(&pairs) {
                    break verdict;
                }
            };
            n_accepted += u64::from(verdict == Verdict::H1);
            n_pairs += pairs.n();
        }
        (n_accepted as f64 / n_trials as f64, n_pairs as f64 / n_trials as f64)
    }

    #[test]
    fn errors_are_as_rare_as_promised() {
        for (test, bias) in [
            (SprtConfig { elo0: 0.0, elo1: 50.0, alpha: 0.05, beta: 0.05 }, 0.0),
            (SprtConfig { elo0: -20.0, elo1: 40.0, alpha: 0.1, beta: 0.05 }, 0.2),
        ] {
            let (wrong, n0) = accepted(&test, test.elo0, bias, 1000);
            let (right, n1) = accepted(&test, test.elo1, bias, 1000);
            eprintln!("{test:?}: accepted H1 under H0 {wrong:.3} ({n0:.0} pairs), under H1 {right:.3} ({n1:.0} pairs)");
            // Three standard errors of 1000 trials above what is promised; and not much too careful either.
            assert!((0.4 * test.alpha..test.alpha + 0.02).contains(&wrong), "{wrong}");
            assert!((0.4 * test.beta..test.beta + 0.02).contains(&(1.0 - right)), "{right}");
        }
    }
}
