//! Kernels that were compiled when the program was built: by `make kernels`, with the cargo feature `kernels`.

/// The image of a module for a device of this compute capability, if it is part of the program.
pub(super) fn find(name: &str, capability: (u32, u32)) -> Option<&'static [u8]> {
    choose(IMAGES, name, capability)
}

/// The image for the very device, or the text for what came later, which the driver compiles by itself.
fn choose<'a>(images: &'a [Image], name: &str, capability: (u32, u32)) -> Option<&'a [u8]> {
    let of_module = || images.iter().filter(|image| image.module == name);
    let exact = of_module().find(|image| image.capability == Some(capability));
    let text = || of_module().find(|image| image.capability.is_none() && capability >= TEXT_MIN);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_gets_its_own_image_a_later_one_the_text() {
        let image = |module, capability, text: &'static str| Image { module, capability, bytes: text.as_bytes() };
        let images = [
            image("norm", Some((5, 3)), "norm53"),
            image("norm", None, "norm ptx"),
            image("norm", Some((8, 7)), "norm87"),
            image("pool", Some((8, 7)), "pool87"),
        ];
        for (name, capability, expected) in [
            ("norm", (8, 7), Some("norm87")),
            ("norm", (5, 3), Some("norm53")),
            ("norm", (9, 0), Some("norm ptx")),
            ("norm", (8, 6), Some("norm ptx")),
            // before the text's capability, or without one: compiled where it is
            ("norm", (7, 2), None),
            ("pool", (9, 0), None),
            ("loss", (8, 7), None),
        ] {
            assert_eq!(choose(&images, name, capability), expected.map(str::as_bytes), "{name} {capability:?}");
        }
    }

    #[cfg(feature = "kernels")]
    #[test]
    fn every_module_is_there_for_every_board() {
        use crate::compute::cuda::kernels::MODULES;
        let tensor = ["conv_mma", "wgrad_mma", "conv_wmma", "wgrad_wmma", "conv_half2", "wgrad_half2", "ceiling"];
        for name in MODULES.iter().map(|(source, _)| source.name).chain(tensor) {
            for capability in [(5, 3), (6, 2), (7, 2), (8, 7)] {
                assert!(find(name, capability).is_some_and(|cubin| cubin.starts_with(b"\x7fELF")), "{name} {capability:?}");
            }
            let text = String::from_utf8_lossy(find(name, (12, 0)).expect("a text"));
            // modules of other chips' instructions are empty there
            let has_kernels = !name.ends_with("_wmma") && !name.ends_with("_half2");
            assert!(text.contains(".target sm_80") && text.contains(".entry") == has_kernels, "{name}");
        }
    }
}
