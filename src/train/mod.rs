//! Supervised training from shards: learner, optimiser, schedule, checkpoints.
//!
//! Invariant: a run is a function of its data, its settings and its seed. On the CPU a run that was stopped and
//! resumed ends with the same bytes as one that was not.

mod batch;
mod checkpoint;
pub mod config;
mod learner;
mod prefetch;
mod report;
mod run;
pub mod schedule;

pub use config::{Optimizer, TrainConfig};
pub use report::{Event, Report, Validation};
pub use run::{AVERAGE_NAME, Job, KATAGO_NAME, METRICS_NAME, Plan, Start, Summary, plan, run};
