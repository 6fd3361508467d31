//! Records in, shards out: a streaming conversion and its account.
//!
//! Files are read and parsed in order by one thread, games judged, replayed and encoded by many, and written in order by
//! the caller's, so the bytes do not depend on the number of workers and memory does not grow with the corpus (but for
//! the 16 bytes by which a game is known again).
//!
//! The way of a record: [`repair`] and [`filter`] say what is mended and what is wanted, `policy` does it in one pass,
//! `replay` plays it, `outcome` reads its labels, `duplicate` knows it again, and [`ledger`] tells what became of it.
//!
//! Invariant: every position written was reached by legal moves or set up. Where a repair leaves a label in doubt, the
//! label is masked.

pub mod config;
mod convert;
mod duplicate;
pub mod filter;
mod groups;
mod known;
pub mod ledger;
mod listing;
mod outcome;
mod part;
mod pipeline;
mod plan;
mod policy;
mod quarantine;
pub mod repair;
mod replay;
mod rules;
mod scribe;
pub mod source;
#[doc(hidden)]
pub mod stages;
pub mod stats;
mod tally;
mod walk;
mod worker;

pub use config::{ArchiveConfig, ConvertConfig, Duplicates, Variations, Weight};
pub use convert::{Conversion, Converted, Progress, convert, dry_run};
pub use ledger::{LedgerLine, Verdict};
pub use quarantine::quarantine;
