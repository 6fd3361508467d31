//! Watches over a run from a thread of its own: sensors, heat, memory, disk, once a second.
//!
//! Long work asks its [`Stop`] as ever: the watch sets it, with the reason, when the machine can give no more, and pauses it
//! while others need memory. Training also asks [`Watch::rest`] between its steps, for heat and power. All times are of the monotonic clock.

use super::governor::{Governor, HeatLimits};
use super::guard::{Guard, Look, Reserves, Verdict};
use super::nvml::Place;
use super::sensors::{Reading, Sensors};
use super::storage;
use super::tree::Tree;
use crate::base::config::{BadValue, within};
use crate::base::signal::Stop;
use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// Longest rest after one step, so that a stop is never far.
const REST_MAX: Duration = Duration::from_secs(10);
/// Time between two looks while resting.
const REST_SLICE: Duration = Duration::from_millis(50);

/// The section `[watch]` of a profile: what a run leaves to the machine, and how hot it makes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchConfig {
    /// Training rests between steps so that no sensor passes this, in °C; 0 is off.
    pub temperature_c_max: f64,
    /// The same for the power of the whole board, in W; 0 is off.
    pub power_w_max: f64,
    /// Memory in MiB that is to stay available; with less a run rests, then stops. 0 is off.
    pub available_mb_min: u64,
    /// Disk in MiB that is to stay free where a run writes. 0 is off.
    pub disk_mb_min: u64,
}

impl WatchConfig {
    /// Refuses values that no board can hold.
    pub fn check(&self) -> std::result::Result<(), BadValue> {
        within("temperature_c_max", self.temperature_c_max, 0.0..=120.0, "°C")?;
        within("power_w_max", self.power_w_max, 0.0..=2000.0, "W")?;
        within("available_mb_min", self.available_mb_min, 0..=1 << 20, "MiB")?;
        within("disk_mb_min", self.disk_mb_min, 0..=1 << 20, "MiB")
    }
}

/// What the watch has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The latest of the sensors.
    pub reading: Reading,
    /// Energy in J that the board has drawn since the start; none where no rail is measured.
    pub energy_j: Option<f64>,
    /// Share of time that is rested, 0 to 0.9.
    pub rest: f64,
}

/// A watch over one run; it ends when dropped.
pub struct Watch {
    shared: Arc<Shared>,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    seen: Seen,
    is_over: bool,
    /// GPUs that are to be read as well, from the next look on.
    to_follow: Option<Vec<Place>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if it did, the numbers would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Begins to watch a run that may hold `budget_bytes` and writes to the folder `writes_to`, if to any.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(tree: Tree, config: &WatchConfig, budget_bytes: u64, writes_to: Option<PathBuf>, stop: &Stop) -> Result<Watch> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let disk_bytes = config.disk_mb_min << 20;
        let disk_bytes = writes_to.as_deref().and_then(storage::room).map_or(disk_bytes, |room| room.reserve(disk_bytes));
        let reserves = Reserves { available_bytes: config.available_mb_min << 20, disk_bytes };
        let limits = HeatLimits { temperature_c: config.temperature_c_max, power_w: config.power_w_max };
        let mut keeper = Keeper {
            sensors: Sensors::find(&tree),
            tree,
            writes_to,
            governor: Governor::new(limits),
            guard: Guard::new(reserves, budget_bytes),
            energy_j: None,
            last: Instant::now(),
            stop: stop.clone(),
        };
        // The first look is there before the run begins.
        keeper.look(&shared);
        let watched = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("watch".to_string()).spawn(move || keeper.run(&watched));
        let thread = thread.map_err(|e| Error::new("watch", e))?;
        Ok(Watch { shared, stop: stop.clone(), thread: Some(thread) })
    }

    /// What was seen last.
    pub fn seen(&self) -> Seen {
        self.shared.state().seen.clone()
    }

    /// Reads these GPUs as well from now on.
    pub fn follow(&self, gpus: Vec<Place>) {
        if !gpus.is_empty() {
            self.shared.state().to_follow = Some(gpus);
        }
    }

    /// Rests after a step that took `worked`, as heat, power and memory ask for.
    pub fn rest(&self, worked: Duration) {
        let begun = Instant::now();
        loop {
            let rest = self.shared.state().seen.rest;
            let wanted = if self.stop.is_paused() { REST_MAX } else { worked.mul_f64(rest / (1.0 - rest)).min(REST_MAX) };
            let left = wanted.saturating_sub(begun.elapsed());
            if left.is_zero() || self.stop.requested() {
                return;
            }
            std::thread::sleep(left.min(REST_SLICE));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.state().is_over = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of it has said so already.
            let _ = thread.join();
        }
        // Nobody is left who would end a rest.
        self.stop.go_on();
    }
}

/// The thread's own part.
struct Keeper {
    tree: Tree,
    sensors: Sensors,
    writes_to: Option<PathBuf>,
    governor: Governor,
    guard: Guard,
    energy_j: Option<f64>,
    last: Instant,
    stop: Stop,
}

impl Keeper {
    fn run(&mut self, shared: &Shared) {
        loop {
            let state = shared.state();
            let waited = shared.changed.wait_timeout_while(state, EVERY, |state| !state.is_over);
            if waited.unwrap_or_else(PoisonError::into_inner).0.is_over {
                return;
            }
            self.look(shared);
        }
    }

    fn look(&mut self, shared: &Shared) {
        // Outside of the lock: a library may take its time to start.
        let to_follow = shared.state().to_follow.take();
        if let Some(gpus) = to_follow.filter(|_| self.tree.is_machine()) {
            self.sensors.follow(&gpus);
        }
        let reading = self.sensors.read();
        let seconds = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        self.governor.update(&reading, self.sensors.zones(), seconds);
        if let Some(watts) = reading.power_w {
            *self.energy_j.get_or_insert(0.0) += watts * seconds;
        }
        let verdict = self.guard.judge(&Look::now(&self.tree, self.writes_to.as_deref()));
        let mut state = shared.state();
        state.seen = Seen { reading, energy_j: self.energy_j, rest: self.governor.rest() };
        drop(state);
        let was_short = self.stop.is_paused();
        match verdict {
            Verdict::Slow(_) => self.stop.pause(),
            _ => self.stop.go_on(),
        }
        match verdict {
            Verdict::Slow(why) if !was_short => log::warn!("the run rests: {why}"),
            Verdict::Stop(why) if !self.stop.requested() => {
                log::warn!("the run ends: {why}");
                self.stop.request_because(why);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn a_scripted_board_is_slowed_and_then_stopped() {
        let root = std::env::temp_dir().join(format!("edgezero-watch-{}", std::process::id()));
        let hot = |millis: &str| write(&root, "sys/class/thermal/thermal_zone0/temp", millis);
        write(&root, "sys/class/thermal/thermal_zone0/type", "CPU-therm");
        write(&root, "proc/meminfo", "MemTotal: 4000000 kB\nMemAvailable: 3000000 kB\n");
        write(&root, "sys/bus/i2c/devices/6-0040/name", "ina3221x");
        write(&root, "sys/bus/i2c/devices/6-0040/iio:device0/rail_name_0", "POM_5V_IN");
        write(&root, "sys/bus/i2c/devices/6-0040/iio:device0/in_power0_input", "8000");
        hot("60000");
        let config = WatchConfig { temperature_c_max: 80.0, power_w_max: 0.0, available_mb_min: 128, disk_mb_min: 0 };
        let stop = Stop::default();
        let watch = Watch::start(Tree::under(&root), &config, 1 << 40, None, &stop).unwrap();
        assert_eq!((watch.seen().reading.power_w, watch.seen().rest), (Some(8.0), 0.0));
        watch.rest(Duration::from_secs(5));

        hot("90000");
        wait_for("rest", || watch.seen().rest > 0.0);
        let begun = Instant::now();
        watch.rest(Duration::from_millis(500));
        assert!(begun.elapsed() > Duration::from_millis(10), "{:?}", begun.elapsed());
        assert!(watch.seen().energy_j.unwrap() > 1.0);
        assert!(!stop.requested());

        write(&root, "proc/meminfo", "MemTotal: 4000000 kB\nMemAvailable: 100000 kB\n");
        wait_for("pause", || stop.is_paused());
        write(&root, "proc/meminfo", "MemTotal: 4000000 kB\nMemAvailable: 3000000 kB\n");
        wait_for("end of the pause", || !stop.is_paused());

        write(&root, "proc/meminfo", "MemTotal: 4000000 kB\nMemAvailable: 20000 kB\n");
        wait_for("stop", || stop.requested());
        assert_eq!(stop.why(), Some("19 MiB of memory are available, 128 are to stay so"));
        drop(watch);
        std::fs::remove_dir_all(&root).unwrap();
    }
}
