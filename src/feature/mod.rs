//! What a network is shown: KataGo's input version 7 as a packed row.
//!
//! Invariant: unpacking a row gives KataGo's 22 planes and 19 numbers of the same position.

mod encode;

pub use crate::base::symmetry::Symmetry;
pub use crate::compute::packed::PackedRow;
pub use encode::{Encoder, LineEnd, Scene};
