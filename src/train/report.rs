//! What a run tells while it works: reports, validations, and their lines in `metrics.jsonl`.

use super::events::EventFile;
use crate::base::{Error, Result};
use crate::compute::Losses;
use crate::device::sensors::Reading;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest time that lines wait in memory: cards and flash wear by small writes.
const FLUSH_EVERY: Duration = Duration::from_secs(20);

/// Longest line that is read, in bytes: ours have one or two thousand.
const LINE_BYTES_MAX: u64 = 1 << 16;

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
    /// Share of the time in which the GPU had work; none without one.
    pub busy_share: Option<f64>,
    /// Learning rate of the last step.
    pub learning_rate: f32,
    /// Mean length of the gradient before clipping.
    pub gradient_norm: f64,
    /// Steps since the last report that were left out, as their gradients did not fit into the numbers of a GPU.
    pub skipped_steps: u64,
    /// What gradients are multiplied by, so that small ones survive rounding; none where they are not.
    pub grad_scale: Option<f32>,
    /// Sums over the positions since the last report.
    pub losses: Losses,
    /// What the machine says, where it is watched.
    pub board: Option<Box<OnBoard>>,
}

/// The machine while it trains.
#[derive(Clone, Debug)]
pub struct OnBoard {
    /// Its sensors at the moment of the report.
    pub reading: Reading,
    /// Share of the time that is rested for heat or power, 0 to 0.9.
    pub rest: f64,
    /// Energy in J of the whole board for a thousand positions; none where no rail is measured.
    pub joules_per_thousand: Option<f64>,
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
            Event::Report(r) => Some(with_board(
                with_losses(
                    with_gpu(
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
                        r,
                    ),
                    &r.losses,
                ),
                r.board.as_deref(),
            )),
            Event::Validation(v) => {
                Some(with_losses(json!({"kind": "validation", "step": v.step, "epoch": rounded(v.epoch)}), &v.losses))
            }
            Event::Step { .. } | Event::Checkpoint { .. } => None,
        }
    }
}

/// What there is to say of a GPU.
fn with_gpu(mut line: Value, r: &Report) -> Value {
    if let Some(share) = r.busy_share {
        line["busy_share"] = rounded(share).into();
    }
    if let Some(scale) = r.grad_scale {
        line["grad_scale"] = f64::from(scale).into();
        line["skipped_steps"] = r.skipped_steps.into();
    }
    line
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

fn with_board(mut line: Value, board: Option<&OnBoard>) -> Value {
    let Some(board) = board else { return line };
    // A reading of plain numbers and names.
    let mut it = serde_json::to_value(&board.reading).unwrap_or_default();
    it["rest"] = rounded(board.rest).into();
    if let Some(joules) = board.joules_per_thousand {
        it["joules_per_thousand_positions"] = rounded(joules).into();
    }
    line["board"] = it;
    line
}

/// The numbers of a line for TensorBoard: `train/loss`, `validation/loss`, `board/power_w`, `board/temperatures/cpu`.
fn scalars(group: &str, line: &Value) -> Vec<(String, f64)> {
    let mut found = Vec::new();
    for (key, value) in line.as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            ("step" | "kind", _) => {}
            ("board", _) => found.extend(scalars("board", value)),
            (_, Value::Object(_)) => found.extend(scalars(&format!("{group}/{key}"), value)),
            _ => found.extend(value.as_f64().map(|number| (format!("{group}/{key}"), number))),
        }
    }
    found
}

/// Six digits after the point are more than any of these numbers mean.
fn rounded(x: f64) -> f64 {
    (x * 1e6).round() / 1e6
}

/// Appends events to a run's `metrics.jsonl` and to its event file for TensorBoard, some seconds' worth at once.
pub(super) struct MetricsFile {
    path: PathBuf,
    file: File,
    buffer: String,
    events: EventFile,
    flushed: Instant,
}

impl MetricsFile {
    /// Opens the file `name` in the folder of a run that stands at `step`: what is made again is cut off, the lines of later
    /// steps and the validation of this one.
    pub(super) fn open(dir: &Path, name: &str, step: u64) -> Result<MetricsFile> {
        let path = dir.join(name);
        let io = |e: std::io::Error| Error::io(&path, &e);
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(io)?;
        let kept = bytes_up_to(&file, step).map_err(io)?;
        file.set_len(kept).map_err(io)?;
        let events = EventFile::create(dir, step)?;
        Ok(MetricsFile { path, file, buffer: String::new(), events, flushed: Instant::now() })
    }

    /// Appends the event's line. The first lines of a session and those of validations are written at once.
    pub(super) fn append(&mut self, event: &Event) -> Result<()> {
        let Some(line) = event.line() else { return Ok(()) };
        let (step, kind) = (line["step"].as_u64().unwrap_or(0), line["kind"].as_str().unwrap_or("train"));
        self.events.add(step, &scalars(kind, &line));
        self.buffer.push_str(&format!("{line}\n"));
        match matches!(event, Event::Validation(_)) || self.flushed.elapsed() >= FLUSH_EVERY {
            true => self.flush(),
            false => Ok(()),
        }
    }

    /// Writes what waits, until it is on the disk.
    pub(super) fn sync(&mut self) -> Result<()> {
        self.flush()?;
        self.file.sync_data().map_err(|e| Error::io(&self.path, &e))
    }

    fn flush(&mut self) -> Result<()> {
        self.flushed = Instant::now();
        self.file.write_all(self.buffer.as_bytes()).map_err(|e| Error::io(&self.path, &e))?;
        self.buffer.clear();
        self.events.flush()
    }
}

impl Drop for MetricsFile {
    fn drop(&mut self) {
        // A run that ends by an error tells that one.
        let _ = self.flush();
    }
}

/// Bytes of the whole lines at the beginning of the file that tell what was done before a run goes on at `step`.
fn bytes_up_to(file: &File, step: u64) -> std::io::Result<u64> {
    let mut reader = BufReader::new(file);
    let mut kept = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        // Bytes, since a power cut leaves anything in the place of the last lines.
        let n = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        let known: Option<Value> = line.ends_with(b"\n").then(|| serde_json::from_slice(&line).ok()).flatten();
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
        let dir = std::env::temp_dir().join(format!("edgezero-metrics-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let mut file = MetricsFile::open(&dir, "m.jsonl", 0).unwrap();
        for step in [10, 20, 30] {
            file.append(&train_report(step)).unwrap();
            file.append(&Event::Validation(Validation { step, epoch: 0.5, losses: Losses::default() })).unwrap();
        }
        file.file.write_all(b"{\"step\": 4").unwrap();
        drop(file);
        drop(MetricsFile::open(&dir, "m.jsonl", 20).unwrap());
        let text = std::fs::read_to_string(dir.join("m.jsonl")).unwrap();
        let steps: Vec<u64> = text.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["step"].as_u64().unwrap()).collect();
        // The run validates at step 20 before it goes on.
        assert_eq!(steps, [10, 10, 20]);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_a_power_cut_leaves_is_the_end() {
        let dir = std::env::temp_dir().join(format!("edgezero-metrics-torn-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let whole = b"{\"kind\":\"train\",\"step\":1}\n";
        let long = vec![b' '; 3 * LINE_BYTES_MAX as usize];
        for torn in [&b"{\"kind\":\"tr\xff\xfe\n"[..], &[0; 4096], b"\xff", &long] {
            std::fs::write(dir.join("m.jsonl"), [&whole[..], torn, whole].concat()).unwrap();
            drop(MetricsFile::open(&dir, "m.jsonl", 9).unwrap());
            assert_eq!(std::fs::read(dir.join("m.jsonl")).unwrap(), whole, "{} bytes", torn.len());
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn lines_become_scalars() {
        let line = json!({"kind": "train", "step": 3, "loss": 1.5, "board": {"power_w": 7.0, "temperatures": {"cpu": 50.0}, "throttled_by": ["x"]}});
        let named: Vec<String> = scalars("train", &line).into_iter().map(|(tag, value)| format!("{tag}={value}")).collect();
        assert_eq!(named, ["board/power_w=7", "board/temperatures/cpu=50", "train/loss=1.5"]);
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
            busy_share: None,
            learning_rate: 0.1,
            gradient_norm: 1.0,
            skipped_steps: 0,
            grad_scale: None,
            losses: Losses::default(),
            board: None,
        })
    }
}
