//! The folder of a run: who works there, the shards it began with, its nets.

use super::checkpoint::{self, Begun};
use crate::base::fs::{create_dir, read_limited, write_whole};
use crate::base::lock::{FolderLock, Work};
use crate::base::{Error, Result};
use crate::net::{Net, katago, tensors};
use crate::shard::Dataset;
use std::fs;
use std::path::{Path, PathBuf};

/// The averaged net of a finished run, in our own format.
pub const AVERAGE_NAME: &str = "net.safetensors";
/// The same net as a KataGo model file.
pub const KATAGO_NAME: &str = "net.bin.gz";
/// Folder of links to the shards that an unfinished run learns from.
const SHARDS_NAME: &str = ".edgezero-shards";
/// What a run's folder is taken for.
const WORK: Work = Work { name: "edgezero train", hint: "wait for it to end, or another --out" };

/// The folder of a run, held by one process at a time until it is dropped.
pub struct RunFolder {
    dir: PathBuf,
    /// The folders that were made for it, the innermost first.
    made: Vec<PathBuf>,
    lock: Option<FolderLock>,
}

impl RunFolder {
    /// Takes the folder, which need not be there yet, and removes what a killed run left half-written.
    ///
    /// # Errors
    /// Another run at work there; a folder that cannot be written.
    pub fn take(dir: &Path) -> Result<RunFolder> {
        let ours = dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists());
        let mut folder = RunFolder { dir: dir.to_path_buf(), made: ours.map(Path::to_path_buf).collect(), lock: None };
        create_dir(dir)?;
        folder.lock = Some(FolderLock::take(dir, &WORK)?);
        folder.remove_orphans()?;
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// The run that was begun here, if there is one.
    pub fn begun(&self) -> Result<Option<Begun>> {
        Begun::find(&self.dir)
    }

    /// Where the shards are that an unfinished run began with, if they could be linked.
    pub fn shards(&self) -> PathBuf {
        self.dir.join(SHARDS_NAME)
    }

    /// Keeps the shards of a run that begins: other runs may replace them where they are. What cannot be linked is told.
    pub(super) fn keep(&self, dataset: &Dataset) -> Result<()> {
        let shards = self.shards();
        if dataset.dir() == shards {
            return Ok(());
        }
        self.forget_shards()?;
        if let Err(e) = dataset.link_into(&shards) {
            self.forget_shards()?;
            let (what, place) = (e.what(), dataset.dir().display());
            log::warn!("{place}: cannot be linked ({what}): the run can go on only until another one brings them up to date");
        }
        Ok(())
    }

    /// Gives up the shards that were kept.
    pub(super) fn forget_shards(&self) -> Result<()> {
        let shards = self.shards();
        match fs::remove_dir_all(&shards) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(&shards, &e)),
            _ => Ok(()),
        }
    }

    /// Writes the net that a run ends with, unless it is there.
    pub(super) fn write_nets(&self, net: &Net) -> Result<()> {
        for (name, bytes) in [(AVERAGE_NAME, tensors::to_bytes(net)?), (KATAGO_NAME, katago::to_bytes(net)?)] {
            let path = self.dir.join(name);
            if read_limited(&path, bytes.len() as u64).is_ok_and(|there| there == bytes) {
                continue;
            }
            write_whole(&path, &bytes)?;
        }
        Ok(())
    }

    fn remove_orphans(&self) -> Result<()> {
        for entry in fs::read_dir(&self.dir).map_err(|e| Error::io(&self.dir, &e))? {
            let path = entry.map_err(|e| Error::io(&self.dir, &e))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let Some(whole) = name.strip_suffix(".part") else { continue };
            if checkpoint::step_of(whole).is_some() || [AVERAGE_NAME, KATAGO_NAME].contains(&whole) {
                fs::remove_file(&path).map_err(|e| Error::io(&path, &e))?;
            }
        }
        Ok(())
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        self.lock = None;
        for dir in &self.made {
            // Fails, as it should, when something is in it.
            let _ = fs::remove_dir(dir);
        }
    }
}
