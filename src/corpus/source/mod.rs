//! Where records come from: files, folders, lists of them, and archives read in place.
//!
//! [`Files`] walks what is on disk in a fixed order; [`Reader`] gives the records of one such file, be it a record or an
//! archive of them. An archive is read once, from front to back: its records go to a `spool` in the profile's memory
//! or, beyond that, in a temporary file, and come out in the order in which a walk through the unpacked folder would
//! meet them. So an archive gives the same shards as its folder, whatever order its members have, without being held in
//! memory. A whole archive is unpacked before its first game: that is a small part of the time its games take.
//!
//! What is wrong with a file or member costs that one, or the rest of its archive, and is told as [`Item::Refused`].

mod archive;
mod budget;
mod folder;
mod kind;
mod list;
mod seven;
mod seven_head;
mod spool;
mod stream;
mod tape;
mod zipped;

pub(super) use archive::names_bytes_max;
pub(super) use folder::QUARANTINE_MARK;
pub(super) use folder::unpacked_bytes_max;
pub use folder::{Entry, Files, Found};
pub(super) use kind::{is_packed, parts_inside};
pub use list::read_list;
pub(super) use spool::nameless_file;

use super::config::ArchiveConfig;
use crate::base::fs::shown;
use crate::base::limits::SGF_FILE_BYTES_MAX;
use crate::base::signal::Stop;
use kind::{HEAD_BYTES, Looks};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::ops::ControlFlow;
use std::path::PathBuf;

/// One thing met in a source.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// The content of a file of records.
    Records {
        /// Where it is, to be read by people: `games.zip!2001/a.sgf`.
        origin: String,
        /// The names on the way to it in its archive, each ended by NUL, as the unpacked folder would have them; empty for a
        /// file on disk.
        inside: Vec<u8>,
        /// Its bytes, unpacked.
        bytes: Vec<u8>,
        /// Its share of the bytes on disk.
        source_bytes: u64,
    },
    /// A file or member that is no record.
    NotRecords,
    /// A file or member that could not be read, and why.
    Refused {
        /// Where it is, as for records.
        origin: String,
        /// The kind of fault, to be counted: `damaged archive`.
        kind: &'static str,
        /// What is wrong.
        reason: String,
    },
}

impl Item {
    fn refused(origin: impl Into<String>, kind: &'static str, reason: impl Into<String>) -> Item {
        Item::Refused { origin: origin.into(), kind, reason: reason.into() }
    }
}

const UNREADABLE: &str = "unreadable file";

/// Whether a refusal of this kind is the world's fault, so that the same file may be read the next time.
pub(super) fn is_passing(kind: &str) -> bool {
    kind == UNREADABLE || kind == archive::DISK
}

/// Takes items; breaking ends the reading.
pub type Sink<'a> = dyn FnMut(Item) -> ControlFlow<()> + 'a;

/// Reads entries of [`Files`], archives among them.
pub struct Reader<'a> {
    limits: &'a ArchiveConfig,
    /// Folder of the temporary file for records that exceed the memory given to them.
    spool_dir: PathBuf,
    stop: &'a Stop,
}

impl<'a> Reader<'a> {
    /// A reader within `limits`; what does not fit in memory waits in a nameless file in `spool_dir`.
    pub fn new(limits: &'a ArchiveConfig, spool_dir: PathBuf, stop: &'a Stop) -> Reader<'a> {
        Reader { limits, spool_dir, stop }
    }

    /// Gives all that `entry` holds. A file that vanished, is unreadable or damaged is an item, not an error.
    pub fn read(&self, entry: &Entry, sink: &mut Sink) -> ControlFlow<()> {
        if let Some(bytes) = read_small(entry) {
            return sink(Item::Records { origin: shown(&entry.path), inside: Vec::new(), source_bytes: entry.bytes, bytes });
        }
        match open(entry) {
            Ok(mut file) => self.read_from(entry, &mut file, sink),
            Err(e) => sink(Item::refused(shown(&entry.path), UNREADABLE, e.to_string())),
        }
    }

    /// The same of what is already open: `entry` only names it.
    pub fn read_from<F: Read + Seek>(&self, entry: &Entry, file: &mut F, sink: &mut Sink) -> ControlFlow<()> {
        let origin = shown(&entry.path);
        let looks = match look(file) {
            Ok(looks) => looks,
            Err(e) => return sink(Item::refused(origin, UNREADABLE, e.to_string())),
        };
        match looks {
            Looks::Archive(format) => return archive::unpack(self, entry, file, format, sink),
            Looks::Unread(what) => return sink(Item::refused(origin, "archive of another kind", unread(what))),
            Looks::Plain => {}
        }
        if let (Some(suffix), false) = (kind::archive_suffix(&entry.name), entry.named) {
            return sink(Item::refused(origin, "damaged archive", misnamed(suffix)));
        }
        sink(match whole(file, entry.bytes) {
            Ok(bytes) => Item::Records { origin, inside: Vec::new(), source_bytes: bytes.len() as u64, bytes },
            Err(reason) => Item::refused(origin, UNREADABLE, reason),
        })
    }
}

/// Largest file read at once, in bytes: a few games.
const SMALL_BYTES_MAX: u64 = 1 << 16;

/// The bytes of a small record of the length that it had when it was found. Everything else is looked at more closely.
fn read_small(entry: &Entry) -> Option<Vec<u8>> {
    if entry.bytes == 0 || entry.bytes > SMALL_BYTES_MAX || !kind::is_record(&entry.name) {
        return None;
    }
    let mut bytes = vec![0; entry.bytes as usize];
    File::open(&entry.path).and_then(|mut file| file.read_exact(&mut bytes)).ok()?;
    (kind::looks(&bytes[..bytes.len().min(HEAD_BYTES)]) == Looks::Plain).then_some(bytes)
}

fn open(entry: &Entry) -> io::Result<File> {
    let file = File::open(&entry.path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a file")) }
}

/// What the first bytes tell.
fn look<F: Read + Seek>(file: &mut F) -> io::Result<Looks> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    file.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(kind::looks(&head))
}

fn unread(what: &str) -> String {
    format!("{what} are not read here; unpack it first")
}

fn misnamed(suffix: &str) -> String {
    format!("named {suffix}, but its bytes are those of no archive")
}

/// The bytes of a file of records, which had so many when it was found.
fn whole<F: Read>(file: &mut F, expected_bytes: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(expected_bytes.min(SGF_FILE_BYTES_MAX) as usize);
    // It may have grown since.
    file.take(SGF_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > SGF_FILE_BYTES_MAX {
        return Err(format!("{} bytes or more, at most {SGF_FILE_BYTES_MAX} are read", expected_bytes.max(bytes.len() as u64)));
    }
    Ok(bytes)
}
