//! The same numbers as `metrics.jsonl` for TensorBoard: an event file, which is a row of records of protocol buffers.
//!
//! A record is its length (u64), a checksum of the length, the message, a checksum of the message; checksums are CRC-32C,
//! turned and shifted (tensorflow/core/lib/hash/crc32c.h). Messages are `Event` with a `Summary` of scalars
//! (tensorflow/core/util/event.proto, framework/summary.proto); of the format of protocol buffers this needs five lines.

use crate::base::{Error, Result};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What the first record of a file says.
const VERSION: &str = "brain.Event:2";
/// `SessionLog.SessionStatus.START`: what an earlier file has from this step on is forgotten.
const SESSION_START: u64 = 1;

/// What the names of event files begin with; TensorBoard looks for it.
const NAME: &str = "events.out.tfevents.";

/// Kinds of fields, as in the low three bits of a key.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
    Fixed32 = 5,
}

/// An event file of one session of a run.
pub(super) struct EventFile {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
}

impl EventFile {
    /// Begins a file in the run's folder for a session that starts at `step`.
    pub(super) fn create(dir: &Path, step: u64) -> Result<EventFile> {
        // TensorBoard reads the files of a folder by name: the time keeps them in order, the process apart. A board without a
        // battery starts in the past, so what is there already counts as well.
        let seconds = (wall_seconds() as u64).max(latest(dir).map_or(0, |latest| latest.saturating_add(1)));
        let path = dir.join(format!("{NAME}{seconds:010}.edgezero.{}", std::process::id()));
        let file = File::options().create(true).append(true).open(&path).map_err(|e| Error::io(&path, &e))?;
        let mut it = EventFile { path, file, buffer: Vec::new() };
        it.push(&event(0, |message| bytes(message, 3, VERSION.as_bytes())));
        if step > 0 {
            let mut log = Vec::new();
            varint_field(&mut log, 1, SESSION_START);
            it.push(&event(step + 1, |message| bytes(message, 7, &log)));
        }
        Ok(it)
    }

    /// Adds scalars of one step.
    pub(super) fn add(&mut self, step: u64, scalars: &[(String, f64)]) {
        let mut summary = Vec::new();
        for (tag, value) in scalars {
            let mut one = Vec::new();
            bytes(&mut one, 1, tag.as_bytes());
            key(&mut one, 2, Wire::Fixed32);
            one.extend((*value as f32).to_le_bytes());
            bytes(&mut summary, 1, &one);
        }
        self.push(&event(step, |message| bytes(message, 5, &summary)));
    }

    /// Writes what was added.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.file.write_all(&self.buffer).map_err(|e| Error::io(&self.path, &e))?;
        self.buffer.clear();
        Ok(())
    }

    fn push(&mut self, message: &[u8]) {
        let len = (message.len() as u64).to_le_bytes();
        self.buffer.extend(len);
        self.buffer.extend(masked(&len).to_le_bytes());
        self.buffer.extend(message);
        self.buffer.extend(masked(message).to_le_bytes());
    }
}

/// The latest time in the names of the folder's event files.
fn latest(dir: &Path) -> Option<u64> {
    let names = std::fs::read_dir(dir).ok()?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter_map(|name| name.strip_prefix(NAME)?.split('.').next()?.parse().ok()).max()
}

/// The message of a step, with what `fill` adds.
fn event(step: u64, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut message = Vec::new();
    key(&mut message, 1, Wire::Fixed64);
    message.extend(wall_seconds().to_le_bytes());
    varint_field(&mut message, 2, step);
    fill(&mut message);
    message
}

/// The time of day, for the axis of TensorBoard alone.
fn wall_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn key(out: &mut Vec<u8>, field: u64, wire: Wire) {
    varint(out, field << 3 | wire as u64);
}

fn varint_field(out: &mut Vec<u8>, field: u64, value: u64) {
    key(out, field, Wire::Varint);
    varint(out, value);
}

fn bytes(out: &mut Vec<u8>, field: u64, content: &[u8]) {
    key(out, field, Wire::Bytes);
    varint(out, content.len() as u64);
    out.extend(content);
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn masked(content: &[u8]) -> u32 {
    crc32c::crc32c(content).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_keep_their_order_when_the_clock_goes_back() {
        let dir = std::env::temp_dir().join(format!("edgezero-events-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("events.out.tfevents.4000000000.edgezero.1"), "").unwrap();
        let file = EventFile::create(&dir, 5).unwrap();
        let name = file.path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(name.starts_with("events.out.tfevents.4000000001.edgezero."), "{name}");
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn bytes_are_as_the_format_says() {
        let mut out = Vec::new();
        varint(&mut out, 300);
        assert_eq!(out, [0xac, 0x02]);
        // As TensorFlow writes the length of its first record, 24 bytes.
        assert_eq!(masked(&24u64.to_le_bytes()).to_le_bytes(), [0xa3, 0x7f, 0x4b, 0x22]);
        let message = event(5, |message| bytes(message, 3, b"x"));
        assert_eq!((&message[..1], &message[9..]), (&[0x09][..], &[0x10, 5, 0x1a, 1, b'x'][..]));
    }
}
