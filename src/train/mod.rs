//! Supervised training from shards: learner, optimiser, schedule, checkpoints.
//!
//! Invariant: a run is a function of its data, its settings and its seed. On the CPU a run that was stopped and
//! resumed ends with the same bytes as one that was not.

mod batch;
pub mod budget;
mod checkpoint;
pub mod config;
mod events;
mod learner;
mod prefetch;
mod report;
mod run;
pub mod schedule;

pub use budget::{BatchSize, fitted};
pub use checkpoint::{Begun, begun};
pub use config::{Optimizer, TrainConfig};
pub use report::{Event, OnBoard, Report, Validation};
pub use run::{AVERAGE_NAME, Job, KATAGO_NAME, METRICS_NAME, Plan, Start, Summary, plan, run};
