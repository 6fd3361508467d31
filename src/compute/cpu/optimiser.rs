//! Optimiser steps on flat buffers.

use super::team::{Chunks, ChunksMut};
use super::{CpuBuf, CpuOps};
use crate::compute::{Decay, Rule, Span};

/// Elements a chunk of a step.
const CHUNK: usize = 1 << 15;

pub(super) fn step(
    ops: &CpuOps,
    rule: Rule,
    spans: &[Span],
    params: &mut CpuBuf,
    grads: &CpuBuf,
    first: &mut CpuBuf,
    second: Option<&mut CpuBuf>,
) {
    match rule {
        Rule::SgdNesterov { rate, momentum, decay } => {
            for span in spans {
                let at = span.at..span.at + span.len;
                let decay = factor(decay, span.decay);
                let chunks = (
                    ChunksMut::new(&mut params[at.clone()], CHUNK),
                    Chunks(&grads[at.clone()], CHUNK),
                    ChunksMut::new(&mut first[at], CHUNK),
                );
                ops.team.each(chunks, 0, |(params, grads, momenta), _| {
                    for ((p, g), m) in params.iter_mut().zip(grads).zip(momenta) {
                        let g = g + decay * *p;
                        *m = momentum * *m + g;
                        *p -= rate * (g + momentum * *m);
                    }
                });
            }
        }
        Rule::AdamW { rate, beta1, beta2, epsilon, decay, step } => {
            let second = second.expect("the caller of AdamW holds second moments");
            // bias corrections in f64: beta2^step is near 1 for the first steps
            let step = i32::try_from(step).unwrap_or(i32::MAX);
            let rate1 = (f64::from(rate) / (1.0 - f64::from(beta1).powi(step))) as f32;
            let root = (1.0 / (1.0 - f64::from(beta2).powi(step)).sqrt()) as f32;
            for span in spans {
                let at = span.at..span.at + span.len;
                let keep = 1.0 - rate * factor(decay, span.decay);
                let chunks = (
                    ChunksMut::new(&mut params[at.clone()], CHUNK),
                    Chunks(&grads[at.clone()], CHUNK),
                    ChunksMut::new(&mut first[at.clone()], CHUNK),
                    ChunksMut::new(&mut second[at], CHUNK),
                );
                ops.team.each(chunks, 0, |(params, grads, m, v), _| {
                    for (((p, g), m), v) in params.iter_mut().zip(grads).zip(m).zip(v) {
                        *m = beta1 * *m + (1.0 - beta1) * g;
                        *v = beta2 * *v + (1.0 - beta2) * g * g;
                        *p = *p * keep - rate1 * *m / (v.sqrt() * root + epsilon);
                    }
                });
            }
        }
    }
}

fn factor(decay: f32, on: Decay) -> f32 {
    match on {
        Decay::On => decay,
        Decay::Off => 0.0,
    }
}

/// Shortens a gradient to `longest`, and gives the length that it had.
pub(super) fn clip(longest: f32, values: &mut [f32]) -> f64 {
    let (norm, longest) = (sum_of_squares(values).sqrt(), f64::from(longest));
    if longest > 0.0 && norm > longest {
        let factor = (longest / norm) as f32;
        values.iter_mut().for_each(|v| *v *= factor);
    }
    norm
}

/// In eight sums of fixed places, which vectorise and do not depend on threads.
fn sum_of_squares(values: &[f32]) -> f64 {
    let mut sums = [0.0f64; 8];
    for chunk in values.chunks(8) {
        for (sum, &v) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(v) * f64::from(v);
        }
    }
    sums.iter().sum()
}

pub(super) fn average(len: usize, keep: f32, values: &[f32], average: &mut [f32]) {
    for (a, v) in average[..len].iter_mut().zip(&values[..len]) {
        *a = keep * *a + (1.0 - keep) * v;
    }
}

#[cfg(test)]
mod tests {
    use crate::compute::cpu::buf::buf;
    use crate::compute::cpu::{CpuBuf, CpuOps};
    use crate::compute::*;

    #[test]
    fn two_steps_by_hand() {
        let ops = CpuOps::new(1).unwrap();
        let spans = [Span { at: 0, len: 1, decay: Decay::On }, Span { at: 1, len: 1, decay: Decay::Off }];
        let (mut p, g, mut m) = (buf![1.0f32, 1.0], buf![0.5f32, 0.5], buf![0.0f32; 2]);
        let rule = Rule::SgdNesterov { rate: 0.1, momentum: 0.9, decay: 0.1 };
        ops.step(rule, &spans, &mut p, &g, &mut m, None);
        // g = 0.6 and 0.5, m the same, p -= 0.1 * 1.9 g
        assert!((p[0] - (1.0 - 0.114)).abs() < 1e-6 && (p[1] - (1.0 - 0.095)).abs() < 1e-6);
        let (mut p, mut m, mut v) = (buf![1.0f32, 1.0], buf![0.0f32; 2], buf![0.0f32; 2]);
        for step in 1..=2 {
            let rule = Rule::AdamW { rate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 0.0, decay: 0.5, step };
            ops.step(rule, &spans, &mut p, &g, &mut m, Some(&mut v));
        }
        // a constant gradient moves by exactly the rate; decay 0.5 * 0.1 first
        assert!((p[0] - (0.95 * (0.95 - 0.1) - 0.1)).abs() < 1e-5, "{p:?}");
        assert!((p[1] - 0.8).abs() < 1e-5, "{p:?}");
        let mut ema = buf![1.0f32, 0.0];
        ops.average(2, 0.75, &buf![0.0, 1.0], &mut ema);
        assert_eq!(ema[..], [0.75, 0.25]);
        let mut g: CpuBuf = (0..11).map(|i| i as f32).collect();
        let mut tally = ops.tally().unwrap();
        ops.clip(11, 0.0, &mut g, &mut tally);
        assert_eq!((g[10], ops.read(&mut tally).unwrap().norms), (10.0, 385f64.sqrt()));
        ops.clip(4, 14f32.sqrt() / 2.0, &mut g, &mut tally);
        assert_eq!((ops.read(&mut tally).unwrap().norms, tally.norms), (14f64.sqrt(), 0.0));
        assert!((0..5).all(|i| (g[i] - [0.0, 0.5, 1.0, 1.5, 4.0][i]).abs() < 1e-6), "{g:?}");
    }
}
