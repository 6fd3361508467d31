//! Tensor operations: trait `Ops` with named shapes, and its backends.

pub mod packed;
