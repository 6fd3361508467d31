//! Convolutions in half precision, on tensor cores or in pairs: which kernels a device has for them, their tiles and their launches.
//!
//! Factors are rounded to 16 bits on the way in, and sums are f32 (in pairs: sums of 32 products at a time).

use super::compile::Source;
use super::conv::{Output, SPLIT_CELLS, SPLITS_MAX, sizes};
use super::half::Kind;
use super::kernels::{Kernel, load, source};
use super::queue::Queue;
use super::{F32, Precision, View, int};
use crate::base::Result;
use crate::compute::ConvShape;
use crate::device::cuda::{Context, Facts, Function, Launch};

/// Cells of a tile, and of one of the weights' gradient.
const TILE_CELLS: usize = 128;
const GRAD_CELLS: usize = 64;
/// Channels that are read at once: weights are padded to them.
const CHUNK: usize = 32;
/// Input channels of a block of a weight gradient.
const GRAD_CHANNELS: usize = 32;
/// Most taps of a kernel: a bit each.
const TAPS_MAX: usize = 32;
/// Outputs of a tile.
const TILES: [usize; 4] = [32, 64, 96, 128];
/// Taps and outputs of the tiles of a weight gradient.
const GRAD_TILES: [(usize, usize); 5] = [(1, 32), (1, 48), (9, 32), (9, 48), (25, 32)];

/// Instructions for products of small matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// mma.m16n8k16, since sm_80.
    Mma,
    /// wmma, since sm_70.
    Wmma,
    /// Products of pairs of f16 at twice the rate of f32: sm_53, sm_60 and sm_62.
    Half2,
}

impl Family {
    /// As kernels' names have it.
    fn name(self) -> &'static str {
        match self {
            Family::Mma => "mma",
            Family::Wmma => "wmma",
            Family::Half2 => "half2",
        }
    }

    /// Outputs of its tiles.
    fn tiles(self) -> &'static [usize] {
        match self {
            Family::Mma | Family::Wmma => &TILES,
            Family::Half2 => &TILES[..3],
        }
    }

    /// Threads of a block with so many outputs.
    fn threads(self, tile: usize) -> usize {
        match self {
            Family::Half2 if tile == 32 => 64,
            _ => 128,
        }
    }

    /// Threads of a weight gradient's block.
    fn grad_threads(self, taps: usize, tile: usize) -> usize {
        match (self, taps) {
            // four threads bring 32 inputs, and so do a tile's outputs by eight
            (Family::Half2, 25) => 5 * tile / 2,
            (Family::Half2, 9) => 9 * tile / 2,
            (Family::Half2, _) => {
                if tile == 32 {
                    8 * tile / 2
                } else {
                    4 * tile / 2
                }
            }
            (_, 25) => 160,
            (_, 9) => 288,
            _ => 128,
        }
    }
}

/// Kernels that a device has for a precision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tensor {
    family: Family,
    half: &'static str,
    /// What gradients are multiplied by at first, where their range is small.
    pub grad_scale: Option<f32>,
}

/// How much larger errors are where 32 products are summed in f16: measured, 3 at the most.
const PAIR_SUMS: f32 = 4.0;

/// Gradients of half precision are multiplied by this at first: numbers down to 2^-24 / 4096 are more than nothing, and those up
/// to 15 fit. Gradients of a mean over a batch are far below that.
const F16_GRAD_SCALE: f32 = 4096.0;

impl Tensor {
    /// What `precision` means on a device; None: f32 throughout.
    pub(super) fn of(facts: &Facts, precision: Precision) -> Option<Tensor> {
        match (facts.capability, precision) {
            (_, Precision::F32) => None,
            ((5, 3) | (6, 0) | (6, 2), _) => {
                Some(Tensor { family: Family::Half2, half: "f16", grad_scale: Some(F16_GRAD_SCALE) })
            }
            ((..7, _), _) => None,
            ((7, _), _) => Some(Tensor { family: Family::Wmma, half: "f16", grad_scale: Some(F16_GRAD_SCALE) }),
            (_, Precision::F16) => Some(Tensor { family: Family::Mma, half: "f16", grad_scale: Some(F16_GRAD_SCALE) }),
            (_, Precision::Bf16) => Some(Tensor { family: Family::Mma, half: "bf16", grad_scale: None }),
        }
    }

    /// Loads the kernels behind those that are loaded.
    pub(super) fn load(self, context: &Context, functions: &mut Vec<Function>) -> Result<TensorKernels> {
        let (conv, grad) = match self.family {
            Family::Mma => (source!("conv_mma"), source!("wgrad_mma")),
            Family::Wmma => (source!("conv_wmma"), source!("wgrad_wmma")),
            Family::Half2 => (source!("conv_half2"), source!("wgrad_half2")),
        };
        let name = self.family.name();
        let (conv, grad, half) = (load(context, &conv)?, load(context, &grad)?, self.half);
        let shared_bytes_max = context.facts().shared_bytes_max;
        let mut add = |function: Function| function.allow_shared(shared_bytes_max).map(|()| functions.push(function));
        add(conv.function(&format!("prepare_conv_{half}"))?)?;
        for tile in self.family.tiles() {
            add(conv.function(&format!("conv_{name}_{half}_{tile}"))?)?;
        }
        for (taps, tile) in GRAD_TILES {
            add(grad.function(&format!("conv_grad_{name}_{half}_{taps}_{tile}"))?)?;
        }
        let multiprocessors = context.facts().multiprocessors as usize;
        Ok(TensorKernels { tensor: self, shared_bytes_max: shared_bytes_max as usize, multiprocessors })
    }
}

/// The same, loaded.
#[derive(Clone, Copy, Debug)]
pub(super) struct TensorKernels {
    tensor: Tensor,
    shared_bytes_max: usize,
    multiprocessors: usize,
}

/// How a convolution is launched.
#[derive(Clone, Copy)]
struct Tiling {
    kernel: Kernel,
    /// Outputs of a tile.
    tile: usize,
    shared_bytes: usize,
}

/// Weights as the kernels read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// For the convolution.
    Forward,
    /// For the gradient of its input.
    Back,
}

/// Which tensors are 16 bits wide, as the kernels read it: what they read, and their results or the gradients of those.
fn halves(x: u64, y: u64) -> u64 {
    u64::from(x != 0) | u64::from(y != 0) << 1
}

impl TensorKernels {
    /// The largest relative error of a product and of what is summed before f32 is.
    pub(super) fn rounding(self) -> f32 {
        match self.tensor.family {
            Family::Half2 => PAIR_SUMS * Precision::F16.rounding(),
            _ if self.tensor.half == "bf16" => Precision::Bf16.rounding(),
            _ => Precision::F16.rounding(),
        }
    }

    /// The kind of tensors that are kept in 16 bits.
    pub(super) fn kind(self) -> Kind {
        if self.tensor.half == "bf16" { Kind::Bf16 } else { Kind::F16 }
    }

    /// What gradients are multiplied by at first, where they are.
    pub(super) fn grad_scale(self) -> Option<f32> {
        self.tensor.grad_scale
    }

    /// Rows of a patch of so many cells: those and their neighbours before and behind.
    fn rows(self, s: ConvShape, cells: usize) -> usize {
        let pitch = match self.tensor.family {
            Family::Mma | Family::Half2 => s.len,
            Family::Wmma => s.len + s.kernel_x / 2,
        };
        cells + 2 * (s.kernel_y / 2 * pitch + s.kernel_x / 2)
    }

    /// Tiles of all cells, those of shared borders among them.
    pub(super) fn tiles(self, s: ConvShape) -> usize {
        let positions = match self.tensor.family {
            Family::Mma | Family::Half2 => s.cells(),
            Family::Wmma => s.n * (s.len + s.kernel_x / 2) * (s.len + s.kernel_y / 2),
        };
        positions.div_ceil(TILE_CELLS)
    }

    /// How a shape is computed, if it is.
    fn tiling(self, s: ConvShape) -> Option<Tiling> {
        if s.kernel_y * s.kernel_x > TAPS_MAX {
            return None;
        }
        // the widest tile that gives each multiprocessor a block, and for a few boards the narrowest
        let (tiles, n_pad) = (self.tiles(s), s.c_out.next_multiple_of(CHUNK));
        let fits =
            |(_, t): &(usize, usize)| n_pad.is_multiple_of(*t) && (*t == CHUNK || tiles * (n_pad / t) >= self.multiprocessors);
        let (i, tile) = self.tensor.family.tiles().iter().copied().enumerate().rfind(fits)?;
        let rows = self.rows(s, TILE_CELLS);
        let shared_bytes = match self.tensor.family {
            Family::Mma => 2 * (40 * (1 + rows) + 96 * (tile + 8)),
            Family::Wmma => {
                let rows = rows.next_multiple_of(8);
                4 * rows + (2 * (48 * rows + 64 * (tile + 16))).max(128 * (tile + 16))
            }
            Family::Half2 => 2 * ((36 * (1 + rows)).next_multiple_of(8) + 64 * tile),
        };
        (shared_bytes <= self.shared_bytes_max).then_some(Tiling { kernel: Kernel::tensor(1 + i), tile, shared_bytes })
    }

    /// Bytes of the weights as the kernels read them, if they compute the shape.
    pub(super) fn weights_bytes(self, s: ConvShape) -> Option<usize> {
        self.tiling(s).map(|_| 2 * s.kernel_y * s.kernel_x * s.c_in.next_multiple_of(CHUNK) * s.c_out.next_multiple_of(CHUNK))
    }

    /// Queues the making of such weights of `weights` `[ky, kx, c_in, c_out]`. `s` is the shape that is computed with them.
    pub(super) fn prepare(self, queue: &mut Queue, s: ConvShape, turn: Turn, weights: u64, to: u64) {
        let (taps, k_pad, n_pad) = (s.kernel_y * s.kernel_x, s.c_in.next_multiple_of(CHUNK), s.c_out.next_multiple_of(CHUNK));
        // channels as the weights have them
        let (c_in, c_out) = if turn == Turn::Back { (s.c_out, s.c_in) } else { (s.c_in, s.c_out) };
        let args = [to, weights, int(taps), int(c_in), int(c_out), int(k_pad), int(n_pad), u64::from(turn == Turn::Back)];
        queue.each(Kernel::tensor(0), taps * k_pad * n_pad, &args);
    }

    /// Bytes of the moments of a result.
    pub(super) fn moments_bytes(self, s: ConvShape) -> usize {
        F32 * self.tiles(s) * (2 * s.c_out + 1)
    }

    /// Queues `y = base + conv(x, weights)` with weights by [`TensorKernels::prepare`], and the moments of each tile to `moments` if
    /// that is not 0.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn conv(
        self,
        queue: &mut Queue,
        s: ConvShape,
        turn: Turn,
        output: Output,
        weights: u64,
        view: &View,
        moments: u64,
    ) {
        let Tiling { kernel, tile, shared_bytes } = self.tiling(s).expect("the caller asked for the weights' bytes");
        let (k_pad, n_pad) = (s.c_in.next_multiple_of(CHUNK), s.c_out.next_multiple_of(CHUNK));
        let [_, len, ky, kx, c_in, c_out] = sizes(s);
        let args = [
            output.y,
            output.base,
            view.x,
            view.saved,
            view.mask,
            weights,
            moments,
            int(s.cells()),
            len,
            ky,
            kx,
            c_in,
            c_out,
            int(k_pad),
            int(n_pad),
            view.act,
            halves(view.kind, output.kind) | u64::from(turn == Turn::Back) << 2,
        ];
        let grid = [self.tiles(s) as u32, (n_pad / tile) as u32, 1];
        queue.launch(
            kernel,
            Launch { grid, block: [self.tensor.family.threads(tile) as u32, 1, 1], shared_bytes: shared_bytes as u32 },
            &args,
        );
    }

    /// How a weight gradient is computed, if it is: tile and threads.
    fn grad_tiling(self, s: ConvShape) -> Option<(Tiling, usize)> {
        let taps = if s.kernel_y == s.kernel_x { s.kernel_y * s.kernel_x } else { 0 };
        let of_taps = GRAD_TILES.into_iter().enumerate().filter(|(_, (t, _))| *t == taps);
        let (i, (_, tile)) = of_taps.min_by_key(|(_, (_, t))| (s.c_out.next_multiple_of(*t), usize::MAX - t))?;
        let rows = self.rows(s, GRAD_CELLS);
        let shared_bytes = match self.tensor.family {
            Family::Mma => (2 * (40 * (1 + rows) + 64 * (tile + 8)) + 256).max(128 * tile),
            Family::Wmma => {
                let warps = if s.kernel_x == 3 { 9 } else { 5 };
                (2 * (48 * rows + 64 * (tile + 16))).max(1536 * warps).max(6144 + 128 * tile)
            }
            Family::Half2 => (2 * (40 * (1 + rows) + 64 * tile) + 200).max(128 * tile),
        };
        let threads = self.tensor.family.grad_threads(taps, tile);
        let tiling = Tiling { kernel: Kernel::tensor(1 + self.tensor.family.tiles().len() + i), tile, shared_bytes };
        (shared_bytes <= self.shared_bytes_max).then_some((tiling, threads))
    }

    /// Splits of the cells of a weight gradient, if it is computed here.
    pub(super) fn grad_splits(self, s: ConvShape) -> Option<usize> {
        self.grad_tiling(s).map(|_| s.cells().div_ceil(SPLIT_CELLS).clamp(1, SPLITS_MAX))
    }

    /// Queues the partial weight gradients `[splits, ky, kx, c_in, c_out]`.
    pub(super) fn grad_weights(
        self,
        queue: &mut Queue,
        s: ConvShape,
        partials: u64,
        splits: usize,
        view: &View,
        (dy, dy_kind): (u64, u64),
    ) {
        let (Tiling { kernel, tile, shared_bytes }, threads) = self.grad_tiling(s).expect("the caller asked for the splits");
        let [_, len, ky, kx, c_in, c_out] = sizes(s);
        let args = [
            partials,
            view.x,
            view.saved,
            view.mask,
            dy,
            int(s.cells()),
            len,
            ky,
            kx,
            c_in,
            c_out,
            view.act,
            halves(view.kind, dy_kind),
        ];
        // the 25 taps of a 5x5 kernel are five blocks' work
        let groups = if s.kernel_x == 5 { 5 } else { 1 };
        let grid = [s.c_in.div_ceil(GRAD_CHANNELS), s.c_out.div_ceil(tile) * groups, splits].map(|v| v as u32);
        queue.launch(kernel, Launch { grid, block: [threads as u32, 1, 1], shared_bytes: shared_bytes as u32 }, &args);
    }

    /// Bytes of scratch memory for the gradients of a shape.
    pub(super) fn scratch_bytes(self, s: ConvShape) -> usize {
        let back = ConvShape { c_in: s.c_out, c_out: s.c_in, ..s };
        let weights = self.weights_bytes(s).max(self.weights_bytes(back)).unwrap_or(0);
        (weights + 256 + self.moments_bytes(s)).max(self.grad_splits(s).map_or(0, |splits| F32 * splits * s.weights()))
    }
}
