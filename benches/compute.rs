//! Speed of training and play on the CPU, in positions a second and in products a second.
//!
//! `cargo bench --bench compute -- [threads]`

use edgezero::compute::cpu::CpuOps;
use edgezero::compute::packed::{MOVE_NONE, N_PACKED_PLANES, PackedRow};
use edgezero::compute::{LossWeights, Ops, PackedRows, Rule, Targets};
use edgezero::net::{Arch, Batch, InferNet, NetConfig, RawOutputs, TrainNet, train_bytes};
use std::time::{Duration, Instant};

/// Long enough for a few steps of the largest case.
const MEASURE: Duration = Duration::from_secs(4);

fn main() {
    let threads = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(2);
    println!("{} threads", threads);
    for (name, len, n) in [("b4c32", 9, 256), ("b6c64", 9, 256), ("b6c64", 19, 64), ("b6c96", 19, 64)] {
        train(threads, name, len, n);
    }
    for (name, len, n) in [("b4c32", 9, 1), ("b4c32", 9, 16), ("b6c96", 19, 1), ("b6c96", 19, 16)] {
        infer(threads, name, len, n);
    }
}

/// Rows with a third of all bits set.
fn rows(len: usize, n: usize) -> Vec<u8> {
    let mut row = PackedRow::new(len);
    row.set_size(len, len);
    (0..5).for_each(|back| row.set_move(back, MOVE_NONE));
    for cell in 0..len * len {
        (0..N_PACKED_PLANES).filter(|p| *p != 1 && (cell * 7 + p * 5) % 3 == 0).for_each(|p| row.set_bit(p, cell));
    }
    row.bytes().repeat(n)
}

/// Multiply-and-adds of one position's convolutions.
fn products(arch: &Arch, len: usize) -> f64 {
    (arch.conv_weights() * len * len) as f64
}

fn train(threads: usize, name: &str, len: usize, n: usize) {
    let net = NetConfig::named(name).expect("a preset").init(1);
    let mut train = TrainNet::new(CpuOps::new(threads).expect("threads"), &net, n, len).expect("memory");
    let (rows, symmetries) = (rows(len, n), vec![0u8; n]);
    let (ones, zeros) = (vec![1.0f32; n], vec![0.0f32; n * len * len]);
    let (policy, value) = (vec![5u16; n], vec![[1.0f32, 0.0, 0.0]; n]);
    let targets = Targets {
        policy: &policy,
        value: &value,
        value_weight: &ones,
        score: &ones,
        score_weight: &ones,
        ownership: &zeros,
        ownership_weight: &ones,
        weight: &ones,
    };
    let spans = train.spans();
    let mut momentum = train.ops().alloc(net.params().len()).expect("memory");
    let mut step = || {
        train.zero_grads();
        let batch = Batch { len, rows: &rows, symmetries: &symmetries };
        train.forward_backward(&batch, &targets, &LossWeights::default()).expect("sound batch");
        let rule = Rule::SgdNesterov { rate: 1e-4, momentum: 0.9, decay: 1e-4 };
        let flat = train.flat();
        flat.ops.step(rule, &spans, flat.params, flat.grads, &mut momentum, None);
    };
    let rate = n as f64 * per_second(&mut step);
    let mib = train_bytes(net.arch(), n, len) >> 20;
    // a step is three passes of products, two floating-point operations each
    let gflops = rate * products(net.arch(), len) * 6.0 / 1e9;
    println!("train {name} {len}x{len} batch {n}: {rate:.0} positions/s, {gflops:.0} GFLOP/s, {mib} MiB");
}

fn infer(threads: usize, name: &str, len: usize, n: usize) {
    let net = NetConfig::named(name).expect("a preset").init(1);
    let mut infer = InferNet::new(CpuOps::new(threads).expect("threads"), &net, n, len).expect("memory");
    let (rows, symmetries) = (rows(len, n), vec![0u8; n]);
    let mut out = RawOutputs::default();
    let mut run = || infer.run(PackedRows { len, bytes: &rows, symmetries: &symmetries }, &mut out).expect("sound rows");
    let rate = n as f64 * per_second(&mut run);
    let gflops = rate * products(net.arch(), len) * 2.0 / 1e9;
    println!("infer {name} {len}x{len} batch {n}: {rate:.0} positions/s, {gflops:.0} GFLOP/s");
}

/// Calls a second, after two to warm up.
fn per_second(call: &mut dyn FnMut()) -> f64 {
    call();
    call();
    let (started, mut calls) = (Instant::now(), 0u32);
    while started.elapsed() < MEASURE {
        call();
        calls += 1;
    }
    f64::from(calls) / started.elapsed().as_secs_f64()
}
