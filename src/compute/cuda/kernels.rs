//! The kernels by their names, loaded for a device. Each .cu file is a module.

use super::compile::{Source, image};
use super::embedded;
use super::tensor::{Tensor, TensorKernels};
use crate::base::Result;
use crate::device::cuda::{Context, Function, Module};

/// What stands before each .cu file.
macro_rules! source {
    ($name:literal) => {
        Source {
            name: $name,
            parts: &[
                include_str!("device.cuh"),
                include_str!("view.cuh"),
                include_str!("tile.cuh"),
                include_str!(concat!($name, ".cu")),
            ],
        }
    };
}
pub(super) use source;

/// A kernel by its place; what it does and takes stands in its .cu file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kernel(u16);

/// The table of modules and of the kernels in each, and the places of those.
macro_rules! kernels {
    ($($file:literal: [$($kernel:ident = $name:literal,)*],)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Place { $($($kernel,)*)* TENSOR }

        impl Kernel {
            $($(pub(super) const $kernel: Kernel = Kernel(Place::$kernel as u16);)*)*
        }

        pub(super) const MODULES: &[(Source, &[&str])] = &[$((source!($file), &[$($name,)*]),)*];
    };
}

kernels! {
    "plain_conv": [
        CONV_PLAIN = "conv_plain",
        CONV_GRAD_INPUT_PLAIN = "conv_grad_input_plain",
        CONV_GRAD_WEIGHTS_PLAIN = "conv_grad_weights_plain",
        ADD_PARTIALS = "add_partials",
    ],
    "norm": [
        NORM_MOMENTS = "norm_moments",
        NORM_FINISH = "norm_finish",
        NORM_RUNNING = "norm_running",
        NORM_GRAD_SUMS = "norm_grad_sums",
        NORM_GRAD_TOTALS = "norm_grad_totals",
        NORM_GRAD_APPLY = "norm_grad_apply",
    ],
    "pool": [
        POOL_POINTS = "pool_points",
        POOL_GRAD = "pool_grad",
        BIAS_ACT = "bias_act",
        BIAS_ACT_GRAD = "bias_act_grad",
        BROADCAST = "broadcast",
        BROADCAST_GRAD = "broadcast_grad",
    ],
    "loss": [
        LOSSES = "losses",
        LOSSES_TOTAL = "losses_total",
    ],
    "optim": [
        STEP_SGD = "step_sgd",
        STEP_ADAMW = "step_adamw",
        AVERAGE_VALUES = "average_values",
        SQUARES = "squares",
        CLIP_FACTOR = "clip_factor",
        SCALE_VALUES = "scale_values",
    ],
    "unpack": [
        UNPACK = "unpack",
    ],
}

impl Kernel {
    /// Kernel `i` of the tensor cores'.
    pub(super) fn tensor(i: usize) -> Kernel {
        Kernel(Place::TENSOR as u16 + i as u16)
    }
}

/// All kernels on a device.
pub(super) struct Kernels {
    functions: Vec<Function>,
    /// Where the tensor cores' are among them, if they are used.
    pub tensor: Option<TensorKernels>,
}

impl Kernels {
    /// Compiles what is not compiled yet, and loads it.
    pub(super) fn load(context: &Context, tensor: Option<Tensor>) -> Result<Kernels> {
        let mut functions = Vec::new();
        for (source, names) in MODULES {
            let module = load(context, source)?;
            for name in *names {
                functions.push(module.function(name)?);
            }
        }
        debug_assert_eq!(functions.len(), Place::TENSOR as usize);
        let tensor = match tensor {
            Some(tensor) => Some(tensor.load(context, &mut functions)?),
            None => None,
        };
        Ok(Kernels { functions, tensor })
    }

    /// One of them.
    pub(super) fn get(&self, kernel: Kernel) -> &Function {
        &self.functions[usize::from(kernel.0)]
    }
}

/// A module on a device: what is part of the program, where the driver takes it, else compiled here.
pub(super) fn load(context: &Context, source: &Source) -> Result<Module> {
    if let Some(bytes) = embedded::find(source.name, context.facts().capability) {
        match load_image(context, source.name, bytes.to_vec()) {
            Ok(module) => return Ok(module),
            // an older driver than the kernels were made for
            Err(e) => log::debug!("{e}; compiling them here"),
        }
    }
    load_image(context, source.name, image(context, source)?)
}

fn load_image(context: &Context, name: &str, mut image: Vec<u8>) -> Result<Module> {
    // PTX is a text and must end as C's do; a cubin says itself how long it is.
    image.push(0);
    // SAFETY: the image was made by the compiler, as a whole, and checked where it came from the disk.
    unsafe { Module::load(context, name, &image) }
}
