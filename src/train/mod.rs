//! Supervised training from shards: learner, optimiser, schedule, checkpoints.
//!
//! Invariant: a run is a function of its data, its settings and its seed. On the CPU a run that was stopped and
//! resumed ends with the same bytes as one that was not.

mod batch;
pub mod budget;
mod checkpoint;
pub mod config;
mod events;
mod folder;
mod learner;
mod prefetch;
mod report;
mod run;
pub mod schedule;

pub use budget::{BatchSize, fitted};
pub use checkpoint::Begun;
pub use config::{Optimizer, TrainConfig};
pub use folder::{AVERAGE_NAME, KATAGO_NAME, RunFolder};
pub use report::{Event, OnBoard, Report, Validation};
pub use run::{Job, METRICS_NAME, Plan, Start, Summary, finish, plan, run};
