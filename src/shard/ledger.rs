//! Files of lines whose length and checksum are known: the ledger, and the parts of it that groups keep.

use super::layout::HINT_AGAIN;
use super::manifest::{LEDGER_NAME, LedgerEntry, MANIFEST_NAME, Manifest};
use crate::base::fs::WholeFile;
use crate::base::{Error, Result};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A file in the making, with its entry.
pub(super) struct LinesWriter {
    file: WholeFile,
    entry: LedgerEntry,
}

impl LinesWriter {
    pub(super) fn create(path: &Path) -> Result<LinesWriter> {
        Ok(LinesWriter { file: WholeFile::create(path)?, entry: LedgerEntry::default() })
    }

    pub(super) fn push(&mut self, line: &[u8]) -> Result<()> {
        self.entry.lines += 1;
        self.entry.bytes += line.len() as u64;
        self.entry.crc = crc32c::crc32c_append(self.entry.crc, line);
        self.file.write(line)
    }

    /// Ends the file, which then lies at the path it was created for.
    pub(super) fn finish(self) -> Result<LedgerEntry> {
        self.file.place()?;
        Ok(self.entry)
    }
}

/// Name of a ledger until the manifest that names it is there; see [`ledger_path`].
pub(super) fn new_ledger_name(entry: LedgerEntry) -> String {
    format!("ledger-{:08x}.jsonl", entry.crc)
}

/// Where the ledger of a manifest lies in `dir`: under its name, or, if the run was killed right after the manifest was
/// written, still under that of its content.
pub(super) fn ledger_path(dir: &Path, entry: LedgerEntry) -> PathBuf {
    let fresh = dir.join(new_ledger_name(entry));
    if fresh.is_file() { fresh } else { dir.join(LEDGER_NAME) }
}

/// Opens the ledger in `dir`: that of the data set there, or what a dry run left alone.
///
/// # Errors
/// No ledger there; one that is not of these shards, as far as its length tells.
pub fn open_ledger(dir: &Path) -> Result<CheckedFile> {
    let path = dir.join(LEDGER_NAME);
    if !dir.join(MANIFEST_NAME).exists() && path.is_file() {
        return CheckedFile::unchecked(&path);
    }
    match Manifest::read(dir)?.ledger {
        Some(entry) => CheckedFile::open(&ledger_path(dir, entry), entry),
        None => Err(Error::new(dir.display(), "shards without a ledger").hint(HINT_AGAIN)),
    }
}

/// A reader that knows length and checksum of its file: at the end, a difference is an error.
pub struct CheckedFile {
    path: PathBuf,
    file: File,
    /// `None` where nobody said what to expect.
    expected: Option<LedgerEntry>,
    bytes: u64,
    crc: u32,
}

impl CheckedFile {
    pub(super) fn open(path: &Path, expected: LedgerEntry) -> Result<CheckedFile> {
        CheckedFile { expected: Some(expected), ..CheckedFile::unchecked(path)? }.of_length()
    }

    /// A file of which nothing is known.
    pub(super) fn unchecked(path: &Path) -> Result<CheckedFile> {
        let file = File::open(path).map_err(|e| Error::io(path, &e).hint(HINT_AGAIN))?;
        Ok(CheckedFile { path: path.to_path_buf(), file, expected: None, bytes: 0, crc: 0 })
    }

    fn of_length(self) -> Result<CheckedFile> {
        let bytes = self.file.metadata().map_err(|e| Error::io(&self.path, &e))?.len();
        let expected = self.expected.map_or(bytes, |entry| entry.bytes);
        if bytes != expected {
            let what = format!("{bytes} bytes, expected {expected}: not the file that was written");
            return Err(Error::new(self.path.display(), what).hint(HINT_AGAIN));
        }
        Ok(self)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads all of it.
    pub(super) fn check(mut self) -> Result<u64> {
        io::copy(&mut self, &mut io::sink()).map_err(|e| Error::io(&self.path, &e).hint(HINT_AGAIN))?;
        Ok(self.bytes)
    }
}

impl Read for CheckedFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buf)?;
        self.bytes += n as u64;
        self.crc = crc32c::crc32c_append(self.crc, &buf[..n]);
        match self.expected {
            Some(entry) if n == 0 && !buf.is_empty() && (entry.bytes, entry.crc) != (self.bytes, self.crc) => {
                let what = format!("checksum {:08x} of {} bytes", self.crc, self.bytes);
                Err(io::Error::other(format!("{what}, expected {:08x} of {}: the file is damaged", entry.crc, entry.bytes)))
            }
            _ => Ok(n),
        }
    }
}
