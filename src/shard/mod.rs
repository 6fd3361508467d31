//! Shards: training positions as fixed-stride records in checked, memory-mapped files.
//!
//! A data set is a folder with a `manifest.json` and one shard file for each array length in it. The manifest names
//! its files and is written last, so a folder is either whole or refused. See [`layout`] for the bytes.
//!
//! * [`DatasetWriter`] makes a folder, [`Dataset`] opens one, [`verify()`] reads every byte of one;
//! * [`Sampler`] turns a sample number into a position and a symmetry, so that a stopped run resumes from a number.
//!
//! Invariant: a [`Record`] handed out lies in a block whose checksum was compared, and its numbers are in range.

mod dataset;
mod inspect;
pub mod layout;
mod manifest;
mod reader;
mod record;
mod sampler;
mod verify;
mod writer;

pub use dataset::Dataset;
pub use inspect::{PositionView, ShardSummary, Summary};
pub use layout::{GameEntry, GameHash};
pub use manifest::{LEDGER_NAME, LedgerEntry, MANIFEST_NAME, Manifest, Refusal, Report, ShardEntry, SizeCount, Source};
pub use reader::Shard;
pub use record::{Ending, Outcome, Record, Target, append_record, set_ending};
pub use sampler::{Sample, Sampler, Split};
pub use verify::{Verified, verify};
pub use writer::{DatasetWriter, ShardWriter};

#[cfg(test)]
mod testing;
