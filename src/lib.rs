//! edgezero turns a folder of Go game records into an opponent, on the board that will play it.
//!
//! The rooms and the direction of their imports are described in ARCHITECTURE.md;
//! `tests/layering.rs` holds them.

pub mod base;
pub mod compute;
pub mod corpus;
pub mod device;
pub mod diagnose;
pub mod feature;
pub mod go;
pub mod infer;
pub mod net;
pub mod opponent;
pub mod profile;
pub mod search;
pub mod sgf;
pub mod shard;
pub mod train;

pub mod cli;
