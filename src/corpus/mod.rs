//! Records in, shards out: a streaming conversion and its report.
//!
//! Files are read and parsed in order by one thread, games replayed and encoded by many, and written in order by the
//! caller's, so the bytes do not depend on the number of workers and memory does not grow with the corpus.
//!
//! Invariant: every position written was reached by legal moves or set up, and comes from a game that is legal as a whole.

pub mod config;
mod convert;
mod outcome;
mod replay;
mod rules;
pub mod source;
mod tally;

pub use config::{ArchiveConfig, ConvertConfig};
pub use convert::{Conversion, Progress, convert, is_current};
