//! The network as a list of steps over tensors, written once for training and playing, and where the tensors live.
//!
//! Playing reuses memory as soon as a tensor was read for the last time. Training keeps what the way back needs:
//! the trunk before each block and the results of convolutions; what is normed and activated is computed wherever it is
//! read, which halves the memory.

use super::arch::{Arch, Bias, Block, Conv, Matmul, Norm};
use crate::compute::packed::{N_GLOBALS, N_PLANES};
use crate::compute::{ConvShape, PoolKind};

/// A tensor of the walk.
pub(crate) type Slot = usize;
/// The input planes.
pub(crate) const PLANES: Slot = 0;
/// The input numbers.
pub(crate) const GLOBALS: Slot = 1;

/// Size of a tensor a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// `[len * len, c]`
    Points(usize),
    /// `[c]`
    Vector(usize),
}

impl Extent {
    /// Channels.
    pub fn c(self) -> usize {
        match self {
            Extent::Points(c) | Extent::Vector(c) => c,
        }
    }
}

/// One operation with its layer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Conv {
        conv: Conv,
        x: Slot,
        y: Slot,
        /// The result is added to this tensor.
        base: Option<Slot>,
    },
    Matmul {
        matmul: Matmul,
        x: Slot,
        y: Slot,
    },
    NormAct {
        norm: Norm,
        x: Slot,
        y: Slot,
    },
    Pool {
        kind: PoolKind,
        x: Slot,
        y: Slot,
    },
    BiasAct {
        bias: Bias,
        x: Slot,
        y: Slot,
    },
    /// `y += x` at every point.
    Broadcast {
        x: Slot,
        y: Slot,
    },
}

impl Step {
    /// Input and output.
    pub fn slots(&self) -> (Slot, Slot) {
        match *self {
            Step::Conv { x, y, .. }
            | Step::Matmul { x, y, .. }
            | Step::NormAct { x, y, .. }
            | Step::Pool { x, y, .. }
            | Step::BiasAct { x, y, .. }
            | Step::Broadcast { x, y } => (x, y),
        }
    }
}

impl Step {
    /// The convolution of a step for one array of `len * len`, and the place of its weights.
    pub fn weights(&self, len: usize) -> Option<(ConvShape, usize)> {
        match self {
            Step::Conv { conv, .. } => Some((conv_shape(conv, 1, len), conv.at)),
            Step::Matmul { matmul, .. } => Some((matmul_shape(matmul, 1), matmul.at)),
            _ => None,
        }
    }
}

/// What the walk is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Train,
    Infer,
}

/// The raw outputs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outputs {
    pub policy: Slot,
    pub pass: Slot,
    pub value: Slot,
    pub score: Slot,
    pub ownership: Slot,
}

impl Outputs {
    /// In the order of the fields.
    pub fn all(&self) -> [Slot; 5] {
        [self.policy, self.pass, self.value, self.score, self.ownership]
    }
}

/// A buffer that one or more tensors live in, as the largest of them a board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Storage {
    /// Largest `c` of tensors of points.
    pub points_c: usize,
    /// Largest `c` of vectors.
    pub vector_c: usize,
    /// Whether its numbers come from or go to the host: they keep all their bits.
    pub outside: bool,
}

impl Storage {
    /// Elements for `n` boards in arrays of `len * len`.
    pub fn elements(self, n: usize, len: usize) -> usize {
        (n * len * len * self.points_c).max(n * self.vector_c)
    }

    fn hold(&mut self, extent: Extent) {
        match extent {
            Extent::Points(c) => self.points_c = self.points_c.max(c),
            Extent::Vector(c) => self.vector_c = self.vector_c.max(c),
        }
    }
}

/// Buffers, and which of them each tensor lives in (None: it needs none).
#[derive(Clone, Debug, Default)]
pub(crate) struct Homes {
    pub storages: Vec<Storage>,
    pub home: Vec<Option<usize>>,
}

/// Steps, tensors, and buffers.
pub(crate) struct Plan {
    pub steps: Vec<Step>,
    pub extents: Vec<Extent>,
    pub outputs: Outputs,
    /// Elements of the numbers kept of all norms.
    pub saved_len: usize,
    /// Values of the tensors.
    pub values: Homes,
    /// Gradients of the tensors; empty when playing.
    pub grads: Homes,
    /// The norm step of a tensor that is computed wherever it is read.
    pub read_through: Vec<Option<usize>>,
    /// Norm steps whose gradient is written over that of their output.
    pub in_place: Vec<bool>,
}

impl Plan {
    /// The steps of `arch`, with what a gradient needs of them where `purpose` is training.
    pub fn new(arch: &Arch, purpose: Purpose) -> Plan {
        let mut b = Builder { steps: Vec::new(), extents: Vec::new(), saved_len: 0 };
        let outputs = b.network(arch);
        let Builder { steps, extents, saved_len } = b;
        let reads = |s: &Step, slot: Slot| s.slots().0 == slot || matches!(s, Step::Conv { base, .. } if *base == Some(slot));
        let readers = |slot: Slot| steps.iter().filter(|s| reads(s, slot)).count();
        let in_place: Vec<bool> = steps.iter().map(|s| matches!(s, Step::NormAct { x, .. } if readers(*x) == 1)).collect();
        let mut read_through = vec![None; extents.len()];
        for (i, step) in steps.iter().enumerate() {
            if let Step::NormAct { y, .. } = step {
                read_through[*y] = Some(i);
            }
        }
        let (values, grads) = match purpose {
            Purpose::Infer => (infer_homes(&steps, &extents, &read_through, outputs), Homes::default()),
            Purpose::Train => (train_homes(&extents, &read_through, outputs), grad_homes(&steps, &extents, &in_place, outputs)),
        };
        Plan { steps, extents, outputs, saved_len, values, grads, read_through, in_place }
    }

    /// Whether step `i` is a convolution and the next one norms its result.
    pub fn norm_follows(&self, i: usize) -> bool {
        match (self.steps[i], self.steps.get(i + 1)) {
            (Step::Conv { y, .. }, Some(Step::NormAct { x, .. })) => y == *x,
            _ => false,
        }
    }

    /// Whether step `i` is a convolution and the step before norms its input: all others that read it come later, so on the way
    /// back the gradient of what is normed is complete after step `i`.
    pub fn norm_before(&self, i: usize) -> bool {
        match (i.checked_sub(1).map(|before| self.steps[before]), self.steps[i]) {
            (Some(Step::NormAct { y, .. }), Step::Conv { x, .. }) => x == y,
            _ => false,
        }
    }

    /// Elements of all buffers for `n` boards in arrays of `len * len`.
    pub fn elements(&self, n: usize, len: usize) -> usize {
        let homes = self.values.storages.iter().chain(&self.grads.storages);
        // the mask and its sums are beside
        homes.map(|s| s.elements(n, len)).sum::<usize>() + self.saved_len + n * len * len + n
    }
}

/// The shape of a convolution over `n` boards in arrays of `len * len`.
pub(crate) fn conv_shape(conv: &Conv, n: usize, len: usize) -> ConvShape {
    ConvShape { n, len, kernel_y: conv.kernel[0], kernel_x: conv.kernel[1], c_in: conv.c_in, c_out: conv.c_out }
}

/// The shape of a matrix as a 1x1 convolution of single points.
pub(crate) fn matmul_shape(m: &Matmul, n: usize) -> ConvShape {
    ConvShape { n, len: 1, kernel_y: 1, kernel_x: 1, c_in: m.c_in, c_out: m.c_out }
}

struct Builder {
    steps: Vec<Step>,
    extents: Vec<Extent>,
    saved_len: usize,
}

impl Builder {
    fn slot(&mut self, extent: Extent) -> Slot {
        self.extents.push(extent);
        self.extents.len() - 1
    }

    fn conv(&mut self, conv: &Conv, x: Slot) -> Slot {
        let y = self.slot(Extent::Points(conv.c_out));
        self.steps.push(Step::Conv { conv: *conv, x, y, base: None });
        y
    }

    fn matmul(&mut self, matmul: &Matmul, x: Slot) -> Slot {
        let y = self.slot(Extent::Vector(matmul.c_out));
        self.steps.push(Step::Matmul { matmul: *matmul, x, y });
        y
    }

    fn norm_act(&mut self, norm: &Norm, x: Slot) -> Slot {
        let y = self.slot(Extent::Points(norm.c));
        self.steps.push(Step::NormAct { norm: *norm, x, y });
        self.saved_len += crate::compute::NORM_SAVED * norm.c;
        y
    }

    fn pool(&mut self, kind: PoolKind, x: Slot) -> Slot {
        let y = self.slot(Extent::Vector(3 * self.extents[x].c()));
        self.steps.push(Step::Pool { kind, x, y });
        y
    }

    fn bias_act(&mut self, bias: &Bias, x: Slot) -> Slot {
        let y = self.slot(Extent::Vector(bias.c));
        self.steps.push(Step::BiasAct { bias: *bias, x, y });
        y
    }

    /// The trunk with a convolution of `x` added.
    fn residual(&mut self, trunk: Slot, conv: &Conv, x: Slot) -> Slot {
        let y = self.slot(self.extents[trunk]);
        self.steps.push(Step::Conv { conv: *conv, x, y, base: Some(trunk) });
        y
    }

    fn block(&mut self, block: &Block, trunk: Slot) -> Slot {
        match block {
            Block::Ordinary { norm1, conv1, norm2, conv2 } => {
                let u = self.norm_act(norm1, trunk);
                let mid = self.conv(conv1, u);
                let u = self.norm_act(norm2, mid);
                self.residual(trunk, conv2, u)
            }
            Block::Gpool { norm1, conv1, conv_pool, norm_pool, matmul, norm2, conv2 } => {
                let u = self.norm_act(norm1, trunk);
                let regular = self.conv(conv1, u);
                let pooled = self.conv(conv_pool, u);
                let g = self.norm_act(norm_pool, pooled);
                let g = self.pool(PoolKind::Global, g);
                let x = self.matmul(matmul, g);
                self.steps.push(Step::Broadcast { x, y: regular });
                let u = self.norm_act(norm2, regular);
                self.residual(trunk, conv2, u)
            }
            Block::Nested { norm1, conv1, blocks, norm2, conv2 } => {
                let u = self.norm_act(norm1, trunk);
                let mut inner = self.conv(conv1, u);
                for block in blocks {
                    inner = self.block(block, inner);
                }
                let u = self.norm_act(norm2, inner);
                self.residual(trunk, conv2, u)
            }
        }
    }

    /// KataGo's network (specs: model file, evaluation). The three convolutions of the tip stand together, so that
    /// the tip need not be kept.
    fn network(&mut self, arch: &Arch) -> Outputs {
        assert_eq!(self.slot(Extent::Points(N_PLANES)), PLANES);
        assert_eq!(self.slot(Extent::Vector(N_GLOBALS)), GLOBALS);
        let mut trunk = self.conv(&arch.conv_in, PLANES);
        let x = self.matmul(&arch.matmul_in, GLOBALS);
        self.steps.push(Step::Broadcast { x, y: trunk });
        for block in &arch.blocks {
            trunk = self.block(block, trunk);
        }
        let tip = self.norm_act(&arch.norm_tip, trunk);
        let (p, v) = (&arch.policy, &arch.value);
        let points = self.conv(&p.conv_point, tip);
        let pooled = self.conv(&p.conv_pool, tip);
        let values = self.conv(&v.conv, tip);
        let g = self.norm_act(&p.norm_pool, pooled);
        let g = self.pool(PoolKind::Global, g);
        let x = self.matmul(&p.matmul_bias, g);
        self.steps.push(Step::Broadcast { x, y: points });
        let u = self.norm_act(&p.norm_point, points);
        let policy = self.conv(&p.conv_out, u);
        let pass = match &p.pass_hidden {
            Some((matmul, bias)) => {
                let hidden = self.matmul(matmul, g);
                self.bias_act(bias, hidden)
            }
            None => g,
        };
        let pass = self.matmul(&p.matmul_pass, pass);
        let u = self.norm_act(&v.norm, values);
        let ownership = self.conv(&v.conv_ownership, u);
        let g = self.pool(PoolKind::Value, u);
        let hidden = self.matmul(&v.matmul_hidden, g);
        let hidden = self.bias_act(&v.bias_hidden, hidden);
        let value = self.matmul(&v.matmul_value, hidden);
        let value = self.bias_act(&v.bias_value, value);
        let score = self.matmul(&v.matmul_score, hidden);
        let score = self.bias_act(&v.bias_score, score);
        Outputs { policy, pass, value, score, ownership }
    }
}

/// Whether a tensor is an input or an output of the walk.
fn outside(slot: Slot, outputs: Outputs) -> bool {
    slot == PLANES || slot == GLOBALS || outputs.all().contains(&slot)
}

/// First and last step that touches a group of tensors.
type Life = (usize, usize);

/// Gives each group of tensors a buffer, reusing those whose group is dead. `group[slot]`: its first member.
fn share(extents: &[Extent], group: &[Slot], lives: &[Option<Life>], outputs: Outputs) -> Homes {
    let mut size = vec![Storage::default(); extents.len()];
    for (slot, extent) in extents.iter().enumerate().filter(|(slot, _)| lives[group[*slot]].is_some()) {
        size[group[slot]].hold(*extent);
        size[group[slot]].outside |= outside(slot, outputs);
    }
    let mut order: Vec<(Life, Slot)> = (0..extents.len()).filter_map(|g| lives[g].map(|l| (l, g))).collect();
    order.sort_unstable();
    let mut homes = Homes { storages: Vec::new(), home: vec![None; extents.len()] };
    let mut busy_until: Vec<usize> = Vec::new();
    for ((first, last), g) in order {
        // vectors are small and stay apart, so that no buffer of points is kept busy by one
        let is_points = |s: &Storage| (s.points_c > 0, s.outside);
        let free = (0..busy_until.len())
            .filter(|&i| busy_until[i] < first && is_points(&homes.storages[i]) == is_points(&size[g]))
            .max_by_key(|&i| homes.storages[i].points_c.min(size[g].points_c));
        let i = free.unwrap_or_else(|| {
            homes.storages.push(Storage { outside: size[g].outside, ..Storage::default() });
            busy_until.push(0);
            busy_until.len() - 1
        });
        homes.storages[i].points_c = homes.storages[i].points_c.max(size[g].points_c);
        homes.storages[i].vector_c = homes.storages[i].vector_c.max(size[g].vector_c);
        busy_until[i] = last;
        homes.home[g] = Some(i);
    }
    homes.home = group.iter().map(|g| homes.home[*g]).collect();
    homes
}

/// Merges the groups of two slots under the lower one.
fn join(group: &mut [Slot], a: Slot, b: Slot) {
    let (keep, gone) = (group[a].min(group[b]), group[a].max(group[b]));
    group.iter_mut().filter(|g| **g == gone).for_each(|g| *g = keep);
}

fn touch(lives: &mut [Option<Life>], slot: Slot, time: usize) {
    let life = lives[slot].get_or_insert((time, time));
    *life = (life.0.min(time), life.1.max(time));
}

/// Playing: the trunk stays where it is, the inputs live from the start and the outputs to the end.
fn infer_homes(steps: &[Step], extents: &[Extent], read_through: &[Option<usize>], outputs: Outputs) -> Homes {
    let mut group: Vec<Slot> = (0..extents.len()).collect();
    for step in steps {
        if let Step::Conv { y, base: Some(base), .. } = *step {
            join(&mut group, base, y);
        }
    }
    let mut lives = vec![None; extents.len()];
    // both inputs are filled before the first step and again by the next batch
    for input in [PLANES, GLOBALS] {
        touch(&mut lives, group[input], 0);
        touch(&mut lives, group[input], steps.len());
    }
    for (time, step) in steps.iter().enumerate() {
        if let Step::NormAct { .. } = step {
            continue;
        }
        let (x, y) = step.slots();
        // what is activated where it is read needs its source then
        let source = read_through[x].map_or(x, |norm| steps[norm].slots().0);
        touch(&mut lives, group[source], time);
        touch(&mut lives, group[y], time);
    }
    for output in outputs.all() {
        touch(&mut lives, group[output], steps.len());
    }
    share(extents, &group, &lives, outputs)
}

/// Training: all are kept but those that are activated where they are read.
fn train_homes(extents: &[Extent], read_through: &[Option<usize>], outputs: Outputs) -> Homes {
    let mut homes = Homes::default();
    for (slot, (extent, norm)) in extents.iter().zip(read_through).enumerate() {
        if norm.is_some() {
            homes.home.push(None);
            continue;
        }
        let mut storage = Storage { outside: outside(slot, outputs), ..Storage::default() };
        storage.hold(*extent);
        homes.storages.push(storage);
        homes.home.push(Some(homes.storages.len() - 1));
    }
    homes
}

/// Gradients on the way back: the trunk's share one buffer, and so do both sides of a norm where nothing else reads its input.
fn grad_homes(steps: &[Step], extents: &[Extent], in_place: &[bool], outputs: Outputs) -> Homes {
    let mut group: Vec<Slot> = (0..extents.len()).collect();
    for (step, in_place) in steps.iter().zip(in_place) {
        let (x, y) = step.slots();
        if *in_place {
            join(&mut group, x, y);
        }
        if let Step::Conv { base: Some(base), .. } = *step {
            join(&mut group, base, y);
        }
    }
    let mut lives = vec![None; extents.len()];
    for output in outputs.all() {
        touch(&mut lives, group[output], 0);
    }
    for (back, step) in steps.iter().rev().enumerate() {
        for slot in [step.slots().0, step.slots().1] {
            if slot != PLANES && slot != GLOBALS {
                touch(&mut lives, group[slot], back + 1);
            }
        }
    }
    share(extents, &group, &lives, outputs)
}
