//! One table of cases for every backend: an operation, its shape, and inputs from a seed. A backend's results are held against
//! another's, in tests and where a device is checked ([`Case::run`], [`worst`]).

use super::packed::{MOVE_PASS, N_GLOBALS, N_PLANES, PackedRow, flag, plane_words, row_bytes};
use super::*;
use crate::base::rng::{below, rng};
use rand::Rng as _;

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Conv(ConvShape, Option<Activation>),
    ConvGrads(ConvShape, Option<Activation>),
    ConvNorm(ConvShape),
    Norm(PointsShape, Activation),
    NormRunning(PointsShape),
    Pool(PointsShape, PoolKind, Option<Activation>),
    Rows(RowsShape, Activation),
    Broadcast(PointsShape),
    Losses(LossShape),
    Optimiser(usize),
    Unpack(usize),
    Buffers(usize),
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Case(What);

/// All cases, from small and odd ones to those of a net's trunk.
pub fn all() -> Vec<Case> {
    use Activation::{Identity, Mish, Relu, Silu};
    let conv = |n, len, kernel_y, kernel_x, c_in, c_out| ConvShape { n, len, kernel_y, kernel_x, c_in, c_out };
    let points = |n, len, c| PointsShape { n, len, c };
    let mut cases = Vec::new();
    for (shape, act) in [
        (conv(1, 1, 1, 1, 1, 1), None),
        (conv(2, 3, 1, 1, 5, 2), Some(Relu)),
        (conv(3, 5, 3, 3, 4, 3), Some(Mish)),
        (conv(1, 7, 5, 5, 3, 8), None),
        (conv(2, 4, 3, 5, 2, 1), Some(Identity)),
        (conv(40, 1, 1, 1, 17, 33), None),
        (conv(3, 9, 3, 3, 22, 32), None),
        (conv(5, 9, 3, 3, 32, 32), Some(Relu)),
        (conv(2, 19, 3, 3, 32, 48), Some(Silu)),
        (conv(2, 13, 1, 1, 64, 16), Some(Relu)),
        (conv(2, 19, 1, 1, 48, 1), Some(Relu)),
    ] {
        cases.extend([What::Conv(shape, act), What::ConvGrads(shape, act)]);
    }
    cases.extend([conv(3, 5, 3, 3, 4, 6), conv(4, 9, 3, 3, 32, 40), conv(2, 19, 1, 1, 33, 7)].map(What::ConvNorm));
    for (shape, act) in
        [(points(3, 4, 3), Mish), (points(5, 9, 40), Relu), (points(4, 19, 64), Silu), (points(1, 2, 1), Identity)]
    {
        cases.extend([What::Norm(shape, act), What::NormRunning(shape)]);
        for kind in [PoolKind::Global, PoolKind::Value] {
            cases.extend([What::Pool(shape, kind, None), What::Pool(shape, kind, Some(act))]);
        }
        cases.extend([What::Rows(RowsShape { rows: shape.n, c: shape.c }, act), What::Broadcast(shape)]);
    }
    cases.extend([(3, 4, 4), (9, 9, 6), (4, 19, 6)].map(|(n, len, score_c)| What::Losses(LossShape { n, len, score_c })));
    cases.extend([7, 3000].map(What::Optimiser));
    cases.extend([2, 5, 9, 19].map(What::Unpack));
    cases.extend([1, 5000].map(What::Buffers));
    cases.into_iter().map(Case).collect()
}

/// The largest difference of two results: `abs(a - b) / (1 + abs(b))`; infinite where they differ in length or one is no number.
pub fn worst(got: &[f32], expected: &[f32]) -> f32 {
    if got.len() != expected.len() {
        return f32::INFINITY;
    }
    let off = |(a, b): (&f32, &f32)| if a == b { 0.0 } else { (a - b).abs() / (1.0 + b.abs()) };
    got.iter().zip(expected).map(off).fold(0.0, |worst, d| {
        if d <= worst {
            worst
        } else if d.is_nan() {
            f32::INFINITY
        } else {
            d
        }
    })
}

impl Case {
    /// The operation and its shape.
    pub fn name(&self) -> String {
        let points = |p: PointsShape| format!("{} boards of {1}x{1}, {2} channels", p.n, p.len, p.c);
        let conv =
            |s: ConvShape| format!("{}x{} {} -> {} on {} boards of {5}x{5}", s.kernel_y, s.kernel_x, s.c_in, s.c_out, s.n, s.len);
        let read = |act: Option<Activation>| act.map_or(String::new(), |act| format!(", read through a norm and {act:?}"));
        match self.0 {
            What::Conv(s, act) => format!("conv {}{}", conv(s), read(act)),
            What::ConvGrads(s, act) => format!("gradients of conv {}{}", conv(s), read(act)),
            What::ConvNorm(s) => format!("conv {} and the norm of its result", conv(s)),
            What::Norm(p, act) => format!("norm and {act:?} there and back, {}", points(p)),
            What::NormRunning(p) => format!("norm from running values, {}", points(p)),
            What::Pool(p, kind, act) => format!("{kind:?} pooling there and back, {}{}", points(p), read(act)),
            What::Rows(r, act) => format!("bias and {act:?} there and back, {} rows of {}", r.rows, r.c),
            What::Broadcast(p) => format!("vectors on points there and back, {}", points(p)),
            What::Losses(s) => format!("losses, {} boards of {1}x{1}, {2} score numbers", s.n, s.len, s.score_c),
            What::Optimiser(len) => format!("optimisers, clipping, averaging of {len} parameters"),
            What::Unpack(len) => format!("unpacking of {len}x{len} arrays by all symmetries"),
            What::Buffers(len) => format!("filling and copying of {len} numbers"),
        }
    }

    /// How far backends may be apart ([`worst`]): their sums have other orders, Winograd's are of larger numbers, and one may round
    /// what it multiplies by up to a share of `rounding`.
    pub fn tolerance(&self, rounding: f32) -> f32 {
        match self.0 {
            What::Conv(..) | What::ConvGrads(..) | What::ConvNorm(_) | What::Norm(..) if rounding > 0.0 => 20.0 * rounding,
            // points between operations are rounded
            What::Pool(..) if rounding > 0.0 => 4.0 * rounding,
            // and so is each part of a sum over a board
            What::Broadcast(..) if rounding > 0.0 => 100.0 * rounding,
            What::Unpack(_) | What::Buffers(_) => 0.0,
            What::ConvGrads(..) | What::ConvNorm(_) => 3e-4,
            What::Norm(..) => 1e-4,
            _ => 3e-5,
        }
    }

    /// All results of the case on a backend: numbers that are specified, in a fixed order.
    pub fn run<O: Ops>(&self, ops: &O) -> Result<Vec<f32>> {
        let bench = Bench { ops };
        match self.0 {
            What::Conv(shape, act) => bench.conv(shape, act),
            What::ConvGrads(shape, act) => bench.conv_grads(shape, act),
            What::ConvNorm(shape) => bench.conv_norm(shape),
            What::Norm(shape, act) => bench.norm(shape, act),
            What::NormRunning(shape) => bench.norm_running(shape),
            What::Pool(shape, kind, act) => bench.pool(shape, kind, act),
            What::Rows(shape, act) => bench.rows(shape, act),
            What::Broadcast(shape) => bench.broadcast(shape),
            What::Losses(shape) => bench.losses(shape),
            What::Optimiser(len) => bench.optimiser(len),
            What::Unpack(len) => bench.unpack(len),
            What::Buffers(len) => bench.buffers(len),
        }
    }
}

/// Numbers between -1 and 1.
fn random(seed: u64, len: usize) -> Vec<f32> {
    let mut r = rng(seed, len as u64);
    (0..len).map(|_| (r.next_u64() >> 40) as f32 / (1u64 << 23) as f32 - 1.0).collect()
}

/// Boards of several sizes in arrays of `len x len`: mask and counts.
fn boards(n: usize, len: usize) -> (Vec<f32>, Vec<f32>) {
    let size = |i: usize| (len - i % 3 % len, len - i / 2 % 2 % len);
    let cell = |i: usize| move |p: usize| if p % len < size(i).0 && p / len < size(i).1 { 1.0 } else { 0.0 };
    let mask = (0..n).flat_map(|i| (0..len * len).map(cell(i))).collect();
    (mask, (0..n).map(|i| (size(i).0 * size(i).1) as f32).collect())
}

struct Bench<'a, O> {
    ops: &'a O,
}

/// A norm as an operation reads through it.
struct Read<O: Ops> {
    saved: O::Buf,
    mask: O::Buf,
    counts: O::Buf,
    act: Option<Activation>,
}

impl<O: Ops> Read<O> {
    fn mask(&self) -> Mask<'_, O::Buf> {
        Mask { mask: &self.mask, counts: &self.counts }
    }

    fn input<'a>(&'a self, x: &'a O::Buf) -> Input<'a, O::Buf> {
        let norm = |act| NormAct { saved: At { buf: &self.saved, at: 0 }, act, mask: self.mask() };
        Input { x, norm: self.act.map(norm) }
    }
}

impl<O: Ops> Bench<'_, O> {
    fn buf(&self, values: &[f32]) -> Result<O::Buf> {
        let mut buf = self.ops.alloc(values.len())?;
        self.ops.upload(values, AtMut { buf: &mut buf, at: 0 });
        Ok(buf)
    }

    /// Points between operations. Matrix products, arrays of one point, are of vectors.
    fn points(&self, values: &[f32], len: usize) -> Result<O::Buf> {
        let mut buf = if len > 1 { self.ops.alloc_points(values.len())? } else { self.ops.alloc(values.len())? };
        self.ops.upload(values, AtMut { buf: &mut buf, at: 0 });
        Ok(buf)
    }

    fn random_points(&self, seed: u64, shape: PointsShape) -> Result<O::Buf> {
        // numbers of seven bits, which every backend keeps as they are
        let values: Vec<f32> = random(seed, shape.elements()).iter().map(|v| (v * 128.0).round() / 128.0).collect();
        self.points(&values, shape.len)
    }

    fn random(&self, seed: u64, len: usize) -> Result<O::Buf> {
        self.buf(&random(seed, len))
    }

    fn host(&self, buf: &O::Buf, len: usize) -> Result<Vec<f32>> {
        let mut values = vec![0.0; len];
        self.ops.download(&mut [(At { buf, at: 0 }, &mut values)])?;
        Ok(values)
    }

    /// Points that are specified on the board only: others are told as 0.
    fn on_board(&self, buf: &O::Buf, shape: PointsShape) -> Result<Vec<f32>> {
        let (mask, _) = boards(shape.n, shape.len);
        let mut values = self.host(buf, shape.elements())?;
        values.iter_mut().enumerate().filter(|(i, _)| mask[i / shape.c] == 0.0).for_each(|(_, v)| *v = 0.0);
        Ok(values)
    }

    fn read(&self, shape: PointsShape, act: Option<Activation>) -> Result<Read<O>> {
        let (mask, counts) = boards(shape.n, shape.len);
        let saved = self.random(11, NORM_SAVED * shape.c)?;
        Ok(Read { saved, mask: self.buf(&mask)?, counts: self.buf(&counts)?, act })
    }

    fn conv(&self, shape: ConvShape, act: Option<Activation>) -> Result<Vec<f32>> {
        let out = PointsShape { n: shape.n, len: shape.len, c: shape.c_out };
        let inside = PointsShape { c: shape.c_in, ..out };
        let read = self.read(inside, act)?;
        let (x, w) = (self.random_points(1, inside)?, self.random(2, 3 + shape.weights())?);
        let (other, mut y) = (self.random_points(3, out)?, self.random_points(4, out)?);
        let plain = || Weights::Plain(At { buf: &w, at: 3 });
        let prepared = self.ops.prepare(shape, At { buf: &w, at: 3 })?;
        self.ops.conv(shape, Base::Own, read.input(&x), plain(), &mut y);
        let mut all = self.on_board(&y, out)?;
        self.ops.conv(shape, Base::Of(&other), read.input(&x), plain(), &mut y);
        all.extend(self.on_board(&y, out)?);
        self.ops.conv(shape, Base::Zero, read.input(&x), Weights::Prepared(&prepared), &mut y);
        all.extend(self.on_board(&y, out)?);
        Ok(all)
    }

    fn conv_grads(&self, shape: ConvShape, act: Option<Activation>) -> Result<Vec<f32>> {
        let out = PointsShape { n: shape.n, len: shape.len, c: shape.c_out };
        let inside = PointsShape { c: shape.c_in, ..out };
        let read = self.read(inside, act)?;
        let (x, w) = (self.random_points(1, inside)?, self.random(2, 3 + shape.weights())?);
        // gradients of points are 0 off the board
        let (mask, _) = boards(shape.n, shape.len);
        let mut dy: Vec<f32> = random(3, out.elements()).iter().map(|v| (v * 128.0).round() / 128.0).collect();
        dy.iter_mut().enumerate().for_each(|(i, d)| *d *= mask[i / out.c]);
        let (dy, mut dx, mut dw) =
            (self.points(&dy, out.len)?, self.random_points(4, inside)?, self.random(5, 5 + shape.weights())?);
        self.ops.conv_grad_input(shape, Store::Add, At { buf: &w, at: 3 }, &dy, &mut dx);
        let mut all = self.on_board(&dx, inside)?;
        self.ops.conv_grad_input(shape, Store::Write, At { buf: &w, at: 3 }, &dy, &mut dx);
        all.extend(self.on_board(&dx, inside)?);
        self.ops.conv_grad_weights(shape, read.input(&x), &dy, AtMut { buf: &mut dw, at: 5 });
        all.extend(self.host(&dw, 5 + shape.weights())?);
        Ok(all)
    }

    fn conv_norm(&self, shape: ConvShape) -> Result<Vec<f32>> {
        let (c, out) = (shape.c_out, PointsShape { n: shape.n, len: shape.len, c: shape.c_out });
        let read = self.read(PointsShape { c: shape.c_in, ..out }, Some(Activation::Relu))?;
        let (x, w) = (self.random_points(1, PointsShape { c: shape.c_in, ..out })?, self.random(2, shape.weights())?);
        let (mut y, mut running, mut saved) =
            (self.random_points(3, out)?, self.random(4, 2 * c)?, self.ops.alloc(NORM_SAVED * c)?);
        let stats = NormStats {
            norm: NormShape { points: out, epsilon: 1e-2 },
            source: NormSource::Batch { momentum: 0.25, running: AtMut { buf: &mut running, at: 0 } },
            params: NormParams { scale: None, bias: None },
            mask: read.mask(),
            saved: AtMut { buf: &mut saved, at: 0 },
        };
        self.ops.conv_norm_stats(shape, Base::Own, read.input(&x), At { buf: &w, at: 0 }, &mut y, stats);
        let mut all = self.on_board(&y, out)?;
        all.extend(self.host(&running, 2 * c)?);
        all.extend(self.host(&saved, NORM_SAVED * c)?);
        Ok(all)
    }

    fn norm(&self, shape: PointsShape, act: Activation) -> Result<Vec<f32>> {
        let (c, read) = (shape.c, self.read(shape, None)?);
        let (x, params, mut running) = (self.random_points(1, shape)?, self.random(2, 2 * c)?, self.random(3, 1 + 2 * c)?);
        let mut saved = self.ops.alloc(2 + NORM_SAVED * c)?;
        let learned = || NormParams { scale: Some(At { buf: &params, at: 0 }), bias: Some(At { buf: &params, at: c }) };
        let norm = NormShape { points: shape, epsilon: 1e-2 };
        let mut all = Vec::new();
        for momentum in [0.25, 1.0] {
            let source = NormSource::Batch { momentum, running: AtMut { buf: &mut running, at: 1 } };
            self.ops.norm_stats(norm, source, learned(), &x, read.mask(), AtMut { buf: &mut saved, at: 2 });
            all.extend(self.host(&running, 1 + 2 * c)?);
        }
        let mut grads = self.random(4, 3 + 2 * c)?;
        for in_place in [true, false] {
            let (mut dy, mut dx) = (self.random_points(5, shape)?, self.random_points(6, shape)?);
            let args = NormGrad {
                x: &x,
                saved: At { buf: &saved, at: 2 },
                mask: read.mask(),
                dy: &mut dy,
                dx: (!in_place).then_some(&mut dx),
                grads: &mut grads,
                scale_at: Some(3),
                bias_at: in_place.then_some(3 + c),
            };
            self.ops.norm_act_grad(shape, act, args);
            // in place it is 0 off the board
            all.extend(if in_place { self.host(&dy, shape.elements())? } else { self.on_board(&dx, shape)? });
        }
        all.extend(self.host(&grads, 3 + 2 * c)?);
        all.extend(self.host(&saved, 2 + NORM_SAVED * c)?);
        Ok(all)
    }

    fn norm_running(&self, shape: PointsShape) -> Result<Vec<f32>> {
        let (c, read) = (shape.c, self.read(shape, None)?);
        let running: Vec<f32> = random(1, 2 * c).iter().enumerate().map(|(i, v)| if i < c { *v } else { v.abs() }).collect();
        let (running, x) = (self.buf(&running)?, self.ops.alloc(shape.elements())?);
        let mut saved = self.ops.alloc(NORM_SAVED * c)?;
        let (norm, params) = (NormShape { points: shape, epsilon: 1e-2 }, NormParams { scale: None, bias: None });
        let source = NormSource::Running(At { buf: &running, at: 0 });
        self.ops.norm_stats(norm, source, params, &x, read.mask(), AtMut { buf: &mut saved, at: 0 });
        self.host(&saved, NORM_SAVED * c)
    }

    fn pool(&self, shape: PointsShape, kind: PoolKind, act: Option<Activation>) -> Result<Vec<f32>> {
        let (len, read) = (shape.n * 3 * shape.c, self.read(shape, act)?);
        let (x, dy) = (self.random_points(1, shape)?, self.random(2, len)?);
        let (mut y, mut dx) = (self.ops.alloc(len)?, self.random_points(3, shape)?);
        self.ops.pool(shape, kind, read.input(&x), read.mask(), &mut y);
        let mut all = self.host(&y, len)?;
        for store in [Store::Write, Store::Add] {
            self.ops.pool_grad(shape, kind, store, read.input(&x), read.mask(), &dy, &mut dx);
            all.extend(self.host(&dx, shape.elements())?);
        }
        Ok(all)
    }

    fn rows(&self, shape: RowsShape, act: Activation) -> Result<Vec<f32>> {
        let len = shape.rows * shape.c;
        let (x, dy, bias) = (self.random(1, len)?, self.random(2, len)?, self.random(3, 2 + shape.c)?);
        let (mut y, mut dbias) = (self.ops.alloc(len)?, self.random(4, 1 + shape.c)?);
        self.ops.bias_act(shape, act, &x, At { buf: &bias, at: 2 }, &mut y);
        let mut all = self.host(&y, len)?;
        let to = AtMut { buf: &mut dbias, at: 1 };
        self.ops.bias_act_grad(shape, act, &x, At { buf: &bias, at: 2 }, &dy, &mut y, to);
        all.extend(self.host(&y, len)?);
        all.extend(self.host(&dbias, 1 + shape.c)?);
        Ok(all)
    }

    fn broadcast(&self, shape: PointsShape) -> Result<Vec<f32>> {
        let len = shape.n * shape.c;
        let (v, mut y, mut dv) = (self.random(1, len)?, self.random_points(2, shape)?, self.random(3, len)?);
        self.ops.broadcast(shape, &v, &mut y);
        let mut all = self.on_board(&y, shape)?;
        self.ops.broadcast_grad(shape, &y, &mut dv);
        all.extend(self.host(&dv, len)?);
        Ok(all)
    }

    fn losses(&self, shape: LossShape) -> Result<Vec<f32>> {
        let LossShape { n, len, score_c } = shape;
        let (area, mut r) = (len * len, rng(5, n as u64));
        let lens = [n * area, n, 3 * n, n * score_c, n * area];
        let read = self.read(PointsShape { n, len, c: 1 }, None)?;
        let heads: [Vec<f32>; 5] = std::array::from_fn(|i| random(i as u64, lens[i]).iter().map(|v| 3.0 * v).collect());
        let heads = heads.iter().map(|values| self.buf(values)).collect::<Result<Vec<_>>>()?;
        let mut grads = lens.iter().map(|len| self.random(9, *len)).collect::<Result<Vec<_>>>()?;
        let weight = |seed, none: usize| -> Vec<f32> {
            random(seed, n).iter().enumerate().map(|(i, w)| if i % 5 == none { 0.0 } else { w.abs() }).collect()
        };
        let moves: Vec<u16> = (0..n)
            .map(|i| match i % 4 {
                1 => area as u16,
                2 => loss::POLICY_MASKED,
                // the first board is whole, and its corner is on every board
                _ => {
                    if i == 0 {
                        below(r.next_u64(), area) as u16
                    } else {
                        0
                    }
                }
            })
            .collect();
        let value: Vec<[f32; 3]> = (0..n).map(|i| [[1.0, 0.0, 0.0], [0.2, 0.3, 0.5], [0.0, 1.0, 0.0]][i % 3]).collect();
        let score: Vec<f32> = random(6, n).iter().map(|s| 60.0 * s).collect();
        let (owners, weights) =
            (random(7, n * area), [(21, 1), (22, 2), (23, 3), (24, 4)].map(|(seed, none)| weight(seed, none)));
        let targets = Targets {
            policy: &moves,
            value: &value,
            value_weight: &weights[0],
            score: &score,
            score_weight: &weights[1],
            ownership: &owners,
            ownership_weight: &weights[2],
            weight: &weights[3],
        };
        let factors = LossWeights { policy: 1.0, value: 0.5, score: 0.8, ownership: 1.5, divisor: Some(4.0) };
        let mut tally = self.ops.tally()?;
        let of = || Heads { policy: &heads[0], pass: &heads[1], value: &heads[2], score: &heads[3], ownership: &heads[4] };
        self.ops.losses(shape, of(), read.mask(), &targets, &factors, None, &mut tally);
        let [policy, pass, value, score, ownership] = grads.get_disjoint_mut([0, 1, 2, 3, 4]).expect("five different buffers");
        let to = HeadGrads { policy, pass, value, score, ownership };
        self.ops.losses(shape, of(), read.mask(), &targets, &factors, Some(to), &mut tally);
        let mut all = Vec::new();
        let told = self.ops.read(&mut tally)?;
        for (grad, len) in grads.iter().zip(lens) {
            all.extend(self.host(grad, len)?.iter().map(|g| g / factor(&told)));
        }
        let l = told.losses;
        let (counts, hits) = ([l.n, l.policy_n, l.value_n], [l.policy_hits, l.value_hits]);
        all.extend(counts.into_iter().chain(hits).map(|count| count as f32));
        let sums = [l.total, l.policy, l.policy_weight, l.value, l.value_weight, l.score, l.score_error, l.score_weight];
        all.extend(sums.into_iter().chain([l.ownership, l.ownership_weight]).map(|sum| sum as f32));
        all.push(self.ops.read(&mut tally)?.losses.n as f32);
        Ok(all)
    }

    fn optimiser(&self, len: usize) -> Result<Vec<f32>> {
        let decay = |i: usize| if i.is_multiple_of(2) { Decay::On } else { Decay::Off };
        let spans: Vec<Span> = (0..len / 5).map(|i| Span { at: 5 * i, len: 4 + i % 2, decay: decay(i / 2) }).collect();
        let (mut p, mut g) = (self.random(1, len)?, self.ops.alloc(len)?);
        let (mut first, mut second, mut average) = (self.ops.alloc(len)?, self.ops.alloc(len)?, self.random(3, len)?);
        let (mut tally, mut all) = (self.ops.tally()?, Vec::new());
        let told = self.ops.read(&mut tally)?;
        let gradient: Vec<f32> = random(2, len).iter().map(|g| g * factor(&told)).collect();
        for step in 1..=3u64 {
            let rate = 0.1 / step as f32;
            let rule = match step {
                1 => Rule::SgdNesterov { rate, momentum: 0.9, decay: 0.1 },
                step => Rule::AdamW { rate, beta1: 0.9, beta2: 0.99, epsilon: 1e-3, decay: 0.1, step },
            };
            self.ops.upload(&gradient, AtMut { buf: &mut g, at: 0 });
            self.ops.clip(len, if step == 3 { 0.0 } else { 0.5 / step as f32 }, &mut g, &mut tally);
            self.ops.step(rule, &spans, &mut p, &g, &mut first, Some(&mut second));
            self.ops.average(len, 0.75, &p, &mut average);
            all.extend(self.host(&p, len)?);
        }
        for buf in [&g, &first, &second, &average] {
            all.extend(self.host(buf, len)?);
        }
        all.push(self.ops.read(&mut tally)?.norms as f32);
        Ok(all)
    }

    fn unpack(&self, len: usize) -> Result<Vec<f32>> {
        let (n, area, mut r) = (16, len * len, rng(8, len as u64));
        let mut rows = Vec::new();
        for i in 0..n {
            let (w, h) = (len - i % 3 % len, len - i / 2 % 2 % len);
            let mut row = PackedRow::new(len);
            row.set_size(w, h);
            row.set_flags(r.next_u64() as u32 & (2 * flag::BUTTON - 1));
            (0..5).for_each(|back| match r.next_u64() % 3 {
                0 => row.set_move(back, MOVE_PASS),
                _ => row.set_move(back, (below(r.next_u64(), h) * len + below(r.next_u64(), w)) as u16),
            });
            let mut bytes = row.bytes().to_vec();
            for (at, value) in [(20, 0.375f32), (24, -0.5), (28, if i % 4 == 0 { 0.0 } else { 1.5 })] {
                bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            }
            for (plane, cell) in (0..10).flat_map(|p| (0..area).map(move |c| (p, c))) {
                let on_board = cell % len < w && cell / len < h;
                let bit = u8::from(on_board && r.next_u64().is_multiple_of(3));
                bytes[32 + plane * plane_words(len) * 4 + cell / 8] |= bit << (cell % 8);
            }
            rows.extend(bytes);
        }
        assert_eq!(rows.len(), n * row_bytes(len));
        let symmetries: Vec<u8> = (0..n as u8).map(|i| i % 8).collect();
        let lens = [n * area * N_PLANES, n * N_GLOBALS, n * area, n];
        let mut to = lens.iter().map(|len| self.random(1, *len)).collect::<Result<Vec<_>>>()?;
        let [planes, globals, mask, counts] = to.get_disjoint_mut([0, 1, 2, 3]).expect("four different buffers");
        self.ops.unpack(PackedRows { len, bytes: &rows, symmetries: &symmetries }, Unpacked { planes, globals, mask, counts })?;
        let mut all = Vec::new();
        for (buf, len) in to.iter().zip(lens) {
            all.extend(self.host(buf, len)?);
        }
        Ok(all)
    }

    fn buffers(&self, len: usize) -> Result<Vec<f32>> {
        let (from, mut to) = (self.random(1, len + 1)?, self.random(2, len + 1)?);
        self.ops.copy(len, &from, &mut to);
        let mut all = self.host(&to, len + 1)?;
        self.ops.fill(&mut to, len, 0.5);
        all.extend(self.host(&to, len + 1)?);
        let mut last = vec![0.0];
        self.ops.download(&mut [(At { buf: &from, at: len }, &mut last)])?;
        all.extend(last);
        all.extend(self.host(&self.ops.alloc(len)?, len)?);
        Ok(all)
    }
}

/// What a backend multiplies gradients by.
fn factor(told: &Tallied) -> f32 {
    told.grad_scale.map_or(1.0, |scale| scale.factor)
}
