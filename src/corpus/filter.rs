//! Which games are wanted: by what their records say, before anything is replayed.

use crate::base::config::{BadValue, within};
use crate::base::limits::GAME_MOVES_MAX;
use crate::base::rng::mix;
use crate::go::Size;
use crate::sgf::{GameRecord, Margin, Winner};
use crate::shard::GameHash;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which games are wanted. An empty list or text, and a range as wide as it goes, let everything through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterConfig {
    /// Boards, as `19` or `19x13`.
    pub boards: Vec<String>,
    /// Players: a game with one of these words in PB or PW, in any case.
    pub players: Vec<String>,
    /// Weakest rank or rating of both players: `3k`, `6d`, `9p`, or an Elo number such as `2400`.
    pub rank_min: String,
    /// Strongest rank or rating of both players.
    pub rank_max: String,
    /// First day: `2001`, `2001-06` or `2001-06-15`.
    pub date_min: String,
    /// Last day.
    pub date_max: String,
    /// Fewest handicap stones; an even game has 0.
    pub handicap_min: u32,
    /// Most handicap stones.
    pub handicap_max: u32,
    /// Lowest komi in points, after repair.
    pub komi_min: f32,
    /// Highest komi in points.
    pub komi_max: f32,
    /// What must be known of the result.
    pub result: ResultFilter,
    /// Most moves; fewest are `min_moves` of the section above.
    pub moves_max: usize,
    /// Least time of a player in seconds a move, main time spread over 120 moves and overtime added: 0 for any.
    pub move_seconds_min: f32,
    /// Share of the games to take, chosen by their moves: the same games in every run and in every order.
    pub sample: f64,
}

/// What must be known of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResultFilter {
    /// Nothing.
    Any,
    /// The winner.
    Known,
    /// The winner and by how many points.
    Counted,
}

impl Default for FilterConfig {
    /// Every game.
    fn default() -> FilterConfig {
        FilterConfig {
            boards: Vec::new(),
            players: Vec::new(),
            rank_min: String::new(),
            rank_max: String::new(),
            date_min: String::new(),
            date_max: String::new(),
            handicap_min: 0,
            handicap_max: HANDICAP_MAX,
            komi_min: -KOMI_MAX,
            komi_max: KOMI_MAX,
            result: ResultFilter::Any,
            moves_max: GAME_MOVES_MAX,
            move_seconds_min: 0.0,
            sample: 1.0,
        }
    }
}

/// More stones than any board has points: no limit.
const HANDICAP_MAX: u32 = 361;
/// Largest komi that can be meant, in points.
const KOMI_MAX: f32 = 361.0;
/// Moves of one player that main time is spread over: half of a 19x19 game.
const MOVES_A_PLAYER: f32 = 120.0;

impl FilterConfig {
    /// Refuses values that mean nothing.
    pub fn check(&self) -> Result<(), BadValue> {
        for board in &self.boards {
            board_of(board).ok_or_else(|| BadValue::new("boards", format!("{board:?}"), "sizes such as 19 or 19x13"))?;
        }
        for (key, text) in [("rank_min", &self.rank_min), ("rank_max", &self.rank_max)] {
            if !text.is_empty() && Rank::parse(text).is_none() {
                return Err(BadValue::new(key, format!("{text:?}"), "a rank such as 3k, 6d, 9p, or an Elo number"));
            }
        }
        for (key, text) in [("date_min", &self.date_min), ("date_max", &self.date_max)] {
            if !text.is_empty() && date_of(text).is_none() {
                return Err(BadValue::new(key, format!("{text:?}"), "a date such as 2001 or 2001-06-15"));
            }
        }
        within("handicap_min", self.handicap_min, 0..=HANDICAP_MAX, "stones")?;
        within("handicap_max", self.handicap_max, 0..=HANDICAP_MAX, "stones")?;
        within("komi_min", self.komi_min, -KOMI_MAX..=KOMI_MAX, "points")?;
        within("komi_max", self.komi_max, -KOMI_MAX..=KOMI_MAX, "points")?;
        within("moves_max", self.moves_max, 1..=GAME_MOVES_MAX, "moves")?;
        within("move_seconds_min", self.move_seconds_min, 0.0..=86_400.0, "seconds")?;
        within("sample", self.sample, 0.0..=1.0, "of the games")
    }
}

/// Why a game is not wanted: the kind to be counted, and what the record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unwanted {
    pub kind: &'static str,
    pub detail: String,
}

/// A filter ready for use.
pub(super) struct Filter {
    config: FilterConfig,
    min_moves: usize,
    boards: Vec<(usize, usize)>,
    players: Vec<String>,
    ranks: [Option<Rank>; 2],
    dates: [Option<Date>; 2],
}

impl Filter {
    /// `config` was checked; at least one move is always wanted.
    pub(super) fn new(config: &FilterConfig, min_moves: usize) -> Filter {
        Filter {
            config: config.clone(),
            min_moves: min_moves.max(1),
            boards: config.boards.iter().filter_map(|board| board_of(board)).collect(),
            players: config.players.iter().map(|name| name.to_lowercase()).collect(),
            ranks: [Rank::parse(&config.rank_min), Rank::parse(&config.rank_max)],
            dates: [date_of(&config.date_min), date_of(&config.date_max).map(last_day)],
        }
    }

    /// Why the record is not wanted, if it is not. `komi` is that after repair; `None` where it is a guess.
    pub(super) fn unwanted(&self, record: &GameRecord, komi: f32) -> Option<Unwanted> {
        let (c, n_moves) = (&self.config, record.n_moves());
        let say = |kind: &'static str, detail: String| Some(Unwanted { kind, detail });
        if n_moves < self.min_moves {
            return say("too few moves", format!("{n_moves} moves, at least {} wanted", self.min_moves));
        }
        if n_moves > c.moves_max {
            return say("too many moves", format!("{n_moves} moves, at most {} wanted", c.moves_max));
        }
        if !self.boards.is_empty() && !self.boards.contains(&(record.size.w(), record.size.h())) {
            return say("board", record.size.to_string());
        }
        let handicap = record.handicap.filter(|&n| n >= 2).unwrap_or(0);
        if !(c.handicap_min..=c.handicap_max).contains(&handicap) {
            return say("handicap", format!("{handicap} stones"));
        }
        if !(c.komi_min..=c.komi_max).contains(&komi) {
            return say("komi", format!("komi {komi}"));
        }
        let counted = matches!(record.result.margin, Some(Margin::Points(_))) || record.result.winner == Some(Winner::Draw);
        let told = match c.result {
            ResultFilter::Any => true,
            ResultFilter::Known => record.result.winner.is_some(),
            ResultFilter::Counted => counted,
        };
        if !told {
            return say("result", record.result_raw.clone().unwrap_or_default());
        }
        self.unwanted_people(record).or_else(|| self.unwanted_times(record))
    }

    fn unwanted_people(&self, record: &GameRecord) -> Option<Unwanted> {
        if !self.players.is_empty() {
            let is_wanted = |name: &Option<String>| {
                let name = name.as_deref().unwrap_or_default().to_lowercase();
                self.players.iter().any(|word| name.contains(word.as_str()))
            };
            if !record.players.iter().any(is_wanted) {
                return Some(Unwanted { kind: "player", detail: String::new() });
            }
        }
        if self.ranks == [None, None] {
            return None;
        }
        (0..2).find_map(|i| {
            let rank = rank_of(record, i);
            let fits = |rank: Rank| {
                self.ranks[0].is_none_or(|least| rank.at_least(least)) && self.ranks[1].is_none_or(|most| most.at_least(rank))
            };
            let detail = || record.ranks[i].clone().unwrap_or_else(|| "no rank".to_string());
            (!rank.is_some_and(fits)).then(|| Unwanted { kind: "rank", detail: detail() })
        })
    }

    fn unwanted_times(&self, record: &GameRecord) -> Option<Unwanted> {
        if self.dates != [None, None] {
            let date = record.date.as_deref().and_then(date_of).map(|(y, m, d)| (y, m.max(1), d.max(1)));
            let fits =
                |date: Date| self.dates[0].is_none_or(|first| date >= first) && self.dates[1].is_none_or(|last| date <= last);
            if !date.is_some_and(fits) {
                return Some(Unwanted { kind: "date", detail: record.date.clone().unwrap_or_else(|| "no date".to_string()) });
            }
        }
        let least = self.config.move_seconds_min;
        if least > 0.0 {
            let seconds = move_seconds(record);
            if seconds.is_none_or(|seconds| seconds < least) {
                let detail = seconds.map_or("no time control".to_string(), |seconds| format!("{seconds:.1} s a move"));
                return Some(Unwanted { kind: "time control", detail });
            }
        }
        None
    }

    /// Whether a game of this identity is in the sample.
    pub(super) fn samples(&self, hash: GameHash) -> bool {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hash.0[8..]);
        // 53 bits are what an f64 holds exactly.
        (mix(u64::from_le_bytes(bytes)) >> 11) as f64 / ((1_u64 << 53) as f64) < self.config.sample
    }
}

fn board_of(text: &str) -> Option<(usize, usize)> {
    let (w, h) = text.split_once(['x', ':']).unwrap_or((text, text));
    let (w, h) = (w.trim().parse().ok()?, h.trim().parse().ok()?);
    Size::new(w, h).map(|_| (w, h))
}

/// Strength as people write it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rank {
    /// 1 is 1 dan, 0 is 1 kyu, -29 is 30 kyu, 10 more than its dan a professional.
    Grade(i32),
    /// A rating in points.
    Elo(f32),
}

impl Rank {
    /// `6d`, `6 dan`, `15k?`, `9p`, `2345`, `6段`, `15级`, `九段`, `9단`; `None` for `NR`, `-`, `?`.
    pub(super) fn parse(text: &str) -> Option<Rank> {
        let text = text.trim().to_lowercase();
        let is_pro = ["프로", "职业", "職業", "プロ", "pro"].iter().any(|word| text.contains(word)) || text.starts_with('p');
        let text =
            text.trim_start_matches(|c: char| c.is_alphabetic() && !DIGITS.contains(c) && c != '初' && c != '十').trim_start();
        let (number, rest) = leading_number(text)?;
        let unit = rest.trim_start();
        let grade = number as i32;
        if unit.starts_with('p') || (is_pro && unit.starts_with(['d', '段', '단'])) {
            return (1..=9).contains(&grade).then_some(Rank::Grade(10 + grade));
        }
        if unit.starts_with(['d', '段', '단']) {
            return (1..=10).contains(&grade).then_some(Rank::Grade(grade));
        }
        if unit.starts_with(['k', '级', '級', '급']) {
            return (1..=60).contains(&grade).then_some(Rank::Grade(1 - grade));
        }
        let is_rating = unit.is_empty() || unit.starts_with(['?', '*', '±']) || unit.starts_with("elo");
        (is_rating && (100.0..=6000.0).contains(&number)).then_some(Rank::Elo(number))
    }

    /// Grades and ratings cannot be compared: then false.
    fn at_least(self, other: Rank) -> bool {
        match (self, other) {
            (Rank::Grade(a), Rank::Grade(b)) => a >= b,
            (Rank::Elo(a), Rank::Elo(b)) => a >= b,
            _ => false,
        }
    }
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Rank::Grade(grade @ 11..) => write!(f, "{}p", grade - 10),
            Rank::Grade(grade @ 1..) => write!(f, "{grade}d"),
            Rank::Grade(grade) => write!(f, "{}k", 1 - grade),
            Rank::Elo(elo) => write!(f, "{elo}"),
        }
    }
}

const DIGITS: &str = "一二三四五六七八九";

fn leading_number(text: &str) -> Option<(f32, &str)> {
    let n = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    if n > 0 {
        return Some((text[..n].parse().ok()?, &text[n..]));
    }
    let first = text.chars().next()?;
    let value = match first {
        '初' => 1,
        '十' => 10,
        _ => 1 + DIGITS.chars().position(|digit| digit == first)?,
    };
    Some((value as f32, &text[first.len_utf8()..]))
}

/// The rank of Black (0) or White (1): BR or WR, else what stands in brackets after the name.
pub(super) fn rank_of(record: &GameRecord, color_idx: usize) -> Option<Rank> {
    record.ranks[color_idx].as_deref().and_then(Rank::parse).or_else(|| {
        let name = record.players[color_idx].as_deref()?.trim_end();
        let inside = name.strip_suffix([')', ']', '）'])?;
        let start = inside.rfind(['(', '[', '（'])?;
        Rank::parse(inside[start..].trim_start_matches(['(', '[', '（']))
    })
}

/// Year, month and day; 0 where unknown.
type Date = (u32, u32, u32);

/// The first date in a text that begins with its year: `2001`, `2001-06`, `2001/6/15`, `2001年6月15日`; or the year alone.
pub(super) fn date_of(text: &str) -> Option<Date> {
    let bytes = text.as_bytes();
    let at = (0..bytes.len().saturating_sub(3)).find(|&i| {
        bytes[i..i + 4].iter().all(u8::is_ascii_digit)
            && !bytes.get(i + 4).is_some_and(u8::is_ascii_digit)
            && (i == 0 || !bytes[i - 1].is_ascii_digit())
    })?;
    let year = text[at..at + 4].parse().ok()?;
    let mut parts = [0_u32; 2];
    let mut rest = &text[at + 4..];
    for (part, most) in parts.iter_mut().zip([12, 31]) {
        let separated = rest.strip_prefix(['-', '/', '.', '年', '月', '년', '월']).map(str::trim_start);
        let Some(after) = separated else { break };
        let n = after.bytes().take_while(u8::is_ascii_digit).count();
        match after[..n].parse() {
            Ok(value) if (1..=most).contains(&value) => *part = value,
            _ => break,
        }
        rest = &after[n..];
    }
    Some((year, parts[0], parts[1]))
}

fn last_day((year, month, day): Date) -> Date {
    (year, if month == 0 { 12 } else { month }, if day == 0 { 31 } else { day })
}

/// Seconds that a player has for a move, in an ordinary game.
pub(super) fn move_seconds(record: &GameRecord) -> Option<f32> {
    let main = record.main_time.as_deref().and_then(seconds_of);
    let overtime = record.overtime.as_deref().and_then(overtime_seconds);
    (main.is_some() || overtime.is_some()).then(|| main.unwrap_or(0.0) / MOVES_A_PLAYER + overtime.unwrap_or(0.0))
}

/// `1200`, `9 hours`, `2h 30m`, `45 min`.
fn seconds_of(text: &str) -> Option<f32> {
    let mut sum = None;
    let mut rest = text.trim();
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (value, after) = leading_number(&rest[start..])?;
        let unit = after.trim_start().to_lowercase();
        let factor = if unit.starts_with('h') || unit.starts_with("時間") || unit.starts_with("小时") {
            3600.0
        } else if unit.starts_with('m') || unit.starts_with(['分', '분']) {
            60.0
        } else {
            1.0
        };
        sum = Some(sum.unwrap_or(0.0) + value * factor);
        rest = after;
    }
    sum
}

/// Seconds a move: `5x30 byo-yomi`, `25/300 Canadian`, `fischer 10+5`, `10 sec/move`.
fn overtime_seconds(text: &str) -> Option<f32> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let (first, rest) = leading_number(&text[start..])?;
    let rest = rest.trim_start();
    let second = |rest: &str| leading_number(rest.trim_start()).map(|(value, _)| value);
    match rest.chars().next() {
        Some('x' | 'X' | '×' | '*' | '+') => second(&rest[rest.chars().next()?.len_utf8()..]),
        Some('/') => second(&rest[1..]).filter(|_| first > 0.0).map(|time| time.max(first) / time.min(first).max(1.0)),
        _ => Some(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_as_people_write_them() {
        use Rank::{Elo, Grade};
        let cases = [
            ("6d", Some(Grade(6))),
            ("6 dan", Some(Grade(6))),
            ("6d*", Some(Grade(6))),
            ("1k", Some(Grade(0))),
            ("15 kyu", Some(Grade(-14))),
            ("15级", Some(Grade(-14))),
            ("3段", Some(Grade(3))),
            ("初段", Some(Grade(1))),
            ("九段", Some(Grade(9))),
            ("9단", Some(Grade(9))),
            ("9p", Some(Grade(19))),
            ("P9段", Some(Grade(19))),
            ("职业九段", Some(Grade(19))),
            ("프로 9단", Some(Grade(19))),
            ("2345", Some(Elo(2345.0))),
            ("2593?", Some(Elo(2593.0))),
            ("0d", None),
            ("NR", None),
            ("-", None),
            ("?", None),
            ("", None),
            ("7", None),
            ("99999999999999999999", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Rank::parse(text), expected, "{text}");
            if let Some(rank) = expected {
                assert_eq!(Rank::parse(&rank.to_string()), Some(rank), "{rank}");
            }
        }
    }

    #[test]
    fn dates_and_times_as_people_write_them() {
        let dates = [
            ("2001-06-15", Some((2001, 6, 15))),
            ("2001-06-15,16", Some((2001, 6, 15))),
            ("2001/6", Some((2001, 6, 0))),
            ("1926年4月3日", Some((1926, 4, 3))),
            ("Published 1999.", Some((1999, 0, 0))),
            ("2001-99-01", Some((2001, 0, 0))),
            ("15 Jun 2001", Some((2001, 0, 0))),
            ("123456", None),
            ("", None),
        ];
        for (text, expected) in dates {
            assert_eq!(date_of(text), expected, "{text}");
        }
        let times = [("1200", 1200.0), ("9 hours", 32_400.0), ("2h 30m", 9000.0), ("45 min", 2700.0), ("8時間", 28_800.0)];
        for (text, expected) in times {
            assert_eq!(seconds_of(text), Some(expected), "{text}");
        }
        let overtimes = [
            ("5x30 byo-yomi", Some(30.0)),
            ("25/300 Canadian", Some(12.0)),
            ("fischer 10+5", Some(5.0)),
            ("10 sec/move", Some(10.0)),
            ("3x", None),
            ("none", None),
        ];
        for (text, expected) in overtimes {
            assert_eq!(overtime_seconds(text), expected, "{text}");
        }
    }
}
