//! Every operation against a plain definition, and every gradient against finite differences or, where the operation is
//! linear, against the identity `<f(x), y> = <x, f'(y)>` for random x and y.

use super::buf::buf;
use super::*;
use crate::base::rng::rng;
use rand::Rng as _;

/// Numbers between -1 and 1.
pub(super) fn random(seed: u64, len: usize) -> CpuBuf {
    let mut r = rng(seed, len as u64);
    (0..len).map(|_| (r.next_u64() >> 40) as f32 / (1u64 << 23) as f32 - 1.0).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn near(name: &str, got: f64, expected: f64, tolerance: f64) {
    assert!((got - expected).abs() <= tolerance * (1.0 + expected.abs()), "{name}: {got}, expected {expected}");
}

const SHAPES: [(usize, usize, usize, usize, usize, usize); 15] = [
    // n, len, kernel_y, kernel_x, c_in, c_out
    (1, 1, 1, 1, 1, 1),
    (2, 3, 1, 1, 5, 2),
    (3, 5, 3, 3, 4, 3),
    (1, 7, 5, 5, 3, 8),
    (2, 4, 3, 5, 2, 1),
    (2, 4, 1, 3, 3, 3),
    (1, 2, 7, 7, 2, 2),
    (40, 9, 3, 3, 8, 9),
    (600, 1, 1, 1, 7, 5),
    // 3x3 by tiles of four and of three, with and without overhang, whole and cut vectors, several panels
    (3, 19, 3, 3, 5, 33),
    (2, 13, 3, 3, 17, 70),
    (5, 8, 3, 3, 22, 16),
    (4, 10, 3, 3, 16, 48),
    (1, 6, 3, 3, 3, 1),
    (2, 3, 3, 3, 32, 130),
];

/// Winograd's sums are of numbers some times larger than the result; rounding gives up to 1e-5 here.
const CONV: f64 = 3e-5;

/// A backend for every instruction set that works here.
pub(super) fn backends(threads: usize) -> Vec<(&'static str, CpuOps)> {
    Isa::all().into_iter().map(|isa| (isa.name(), CpuOps::with_isa(threads, isa).unwrap())).collect()
}

fn shape((n, len, kernel_y, kernel_x, c_in, c_out): (usize, usize, usize, usize, usize, usize)) -> ConvShape {
    ConvShape { n, len, kernel_y, kernel_x, c_in, c_out }
}

/// By the definition, in f64.
fn plain_conv(s: ConvShape, x: &[f32], w: &[f32]) -> Vec<f64> {
    let mut y = vec![0.0; s.cells() * s.c_out];
    let at = |i: usize, half: usize, k: usize| (i + k).checked_sub(half).filter(|v| *v < s.len);
    for (out, to) in y.iter_mut().enumerate() {
        let (o, cell) = (out % s.c_out, out / s.c_out);
        let (col, row, image) = (cell % s.len, cell / s.len % s.len, cell / s.len / s.len);
        for (i, j) in (0..s.kernel_y).flat_map(|i| (0..s.kernel_x).map(move |j| (i, j))) {
            let (Some(yy), Some(xx)) = (at(row, s.kernel_y / 2, i), at(col, s.kernel_x / 2, j)) else { continue };
            for c in 0..s.c_in {
                let x = x[((image * s.len + yy) * s.len + xx) * s.c_in + c];
                *to += f64::from(x) * f64::from(w[((i * s.kernel_x + j) * s.c_in + c) * s.c_out + o]);
            }
        }
    }
    y
}

#[test]
fn convolution_by_its_definition() {
    for (case, (isa, ops)) in SHAPES.into_iter().flat_map(|case| backends(2).into_iter().map(move |b| (case, b))) {
        let s = shape(case);
        let (x, w) = (random(1, s.cells() * s.c_in), random(2, s.weights()));
        let expected = plain_conv(s, &x, &w);
        let mut y = random(3, expected.len());
        let before = y.clone();
        ops.conv(s, Base::Own, plain(&x), Weights::Plain(At { buf: &w, at: 0 }), &mut y);
        for ((y, b), e) in y.iter().zip(&before).zip(&expected) {
            near(&format!("{isa} {case:?} add"), f64::from(*y), e + f64::from(*b), CONV);
        }
        ops.conv(s, Base::Zero, plain(&x), Weights::Plain(At { buf: &w, at: 0 }), &mut y);
        for (y, e) in y.iter().zip(&expected) {
            near(&format!("{isa} {case:?} write"), f64::from(*y), *e, CONV);
        }
        // onto another tensor, with weights that were prepared
        let prepared = ops.prepare(s, At { buf: &w, at: 0 }).unwrap();
        let mut added = buf![5.0; y.len()];
        ops.conv(s, Base::Of(&y), plain(&x), Weights::Prepared(&prepared), &mut added);
        for (a, y) in added.iter().zip(&y) {
            near(&format!("{isa} {case:?} prepared"), f64::from(*a), 2.0 * f64::from(*y), 1e-5);
        }
    }
}

#[test]
fn convolution_gradients() {
    for (case, (_, ops)) in SHAPES.into_iter().flat_map(|case| backends(2).into_iter().map(move |b| (case, b))) {
        let s = shape(case);
        let (x, w, dy) = (random(1, s.cells() * s.c_in), random(2, s.weights()), random(4, s.cells() * s.c_out));
        let mut y = buf![0.0; dy.len()];
        ops.conv(s, Base::Zero, plain(&x), Weights::Plain(At { buf: &w, at: 0 }), &mut y);
        let expected = dot(&y, &dy);
        let (mut dx, mut dw) = (buf![0.0; x.len()], buf![0.0; w.len() + 3]);
        ops.conv_grad_input(s, Store::Write, At { buf: &w, at: 0 }, &dy, &mut dx);
        ops.conv_grad_weights(s, plain(&x), &dy, AtMut { buf: &mut dw, at: 3 });
        near(&format!("{case:?} input"), dot(&x, &dx), expected, 1e-4);
        near(&format!("{case:?} weights"), dot(&w, &dw[3..]), expected, 1e-4);
        // in other directions too: the identity must hold for any second factor
        let other = random(5, x.len());
        ops.conv(s, Base::Zero, plain(&other), Weights::Plain(At { buf: &w, at: 0 }), &mut y);
        near(&format!("{case:?} input, other"), dot(&other, &dx), dot(&y, &dy), 1e-4);
        let other = random(6, w.len());
        ops.conv(s, Base::Zero, plain(&x), Weights::Plain(At { buf: &other, at: 0 }), &mut y);
        near(&format!("{case:?} weights, other"), dot(&other, &dw[3..]), dot(&y, &dy), 1e-4);
        // both add
        let (dx1, dw1) = (dx.clone(), dw.clone());
        ops.conv_grad_input(s, Store::Add, At { buf: &w, at: 0 }, &dy, &mut dx);
        ops.conv_grad_weights(s, plain(&x), &dy, AtMut { buf: &mut dw, at: 3 });
        assert!(dx.iter().zip(&dx1).all(|(a, b)| (a - 2.0 * b).abs() < 1e-4) && dw[..3] == [0.0; 3]);
        assert!(dw.iter().zip(&dw1).all(|(a, b)| (a - 2.0 * b).abs() < 1e-4 * (1.0 + b.abs())));
    }
}

const POINTS: PointsShape = PointsShape { n: 3, len: 4, c: 3 };

/// Boards of 16, 6 and 1 points in arrays of 4x4.
fn boards() -> (CpuBuf, CpuBuf) {
    let on = |w: usize, h: usize| (0..16).map(move |i| if i % 4 < w && i / 4 < h { 1.0 } else { 0.0 });
    (on(4, 4).chain(on(3, 2)).chain(on(1, 1)).collect(), buf![16.0, 6.0, 1.0])
}

/// Central difference of `f` along coordinate `i` of `x`. With h = 1e-2 and values near 1 the rounding of f32 gives about
/// 1e-5 and the third derivative about 1e-4; tests allow 2e-3.
fn slope(x: &[f32], i: usize, f: &mut dyn FnMut(&[f32]) -> f64) -> f64 {
    const H: f32 = 1e-2;
    let mut moved = CpuBuf::from(x);
    moved[i] = x[i] + H;
    let up = f(&moved);
    moved[i] = x[i] - H;
    (up - f(&moved)) / (2.0 * f64::from(H))
}

pub(super) fn plain(x: &CpuBuf) -> Input<'_, CpuBuf> {
    Input { x, norm: None }
}

/// What an operation reads as it is stored: through a 1x1 convolution by the unit matrix.
fn stored(ops: &CpuOps, shape: PointsShape, input: Input<'_, CpuBuf>) -> CpuBuf {
    let PointsShape { n, len, c } = shape;
    let unit: CpuBuf = (0..c * c).map(|i| if i / c == i % c { 1.0 } else { 0.0 }).collect();
    let mut y = buf![7.0; shape.elements()];
    let shape = ConvShape { n, len, kernel_y: 1, kernel_x: 1, c_in: c, c_out: c };
    ops.conv(shape, Base::Zero, input, Weights::Plain(At { buf: &unit, at: 0 }), &mut y);
    y
}

/// Norm and activation of a batch: `<act(norm(x)), r>`; params: scale, bias.
fn norm_value(ops: &CpuOps, act: Activation, x: &[f32], params: &[f32], r: &[f32]) -> (f64, CpuBuf, CpuBuf) {
    let (mask, counts) = boards();
    let mask = Mask { mask: &mask, counts: &counts };
    let (mut running, mut saved) = (buf![0.0; 6], buf![0.0; 12]);
    let params = CpuBuf::from(params);
    let learned = NormParams { scale: Some(At { buf: &params, at: 0 }), bias: Some(At { buf: &params, at: 3 }) };
    let source = NormSource::Batch { momentum: 0.25, running: AtMut { buf: &mut running, at: 0 } };
    let shape = NormShape { points: POINTS, epsilon: 1e-3 };
    let x = CpuBuf::from(x);
    ops.norm_stats(shape, source, learned, &x, mask, AtMut { buf: &mut saved, at: 0 });
    let y = stored(ops, POINTS, Input { x: &x, norm: Some(NormAct { saved: At { buf: &saved, at: 0 }, act, mask }) });
    (dot(&y, r), saved, running)
}

#[test]
fn norm_statistics_by_their_definition() {
    let ops = CpuOps::new(1).unwrap();
    let (mask, _) = boards();
    let x = random(1, POINTS.elements());
    let (_, saved, running) = norm_value(&ops, Activation::Relu, &x, &[1.0, 2.0, 0.5, 0.0, 0.1, -0.2], &x);
    for c in 0..3 {
        let on: Vec<f64> =
            x.iter().skip(c).step_by(3).zip(&mask).filter(|(_, m)| **m != 0.0).map(|(x, _)| f64::from(*x)).collect();
        let mean = on.iter().sum::<f64>() / 23.0;
        let variance = on.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 23.0;
        near("mean", f64::from(saved[c]), mean, 1e-6);
        near("1 / std", f64::from(saved[3 + c]), 1.0 / (variance + 1e-3).sqrt(), 1e-5);
        near("running mean", f64::from(running[c]), 0.25 * mean, 1e-6);
        near("running variance", f64::from(running[3 + c]), 0.25 * variance * 23.0 / 22.0, 1e-6);
    }
}

#[test]
fn norm_gradients() {
    let ops = CpuOps::new(1).unwrap();
    let (mask, counts) = boards();
    let x = random(1, POINTS.elements());
    let params = buf![0.8, 1.3, -0.6, 0.1, -0.2, 0.3];
    let r = random(2, POINTS.elements());
    for act in [Activation::Identity, Activation::Mish, Activation::Silu] {
        let (_, saved, _) = norm_value(&ops, act, &x, &params, &r);
        let gradient = |dx: Option<&mut CpuBuf>| {
            let (mut dy, mut grads) = (r.clone(), buf![0.5f32; 6]);
            let args = NormGrad {
                x: &x,
                saved: At { buf: &saved, at: 0 },
                mask: Mask { mask: &mask, counts: &counts },
                dy: &mut dy,
                dx,
                grads: &mut grads,
                scale_at: Some(0),
                bias_at: Some(3),
            };
            ops.norm_act_grad(POINTS, act, args);
            (dy, grads)
        };
        let mut added = buf![1.0f32; x.len()];
        gradient(Some(&mut added));
        let (dx, grads) = gradient(None);
        for i in 0..x.len() {
            let expected = slope(&x, i, &mut |x| norm_value(&ops, act, x, &params, &r).0);
            near(&format!("{act:?} x[{i}]"), f64::from(dx[i]), expected, 2e-3);
            assert!((added[i] - 1.0 - dx[i]).abs() < 1e-6, "added {i}");
            assert!(mask[i / 3] != 0.0 || dx[i] == 0.0, "off the board {i}");
        }
        for (i, g) in grads.iter().enumerate() {
            let expected = slope(&params, i, &mut |p| norm_value(&ops, act, &x, p, &r).0);
            near(&format!("{act:?} parameter {i}"), f64::from(g - 0.5), expected, 2e-3);
        }
    }
}

#[test]
fn every_instruction_set_norms_activates_and_pools_alike() {
    let shape = PointsShape { n: 3, len: 7, c: 21 };
    let (x, dy, dpool) = (random(1, shape.elements()), random(2, shape.elements()), random(3, 3 * 3 * 21));
    let mask: CpuBuf = (0..shape.cells()).map(|i| if i % 7 < 5 { 1.0 } else { 0.0 }).collect();
    let counts = buf![35.0f32; 3];
    let mask = Mask { mask: &mask, counts: &counts };
    for act in [Activation::Identity, Activation::Relu, Activation::Mish, Activation::Silu] {
        let results: Vec<(&str, Vec<f32>)> = backends(2)
            .into_iter()
            .map(|(isa, ops)| {
                let (mut running, mut saved) = (buf![0.0; 42], buf![0.0; 84]);
                let source = NormSource::Batch { momentum: 1.0, running: AtMut { buf: &mut running, at: 0 } };
                let norm_shape = NormShape { points: shape, epsilon: 1e-3 };
                let params = NormParams { scale: None, bias: None };
                ops.norm_stats(norm_shape, source, params, &x, mask, AtMut { buf: &mut saved, at: 0 });
                let input = Input { x: &x, norm: Some(NormAct { saved: At { buf: &saved, at: 0 }, act, mask }) };
                let mut all = stored(&ops, shape, input).to_vec();
                for kind in [PoolKind::Global, PoolKind::Value] {
                    let (mut pooled, mut dx) = (buf![0.0; 3 * 3 * 21], buf![0.0; x.len()]);
                    ops.pool(shape, kind, input, mask, &mut pooled);
                    ops.pool_grad(shape, kind, Store::Write, input, mask, &dpool, &mut dx);
                    all.extend(pooled.iter().chain(&*dx));
                }
                let (mut dz, mut grads) = (dy.clone(), buf![0.0; 42]);
                let saved = At { buf: &saved, at: 0 };
                let args = NormGrad {
                    x: &x,
                    saved,
                    mask,
                    dy: &mut dz,
                    dx: None,
                    grads: &mut grads,
                    scale_at: Some(0),
                    bias_at: Some(21),
                };
                ops.norm_act_grad(shape, act, args);
                all.extend(dz.iter().chain(&*grads).chain(&*running));
                (isa, all)
            })
            .collect();
        for (isa, result) in &results[1..] {
            for (i, (a, b)) in result.iter().zip(&results[0].1).enumerate() {
                near(&format!("{act:?} {isa} and {} {i}", results[0].0), f64::from(*a), f64::from(*b), 2e-5);
            }
        }
    }
}

#[test]
fn relu_norm_gradient_stops_at_its_corner() {
    let ops = CpuOps::new(1).unwrap();
    let (mask, counts) = (buf![1.0f32; 2], buf![2.0f32]);
    let shape = PointsShape { n: 1, len: 1, c: 2 };
    // saved: mean 0, 1 / std 1, scale 1, shift 0
    let saved = buf![0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0];
    let (mut dy, mut grads) = (buf![3.0f32, 5.0], buf![0.0f32; 2]);
    let args = NormGrad {
        x: &buf![-1.0, 1.0],
        saved: At { buf: &saved, at: 0 },
        mask: Mask { mask: &mask, counts: &counts },
        dy: &mut dy,
        dx: None,
        grads: &mut grads,
        scale_at: None,
        bias_at: Some(0),
    };
    ops.norm_act_grad(shape, Activation::Relu, args);
    assert_eq!(grads[..], [0.0, 5.0]);
}

#[test]
fn pooling_by_its_definition_and_gradients() {
    let ops = CpuOps::new(1).unwrap();
    let (mask, counts) = boards();
    let m = Mask { mask: &mask, counts: &counts };
    let mut x = random(3, POINTS.elements());
    x.iter_mut().enumerate().filter(|(i, _)| mask[i / 3] == 0.0).for_each(|(_, x)| *x = 0.0);
    let r = random(4, 27);
    for kind in [PoolKind::Global, PoolKind::Value] {
        let value = |x: &[f32]| {
            let mut y = buf![0.0; 27];
            ops.pool(POINTS, kind, plain(&CpuBuf::from(x)), m, &mut y);
            y
        };
        let y = value(&x);
        // board 1 has 6 points
        let on: Vec<f64> = (0..16).filter(|p| mask[16 + p] != 0.0).map(|p| f64::from(x[(16 + p) * 3 + 1])).collect();
        let (mean, root) = (on.iter().sum::<f64>() / 6.0, 6f64.sqrt() - 14.0);
        let third = match kind {
            PoolKind::Global => on.iter().copied().fold(f64::MIN, f64::max),
            PoolKind::Value => mean * (root * root * 0.01 - 0.1),
        };
        for (at, expected) in [(9 + 1, mean), (9 + 4, mean * root * 0.1), (9 + 7, third)] {
            near(&format!("{kind:?} {at}"), f64::from(y[at]), expected, 1e-6);
        }
        let mut dx = buf![5.0f32; x.len()];
        ops.pool_grad(POINTS, kind, Store::Write, plain(&x), m, &r, &mut dx);
        let once = dx.clone();
        for i in (0..x.len()).filter(|i| mask[i / 3] != 0.0) {
            near(&format!("{kind:?} x[{i}]"), f64::from(dx[i]), slope(&x, i, &mut |x| dot(&value(x), &r)), 2e-3);
        }
        ops.pool_grad(POINTS, kind, Store::Add, plain(&x), m, &r, &mut dx);
        assert!(dx.iter().zip(&once).all(|(a, b)| (a - 2.0 * b).abs() < 1e-5));
    }
    // equal maxima: the first point gets all
    let flat = buf![1.0f32; POINTS.elements()];
    let mut dx = buf![0.0; flat.len()];
    let only_max: CpuBuf = (0..27).map(|i| if i % 9 >= 6 { 1.0 } else { 0.0 }).collect();
    ops.pool_grad(POINTS, PoolKind::Global, Store::Write, plain(&flat), m, &only_max, &mut dx);
    assert_eq!((dx[..3].to_vec(), dx.iter().sum::<f32>()), (vec![1.0; 3], 9.0));
}

#[test]
fn vectors_added_to_points_and_biases() {
    let ops = CpuOps::new(2).unwrap();
    let (v, mut y, dy) = (random(1, 9), random(2, POINTS.elements()), random(3, POINTS.elements()));
    let before = dot(&y, &dy);
    ops.broadcast(POINTS, &v, &mut y);
    let mut dv = buf![9.0; 9];
    ops.broadcast_grad(POINTS, &dy, &mut dv);
    near("broadcast", dot(&v, &dv), dot(&y, &dy) - before, 1e-5);

    let rows = RowsShape { rows: 4, c: 3 };
    let (x, bias, r) = (random(4, 12), random(5, 3), random(6, 12));
    for act in [Activation::Identity, Activation::Mish, Activation::Silu] {
        let value = |x: &[f32], bias: &[f32]| {
            let mut y = buf![0.0; 12];
            ops.bias_act(rows, act, &CpuBuf::from(x), At { buf: &CpuBuf::from(bias), at: 0 }, &mut y);
            dot(&y, &r)
        };
        let (mut dx, mut dbias) = (buf![9.0; 12], buf![0.0; 3]);
        let at = At { buf: &bias, at: 0 };
        ops.bias_act_grad(rows, act, &x, at, &r, &mut dx, AtMut { buf: &mut dbias, at: 0 });
        for (i, dx) in dx.iter().enumerate() {
            near(&format!("{act:?} x[{i}]"), f64::from(*dx), slope(&x, i, &mut |x| value(x, &bias)), 2e-3);
        }
        for (i, db) in dbias.iter().enumerate() {
            near(&format!("{act:?} bias {i}"), f64::from(*db), slope(&bias, i, &mut |b| value(&x, b)), 2e-3);
        }
    }
}

/// Raw outputs in one vector: policy 48, pass 3, value 9, score 12, ownership 48.
fn loss_value(ops: &CpuOps, all: &[f32], grads: Option<&mut Vec<f32>>) -> Losses {
    let (mask, counts) = boards();
    let cut = |from: usize, len: usize| CpuBuf::from(&all[from..from + len]);
    let (policy, pass, value, score, ownership) = (cut(0, 48), cut(48, 3), cut(51, 9), cut(60, 12), cut(72, 48));
    let heads = Heads { policy: &policy, pass: &pass, value: &value, score: &score, ownership: &ownership };
    let owners = random(9, 48);
    let targets = Targets {
        policy: &[5, 16, 0],
        value: &[[1.0, 0.0, 0.0], [0.2, 0.3, 0.5], [0.0, 1.0, 0.0]],
        value_weight: &[1.0, 0.5, 1.0],
        score: &[5.5, -35.0, 0.0],
        score_weight: &[1.0, 1.0, 0.5],
        ownership: &owners,
        ownership_weight: &[1.0, 1.0, 0.25],
        weight: &[1.0, 2.0, 1.0],
    };
    let weights = LossWeights { policy: 1.0, value: 0.5, score: 0.8, ownership: 1.5, divisor: Some(1.0) };
    let shape = LossShape { n: 3, len: 4, score_c: 4 };
    let mask = Mask { mask: &mask, counts: &counts };
    let mut tally = ops.tally().unwrap();
    let Some(grads) = grads else {
        ops.losses(shape, heads, mask, &targets, &weights, None, &mut tally);
        return tally.losses;
    };
    let mut g = [48, 3, 9, 12, 48].map(|len| buf![9.0f32; len]);
    let [policy, pass, value, score, ownership] = &mut g;
    let head_grads = HeadGrads { policy, pass, value, score, ownership };
    ops.losses(shape, heads, mask, &targets, &weights, Some(head_grads), &mut tally);
    *grads = g.iter().flat_map(|g| g.iter().copied()).collect();
    tally.losses
}

#[test]
fn loss_gradients() {
    let ops = CpuOps::new(1).unwrap();
    let all = random(8, 120);
    let mut grads = Vec::new();
    let losses = loss_value(&ops, &all, Some(&mut grads));
    assert_eq!((losses.n, losses.policy_n, losses.value_n), (3, 3, 3));
    assert_eq!((losses.policy_weight, losses.value_weight, losses.score_weight), (4.0, 3.0, 3.5));
    for i in 0..all.len() {
        // the mean's gradient takes the target of the standard deviation as a constant: by its definition
        let expected = if (60..72).contains(&i) && i % 4 == 0 {
            let (error, weight) = [(all[60] - 5.5 / 20.0, 1.0), (all[64] + 35.0 / 20.0, 2.0), (all[68], 0.5)][(i - 60) / 4];
            f64::from(error.clamp(-1.0, 1.0)) * weight * 0.8
        } else {
            slope(&all, i, &mut |x| loss_value(&ops, x, None).total)
        };
        near(&format!("raw output {i}"), f64::from(grads[i]), expected, 2e-3);
    }
}

#[test]
fn certain_answers_cost_nothing() {
    let ops = CpuOps::new(1).unwrap();
    let mut all = buf![0.0f32; 120];
    // far logits: nothing may overflow
    (all[5], all[49], all[32], all[51], all[59 - 1]) = (90.0, 90.0, 300.0, 200.0, 150.0);
    let losses = loss_value(&ops, &all, None);
    assert!(losses.total.is_finite());
    assert_eq!((losses.policy_hits, losses.value_hits), (3, 2));
}

#[test]
fn the_table_of_cases_on_every_instruction_set() {
    for case in cases::all() {
        let results: Vec<_> = backends(2).into_iter().map(|(isa, ops)| (isa, case.run(&ops).unwrap())).collect();
        for (isa, result) in &results[1..] {
            let (worst, allowed) = (cases::worst(result, &results[0].1), case.tolerance(0.0));
            assert!(worst <= allowed, "{}, {isa} beside {}: {worst:.1e}, allowed {allowed:.1e}", case.name(), results[0].0);
        }
    }
}
