//! What the games so far say, as numbers, as `match.json` and as a table.

use super::config::MatchConfig;
use super::journal::{Ending, GameLine, Name};
use super::pairs::{Estimate, Pairs};
use super::seat::FaultKind;
use super::sprt::{SprtConfig, Verdict};
use crate::base::fs::{read_limited, write_whole};
use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::Path;

/// The report's name in a match's folder.
pub const REPORT_NAME: &str = "match.json";
/// Largest report read, in bytes: ours have 3 KB.
const REPORT_BYTES_MAX: u64 = 1 << 20;

/// Games of A.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wdl {
    /// Won.
    pub wins: u64,
    /// Drawn.
    pub draws: u64,
    /// Lost.
    pub losses: u64,
}

/// The state of a sequential test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SprtState {
    /// Log-likelihood ratio of the pairs.
    pub llr: f64,
    /// Where H0 and H1 are accepted.
    pub bounds: [f64; 2],
    /// What was accepted; it stays, whatever the games under way at that moment say.
    pub verdict: Option<Verdict>,
}

/// The games of a match, counted in the order in which they ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Games that ended, counted or not.
    pub games: u64,
    /// Games of A as Black and as White.
    pub by_color: [Wdl; 2],
    /// Games that do not count.
    pub void: u64,
    /// Whole pairs.
    pub pairs: Pairs,
    /// The strength that they speak for.
    pub estimate: Option<Estimate>,
    /// The sequential test, if there is one.
    pub sprt: Option<SprtState>,
    /// Games by how they ended.
    pub endings: BTreeMap<Ending, u64>,
    /// Faults of A and of B.
    pub faults: [BTreeMap<FaultKind, u64>; 2],
    /// Games in which the players did not count the same winner.
    pub disputed: u64,
    /// Games that both players counted, and those of them in which they counted the same score.
    #[serde(default)]
    pub counted: [u64; 2],
    /// Games in which a net would have resigned, and those of them that the first to do so did not win.
    #[serde(default)]
    pub given_up: [u64; 2],
    /// Moves of all games.
    pub moves: u64,
    /// Seconds that A and B thought.
    pub seconds: [f64; 2],
    /// Seconds of the longest thought of A and of B.
    pub slowest: [f64; 2],
    #[serde(skip)]
    halves: HashMap<usize, Option<usize>>,
    #[serde(skip)]
    test: Option<SprtConfig>,
}

/// `match.json`: what is played, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What is played.
    pub config: MatchConfig,
    /// Names of A and B.
    pub names: [String; 2],
    /// Games asked for.
    pub games: usize,
    /// What came of it.
    pub tally: Tally,
}

impl Wdl {
    fn add(&mut self, points: usize) {
        match points {
            0 => self.losses += 1,
            1 => self.draws += 1,
            _ => self.wins += 1,
        }
    }

    /// All games.
    pub fn n(&self) -> u64 {
        self.wins + self.draws + self.losses
    }

    /// Share of the points; none without games.
    pub fn score(&self) -> Option<f64> {
        (self.n() > 0).then(|| (self.wins as f64 + 0.5 * self.draws as f64) / self.n() as f64)
    }
}

impl Tally {
    /// Nothing yet.
    pub fn new(test: Option<SprtConfig>) -> Tally {
        let sprt = test.map(|test| SprtState { llr: 0.0, bounds: test.bounds(), verdict: None });
        Tally { test, sprt, ..Tally::default() }
    }

    /// Counts a game.
    pub fn add(&mut self, line: &GameLine) {
        self.games += 1;
        *self.endings.entry(line.ending).or_default() += 1;
        self.disputed += u64::from(line.disputed);
        if let Some([Some(black), Some(white)]) = line.counted {
            self.counted[0] += 1;
            self.counted[1] += u64::from(black == white);
        }
        // Before any other: the one who gives up later does so in a game that would be over.
        let first =
            [Name::A, Name::B].into_iter().filter_map(|name| Some((line.gave_up[name.index()]?, name))).min_by_key(|g| g.0);
        if let Some((_, name)) = first {
            self.given_up[0] += 1;
            self.given_up[1] += u64::from(line.winner != Some(name));
        }
        self.moves += line.moves as u64;
        for i in 0..2 {
            self.seconds[i] += line.seconds[i];
            self.slowest[i] = self.slowest[i].max(line.slowest[i]);
        }
        if let Some(fault) = &line.fault {
            *self.faults[fault.by.index()].entry(fault.kind).or_default() += 1;
        }
        // Half points of A.
        let half_points = line.counts.then_some(match line.winner {
            Some(Name::A) => 2,
            None => 1,
            Some(Name::B) => 0,
        });
        match half_points {
            Some(points) => self.by_color[line.black.index()].add(points),
            None => self.void += 1,
        }
        match self.halves.remove(&(line.game / 2)) {
            None => {
                self.halves.insert(line.game / 2, half_points);
            }
            Some(other) => {
                if let (Some(a), Some(b)) = (other, half_points) {
                    self.pairs.add(a + b);
                    self.judge();
                }
            }
        }
    }

    fn judge(&mut self) {
        self.estimate = self.pairs.estimate();
        if let (Some(test), Some(state)) = (&self.test, &mut self.sprt) {
            state.llr = test.llr(&self.pairs);
            state.verdict = state.verdict.or_else(|| test.verdict(&self.pairs));
        }
    }

    /// What the sequential test has accepted.
    pub fn verdict(&self) -> Option<Verdict> {
        self.sprt.and_then(|state| state.verdict)
    }

    /// Counted games of A with both colours.
    pub fn all(&self) -> Wdl {
        let [black, white] = self.by_color;
        Wdl { wins: black.wins + white.wins, draws: black.draws + white.draws, losses: black.losses + white.losses }
    }
}

impl Report {
    /// Reads the report of a folder; none where there is none.
    pub(super) fn read(dir: &Path) -> Result<Option<Report>> {
        let path = dir.join(REPORT_NAME);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = read_limited(&path, REPORT_BYTES_MAX)?;
        let report = serde_json::from_slice(&bytes);
        report.map(Some).map_err(|e| Error::new(path.display(), e).hint("another --out"))
    }

    /// Writes it, whole or not at all.
    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        write_whole(&dir.join(REPORT_NAME), (self.to_json() + "\n").as_bytes())
    }

    /// As `match.json` has it.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("maps with plain keys")
    }
}

/// The report for people, a line a fact. Ends without a line break.
pub fn table(report: &Report) -> String {
    let (config, tally, [a, b]) = (&report.config, &report.tally, &report.names);
    let [w, h] = config.board;
    let mut text = format!("A {a}\nB {b}\n");
    let mut line = |key: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{key:<11}{value}");
    };
    let handicap = if config.handicap > 0 { format!(", handicap {}", config.handicap) } else { String::new() };
    line("board", format!("{w}x{h}, {}, komi {}{handicap}", config.rules, config.komi));
    let void = if tally.void > 0 { format!(", {} void", tally.void) } else { String::new() };
    line("games", format!("{} of {}{void}", tally.games, report.games));
    line("", format!("{:>7}{:>7}{:>7}{:>9}", "won", "drawn", "lost", "score"));
    let [black, white] = tally.by_color;
    for (key, wdl) in [("A all", tally.all()), ("A black", black), ("A white", white)] {
        let score = wdl.score().map_or("-".to_string(), |score| format!("{:.1} %", 100.0 * score));
        line(key, format!("{:>7}{:>7}{:>7}{score:>9}", wdl.wins, wdl.draws, wdl.losses));
    }
    let classes: Vec<String> = tally.pairs.0.iter().map(u64::to_string).collect();
    line("pairs", format!("{} with 0, ½, 1, 1½, 2 points of A", classes.join(" ")));
    if let Some(e) = &tally.estimate {
        let end = |elo: Option<f64>, score: f64| elo.map_or(unbounded(score), |elo| format!("{elo:+.0}"));
        let [low, high] = [0, 1].map(|i| end(e.elo_interval[i], e.score_interval[i]));
        line("elo", format!("{} (95 %: {low} to {high}), A is stronger: {:.1} %", end(e.elo, e.score), 100.0 * e.los));
    }
    if let (Some(state), Some(test)) = (&tally.sprt, &config.sprt) {
        let says = match state.verdict {
            Some(Verdict::H0) => "H0 accepted",
            Some(Verdict::H1) => "H1 accepted",
            None => "undecided",
        };
        let [low, high] = state.bounds;
        let (elo0, elo1, llr) = (test.elo0, test.elo1, state.llr);
        line("sprt", format!("{says}: llr {llr:.2} ({low:.2} to {high:.2}), H0 elo {elo0}, H1 elo {elo1}"));
    }
    let endings: Vec<String> = tally.endings.iter().map(|(ending, n)| format!("{} {n}", word(*ending))).collect();
    if !endings.is_empty() {
        line("endings", endings.join(", "));
    }
    for (name, faults) in ["A", "B"].iter().zip(&tally.faults).filter(|(_, faults)| !faults.is_empty()) {
        let faults: Vec<String> = faults.iter().map(|(kind, n)| format!("{} {n}", kind.word())).collect();
        line("faults", format!("{name}: {}", faults.join(", ")));
    }
    if let [both, same @ ..] = tally.counted
        && both > 0
    {
        line("counts", format!("{both} games counted by both players, {} with the same score", same[0]));
    }
    if let [n, right] = tally.given_up
        && n > 0
    {
        let share = 100.0 * right as f64 / n as f64;
        line("resigning", format!("would have ended {n} games, in {right} ({share:.1} %) by who did not win"));
    }
    if tally.disputed > 0 {
        line("disputed", format!("{} counts, decided by the board's own judge", tally.disputed));
    }
    let [slow_a, slow_b] = tally.slowest;
    // Each has made about half of the moves; after a fault one of them may have made all.
    let per_move = [0, 1].map(|i| (2.0 * tally.seconds[i] / (tally.moves as f64).max(1.0)).min(tally.slowest[i]));
    line("time", format!("A {:.3} s a move, at most {slow_a:.1}; B {:.3}, at most {slow_b:.1}", per_move[0], per_move[1]));
    text.trim_end().to_string()
}

fn unbounded(score: f64) -> String {
    if score > 0.5 { "+inf" } else { "-inf" }.to_string()
}

fn word(ending: Ending) -> &'static str {
    match ending {
        Ending::Passes => "passes",
        Ending::Resignation => "resignation",
        Ending::TooLong => "too long",
        Ending::Fault => "fault",
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::tests::config;
    use super::super::journal::{FaultLine, tests::line};
    use super::*;

    #[test]
    fn games_are_counted_by_pairs_and_colours() {
        let mut tally = Tally::new(None);
        let (a, b) = (Some(Name::A), Some(Name::B));
        // Pairs: 0 is won twice, 1 is split, 2 is drawn and lost, 3 is void, 4 is half there.
        for (game, winner) in [(0, a), (2, a), (1, a), (5, b), (4, None), (3, b), (7, b), (8, b)] {
            tally.add(&line(game, winner));
        }
        let fault = FaultLine { by: Name::A, kind: FaultKind::Crash, what: String::new() };
        tally.add(&GameLine { counts: false, fault: Some(fault), ending: Ending::Fault, ..line(6, b) });
        assert_eq!(tally.pairs, Pairs([0, 1, 1, 0, 1]));
        assert_eq!((tally.games, tally.void, tally.disputed), (9, 1, 0));
        assert_eq!(tally.by_color[0], Wdl { wins: 2, draws: 1, losses: 1 });
        assert_eq!(tally.by_color[1], Wdl { wins: 1, draws: 0, losses: 3 });
        assert_eq!(tally.all().score(), Some(3.5 / 8.0));
        assert_eq!((tally.faults[0][&FaultKind::Crash], tally.endings[&Ending::Resignation]), (1, 8));
        assert!((tally.estimate.unwrap().score - 3.5 / 6.0).abs() < 1e-12);
        // Counts that agree and do not; a resignation that was right, and one that was not, though the other's was.
        tally.add(&GameLine { counted: Some([Some(3.5), Some(3.5)]), gave_up: [Some(30), None], ..line(9, b) });
        tally.add(&GameLine { counted: Some([Some(3.5), Some(2.5)]), gave_up: [Some(30), Some(40)], ..line(10, a) });
        tally.add(&GameLine { counted: Some([Some(3.5), None]), ..line(11, b) });
        assert_eq!((tally.counted, tally.given_up), ([2, 1], [2, 1]));
    }

    #[test]
    fn a_verdict_stays() {
        let test = SprtConfig { elo0: 0.0, elo1: 100.0, alpha: 0.05, beta: 0.05 };
        let mut tally = Tally::new(Some(test));
        let mut game = 0;
        while tally.verdict().is_none() {
            tally.add(&line(game, Some(Name::A)));
            game += 1;
        }
        assert_eq!((tally.verdict(), game % 2), (Some(Verdict::H1), 0));
        (game..game + 20).for_each(|game| tally.add(&line(game, Some(Name::B))));
        assert!(tally.verdict() == Some(Verdict::H1) && tally.sprt.unwrap().llr < 0.0);
        // Through the file and back, as far as the file goes.
        let report = Report {
            config: MatchConfig { sprt: Some(test), ..config() },
            names: ["a".into(), "b".into()],
            games: 100,
            tally: tally.clone(),
        };
        let again: Report = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!((again.tally.sprt, again.tally.pairs), (tally.sprt, tally.pairs));
        let text = table(&report);
        for expected in ["board      9x9, chinese, komi 7\n", "sprt       H1 accepted: llr -", "A is stronger: "] {
            assert!(text.contains(expected), "{text}");
        }
    }
}
