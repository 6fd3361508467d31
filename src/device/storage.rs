//! Disks: which kind holds a folder, how much is free there, and how fast it is.

use super::tree::Tree;
use crate::base::{Error, Result};
use rustix::fs::Advice;
use serde::Serialize;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How the names of files begin that are written to measure a disk.
const PROBE_PREFIX: &str = ".edgezero-disk-";
/// Bytes that are written and read at once.
const BLOCK_BYTES: usize = 1 << 20;
/// Most bytes of a measurement: SD cards wear.
const MEASURED_BYTES_MAX: usize = 64 << 20;
/// About how long each direction is measured.
const MEASURED: Duration = Duration::from_secs(1);

/// The disk that holds a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// The device, such as `/dev/mmcblk0p1`.
    pub device: String,
    /// What it is.
    pub kind: DiskKind,
}

/// Kinds of disks, as far as training feels the difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskKind {
    /// An SD card: slow, and worn by writing.
    SdCard,
    /// Memory soldered to the board.
    Emmc,
    /// NVMe.
    Nvme,
    /// A disk that turns.
    Turning,
    /// Another one.
    Other,
}

impl DiskKind {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            DiskKind::SdCard => "SD card",
            DiskKind::Emmc => "eMMC",
            DiskKind::Nvme => "NVMe",
            DiskKind::Turning => "turning disk",
            DiskKind::Other => "disk",
        }
    }
}

impl Disk {
    /// The disk of the folder `dir`, an absolute path.
    pub fn of(tree: &Tree, dir: &Path) -> Option<Disk> {
        let mounts = tree.text("proc/mounts")?;
        let mounts = mounts.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            let (device, place) = (words.next()?, words.next()?);
            dir.starts_with(place).then_some((place.len(), device))
        });
        // The last of equals hides those before.
        let (_, device) = mounts.max_by_key(|(len, _)| *len)?;
        Some(Disk { device: device.to_string(), kind: kind(tree, device) })
    }
}

fn kind(tree: &Tree, device: &str) -> DiskKind {
    let name = device.rsplit('/').next().unwrap_or(device);
    // mmcblk0p1 and nvme0n1p1 are parts of mmcblk0 and nvme0n1, sda1 of sda.
    let disks = tree.names("sys/block");
    let disk = disks.iter().filter(|disk| name.starts_with(disk.as_str())).max_by_key(|disk| disk.len());
    let Some(disk) = disk else { return DiskKind::Other };
    match tree.text(&format!("sys/block/{disk}/device/type")).as_deref() {
        Some("SD") => DiskKind::SdCard,
        Some("MMC") => DiskKind::Emmc,
        _ if disk.starts_with("nvme") => DiskKind::Nvme,
        _ if tree.number(&format!("sys/block/{disk}/queue/rotational")) == Some(1) => DiskKind::Turning,
        _ => DiskKind::Other,
    }
}

/// A reserve is never more than this part of a disk: a small one is for writing, too.
const RESERVE_SHARE: u64 = 8;

/// Bytes of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// That this user may still write.
    pub free_bytes: u64,
    /// In all.
    pub total_bytes: u64,
}

impl Room {
    /// What is to stay free where `asked` bytes are wanted in reserve.
    pub fn reserve(self, asked: u64) -> u64 {
        asked.min(self.total_bytes / RESERVE_SHARE)
    }
}

impl From<rustix::fs::StatVfs> for Room {
    fn from(stat: rustix::fs::StatVfs) -> Room {
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Room { free_bytes: bytes(stat.f_bavail), total_bytes: bytes(stat.f_blocks) }
    }
}

/// The room in the folder's file system. The folder need not be there yet.
pub fn room(dir: &Path) -> Option<Room> {
    let dir = std::path::absolute(dir).ok()?;
    let there = dir.ancestors().find(|dir| dir.is_dir())?;
    rustix::fs::statvfs(there).ok().map(Room::from)
}

/// Speed of a disk in bytes a second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Speed {
    /// Written until it is on the disk.
    pub write: f64,
    /// Read, past what the kernel remembers where it lets it go.
    pub read: f64,
}

/// Writes a file in `dir` for about a second, reads it and takes it away.
pub fn measure(dir: &Path) -> Result<Speed> {
    remove_orphans(dir);
    let place = Probe(dir.join(format!("{PROBE_PREFIX}{}", std::process::id())));
    let io = |e: std::io::Error| Error::io(&place.0, &e);
    let mut file = File::options().read(true).write(true).create_new(true).open(&place.0).map_err(io)?;
    // Says that it is in use. Where there are no locks, another measurement may take the name away, not the file.
    let _ = file.try_lock();
    // Not zeros: some disks leave those out.
    let mut state = 1u64;
    let block: Vec<u8> = std::iter::repeat_with(|| {
        state = crate::base::rng::mix(state);
        state as u8
    })
    .take(BLOCK_BYTES)
    .collect();
    let (start, mut written) = (Instant::now(), 0);
    while written < MEASURED_BYTES_MAX && start.elapsed() < MEASURED {
        file.write_all(&block).and_then(|()| file.sync_data()).map_err(io)?;
        written += block.len();
    }
    let write = written as f64 / start.elapsed().as_secs_f64();
    // What the kernel keeps of it is read at the speed of memory; where it does not let go, the figure is too good.
    let _ = rustix::fs::fadvise(&file, 0, NonZeroU64::new(written as u64), Advice::DontNeed);
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    let (start, mut buffer, mut read) = (Instant::now(), block, 0);
    loop {
        match file.read(&mut buffer).map_err(io)? {
            0 => break,
            n => read += n,
        }
    }
    Ok(Speed { write, read: read as f64 / start.elapsed().as_secs_f64() })
}

/// Removes the files of measurements that were killed.
fn remove_orphans(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_probe = entry.file_name().to_string_lossy().starts_with(PROBE_PREFIX);
        if is_probe && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            // What cannot be removed harms nobody but the disk.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// A file that goes away.
struct Probe(PathBuf);

impl Drop for Probe {
    fn drop(&mut self) {
        // One that could not be made is not there.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_measurement_left_goes() {
        let dir = std::env::temp_dir().join(format!("edgezero-storage-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = |name: &str| dir.join(name);
        for name in [".edgezero-disk-1", ".edgezero-disk-2", "mine"] {
            std::fs::write(path(name), "x").unwrap();
        }
        let at_work = File::open(path(".edgezero-disk-2")).unwrap();
        at_work.lock().unwrap();
        remove_orphans(&dir);
        assert!(!path(".edgezero-disk-1").exists() && path(".edgezero-disk-2").exists() && path("mine").exists());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
