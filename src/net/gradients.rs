//! The gradient of a whole net against finite differences, every parameter tensor by itself.
//!
//! The net has every kind of block and head. Its activation is Mish: differences across ReLU's corner say nothing, and
//! ReLU's slope is tested by itself. The loss is summed in f64 over an f32 walk (noise about 3e-7 of it), so central
//! differences along the gradient's direction are good to about 1 %.

use super::arch::*;
use super::*;
use crate::base::rng::{below, rng};
use crate::compute::cpu::CpuOps;
use crate::compute::packed::{MOVE_NONE, N_PACKED_PLANES, PackedRow, flag, row_bytes};
use crate::compute::{Activation, At, AtMut, Ops};
use rand::Rng as _;

const LEN: usize = 5;
const BOARDS: [(usize, usize); 6] = [(5, 5), (4, 3), (5, 4), (2, 5), (5, 5), (3, 3)];

fn every_kind() -> Net {
    let norm = |c: usize, scale: bool, bias: bool| {
        let (scale_at, bias_at, stats_at) = (0, 0, 0);
        Norm { c, epsilon: 1e-3, scale, bias, act: Activation::Mish, scale_at, bias_at, stats_at }
    };
    let ordinary = |c: usize, mid: usize, kernel: usize| Block::Ordinary {
        norm1: norm(c, true, true),
        conv1: Conv::new(kernel, c, mid),
        norm2: norm(mid, false, true),
        conv2: Conv::new(3, mid, c),
    };
    let mut arch = NetConfig::named("b1c6").unwrap().arch();
    arch.conv_in = Conv { kernel: [3, 5], ..arch.conv_in };
    arch.blocks = vec![
        ordinary(6, 5, 3),
        Block::Gpool {
            norm1: norm(6, true, true),
            conv1: Conv::new(3, 6, 4),
            conv_pool: Conv::new(1, 6, 3),
            norm_pool: norm(3, true, false),
            matmul: Matmul::new(9, 4),
            norm2: norm(4, true, true),
            conv2: Conv::new(5, 4, 6),
        },
        Block::Nested {
            norm1: norm(6, true, true),
            conv1: Conv::new(1, 6, 4),
            blocks: vec![ordinary(4, 4, 1), ordinary(4, 3, 3)],
            norm2: norm(4, true, true),
            conv2: Conv::new(1, 4, 6),
        },
    ];
    arch.norm_tip = norm(6, true, true);
    for n in [&mut arch.policy.norm_pool, &mut arch.policy.norm_point, &mut arch.value.norm] {
        *n = norm(n.c, true, true);
    }
    arch.value.bias_hidden.act = Activation::Mish;
    arch.check("test").unwrap();
    let mut net = Net::zeroed("every-kind", arch);
    let mut random = rng(7, 0);
    for i in net.layout.params.clone() {
        let fan_in = if i.kind == ParamKind::Weight { i.len / i.shape.last().unwrap() } else { 1 };
        for x in &mut net.params[i.offset..i.offset + i.len] {
            let u = (random.next_u64() >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
            *x = if i.kind == ParamKind::Scale { 1.0 + 0.5 * u } else { 3.0 * u / (fan_in as f32).sqrt() };
        }
    }
    net.stats_mut_as_fresh();
    net
}

struct Data {
    rows: Vec<u8>,
    symmetries: Vec<u8>,
    policy: Vec<u16>,
    value: Vec<[f32; 3]>,
    score: Vec<f32>,
    ownership: Vec<f32>,
    weights: Vec<Vec<f32>>,
}

impl Data {
    fn random() -> Data {
        let mut random = rng(8, 0);
        let mut pick = |n: usize| below(random.next_u64(), n);
        let mut data = Data {
            rows: Vec::new(),
            symmetries: Vec::new(),
            policy: Vec::new(),
            value: vec![[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.5, 0.0], [0.1, 0.2, 0.7], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]],
            score: vec![3.5, -60.0, 0.0, 12.0, 100.0, -0.5],
            ownership: Vec::new(),
            weights: vec![
                vec![1.0, 0.0, 1.0, 0.5, 1.0, 1.0],
                vec![1.0, 1.0, 0.0, 0.5, 1.0, 1.0],
                vec![0.0, 1.0, 1.0, 0.5, 1.0, 1.0],
                vec![1.0, 2.0, 1.0, 1.0, 0.0, 0.5],
            ],
        };
        for (i, size @ (w, h)) in BOARDS.into_iter().enumerate() {
            let mut row = PackedRow::new(LEN);
            row.set_size(w, h);
            row.set_flags(if i % 2 == 0 { flag::KO_POSITIONAL | flag::SUICIDE } else { flag::TERRITORY });
            row.set_numbers(0.3 - 0.1 * i as f32, 0.5, 0.0);
            for back in 0..5 {
                row.set_move(back, MOVE_NONE);
            }
            for (x, y) in (0..w * h).map(|c| (c % w, c / w)) {
                let cell = y * LEN + x;
                (0..N_PACKED_PLANES).filter(|p| *p != 1 && pick(3) == 0).for_each(|p| row.set_bit(p, cell));
            }
            data.rows.extend_from_slice(row.bytes());
            data.symmetries.push(i as u8);
            let symmetry = crate::base::symmetry::Symmetry::new(i as u8);
            let (x, y) = symmetry.apply((w - 1, h / 2), size);
            data.policy.push([y * LEN + x, LEN * LEN, usize::from(u16::MAX)][i % 3] as u16);
            data.ownership.extend((0..LEN * LEN).map(|_| pick(3) as f32 - 1.0));
        }
        assert_eq!(data.rows.len(), BOARDS.len() * row_bytes(LEN));
        data
    }

    fn repeated(self, n: usize) -> Data {
        Data {
            rows: self.rows.repeat(n),
            symmetries: self.symmetries.repeat(n),
            policy: self.policy.repeat(n),
            value: self.value.repeat(n),
            score: self.score.repeat(n),
            ownership: self.ownership.repeat(n),
            weights: self.weights.iter().map(|w| w.repeat(n)).collect(),
        }
    }

    fn batch(&self) -> Batch<'_> {
        Batch { len: LEN, rows: &self.rows, symmetries: &self.symmetries }
    }

    fn targets(&self) -> Targets<'_> {
        Targets {
            policy: &self.policy,
            value: &self.value,
            value_weight: &self.weights[0],
            score: &self.score,
            score_weight: &self.weights[1],
            ownership: &self.ownership,
            ownership_weight: &self.weights[2],
            weight: &self.weights[3],
        }
    }
}

const WEIGHTS: LossWeights = LossWeights { policy: 1.0, value: 0.7, score: 0.6, ownership: 0.9, divisor: Some(2.0) };

fn loss_at(net: &mut TrainNet<CpuOps>, params: &[f32], data: &Data) -> f64 {
    net.params_mut().copy_from_slice(params);
    net.forward_backward(&data.batch(), &data.targets(), &WEIGHTS).unwrap().total / 2.0
}

#[test]
fn every_parameter_tensor() {
    let mut net = every_kind();
    // The target of the standard deviation is a constant for the gradient but moves with the mean score:
    // the mean is held still here, and its own gradient is compared with the lead's below.
    let (matmul, bias) = (net.arch().value.matmul_score, net.arch().value.bias_score);
    let means: Vec<usize> = (0..matmul.c_in).map(|i| matmul.at + i * matmul.c_out).chain([bias.at]).collect();
    for at in &means[..matmul.c_in] {
        net.params_mut()[*at] = 0.0;
    }
    let data = Data::random();
    let mut train = TrainNet::new(CpuOps::new(1).unwrap(), &net, BOARDS.len(), LEN).unwrap();
    let base = net.params().to_vec();
    train.zero_grads();
    loss_at(&mut train, &base, &data);
    let mut gradient = train.grads().clone();
    means.iter().for_each(|at| gradient[*at] = 0.0);
    let mut worst = (0.0f64, String::new());
    let mut random = rng(9, 0);
    for info in &net.layout().params {
        let g = &gradient[info.offset..info.offset + info.len];
        let length = g.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let size = base[info.offset..info.offset + info.len].iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let h = 2e-3 * size.max(0.3);
        let mut moved = base.clone();
        // along the gradient, which has the best signal, and along random signs, which no missing element escapes
        let signs = |_: &f32| if random.next_u64() >> 63 == 0 { 1.0 } else { -1.0 };
        let directions = [g.iter().map(|g| f64::from(*g)).collect::<Vec<f64>>(), g.iter().map(signs).collect()];
        assert!(length > 1e-4, "{}: no gradient", info.name);
        for direction in directions {
            let norm = direction.iter().map(|d| d * d).sum::<f64>().sqrt();
            let expected = direction.iter().zip(g).map(|(d, g)| d * f64::from(*g)).sum::<f64>() / norm;
            let mut at = |sign: f64| {
                for (i, d) in direction.iter().enumerate().filter(|(i, _)| !means.contains(&(info.offset + i))) {
                    moved[info.offset + i] = (f64::from(base[info.offset + i]) + sign * h * d / norm) as f32;
                }
                loss_at(&mut train, &moved, &data)
            };
            let difference = (at(1.0) - at(-1.0)) / (2.0 * h);
            let error = (difference - expected).abs() / (length + 0.01);
            if error > worst.0 {
                worst = (error, info.name.clone());
            }
            assert!(error < 0.01, "{}: difference {difference}, gradient {expected}", info.name);
        }
    }
    println!("gradients: {} tensors, largest error {:.4} in {}", net.layout().params.len(), worst.0, worst.1);
}

#[test]
fn the_mean_score_learns_like_the_lead() {
    let mut net = every_kind();
    let (matmul, bias) = (net.arch().value.matmul_score, net.arch().value.bias_score);
    for i in 0..matmul.c_in {
        net.params_mut()[matmul.at + i * matmul.c_out + 2] = net.params()[matmul.at + i * matmul.c_out];
    }
    net.params_mut()[bias.at + 2] = net.params()[bias.at];
    let data = Data::random();
    let mut train = TrainNet::new(CpuOps::new(1).unwrap(), &net, BOARDS.len(), LEN).unwrap();
    loss_at(&mut train, net.params(), &data);
    let g = train.grads();
    assert!((0..matmul.c_in).all(|i| g[matmul.at + i * matmul.c_out] == g[matmul.at + i * matmul.c_out + 2]));
    assert!(g[bias.at] == g[bias.at + 2] && g[bias.at] != 0.0 && g[bias.at + 3] == 0.0);
}

/// Copies of the boards: enough that every operation works in several chunks.
const COPIES: usize = 24;

/// Three training steps with a given number of threads: all bytes that result.
fn step(threads: usize) -> (Losses, Vec<f32>, Vec<f32>) {
    let net = NetConfig::named("b3c16").unwrap().init(3);
    let data = Data::random().repeated(COPIES);
    let mut train = TrainNet::new(CpuOps::new(threads).unwrap(), &net, COPIES * BOARDS.len(), LEN).unwrap();
    let spans = train.spans();
    let mut momentum = train.ops().alloc(net.params().len()).unwrap();
    let mut losses = Losses::default();
    for _ in 0..3 {
        train.zero_grads();
        losses += train.forward_backward(&data.batch(), &data.targets(), &WEIGHTS).unwrap();
        let rule = crate::compute::Rule::SgdNesterov { rate: 0.05, momentum: 0.9, decay: 1e-4 };
        let flat = train.flat();
        flat.ops.step(rule, &spans, flat.params, flat.grads, &mut momentum, None);
    }
    (losses, train.params().to_vec(), train.stats().to_vec())
}

#[test]
fn threads_do_not_change_a_byte() {
    let one = step(1);
    assert!(one.1.iter().all(|x| x.is_finite()));
    for threads in [1, 2, 3, 5] {
        assert!(step(threads) == one, "{threads} threads");
    }
}

#[test]
fn gradients_add_up_and_padding_changes_nothing() {
    let net = every_kind();
    let data = Data::random();
    let mut train = TrainNet::new(CpuOps::new(1).unwrap(), &net, 2 * BOARDS.len(), LEN + 2).unwrap();
    loss_at(&mut train, net.params(), &data);
    let once = train.grads().clone();
    loss_at(&mut train, net.params(), &data);
    assert!(train.grads().iter().zip(&once).all(|(a, b)| (a - 2.0 * b).abs() <= 1e-5 * (1.0 + b.abs())));

    // the same boards in a larger array
    let wide = LEN + 2;
    let mut padded = Data { rows: Vec::new(), ownership: vec![0.0; BOARDS.len() * wide * wide], ..Data::random() };
    let square = |i: usize| i / LEN * wide + i % LEN;
    for (i, row) in data.rows.chunks_exact(row_bytes(LEN)).enumerate() {
        let mut to = PackedRow::new(wide);
        to.set_size(BOARDS[i].0, BOARDS[i].1);
        let mut to = to.bytes().to_vec();
        to[..32].copy_from_slice(&row[..32]);
        for (p, cell) in (0..N_PACKED_PLANES).flat_map(|p| (0..LEN * LEN).map(move |c| (p, c))) {
            let words = |len| crate::compute::packed::plane_words(len) * 4;
            let bit = row[32 + p * words(LEN) + cell / 8] >> (cell % 8) & 1;
            to[32 + p * words(wide) + square(cell) / 8] |= bit << (square(cell) % 8);
        }
        padded.rows.extend_from_slice(&to);
        for cell in 0..LEN * LEN {
            padded.ownership[i * wide * wide + square(cell)] = data.ownership[i * LEN * LEN + cell];
        }
        padded.policy[i] = match usize::from(data.policy[i]) {
            25 => (wide * wide) as u16,
            cell if cell < 25 => square(cell) as u16,
            masked => masked as u16,
        };
    }
    train.zero_grads();
    let batch = Batch { len: wide, rows: &padded.rows, symmetries: &padded.symmetries };
    train.forward_backward(&batch, &padded.targets(), &WEIGHTS).unwrap();
    let length = once.iter().map(|g| g * g).sum::<f32>().sqrt();
    let apart = train.grads().iter().zip(&once).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt();
    println!("padded: gradients {apart:.1e} apart, {length:.1e} long");
    assert!(apart < 1e-4 * length);
}

#[test]
fn wrong_batches_are_refused() {
    let net = every_kind();
    let data = Data::random();
    let mut train = TrainNet::new(CpuOps::new(1).unwrap(), &net, 3, LEN).unwrap();
    let refused = |r: Result<Losses>, why: &str| {
        let e = r.unwrap_err().to_string();
        assert!(e.contains(why), "{e}");
    };
    refused(train.forward_backward(&data.batch(), &data.targets(), &WEIGHTS), "6 boards");
    let mut train = TrainNet::new(CpuOps::new(1).unwrap(), &net, 6, LEN).unwrap();
    let short = Targets { score: &data.score[1..], ..data.targets() };
    refused(train.evaluate(&data.batch(), &short, &WEIGHTS), "score targets: 5 numbers, expected 6");
    let outside = vec![26; 6];
    refused(train.evaluate(&data.batch(), &Targets { policy: &outside, ..data.targets() }, &WEIGHTS), "26, expected 0 to 25");
    let mut stats = vec![0.0; net.stats().len()];
    train.ops().download(&mut [(At { buf: train.stats(), at: 0 }, &mut stats)]).unwrap();
    train.evaluate(&data.batch(), &data.targets(), &WEIGHTS).unwrap();
    assert_eq!(stats[..], train.stats()[..], "evaluation changes nothing");
    let ops = CpuOps::new(1).unwrap();
    ops.upload(&stats, AtMut { buf: train.stats_mut(), at: 0 });
}

#[test]
fn a_small_batch_is_learned_by_heart() {
    let net = NetConfig::named("b3c16").unwrap().init(4);
    let data = Data::random();
    let mut train = TrainNet::new(CpuOps::new(2).unwrap(), &net, BOARDS.len(), LEN).unwrap();
    let spans = train.spans();
    let mut moments = [0, 1].map(|_| train.ops().alloc(net.params().len()).unwrap());
    let mut learn = |step: u64| {
        train.zero_grads();
        let weights = LossWeights { divisor: None, ..WEIGHTS };
        let losses = train.forward_backward(&data.batch(), &data.targets(), &weights).unwrap();
        let rule = crate::compute::Rule::AdamW { rate: 3e-3, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, decay: 1e-4, step };
        let [first, second] = &mut moments;
        let flat = train.flat();
        flat.ops.step(rule, &spans, flat.params, flat.grads, first, Some(second));
        losses
    };
    let first = learn(1);
    let last = (2..=150).map(&mut learn).last().unwrap();
    println!(
        "policy {:.2} to {:.2}, score error {:.1} to {:.1} points",
        first.policy_mean(),
        last.policy_mean(),
        first.score_error_mean(),
        last.score_error_mean()
    );
    assert!(last.policy_mean() < 0.1 && last.policy_top1() == 1.0 && last.value_accuracy() > 0.7);
    assert!(last.score_error_mean() < 0.5 * first.score_error_mean() && last.ownership_mean() < 0.8 * first.ownership_mean());
}
