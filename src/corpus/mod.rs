//! Records in, shards out: a streaming conversion and its report.
//!
//! Files are read and parsed in order by one thread, games replayed and encoded by many, and written in order by the
//! caller's, so the bytes do not depend on the number of workers and memory does not grow with the corpus.
//!
//! A survey cuts the sources into groups (`groups`); a later run keeps the shards of those that did not change.
//!
//! Invariant: every position written was reached by legal moves or set up, and comes from a game that is legal as a whole.

pub mod config;
mod convert;
mod files;
mod groups;
mod known;
mod listing;
mod outcome;
mod replay;
mod rules;
mod tally;

pub use config::{ConvertConfig, Duplicates};
pub use convert::{Conversion, Converted, Progress, convert};
