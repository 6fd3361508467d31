//! The kernels by their names, loaded for a device.

use super::compile::{Source, image};
use crate::base::Result;
use crate::device::cuda::{Context, Function, Module};

/// The plain f32 kernels: the reference on any device.
const PLAIN: Source = Source {
    name: "plain",
    parts: &[
        include_str!("device.cuh"),
        include_str!("view.cuh"),
        include_str!("plain_conv.cu"),
        include_str!("norm.cu"),
        include_str!("pool.cu"),
        include_str!("loss.cu"),
        include_str!("optim.cu"),
        include_str!("unpack.cu"),
    ],
    options: &[],
};

/// An enum of kernels and the table of their names.
macro_rules! kernels {
    ($($kernel:ident = $name:literal,)*) => {
        /// A kernel; what it does and takes stands in its .cu file.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Kernel { $($kernel,)* }

        const NAMES: &[&str] = &[$($name,)*];
    };
}

kernels! {
    ConvPlain = "conv_plain",
    ConvGradInputPlain = "conv_grad_input_plain",
    ConvGradWeightsPlain = "conv_grad_weights_plain",
    AddPartials = "add_partials",
    NormMoments = "norm_moments",
    NormFinish = "norm_finish",
    NormRunning = "norm_running",
    NormGradSums = "norm_grad_sums",
    NormGradTotals = "norm_grad_totals",
    NormGradApply = "norm_grad_apply",
    PoolPoints = "pool_points",
    PoolGrad = "pool_grad",
    BiasAct = "bias_act",
    BiasActGrad = "bias_act_grad",
    Broadcast = "broadcast",
    BroadcastGrad = "broadcast_grad",
    Losses = "losses",
    LossesTotal = "losses_total",
    StepSgd = "step_sgd",
    StepAdamW = "step_adamw",
    AverageValues = "average_values",
    Squares = "squares",
    ClipFactor = "clip_factor",
    ScaleValues = "scale_values",
    Unpack = "unpack",
}

/// All kernels on a device.
pub(super) struct Kernels(Vec<Function>);

impl Kernels {
    /// Compiles what is not compiled yet, and loads it.
    pub(super) fn load(context: &Context) -> Result<Kernels> {
        let mut image = image(context, &PLAIN)?;
        // PTX is a text and must end as C's do; a cubin says itself how long it is.
        image.push(0);
        // SAFETY: the image was made by the compiler, as a whole, and checked where it came from the disk.
        let module = unsafe { Module::load(context, PLAIN.name, &image)? };
        NAMES.iter().map(|name| module.function(name)).collect::<Result<Vec<_>>>().map(Kernels)
    }

    /// One of them.
    pub(super) fn get(&self, kernel: Kernel) -> &Function {
        &self.0[kernel as usize]
    }
}
