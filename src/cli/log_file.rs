//! One rolling log: a file and the one before it, so that years of runs fill no card.

use crate::base::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Size in bytes at which the file is put aside.
const BYTES_MAX: u64 = 1 << 20;

/// A log that keeps at most two files of a MiB each. Lines are left to the kernel to write when it likes.
pub(super) struct LogFile {
    path: PathBuf,
    file: Mutex<(File, u64)>,
}

impl LogFile {
    /// Goes on with the file.
    pub(super) fn open(path: &Path) -> Result<LogFile> {
        let opened = append(path).map_err(|e| Error::io(path, &e))?;
        Ok(LogFile { path: path.to_path_buf(), file: Mutex::new(opened) })
    }

    /// Adds a line with the time. A log that cannot be written stops no run: stderr has the line as well.
    pub(super) fn write(&self, line: &str) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let line = format!("{} {line}\n", utc(SystemTime::now()));
        if file.1 + line.len() as u64 > BYTES_MAX {
            let mut before = self.path.clone().into_os_string();
            before.push(".1");
            let rolled = std::fs::rename(&self.path, before).and_then(|()| append(&self.path));
            if let Ok(rolled) = rolled {
                *file = rolled;
            }
        }
        if file.0.write_all(line.as_bytes()).is_ok() {
            file.1 += line.len() as u64;
        }
    }
}

fn append(path: &Path) -> std::io::Result<(File, u64)> {
    let file = OpenOptions::new().append(true).create(true).open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

/// `2026-11-21T03:20:00Z`, by the days of the civil calendar since 1970 (Howard Hinnant, chrono-compatible algorithms).
fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    // Years from March, so that the leap day is the last of one; eras of 400 years have 146,097 days.
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (h, m, s) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_those_of_the_calendar() {
        let cases = [(0, "1970-01-01T00:00:00Z"), (951_782_400, "2000-02-29T00:00:00Z"), (1_795_231_199, "2026-11-21T03:19:59Z")];
        for (seconds, expected) in cases {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn at_most_two_files_of_a_mib() {
        let dir = std::env::temp_dir().join(format!("edgezero-log-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let log = LogFile::open(&dir.join("a.log")).unwrap();
        let line = "x".repeat(1000);
        (0..3000).for_each(|_| log.write(&line));
        let sizes: Vec<u64> = ["a.log", "a.log.1"].iter().map(|name| std::fs::metadata(dir.join(name)).unwrap().len()).collect();
        assert!(sizes.iter().all(|bytes| *bytes <= BYTES_MAX && *bytes > 0), "{sizes:?}");
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 2);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
