//! The distributions as bars with names: what the table and the page both show.

use super::{Counts, Stats};
use crate::corpus::filter::Rank;

/// A distribution ready to be shown.
pub(super) struct Chart {
    pub title: &'static str,
    /// What the bars stand for: the label of their axis.
    pub axis: &'static str,
    /// What is counted.
    pub unit: &'static str,
    pub kind: Kind,
    pub bars: Vec<Bar>,
    /// What shares are of.
    pub total: u64,
}

/// How bars stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Along an axis with an order, gaps included.
    Ordered,
    /// One below the other, by name.
    Named,
}

pub(super) struct Bar {
    pub name: String,
    pub n: u64,
}

/// Most bars of one chart; what is more is summed up.
const BARS_MAX: usize = 14;
/// Widths of length bins in moves: the first with which all games fit on the axis.
const LENGTH_BINS: [u32; 6] = [5, 10, 20, 50, 100, 500];
/// Bins of the length axis.
const N_LENGTH_BINS: u32 = 30;

/// All charts that have something to show.
pub(super) fn charts(stats: &Stats) -> Vec<Chart> {
    let known = ["all", "with a value", "with a score", "with areas"];
    let labels = known.iter().zip(stats.positions).map(|(name, n)| Bar { name: name.to_string(), n }).collect();
    use Kind::{Named, Ordered};
    let mut charts = vec![
        chart("Results", "games", "result", Named, named(&stats.results)),
        chart("Game length", "games", "moves", Ordered, lengths(&stats.lengths)),
        chart("Komi", "games", "points", Ordered, komi(&stats.komi)),
        chart("Handicap", "games", "stones", Ordered, handicaps(&stats.handicaps)),
        chart("Ranks", "players", "rank", Ordered, ranks(&sum(&stats.ranks))),
        chart("Ratings", "players", "rating, from", Ordered, filled(&sum(&stats.ratings), |n| (n * 100).to_string())),
        chart("Years", "games", "year", Ordered, years(&stats.years)),
        chart("Boards", "games", "board", Named, named(&stats.sizes)),
        Chart { total: stats.positions[0], ..chart("Labels", "positions", "label", Named, labels) },
        chart("What became of the games", "games", "verdict", Named, named(&stats.verdicts)),
        chart("Refused", "games", "reason", Named, named(&stats.refused)),
        chart("Not wanted", "games", "filter", Named, named(&stats.filtered)),
    ];
    // A game may have several repairs, so their shares are of the games.
    let repaired = chart("Repaired", "accepted games", "repair", Named, named(&stats.repaired));
    charts.push(Chart { total: stats.verdict("accepted"), ..repaired });
    charts.into_iter().filter(|chart| !chart.bars.is_empty()).collect()
}

fn chart(title: &'static str, unit: &'static str, axis: &'static str, kind: Kind, bars: Vec<Bar>) -> Chart {
    let total = bars.iter().map(|bar| bar.n).sum();
    Chart { title, axis, unit, kind, bars, total }
}

fn sum<K: Ord + Copy>(sides: &[Counts<K>; 2]) -> Counts<K> {
    let mut sum = sides[0].clone();
    sides[1].iter().for_each(|(key, n)| *sum.entry(*key).or_default() += n);
    sum
}

/// Largest first; the tail in one bar.
fn named<K: ToString>(counts: &Counts<K>) -> Vec<Bar> {
    let mut bars: Vec<Bar> = counts.iter().map(|(name, &n)| Bar { name: name.to_string().replace('_', " "), n }).collect();
    bars.sort_by_key(|bar| std::cmp::Reverse(bar.n));
    if bars.len() > BARS_MAX {
        let rest: u64 = bars.drain(BARS_MAX - 1..).map(|bar| bar.n).sum();
        bars.push(Bar { name: "others".to_string(), n: rest });
    }
    bars
}

/// Every number from the least to the greatest that occurs.
fn filled(counts: &Counts<u32>, name: impl Fn(u32) -> String) -> Vec<Bar> {
    let (Some((&first, _)), Some((&last, _))) = (counts.first_key_value(), counts.last_key_value()) else {
        return Vec::new();
    };
    (first..=last).map(|key| Bar { name: name(key), n: counts.get(&key).copied().unwrap_or(0) }).collect()
}

fn lengths(counts: &Counts<u32>) -> Vec<Bar> {
    let longest = counts.last_key_value().map_or(0, |(&n, _)| n);
    let bin = LENGTH_BINS.into_iter().find(|bin| longest / bin < N_LENGTH_BINS).unwrap_or(1000);
    let mut bins = Counts::new();
    counts.iter().for_each(|(&moves, &n)| *bins.entry(moves / bin).or_default() += n);
    filled(&bins, |key| (key * bin).to_string())
}

/// The usual values, in their order; what is rare in one bar at each end.
fn komi(counts: &Counts<i32>) -> Vec<Bar> {
    let mut usual: Vec<(i32, u64)> = counts.iter().map(|(&komi, &n)| (komi, n)).collect();
    usual.sort_by_key(|&(komi, n)| (std::cmp::Reverse(n), komi));
    usual.truncate(BARS_MAX - 2);
    usual.sort_unstable();
    let (Some(&(least, _)), Some(&(most, _))) = (usual.first(), usual.last()) else { return Vec::new() };
    let rest = |fits: &dyn Fn(i32) -> bool| -> u64 { counts.iter().filter(|(komi, _)| fits(**komi)).map(|(_, n)| n).sum() };
    let (below, above) = (rest(&|komi| komi < least), rest(&|komi| komi > most));
    let between = rest(&|komi| (least..=most).contains(&komi)) - usual.iter().map(|(_, n)| n).sum::<u64>();
    let mut bars: Vec<Bar> = usual.iter().map(|&(komi, n)| Bar { name: (f64::from(komi) / 100.0).to_string(), n }).collect();
    if below > 0 {
        bars.insert(0, Bar { name: "less".to_string(), n: below });
    }
    if above > 0 {
        bars.push(Bar { name: "more".to_string(), n: above });
    }
    if between > 0 {
        bars.push(Bar { name: "other".to_string(), n: between });
    }
    bars
}

fn handicaps(counts: &Counts<u32>) -> Vec<Bar> {
    filled(counts, |n| if n == 0 { "even".to_string() } else { n.to_string() })
        .into_iter()
        .filter(|bar| bar.name != "1")
        .collect()
}

/// From the weakest kyu to the strongest professional that occurs; 10 dan is no rank that servers give.
fn ranks(counts: &Counts<i32>) -> Vec<Bar> {
    let (Some((&first, _)), Some((&last, _))) = (counts.first_key_value(), counts.last_key_value()) else {
        return Vec::new();
    };
    (first..=last)
        .map(|grade| Bar { name: Rank::Grade(grade).to_string(), n: counts.get(&grade).copied().unwrap_or(0) })
        .filter(|bar| bar.n > 0 || bar.name != "10d")
        .collect()
}

/// Every year of the last forty that occur; what is older in one bar.
fn years(counts: &Counts<u32>) -> Vec<Bar> {
    const YEARS_MAX: u32 = 40;
    let Some((&last, _)) = counts.last_key_value() else { return Vec::new() };
    let start = last.saturating_sub(YEARS_MAX - 1);
    let older: u64 = counts.range(..start).map(|(_, n)| n).sum();
    let mut bars = filled(&counts.range(start..).map(|(&year, &n)| (year, n)).collect(), |year| year.to_string());
    if older > 0 {
        bars.insert(0, Bar { name: "older".to_string(), n: older });
    }
    bars
}
