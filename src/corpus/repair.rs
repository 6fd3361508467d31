//! What records say wrongly, oddly or not at all, and what is made of it: each kind counted, each switchable.

use crate::sgf::OffBoard;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What happens where a record needs a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// It is mended.
    On,
    /// The record is taken as it is written.
    Off,
    /// The game is left out.
    Refuse,
}

/// What happens where a game repeats a position (positional superko).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SuperkoPolicy {
    /// The game is legal where it was played: it stays.
    Keep,
    /// The game ends before the repetition.
    Cut,
    /// The game is left out.
    Refuse,
}

/// What happens where a move is illegal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IllegalPolicy {
    /// The game is left out: it was written down wrongly, and nobody knows from where on.
    Refuse,
    /// The moves before it stay; nothing is told of the outcome.
    Prefix,
}

impl IllegalPolicy {
    /// What it does with a move beside the board, which the reader of records meets before there is a board.
    pub(super) fn off_board(self) -> OffBoard {
        match self {
            IllegalPolicy::Refuse => OffBoard::Refuse,
            IllegalPolicy::Prefix => OffBoard::End,
        }
    }
}

/// One switch for each kind of repair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepairConfig {
    /// Komi in a server's hundredths: `KM[375]`, `KM[650]`.
    pub komi_hundredths: Switch,
    /// Komi in stones of Chinese counting: `KM[3.75]`.
    pub komi_stones: Switch,
    /// Komi with other text: `KM[6,5]`, `KM[6.5 points]`.
    pub komi_words: Switch,
    /// Komi that stands for the server's default: Fox's `KM[0]` of an even game.
    pub komi_server: Switch,
    /// No komi, or an absurd one: the usual one of rules and handicap.
    pub komi_missing: Switch,
    /// HA without stones and White begins: the customary points.
    pub handicap_stones: Switch,
    /// HA that contradicts the stones that are there, or Black to begin: the stones decide.
    pub handicap_count: Switch,
    /// The first stones set up after the root.
    pub setup_late: Switch,
    /// Stones set up after moves: the result may not be of this game.
    pub setup_midgame: Switch,
    /// White begins without handicap, or a colour moves twice.
    pub turn: Switch,
    /// RE in words.
    pub result_words: Switch,
    /// RU in words that are no name of a rule set.
    pub rules_words: Switch,
    /// No RU, or an unknown one: by server and komi.
    pub rules_missing: Switch,
    /// Moves after two passes.
    pub after_end: Switch,
    /// Repetitions of a position.
    pub superko: SuperkoPolicy,
    /// Illegal moves.
    pub illegal: IllegalPolicy,
}

impl Default for RepairConfig {
    /// Everything is mended, repetitions stay, illegal moves cost the game.
    fn default() -> RepairConfig {
        let on = Switch::On;
        RepairConfig {
            komi_hundredths: on,
            komi_stones: on,
            komi_words: on,
            komi_server: on,
            komi_missing: on,
            handicap_stones: on,
            handicap_count: on,
            setup_late: on,
            setup_midgame: on,
            turn: on,
            result_words: on,
            rules_words: on,
            rules_missing: on,
            after_end: on,
            superko: SuperkoPolicy::Keep,
            illegal: IllegalPolicy::Refuse,
        }
    }
}

/// A kind of repair; the names in the ledger and the report are those of the config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Repair {
    /// [`RepairConfig::komi_hundredths`].
    KomiHundredths,
    /// [`RepairConfig::komi_stones`].
    KomiStones,
    /// [`RepairConfig::komi_words`].
    KomiWords,
    /// [`RepairConfig::komi_server`].
    KomiServer,
    /// [`RepairConfig::komi_missing`].
    KomiMissing,
    /// [`RepairConfig::handicap_stones`].
    HandicapStones,
    /// [`RepairConfig::handicap_count`].
    HandicapCount,
    /// [`RepairConfig::setup_late`].
    SetupLate,
    /// [`RepairConfig::setup_midgame`].
    SetupMidgame,
    /// [`RepairConfig::turn`].
    Turn,
    /// [`RepairConfig::result_words`].
    ResultWords,
    /// [`RepairConfig::rules_words`].
    RulesWords,
    /// [`RepairConfig::rules_missing`].
    RulesMissing,
    /// [`RepairConfig::after_end`].
    AfterEnd,
    /// [`RepairConfig::superko`]: cut, or kept and counted.
    Superko,
    /// [`RepairConfig::illegal`]: the legal prefix kept.
    Illegal,
}

impl Repair {
    /// All of them, in their order.
    pub const ALL: [Repair; 16] = [
        Repair::KomiHundredths,
        Repair::KomiStones,
        Repair::KomiWords,
        Repair::KomiServer,
        Repair::KomiMissing,
        Repair::HandicapStones,
        Repair::HandicapCount,
        Repair::SetupLate,
        Repair::SetupMidgame,
        Repair::Turn,
        Repair::ResultWords,
        Repair::RulesWords,
        Repair::RulesMissing,
        Repair::AfterEnd,
        Repair::Superko,
        Repair::Illegal,
    ];

    /// Its key in the config.
    pub const fn name(self) -> &'static str {
        match self {
            Repair::KomiHundredths => "komi_hundredths",
            Repair::KomiStones => "komi_stones",
            Repair::KomiWords => "komi_words",
            Repair::KomiServer => "komi_server",
            Repair::KomiMissing => "komi_missing",
            Repair::HandicapStones => "handicap_stones",
            Repair::HandicapCount => "handicap_count",
            Repair::SetupLate => "setup_late",
            Repair::SetupMidgame => "setup_midgame",
            Repair::Turn => "turn",
            Repair::ResultWords => "result_words",
            Repair::RulesWords => "rules_words",
            Repair::RulesMissing => "rules_missing",
            Repair::AfterEnd => "after_end",
            Repair::Superko => "superko",
            Repair::Illegal => "illegal",
        }
    }
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The repairs of one game: a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repairs(u16);

impl Repairs {
    /// Adds one.
    pub fn insert(&mut self, repair: Repair) {
        self.0 |= 1 << repair as u8;
    }

    /// Whether it was made.
    pub fn contains(self, repair: Repair) -> bool {
        self.0 >> (repair as u8) & 1 != 0
    }

    /// Those made, in their order.
    pub fn iter(self) -> impl Iterator<Item = Repair> {
        Repair::ALL.into_iter().filter(move |repair| self.contains(*repair))
    }
}
