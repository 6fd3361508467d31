//! The losses of a batch and their gradients. Samples are walked in order: the sums are small beside a network.

use super::CpuBuf;
use super::activation::sigmoid;
use crate::compute::loss::POLICY_MASKED;
use crate::compute::{HeadGrads, Heads, LossShape, LossWeights, Losses, Mask, Targets};

/// Points of score that one unit of the score head stands for (KataGo).
const SCORE_UNIT: f32 = 20.0;
/// Where Huber's loss turns from square to straight, in units of the score head.
const HUBER_DELTA: f32 = 1.0;
/// sqrt(pi / 2): standard deviation of a normal distribution over its mean absolute deviation.
const STDEV_PER_DEVIATION: f32 = 1.253_314_1;

pub(super) fn losses(
    shape: LossShape,
    heads: &Heads<'_, CpuBuf>,
    mask: Mask<'_, CpuBuf>,
    targets: &Targets<'_>,
    weights: &LossWeights,
    mut grads: Option<HeadGrads<'_, CpuBuf>>,
) -> Losses {
    let area = shape.len * shape.len;
    let mut sums = Losses { n: shape.n as u64, ..Losses::default() };
    let share = 1.0 / weights.divisor.unwrap_or(shape.n as f32).max(f32::MIN_POSITIVE);
    if let Some(g) = &mut grads {
        g.policy[..shape.n * area].fill(0.0);
        g.pass[..shape.n].fill(0.0);
        g.value[..shape.n * 3].fill(0.0);
        g.score[..shape.n * shape.score_c].fill(0.0);
        g.ownership[..shape.n * area].fill(0.0);
    }
    for i in 0..shape.n {
        let cells = i * area..(i + 1) * area;
        let on_board = &mask.mask[cells.clone()];
        let weight = targets.weight[i];
        if targets.policy[i] != POLICY_MASKED && weight != 0.0 {
            let logits = (&heads.policy[cells.clone()], heads.pass[i]);
            let grad = grads.as_mut().map(|g| (&mut g.policy[cells.clone()], &mut g.pass[i]));
            policy(logits, on_board, usize::from(targets.policy[i]), (weight, weights.policy * share), &mut sums, grad, weights);
        }
        let w = weight * targets.value_weight[i];
        if w != 0.0 {
            let grad = grads.as_mut().map(|g| &mut g.value[3 * i..3 * i + 3]);
            value(&heads.value[3 * i..3 * i + 3], &targets.value[i], (w, weights.value * share), &mut sums, grad, weights);
        }
        let w = weight * targets.score_weight[i];
        if w != 0.0 {
            let at = i * shape.score_c..(i + 1) * shape.score_c;
            let grad = grads.as_mut().map(|g| &mut g.score[at.clone()]);
            score(&heads.score[at.clone()], targets.score[i], (w, weights.score * share), &mut sums, grad, weights);
        }
        let w = weight * targets.ownership_weight[i];
        if w != 0.0 {
            let grad = grads.as_mut().map(|g| &mut g.ownership[cells.clone()]);
            let factors = (w, weights.ownership * share / mask.counts[i].max(1.0));
            let owners = &targets.ownership[cells.clone()];
            ownership(&heads.ownership[cells.clone()], owners, on_board, factors, &mut sums, grad, weights);
        }
    }
    sums
}

/// `factors` in all parts: the sample's weight, and what the gradient is multiplied by besides.
fn policy(
    (logits, pass): (&[f32], f32),
    on_board: &[f32],
    target: usize,
    factors: (f32, f32),
    sums: &mut Losses,
    grad: Option<(&mut [f32], &mut f32)>,
    weights: &LossWeights,
) {
    let area = logits.len();
    let (mut best, mut best_idx) = (pass, area);
    for (j, (l, m)) in logits.iter().zip(on_board).enumerate() {
        if *m != 0.0 && *l > best {
            (best, best_idx) = (*l, j);
        }
    }
    let mut total = (pass - best).exp();
    for (l, _) in logits.iter().zip(on_board).filter(|(_, m)| **m != 0.0) {
        total += (l - best).exp();
    }
    let at_target = if target >= area { pass } else { logits[target] };
    let loss = f64::from(total.ln() + best - at_target) * f64::from(factors.0);
    sums.policy += loss;
    sums.total += loss * f64::from(weights.policy);
    sums.policy_weight += f64::from(factors.0);
    sums.policy_n += 1;
    sums.policy_hits += u64::from(best_idx == target.min(area));
    if let Some((grad, grad_pass)) = grad {
        let factor = factors.0 * factors.1;
        for ((g, l), m) in grad.iter_mut().zip(logits).zip(on_board) {
            *g = m * factor * (l - best).min(0.0).exp() / total;
        }
        *grad_pass = factor * (pass - best).exp() / total;
        let g = if target >= area { grad_pass } else { &mut grad[target] };
        *g -= factor;
    }
}

fn value(
    logits: &[f32],
    target: &[f32; 3],
    factors: (f32, f32),
    sums: &mut Losses,
    grad: Option<&mut [f32]>,
    weights: &LossWeights,
) {
    let best = logits.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
    let log_total = logits.iter().map(|l| (l - best).exp()).sum::<f32>().ln() + best;
    let loss: f32 = logits.iter().zip(target).map(|(l, t)| t * (log_total - l)).sum();
    let loss = f64::from(loss) * f64::from(factors.0);
    sums.value += loss;
    sums.total += loss * f64::from(weights.value);
    sums.value_weight += f64::from(factors.0);
    sums.value_n += 1;
    sums.value_hits += u64::from(largest(logits) == largest(target));
    if let Some(grad) = grad {
        let mass: f32 = target.iter().sum();
        for ((g, l), t) in grad.iter_mut().zip(logits).zip(target) {
            *g = factors.0 * factors.1 * ((l - log_total).exp() * mass - t);
        }
    }
}

fn largest(numbers: &[f32]) -> usize {
    (1..numbers.len()).fold(0, |best, i| if numbers[i] > numbers[best] { i } else { best })
}

/// Huber's loss and its slope.
fn huber(d: f32) -> (f32, f32) {
    if d.abs() <= HUBER_DELTA { (0.5 * d * d, d) } else { (HUBER_DELTA * (d.abs() - 0.5 * HUBER_DELTA), HUBER_DELTA.copysign(d)) }
}

fn score(raw: &[f32], target: f32, factors: (f32, f32), sums: &mut Losses, grad: Option<&mut [f32]>, weights: &LossWeights) {
    let target = target / SCORE_UNIT;
    let error = raw[0] - target;
    let stdev = if raw[1] > 20.0 { raw[1] } else { raw[1].exp().ln_1p() };
    let (mean_loss, mean_slope) = huber(error);
    let (stdev_loss, stdev_slope) = huber(stdev - STDEV_PER_DEVIATION * error.abs());
    let (lead_loss, lead_slope) = huber(raw[2] - target);
    let loss = f64::from(mean_loss + stdev_loss + lead_loss) * f64::from(factors.0);
    sums.score += loss;
    sums.total += loss * f64::from(weights.score);
    sums.score_weight += f64::from(factors.0);
    sums.score_error += f64::from(error.abs() * SCORE_UNIT) * f64::from(factors.0);
    if let Some(grad) = grad {
        let factor = factors.0 * factors.1;
        grad[0] = factor * mean_slope;
        grad[1] = factor * stdev_slope * sigmoid(raw[1]);
        grad[2] = factor * lead_slope;
    }
}

fn ownership(
    logits: &[f32],
    target: &[f32],
    on_board: &[f32],
    factors: (f32, f32),
    sums: &mut Losses,
    grad: Option<&mut [f32]>,
    weights: &LossWeights,
) {
    let points = on_board.iter().sum::<f32>().max(1.0);
    let mut loss = 0.0f64;
    for ((l, t), _) in logits.iter().zip(target).zip(on_board).filter(|(_, m)| **m != 0.0) {
        // -p ln s(z) - (1 - p) ln s(-z) = softplus(z) - p z with z = 2l
        let (z, p) = (2.0 * l, 0.5 + 0.5 * t);
        loss += f64::from(z.max(0.0) + (-z.abs()).exp().ln_1p() - p * z);
    }
    let loss = loss / f64::from(points) * f64::from(factors.0);
    sums.ownership += loss;
    sums.total += loss * f64::from(weights.ownership);
    sums.ownership_weight += f64::from(factors.0);
    if let Some(grad) = grad {
        let factor = 2.0 * factors.0 * factors.1;
        for (((g, l), t), m) in grad.iter_mut().zip(logits).zip(target).zip(on_board) {
            *g = m * factor * (sigmoid(2.0 * l) - (0.5 + 0.5 * t));
        }
    }
}
