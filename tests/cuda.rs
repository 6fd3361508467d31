//! The CUDA backend on a look-alike of its driver (tests/cuda/): logic without a GPU, not races or speed.
//!
//! A process loads libcuda once, so each test that needs one runs in a child of this program, with the look-alike where the
//! loader looks first. Tests called `inside_…` are what a child does; without their variable they do nothing.

mod common;
#[path = "cuda/lookalike.rs"]
mod lookalike;
#[path = "cuda/runs.rs"]
mod runs;

use edgezero::compute::cpu::CpuOps;
use edgezero::compute::cuda::{CudaOps, Precision};
use edgezero::compute::packed::{N_PACKED_PLANES, PackedRow, plane};
use edgezero::compute::{At, AtMut, GradScale, LossWeights, Losses, Ops, PackedRows, Rule, Targets, cases};
use edgezero::net::{Batch, InferNet, Net, NetConfig, RawOutputs, TrainNet, Turn};
use lookalike::{World, count, inside, set};

#[test]
fn the_table_of_cases() {
    let new = || World::cuda(12060).with("LOOKALIKE_CAPABILITY", "87");
    let old = || World::cuda(10020).with("LOOKALIKE_CAPABILITY", "53");
    run_all(
        "inside_table",
        [
            new().with("PRECISION", "f16"),
            new(),
            new().with("LOOKALIKE_DEFER", "1"),
            new().with("PRECISION", "bf16"),
            old(),
            old().with("PRECISION", "f16"),
            World::cuda(11040).with("LOOKALIKE_CAPABILITY", "72").with("PRECISION", "f16"),
        ],
    );
}

/// Runs a test in each world; in the first only where that is all there is time for (LOOKALIKE_WORLDS=first).
fn run_all<const N: usize>(test: &str, worlds: [World; N]) {
    let n = if std::env::var("LOOKALIKE_WORLDS").is_ok_and(|which| which == "first") { 1 } else { N };
    for world in &worlds[..n] {
        world.run(test);
    }
}

/// What a child is told to compute in.
fn precision() -> Precision {
    match std::env::var("PRECISION").as_deref() {
        Ok("f16") => Precision::F16,
        Ok("bf16") => Precision::Bf16,
        _ => Precision::F32,
    }
}

#[test]
fn inside_table() {
    let Some(()) = inside() else { return };
    let (cpu, cuda) = (CpuOps::new(1).unwrap(), CudaOps::new(0, precision()).unwrap());
    println!("{}", cuda.describe());
    let mut failed = Vec::new();
    for case in cases::all() {
        let (got, expected) = (case.run(&cuda).unwrap(), case.run(&cpu).unwrap());
        let (worst, allowed) = (cases::worst(&got, &expected), case.tolerance(cuda.rounding()));
        println!("{:70} {worst:.1e}", case.name());
        if worst > allowed {
            let at = got.iter().zip(&expected).position(|(a, b)| (a - b).abs() > allowed * (1.0 + b.abs()) || a.is_nan());
            failed.push(format!("{}: {worst:.1e}, allowed {allowed:.1e}, first at {at:?} of {}", case.name(), got.len()));
        }
    }
    drop(cuda);
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert_eq!(count("lookalike_live"), 0, "everything is given back");
}

const LEN: usize = 5;
const BOARDS: [(usize, usize); 6] = [(5, 5), (4, 3), (5, 4), (2, 5), (5, 5), (3, 3)];

/// A batch of boards with stones, and what is to be learned of them.
struct Data {
    rows: Vec<u8>,
    symmetries: Vec<u8>,
    moves: Vec<u16>,
    owners: Vec<f32>,
}

impl Data {
    fn new(seed: usize) -> Data {
        let bit = |i: usize| (i * 7919 + seed * 104729) % 13 < 4;
        let mut rows = Vec::new();
        for (i, (w, h)) in BOARDS.into_iter().enumerate() {
            let mut row = PackedRow::new(LEN);
            row.set_size(w, h);
            (0..5).for_each(|back| row.set_move(back, edgezero::compute::packed::MOVE_NONE));
            for (x, y) in (0..h).flat_map(|y| (0..w).map(move |x| (x, y))) {
                for p in (0..N_PACKED_PLANES).filter(|p| *p != plane::OPP && bit(i * 1000 + p * 100 + y * LEN + x)) {
                    row.set_bit(p, y * LEN + x);
                }
            }
            rows.extend_from_slice(row.bytes());
        }
        let owners = (0..BOARDS.len() * LEN * LEN).map(|i| if bit(i) { 1.0 } else { -1.0 }).collect();
        let symmetries = (0..BOARDS.len()).map(|i| ((i + seed) % 8) as u8).collect();
        // the first point is on every board, and so is a pass
        let moves = (0..BOARDS.len()).map(|i| if i % 2 == 0 { 0 } else { (LEN * LEN) as u16 }).collect();
        Data { rows, symmetries, moves, owners }
    }

    fn learn<O: Ops>(&self, train: &mut TrainNet<O>, then: impl FnOnce(edgezero::net::Flat<'_, O>) + Send) {
        let n = BOARDS.len();
        let (ones, values) = (vec![1.0f32; n], vec![[1.0f32, 0.0, 0.0]; n]);
        let score: Vec<f32> = (0..n).map(|i| i as f32 * 3.0 - 7.0).collect();
        let targets = Targets {
            policy: &self.moves,
            value: &values,
            value_weight: &ones,
            score: &score,
            score_weight: &ones,
            ownership: &self.owners,
            ownership_weight: &ones,
            weight: &ones,
        };
        let batch = Batch { len: LEN, rows: &self.rows, symmetries: &self.symmetries };
        train.learn(Turn::First, &batch, &targets, &LossWeights::default(), then).unwrap();
    }
}

/// Steps of training on a backend, each with another batch and another rate: losses, and the net that results.
/// AdamW's epsilon is above what rounding adds to a gradient of length 1, some 2e-3 in 16 bits: below it the sign of the noise decides
/// where a weight goes whose gradient is small, at full rate, and two ways of rounding are as far apart as the rates' sum (0.046 here).
fn train<O: Ops>(ops: O, net: &Net, adam: bool, steps: u64) -> (Losses, f64, Net) {
    let epsilon = if precision() == Precision::F32 { 1e-4 } else { 0.1 };
    let mut train = TrainNet::new(ops, net, BOARDS.len(), LEN).unwrap();
    let (n, n_stats, spans) = (net.params().len(), net.stats().len(), train.spans());
    let [mut first, mut second, mut average] = [0, 1, 2].map(|_| train.ops().alloc(n).unwrap());
    let mut average_stats = train.ops().alloc(n_stats).unwrap();
    for step in 1..=steps {
        let rate = 0.02 / step as f32;
        train.norm_momentum = 1.0 / step as f32;
        let rule = match adam {
            true => Rule::AdamW { rate, beta1: 0.9, beta2: 0.99, epsilon, decay: 1e-2, step },
            false => Rule::SgdNesterov { rate, momentum: 0.9, decay: 1e-3 },
        };
        Data::new(step as usize).learn(&mut train, |flat| {
            flat.ops.clip(n, 1.0, flat.grads, flat.tally);
            flat.ops.step(rule, &spans, flat.params, flat.grads, &mut first, Some(&mut second));
            flat.ops.average(n, 0.9, flat.params, &mut average);
            flat.ops.average(n_stats, 0.9, flat.stats, &mut average_stats);
        });
    }
    let told = train.read().unwrap();
    let mut trained = net.clone();
    train.download(&mut trained).unwrap();
    (told.losses, told.norms, trained)
}

#[test]
fn a_few_steps_of_training() {
    let of = |version, capability| World::cuda(version).with("LOOKALIKE_CAPABILITY", capability);
    run_all(
        "inside_training",
        [
            of(12060, "87").with("LOOKALIKE_DEFER", "1"),
            of(12060, "87"),
            of(12060, "87").with("PRECISION", "bf16"),
            of(11040, "72").with("PRECISION", "f16"),
            of(10020, "53"),
            of(10020, "53").with("PRECISION", "f16"),
        ],
    );
}

#[test]
fn sanitizers_find_nothing() {
    // every kernel of a step and its host side; `make test-cuda-sanitized` has them all
    World::cuda(12060).with("PRECISION", "f16").sanitized().run("inside_training");
}

#[test]
fn inside_training() {
    let Some(()) = inside() else { return };
    const STEPS: u64 = 5;
    let net = NetConfig::named("b3c8").unwrap().init(3);
    for adam in [false, true] {
        let (losses, norms, expected) = train(CpuOps::new(1).unwrap(), &net, adam, STEPS);
        let graphs = count("lookalike_graphs");
        let (got_losses, got_norms, got) = train(CudaOps::new(0, precision()).unwrap(), &net, adam, STEPS);
        let apart = [
            cases::worst(&[got_losses.total as f32, got_norms as f32], &[losses.total as f32, norms as f32]),
            cases::worst(got.params(), expected.params()),
            cases::worst(got.stats(), expected.stats()),
        ];
        println!("adam {adam}: loss, parameters, statistics apart by {apart:?}");
        let allowed = match precision() {
            Precision::F32 => 2e-4,
            Precision::F16 => 5e-3,
            Precision::Bf16 => 0.02,
        };
        assert!(
            apart.iter().all(|d| *d < allowed) && (precision() != Precision::F32 || got_losses.policy_hits == losses.policy_hits)
        );
        assert!(cases::worst(got.params(), net.params()) > 1e-3, "it learned");
        assert_eq!(count("lookalike_graphs") - graphs, STEPS as i64 - 2, "from the third step on a step is one graph");
        assert_eq!(count("lookalike_live"), 0, "everything is given back");
    }
}

#[test]
fn a_gradient_that_overflows_changes_nothing() {
    let of = |version, capability| World::cuda(version).with("LOOKALIKE_CAPABILITY", capability).with("PRECISION", "f16");
    run_all("inside_overflow", [of(12060, "87"), of(11040, "72"), of(10020, "53")]);
}

#[test]
fn inside_overflow() {
    let Some(()) = inside() else { return };
    let net = NetConfig::named("b1c8").unwrap().init(3);
    let mut train = TrainNet::new(CudaOps::new(0, precision()).unwrap(), &net, BOARDS.len(), LEN).unwrap();
    let (n, spans) = (net.params().len(), train.spans());
    let mut momentum = train.ops().alloc(n).unwrap();
    let mut step = |train: &mut TrainNet<CudaOps>| {
        Data::new(1).learn(train, |flat| {
            flat.ops.clip(n, 1.0, flat.grads, flat.tally);
            let rule = Rule::SgdNesterov { rate: 0.01, momentum: 0.9, decay: 1e-3 };
            flat.ops.step(rule, &spans, flat.params, flat.grads, &mut momentum, None);
        });
        let told = train.read().unwrap();
        let (mut net, mut moments) = (net.clone(), vec![0.0; n]);
        train.download(&mut net).unwrap();
        train.ops().download(&mut [(At { buf: &momentum, at: 0 }, &mut moments)]).unwrap();
        (told, net.params().to_vec(), moments)
    };
    let scale = |factor, fitted_steps| GradScale { factor, fitted_steps };
    let (told, params, moments) = step(&mut train);
    assert_eq!((told.skipped, told.grad_scale), (0, Some(scale(4096.0, 1))));
    // gradients of a millionth are too large for f16 then
    train.set_grad_scale(scale(2.0f32.powi(36), 7));
    let (told, same_params, same_moments) = step(&mut train);
    assert_eq!((told.skipped, told.grad_scale, told.norms), (1, Some(scale(2.0f32.powi(35), 0)), 0.0));
    assert!(same_params == params && same_moments == moments && told.losses.total.is_finite(), "nothing moved");
    train.set_grad_scale(scale(1024.0, 1999));
    let (told, other, _) = step(&mut train);
    assert_eq!((told.skipped, told.grad_scale), (0, Some(scale(2048.0, 0))), "it grows");
    assert!(other != params && told.norms > 0.0);
    // a gradient that is no number whatever it is multiplied by is told as it is
    let ops = CudaOps::new(0, precision()).unwrap();
    let (mut grads, mut tally) = (ops.alloc(n).unwrap(), ops.tally().unwrap());
    for factor in [2.0, 1.0] {
        ops.set_grad_scale(scale(factor, 0), &mut tally);
        ops.upload(&vec![f32::INFINITY; n], AtMut { buf: &mut grads, at: 0 });
        ops.clip(n, 1.0, &mut grads, &mut tally);
        let told = ops.read(&mut tally).unwrap();
        assert_eq!((told.skipped, told.norms.is_finite()), if factor > 1.0 { (1, true) } else { (0, false) });
    }
}

/// Answers for batches of several sizes.
fn evaluate<O: Ops>(ops: O, net: &Net) -> Vec<f32> {
    let mut infer = InferNet::new(ops, net, BOARDS.len(), LEN).unwrap();
    let (mut out, mut all) = (RawOutputs::default(), Vec::new());
    for (round, n) in [6, 1, 6, 1, 6, 6].into_iter().enumerate() {
        let data = Data::new(round);
        let bytes = &data.rows[..n * data.rows.len() / BOARDS.len()];
        infer.run(PackedRows { len: LEN, bytes, symmetries: &data.symmetries[..n] }, &mut out).unwrap();
        all.extend([&out.pass[..], &out.value, &out.score].concat());
        // the first board fills its array; off a board logits are garbage
        all.extend([&out.policy[..LEN * LEN], &out.ownership[..LEN * LEN]].concat());
    }
    all
}

#[test]
fn evaluations() {
    run_all("inside_evaluations", [World::cuda(12060).with("LOOKALIKE_DEFER", "1").with("PRECISION", "f16"), World::cuda(12060)]);
}

#[test]
fn inside_evaluations() {
    let Some(()) = inside() else { return };
    let net = NetConfig::named("b3c8").unwrap().init(5);
    let expected = evaluate(CpuOps::new(1).unwrap(), &net);
    let got = evaluate(CudaOps::new(0, precision()).unwrap(), &net);
    let apart = cases::worst(&got, &expected);
    println!("answers apart by {apart:.1e}");
    assert!(apart < 1e-4 + 10.0 * precision().rounding());
    assert_eq!(count("lookalike_graphs"), 3, "a size that came twice is one graph");
    assert_eq!(count("lookalike_live"), 0, "everything is given back");
}

#[test]
fn failures_are_told_where_results_are_asked_for() {
    World::cuda(12060).run("inside_failures");
    World::cuda(12060).with("LOOKALIKE_DEFER", "1").run("inside_failures");
}

#[test]
fn inside_failures() {
    let Some(()) = inside() else { return };
    let ops = CudaOps::new(0, precision()).unwrap();
    let table = cases::all();
    let losses = table.iter().find(|case| case.name().starts_with("losses")).unwrap();
    let told = |why: &[&str]| {
        let text = losses.run(&ops).unwrap_err().to_string();
        assert!(why.iter().all(|part| text.contains(part)), "{text}");
        println!("{text}");
    };
    set("LOOKALIKE_REFUSE", "losses_total");
    told(&["kernel losses_total on 1x1x1 blocks of 16x16x1 threads", "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"]);
    set("LOOKALIKE_REFUSE", "");
    losses.run(&ops).unwrap();
    set("LOOKALIKE_MEMORY", "60000");
    let buffers = *table.last().unwrap();
    let text = buffers.run(&ops).unwrap_err().to_string();
    assert!(
        text.starts_with("allocating ")
            && text.contains(" bytes on GPU 0: CUDA_ERROR_OUT_OF_MEMORY")
            && text.contains("MiB are free"),
        "{text}"
    );
    set("LOOKALIKE_MEMORY", "");
    buffers.run(&ops).unwrap();
    set("LOOKALIKE_BREAK", "losses");
    told(&["CUDA_ERROR_ILLEGAL_ADDRESS"]);
    set("LOOKALIKE_BREAK", "");
    assert!(losses.run(&ops).is_err(), "a broken device stays broken");
}

#[test]
fn what_does_not_open_says_so_in_one_line() {
    let usual = || World::cuda(12060);
    for (world, why) in [
        (usual().with("LOOKALIKE_DEVICES", "0"), "CUDA: no GPU on this machine"),
        (usual().with("LOOKALIKE_CAPABILITY", "50"), "GPU 0: Lookalike 0 is too old: sm_50, expected sm_53 or newer"),
        (usual().with("LOOKALIKE_MEMORY", "1000"), "CUDA_ERROR_OUT_OF_MEMORY"),
        (usual().without_compiler(), "CUDA: no libnvrtc.so, which compiles the kernels for this GPU"),
        (World::cuda(9020), "CUDA: the driver is of CUDA 9.2, expected 10.2 or newer"),
        (World::without_fill(), "CUDA: libcuda.so lacks cuMemsetD32Async, expected CUDA 10.2 or newer"),
        (World::nothing(), "CUDA: no libcuda.so on this machine"),
    ] {
        let Some(said) = world.run("inside_open") else { return };
        assert!(said.contains(&format!("open: {why}")) || said.contains(why), "{why}: {said}");
    }
}

#[test]
fn inside_open() {
    let Some(()) = inside() else { return };
    match CudaOps::new(0, precision()) {
        Ok(ops) => println!("open: {}", ops.describe()),
        Err(e) => println!("open: {e}"),
    }
}

#[test]
fn several_devices() {
    World::cuda(12060).with("LOOKALIKE_DEVICES", "2").run("inside_two");
}

#[test]
fn inside_two() {
    let Some(()) = inside() else { return };
    let all = [0, 1].map(|i| CudaOps::new(i, precision()).unwrap());
    let case = cases::all()[0];
    std::thread::scope(|threads| {
        let runs = all.each_ref().map(|ops| threads.spawn(|| case.run(ops).unwrap()));
        let [a, b] = runs.map(|run| run.join().unwrap());
        assert_eq!(a, b);
    });
    assert!(CudaOps::new(2, precision()).err().unwrap().to_string().contains("no GPU 2, this machine has 2"));
    let ceilings = all[0].ceilings().unwrap();
    assert!(ceilings.f32_flops > 0.0 && ceilings.f16_flops > 0.0 && ceilings.copy_bytes > 0.0, "{ceilings:?}");
    let mut value = [0.0];
    let buf = all[1].alloc(1).unwrap();
    all[1].download(&mut [(At { buf: &buf, at: 0 }, &mut value)]).unwrap();
}
