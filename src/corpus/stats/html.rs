//! The page for a browser: one file, light or dark as the reader has it, values under the pointer.

use super::Stats;
use super::charts::{Bar, Chart, Kind, charts};
use std::fmt::Write as _;

/// Width of a chart's drawing in its own units.
const W: f64 = 560.0;
/// Height of an ordered chart's drawing.
const H: f64 = 280.0;
/// Room for the numbers left of an ordered chart, and around the drawing.
const LEFT: f64 = 64.0;
const TOP: f64 = 16.0;
const RIGHT: f64 = 12.0;
/// Room for names and label below.
const BOTTOM: f64 = 46.0;
/// Height of a named bar with its gap.
const ROW: f64 = 26.0;
/// Room for names left of named bars, and for numbers right of them.
const NAMES: f64 = 205.0;
const NUMBERS: f64 = 140.0;
/// Most names along an axis: more would run into each other.
const NAMES_MAX: usize = 13;

const STYLE: &str = "
:root { color-scheme: light dark; --page: #f6f4ef; --card: #fffdf8; --ink: #23211c; --soft: #6d675b; --line: #e2ddd0; --bar: #2f6f73; --top: #b9802f; }
@media (prefers-color-scheme: dark) {
  :root { --page: #171816; --card: #20221f; --ink: #ece8dd; --soft: #a19b8d; --line: #363833; --bar: #62b3ae; --top: #e0ac5e; }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 2.5rem 1.5rem 4rem; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1240px; margin: 0 auto; }
h1 { margin: 0; font-size: 1.7rem; font-weight: 650; overflow-wrap: anywhere; }
header p { margin: .2rem 0 1.6rem; color: var(--soft); }
.sums { display: flex; flex-wrap: wrap; gap: 1rem; margin: 0 0 1.4rem; padding: 0; list-style: none; }
.sums li, section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.sums li { padding: .8rem 1rem; flex: 1 1 135px; }
.sums b { display: block; font-size: 1.5rem; font-weight: 650; font-variant-numeric: tabular-nums; }
.sums span { color: var(--soft); font-size: .9rem; }
.charts { columns: 2 480px; column-gap: 1.2rem; }
section { padding: 1rem 1.2rem 1.1rem; margin-bottom: 1.2rem; break-inside: avoid; }
h2 { margin: 0 0 .5rem; font-size: 1.05rem; font-weight: 650; }
h2 small { color: var(--soft); font-weight: 400; font-size: .85rem; margin-left: .4rem; }
svg { display: block; width: 100%; height: auto; font: 13px system-ui, sans-serif; fill: var(--ink); }
svg .bar { fill: var(--bar); }
svg .bar:hover { fill: var(--top); }
svg .soft { fill: var(--soft); }
svg .grid { stroke: var(--line); }
svg .track { fill: var(--line); opacity: .55; }
footer { margin-top: 1.6rem; color: var(--soft); font-size: .85rem; }
";

pub(super) fn page(stats: &Stats) -> String {
    let mut out = String::with_capacity(1 << 16);
    let title = escaped(&stats.dir);
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} - edgezero stats</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <header><h1>{title}</h1><p>Game records as they went into the shards</p></header>\n"
    );
    out.push_str(&sums(stats));
    out.push_str("<div class=\"charts\">\n");
    for chart in charts(stats) {
        let _ = write!(
            out,
            "<section><h2>{}<small>{} by {}</small></h2>\n{}</section>\n",
            chart.title,
            chart.unit,
            chart.axis,
            match chart.kind {
                Kind::Ordered => ordered(&chart),
                Kind::Named => named(&chart),
            }
        );
    }
    let _ = write!(
        out,
        "</div>\n<footer>Distributions are over accepted games. Made by edgezero {} from ledger.jsonl.</footer>\n</main>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    );
    out
}

fn sums(stats: &Stats) -> String {
    let refused = stats.verdict("refused");
    let sums = [
        (stats.n_lines(), "games read"),
        (stats.verdict("accepted"), "accepted"),
        (stats.positions[0], "positions"),
        (stats.verdict("duplicate"), "duplicates"),
        (refused, "refused"),
        (stats.verdict("not wanted"), "not wanted"),
        (stats.shared_openings, "share an opening"),
    ];
    let items = sums.iter().map(|(n, what)| format!("<li><b>{}</b><span>{what}</span></li>", grouped(*n)));
    format!("<ul class=\"sums\">{}</ul>\n", items.collect::<String>())
}

/// Bars along an axis with an order.
fn ordered(chart: &Chart) -> String {
    let most = chart.bars.iter().map(|bar| bar.n).max().unwrap_or(0).max(1);
    let (step, top) = ticks(most);
    let (plot_w, plot_h) = (W - LEFT - RIGHT, H - TOP - BOTTOM);
    let height = |n: u64| plot_h * n as f64 / top as f64;
    let mut out = svg(H, chart);
    for tick in (0..=top / step).map(|i| i * step) {
        let y = TOP + plot_h - height(tick);
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"soft\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            W - RIGHT,
            LEFT - 8.0,
            y + 4.5,
            grouped(tick)
        );
    }
    let slot = plot_w / chart.bars.len() as f64;
    let width = (slot * 0.78).min(54.0);
    let every = chart.bars.len().div_ceil(NAMES_MAX);
    for (i, bar) in chart.bars.iter().enumerate() {
        let middle = LEFT + slot * (i as f64 + 0.5);
        if bar.n > 0 {
            // A single game among thousands is still to be seen.
            let h = height(bar.n).max(1.5);
            let _ = writeln!(
                out,
                "<rect class=\"bar\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{h:.1}\" rx=\"1.5\">{}</rect>",
                middle - width / 2.0,
                TOP + plot_h - h,
                pointed(chart, bar)
            );
        }
        if i % every == 0 {
            let _ = writeln!(
                out,
                "<text x=\"{middle:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                TOP + plot_h + 18.0,
                escaped(&bar.name)
            );
        }
    }
    let _ = write!(
        out,
        "<text class=\"soft\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
         <text class=\"soft\" transform=\"translate(13 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n</svg>\n",
        LEFT + plot_w / 2.0,
        H - 6.0,
        chart.axis,
        TOP + plot_h / 2.0,
        chart.unit
    );
    out
}

/// Bars one below the other, with their shares.
fn named(chart: &Chart) -> String {
    let most = chart.bars.iter().map(|bar| bar.n).max().unwrap_or(0).max(1);
    let plot_w = W - NAMES - NUMBERS;
    let mut out = svg(ROW * chart.bars.len() as f64 + 24.0, chart);
    for (i, bar) in chart.bars.iter().enumerate() {
        let y = ROW * i as f64;
        let w = if bar.n == 0 { 0.0 } else { (plot_w * bar.n as f64 / most as f64).max(1.5) };
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect class=\"track\" x=\"{NAMES}\" y=\"{:.1}\" width=\"{plot_w}\" height=\"15\" rx=\"2\"/>\
             <rect class=\"bar\" x=\"{NAMES}\" y=\"{:.1}\" width=\"{w:.1}\" height=\"15\" rx=\"2\">{}</rect>\
             <text x=\"{}\" y=\"{:.1}\">{} <tspan class=\"soft\">{}</tspan></text>",
            NAMES - 10.0,
            y + 16.0,
            escaped(&short(&bar.name)),
            y + 4.0,
            y + 4.0,
            pointed(chart, bar),
            NAMES + plot_w + 10.0,
            y + 16.0,
            grouped(bar.n),
            share(bar.n, chart.total)
        );
    }
    let _ = write!(
        out,
        "<text class=\"soft\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n</svg>\n",
        NAMES + plot_w / 2.0,
        ROW * chart.bars.len() as f64 + 16.0,
        chart.unit
    );
    out
}

fn svg(height: f64, chart: &Chart) -> String {
    format!("<svg viewBox=\"0 0 {W} {height}\" role=\"img\" aria-label=\"{}: {} by {}\">\n", chart.title, chart.unit, chart.axis)
}

/// What the pointer shows over a bar.
fn pointed(chart: &Chart, bar: &Bar) -> String {
    format!("<title>{} {}: {} {}</title>", chart.axis, escaped(&bar.name), grouped(bar.n), chart.unit)
}

/// Distance of the lines of an axis and its top, both round: four to six lines.
fn ticks(most: u64) -> (u64, u64) {
    const LINES_MAX: u64 = 5;
    let steps = (0..18).flat_map(|power| [1, 2, 5].map(|factor| factor * 10_u64.pow(power)));
    let step = steps.into_iter().find(|&step| most.div_ceil(step) <= LINES_MAX).unwrap_or(most);
    (step, most.div_ceil(step) * step)
}

fn share(n: u64, total: u64) -> String {
    let percent = 100.0 * n as f64 / total.max(1) as f64;
    if n > 0 && percent < 0.05 { "<0.1 %".replace('<', "&lt;") } else { format!("{percent:.1} %") }
}

/// 12,345.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Names that fit beside their bars.
fn short(name: &str) -> String {
    const CHARS_MAX: usize = 27;
    if name.chars().count() <= CHARS_MAX {
        return name.to_string();
    }
    name.chars().take(CHARS_MAX - 1).chain(['…']).collect()
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        for (most, expected) in [(1, (1, 1)), (5, (1, 5)), (6, (2, 6)), (11, (5, 15)), (99, (20, 100)), (2859, (1000, 3000))] {
            assert_eq!(ticks(most), expected, "{most}");
        }
    }

    #[test]
    fn texts_cannot_leave_their_place() {
        assert_eq!(escaped("<a href=\"x\">&\n"), "&lt;a href=&quot;x&quot;&gt;&amp; ");
        assert_eq!((grouped(7), grouped(1234), grouped(1_000_000)), ("7".into(), "1,234".into(), "1,000,000".into()));
    }
}
