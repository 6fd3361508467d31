//! Memory of training and play: what is announced is what is held, and after warm-up nothing grows.

use edgezero::compute::cpu::CpuOps;
use edgezero::compute::packed::{MOVE_NONE, PackedRow};
use edgezero::compute::{ConvShape, LossWeights, Ops, PackedRows, Rule, Targets};
use edgezero::net::{Batch, InferNet, NetConfig, RawOutputs, TrainNet, infer_bytes, train_bytes};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; the counters do not touch memory that is handed out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(live, Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const THREADS: usize = 2;

#[test]
fn announced_and_held() {
    training("b4c32", 9, 64);
    training("b2c64", 13, 16);
    playing("b4c32", 16);
}

fn rows(len: usize, n: usize) -> Vec<u8> {
    let mut row = PackedRow::new(len);
    row.set_size(len, len);
    (0..5).for_each(|back| row.set_move(back, MOVE_NONE));
    row.bytes().repeat(n)
}

fn training(name: &str, len: usize, n: usize) {
    let net = NetConfig::named(name).unwrap().init(1);
    let c = net.arch().channels();
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
    let ops = CpuOps::new(THREADS).unwrap();
    let scratch = ops.scratch_bytes(ConvShape { n, len, kernel_y: 3, kernel_x: 3, c_in: c, c_out: c });
    let before = LIVE.load(Relaxed);
    let mut train = TrainNet::new(ops, &net, n, len).unwrap();
    let held = LIVE.load(Relaxed) - before;
    let announced = train_bytes(net.arch(), n, len);
    let spans = train.spans();
    let mut momentum = train.ops().alloc(net.params().len()).unwrap();
    let mut step = || {
        train.zero_grads();
        let batch = Batch { len, rows: &rows, symmetries: &symmetries };
        train.forward_backward(&batch, &targets, &LossWeights::default()).unwrap();
        let flat = train.flat();
        let rule = Rule::SgdNesterov { rate: 1e-3, momentum: 0.9, decay: 1e-4 };
        flat.ops.step(rule, &spans, flat.params, flat.grads, &mut momentum, None);
    };
    let cold = LIVE.load(Relaxed);
    (0..3).for_each(|_| step());
    let warm = LIVE.load(Relaxed);
    PEAK.store(warm, Relaxed);
    (0..10).for_each(|_| step());
    let (grown, above) = (LIVE.load(Relaxed).saturating_sub(warm), PEAK.load(Relaxed).saturating_sub(warm));
    println!("train {name} {len}x{len} batch {n}: announced {announced}, held {held} bytes");
    println!("  scratch announced {scratch}, held {}; after warm-up {grown} more, {above} for a moment", warm - cold);
    assert!(held >= announced && held < announced + 100_000, "the tables of names are small");
    assert!(warm - cold <= scratch + 100_000);
    assert_eq!((grown, above), (0, 0), "a step allocates nothing after warm-up");
}

fn playing(name: &str, n: usize) {
    let net = NetConfig::named(name).unwrap().init(1);
    let before = LIVE.load(Relaxed);
    let ops = CpuOps::new(THREADS).unwrap();
    let announced = infer_bytes(&ops, net.arch(), n, 19);
    let c = net.arch().channels();
    let scratch = ops.scratch_bytes(ConvShape { n, len: 19, kernel_y: 3, kernel_x: 3, c_in: c, c_out: c });
    let mut infer = InferNet::new(ops, &net, n, 19).unwrap();
    let trained = train_bytes(net.arch(), n, 19);
    let mut out = RawOutputs::default();
    let (rows, symmetries) = (rows(19, n), vec![3u8; n]);
    let mut run = || infer.run(PackedRows { len: 19, bytes: &rows, symmetries: &symmetries }, &mut out).unwrap();
    (0..3).for_each(|_| run());
    let warm = LIVE.load(Relaxed);
    PEAK.store(warm, Relaxed);
    (0..10).for_each(|_| run());
    let held = warm - before;
    println!("infer {name} 19x19 batch {n}: announced {announced} and {scratch}, held {held} bytes, training {trained}");
    assert_eq!((LIVE.load(Relaxed), PEAK.load(Relaxed)), (warm, warm), "an evaluation allocates nothing after warm-up");
    let answers = 4 * n * (2 * 361 + 8);
    assert!(held >= announced && held < announced + scratch + answers + 100_000);
    assert!(2 * announced < trained);
}
