//! One writer at a time in a folder.

use super::{Error, Result};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// Name of the file that says who is writing.
pub const LOCK_NAME: &str = "writer.pid";

/// What a folder is taken for, as others that want it are told.
pub struct Work {
    /// The command, such as `edgezero convert`.
    pub name: &'static str,
    /// What they may do.
    pub hint: &'static str,
}

/// The right to write in a folder. The kernel's lock on the folder decides and ends with the process; the file only
/// tells the other's number, and decides where a file system has no locks.
pub struct FolderLock {
    file: PathBuf,
    _folder: File,
}

impl FolderLock {
    /// Takes the folder, also from a process that ended without giving it back.
    ///
    /// # Errors
    /// Another process at work there; a folder that cannot be written.
    pub fn take(dir: &Path, work: &Work) -> Result<FolderLock> {
        let file = dir.join(LOCK_NAME);
        let folder = File::open(dir).map_err(|e| Error::io(dir, &e))?;
        let other = fs::read_to_string(&file).ok().and_then(|text| text.trim().parse::<u32>().ok());
        match folder.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(dir, work, other)),
            Err(TryLockError::Error(_)) if other.is_some_and(is_alive) => return Err(taken(dir, work, other)),
            Err(TryLockError::Error(_)) => {}
        }
        if let Some(pid) = other {
            log::info!("{}: taking over from process {pid}, which ended early", dir.display());
        }
        fs::write(&file, format!("{}\n", std::process::id())).map_err(|e| Error::io(&file, &e))?;
        Ok(FolderLock { file, _folder: folder })
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Left behind, it is taken over.
        let _ = fs::remove_file(&self.file);
    }
}

fn taken(dir: &Path, work: &Work, pid: Option<u32>) -> Error {
    let who = pid.map_or(String::new(), |pid| format!(" (process {pid})"));
    Error::new(dir.display(), format!("another {}{who} is writing here", work.name)).hint(work.hint)
}

/// Whether a process of this number runs the program that this one runs.
fn is_alive(pid: u32) -> bool {
    let name = |pid: &str| fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    pid != std::process::id() && name(&pid.to_string()).is_some_and(|other| Some(other) == name("self"))
}
