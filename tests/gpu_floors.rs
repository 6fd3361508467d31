//! docs/gpu/floors.md: what a training step and an evaluation of b6c96 have to compute and to move, counted by a backend that does
//! nothing but count, under the same walks that train and play. `EDGEZERO_UPDATE=1` writes the page anew.

use edgezero::base::Result;
use edgezero::compute::packed::{N_GLOBALS, N_PLANES, row_bytes};
use edgezero::compute::*;
use edgezero::net::{Batch, InferNet, NetConfig, RawOutputs, TrainNet, Turn};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;

const LEN: usize = 19;
const F32: usize = 4;
/// Bytes of a number of points between operations: f16 or bf16.
const HALF: usize = 2;
const TRAIN_N: usize = 256;
const EVAL_N: [usize; 3] = [1, 16, 256];
/// Share of the floor's speed that is expected of kernels as ours: an assumption until a board was measured.
const EXPECTED: f64 = 0.5;

/// What one operation has to do.
#[derive(Clone, Copy, Default)]
struct Work {
    /// Operations of convolutions and matrix products.
    flops: f64,
    bytes: f64,
    /// Were points f32 too.
    wide_bytes: f64,
}

/// A backend that counts.
#[derive(Default)]
struct Counting(Mutex<Vec<Work>>);

impl Counting {
    /// `points`: numbers of points between operations that are read or written; `others`: numbers that are f32.
    fn add(&self, flops: usize, points: usize, others: usize) {
        let (bytes, wide_bytes) = ((HALF * points + F32 * others) as f64, (F32 * (points + others)) as f64);
        self.0.lock().unwrap().push(Work { flops: flops as f64, bytes, wide_bytes });
    }

    fn take(&self) -> Vec<Work> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// `tensors`: what is read and written besides input, weights and output. Vectors, planes and the outputs are f32.
    fn product(&self, s: ConvShape, tensors: usize, weights: usize) {
        let (x, y, flops) = (s.cells() * s.c_in, s.cells() * s.c_out, 2 * s.cells() * s.weights());
        let between = |c: usize| s.len > 1 && c != N_PLANES && c != 1;
        let points = if between(s.c_in) { x } else { 0 } + if between(s.c_out) { y } else { 0 };
        self.add(flops, points + tensors, x + y - points + weights);
    }
}

impl Ops for Counting {
    type Buf = ();
    type Prepared = ();
    type Tally = ();

    fn describe(&self) -> String {
        "counts".into()
    }
    fn scope<R: Send>(&self, walk: impl FnOnce() -> R + Send) -> R {
        walk()
    }
    fn finish(&self) -> Result<()> {
        Ok(())
    }
    fn alloc(&self, _: usize) -> Result<()> {
        Ok(())
    }
    fn upload(&self, _: &[f32], _: AtMut<'_, ()>) {}
    fn download(&self, _: &mut [(At<'_, ()>, &mut [f32])]) -> Result<()> {
        Ok(())
    }
    fn fill(&self, _: &mut (), len: usize, _: f32) {
        self.add(0, 0, len);
    }
    fn copy(&self, len: usize, _: &(), _: &mut ()) {
        self.add(0, 0, 2 * len);
    }
    fn unpack(&self, rows: PackedRows<'_>, _: Unpacked<'_, ()>) -> Result<()> {
        let n = rows.symmetries.len();
        self.add(0, 0, rows.bytes.len() / F32 + n * (rows.len * rows.len * (N_PLANES + 1) + N_GLOBALS));
        Ok(())
    }
    fn prepare(&self, _: ConvShape, _: At<'_, ()>) -> Result<()> {
        Ok(())
    }
    fn prepared_bytes(&self, s: ConvShape) -> usize {
        F32 * s.weights()
    }
    fn together(&self, n: usize, _: usize) -> usize {
        n
    }
    fn conv(&self, s: ConvShape, base: Base<'_, ()>, _: Input<'_, ()>, _: Weights<'_, (), ()>, _: &mut ()) {
        self.product(s, if matches!(base, Base::Zero) { 0 } else { s.cells() * s.c_out }, s.weights());
    }
    fn conv_grad_input(&self, s: ConvShape, store: Store, _: At<'_, ()>, _: &(), _: &mut ()) {
        self.product(s, if store == Store::Add { s.cells() * s.c_in } else { 0 }, s.weights());
    }
    fn conv_grad_weights(&self, s: ConvShape, _: Input<'_, ()>, _: &(), _: AtMut<'_, ()>) {
        self.product(s, 0, 2 * s.weights());
    }
    fn norm_stats(
        &self,
        s: NormShape,
        source: NormSource<'_, ()>,
        _: NormParams<'_, ()>,
        _: &(),
        _: Mask<'_, ()>,
        _: AtMut<'_, ()>,
    ) {
        match source {
            NormSource::Batch { .. } => self.add(0, s.points.elements(), 0),
            NormSource::Running(_) => self.add(0, 0, s.points.c),
        }
    }
    fn conv_norm_stats(
        &self,
        s: ConvShape,
        base: Base<'_, ()>,
        input: Input<'_, ()>,
        weights: At<'_, ()>,
        y: &mut (),
        _: NormStats<'_, ()>,
    ) {
        // the moments are taken from the result on its way out
        self.conv(s, base, input, Weights::Plain(weights), y);
    }
    fn norm_act_grad(&self, s: PointsShape, _: Activation, args: NormGrad<'_, ()>) {
        // the sums must be known before the second pass: x and dy twice, and the result
        self.add(0, s.elements() * if args.dx.is_some() { 6 } else { 5 }, 0);
    }
    fn pool(&self, s: PointsShape, _: PoolKind, _: Input<'_, ()>, _: Mask<'_, ()>, _: &mut ()) {
        self.add(0, s.elements(), 3 * s.n * s.c);
    }
    fn pool_grad(&self, s: PointsShape, kind: PoolKind, store: Store, _: Input<'_, ()>, _: Mask<'_, ()>, _: &(), _: &mut ()) {
        let reads = usize::from(kind == PoolKind::Global) + usize::from(store == Store::Add);
        self.add(0, s.elements() * (1 + reads), 0);
    }
    fn bias_act(&self, s: RowsShape, _: Activation, _: &(), _: At<'_, ()>, _: &mut ()) {
        self.add(0, 0, 2 * s.rows * s.c);
    }
    fn bias_act_grad(&self, s: RowsShape, _: Activation, _: &(), _: At<'_, ()>, _: &(), _: &mut (), _: AtMut<'_, ()>) {
        self.add(0, 0, 3 * s.rows * s.c);
    }
    fn broadcast(&self, s: PointsShape, _: &(), _: &mut ()) {
        self.add(0, 2 * s.elements(), 0);
    }
    fn broadcast_grad(&self, s: PointsShape, _: &(), _: &mut ()) {
        self.add(0, s.elements(), 0);
    }
    fn tally(&self) -> Result<()> {
        Ok(())
    }
    fn read(&self, _: &mut ()) -> Result<Tallied> {
        Ok(Tallied::default())
    }
    fn losses(
        &self,
        s: LossShape,
        _: Heads<'_, ()>,
        _: Mask<'_, ()>,
        _: &Targets<'_>,
        _: &LossWeights,
        _: Option<HeadGrads<'_, ()>>,
        _: &mut (),
    ) {
        self.add(0, 0, 6 * s.n * s.len * s.len);
    }
    fn step(&self, rule: Rule, spans: &[Span], _: &mut (), _: &(), _: &mut (), _: Option<&mut ()>) {
        let tensors = if matches!(rule, Rule::AdamW { .. }) { 7 } else { 5 };
        self.add(0, 0, tensors * spans.iter().map(|s| s.len).sum::<usize>());
    }
    fn clip(&self, len: usize, _: f32, _: &mut (), _: &mut ()) {
        self.add(0, 0, 3 * len);
    }
    fn scratch_bytes(&self, _: ConvShape) -> usize {
        0
    }
    fn average(&self, len: usize, _: f32, _: &(), _: &mut ()) {
        self.add(0, 0, 3 * len);
    }
}

/// A chip as its maker describes it.
struct Chip {
    name: &'static str,
    facts: &'static str,
    /// 10^12 operations a second of products as our kernels make them: pairs of f16 on the Nano, f16 with f32 sums elsewhere.
    tflops: f64,
    /// 10^9 bytes a second.
    gbytes: f64,
}

/// Clocks and memory: data sheets DA-09366 (Xavier NX) and of the Orin series, Jetson Nano's page of power modes in the L4T
/// guide, and the tables of nvpmodel. Products of a tensor core: 64 on Volta; on Orin half of 170 sparse INT8 TOPS of an AGX
/// Orin, and half of that again for f16.
const CHIPS: [Chip; 5] = [
    Chip { name: "Nano", facts: "128 lanes at 921 MHz, pairs of f16; no tensor cores", tflops: 0.472, gbytes: 25.6 },
    Chip {
        name: "Xavier NX",
        facts: "48 tensor cores of Volta (64 products each) at 1.1 GHz; memory at 1866 MHz in the 20 W modes, 51.2 GB/s in others",
        tflops: 6.76,
        gbytes: 59.7,
    },
    Chip {
        name: "Orin Nano 8 GB",
        facts: "32 tensor cores of Ampere (256 products each) at 625 MHz",
        tflops: 10.2,
        gbytes: 68.0,
    },
    Chip {
        name: "Orin Nano 8 GB, MAXN_SUPER",
        facts: "the same at 1,020 MHz, memory at 3,200 MHz (JetPack 6.2)",
        tflops: 16.7,
        gbytes: 102.4,
    },
    Chip {
        name: "AGX Orin 64 GB",
        facts: "64 tensor cores of Ampere (256 products each) at 1.3 GHz",
        tflops: 42.6,
        gbytes: 204.8,
    },
];

impl Chip {
    /// Seconds that the work takes at the least, each operation bound by what it needs more of.
    fn floor_s(&self, work: &[Work]) -> f64 {
        work.iter().map(|w| (w.flops / (self.tflops * 1e12)).max(w.bytes / (self.gbytes * 1e9))).sum()
    }
}

/// The work of a training step and of evaluations of so many boards.
fn count(name: &str) -> (Vec<Work>, Vec<Vec<Work>>) {
    let net = NetConfig::named(name).unwrap().init(1);
    let rows = |n: usize| {
        let mut rows = vec![0u8; n * row_bytes(LEN)];
        rows.chunks_mut(row_bytes(LEN)).for_each(|row| row[..2].fill(LEN as u8));
        rows
    };
    let (n, params) = (TRAIN_N, net.params().len());
    let mut train = TrainNet::new(Counting::default(), &net, n, LEN).unwrap();
    train.ops().take();
    let (ones, values, owners) = (vec![1.0f32; n], vec![[1.0f32, 0.0, 0.0]; n], vec![0.0f32; n * LEN * LEN]);
    let targets = Targets {
        policy: &vec![0; n],
        value: &values,
        value_weight: &ones,
        score: &ones,
        score_weight: &ones,
        ownership: &owners,
        ownership_weight: &ones,
        weight: &ones,
    };
    let spans = train.spans();
    let batch_rows = rows(n);
    let batch = Batch { len: LEN, rows: &batch_rows, symmetries: &vec![0; n] };
    let rule = Rule::SgdNesterov { rate: 0.1, momentum: 0.9, decay: 1e-4 };
    let update = |flat: edgezero::net::Flat<'_, Counting>| {
        flat.ops.clip(params, 1.0, flat.grads, flat.tally);
        flat.ops.step(rule, &spans, flat.params, flat.grads, &mut (), None);
        flat.ops.average(params, 0.9, flat.params, &mut ());
    };
    train.learn(Turn::First, &batch, &targets, &LossWeights::default(), update).unwrap();
    let step = train.ops().take();
    let evaluations = EVAL_N.map(|n| {
        let mut infer = InferNet::new(Counting::default(), &net, n, LEN).unwrap();
        infer.ops().take();
        let rows = rows(n);
        infer.run(PackedRows { len: LEN, bytes: &rows, symmetries: &vec![0; n] }, &mut RawOutputs::default()).unwrap();
        infer.ops().take()
    });
    (step, evaluations.into())
}

fn page() -> String {
    let name = "b6c96";
    let (step, evaluations) = count(name);
    let mut page = format!(
        "# Floors of {name} on {LEN}x{LEN}\n\n\
         Counted, not measured: `tests/gpu_floors.rs` walks the net over a backend that only counts, and holds this page against it\n\
         (`EDGEZERO_UPDATE=1 cargo test --test gpu_floors` writes it anew). Measurements stand beside it when a board ran `make gpu-check`.\n\n\
         ## What has to be done a position\n\n\
         | | operations | bytes | were all tensors f32 |\n|---|---|---|---|\n"
    );
    let per = |work: &[Work], n: usize| {
        let sum = |of: fn(&Work) -> f64| work.iter().map(of).sum::<f64>() / n as f64 / 1e6;
        [sum(|w| w.flops), sum(|w| w.bytes), sum(|w| w.wide_bytes)]
    };
    let all: Vec<(String, &[Work], usize)> = std::iter::once((format!("training step, batch {TRAIN_N}"), &step[..], TRAIN_N))
        .chain(evaluations.iter().zip(EVAL_N).map(|(work, n)| (format!("evaluation, batch {n}"), &work[..], n)))
        .collect();
    for (what, work, n) in &all {
        let [flops, bytes, wide_bytes] = per(work, *n);
        writeln!(page, "| {what} | {flops:.0} million | {bytes:.1} MB | {wide_bytes:.1} MB |").unwrap();
    }
    page.push_str("\n## The chips, as their makers describe them\n\n| | | 10^12 operations/s | GB/s |\n|---|---|---|---|\n");
    for chip in &CHIPS {
        writeln!(page, "| {} | {} | {} | {} |", chip.name, chip.facts, chip.tflops, chip.gbytes).unwrap();
    }
    writeln!(
        page,
        "\n## Positions a second\n\n\
         Floor: each operation takes as long as its products or its bytes, whichever is more, and nothing else takes time. Expected:\n\
         {EXPECTED} of that, which is an assumption.\n\n| | | floor, microseconds | floor, positions/s | expected |\n|---|---|---|---|---|",
    )
    .unwrap();
    for chip in &CHIPS {
        for (what, work, n) in &all {
            let seconds = chip.floor_s(work) / *n as f64;
            let speed = 1.0 / seconds;
            writeln!(page, "| {} | {what} | {:.0} | {speed:.0} | {:.0} |", chip.name, seconds * 1e6, speed * EXPECTED).unwrap();
        }
    }
    page.push_str(
        "\n## What is assumed\n\n\
         * Points between operations are 16 bits in memory, f16 or bf16; planes, outputs, vectors, parameters and sums are f32.\n\
         * Convolutions are counted as done directly, and each operation reads and writes its tensors once: what follows finds\n  \
           nothing in a cache. Norm and activation are computed where a tensor is read. A norm's gradient reads its tensors twice;\n  \
           its moments are taken from a convolution's result on its way out.\n\
         * Weights of products are read once an operation, the optimiser is Nesterov's with clipping and averaging, once a step.\n\
         * Clocks are the highest of the maker's table; a board with a lower power mode or a hot one is slower in proportion.\n\
         * Nothing for launches: a captured graph takes some 2 microseconds an operation, which counts at batch 1 only.\n\
         * Winograd's transforms would take less than half of the 3x3 products; with tensor cores memory is the limit before that.\n\
         * Every sum of 32 products of pairs is added to one of f32, which takes the Nano a tenth more than its floor.\n",
    );
    page
}

#[test]
fn the_page_of_floors_is_true() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/gpu/floors.md");
    let page = page();
    if std::env::var_os("EDGEZERO_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == page, "docs/gpu/floors.md is not what the net needs now; EDGEZERO_UPDATE=1 writes it anew");
}
