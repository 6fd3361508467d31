//! Tensor operations: trait [`Ops`] with named shapes, and its backends.
//!
//! Tensors are flat `f32` buffers: points as `[n, len * len, c]` (channel fastest), vectors as `[n, c]`.
//! The board sits in the top left corner of the `len x len` array; `mask` is 1 on it and 0 elsewhere.
//! What a tensor holds off the board is unspecified unless an operation says that it writes zeros there.

pub mod cases;
pub mod cpu;
pub mod cuda;
pub mod loss;
pub mod packed;
pub mod precision;

use crate::base::Result;
pub use loss::{LossWeights, Losses, Targets};
pub use precision::Precision;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How a result meets what its output holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// Replaces it.
    Write,
    /// Is added to it.
    Add,
}

/// A part of a flat buffer that starts at element `at`; the shape of the operation says how long it is.
pub struct At<'a, B> {
    /// The whole buffer.
    pub buf: &'a B,
    /// First element.
    pub at: usize,
}

impl<B> Clone for At<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for At<'_, B> {}

/// A part of a flat buffer to be changed, from element `at` on.
pub struct AtMut<'a, B> {
    /// The whole buffer.
    pub buf: &'a mut B,
    /// First element.
    pub at: usize,
}

/// Activation functions of KataGo's nets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// x
    Identity,
    /// max(x, 0)
    Relu,
    /// x tanh(ln(1 + e^x)) (Misra 2019)
    Mish,
    /// x / (1 + e^-x)
    Silu,
}

/// Points of a batch with channels: `[n, len * len, c]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PointsShape {
    /// Boards.
    pub n: usize,
    /// Side of the square array.
    pub len: usize,
    /// Channels.
    pub c: usize,
}

impl PointsShape {
    /// Cells of all boards.
    pub fn cells(self) -> usize {
        self.n * self.len * self.len
    }

    /// Elements of the tensor.
    pub fn elements(self) -> usize {
        self.cells() * self.c
    }
}

/// A convolution with zero padding and equal size (cross-correlation, no bias).
/// `x`: `[n, len * len, c_in]`, weights: `[kernel_y, kernel_x, c_in, c_out]`, `y`: `[n, len * len, c_out]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Boards.
    pub n: usize,
    /// Side of the square array.
    pub len: usize,
    /// Rows of the kernel, odd.
    pub kernel_y: usize,
    /// Columns of the kernel, odd.
    pub kernel_x: usize,
    /// Input channels.
    pub c_in: usize,
    /// Output channels.
    pub c_out: usize,
}

impl ConvShape {
    /// Cells of all boards.
    pub fn cells(self) -> usize {
        self.n * self.len * self.len
    }

    /// Products in one output number: the length of the GEMM's inner dimension.
    pub fn depth(self) -> usize {
        self.kernel_y * self.kernel_x * self.c_in
    }

    /// Elements of the weights.
    pub fn weights(self) -> usize {
        self.depth() * self.c_out
    }
}

/// Batch norm of points: the shape and the small number under the root.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormShape {
    /// The tensor.
    pub points: PointsShape,
    /// Added to the variance.
    pub epsilon: f32,
}

/// Numbers kept of one batch norm: mean, 1 / standard deviation, scale and shift, each `[c]`, in this order.
/// `y = x * scale + shift`.
pub const NORM_SAVED: usize = 4;

/// Learned factor and offset of a batch norm, each `[c]`; absent means 1 and 0.
pub struct NormParams<'a, B> {
    /// gamma
    pub scale: Option<At<'a, B>>,
    /// beta
    pub bias: Option<At<'a, B>>,
}

/// Where mean and variance of a batch norm come from. `running` is `[2, c]`: mean, variance.
pub enum NormSource<'a, B> {
    /// The on-board points of this batch; the running values move towards them by `momentum` (1: take them over).
    Batch {
        /// Share of the new batch.
        momentum: f32,
        /// Running mean and (unbiased) variance.
        running: AtMut<'a, B>,
    },
    /// The running values.
    Running(At<'a, B>),
}

/// Arguments of [`Ops::norm_stats`] for the result of a convolution.
pub struct NormStats<'a, B> {
    /// The norm.
    pub norm: NormShape,
    /// Where mean and variance come from.
    pub source: NormSource<'a, B>,
    /// What is learned.
    pub params: NormParams<'a, B>,
    /// The boards.
    pub mask: Mask<'a, B>,
    /// What is kept, `[4, c]`.
    pub saved: AtMut<'a, B>,
}

/// Points as an operation reads them: as they are, or normed and activated on the way in. What is activated is never stored.
pub struct Input<'a, B> {
    /// `[n, len * len, c]`
    pub x: &'a B,
    /// What lies between `x` and the operation.
    pub norm: Option<NormAct<'a, B>>,
}

/// `act(x * scale + shift)` on the board, 0 off it.
pub struct NormAct<'a, B> {
    /// What [`Ops::norm_stats`] kept.
    pub saved: At<'a, B>,
    /// The function.
    pub act: Activation,
    /// The boards.
    pub mask: Mask<'a, B>,
}

impl<B> Clone for NormAct<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for NormAct<'_, B> {}

impl<B> Clone for Input<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Input<'_, B> {}

/// Weights of a convolution.
pub enum Weights<'a, B, P> {
    /// `[kernel_y, kernel_x, c_in, c_out]`
    Plain(At<'a, B>),
    /// By [`Ops::prepare`], for this kernel, these channels and this `len`.
    Prepared(&'a P),
}

/// What the result of a convolution is added to.
pub enum Base<'a, B> {
    /// Nothing.
    Zero,
    /// What the output holds.
    Own,
    /// Another tensor of the output's shape.
    Of(&'a B),
}

/// Arguments of [`Ops::norm_act_grad`].
pub struct NormGrad<'a, B> {
    /// Input of the norm, `[n, len * len, c]`.
    pub x: &'a B,
    /// What [`Ops::norm_stats`] kept.
    pub saved: At<'a, B>,
    /// The boards.
    pub mask: Mask<'a, B>,
    /// Gradient of the activated output; holds garbage or, with `dx` absent, the gradient of `x` afterwards.
    pub dy: &'a mut B,
    /// The gradient of `x` is added here.
    pub dx: Option<&'a mut B>,
    /// Flat gradients of the parameters; added to.
    pub grads: &'a mut B,
    /// Place of the scale's gradient, `[c]`.
    pub scale_at: Option<usize>,
    /// Place of the bias's gradient, `[c]`.
    pub bias_at: Option<usize>,
}

/// Which cells are on the board: `mask` `[n, len * len]` of 0 and 1, `counts` `[n]` their sums.
pub struct Mask<'a, B> {
    /// 1 on the board, 0 off it.
    pub mask: &'a B,
    /// Points of each board.
    pub counts: &'a B,
}

impl<B> Clone for Mask<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Mask<'_, B> {}

/// The two poolings of points to `3c` numbers a board. A is the number of points, r = sqrt(A) - 14.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// mean, mean * r / 10, maximum.
    Global,
    /// mean, mean * r / 10, mean * (r^2 / 100 - 0.1).
    Value,
}

/// Rows of a batch of vectors: `[rows, c]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowsShape {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub c: usize,
}

/// Packed rows (layout in [`packed`]) and the symmetry each is to be moved by.
#[derive(Clone, Copy)]
pub struct PackedRows<'a> {
    /// Side of the square array.
    pub len: usize,
    /// `n` rows of [`packed::row_bytes`]`(len)` bytes.
    pub bytes: &'a [u8],
    /// `n` numbers from 0 to 7, KataGo's numbering ([`crate::base::symmetry`]).
    pub symmetries: &'a [u8],
}

/// What [`Ops::unpack`] fills.
pub struct Unpacked<'a, B> {
    /// `[n, len * len, 22]`
    pub planes: &'a mut B,
    /// `[n, 19]`
    pub globals: &'a mut B,
    /// `[n, len * len]`
    pub mask: &'a mut B,
    /// `[n]`
    pub counts: &'a mut B,
}

/// Raw outputs of the network.
pub struct Heads<'a, B> {
    /// Board logits, `[n, len * len]`.
    pub policy: &'a B,
    /// Logit of the pass, `[n]`.
    pub pass: &'a B,
    /// Logits of win, loss, no result, `[n, 3]`.
    pub value: &'a B,
    /// `[n, score_c]`: mean / 20, stdev before softplus / 20, lead / 20, …
    pub score: &'a B,
    /// Logits before tanh, `[n, len * len]`.
    pub ownership: &'a B,
}

/// Gradients of the raw outputs, shapes as in [`Heads`].
pub struct HeadGrads<'a, B> {
    /// Board logits.
    pub policy: &'a mut B,
    /// Logit of the pass.
    pub pass: &'a mut B,
    /// Value logits.
    pub value: &'a mut B,
    /// Score numbers.
    pub score: &'a mut B,
    /// Ownership logits.
    pub ownership: &'a mut B,
}

/// Sizes of the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossShape {
    /// Samples.
    pub n: usize,
    /// Side of the square array.
    pub len: usize,
    /// Numbers of the score head, at least 4.
    pub score_c: usize,
}

/// What a backend's sums held.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tallied {
    /// Losses of the batches.
    pub losses: Losses,
    /// Sum of the lengths of gradients before [`Ops::clip`], of the steps that were made.
    pub norms: f64,
    /// Steps that were left out: their gradients were too large for the numbers that they are rounded to.
    pub skipped: u64,
    /// What gradients are multiplied by now, where they are.
    pub grad_scale: Option<GradScale>,
}

/// What gradients are multiplied by from [`Ops::losses`] to [`Ops::clip`], which takes it back, where a backend rounds them to
/// numbers of a small range. It grows while everything fits; where something does not, the step is left out and it is halved
/// (Micikevicius et al. 2018).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GradScale {
    /// The factor, a power of two.
    pub factor: f32,
    /// Steps in a row that fitted, since the factor changed.
    pub fitted_steps: u32,
}

/// Whether weight decay applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decay {
    /// It does.
    On,
    /// It does not: biases, and factors of norms.
    Off,
}

/// A range of the flat parameters with one rule for decay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First element.
    pub at: usize,
    /// Elements.
    pub len: usize,
    /// Weight decay.
    pub decay: Decay,
}

/// One optimiser step on flat buffers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// g += decay * p; m = momentum * m + g; p -= rate * (g + momentum * m). Sutskever et al. 2013, as in PyTorch.
    SgdNesterov {
        /// Learning rate.
        rate: f32,
        /// Share of the old momentum.
        momentum: f32,
        /// L2 factor.
        decay: f32,
    },
    /// Adam with decoupled decay: p -= rate * decay * p (Loshchilov and Hutter 2019).
    AdamW {
        /// Learning rate.
        rate: f32,
        /// Share of the old first moment.
        beta1: f32,
        /// Share of the old second moment.
        beta2: f32,
        /// Added to the root.
        epsilon: f32,
        /// Decoupled decay.
        decay: f32,
        /// Number of this step, from 1.
        step: u64,
    },
}

/// The operations a network is made of. All take shapes explicitly; buffers may be longer than the shape needs.
/// Results depend on the arguments only, never on the number of threads.
pub trait Ops: Send + Sync {
    /// A flat buffer of `f32` on the device.
    type Buf: Send + Sync;

    /// Weights of a convolution in the form that the backend computes with.
    type Prepared: Send + Sync;

    /// Sums of losses and gradients' lengths on the device, read when somebody wants to know them.
    type Tally: Send + Sync;

    /// One line: the backend, its threads or device.
    fn describe(&self) -> String;

    /// Where the GPU is that computes; none where the processor does.
    fn gpu(&self) -> Option<crate::device::nvml::Place> {
        None
    }

    /// Runs a walk over many operations that asks for no results. A device may gather them and do them together at the end;
    /// what fails there is told by the next result that is asked for.
    fn scope<R: Send>(&self, walk: impl FnOnce() -> R + Send) -> R;

    /// Waits until everything is done; tells the first failure since results were last asked for.
    fn finish(&self) -> Result<()>;

    /// How long the device had work since the last call, as far as it has come; none where the host itself computes.
    fn busy(&self) -> Option<Duration> {
        None
    }

    /// A buffer of `len` zeros. Fails where memory does not suffice.
    fn alloc(&self, len: usize) -> Result<Self::Buf>;

    /// A buffer for `len` numbers of points between operations: a backend may keep them in fewer bits than f32 has. They can be
    /// uploaded and downloaded, but not filled or copied to others.
    fn alloc_points(&self, len: usize) -> Result<Self::Buf> {
        self.alloc(len)
    }

    /// Copies host numbers to `to[at..]`.
    fn upload(&self, from: &[f32], to: AtMut<'_, Self::Buf>);

    /// Copies each `from[at..]` to the host, after everything before it is done. Fails where that failed.
    fn download(&self, parts: &mut [(At<'_, Self::Buf>, &mut [f32])]) -> Result<()>;

    /// Sets the first `len` elements.
    fn fill(&self, buf: &mut Self::Buf, len: usize, value: f32);

    /// Copies the first `len` elements.
    fn copy(&self, len: usize, from: &Self::Buf, to: &mut Self::Buf);

    /// Packed rows to planes, globals and mask. Fails if a row is malformed.
    fn unpack(&self, rows: PackedRows<'_>, to: Unpacked<'_, Self::Buf>) -> Result<()>;

    /// The weights of a convolution that is computed many times: `n` of the shape does not matter.
    fn prepare(&self, shape: ConvShape, weights: At<'_, Self::Buf>) -> Result<Self::Prepared>;

    /// Bytes of what [`Ops::prepare`] makes.
    fn prepared_bytes(&self, shape: ConvShape) -> usize;

    /// Boards of `elements` numbers in their largest tensor that are best evaluated together, at most `n`.
    fn together(&self, n: usize, elements: usize) -> usize;

    /// `y = base + conv(input, weights)`. With `len` 1 and a 1x1 kernel this is `[n, c_in] x [c_in, c_out]`.
    fn conv(
        &self,
        shape: ConvShape,
        base: Base<'_, Self::Buf>,
        input: Input<'_, Self::Buf>,
        weights: Weights<'_, Self::Buf, Self::Prepared>,
        y: &mut Self::Buf,
    );

    /// `dx (+)=` gradient of the input of [`Ops::conv`].
    fn conv_grad_input(&self, shape: ConvShape, store: Store, weights: At<'_, Self::Buf>, dy: &Self::Buf, dx: &mut Self::Buf);

    /// `dweights +=` gradient of the weights of [`Ops::conv`].
    fn conv_grad_weights(&self, shape: ConvShape, input: Input<'_, Self::Buf>, dy: &Self::Buf, dweights: AtMut<'_, Self::Buf>);

    /// Mean and variance of a norm, and what follows from them, to `saved` (`[4, c]`, see [`NORM_SAVED`]).
    fn norm_stats(
        &self,
        shape: NormShape,
        source: NormSource<'_, Self::Buf>,
        params: NormParams<'_, Self::Buf>,
        x: &Self::Buf,
        mask: Mask<'_, Self::Buf>,
        saved: AtMut<'_, Self::Buf>,
    );

    /// [`Ops::conv`] and [`Ops::norm_stats`] of its result. A backend that can makes both in one pass.
    #[allow(clippy::too_many_arguments)]
    fn conv_norm_stats(
        &self,
        shape: ConvShape,
        base: Base<'_, Self::Buf>,
        input: Input<'_, Self::Buf>,
        weights: At<'_, Self::Buf>,
        y: &mut Self::Buf,
        stats: NormStats<'_, Self::Buf>,
    ) {
        self.conv(shape, base, input, Weights::Plain(weights), y);
        let NormStats { norm, source, params, mask, saved } = stats;
        self.norm_stats(norm, source, params, y, mask, saved);
    }

    /// [`Ops::conv_grad_input`] to `norm.dy`, which is complete then, and [`Ops::norm_act_grad`] from there. A backend that can
    /// makes both in one pass.
    #[allow(clippy::too_many_arguments)]
    fn conv_norm_grad(
        &self,
        shape: ConvShape,
        store: Store,
        weights: At<'_, Self::Buf>,
        dy: &Self::Buf,
        act: Activation,
        norm: NormGrad<'_, Self::Buf>,
    ) {
        self.conv_grad_input(shape, store, weights, dy, norm.dy);
        self.norm_act_grad(PointsShape { n: shape.n, len: shape.len, c: shape.c_in }, act, norm);
    }

    /// Backward of [`Ops::norm_stats`] from a batch and of [`NormAct`] together; 0 off the board.
    fn norm_act_grad(&self, shape: PointsShape, act: Activation, args: NormGrad<'_, Self::Buf>);

    /// Points on the board to `y` `[n, 3c]`.
    fn pool(&self, shape: PointsShape, kind: PoolKind, input: Input<'_, Self::Buf>, mask: Mask<'_, Self::Buf>, y: &mut Self::Buf);

    /// Backward of [`Ops::pool`]: `dx (+)=` the gradient of what the pooling reads, 0 off the board; the maximum's goes to its
    /// first point.
    #[allow(clippy::too_many_arguments)]
    fn pool_grad(
        &self,
        shape: PointsShape,
        kind: PoolKind,
        store: Store,
        input: Input<'_, Self::Buf>,
        mask: Mask<'_, Self::Buf>,
        dy: &Self::Buf,
        dx: &mut Self::Buf,
    );

    /// `y = act(x + bias)` on `[rows, c]`.
    fn bias_act(&self, shape: RowsShape, act: Activation, x: &Self::Buf, bias: At<'_, Self::Buf>, y: &mut Self::Buf);

    /// Backward of [`Ops::bias_act`]: `dx =`, `dbias +=`.
    #[allow(clippy::too_many_arguments)]
    fn bias_act_grad(
        &self,
        shape: RowsShape,
        act: Activation,
        x: &Self::Buf,
        bias: At<'_, Self::Buf>,
        dy: &Self::Buf,
        dx: &mut Self::Buf,
        dbias: AtMut<'_, Self::Buf>,
    );

    /// Adds `v` `[n, c]` to every point of `y`.
    fn broadcast(&self, shape: PointsShape, v: &Self::Buf, y: &mut Self::Buf);

    /// Backward of [`Ops::broadcast`]: `dv =` sum over all cells of `dy`, which is 0 off the board.
    fn broadcast_grad(&self, shape: PointsShape, dy: &Self::Buf, dv: &mut Self::Buf);

    /// Empty sums.
    fn tally(&self) -> Result<Self::Tally>;

    /// The sums since they were last read, after everything before it is done, and empties them. Fails where that failed.
    fn read(&self, tally: &mut Self::Tally) -> Result<Tallied>;

    /// Goes on with the factor of gradients that a run had; nothing where a backend has none.
    fn set_grad_scale(&self, _to: GradScale, _tally: &mut Self::Tally) {}

    /// Adds the losses of a batch to the sums, and where asked writes the gradients of the raw outputs, multiplied as the sums'
    /// [`GradScale`] says.
    #[allow(clippy::too_many_arguments)]
    fn losses(
        &self,
        shape: LossShape,
        heads: Heads<'_, Self::Buf>,
        mask: Mask<'_, Self::Buf>,
        targets: &Targets<'_>,
        weights: &LossWeights,
        grads: Option<HeadGrads<'_, Self::Buf>>,
        tally: &mut Self::Tally,
    );

    /// One optimiser step on the spans of `params`, none after a [`Ops::clip`] that left it out. `second` is needed by AdamW only.
    fn step(
        &self,
        rule: Rule,
        spans: &[Span],
        params: &mut Self::Buf,
        grads: &Self::Buf,
        first: &mut Self::Buf,
        second: Option<&mut Self::Buf>,
    );

    /// Shortens the first `len` elements, a gradient, to the length `longest` if they are longer (0: never), and adds the length
    /// that they had to the sums. With a [`GradScale`] it takes the factor back, decides whether the step is left out, and moves it.
    fn clip(&self, len: usize, longest: f32, values: &mut Self::Buf, tally: &mut Self::Tally);

    /// Bytes of scratch memory held at most for convolutions up to the size of `shape`, forward and back.
    fn scratch_bytes(&self, shape: ConvShape) -> usize;

    /// `average = keep * average + (1 - keep) * values` on the first `len` elements.
    fn average(&self, len: usize, keep: f32, values: &Self::Buf, average: &mut Self::Buf);
}
