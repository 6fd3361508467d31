//! What a data set is made of: distributions over its ledger, as a table for a terminal and a page for a browser.
//!
//! The page is written with SVG of our own: a few bars and axes need no drawing library, and colours that follow the
//! reader's light or dark theme, text in the reader's font and values under the pointer are what a library's files lack.

mod charts;
mod html;
mod table;

use super::filter::{Rank, date_of};
use super::ledger::{self, LedgerLine, Verdict};
use crate::base::{Error, Result};
use crate::sgf::{GameResult, Margin, Winner};
use crate::shard::LEDGER_NAME;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Counts by a name or a number.
pub type Counts<K> = BTreeMap<K, u64>;

/// Distributions of a data set. Those of games are over the accepted ones, variations left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// The data set's folder.
    pub dir: String,
    /// Lines of the ledger by what became of them.
    pub verdicts: Counts<&'static str>,
    /// Refused games by reason.
    pub refused: Counts<String>,
    /// Games not wanted, by filter.
    pub filtered: Counts<String>,
    /// Accepted games by repair.
    pub repaired: Counts<String>,
    /// Accepted games that share their opening with an earlier one.
    pub shared_openings: u64,
    /// Positions, and those that know their value, score and areas.
    pub positions: [u64; 4],
    /// Games by board.
    pub sizes: Counts<String>,
    /// Games by komi in hundredths of a point.
    pub komi: Counts<i32>,
    /// Games by winner and way: `black by resignation`.
    pub results: Counts<&'static str>,
    /// Black's and White's ranks, as sorted by [`rank_key`].
    pub ranks: [Counts<i32>; 2],
    /// Players by rating, in hundreds of points rounded down, Black's and White's.
    pub ratings: [Counts<u32>; 2],
    /// Games by year.
    pub years: Counts<u32>,
    /// Games by number of moves.
    pub lengths: Counts<u32>,
    /// Games by handicap stones; even games are 0.
    pub handicaps: Counts<u32>,
}

impl Stats {
    /// Reads the ledger of the data set in `dir`. Memory: the distributions.
    ///
    /// # Errors
    /// No ledger there, or a line that is none of ours.
    pub fn read(dir: &Path) -> Result<Stats> {
        let mut stats = Stats { dir: dir.display().to_string(), ..Stats::default() };
        for line in ledger::read(dir)? {
            stats.add(&line?);
        }
        if stats.verdicts.is_empty() {
            return Err(Error::new(dir.join(LEDGER_NAME).display(), "an empty ledger"));
        }
        Ok(stats)
    }

    /// Counts one line.
    pub fn add(&mut self, line: &LedgerLine) {
        let reason = || line.reason.clone().unwrap_or_default();
        let verdict = match line.verdict {
            Some(Verdict::Accepted) => "accepted",
            Some(Verdict::Refused) => {
                *self.refused.entry(reason()).or_default() += 1;
                "refused"
            }
            Some(Verdict::Duplicate) => "duplicate",
            Some(Verdict::Filtered) => {
                *self.filtered.entry(reason()).or_default() += 1;
                "not wanted"
            }
            None => "unknown",
        };
        *self.verdicts.entry(verdict).or_default() += 1;
        if verdict == "accepted" {
            self.accept(line);
        }
    }

    fn accept(&mut self, line: &LedgerLine) {
        for (sum, n) in self.positions.iter_mut().zip(line.positions) {
            *sum += u64::from(n);
        }
        for repair in &line.repairs {
            *self.repaired.entry(repair.clone()).or_default() += 1;
        }
        self.shared_openings += u64::from(line.opening.is_some());
        if line.variation > 0 {
            return;
        }
        *self.sizes.entry(line.size.clone().unwrap_or_default()).or_default() += 1;
        if let Some(komi) = line.komi {
            *self.komi.entry((komi * 100.0).round() as i32).or_default() += 1;
        }
        let result = GameResult::parse(line.result.as_deref().unwrap_or_default());
        *self.results.entry(result_name(result)).or_default() += 1;
        for (i, rank) in line.ranks.iter().enumerate() {
            match rank.as_deref().and_then(Rank::parse) {
                Some(Rank::Grade(grade)) => *self.ranks[i].entry(grade).or_default() += 1,
                Some(Rank::Elo(elo)) => *self.ratings[i].entry((elo / 100.0) as u32).or_default() += 1,
                None => {}
            }
        }
        if let Some((year, _, _)) = line.date.as_deref().and_then(date_of) {
            *self.years.entry(year).or_default() += 1;
        }
        *self.lengths.entry(line.moves).or_default() += 1;
        *self.handicaps.entry(line.handicap.filter(|&n| n >= 2).unwrap_or(0)).or_default() += 1;
    }

    /// The table for a terminal.
    pub fn table(&self) -> String {
        table::table(self)
    }

    /// One page with charts: no scripts, nothing loaded from anywhere.
    pub fn html(&self) -> String {
        html::page(self)
    }

    /// Ledger lines in all.
    pub fn n_lines(&self) -> u64 {
        self.verdicts.values().sum()
    }

    fn verdict(&self, name: &str) -> u64 {
        self.verdicts.get(name).copied().unwrap_or(0)
    }
}

/// The key under which a rank such as `6d`, `3k` or `9p` is counted.
pub fn rank_key(rank: &str) -> Option<i32> {
    match Rank::parse(rank)? {
        Rank::Grade(grade) => Some(grade),
        Rank::Elo(_) => None,
    }
}

fn result_name(result: GameResult) -> &'static str {
    match (result.winner, result.margin) {
        (None, _) => "unknown",
        (Some(Winner::Draw), _) => "draw",
        (Some(Winner::Black), Some(Margin::Points(_))) => "black by points",
        (Some(Winner::Black), Some(Margin::Resignation)) => "black by resignation",
        (Some(Winner::Black), Some(Margin::Time)) => "black on time",
        (Some(Winner::Black), Some(Margin::Forfeit)) => "black by forfeit",
        (Some(Winner::Black), None) => "black",
        (Some(Winner::White), Some(Margin::Points(_))) => "white by points",
        (Some(Winner::White), Some(Margin::Resignation)) => "white by resignation",
        (Some(Winner::White), Some(Margin::Time)) => "white on time",
        (Some(Winner::White), Some(Margin::Forfeit)) => "white by forfeit",
        (Some(Winner::White), None) => "white",
    }
}
