//! From a record as it is written to a game that can be replayed: repairs and filters, in one pass over its steps.

use super::filter::{Filter, Unwanted};
use super::repair::{Repair, RepairConfig, Repairs, Switch};
use super::rules::{Source, rules_of, usual_komi};
use crate::go::rules::Rules;
use crate::go::{Color, Move, Point, handicap};
use crate::sgf::{GameRecord, GameResult, Step, plain_komi};

/// How far the outcome in the record can be believed for this game.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trust {
    /// As it is written.
    Full,
    /// A result in points only where our own count of the last position agrees with it.
    IfCounted,
    /// Not at all: no value, no score, no areas.
    Never,
}

/// What a record means.
#[derive(Clone, Debug)]
pub(super) struct Ruled {
    pub rules: Rules,
    /// Points for White.
    pub komi: f32,
    pub trust: Trust,
    pub repairs: Repairs,
}

/// What becomes of a record before it is replayed.
pub(super) enum Decision {
    Play(Ruled),
    Filtered(Unwanted),
    /// A repair that is switched to refuse.
    Refused(Repair),
}

/// Repairs and filters, ready for use.
pub(super) struct Policy {
    pub repair: RepairConfig,
    pub filter: Filter,
}

impl Policy {
    /// Mends the record as far as the policy says, and decides what becomes of it.
    pub(super) fn decide(&self, record: &mut GameRecord) -> Decision {
        let mut mender = Mender { repairs: Repairs::default(), refused: None, trust: Trust::Full };
        if record.ends_off_board {
            mender.repairs.insert(Repair::Illegal);
            mender.doubt(Trust::Never);
        }
        let rules = mender.rules(record, &self.repair);
        mender.result(record, &self.repair);
        mender.handicap(record, &self.repair);
        mender.turns(record, &self.repair);
        mender.end(record, &self.repair);
        let komi = mender.komi(record, &rules, &self.repair);
        if let Some(unwanted) = self.filter.unwanted(record, komi) {
            return Decision::Filtered(unwanted);
        }
        if let Some(repair) = mender.refused {
            return Decision::Refused(repair);
        }
        if record.line_idx > 0 {
            // The result is that of the game, not of a line beside it.
            mender.trust = Trust::Never;
        }
        Decision::Play(Ruled { rules, komi, trust: mender.trust, repairs: mender.repairs })
    }
}

struct Mender {
    repairs: Repairs,
    /// The first repair that was not allowed.
    refused: Option<Repair>,
    trust: Trust,
}

impl Mender {
    /// Notes a repair and tells whether it is to be made.
    fn may(&mut self, repair: Repair, switch: Switch) -> bool {
        match switch {
            Switch::On => self.repairs.insert(repair),
            Switch::Off => {}
            Switch::Refuse => self.refused = self.refused.or(Some(repair)),
        }
        switch == Switch::On
    }

    fn doubt(&mut self, trust: Trust) {
        self.trust = self.trust.max(trust);
    }

    fn rules(&mut self, record: &GameRecord, config: &RepairConfig) -> Rules {
        let (rules, source) = rules_of(record);
        match source {
            Source::Name => rules,
            Source::Words if self.may(Repair::RulesWords, config.rules_words) => rules,
            Source::Words | Source::Guess => {
                if !self.may(Repair::RulesMissing, config.rules_missing) {
                    self.doubt(Trust::Never);
                }
                rules
            }
        }
    }

    fn result(&mut self, record: &mut GameRecord, config: &RepairConfig) {
        let in_words = record.result_raw.as_deref().is_some_and(|raw| !GameResult::is_standard(raw));
        if in_words && record.result.winner.is_some() && !self.may(Repair::ResultWords, config.result_words) {
            record.result = GameResult::default();
        }
    }

    /// HA and the stones that are there. In a handicap game by the standard, stones stand on the board or Black has the first moves.
    fn handicap(&mut self, record: &mut GameRecord, config: &RepairConfig) {
        let opening = Opening::of(record);
        if opening.is_late && opening.n_black + opening.n_other > 0 {
            self.may(Repair::SetupLate, config.setup_late);
        }
        let Some(n) = record.handicap.filter(|&n| n >= 2) else { return };
        let n_there = if opening.n_black > 0 { opening.n_black } else { opening.n_black_moves };
        if n_there >= 2 {
            if n_there != n && self.may(Repair::HandicapCount, config.handicap_count) {
                record.handicap = Some(n_there);
            }
        } else if opening.n_black + opening.n_other > 0 || opening.n_black_moves == 1 {
            // Black begins on an empty board: either the stones or the number are missing, and nobody knows which.
            if self.may(Repair::HandicapCount, config.handicap_count) {
                record.handicap = None;
                self.doubt(Trust::Never);
            }
        } else {
            let stones = customary_stones(record, n as usize);
            if let Some(stones) = stones.filter(|_| self.may(Repair::HandicapStones, config.handicap_stones)) {
                let stones = stones.into_iter().map(|point| Step::Setup { point, stone: Some(Color::Black) });
                record.steps.splice(0..0, stones);
                self.doubt(Trust::IfCounted);
            } else {
                self.doubt(Trust::Never);
            }
        }
    }

    /// Who moves when, and set-ups between moves.
    fn turns(&mut self, record: &GameRecord, config: &RepairConfig) {
        let (mut last, mut to_move, mut n_moves, mut is_opening) = (None, None, 0, true);
        let (mut odd_first, mut twice, mut midgame) = (false, false, false);
        let mut white_may_begin = record.handicap.is_some_and(|n| n >= 2);
        for step in &record.steps {
            match *step {
                Step::Setup { .. } => {
                    white_may_begin = true;
                    midgame |= n_moves > 0;
                    last = None;
                }
                Step::ToMove(color) => {
                    to_move = Some(color);
                    last = None;
                }
                Step::Move { color, .. } => {
                    odd_first |= n_moves == 0 && color == Color::White && !white_may_begin && to_move != Some(Color::White);
                    odd_first |= to_move.take().is_some_and(|said| said != color);
                    is_opening &= color == Color::Black;
                    // Black's first stones of a handicap may be moves.
                    let is_handicap = is_opening && record.handicap.is_some_and(|n| n_moves < n);
                    twice |= last == Some(color) && !is_handicap;
                    last = Some(color);
                    n_moves += 1;
                }
            }
        }
        if midgame && self.may(Repair::SetupMidgame, config.setup_midgame) {
            self.doubt(Trust::Never);
        }
        let is_odd = odd_first || twice;
        let mended = is_odd && self.may(Repair::Turn, config.turn);
        if mended && twice {
            // A move may be missing between.
            self.doubt(Trust::IfCounted);
        }
    }

    /// Cuts what comes after two passes.
    fn end(&mut self, record: &mut GameRecord, config: &RepairConfig) {
        let mut n_passes = 0;
        let mut steps = record.steps.iter().enumerate();
        let over = steps.find_map(|(i, step)| match step {
            _ if n_passes >= 2 => Some(i),
            Step::Move { mv: Move::Pass, .. } => {
                n_passes += 1;
                None
            }
            Step::Move { .. } | Step::Setup { .. } => {
                n_passes = 0;
                None
            }
            Step::ToMove(_) => None,
        });
        let Some(over) = over else { return };
        let after = &record.steps[over..];
        let (any, plays) = after.iter().fold((false, false), |(any, plays), step| match step {
            Step::Move { mv, .. } => (true, plays || *mv != Move::Pass),
            Step::Setup { .. } => (any, true),
            Step::ToMove(_) => (any, plays),
        });
        if (any || plays) && self.may(Repair::AfterEnd, config.after_end) {
            record.steps.truncate(over);
            if plays {
                // The result may be that of the game as it went on.
                self.doubt(Trust::IfCounted);
            }
        }
    }

    fn komi(&mut self, record: &GameRecord, rules: &Rules, config: &RepairConfig) -> f32 {
        let komi = self.written_komi(record, config);
        // More than the board holds is a typing error, and would drown the other inputs of the network.
        let komi = komi.filter(|komi| komi.abs() <= record.size.n_points() as f32);
        let is_fox = contains(&record.application, "foxwq");
        let is_even = record.handicap.unwrap_or(0) == 0;
        match komi {
            Some(0.0) if is_fox && is_even => {
                if !self.may(Repair::KomiServer, config.komi_server) {
                    return 0.0;
                }
            }
            Some(komi) => return komi,
            None => {
                if !self.may(Repair::KomiMissing, config.komi_missing) {
                    self.doubt(Trust::Never);
                }
            }
        }
        self.doubt(Trust::IfCounted);
        usual_komi(record, rules)
    }

    /// KM in points, by the allowed readings.
    fn written_komi(&mut self, record: &GameRecord, config: &RepairConfig) -> Option<f32> {
        let (raw, komi) = (record.komi_raw.as_deref()?, record.komi?);
        let Some(plain) = plain_komi(raw) else {
            return self.may(Repair::KomiWords, config.komi_words).then_some(komi);
        };
        let plain = plain as f32;
        // 2 3/4, 3 1/4 and 3 3/4 stones are 5.5, 6.5 and 7.5 points; as points nobody gives quarters.
        let is_stones = [2.75, 3.25, 3.75].contains(&plain) && (record.rules.is_none() || contains(&record.application, "foxwq"));
        if plain == komi && !is_stones {
            return Some(komi);
        }
        if plain >= HUNDREDTHS_MIN {
            return self.may(Repair::KomiHundredths, config.komi_hundredths).then_some(komi);
        }
        Some(if self.may(Repair::KomiStones, config.komi_stones) { 2.0 * plain } else { plain })
    }
}

/// Smallest komi that can only be hundredths: more than half of a 19x19 board.
const HUNDREDTHS_MIN: f32 = 200.0;

fn contains(text: &Option<String>, word: &str) -> bool {
    text.as_deref().is_some_and(|text| text.to_ascii_lowercase().contains(word))
}

/// What stands before the first white move.
struct Opening {
    /// Black stones set up.
    n_black: u32,
    /// White stones set up, and points cleared.
    n_other: u32,
    /// Black's moves before White's first.
    n_black_moves: u32,
    /// The first stones stand in a later node than the root.
    is_late: bool,
}

impl Opening {
    fn of(record: &GameRecord) -> Opening {
        let mut opening = Opening { n_black: 0, n_other: 0, n_black_moves: 0, is_late: record.setup_node.is_some_and(|n| n > 0) };
        for step in &record.steps {
            match *step {
                Step::Setup { stone: Some(Color::Black), .. } if opening.n_black_moves == 0 => opening.n_black += 1,
                Step::Setup { .. } if opening.n_black_moves == 0 => opening.n_other += 1,
                Step::Move { color: Color::Black, .. } => opening.n_black_moves += 1,
                Step::Move { color: Color::White, .. } => break,
                Step::Setup { .. } | Step::ToMove(_) => {}
            }
        }
        opening
    }
}

/// Moves at the start of a game in which nobody plays where a handicap stone stands: long before one could be captured.
const UNTOUCHED_MOVES: usize = 30;

/// The customary places of `n` stones, where the first moves do not show that the stones are elsewhere.
fn customary_stones(record: &GameRecord, n: usize) -> Option<Vec<Point>> {
    let stones = handicap::fixed(record.size, n)?;
    let moves = record.steps.iter().filter_map(|step| match step {
        Step::Move { mv, .. } => Some(mv.point()),
        _ => None,
    });
    let touched = moves.take(UNTOUCHED_MOVES).flatten().any(|point| stones.contains(&point));
    (!touched).then_some(stones)
}
