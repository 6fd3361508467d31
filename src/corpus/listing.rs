//! The files to convert, on disk: what was surveyed is what is read, and no memory grows with the number of files.

use super::files::Found;
use crate::base::{Error, Result};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A list of records in a file without a name, which goes with the process.
pub(super) struct Listing {
    place: PathBuf,
    out: BufWriter<File>,
    bytes: u64,
}

/// An item of the list.
#[derive(Debug)]
pub(super) struct Listed {
    pub found: Found,
    /// Bytes of the file when it was surveyed.
    pub size: u64,
}

impl Listing {
    /// A new list, in a file at `path` as long as nobody has the name taken away.
    pub(super) fn create(path: &Path) -> Result<Listing> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path);
        let file = file.map_err(|e| Error::io(path, &e))?;
        // A killed run leaves nothing.
        std::fs::remove_file(path).map_err(|e| Error::io(path, &e))?;
        Ok(Listing { place: path.to_path_buf(), out: BufWriter::new(file), bytes: 0 })
    }

    /// Bytes so far: where the next item begins.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn push(&mut self, found: &Found, size: u64) -> Result<()> {
        let (path, reason) = match found {
            Found::Record(path) => (path, ""),
            Found::Unreadable(path, reason) => (path, reason.as_str()),
            Found::Other => return Ok(()),
        };
        let path = path.as_os_str().as_bytes();
        let mut head = [0; 16];
        head[..4].copy_from_slice(&(path.len() as u32).to_le_bytes());
        head[4..8].copy_from_slice(&(reason.len() as u32).to_le_bytes());
        head[8..].copy_from_slice(&size.to_le_bytes());
        for part in [&head, path, reason.as_bytes()] {
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
    pub(super) fn next_item(&mut self) -> Result<Listed> {
        self.read_item().map_err(|e| Error::io(&self.place, &e))
    }

    fn read_item(&mut self) -> std::io::Result<Listed> {
        let mut head = [0; 16];
        self.file.read_exact(&mut head)?;
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let size = u64::from(word(8)) | u64::from(word(12)) << 32;
        let mut path = vec![0; word(0) as usize];
        self.file.read_exact(&mut path)?;
        let mut reason = vec![0; word(4) as usize];
        self.file.read_exact(&mut reason)?;
        let path = PathBuf::from(OsStr::from_bytes(&path));
        let reason = String::from_utf8(reason).map_err(|e| std::io::Error::new(ErrorKind::InvalidData, e))?;
        let found = if reason.is_empty() { Found::Record(path) } else { Found::Unreadable(path, reason) };
        Ok(Listed { found, size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_bytes_come_back() {
        let path = std::env::temp_dir().join(format!("edgezero-listing-{}", std::process::id()));
        let names: [&[u8]; 3] = [b"a/plain.sgf", b"\xff\xfe\n\"\\.sgf", "\u{56f2}\u{7881}".as_bytes()];
        let mut listing = Listing::create(&path).unwrap();
        let mut places = Vec::new();
        for (i, name) in names.into_iter().enumerate() {
            places.push(listing.bytes());
            listing.push(&Found::Record(PathBuf::from(OsStr::from_bytes(name))), i as u64).unwrap();
        }
        listing.push(&Found::Unreadable("folder".into(), "denied".into()), 0).unwrap();
        assert!(!path.exists());
        let mut reader = listing.finish().unwrap();
        for (i, name) in names.into_iter().enumerate().rev() {
            reader.seek(places[i]).unwrap();
            let item = reader.next_item().unwrap();
            assert!(matches!(&item.found, Found::Record(path) if path.as_os_str().as_bytes() == name));
            assert_eq!(item.size, i as u64);
        }
        reader.seek(places[2]).unwrap();
        reader.next_item().unwrap();
        assert!(matches!(reader.next_item().unwrap().found, Found::Unreadable(_, reason) if reason == "denied"));
        assert!(reader.next_item().is_err());
    }
}
