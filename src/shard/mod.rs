//! Shards: training positions as fixed-stride records in checked, memory-mapped files.
//!
//! A data set is a folder: a `manifest.json`, a `ledger.jsonl`, and for each **group** of sources a
//! `group-KEY-CONTENT.json`, its part of the ledger and a shard file `lenL-CONTENT.shard` for each array length in it. See
//! [`layout`] for the bytes.
//!
//! * A group is a run of sources that is converted as a whole (`corpus` decides where one ends, from the sources alone).
//!   Its key is the identity of these sources and of the settings; the same key gives the same files, so a later run
//!   keeps the groups whose keys it meets again and makes only the others. Nothing else depends on the past: the folder
//!   ends with the bytes that a conversion from nothing would give.
//! * The manifest is the only commit. Files carry their content's identity in their names, so the new ones are written
//!   beside the old ones; renaming the manifest over the old one switches from all old to all new; then what it does
//!   not name is removed. A killed run leaves the old data set whole, and finished groups that the next run finds by
//!   their keys. Half-written files end in `.part` or `.new`, and the next run removes them. Only the ledger has one name
//!   for ever: the manifest tells its checksum, and until a new one has taken that name it is found by its checksum.
//! * One writer at a time: the kernel's lock on the folder, which a dead process does not hold; `writer.pid` says who.
//! * A game with the moves of one in an earlier group, or earlier in its own, is dropped where duplicates are: the first
//!   in the order of the sources stays. A group remembers for which games that mattered, and is made anew when earlier
//!   groups would decide otherwise. The price: a new folder that sorts before old ones and holds the same games takes
//!   these games over, and the old groups that had them are rewritten.
//! * The shards of one array length are one population: a position's number runs through them in the order of their
//!   groups. A record's game number is that of its own file.
//!
//! * [`DatasetWriter`] makes a folder, [`Dataset`] opens one, [`verify()`] reads every byte of one;
//! * [`Sampler`] turns a sample number into a position and a symmetry, so that a stopped run resumes from a number.
//!
//! Invariant: a [`Record`] handed out lies in a block whose checksum was compared, and its numbers are in range.

mod dataset;
mod group;
mod inspect;
pub mod layout;
mod ledger;
mod manifest;
mod reader;
mod record;
mod sampler;
mod verify;
mod writer;

pub use dataset::Dataset;
pub use group::{Completeness, Group, GroupEntry, GroupKey, hash_of};
pub use inspect::{PositionView, ShardSummary, Summary};
pub use layout::{GameEntry, GameHash};
pub use ledger::{CheckedFile, open_ledger};
pub use manifest::{
    LEDGER_NAME, LISTING_NAME, LedgerEntry, MANIFEST_NAME, Manifest, REFUSALS_MAX, Refusal, Report, SPOOL_PREFIX, ShardEntry,
    SizeCount, Source,
};
pub use reader::Shard;
pub use record::{Ending, Outcome, Record, Target, append_record, set_ending};
pub use sampler::{Sample, Sampler, Split};
pub use verify::{Verified, verify};
pub use writer::{DatasetWriter, ShardWriter, Unfinished};

#[cfg(test)]
mod testing;
