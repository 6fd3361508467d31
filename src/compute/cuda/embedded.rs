//! Kernels that were compiled when the program was built: by `make kernels`, with the cargo feature `kernels`.

/// The image of a module for a device of this compute capability, if it is part of the program.
pub(super) fn find(name: &str, capability: (u32, u32)) -> Option<&'static [u8]> {
    let of_module = |image: &&Image| image.module == name;
    let exact = IMAGES.iter().filter(of_module).find(|image| image.capability == Some(capability));
    // what came later compiles the text by itself
    let text = || IMAGES.iter().filter(of_module).find(|image| image.capability.is_none() && capability >= TEXT_MIN);
    exact.or_else(text).map(|image| image.bytes)
}

struct Image {
    module: &'static str,
    /// None: PTX for all from [`TEXT_MIN`] on.
    capability: Option<(u32, u32)>,
    bytes: &'static [u8],
}

/// The least capability that the embedded PTX is for.
const TEXT_MIN: (u32, u32) = (8, 0);

#[cfg(not(feature = "kernels"))]
const IMAGES: &[Image] = &[];

#[cfg(feature = "kernels")]
macro_rules! images {
    ($($module:literal,)*) => {
        &[$(
            images!(one $module, ".sm_53.cubin", Some((5, 3))),
            images!(one $module, ".sm_62.cubin", Some((6, 2))),
            images!(one $module, ".sm_72.cubin", Some((7, 2))),
            images!(one $module, ".sm_87.cubin", Some((8, 7))),
            images!(one $module, ".compute_80.ptx", None),
        )*]
    };
    (one $module:literal, $end:literal, $capability:expr) => {
        Image {
            module: $module,
            capability: $capability,
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/target/kernels/", $module, $end)),
        }
    };
}

#[cfg(feature = "kernels")]
const IMAGES: &[Image] = images![
    "plain_conv",
    "norm",
    "pool",
    "loss",
    "optim",
    "unpack",
    "conv_mma",
    "wgrad_mma",
    "conv_wmma",
    "wgrad_wmma",
    "conv_half2",
    "wgrad_half2",
    "ceiling",
];
