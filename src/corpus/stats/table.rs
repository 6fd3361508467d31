//! The table for a terminal.

use super::Stats;
use super::charts::{Bar, Chart, charts};
use std::fmt::Write as _;

/// Longest bar in characters.
const BAR_CHARS: f64 = 30.0;

pub(super) fn table(stats: &Stats) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{}: {}", stats.dir, headline(stats));
    for chart in charts(stats) {
        let _ = writeln!(out, "\n{} ({} by {})", chart.title, chart.unit, chart.axis);
        let most = chart.bars.iter().map(|bar| bar.n).max().unwrap_or(0).max(1);
        let name_chars = name_chars(&chart);
        for Bar { name, n } in &chart.bars {
            let full = (BAR_CHARS * *n as f64 / most as f64).ceil() as usize;
            let share = 100.0 * *n as f64 / chart.total.max(1) as f64;
            let line = format!("  {name:>name_chars$} {n:>9} {share:>5.1} % {}", "#".repeat(full));
            let _ = writeln!(out, "{}", line.trim_end());
        }
    }
    out
}

fn name_chars(chart: &Chart) -> usize {
    chart.bars.iter().map(|bar| bar.name.chars().count()).max().unwrap_or(0)
}

/// The sums in one line.
pub(super) fn headline(stats: &Stats) -> String {
    let [positions, value, score, areas] = stats.positions;
    let share = |n: u64| 100.0 * n as f64 / positions.max(1) as f64;
    format!(
        "{} games accepted of {}, {positions} positions: value known of {:.1} %, score {:.1} %, areas {:.1} %",
        stats.verdict("accepted"),
        stats.n_lines(),
        share(value),
        share(score),
        share(areas)
    )
}
