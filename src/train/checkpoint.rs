//! Checkpoints: everything a run needs to go on as if it had never stopped, in one safetensors file.
//!
//! | tensor | content |
//! |---|---|
//! | `net/…`, `average/…` | the parameters and norm statistics of the learning net and of its running average |
//! | `optimizer/first`, `optimizer/second` | momentum, or the two moments of AdamW, flat |
//!
//! The metadata hold the step, the length of the run, what gradients are multiplied by where a GPU rounds them to a small range, and
//! the settings that the numbers depend on.

use super::config::{Optimizer, TrainConfig};
use crate::base::fs::{read_limited, write_whole};
use crate::base::{Error, Result};
use crate::compute::GradScale;
use crate::net::Net;
use crate::net::tensors::{Decoded, FILE_BYTES_MAX, Named, encode};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

const PREFIX: &str = "checkpoint-";
const SUFFIX: &str = ".safetensors";
const FIRST: &str = "optimizer/first";
const SECOND: &str = "optimizer/second";
/// Key of the run's state (JSON) in the metadata.
const STATE_KEY: &str = "edgezero.run";

/// What to do about a run that was begun in another way.
const GO_ON: &str = "the same options and profile as at the start, or another --out for a new run";

/// What the numbers of a run depend on besides its data: equal settings and threads give equal bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Settings {
    /// Identity of the shards learned from.
    pub data: String,
    /// The profile's training section with paths, workers and intervals left out.
    pub config: serde_json::Map<String, serde_json::Value>,
}

impl Settings {
    /// The settings of a run over the data with this identity.
    pub(super) fn new(data: String, config: &TrainConfig) -> Settings {
        let all = serde_json::to_value(config).expect("a config of plain numbers and names");
        let mut config = all.as_object().expect("a struct").clone();
        for free in ["sgf_dir", "runs_dir", "parse_workers", "dataloader_workers", "prefetch_factor"] {
            config.remove(free);
        }
        for free in ["report_steps", "checkpoint_steps", "checkpoint_minutes", "checkpoints_kept"] {
            config.remove(free);
        }
        Settings { data, config }
    }

    /// Refuses to go on with other records, or under other settings, than the run began with.
    pub(super) fn check_same(&self, now: &Settings, path: &Path) -> Result<()> {
        if self.data != now.data {
            return Err(Error::new(path.display(), "the run began with other game records").hint(GO_ON));
        }
        self.check_same_config(now, path)
    }

    /// The same for the settings alone.
    pub(super) fn check_same_config(&self, now: &Settings, path: &Path) -> Result<()> {
        for (key, was) in &self.config {
            let is = now.config.get(key).unwrap_or(&serde_json::Value::Null);
            if is != was {
                return Err(Error::new(path.display(), format!("{key} is {is} now, the run began with {was}")).hint(GO_ON));
            }
        }
        Ok(())
    }
}

/// The state of a run between two steps.
pub(super) struct Checkpoint {
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// The learning net.
    pub net: Net,
    /// Its running average.
    pub average: Net,
    /// Momentum, or AdamW's first moment.
    pub first: Vec<f32>,
    /// AdamW's second moment.
    pub second: Option<Vec<f32>>,
    /// What gradients are multiplied by, where they are.
    pub grad_scale: Option<GradScale>,
}

impl Checkpoint {
    /// Writes the checkpoint into the run's folder, whole or not at all; gives its path.
    pub(super) fn write(&self, dir: &Path, settings: &Settings) -> Result<PathBuf> {
        let path = dir.join(format!("{PREFIX}{:08}{SUFFIX}", self.step));
        let mut tensors: Vec<Named<'_>> = Vec::new();
        for (role, net) in [("net", &self.net), ("average", &self.average)] {
            tensors.extend(net.tensors().into_iter().map(|(name, shape, values)| (format!("{role}/{name}"), shape, values)));
        }
        tensors.push((FIRST.to_string(), vec![self.first.len()], &self.first));
        if let Some(second) = &self.second {
            tensors.push((SECOND.to_string(), vec![second.len()], second));
        }
        let settings = serde_json::to_string(settings).map_err(|e| Error::new(path.display(), e))?;
        let mut state = serde_json::json!({"step": self.step, "total_steps": self.total_steps, "settings": settings});
        if let Some(scale) = self.grad_scale {
            state["grad_scale"] = serde_json::json!(scale);
        }
        let bytes = encode(&tensors, HashMap::from([(STATE_KEY.to_string(), state.to_string())]))?;
        write_whole(&path, &bytes)?;
        Ok(path)
    }
}

/// A checkpoint read from disk, not yet taken apart.
pub(super) struct CheckpointFile {
    place: String,
    bytes: Vec<u8>,
    state: State,
    /// The settings of its run.
    pub settings: Settings,
}

#[derive(Deserialize)]
struct State {
    step: u64,
    total_steps: u64,
    settings: String,
    grad_scale: Option<GradScale>,
}

impl CheckpointFile {
    /// Reads the file and its metadata.
    pub(super) fn open(path: &Path) -> Result<CheckpointFile> {
        let bytes = read_limited(path, FILE_BYTES_MAX)?;
        let place = path.display().to_string();
        let damaged = |e: serde_json::Error| Error::new(&place, format!("no whole checkpoint: {e}"));
        let state: State = serde_json::from_str(Decoded::new(&place, &bytes)?.meta(STATE_KEY)?).map_err(damaged)?;
        let settings: Settings = serde_json::from_str(&state.settings).map_err(damaged)?;
        Ok(CheckpointFile { bytes, state, settings, place })
    }

    /// The state in it, for nets of the shape of `fresh` and this optimiser.
    pub(super) fn load(&self, fresh: &Net, optimizer: Optimizer) -> Result<Checkpoint> {
        let file = Decoded::new(&self.place, &self.bytes)?;
        let net = |role: &str| {
            let mut net = fresh.clone();
            file.load_into(&format!("{role}/"), &mut net)?;
            Ok::<Net, Error>(net)
        };
        let moments = |name: &str| {
            let mut values = vec![0.0; fresh.params().len()];
            file.tensor(name, &[values.len()], &mut values)?;
            Ok::<Vec<f32>, Error>(values)
        };
        let second = match optimizer {
            Optimizer::Sgd => None,
            Optimizer::AdamW => Some(moments(SECOND)?),
        };
        Ok(Checkpoint {
            step: self.state.step,
            total_steps: self.state.total_steps,
            net: net("net")?,
            average: net("average")?,
            first: moments(FIRST)?,
            second,
            grad_scale: self.state.grad_scale,
        })
    }
}

/// What a run began with, as far as a new session must follow it, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Identity of the shards learned from.
    pub data: String,
    /// Positions of one forward and backward pass.
    pub batch_size: usize,
    /// Passes of one step.
    pub accumulate: usize,
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
}

impl Begun {
    /// Whether there is no step left to be done.
    pub fn is_complete(&self) -> bool {
        self.step >= self.total_steps
    }

    /// The run in this folder, by the latest of its checkpoints that can be read; none if there is none.
    pub(super) fn find(dir: &Path) -> Result<Option<Begun>> {
        let latest = list(dir)?.iter().rev().find_map(|path| CheckpointFile::open(path).ok());
        let Some(CheckpointFile { settings, state, .. }) = latest else { return Ok(None) };
        let number = |key: &str| settings.config.get(key).and_then(serde_json::Value::as_u64).unwrap_or(0) as usize;
        let (batch_size, accumulate) = (number("batch_size"), number("accumulate"));
        Ok(Some(Begun { data: settings.data, batch_size, accumulate, step: state.step, total_steps: state.total_steps }))
    }
}

/// Checkpoints of a run's folder, oldest first.
pub(super) fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(dir, &e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io(dir, &e))?.path();
        if let Some(step) = step_of(&path.file_name().unwrap_or_default().to_string_lossy()) {
            found.push((step, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The step of the checkpoint that a file of this name is.
pub(super) fn step_of(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()
}

/// Removes all but the latest `kept` checkpoints.
pub(super) fn prune(dir: &Path, kept: usize) -> Result<()> {
    let all = list(dir)?;
    for path in &all[..all.len().saturating_sub(kept)] {
        std::fs::remove_file(path).map_err(|e| Error::io(path, &e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::NetConfig;

    #[test]
    fn a_checkpoint_without_its_moments_is_refused() {
        let dir = std::env::temp_dir().join(format!("edgezero-checkpoint-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let net = NetConfig::named("b1c4").unwrap().init(1);
        let first = vec![0.0; net.params().len()];
        let grad_scale = Some(GradScale { factor: 512.0, fitted_steps: 7 });
        let (average, second) = (net.clone(), None);
        let state = Checkpoint { step: 3, total_steps: 9, average, net: net.clone(), first, second, grad_scale };
        let settings = Settings { data: "x".to_string(), config: serde_json::Map::new() };
        let file = CheckpointFile::open(&state.write(&dir, &settings).unwrap()).unwrap();
        let loaded = file.load(&net, Optimizer::Sgd).unwrap();
        assert!(loaded.second.is_none() && loaded.grad_scale == grad_scale);
        let told = file.load(&net, Optimizer::AdamW).err().unwrap().to_string();
        assert!(told.contains("tensor 'optimizer/second': missing"), "{told}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
