//! The corpus room.

pub mod config;

pub use config::ConvertConfig;
