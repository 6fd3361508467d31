//! What every room stands on: errors, limits, seeded random numbers, files that appear whole.

pub mod bulk;
pub mod config;
pub mod error;
pub mod fs;
pub mod limits;
pub mod lock;
pub mod rng;
pub mod signal;
pub mod symmetry;

pub use error::{Error, Result};
