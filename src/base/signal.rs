//! Ctrl-C and SIGTERM as a flag that long work looks at.

use super::{Error, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Time between two looks at the stop while resting.
const REST_SLICE: Duration = Duration::from_millis(50);
/// Signals this soon after the first are the same stop: `timeout` sends one to the process and one to its group.
const SAME_STOP: Duration = Duration::from_millis(500);

/// Asks long work to stop cleanly, or to rest for a while. Clones share one flag.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    requested: AtomicBool,
    is_paused: AtomicBool,
    why: OnceLock<String>,
}

impl Stop {
    /// A flag that the first SIGINT or SIGTERM sets; a second one, half a second later or more, ends the process at once.
    pub fn on_signals() -> Result<Stop> {
        let stop = Stop::default();
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|e| Error::new("signal handler", e))?;
        let asked = stop.clone();
        std::thread::spawn(move || {
            let mut first: Option<Instant> = None;
            for _ in signals.forever() {
                asked.request();
                if first.get_or_insert_with(Instant::now).elapsed() > SAME_STOP {
                    signal_hook::low_level::exit(130);
                }
            }
        });
        Ok(stop)
    }

    /// Asks for the stop.
    pub fn request(&self) {
        self.0.requested.store(true, Ordering::Relaxed);
    }

    /// Asks for the stop since the machine can give no more; the first reason stays.
    pub fn request_because(&self, why: String) {
        // A later reason is told nowhere: the first one stops the run.
        let _ = self.0.why.set(why);
        self.request();
    }

    /// Asks long work to rest until [`Stop::go_on`].
    pub fn pause(&self) {
        self.0.is_paused.store(true, Ordering::Relaxed);
    }

    /// Ends the rest.
    pub fn go_on(&self) {
        self.0.is_paused.store(false, Ordering::Relaxed);
    }

    /// Whether long work is asked to rest.
    pub fn is_paused(&self) -> bool {
        self.0.is_paused.load(Ordering::Relaxed)
    }

    /// Rests as long as that is asked for, and no stop.
    pub fn rest(&self) {
        while self.is_paused() && !self.requested() {
            std::thread::sleep(REST_SLICE);
        }
    }

    /// Whether a stop was asked for.
    pub fn requested(&self) -> bool {
        self.0.requested.load(Ordering::Relaxed)
    }

    /// Why the machine could give no more; none where a person asked.
    pub fn why(&self) -> Option<&str> {
        self.0.why.get().map(String::as_str)
    }
}
