//! How much an archive may still unpack to, and readers that count it.

use super::super::config::ArchiveConfig;
use crate::base::signal::Stop;
use std::cell::{Cell, RefCell};
use std::io::{self, Read};

/// What every archive and member may unpack to, however small it is.
const FREE_BYTES: u64 = 1 << 20;

/// What is left for one archive on disk and all that is in it.
pub(super) struct Budget<'a> {
    pub(super) limits: &'a ArchiveConfig,
    stop: &'a Stop,
    unpacked_bytes: Cell<u64>,
    unpacked_bytes_max: u64,
    n_members: Cell<u64>,
    /// The last limit met: unpackers wrap errors of what they read beyond recognition.
    met: RefCell<Option<String>>,
    spent: Cell<bool>,
}

impl<'a> Budget<'a> {
    pub(super) fn new(limits: &'a ArchiveConfig, packed_bytes: u64, stop: &'a Stop) -> Budget<'a> {
        let unpacked_bytes_max = super::folder::unpacked_bytes_max(limits, packed_bytes);
        let (unpacked_bytes, n_members) = (Cell::new(0), Cell::new(0));
        Budget { limits, stop, unpacked_bytes, unpacked_bytes_max, n_members, met: RefCell::new(None), spent: Cell::new(false) }
    }

    /// Counts one member; false when there are too many.
    pub(super) fn count_member(&self) -> bool {
        self.n_members.set(self.n_members.get() + 1);
        if self.n_members.get() > self.limits.members_max {
            self.spend(format!("more than {} members", self.limits.members_max));
        }
        !self.is_spent()
    }

    /// Whether nothing more is to be read of the archive on disk: a limit on all of it was met, or a stop asked for.
    pub(super) fn is_spent(&self) -> bool {
        self.spent.get()
    }

    /// The limit that was met, if one was since the last call.
    pub(super) fn take_met(&self) -> Option<String> {
        self.met.borrow_mut().take()
    }

    /// Ends the reading of the whole archive.
    pub(super) fn spend(&self, why: String) {
        self.spent.set(true);
        *self.met.borrow_mut() = Some(why);
    }

    fn out_of_ratio(&self) -> String {
        format!("unpacks to more than {} times its size", self.limits.ratio_max)
    }

    fn count(&self, bytes: usize) -> io::Result<()> {
        self.unpacked_bytes.set(self.unpacked_bytes.get() + bytes as u64);
        if self.unpacked_bytes.get() > self.unpacked_bytes_max {
            self.spend(match self.unpacked_bytes_max < self.limits.unpacked_mb << 20 {
                true => self.out_of_ratio(),
                false => format!("unpacks to more than {} in all", mib(self.unpacked_bytes_max)),
            });
        } else if self.stop.requested() {
            self.spend("stopped".to_string());
        }
        if self.is_spent() { Err(io::Error::other("limit")) } else { Ok(()) }
    }
}

/// Bytes in words.
pub(super) fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// Counts packed bytes on their way to an unpacker.
pub(super) struct Packed<'a, R> {
    pub(super) from: R,
    pub(super) bytes: &'a Cell<u64>,
}

impl<R: Read> Read for Packed<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buf)?;
        self.bytes.set(self.bytes.get() + n as u64);
        Ok(n)
    }
}

/// Counts unpacked bytes, and fails where they are out of proportion.
pub(super) struct Unpacked<'a, R> {
    pub(super) from: R,
    pub(super) budget: &'a Budget<'a>,
    /// Size of what it is unpacked from, in bytes, as far as that was read.
    pub(super) packed_bytes: &'a Cell<u64>,
    pub(super) bytes: u64,
}

impl<'a, R: Read> Unpacked<'a, R> {
    pub(super) fn new(from: R, budget: &'a Budget<'a>, packed_bytes: &'a Cell<u64>) -> Unpacked<'a, R> {
        Unpacked { from, budget, packed_bytes, bytes: 0 }
    }
}

impl<R: Read> Read for Unpacked<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buf)?;
        self.budget.count(n)?;
        self.bytes += n as u64;
        let ratio_max = self.budget.limits.ratio_max;
        if self.bytes > self.packed_bytes.get().saturating_mul(ratio_max).saturating_add(FREE_BYTES) {
            *self.budget.met.borrow_mut() = Some(self.budget.out_of_ratio());
            return Err(io::Error::other("limit"));
        }
        Ok(n)
    }
}
