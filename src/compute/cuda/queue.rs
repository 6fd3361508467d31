//! Work on its way to a device: gathered while a walk lasts, then queued at once, as a graph where the same work came before.
//!
//! Numbers of the host that kernels read (packed rows, targets, learning rates) are staged: written to one of two page-locked
//! slots and copied to the device as a whole before the work that reads them. So a walk over the same buffers is the same
//! list of launches each time, whatever the numbers are; the list itself is the key to its graph.

use super::busy::Busy;
use super::kernels::{Kernel, Kernels};
use super::tensor::{Tensor, TensorKernels};
use crate::base::{Error, Result};
use crate::compute::Span;
use crate::device::cuda::{Buffer, Context, Event, Graph, Launch, Pinned, Stream};
use std::time::Duration;

/// Bytes that everything staged begins at a multiple of.
const STAGED_ALIGN: usize = 16;
/// Bytes of a staging slot at first.
const STAGED_BYTES_MIN: usize = 64 << 10;
/// Lists of work that are kept: a training step's, a validation's, and an evaluation's for some batch sizes.
const KEPT_MAX: usize = 16;

/// One piece of work. Arguments lie in a list of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Launch { kernel: Kernel, launch: Launch, args_at: usize, n_args: usize },
    Copy { from: u64, to: u64, bytes: usize },
    Fill { to: u64, word: u32, words: usize },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Work {
    commands: Vec<Command>,
    args: Vec<u64>,
}

/// Work that came before.
struct Kept {
    work: Work,
    /// From the second time on.
    graph: Option<Graph>,
    /// When it came last.
    tick: u64,
}

/// One of two page-locked slots.
struct Slot {
    host: Pinned,
    /// Passed when the device has its copy.
    copied: Event,
}

/// A device's queue with what it holds for its kernels.
pub(super) struct Queue {
    stream: Stream,
    kernels: Kernels,
    work: Work,
    /// Walks that gather.
    depth: usize,
    slots: [Slot; 2],
    /// The slot that is written.
    slot: usize,
    staged: Buffer,
    staged_len: usize,
    scratch: Buffer,
    /// What downloads come through.
    returns: Pinned,
    kept: Vec<Kept>,
    tick: u64,
    graphs: Graphs,
    busy: Busy,
    /// The first failure since results were asked for.
    fault: Option<Error>,
    /// Which parameters decay, and the spans it was made for.
    decays: Option<(Vec<Span>, usize, Buffer)>,
}

/// Whether graphs are made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Graphs {
    On,
    /// One could not be: work is queued piece by piece.
    Off,
}

impl Queue {
    pub(super) fn new(context: &Context, tensor: Option<Tensor>) -> Result<Queue> {
        let kernels = Kernels::load(context, tensor)?;
        let slot = || Ok(Slot { host: Pinned::new(context, STAGED_BYTES_MIN)?, copied: Event::new(context)? });
        Ok(Queue {
            stream: Stream::new(context)?,
            kernels,
            work: Work::default(),
            depth: 0,
            slots: [slot()?, slot()?],
            slot: 0,
            staged: Buffer::new(context, STAGED_BYTES_MIN)?,
            staged_len: 0,
            scratch: Buffer::new(context, 1)?,
            returns: Pinned::new(context, 1)?,
            kept: Vec::new(),
            tick: 0,
            graphs: Graphs::On,
            busy: Busy::new(context)?,
            fault: None,
            decays: None,
        })
    }

    /// The tensor cores' kernels, where they are used.
    pub(super) fn tensor(&self) -> Option<TensorKernels> {
        self.kernels.tensor
    }

    /// How long the device had work since the last call.
    pub(super) fn busy(&mut self) -> Duration {
        self.busy.take()
    }

    /// Memory of the device.
    pub(super) fn buffer(&self, bytes: usize) -> Result<Buffer> {
        Buffer::new(self.stream.context(), bytes)
    }

    /// A walk begins: work is gathered.
    pub(super) fn begin(&mut self) {
        self.depth += 1;
    }

    /// A walk ends: what it gathered is queued.
    pub(super) fn end(&mut self) {
        self.depth -= 1;
        if self.depth == 0 {
            self.flush(Graphs::On);
        }
    }

    fn added(&mut self) {
        if self.depth == 0 {
            self.flush(Graphs::Off);
        }
    }

    /// A launch of a one-dimensional grid of so many threads.
    pub(super) fn each(&mut self, kernel: Kernel, threads: usize, args: &[u64]) {
        const BLOCK: u32 = 256;
        let blocks = u32::try_from(threads.div_ceil(BLOCK as usize)).expect("tensors are far below 2^40 elements");
        self.launch(kernel, Launch { grid: [blocks, 1, 1], block: [BLOCK, 1, 1], shared_bytes: 0 }, args);
    }

    /// A launch. An extent of nothing is left out.
    pub(super) fn launch(&mut self, kernel: Kernel, launch: Launch, args: &[u64]) {
        if launch.grid.contains(&0) {
            return;
        }
        let args_at = self.work.args.len();
        self.work.args.extend_from_slice(args);
        self.work.commands.push(Command::Launch { kernel, launch, args_at, n_args: args.len() });
        self.added();
    }

    /// A copy between device addresses.
    pub(super) fn copy(&mut self, from: u64, to: u64, bytes: usize) {
        if bytes > 0 && from != to {
            self.work.commands.push(Command::Copy { from, to, bytes });
            self.added();
        }
    }

    /// `words` times the same 32 bits.
    pub(super) fn fill(&mut self, to: u64, word: u32, words: usize) {
        if words > 0 {
            self.work.commands.push(Command::Fill { to, word, words });
            self.added();
        }
    }

    /// Stages bytes of the host for the next launch, and gives the device addresses of the parts.
    pub(super) fn stage<const N: usize>(&mut self, parts: [&[u8]; N]) -> Result<[u64; N]> {
        let padded = |part: &[u8]| part.len().next_multiple_of(STAGED_ALIGN);
        let needed: usize = parts.iter().map(|part| padded(part)).sum();
        if self.staged_len + needed > self.staged.bytes() {
            self.grow_staging(needed)?;
        }
        if self.staged_len == 0 {
            // what the slot held two batches ago has left it
            self.slots[self.slot].copied.wait()?;
        }
        let host = self.slots[self.slot].host.all_mut();
        Ok(parts.map(|part| {
            let at = self.staged_len;
            host[at..at + part.len()].copy_from_slice(part);
            self.staged_len += padded(part);
            self.staged.address() + at as u64
        }))
    }

    /// Slots and the device's copy for the largest batch so far, when nothing uses the old ones.
    fn grow_staging(&mut self, needed: usize) -> Result<()> {
        self.flush(Graphs::Off);
        self.stream.wait()?;
        let context = self.stream.context();
        // Room for what the same walk stages besides.
        let bytes = (self.staged.bytes() + needed).next_power_of_two();
        self.staged = Buffer::new(context, bytes)?;
        for slot in &mut self.slots {
            slot.host = Pinned::new(context, bytes)?;
        }
        Ok(())
    }

    /// The address of at least so many bytes that hold until the next call.
    pub(super) fn scratch(&mut self, bytes: usize) -> Result<u64> {
        if bytes > self.scratch.bytes() {
            self.flush(Graphs::Off);
            self.stream.wait()?;
            self.scratch = Buffer::new(self.stream.context(), bytes)?;
        }
        Ok(self.scratch.address())
    }

    /// Keeps the first failure.
    pub(super) fn fail(&mut self, e: Error) {
        self.fault.get_or_insert(e);
    }

    /// Which parameters decay: a byte each, as the optimiser's kernels read it.
    pub(super) fn decays(&mut self, spans: &[Span], len: usize, mark: impl Fn(&Span) -> u8, none: u8) -> Result<u64> {
        if let Some((of, of_len, buffer)) = &self.decays
            && of == spans
            && *of_len == len
        {
            return Ok(buffer.address());
        }
        self.flush(Graphs::Off);
        let mut marks = vec![none; len];
        spans.iter().for_each(|span| marks[span.at..span.at + span.len].fill(mark(span)));
        let buffer = Buffer::new(self.stream.context(), len)?;
        // SAFETY: the buffer has that many bytes and is kept; the driver keeps its own copy of memory that is not page-locked.
        unsafe { self.stream.upload(&marks, buffer.address())? };
        let address = buffer.address();
        self.decays = Some((spans.to_vec(), len, buffer));
        Ok(address)
    }

    /// Copies host bytes to a device address now.
    pub(super) fn upload(&mut self, from: &[u8], to: u64) {
        self.flush(Graphs::Off);
        // SAFETY: the caller checked the extent; the bytes stay until the wait is over.
        let done = self.stream.bind().and_then(|()| unsafe { self.stream.upload(from, to) }).and_then(|()| self.stream.wait());
        done.unwrap_or_else(|e| self.fail(e));
    }

    /// Copies device memory to the host, after everything before it is done: device addresses and where they go.
    pub(super) fn download(&mut self, parts: &mut [(u64, &mut [u8])]) -> Result<()> {
        self.flush(Graphs::Off);
        let needed = parts.iter().map(|(_, to)| to.len()).sum();
        if self.returns.all().len() < needed {
            self.returns = Pinned::new(self.stream.context(), needed)?;
        }
        self.stream.bind()?;
        let mut rest = self.returns.all_mut();
        for (from, to) in parts.iter() {
            let (part, more) = rest.split_at_mut(to.len());
            rest = more;
            // SAFETY: the caller checked the extent; the page-locked memory stays, and is waited for below.
            if let Err(e) = unsafe { self.stream.download(*from, part) } {
                self.fault.get_or_insert(e);
            }
        }
        self.finish()?;
        let mut rest = self.returns.all();
        for (_, to) in parts.iter_mut() {
            let (part, more) = rest.split_at(to.len());
            rest = more;
            to.copy_from_slice(part);
        }
        Ok(())
    }

    /// Waits for everything; the first failure.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.flush(Graphs::Off);
        let waited = self.stream.wait();
        match self.fault.take() {
            Some(fault) => Err(fault),
            None => waited.map_err(|e| e.or_hint("compute-sanitizer, which may name the kernel; or --backend cpu")),
        }
    }

    /// Queues what was gathered. After a failure nothing is queued until somebody has heard of it.
    fn flush(&mut self, graphs: Graphs) {
        if !self.work.commands.is_empty() || self.staged_len > 0 {
            let done = if self.fault.is_none() { self.queue(graphs) } else { Ok(()) };
            done.unwrap_or_else(|e| self.fail(e));
            self.work.commands.clear();
            self.work.args.clear();
            self.staged_len = 0;
        }
    }

    /// Queues what was gathered, between marks.
    fn queue(&mut self, graphs: Graphs) -> Result<()> {
        self.stream.bind()?;
        self.busy.begin(&self.stream)?;
        self.queue_work(graphs)?;
        self.busy.end(&self.stream)
    }

    fn queue_work(&mut self, graphs: Graphs) -> Result<()> {
        if self.staged_len > 0 {
            let slot = &self.slots[self.slot];
            // SAFETY: the device's copy is as long as a slot; the slot is not written before the event was passed.
            unsafe { self.stream.upload(&slot.host.all()[..self.staged_len], self.staged.address())? };
            slot.copied.record(&self.stream)?;
            self.slot = 1 - self.slot;
        }
        if graphs == Graphs::Off || self.graphs == Graphs::Off {
            return issue(&self.stream, &self.kernels, &self.work);
        }
        self.tick += 1;
        let Some(kept) = self.kept.iter_mut().find(|kept| kept.work == self.work) else {
            self.remember();
            return issue(&self.stream, &self.kernels, &self.work);
        };
        kept.tick = self.tick;
        if kept.graph.is_none() {
            match self.stream.capture(|| issue(&self.stream, &self.kernels, &self.work)) {
                Ok(graph) => kept.graph = Some(graph),
                Err(e) => {
                    log::warn!("{e}; going on without graphs");
                    self.graphs = Graphs::Off;
                }
            }
        }
        match &kept.graph {
            // SAFETY: the graph has the addresses of this very list, whose memory is alive: the walk has it.
            Some(graph) => unsafe { graph.launch(&self.stream) },
            None => issue(&self.stream, &self.kernels, &self.work),
        }
    }

    /// Keeps the list, in the place of the one that did not come for the longest time.
    fn remember(&mut self) {
        let kept = Kept { work: self.work.clone(), graph: None, tick: self.tick };
        if self.kept.len() < KEPT_MAX {
            self.kept.push(kept);
        } else if let Some(oldest) = self.kept.iter_mut().min_by_key(|kept| kept.tick) {
            *oldest = kept;
        }
    }
}

/// Queues a list piece by piece.
fn issue(stream: &Stream, kernels: &Kernels, work: &Work) -> Result<()> {
    for command in &work.commands {
        // SAFETY: the operations checked each extent against its buffer when they gathered the work; arguments are the kernels' own.
        unsafe {
            match *command {
                Command::Launch { kernel, launch, args_at, n_args } => {
                    kernels.get(kernel).launch(stream, launch, &work.args[args_at..args_at + n_args])?;
                }
                Command::Copy { from, to, bytes } => stream.copy(from, to, bytes)?,
                Command::Fill { to, word, words } => stream.fill(to, word, words)?,
            }
        }
    }
    Ok(())
}
