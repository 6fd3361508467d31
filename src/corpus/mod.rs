//! Records in, shards out: a streaming conversion and its account.
//!
//! One thread reads, many judge, replay and encode, and the caller's writes in the order of reading (`pipeline`), so the
//! bytes do not depend on the number of workers, and memory does not grow with the corpus (but for the 16 bytes by which a game is
//! known again; `plan` adds up what a run will use).
//!
//! A survey cuts the sources into groups (`groups`); a later run keeps the shards of those that did not change (`convert`), as
//! far as the games that are `known` before them are the same, and numbers the parts of the ledger anew (`part`).
//!
//! The way of a record: [`repair`] and [`filter`] say what is mended and what is wanted, `policy` does it in one pass,
//! `replay` plays it, `outcome` reads its labels, `duplicate` knows it again, and [`ledger`] tells what became of it.
//!
//! Invariant: every position written was reached by legal moves or set up. Where a repair leaves a label in doubt, the
//! label is masked.

mod areas;
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
pub use convert::{Conversion, Converted, Progress, convert, dry_run, source_now};
pub use ledger::{LedgerLine, Verdict};
pub use quarantine::quarantine;
