//! Copies of the refused games, each with the reason beside it: for a look, a repair by hand, a report to their source.

use super::config::ArchiveConfig;
use super::ledger::{self, LedgerLine, Verdict};
use super::source::{Entry, Item, QUARANTINE_MARK, Reader};
use crate::base::fs::{WholeFile, create_dir, unshown, write_whole};
use crate::base::limits::SGF_FILE_BYTES_MAX;
use crate::base::signal::Stop;
use crate::base::{Error, Result};
use crate::sgf::Collection;
use std::collections::HashMap;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Copies what the ledger in `shards` calls refused to `dir`; gives the number of copies. Archives are read again, within
/// `limits`.
///
/// A refused file or member of an archive is copied whole, a refused game of a collection alone, as it stands in its file;
/// `NAME.reason.txt` beside it says where it came from and why. Names are those of the files with the number of the ledger
/// line before them, so that none hides another.
///
/// # Errors
/// A folder that holds other things, one that cannot be written, no ledger. What cannot be read any more, or never could,
/// gets its reason alone.
pub fn quarantine(shards: &Path, dir: &Path, limits: &ArchiveConfig, stop: &Stop) -> Result<u64> {
    create_dir(dir)?;
    clear(dir)?;
    write_whole(
        &dir.join(QUARANTINE_MARK),
        b"Refused games, copied by edgezero. Folders with this file are not read as records.\n",
    )?;
    let reader = Reader::new(limits, dir.to_path_buf(), stop);
    let mut copies = Copies { dir, reader, source: PathBuf::new(), batch: Vec::new(), n_copies: 0 };
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

/// Refused games of one file that are copied in one reading of it: a few MB of ledger lines.
const BATCH_MAX: usize = 10_000;

struct Copies<'a> {
    dir: &'a Path,
    reader: Reader<'a>,
    /// The file on disk that the batch is of.
    source: PathBuf,
    /// Refused games with the numbers of their ledger lines.
    batch: Vec<(usize, LedgerLine)>,
    n_copies: u64,
}

impl Copies<'_> {
    fn add(&mut self, number: usize, line: LedgerLine) -> Result<()> {
        let source = source_of(&line.file);
        if self.batch.len() >= BATCH_MAX || source != self.source {
            self.flush()?;
            self.source = source;
        }
        self.batch.push((number, line));
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        let mut wanted: HashMap<&str, Vec<usize>> = HashMap::new();
        for (i, (_, line)) in batch.iter().enumerate() {
            wanted.entry(&line.file).or_default().push(i);
        }
        let mut copied = Ok(());
        if let Some(entry) = entry_of(&self.source)
            && !batch.is_empty()
        {
            let _ = self.reader.read(&entry, &mut |item| {
                if let Item::Records { origin, bytes, .. } = item {
                    copied = wanted.remove(origin.as_str()).map_or(Ok(()), |idxs| copy_games(self.dir, &bytes, &idxs, &batch));
                }
                if copied.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
        }
        copied?;
        // What gave no records: an archive that is damaged itself, and what is only a name.
        for (number, line) in wanted.into_values().flatten().map(|i| &batch[i]) {
            if entry_of(Path::new(&line.file)).is_some() {
                copy_file(Path::new(&line.file), &self.dir.join(name_of(*number, line)))?;
            }
        }
        for (number, line) in &batch {
            write_whole(&self.dir.join(format!("{}.reason.txt", name_of(*number, line))), reason_of(line).as_bytes())?;
        }
        self.n_copies += batch.len() as u64;
        Ok(())
    }
}

/// Copies games of one file of records, which comes as it is or unpacked.
fn copy_games(dir: &Path, bytes: &[u8], idxs: &[usize], batch: &[(usize, LedgerLine)]) -> Result<()> {
    let mut collection = Collection::new(bytes);
    let mut n_read = 0;
    for (number, line) in idxs.iter().map(|&i| &batch[i]) {
        let text = match line.game {
            Some(game) => {
                while n_read <= game && collection.next_game().is_some() {
                    n_read += 1;
                }
                collection.last_text()
            }
            None => bytes,
        };
        write_whole(&dir.join(name_of(*number, line)), text)?;
    }
    Ok(())
}

/// Copies a whole file, if it is no larger than what is read as records.
fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let Ok(mut file) = File::open(from) else { return Ok(()) };
    if file.metadata().is_ok_and(|meta| meta.len() > SGF_FILE_BYTES_MAX) {
        return Ok(());
    }
    let mut out = WholeFile::create(to)?;
    std::io::copy(&mut file, out.out()).map_err(|e| Error::io(to, &e))?;
    out.commit()
}

/// The file on disk that `origin` is of: itself, or the archive that it is in.
fn source_of(origin: &str) -> PathBuf {
    let ends = origin.match_indices('!').map(|(at, _)| at).chain([origin.len()]);
    let paths = ends.flat_map(|end| [PathBuf::from(&origin[..end]), unshown(&origin[..end])]);
    // The longest: a name may hold the mark itself.
    paths.rev().find(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(origin))
}

fn entry_of(path: &Path) -> Option<Entry> {
    let meta = std::fs::metadata(path).ok().filter(|meta| meta.is_file())?;
    let name = path.as_os_str().as_encoded_bytes().to_vec();
    Some(Entry { path: path.to_path_buf(), name, bytes: meta.len(), modified_ns: 0, named: true, archive: false })
}

/// Takes away what an earlier quarantine left, unless there is something else in the folder.
fn clear(dir: &Path) -> Result<()> {
    let names = || std::fs::read_dir(dir).map_err(|e| Error::io(dir, &e));
    for entry in names()? {
        let name = entry.map_err(|e| Error::io(dir, &e))?.file_name();
        let name = name.to_string_lossy();
        let is_ours = name.len() > NUMBER_DIGITS && name.as_bytes()[..NUMBER_DIGITS].iter().all(u8::is_ascii_digit);
        if !is_ours && !name.starts_with(QUARANTINE_MARK) {
            let what = format!("holds {name:?}, which is no refused game: will not write here");
            return Err(Error::call(dir.display(), what).hint("an empty or a new folder for --quarantine"));
        }
    }
    for entry in names()? {
        let path = entry.map_err(|e| Error::io(dir, &e))?.path();
        std::fs::remove_file(&path).map_err(|e| Error::io(&path, &e))?;
    }
    Ok(())
}

/// Digits of the ledger line in a name: enough for most ledgers to sort well.
const NUMBER_DIGITS: usize = 7;

fn name_of(number: usize, line: &LedgerLine) -> String {
    let name = line.file.rsplit(['/', '!']).next().unwrap_or_default();
    // Longest name that file systems take is 255 bytes, with number, reason and part after it.
    let name = &name[name.ceil_char_boundary(name.len().saturating_sub(200))..];
    format!("{number:0NUMBER_DIGITS$}-{name}")
}

fn reason_of(line: &LedgerLine) -> String {
    let game = line.game.map_or(String::new(), |game| format!(" game {}", game + 1));
    let (reason, detail) = (line.reason.as_deref().unwrap_or_default(), line.detail.as_deref().unwrap_or_default());
    format!("{}:{}:{game} {reason}: {detail}\n", line.file, line.line)
}
