//! Bytes on hold: in memory as far as they fit, then in a temporary file without a name.

use crate::device::storage::Room;
use crate::shard::SPOOL_PREFIX;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes copied at once.
const COPY_BYTES: usize = 1 << 16;

/// Free bytes of a disk that are not unpacked into: the shards and the ledger are written there at the same time, and an
/// archive that fills the disk must cost itself, not them.
const RESERVE_BYTES: u64 = 64 << 20;

/// A buffer of any size that takes bounded memory; reads and seeks like a file.
pub(super) struct Spool {
    dir: PathBuf,
    memory: Vec<u8>,
    memory_bytes_max: u64,
    file: Option<File>,
    len: u64,
    pos: u64,
}

/// Why bytes were not taken.
pub(super) enum NotTaken {
    /// The source failed.
    Source(io::Error),
    /// More than so many bytes came.
    TooMany(u64),
    /// There is no room on disk, or no right to use it.
    Disk(io::Error),
}

impl Spool {
    pub(super) fn new(dir: &Path, memory_bytes_max: u64) -> Spool {
        Spool { dir: dir.to_path_buf(), memory: Vec::new(), memory_bytes_max, file: None, len: 0, pos: 0 }
    }

    /// Appends all of `from`, at most `bytes_max`; gives offset and length. What fails leaves nothing behind.
    pub(super) fn append(&mut self, from: &mut dyn Read, bytes_max: u64) -> Result<(u64, u64), NotTaken> {
        let start = self.len;
        let appended = self.append_from(from, bytes_max);
        if appended.is_err() {
            self.len = start;
            self.memory.truncate(start as usize);
        }
        appended.map(|()| (start, self.len - start))
    }

    fn append_from(&mut self, from: &mut dyn Read, bytes_max: u64) -> Result<(), NotTaken> {
        let start = self.len;
        let mut buf = vec![0; COPY_BYTES];
        loop {
            let n = match from.read(&mut buf) {
                Ok(0) => return Ok(()),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(NotTaken::Source(e)),
            };
            if self.len - start + n as u64 > bytes_max {
                return Err(NotTaken::TooMany(bytes_max));
            }
            self.put(&buf[..n]).map_err(NotTaken::Disk)?;
        }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() && self.len + bytes.len() as u64 <= self.memory_bytes_max {
            self.memory.extend_from_slice(bytes);
        } else {
            let file = match &mut self.file {
                Some(file) => file,
                none => {
                    let mut file = nameless_file(&self.dir)?;
                    leave_reserve(&file, self.memory.len())?;
                    file.write_all(&self.memory)?;
                    self.memory = Vec::new();
                    none.insert(file)
                }
            };
            leave_reserve(file, bytes.len())?;
            file.seek(SeekFrom::Start(self.len))?;
            file.write_all(bytes)?;
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// The bytes at an offset that [`Spool::append`] gave.
    pub(super) fn copy_of(&mut self, offset: u64, len: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len as usize];
        self.seek(SeekFrom::Start(offset))?;
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl Read for Spool {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.len.saturating_sub(self.pos).min(buf.len() as u64) as usize;
        let n = match &mut self.file {
            Some(file) => {
                file.seek(SeekFrom::Start(self.pos))?;
                file.read(&mut buf[..left])?
            }
            None => {
                let from = self.pos.min(self.memory.len() as u64) as usize;
                (&self.memory[from..]).read(&mut buf[..left])?
            }
        };
        self.pos += n as u64;
        Ok(n)
    }
}

impl Seek for Spool {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let pos = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(step) => self.len.checked_add_signed(step),
            SeekFrom::Current(step) => self.pos.checked_add_signed(step),
        };
        self.pos = pos.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "before the start"))?;
        Ok(self.pos)
    }
}

/// Fails where a write of `bytes` would leave less than the reserve.
fn leave_reserve(file: &File, bytes: usize) -> io::Result<()> {
    let room = Room::from(rustix::fs::fstatvfs(file)?);
    if room.free_bytes < room.reserve(RESERVE_BYTES) + bytes as u64 {
        return Err(rustix::io::Errno::NOSPC.into());
    }
    Ok(())
}

/// A file that goes away with its last handle, or with the process.
pub(in super::super) fn nameless_file(dir: &Path) -> io::Result<File> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = format!("{SPOOL_PREFIX}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let path = dir.join(name);
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_in_memory_and_on_disk() {
        let pieces: [&[u8]; 4] = [b"first", b"", &[7; 100_000], b"last"];
        for memory_bytes_max in [0, 6, 1 << 20] {
            let mut spool = Spool::new(&std::env::temp_dir(), memory_bytes_max);
            let mut places = Vec::new();
            for mut piece in pieces {
                places.push(spool.append(&mut piece, 1 << 20).ok().unwrap());
                assert!(matches!(spool.append(&mut &b"too many"[..], 7), Err(NotTaken::TooMany(7))));
            }
            for ((offset, len), piece) in places.into_iter().zip(pieces) {
                assert_eq!(spool.copy_of(offset, len).unwrap(), piece, "{memory_bytes_max}");
            }
            assert_eq!(spool.seek(SeekFrom::End(-4)).unwrap(), 100_005);
            let mut last = String::new();
            spool.read_to_string(&mut last).unwrap();
            assert_eq!(last, "last");
        }
        assert!(matches!(Spool::new(Path::new("/none"), 0).append(&mut &b"x"[..], 9), Err(NotTaken::Disk(_))));
    }
}
