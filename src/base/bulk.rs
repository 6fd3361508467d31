//! Large files that appear whole or not at all, written past the page cache where the system can.
//!
//! A file that is synced at its end must reach the disk anyway. Sent there at once it is neither copied into the page cache
//! nor waited for at the end, and what other programs have in that cache stays: on the benchmark's machine 640 MB cost the
//! kernel 0.08 s this way and 0.4 to 0.7 s the other.

use super::{Error, Result};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes written at once: a disk is as fast with them as with more, and a few such files may be in the making.
const CHUNK_BYTES: usize = 1 << 20;
/// What disks and file systems ask of addresses, places and lengths, at the most.
const ALIGN_BYTES: usize = 4096;

/// A large file in the making. Unless [`BulkFile::place`] succeeds, it leaves nothing behind.
pub struct BulkFile {
    path: PathBuf,
    beside: PathBuf,
    /// Goes through the page cache.
    file: File,
    /// Goes past it; none where the system has no such thing.
    direct: Option<File>,
    /// Room for a chunk that begins at `start`, which is aligned.
    buffer: Vec<u8>,
    start: usize,
    n_held: usize,
    /// Bytes written before those in the buffer.
    n_written: u64,
    is_placed: bool,
}

impl BulkFile {
    /// Starts `path`, writing to a neighbour of it.
    pub fn create(path: &Path) -> Result<BulkFile> {
        let mut name = path.file_name().ok_or_else(|| Error::new(path.display(), "names no file"))?.to_os_string();
        name.push(".part");
        let beside = path.with_file_name(name);
        let file =
            File::options().read(true).write(true).create(true).truncate(true).open(&beside).map_err(|e| Error::io(path, &e))?;
        let buffer = vec![0; CHUNK_BYTES + ALIGN_BYTES];
        let start = buffer.as_ptr().align_offset(ALIGN_BYTES);
        let direct = if start <= ALIGN_BYTES { open_direct(&beside) } else { None };
        let path = path.to_path_buf();
        Ok(BulkFile {
            path,
            beside,
            file,
            direct,
            buffer,
            start: start.min(ALIGN_BYTES),
            n_held: 0,
            n_written: 0,
            is_placed: false,
        })
    }

    /// Writes all of `bytes` after what was written before.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let n = bytes.len().min(CHUNK_BYTES - self.n_held);
            let (now, later) = bytes.split_at(n);
            self.buffer[self.start + self.n_held..][..n].copy_from_slice(now);
            self.n_held += n;
            if self.n_held == CHUNK_BYTES {
                self.write_chunk().map_err(|e| Error::io(&self.path, &e))?;
            }
            bytes = later;
        }
        Ok(())
    }

    /// Puts `head` over the first bytes, syncs and renames: from here on the file is there, though a loss of power may still
    /// take its name back, until [`super::fs::sync_parent`].
    pub fn place(mut self, head: &[u8]) -> Result<()> {
        self.finish(head).map_err(|e| Error::io(&self.path, &e))
    }

    fn finish(&mut self, head: &[u8]) -> io::Result<()> {
        // The rest is no whole number of blocks.
        self.file.seek(SeekFrom::Start(self.n_written))?;
        self.file.write_all(&self.buffer[self.start..][..self.n_held])?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(head)?;
        self.file.sync_all()?;
        fs::rename(&self.beside, &self.path)?;
        self.is_placed = true;
        Ok(())
    }

    fn write_chunk(&mut self) -> io::Result<()> {
        let chunk = &self.buffer[self.start..][..CHUNK_BYTES];
        let past = self.direct.as_mut().map(|direct| direct.write_all(chunk));
        match past {
            Some(Ok(())) => {}
            Some(Err(e)) if e.kind() != ErrorKind::InvalidInput => return Err(e),
            // Some systems say only now that they cannot.
            _ => {
                self.direct = None;
                self.file.seek(SeekFrom::Start(self.n_written))?;
                self.file.write_all(chunk)?;
            }
        }
        self.n_written += CHUNK_BYTES as u64;
        self.n_held = 0;
        Ok(())
    }
}

impl Drop for BulkFile {
    fn drop(&mut self) {
        if !self.is_placed {
            // An error here leaves a .part file, which no reader looks at.
            let _ = fs::remove_file(&self.beside);
        }
    }
}

#[cfg(target_os = "linux")]
fn open_direct(path: &Path) -> Option<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::DIRECT.bits() as i32;
    File::options().write(true).custom_flags(flags).open(path).ok()
}

#[cfg(not(target_os = "linux"))]
fn open_direct(_: &Path) -> Option<File> {
    None
}

const _: () = assert!(CHUNK_BYTES.is_multiple_of(ALIGN_BYTES));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_in_pieces_is_there_whole() {
        let dir = std::env::temp_dir().join(format!("edgezero-bulk-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        for n_bytes in [0, 5, CHUNK_BYTES - 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 4097] {
            for is_direct in [true, false] {
                let all: Vec<u8> = (0..n_bytes + 5).map(|i| (i * 7 + i / 251) as u8).collect();
                let path = dir.join("a.bin");
                let mut file = BulkFile::create(&path).unwrap();
                file.direct.take_if(|_| !is_direct);
                file.write(&[0; 5]).unwrap();
                all[5..].chunks(100_003).for_each(|piece| file.write(piece).unwrap());
                assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "beside");
                file.place(&all[..5]).unwrap();
                assert!(fs::read(&path).unwrap() == all, "{n_bytes} bytes");
                fs::remove_file(&path).unwrap();
            }
        }
        drop(BulkFile::create(&dir.join("b.bin")).unwrap());
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "an unfinished file leaves nothing");
        fs::remove_dir_all(&dir).unwrap();
    }
}
