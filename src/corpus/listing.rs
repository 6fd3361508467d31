//! The files to convert, on disk: what was surveyed is what is read, and no memory grows with the number of files.

use super::source::{Entry, Found, nameless_file};
use crate::base::{Error, Result};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A list of what a walk found, in a file without a name, which goes with the process.
pub(super) struct Listing {
    place: PathBuf,
    out: BufWriter<File>,
    bytes: u64,
}

/// Bytes of the head of an item: lengths of path, name and reason, flags, size and time.
const HEAD_BYTES: usize = 32;
/// The flags.
const NAMED: u32 = 1;
const ARCHIVE: u32 = 2;
const UNREADABLE: u32 = 4;

impl Listing {
    /// A new list on the disk of the folder `dir`.
    pub(super) fn create(dir: &Path) -> Result<Listing> {
        let file = nameless_file(dir).map_err(|e| Error::io(dir, &e))?;
        Ok(Listing { place: dir.to_path_buf(), out: BufWriter::new(file), bytes: 0 })
    }

    /// Bytes so far: where the next item begins.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn push(&mut self, found: &Found) -> Result<()> {
        let (path, name, reason, flags, size, time) = match found {
            Found::File(entry) => {
                let flags = if entry.named { NAMED } else { 0 } | if entry.archive { ARCHIVE } else { 0 };
                (&entry.path, &entry.name[..], "", flags, entry.bytes, entry.modified_ns)
            }
            Found::Unreadable(path, reason) => (path, &[][..], reason.as_str(), UNREADABLE, 0, 0),
            Found::Other => return Ok(()),
        };
        let path = path.as_os_str().as_bytes();
        let mut head = [0; HEAD_BYTES];
        let words = [path.len() as u32, name.len() as u32, reason.len() as u32, flags];
        for (to, word) in head.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        head[16..24].copy_from_slice(&size.to_le_bytes());
        head[24..].copy_from_slice(&time.to_le_bytes());
        for part in [&head[..], path, name, reason.as_bytes()] {
            self.out.write_all(part).map_err(|e| Error::io(&self.place, &e))?;
            self.bytes += part.len() as u64;
        }
        Ok(())
    }

    /// Ends the writing.
    pub(super) fn finish(self) -> Result<ListingReader> {
        let Listing { place, out, .. } = self;
        let file = out.into_inner().map_err(|e| Error::io(&place, e.error()))?;
        Ok(ListingReader { place, file: BufReader::new(file) })
    }
}

/// A finished list.
pub(super) struct ListingReader {
    place: PathBuf,
    file: BufReader<File>,
}

impl ListingReader {
    /// Goes to the item that begins at `at`.
    pub(super) fn seek(&mut self, at: u64) -> Result<()> {
        self.file.seek(SeekFrom::Start(at)).map(|_| ()).map_err(|e| Error::io(&self.place, &e))
    }

    /// The next item.
    pub(super) fn next_item(&mut self) -> Result<Found> {
        self.read_item().map_err(|e| Error::io(&self.place, &e))
    }

    fn read_item(&mut self) -> std::io::Result<Found> {
        let mut head = [0; HEAD_BYTES];
        self.file.read_exact(&mut head)?;
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let mut take = |len: u32| {
            let mut bytes = vec![0; len as usize];
            self.file.read_exact(&mut bytes).map(|()| bytes)
        };
        let (path, name, reason) = (take(word(0))?, take(word(4))?, take(word(8))?);
        let (path, flags) = (PathBuf::from(OsStr::from_bytes(&path)), word(12));
        if flags & UNREADABLE != 0 {
            let reason = String::from_utf8(reason).map_err(|e| std::io::Error::new(ErrorKind::InvalidData, e))?;
            return Ok(Found::Unreadable(path, reason));
        }
        let (named, archive) = (flags & NAMED != 0, flags & ARCHIVE != 0);
        Ok(Found::File(Entry { path, name, bytes: long(16), modified_ns: long(24), named, archive }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_bytes_come_back() {
        let names: [&[u8]; 3] = [b"a/plain.sgf", b"\xff\xfe\n\"\\.sgf", "\u{56f2}\u{7881}".as_bytes()];
        let mut listing = Listing::create(&std::env::temp_dir()).unwrap();
        let mut places = Vec::new();
        let entry = |i: usize| Entry {
            path: PathBuf::from(OsStr::from_bytes(names[i])),
            name: names[i][i..].to_vec(),
            bytes: u64::MAX - i as u64,
            modified_ns: 7 + i as u64,
            named: i == 1,
            archive: i == 2,
        };
        for i in 0..names.len() {
            places.push(listing.bytes());
            listing.push(&Found::File(entry(i))).unwrap();
        }
        listing.push(&Found::Unreadable("folder".into(), "denied".into())).unwrap();
        let mut reader = listing.finish().unwrap();
        for i in [2, 1, 0] {
            reader.seek(places[i]).unwrap();
            assert!(matches!(reader.next_item().unwrap(), Found::File(found) if found == entry(i)), "{i}");
        }
        reader.seek(places[2]).unwrap();
        reader.next_item().unwrap();
        assert!(matches!(reader.next_item().unwrap(), Found::Unreadable(_, reason) if reason == "denied"));
        assert!(reader.next_item().is_err());
    }
}
