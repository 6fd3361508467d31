//! Copies of the refused games, each with the reason beside it: for a look, a repair by hand, a report to their source.

use super::ledger::{self, LedgerLine, Verdict};
use crate::base::fs::{create_dir, read_limited, write_whole};
use crate::base::limits::SGF_FILE_BYTES_MAX;
use crate::base::signal::Stop;
use crate::base::{Error, Result};
use crate::sgf::Collection;
use std::path::{Path, PathBuf};

/// Copies what the ledger in `shards` calls refused to `dir`; gives the number of copies.
///
/// A refused file is copied whole, a refused game of a collection alone, as it stands in its file; `NAME.reason.txt` beside it
/// says where it came from and why. Names are those of the files with the number of the ledger line before them, so that
/// none hides another.
///
/// # Errors
/// A folder that holds other things, one that cannot be written, no ledger. A file that cannot be read any more gets its reason alone.
pub fn quarantine(shards: &Path, dir: &Path, stop: &Stop) -> Result<u64> {
    create_dir(dir)?;
    refuse_foreign(dir)?;
    let mut copies = Copies { dir, group: Vec::new(), n_copies: 0 };
    for (number, line) in ledger::read(shards)?.enumerate() {
        let line = line?;
        if stop.requested() {
            return Err(Error::stopped(dir.display(), format!("stopped; {} refused games are there", copies.n_copies)));
        }
        if line.verdict == Some(Verdict::Refused) {
            copies.add(number + 1, line)?;
        }
    }
    copies.flush()?;
    Ok(copies.n_copies)
}

/// Refused games of one file that are copied in one reading of it.
const GROUP_MAX: usize = 1000;

struct Copies<'a> {
    dir: &'a Path,
    /// Refused games of one file, with the numbers of their ledger lines.
    group: Vec<(usize, LedgerLine)>,
    n_copies: u64,
}

impl Copies<'_> {
    fn add(&mut self, number: usize, line: LedgerLine) -> Result<()> {
        if self.group.len() >= GROUP_MAX || self.group.first().is_some_and(|(_, first)| first.file != line.file) {
            self.flush()?;
        }
        self.group.push((number, line));
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let Some((_, first)) = self.group.first() else { return Ok(()) };
        let path = PathBuf::from(&first.file);
        let bytes = read_limited(&path, SGF_FILE_BYTES_MAX).ok();
        let mut collection = bytes.as_deref().map(Collection::new);
        let mut n_read = 0;
        for (number, line) in self.group.drain(..) {
            let name = name_of(number, &path);
            let text = match (&mut collection, line.game) {
                (Some(collection), Some(game)) => {
                    while n_read <= game && collection.next_game().is_some() {
                        n_read += 1;
                    }
                    Some(collection.last_text())
                }
                _ => bytes.as_deref(),
            };
            if let Some(text) = text {
                write_whole(&self.dir.join(&name), text)?;
            }
            write_whole(&self.dir.join(format!("{name}.reason.txt")), reason_of(&line).as_bytes())?;
            self.n_copies += 1;
        }
        Ok(())
    }
}

/// Looks whether everything in the folder is of an earlier quarantine.
fn refuse_foreign(dir: &Path) -> Result<()> {
    let entries = std::fs::read_dir(dir).map_err(|e| Error::io(dir, &e))?;
    for entry in entries {
        let name = entry.map_err(|e| Error::io(dir, &e))?.file_name();
        let name = name.to_string_lossy();
        let is_ours = name.len() > NUMBER_DIGITS && name.as_bytes()[..NUMBER_DIGITS].iter().all(u8::is_ascii_digit);
        if !is_ours {
            let what = format!("holds {name:?}, which is no refused game: will not write here");
            return Err(Error::call(dir.display(), what).hint("an empty or a new folder for --quarantine"));
        }
    }
    Ok(())
}

/// Digits of the ledger line in a name: enough for most ledgers to sort well.
const NUMBER_DIGITS: usize = 7;

fn name_of(number: usize, path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // Longest name that file systems take is 255 bytes, with number, reason and part after it.
    let name = &name[name.ceil_char_boundary(name.len().saturating_sub(200))..];
    format!("{number:0NUMBER_DIGITS$}-{name}")
}

fn reason_of(line: &LedgerLine) -> String {
    let game = line.game.map_or(String::new(), |game| format!(" game {}", game + 1));
    let (reason, detail) = (line.reason.as_deref().unwrap_or_default(), line.detail.as_deref().unwrap_or_default());
    format!("{}:{}:{game} {reason}: {detail}\n", line.file, line.line)
}
