//! Whole training steps and evaluations of a net: positions a second, and the share of the machine that they use.

use super::{Ceilings, seconds_per_call};
use crate::base::{Error, Result};
use crate::compute::packed::{MOVE_NONE, N_PACKED_PLANES, PackedRow};
use crate::compute::{LossWeights, Ops, PackedRows, Rule, Targets};
use crate::device;
use crate::infer::read_net;
use crate::net::{Arch, Batch, InferNet, Net, NetConfig, RawOutputs, TrainNet, Turn};
use serde::Serialize;
use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

/// What a case does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Training steps: forward, backward, optimiser.
    Train,
    /// Evaluations.
    Infer,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Case {
    /// What is done.
    pub task: Task,
    /// A net we make, such as `b6c64`, or the path of a file.
    pub net: String,
    /// Side of the board.
    pub board: usize,
    /// Positions at once.
    pub batch: usize,
}

/// What a case showed.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// The case.
    #[serde(flatten)]
    pub case: Case,
    /// Positions a second.
    pub positions_per_second: f64,
    /// 10^9 operations a second, counted as a direct convolution does them (two a product, a training step three passes).
    pub gflops: f64,
    /// Those operations divided by the machine's ceiling; above 1 where fewer products than a direct convolution's are done.
    pub share_of_peak: f64,
    /// Largest resident memory of the process during the case, in MiB.
    pub peak_mib: f64,
}

/// The cases measured when none is named: training and play at the usual sizes.
pub fn usual() -> Vec<Case> {
    let case = |task, net: &str, board, batch| Case { task, net: net.to_string(), board, batch };
    let mut cases = Vec::new();
    for (net, board, batches) in [("b4c32", 9, [64, 256]), ("b6c64", 19, [64, 256]), ("b6c96", 19, [64, 256])] {
        cases.extend(batches.map(|batch| case(Task::Train, net, board, batch)));
    }
    for (net, board) in [("b4c32", 9), ("b6c64", 19), ("b6c96", 19)] {
        cases.extend([1, 8, 64].map(|batch| case(Task::Infer, net, board, batch)));
    }
    cases
}

impl Case {
    /// Whether there is such a case, before anything is measured.
    pub fn check(&self) -> Result<()> {
        if !(2..=19).contains(&self.board) {
            return Err(Error::call("--board", format!("{}, expected 2 to 19", self.board)));
        }
        net(&self.net).map(|_| ())
    }

    /// Measures the case on a backend for about `window`.
    pub fn measure_on<O: Ops>(&self, ops: O, window: Duration, ceilings: &Ceilings) -> Result<Measured> {
        device::reset_peak_rss();
        let net = net(&self.net)?;
        let seconds = match self.task {
            Task::Train => self.train(ops, &net, window)?,
            Task::Infer => self.infer(ops, &net, window)?,
        };
        let passes = match self.task {
            Task::Train => 3.0,
            Task::Infer => 1.0,
        };
        let rate = self.batch as f64 / seconds;
        let flops = rate * passes * 2.0 * products(net.arch(), self.board);
        Ok(Measured {
            case: self.clone(),
            positions_per_second: rate,
            gflops: flops / 1e9,
            share_of_peak: flops / ceilings.flops,
            peak_mib: device::peak_rss_bytes() as f64 / f64::from(1 << 20),
        })
    }

    fn train<O: Ops>(&self, ops: O, net: &Net, window: Duration) -> Result<f64> {
        let (n, len) = (self.batch, self.board);
        let train = TrainNet::new(ops, net, n, len)?;
        let (rows, symmetries) = (rows(len, n), vec![0u8; n]);
        let (ones, halves) = (vec![1.0f32; n], vec![0.0f32; n * len * len]);
        let (policy, value) = (vec![5u16.min((len * len) as u16); n], vec![[1.0f32, 0.0, 0.0]; n]);
        let targets = Targets {
            policy: &policy,
            value: &value,
            value_weight: &ones,
            score: &ones,
            score_weight: &ones,
            ownership: &halves,
            ownership_weight: &ones,
            weight: &ones,
        };
        let spans = train.spans();
        let mut momentum = train.ops().alloc(net.params().len())?;
        let (train, failed) = (RefCell::new(train), RefCell::new(None));
        let keep = |told: Result<()>| {
            let first = told.err().or(failed.take());
            failed.replace(first);
        };
        let rule = Rule::SgdNesterov { rate: 1e-4, momentum: 0.9, decay: 1e-4 };
        let n_params = net.params().len();
        let mut step = || {
            let batch = Batch { len, rows: &rows, symmetries: &symmetries };
            keep(train.borrow_mut().learn(Turn::First, &batch, &targets, &LossWeights::default(), |flat| {
                flat.ops.clip(n_params, 1.0, flat.grads, flat.tally);
                flat.ops.step(rule, &spans, flat.params, flat.grads, &mut momentum, None);
            }));
        };
        let seconds = seconds_per_call(window, &mut step, &mut || keep(train.borrow_mut().read().map(|_| ())));
        failed.take().map_or(Ok(seconds), Err)
    }

    fn infer<O: Ops>(&self, ops: O, net: &Net, window: Duration) -> Result<f64> {
        let (n, len) = (self.batch, self.board);
        let mut infer = InferNet::new(ops, net, n, len)?;
        let (rows, symmetries) = (rows(len, n), vec![0u8; n]);
        let (mut out, mut failed) = (RawOutputs::default(), None);
        let mut run = || {
            failed = infer.run(PackedRows { len, bytes: &rows, symmetries: &symmetries }, &mut out).err().or(failed.take());
        };
        let seconds = seconds_per_call(window, &mut run, &mut || {});
        failed.map_or(Ok(seconds), Err)
    }
}

/// The net in a file, or a fresh one of the name's sizes.
fn net(name: &str) -> Result<Net> {
    let path = Path::new(name);
    if path.is_file() { read_net(path) } else { Ok(NetConfig::named(name)?.init(1)) }
}

/// Channels of the trunk of [`Case::net`].
pub fn channels(name: &str) -> Result<usize> {
    Ok(net(name)?.arch().conv_in.c_out)
}

/// `n` packed rows of a full board with a third of all plane bits set.
pub(super) fn rows(len: usize, n: usize) -> Vec<u8> {
    let mut row = PackedRow::new(len);
    row.set_size(len, len);
    (0..5).for_each(|back| row.set_move(back, MOVE_NONE));
    for cell in 0..len * len {
        (0..N_PACKED_PLANES).filter(|p| *p != 1 && (cell * 7 + p * 5) % 3 == 0).for_each(|p| row.set_bit(p, cell));
    }
    row.bytes().repeat(n)
}

/// Multiply-and-adds of one position's convolutions, done directly.
fn products(arch: &Arch, len: usize) -> f64 {
    (arch.conv_weights() * len * len) as f64
}
