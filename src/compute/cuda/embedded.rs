//! Kernels that were compiled when the program was built.

/// The image of a module for a device of this compute capability, if it was embedded and made of the same text.
pub(super) fn find(name: &str, capability: (u32, u32), text: &str) -> Option<Vec<u8>> {
    let _ = (name, capability, text);
    None
}
