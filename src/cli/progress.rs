//! How far long work is: a bar on a terminal, `key=value` lines every ten seconds in a log. Both go to stderr.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Time between two lines in a log.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The progress of one command.
pub(super) struct Progress {
    name: &'static str,
    bar: Option<ProgressBar>,
    start: Instant,
    last: Instant,
}

impl Progress {
    /// Starts the clock; `name` leads every line.
    pub(super) fn new(name: &'static str) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix} {wide_bar} {percent:>3} %  {msg}").expect("a fixed template");
            // A length of 0 would be drawn as done.
            ProgressBar::new(1).with_style(style).with_prefix(name).with_message("starting")
        });
        Progress { name, bar, start: Instant::now(), last: Instant::now() }
    }

    /// Whether it is drawn on a terminal, rather than told in lines.
    pub(super) fn is_bar(&self) -> bool {
        self.bar.is_some()
    }

    /// `done` of `total`, in whatever unit; `counts` are shown with their rates, on a terminal the last one with its rate.
    pub(super) fn show(&mut self, done: u64, total: u64, counts: &[(&str, u64)]) {
        // Ten drawings a second are smooth; more would only take time from the work.
        let due = if self.bar.is_some() { Duration::from_millis(100) } else { LINE_EVERY };
        if self.last.elapsed() < due {
            return;
        }
        self.last = Instant::now();
        let seconds = self.start.elapsed().as_secs_f64();
        let left = if done == 0 { 0.0 } else { seconds * (total.saturating_sub(done)) as f64 / done as f64 };
        match &self.bar {
            Some(bar) => {
                let rate = counts.last().map_or(0.0, |(_, n)| *n as f64 / seconds);
                let counts = counts.iter().map(|(unit, n)| format!("{n} {unit}"));
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message(format!("{}, {rate:.0}/s, {} left", counts.collect::<Vec<_>>().join(", "), clock(left)));
            }
            None => {
                let counts = counts.iter().map(|(unit, n)| format!(" {unit}={n} {unit}_per_s={:.0}", *n as f64 / seconds));
                let share = 100.0 * done as f64 / total.max(1) as f64;
                log::info!("{}: percent={share:.1}{} left_s={left:.0}", self.name, counts.collect::<String>());
            }
        }
    }

    /// `done` of `total` steps, told by the bar alone.
    pub(super) fn show_step(&self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
        }
    }

    /// `done` of `total` steps with values: `short` for the bar, which must leave it room on 80 columns, `values` for a log.
    /// As they come: the caller knows how often.
    pub(super) fn show_values(&self, done: u64, total: u64, seconds_left: f64, short: &str, values: &[(&str, String)]) {
        match &self.bar {
            Some(bar) => {
                self.show_step(done, total);
                bar.set_message(format!("{short} {} left", clock(seconds_left)));
            }
            None => {
                let values: Vec<String> = values.iter().map(|(key, value)| format!("{key}={value}")).collect();
                log::info!("{}: step={done} of={total} {} left_s={seconds_left:.0}", self.name, values.join(" "));
            }
        }
    }

    /// A line of its own: `short` above the bar, `line` in a log.
    pub(super) fn say(&self, short: &str, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(short),
            None => log::info!("{line}"),
        }
    }

    /// Takes the bar away and gives the seconds since the start.
    pub(super) fn finish(self) -> f64 {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        self.start.elapsed().as_secs_f64()
    }
}

/// `1:02:03` or `2:03`.
fn clock(seconds: f64) -> String {
    let s = seconds as u64;
    match s / 3600 {
        0 => format!("{}:{:02}", s / 60, s % 60),
        h => format!("{h}:{:02}:{:02}", s / 60 % 60, s % 60),
    }
}
