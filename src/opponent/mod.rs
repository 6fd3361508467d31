//! The opponent room.

pub mod config;

pub use config::OpponentConfig;
