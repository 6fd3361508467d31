//! The root: its evaluation, the moves that are tried there, and noise on their priors.

use super::arena::Candidate;
use super::gumbel::uniform;
use super::maths::{exp, ln};
use super::params::{Noise, Params};
use super::tree::{ROOT, Tree};
use super::value::{Scale, Value};
use super::worker::policy_into;
use crate::base::Result;
use crate::base::rng::Rng;
use crate::base::symmetry::Symmetry;
use crate::compute::packed::PackedRow;
use crate::feature::Encoder;
use crate::go::{Color, Game, Move};
use crate::infer::{Evaluation, Evaluator, NoResult, Request};

/// What the evaluator says about the root, in White's view; the mean over symmetries.
#[derive(Clone, Debug, Default)]
pub struct RootView {
    /// Legal moves by their place in the policy, pass last, and their probabilities.
    pub policy: Vec<(u16, f32)>,
    /// `[len * len]`, 1: White's; 0 off the board.
    pub ownership: Vec<f32>,
    /// Its worth.
    pub value: Value,
    /// Side of the array of `ownership`.
    pub len: usize,
}

/// How often the root is evaluated.
pub(super) fn n_symmetries(params: &Params) -> usize {
    params.root_symmetries.clamp(1, Symmetry::COUNT)
}

/// Has the root evaluated.
pub(super) fn look(
    game: &Game,
    evaluator: &mut dyn Evaluator,
    params: &Params,
    no_result: NoResult,
    scale: Scale,
) -> Result<RootView> {
    let len = game.size().len_max();
    let mut row = PackedRow::new(len);
    Encoder::default().encode(game, &mut row);
    row.set_doubling(params.doubling.map_or(0.0, |d| d.told(game.to_move(), game.to_move())));
    let symmetries: Vec<Symmetry> = Symmetry::all().take(n_symmetries(params)).collect();
    let requests: Vec<Request<'_>> = symmetries.iter().map(|s| Request { row: row.bytes(), len, symmetry: s.number() }).collect();
    let mut answers = vec![Evaluation::default(); requests.len()];
    evaluator.evaluate(&requests, &mut answers)?;

    let color = game.to_move();
    let mut legal: Vec<u16> =
        game.size().points().filter(|&p| game.is_legal(color, Move::Play(p)).is_ok()).map(|p| p.index(len) as u16).collect();
    legal.push((len * len) as u16);
    let share = 1.0 / answers.len() as f32;
    let sign = if color == Color::White { 1.0 } else { -1.0 };
    let mut view = RootView {
        policy: legal.iter().map(|&i| (i, 0.0)).collect(),
        ownership: vec![0.0; len * len],
        len,
        ..RootView::default()
    };
    let mut candidates = Vec::new();
    for answer in &answers {
        policy_into(answer, &legal, &mut candidates);
        view.policy.iter_mut().zip(&candidates).for_each(|(to, c)| to.1 += share * c.prior());
        for (to, raw) in view.ownership.iter_mut().zip(&answer.ownership) {
            *to += share * sign * tanh(*raw);
        }
        let value = Value::of(answer, color, no_result, scale);
        view.value.win += share * value.win;
        view.value.utility += share * value.utility;
        view.value.lead += share * value.lead;
        view.value.score += share * value.score;
        view.value.score_square += share * value.score_square;
    }
    Ok(view)
}

fn tanh(x: f32) -> f32 {
    if x.is_nan() { 0.0 } else { 1.0 - 2.0 / (exp(2.0 * x) + 1.0) }
}

/// Gives the root's moves the priors of `view` as the parameters change them; `is_allowed` tells by the place in the policy.
pub(super) fn set_priors(tree: &mut Tree, view: &RootView, is_allowed: impl Fn(u16) -> bool, draw: &mut Rng) {
    let allowed: Vec<(u16, f32)> = view.policy.iter().copied().filter(|(i, _)| is_allowed(*i)).collect();
    let priors = changed(&allowed, &tree.params, draw);
    tree.arena.change_priors(ROOT, |policy_idx, _| priors.iter().find(|(i, _)| *i == policy_idx).map(|(_, p)| *p));
}

/// The root's candidates as the view has them.
pub(super) fn candidates(view: &RootView) -> Vec<Candidate> {
    view.policy.iter().map(|&(i, p)| Candidate::new(i, p)).collect()
}

fn changed(policy: &[(u16, f32)], params: &Params, draw: &mut Rng) -> Vec<(u16, f32)> {
    let mut priors: Vec<f32> = policy.iter().map(|(_, p)| p.max(f32::MIN_POSITIVE)).collect();
    if params.root_temperature != 1.0 {
        priors.iter_mut().for_each(|p| *p = exp(ln(*p) / params.root_temperature));
    }
    let total: f32 = priors.iter().sum();
    priors.iter_mut().for_each(|p| *p /= total);
    if let Some(noise) = params.noise {
        let drawn = dirichlet(&priors, noise, draw);
        priors.iter_mut().zip(drawn).for_each(|(p, d)| *p = (1.0 - noise.weight) * *p + noise.weight * d);
    }
    policy.iter().zip(priors).map(|((i, _), p)| (*i, p.min(1.0))).collect()
}

/// A draw whose concentration goes half to all moves alike, half to those that the policy finds worth a thought (KataGo).
fn dirichlet(priors: &[f32], noise: Noise, draw: &mut Rng) -> Vec<f32> {
    /// Above it moves do not need more noise.
    const PRIOR_ENOUGH: f32 = 0.01;
    let logs: Vec<f32> = priors.iter().map(|p| ln(p.min(PRIOR_ENOUGH) + 1e-20)).collect();
    let mean = logs.iter().sum::<f32>() / logs.len() as f32;
    let above: f32 = logs.iter().map(|l| (l - mean).max(0.0)).sum();
    let even = 1.0 / priors.len() as f32;
    let shares = logs.iter().map(|l| if above > 0.0 { 0.5 * even + 0.5 * (l - mean).max(0.0) / above } else { even });
    let mut drawn: Vec<f32> = shares.map(|share| gamma(share * noise.concentration, draw)).collect();
    let total: f32 = drawn.iter().sum();
    drawn.iter_mut().for_each(|d| *d = if total > 0.0 { *d / total } else { even });
    drawn
}

/// A draw from the gamma distribution (Marsaglia and Tsang 2000).
fn gamma(shape: f32, draw: &mut Rng) -> f32 {
    if shape < 1.0 {
        return gamma(shape + 1.0, draw) * exp(ln(uniform(draw)) / shape);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(draw);
        let v = (1.0 + c * x) * (1.0 + c * x) * (1.0 + c * x);
        if v > 0.0 && ln(uniform(draw)) < 0.5 * x * x + d - d * v + d * ln(v) {
            return d * v;
        }
    }
}

/// A draw from the standard normal distribution (Marsaglia's polar method).
pub(super) fn normal(draw: &mut Rng) -> f32 {
    loop {
        let (x, y) = (2.0 * uniform(draw) - 1.0, 2.0 * uniform(draw) - 1.0);
        let s = x * x + y * y;
        if s > 0.0 && s < 1.0 {
            return x * (-2.0 * ln(s) / s).sqrt();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::rng;

    #[test]
    fn noise_keeps_the_sum_and_reaches_all() {
        let policy: Vec<(u16, f32)> = (0..82).map(|i| (i, if i < 2 { 0.46 } else { 0.001 })).collect();
        let params = Params { noise: Some(Noise::SELF_PLAY), root_temperature: 1.1, ..Params::default() };
        let (mut draw, mut mean) = (rng(1, 0), vec![0.0; 82]);
        for _ in 0..2000 {
            let priors = changed(&policy, &params, &mut draw);
            assert!((priors.iter().map(|(_, p)| p).sum::<f32>() - 1.0).abs() < 1e-4);
            mean.iter_mut().zip(&priors).for_each(|(m, (_, p))| *m += p / 2000.0);
        }
        assert!(mean[0] < 0.45 && mean[0] > 0.3 && mean[50] > 0.0015 && mean[50] < 0.005, "{} {}", mean[0], mean[50]);
    }

    #[test]
    fn gamma_has_its_mean() {
        let mut draw = rng(2, 0);
        for shape in [0.1, 0.9, 3.0] {
            let mean = (0..20_000).map(|_| gamma(shape, &mut draw)).sum::<f32>() / 20_000.0;
            assert!((mean / shape - 1.0).abs() < 0.06, "{shape}: {mean}");
        }
    }
}
