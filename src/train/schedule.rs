//! The learning rate over a run: a linear warm-up, then a cosine down to a floor (Loshchilov and Hutter 2017).

/// Learning rates by step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Rate at the end of the warm-up.
    pub peak: f32,
    /// Rate at the end, as a share of the peak.
    pub floor: f32,
    /// Steps of the warm-up.
    pub warmup_steps: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
}

impl Schedule {
    /// The rate of step number `step`, from 0.
    pub fn rate(&self, step: u64) -> f32 {
        let warmup = self.warmup_steps.min(self.total_steps);
        if step < warmup {
            return self.peak * (step + 1) as f32 / warmup as f32;
        }
        let span = (self.total_steps - warmup).max(1) as f64;
        let done = ((step - warmup) as f64 / span).min(1.0);
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
        let floor = f64::from(self.floor);
        self.peak * (floor + (1.0 - floor) * cosine) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_falls_and_stays_at_the_floor() {
        let s = Schedule { peak: 2.0, floor: 0.1, warmup_steps: 4, total_steps: 104 };
        for (step, expected) in [(0, 0.5), (3, 2.0), (4, 2.0), (54, 1.1), (104, 0.2), (9999, 0.2)] {
            assert!((s.rate(step) - expected).abs() < 1e-6, "step {step}: {}", s.rate(step));
        }
        let all_warmup = Schedule { warmup_steps: 100, total_steps: 10, ..s };
        assert!((all_warmup.rate(9) - 2.0).abs() < 1e-6);
    }
}
