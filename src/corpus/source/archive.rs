//! An archive on disk: unpacked once into a spool, and its records given in the order of the unpacked folder.

use super::super::config::ArchiveConfig;
use super::budget::{Budget, Packed, Unpacked, mib};
use super::kind::{self, Format, HEAD_BYTES, Looks};
use super::spool::{NotTaken, Spool};
use super::stream::Stream;
use super::{Entry, Item, Reader, Sink, misnamed, unread};
use crate::base::fs::shown;
use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use std::cell::Cell;
use std::io::{Read, Seek};
use std::ops::ControlFlow;

pub(super) const DAMAGED: &str = "damaged archive";
const LIMIT: &str = "archive beyond the limits";
const UNREAD: &str = "archive of another kind";
pub(in super::super) const DISK: &str = "no room to unpack";
const REPLACED: &str = "replaced later in its archive";

/// Bytes of names looked at to tell their character set.
const NAMES_BYTES_MAX: usize = 1 << 16;

/// What is wrong with a member or the rest of an archive.
pub(super) struct Fault {
    pub(super) kind: &'static str,
    pub(super) reason: String,
}

impl Fault {
    pub(super) fn damaged(reason: impl ToString) -> Fault {
        Fault { kind: DAMAGED, reason: reason.to_string() }
    }

    pub(super) fn limit(reason: impl ToString) -> Fault {
        Fault { kind: LIMIT, reason: reason.to_string() }
    }
}

/// A record on hold.
struct Member {
    /// What it is sorted by, and its name: see [`kind::push_key`].
    key: Box<[u8]>,
    offset: u64,
    len: u64,
}

/// A place inside the archive on disk.
pub(super) struct Place {
    /// The names on the way to it, as [`kind::push_key`] writes them.
    key: Vec<u8>,
    /// The last of them.
    name: Vec<u8>,
    /// How many archives it is in, itself included where it is one that is being read.
    depth: u32,
    /// Whether its name need not say that it is a record: it was given by the person.
    named: bool,
}

impl Place {
    /// A member of an archive at this place; `path` has `/` between its parts.
    pub(super) fn member(&self, path: &[u8]) -> Place {
        let mut key = self.key.clone();
        let mut name = Vec::new();
        for part in path.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".") {
            kind::push_key(&mut key, part);
            name = part.to_vec();
        }
        Place { key, name, depth: self.depth, named: false }
    }

    /// Whether its name says that there may be records in it.
    pub(super) fn is_wanted(&self) -> bool {
        kind::is_record(&self.name) || kind::archive_suffix(&self.name).is_some()
    }

    /// The same place, as an archive that is being read.
    fn inside(self) -> Place {
        Place { depth: self.depth + 1, ..self }
    }
}

/// Breaks when nothing more is to be read: see [`Budget::is_spent`].
pub(super) type Flow = ControlFlow<()>;

/// Longest path of a record inside an archive, in bytes: what Linux takes for the path of a file.
const NAME_BYTES_MAX: usize = 4096;
/// Bytes that the name of a record takes at the most on average: usual ones take 20 to 100.
const NAME_BYTES_USUAL_MAX: u64 = 256;

/// Memory of the names of an archive's records at the most, in bytes.
pub(in super::super) fn names_bytes_max(limits: &ArchiveConfig) -> u64 {
    limits.members_max.saturating_mul(NAME_BYTES_USUAL_MAX)
}

/// Unpacks one archive on disk.
pub(super) struct Unpacker<'a> {
    reader: &'a Reader<'a>,
    pub(super) budget: &'a Budget<'a>,
    spool: Spool,
    members: Vec<Member>,
    names: EncodingDetector,
    names_bytes: usize,
    /// Bytes of the keys on hold, and of those that were.
    keys_bytes: u64,
    /// The archive's path as it was given.
    origin: String,
    /// Bytes of keys that stand for the archive itself.
    prefix_bytes: usize,
    sink: &'a mut Sink<'a>,
}

/// Gives the records of the archive `file`, which `entry` names.
pub(super) fn unpack<F: Read + Seek>(
    reader: &Reader,
    entry: &Entry,
    file: &mut F,
    format: Format,
    sink: &mut Sink,
) -> ControlFlow<()> {
    let budget = Budget::new(reader.limits, entry.bytes, reader.stop);
    let mut gone = false;
    let mut told = |item| {
        let flow = sink(item);
        gone |= flow.is_break();
        flow
    };
    let name = entry.path.file_name().unwrap_or_default().as_encoded_bytes();
    let place = Place { key: Vec::new(), name: Vec::new(), depth: 0, named: false }.member(name);
    let place = Place { named: entry.named, ..place };
    let mut unpacker = Unpacker {
        reader,
        budget: &budget,
        spool: Spool::new(&reader.spool_dir, reader.limits.spool_mb << 20),
        members: Vec::new(),
        names: EncodingDetector::new(Iso2022JpDetection::Deny),
        names_bytes: 0,
        keys_bytes: 0,
        origin: shown(&entry.path),
        prefix_bytes: place.key.len(),
        sink: &mut told,
    };
    // A break is only on the way out here: what was unpacked before a limit was met is given none the less.
    let _ = if reader.limits.depth_max == 0 {
        unpacker.refuse(&place, Fault::limit("archives are not read: depth_max is 0"))
    } else {
        match format {
            Format::Zip => unpacker.zip(file, entry.bytes, &place.inside()),
            Format::SevenZ => unpacker.seven(file, entry.bytes, &place.inside()),
            _ => unpacker.stream(file, format, place.inside()),
        }
    };
    let _ = unpacker.emit(entry.bytes);
    if gone { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

impl Unpacker<'_> {
    /// Tells of a fault.
    pub(super) fn refuse(&mut self, place: &Place, fault: Fault) -> Flow {
        let origin = self.shown(&place.key);
        (self.sink)(Item::Refused { origin, kind: fault.kind, reason: fault.reason })
    }

    /// Counts a member that is no record.
    pub(super) fn other(&mut self) -> Flow {
        (self.sink)(Item::NotRecords)
    }

    /// Tells why `place` could not be read on: a limit, or what the unpacker said.
    pub(super) fn failed(&mut self, place: &Place, error: impl ToString) -> Flow {
        if self.reader.stop.requested() {
            return ControlFlow::Break(());
        }
        let fault = match self.budget.take_met() {
            Some(limit) => Fault::limit(limit),
            None => Fault::damaged(error),
        };
        self.refuse(place, fault)?;
        if self.budget.is_spent() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Counts one more member of the archive at `place`.
    pub(super) fn count_member(&mut self, place: &Place) -> Flow {
        if self.budget.count_member() { ControlFlow::Continue(()) } else { self.failed(place, "") }
    }

    /// A member with its unpacked content: a record, an archive or something else.
    pub(super) fn member(&mut self, place: Place, from: &mut dyn Read) -> Flow {
        self.learn(&place.name);
        let head = match read_head(from) {
            Ok(head) => head,
            Err(e) => return self.failed(&place, e),
        };
        let mut all = head.chain(from);
        match kind::looks(&head) {
            Looks::Archive(format) if !kind::is_document(&place.name) => self.nested(place, format, &mut all),
            Looks::Unread(what) if !kind::is_document(&place.name) => {
                self.refuse(&place, Fault { kind: UNREAD, reason: unread(what) })
            }
            _ if kind::is_record(&place.name) => self.hold(&place, &mut all),
            _ => match kind::archive_suffix(&place.name) {
                Some(suffix) => self.refuse(&place, Fault::damaged(misnamed(suffix))),
                None => self.other(),
            },
        }
    }

    /// An archive in an archive.
    fn nested(&mut self, place: Place, format: Format, from: &mut dyn Read) -> Flow {
        let depth_max = self.reader.limits.depth_max;
        if place.depth >= depth_max {
            return self.refuse(&place, Fault::limit(format!("archives inside each other, more than {depth_max}")));
        }
        let place = place.inside();
        if !matches!(format, Format::Zip | Format::SevenZ) {
            return self.stream(from, format, place);
        }
        // Their tables are at the end: a copy is needed to read them.
        let mut copy = Spool::new(&self.reader.spool_dir, 0);
        match copy.append(from, self.reader.limits.unpacked_mb << 20) {
            Ok((_, bytes)) if format == Format::Zip => self.zip(&mut copy, bytes, &place),
            Ok((_, bytes)) => self.seven(&mut copy, bytes, &place),
            Err(why) => self.not_taken(&place, why),
        }
    }

    /// A tar, or a compressed file with a tar or something else inside.
    fn stream(&mut self, from: &mut dyn Read, format: Format, place: Place) -> Flow {
        if format == Format::Tar {
            return self.tar(from, &place);
        }
        let packed_bytes = Cell::new(0);
        let stream = Stream::new(Packed { from, bytes: &packed_bytes }, format, self.reader.limits.window_mb << 20);
        let mut unpacked = Unpacked::new(stream, self.budget, &packed_bytes);
        let head = match read_head(&mut unpacked) {
            Ok(head) => head,
            Err(e) => return self.failed(&place, e),
        };
        let name = kind::stem(&place.name);
        let mut all = head.chain(&mut unpacked);
        match kind::looks(&head) {
            Looks::Archive(Format::Tar) => self.tar(&mut all, &place),
            Looks::Archive(format) if !kind::is_document(name) => self.nested(place, format, &mut all),
            Looks::Unread(what) => self.refuse(&place, Fault { kind: UNREAD, reason: unread(what) }),
            _ if kind::archive_suffix(&place.name).is_some_and(|suffix| suffix.starts_with(".t")) => {
                match head.iter().any(|&b| b != 0) {
                    true => self.refuse(&place, Fault::damaged("named a tar, but there is none in it")),
                    // Nothing but the end mark of a tar.
                    false => ControlFlow::Continue(()),
                }
            }
            _ if kind::is_record(name) || place.named => self.hold(&place, &mut all),
            _ if !name.contains(&b'.') && kind::starts_like_a_record(&head) => self.hold(&place, &mut all),
            _ => self.other(),
        }
    }

    /// Keeps a record until all are there.
    fn hold(&mut self, place: &Place, from: &mut dyn Read) -> Flow {
        if place.key.len() - self.prefix_bytes.min(place.key.len()) > NAME_BYTES_MAX {
            return self.refuse(place, Fault::limit(format!("its name is longer than {NAME_BYTES_MAX} bytes")));
        }
        self.keys_bytes += place.key.len() as u64;
        if self.keys_bytes > names_bytes_max(self.reader.limits) {
            return self.refuse(place, Fault::limit("the names of its records take more than 256 bytes for each of members_max"));
        }
        match self.spool.append(from, self.reader.limits.member_mb << 20) {
            Ok((offset, len)) => {
                self.members.push(Member { key: place.key.clone().into(), offset, len });
                ControlFlow::Continue(())
            }
            Err(why) => self.not_taken(place, why),
        }
    }

    fn not_taken(&mut self, place: &Place, why: NotTaken) -> Flow {
        match why {
            NotTaken::Source(e) => self.failed(place, e),
            NotTaken::TooMany(bytes) => self.refuse(place, Fault::limit(format!("larger than {}", mib(bytes)))),
            NotTaken::Disk(e) => {
                // All of it waits for a run with more room: what it holds is given back at once to whoever writes there.
                self.members.clear();
                self.spool = Spool::new(&self.reader.spool_dir, 0);
                let reason = format!("temporary file in {}: {e}", shown(&self.reader.spool_dir));
                (self.sink)(Item::refused(self.origin.clone(), DISK, reason))?;
                ControlFlow::Break(())
            }
        }
    }

    /// Gives the records on hold, sorted.
    fn emit(&mut self, packed_bytes: u64) -> Flow {
        if self.reader.stop.requested() {
            return ControlFlow::Continue(());
        }
        let mut members = std::mem::take(&mut self.members);
        members.sort_by(|a, b| a.key.cmp(&b.key));
        let total = members.iter().map(|m| m.len).sum::<u64>().max(1);
        for (i, member) in members.iter().enumerate() {
            if members.get(i + 1).is_some_and(|next| next.key == member.key) {
                // Unpacking would overwrite it, too.
                let origin = self.shown(&member.key);
                (self.sink)(Item::refused(origin, REPLACED, "a later member has the same name"))?;
                continue;
            }
            let origin = self.shown(&member.key);
            let source_bytes = (packed_bytes as f64 * (member.len as f64 / total as f64)) as u64;
            match self.spool.copy_of(member.offset, member.len) {
                Ok(bytes) => {
                    let inside = kind::unpacked_key(&member.key[self.prefix_bytes.min(member.key.len())..]);
                    (self.sink)(Item::Records { origin, inside, bytes, source_bytes })?
                }
                Err(e) => (self.sink)(Item::refused(origin, DISK, format!("temporary file: {e}")))?,
            }
        }
        ControlFlow::Continue(())
    }

    /// Takes note of names that are not UTF-8: they do not say what they are.
    fn learn(&mut self, name: &[u8]) {
        if self.names_bytes < NAMES_BYTES_MAX && std::str::from_utf8(name).is_err() {
            self.names.feed(name, false);
            self.names.feed(b" ", false);
            self.names_bytes += name.len();
        }
    }

    /// A place as people read it.
    fn shown(&self, key: &[u8]) -> String {
        let inner = kind::shown(&key[self.prefix_bytes.min(key.len())..], |name| match std::str::from_utf8(name) {
            Ok(name) => name.to_string(),
            Err(_) => self.names.guess(None, Utf8Detection::Deny).decode_without_bom_handling(name).0.into_owned(),
        });
        match inner.len() {
            0 => self.origin.clone(),
            // Twice what is taken, since decoding may lengthen it: so no name is cut but of what is refused.
            n if n > 2 * NAME_BYTES_MAX => format!("{}!{}…", self.origin, &inner[..inner.floor_char_boundary(NAME_BYTES_MAX)]),
            _ => format!("{}!{inner}", self.origin),
        }
    }
}

/// The first bytes, which tell the format.
fn read_head(from: &mut dyn Read) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    from.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}
