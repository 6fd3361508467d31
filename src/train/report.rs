//! What a run tells while it works: reports, validations, and their lines in `metrics.jsonl`.

use crate::base::{Error, Result};
use crate::compute::Losses;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What happened in a run.
#[derive(Clone, Debug)]
pub enum Event {
    /// A step was made.
    Step {
        /// Steps done.
        step: u64,
        /// Steps of the whole run.
        total_steps: u64,
    },
    /// Some steps were made.
    Report(Report),
    /// The averaged net met the held-out games.
    Validation(Validation),
    /// A checkpoint is on disk.
    Checkpoint {
        /// Steps done.
        step: u64,
        /// Its file.
        path: PathBuf,
    },
}

/// Means over the steps since the last report.
#[derive(Clone, Debug)]
pub struct Report {
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Positions of one step.
    pub positions_per_step: u64,
    /// Passes over the training positions, with the fraction of the present one.
    pub epoch: f64,
    /// Positions learned from in this session.
    pub positions: u64,
    /// Time since the session began, validations left out.
    pub training: Duration,
    /// Positions a second since the last report.
    pub positions_per_second: f64,
    /// Share of the time in which the learner waited for a batch.
    pub waiting_share: f64,
    /// Learning rate of the last step.
    pub learning_rate: f32,
    /// Mean length of the gradient before clipping.
    pub gradient_norm: f64,
    /// Sums over the positions since the last report.
    pub losses: Losses,
}

/// The averaged net on held-out positions.
#[derive(Clone, Debug)]
pub struct Validation {
    /// Steps done.
    pub step: u64,
    /// Passes over the training positions.
    pub epoch: f64,
    /// Sums over the held-out positions.
    pub losses: Losses,
}

impl Report {
    /// Time to the end of the run at the present rate.
    pub fn seconds_left(&self) -> f64 {
        let step_positions = self.positions_per_step as f64;
        (self.total_steps - self.step) as f64 * step_positions / self.positions_per_second.max(1e-9)
    }
}

impl Event {
    /// The line of `metrics.jsonl`, if this event has one.
    fn line(&self) -> Option<Value> {
        match self {
            Event::Report(r) => Some(with_losses(
                json!({
                    "kind": "train",
                    "step": r.step,
                    "epoch": rounded(r.epoch),
                    "positions": r.positions,
                    "seconds": rounded(r.training.as_secs_f64()),
                    "positions_per_second": rounded(r.positions_per_second),
                    "waiting_share": rounded(r.waiting_share),
                    "learning_rate": f64::from(r.learning_rate),
                    "gradient_norm": rounded(r.gradient_norm),
                }),
                &r.losses,
            )),
            Event::Validation(v) => {
                Some(with_losses(json!({"kind": "validation", "step": v.step, "epoch": rounded(v.epoch)}), &v.losses))
            }
            Event::Step { .. } | Event::Checkpoint { .. } => None,
        }
    }
}

fn with_losses(mut line: Value, losses: &Losses) -> Value {
    let parts = [
        ("loss", losses.total_mean()),
        ("policy_loss", losses.policy_mean()),
        ("policy_top1", losses.policy_top1()),
        ("value_loss", losses.value_mean()),
        ("value_accuracy", losses.value_accuracy()),
        ("score_loss", losses.score_mean()),
        ("score_error", losses.score_error_mean()),
        ("ownership_loss", losses.ownership_mean()),
    ];
    for (key, value) in parts {
        line[key] = rounded(value).into();
    }
    line
}

/// Six digits after the point are more than any of these numbers mean.
fn rounded(x: f64) -> f64 {
    (x * 1e6).round() / 1e6
}

/// Appends events to a run's `metrics.jsonl`.
pub(super) struct MetricsFile {
    path: PathBuf,
    file: File,
}

impl MetricsFile {
    /// Opens the file for a run that stands at `step`: what is made again is cut off, the lines of later steps and the
    /// validation of this one.
    pub(super) fn open(path: &Path, step: u64) -> Result<MetricsFile> {
        let io = |e: std::io::Error| Error::io(path, &e);
        let file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(io)?;
        let kept = bytes_up_to(&file, step).map_err(io)?;
        file.set_len(kept).map_err(io)?;
        Ok(MetricsFile { path: path.to_path_buf(), file })
    }

    /// Appends the event's line.
    pub(super) fn append(&mut self, event: &Event) -> Result<()> {
        let Some(line) = event.line() else { return Ok(()) };
        self.file.write_all(format!("{line}\n").as_bytes()).map_err(|e| Error::io(&self.path, &e))
    }
}

/// Bytes of the whole lines at the beginning of the file that tell what was done before a run goes on at `step`.
fn bytes_up_to(file: &File, step: u64) -> std::io::Result<u64> {
    let mut reader = BufReader::new(file);
    let mut kept = 0;
    let mut line = String::new();
    loop {
        line.clear();
        let n = reader.read_line(&mut line)?;
        let known: Option<Value> = line.ends_with('\n').then(|| serde_json::from_str(&line).ok()).flatten();
        let is_done = |line: Value| line["step"].as_u64().is_some_and(|s| s < step || (s == step && line["kind"] == "train"));
        match known.is_some_and(is_done) {
            true => kept += n as u64,
            false => return Ok(kept),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_run_cuts_what_it_will_do_again() {
        let path = std::env::temp_dir().join(format!("edgezero-metrics-{}.jsonl", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut file = MetricsFile::open(&path, 0).unwrap();
        for step in [10, 20, 30] {
            file.append(&train_report(step)).unwrap();
            file.append(&Event::Validation(Validation { step, epoch: 0.5, losses: Losses::default() })).unwrap();
        }
        file.file.write_all(b"{\"step\": 4").unwrap();
        drop(MetricsFile::open(&path, 20).unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        let steps: Vec<u64> = text.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["step"].as_u64().unwrap()).collect();
        // The run validates at step 20 before it goes on.
        assert_eq!(steps, [10, 10, 20]);
        std::fs::remove_file(&path).unwrap();
    }

    fn train_report(step: u64) -> Event {
        Event::Report(Report {
            step,
            total_steps: 30,
            positions_per_step: 1,
            epoch: 0.5,
            positions: step,
            training: Duration::ZERO,
            positions_per_second: 1.0,
            waiting_share: 0.0,
            learning_rate: 0.1,
            gradient_norm: 1.0,
            losses: Losses::default(),
        })
    }
}
