//! Lowers the work before the kernel lowers the clocks: rests between steps, as much as heat and power ask for.
//!
//! The share of rest grows while a limit is passed, shrinks slowly once all are kept by a distance, and stays in between:
//! so it settles instead of swinging.

use super::sensors::{Reading, Zone};

/// Most of the time that is spent resting.
const REST_MAX: f64 = 0.9;
/// Growth of the share of rest in a second above a limit.
const GROWTH_PER_S: f64 = 0.04;
/// Its fall in a second below the distance.
const FALL_PER_S: f64 = 0.01;
/// Degrees below a limit at which work may grow again.
const COOLER_BY: f64 = 3.0;
/// Degrees that are kept from the point at which the kernel itself lowers clocks.
const BEFORE_KERNEL: f64 = 3.0;
/// Share of the power limit below which work may grow again.
const LESS_POWER: f64 = 0.93;
/// Weight of a new second in the mean of power: a step draws it in bursts.
const POWER_WEIGHT: f64 = 0.2;

/// Limits of heat and power; 0 switches one off.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HeatLimits {
    /// Of the hottest sensor, in °C.
    pub temperature_c: f64,
    /// Of the board, in W.
    pub power_w: f64,
}

/// How much is rested.
#[derive(Clone, Debug, Default)]
pub struct Governor {
    limits: HeatLimits,
    power_w: Option<f64>,
    rest: f64,
}

impl Governor {
    /// No rest yet.
    pub fn new(limits: HeatLimits) -> Governor {
        Governor { limits, ..Governor::default() }
    }

    /// The share of time to rest, 0 to 0.9.
    pub fn rest(&self) -> f64 {
        self.rest
    }

    /// Takes up what the sensors say, `seconds` after the last time.
    pub fn update(&mut self, reading: &Reading, zones: &[Zone], seconds: f64) {
        // Above 0 a limit is passed, below -1 all are kept by their distance.
        let mut pressure = f64::NEG_INFINITY;
        if self.limits.temperature_c > 0.0 {
            for sensor in &reading.temperatures {
                let kernel = zones.iter().find(|zone| zone.name == sensor.name).and_then(|zone| zone.throttles_at);
                let limit =
                    kernel.map_or(self.limits.temperature_c, |at| self.limits.temperature_c.min(at as f64 - BEFORE_KERNEL));
                pressure = pressure.max((sensor.value - limit) / COOLER_BY);
            }
        }
        if let (true, Some(now)) = (self.limits.power_w > 0.0, reading.power_w) {
            let mean = self.power_w.map_or(now, |mean| mean + POWER_WEIGHT * (now - mean));
            self.power_w = Some(mean);
            pressure = pressure.max((mean / self.limits.power_w - 1.0) / (1.0 - LESS_POWER));
        }
        // A long gap, as after a suspended machine, is no reason for a leap.
        let seconds = seconds.clamp(0.0, 5.0);
        if pressure > 0.0 {
            self.rest = (self.rest + GROWTH_PER_S * seconds).min(REST_MAX);
        } else if pressure < -1.0 {
            self.rest = (self.rest - FALL_PER_S * seconds).max(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::sensors::Named;

    fn reading(celsius: f64, watts: f64) -> Reading {
        let temperatures = vec![Named { name: "cpu".to_string(), value: celsius }];
        Reading { temperatures, power_w: Some(watts), ..Reading::default() }
    }

    #[test]
    fn heat_settles_below_the_limit_and_does_not_swing() {
        // A board that warms towards 40 °C and 60 more at full work, with a time constant of 40 s.
        let mut governor = Governor::new(HeatLimits { temperature_c: 85.0, power_w: 0.0 });
        let (mut celsius, mut hottest_late, mut rests) = (45.0, 0.0f64, Vec::new());
        for second in 0..1200 {
            celsius += (40.0 + 60.0 * (1.0 - governor.rest()) - celsius) / 40.0;
            governor.update(&reading(celsius, 0.0), &[], 1.0);
            if second > 600 {
                hottest_late = hottest_late.max(celsius);
                rests.push(governor.rest());
            }
        }
        let (least, most) = rests.iter().fold((1.0f64, 0.0f64), |(a, b), r| (a.min(*r), b.max(*r)));
        assert!(hottest_late < 87.0, "{hottest_late}");
        assert!(least > 0.05 && most < 0.6, "rest from {least} to {most}");
        // Cold again: all of the work comes back.
        (0..120).for_each(|_| governor.update(&reading(50.0, 0.0), &[], 1.0));
        assert_eq!(governor.rest(), 0.0);
    }

    #[test]
    fn between_the_limits_nothing_changes() {
        let mut governor = Governor::new(HeatLimits { temperature_c: 80.0, power_w: 10.0 });
        (0..5).for_each(|_| governor.update(&reading(81.0, 5.0), &[], 1.0));
        let rest = governor.rest();
        assert!(rest > 0.1);
        (0..50).for_each(|_| governor.update(&reading(78.5, 5.0), &[], 1.0));
        assert_eq!(governor.rest(), rest);
        // Power alone, as a mean: one burst is none.
        let mut governor = Governor::new(HeatLimits { temperature_c: 0.0, power_w: 10.0 });
        governor.update(&reading(99.0, 8.0), &[], 1.0);
        governor.update(&reading(99.0, 14.0), &[], 1.0);
        assert_eq!(governor.rest(), 0.0);
        (0..30).for_each(|_| governor.update(&reading(99.0, 14.0), &[], 1.0));
        assert!(governor.rest() > 0.5);
    }
}
