//! The training room.

pub mod config;

pub use config::{Optimizer, TrainConfig};
