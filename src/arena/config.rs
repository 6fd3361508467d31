//! What a match is played under. Two matches of the same config are the same match.

use super::sprt::SprtConfig;
use crate::base::config::{BadValue, within};
use crate::go::handicap;
use crate::go::{Color, Game, Point, Rules, Size};
use crate::opponent::Resigning;
use serde::{Deserialize, Serialize};

/// Most games of a match: a million lines of the journal take 400 MB.
pub const GAMES_MAX: usize = 1_000_000;

/// Everything that has a say in the games. What is decided by the machine (workers, threads) is not here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatchConfig {
    /// A and B.
    pub players: [PlayerConfig; 2],
    /// Columns and rows.
    pub board: [usize; 2],
    /// Rules by name or as KataGo's JSON object.
    pub rules: String,
    /// Points White receives.
    pub komi: f32,
    /// Stones that Black has on the board at the start, 0 or 2 to 9.
    pub handicap: usize,
    /// How nets play, beside how much they think.
    pub nets: NetsConfig,
    /// How games begin.
    pub opening: OpeningConfig,
    /// Seed of openings and of searches.
    pub seed: u64,
    /// What becomes of a game that a program cannot finish.
    pub on_fault: OnFault,
    /// Seconds a program may take for an answer.
    pub answer_s_max: f64,
    /// Seconds a program may take until it is ready.
    pub ready_s_max: f64,
    /// When the match is decided before its last game.
    pub sprt: Option<SprtConfig>,
}

/// One of the two players, and how much it thinks about a move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlayerConfig {
    /// The net's file or the program's command.
    pub player: String,
    /// Hash of the net's file.
    pub sha256: Option<String>,
    /// Visits of a move.
    pub visits: Option<u32>,
    /// Playouts of a move.
    pub playouts: Option<u32>,
    /// Seconds of a move.
    pub seconds: Option<f64>,
    /// Strength to be kept to, such as `5k`.
    pub level: Option<String>,
}

/// What the profile says about nets at play.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetsConfig {
    /// Chance to win below which a net resigns.
    pub resign_below: f32,
    /// Own moves in a row that must look that bad.
    pub resign_streak: usize,
    /// Share of the board's points that must have been played.
    pub resign_after: f32,
    /// Positions that a search gathers before they are evaluated.
    pub batch_size: usize,
    /// Whether they resign at all.
    #[serde(default)]
    pub resigning: Resigning,
}

/// How games begin: both games of a pair in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpeningConfig {
    /// Who chooses.
    pub kind: OpeningKind,
    /// Moves of both sides together.
    pub moves: usize,
}

/// Who chooses the first moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpeningKind {
    /// The players.
    None,
    /// Chance, away from the edge.
    Random,
    /// A net's policy, drawn from.
    Policy,
}

/// What becomes of a game that a program cannot finish: it is gone or late, or says what is no legal move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFault {
    /// The program loses it.
    Loss,
    /// It does not count, and neither does its pair.
    Void,
}

impl MatchConfig {
    /// Refuses what cannot be played.
    pub fn check(&self) -> Result<(), BadValue> {
        let [w, h] = self.board;
        let size = Size::new(w, h).ok_or_else(|| BadValue::new("board-size", format!("{w}x{h}"), "2x2 to 19x19"))?;
        within("komi", self.komi, -400.0..=400.0, "points")?;
        if self.komi * 2.0 != (self.komi * 2.0).round() {
            return Err(BadValue::new("komi", self.komi, "an integer or half-integer"));
        }
        if self.handicap != 0 && handicap::fixed(size, self.handicap).is_none() {
            let expected = match handicap::most(size) {
                0 => format!("0 on {size}"),
                most => format!("0 or 2 to {most} on {size}"),
            };
            return Err(BadValue::new("handicap", self.handicap, expected));
        }
        within("opening-moves", self.opening.moves, 0..=size.n_points() / 2, "moves")?;
        within("timeout", self.answer_s_max, 0.01..=86_400.0, "seconds")?;
        within("start-timeout", self.ready_s_max, 0.01..=86_400.0, "seconds")?;
        self.sprt.as_ref().map_or(Ok(()), SprtConfig::check)
    }

    /// The keys in which another config differs, with both values.
    pub(super) fn differences(&self, other: &MatchConfig) -> Vec<String> {
        let json = |config: &MatchConfig| serde_json::to_value(config).unwrap_or_default();
        let (ours, theirs) = (json(self), json(other));
        let keys = ours.as_object().into_iter().flat_map(|object| object.keys());
        keys.filter(|key| ours[*key] != theirs[*key]).map(|key| format!("{key} {}, there {}", ours[key], theirs[key])).collect()
    }
}

/// Where every game of a match starts.
pub(super) struct Start {
    pub(super) size: Size,
    pub(super) rules: Rules,
    pub(super) komi: f32,
    /// Black's stones.
    pub(super) stones: Vec<Point>,
}

impl Start {
    /// The start under a config that was checked.
    pub(super) fn new(config: &MatchConfig) -> crate::base::Result<Start> {
        let [w, h] = config.board;
        let size = Size::new(w, h).expect("checked");
        let stones = handicap::fixed(size, config.handicap).unwrap_or_default();
        Ok(Start { size, rules: Rules::parse(&config.rules)?, komi: config.komi, stones })
    }

    /// The empty board.
    pub(super) fn game_without_stones(&self) -> Game {
        Game::new(self.size, self.rules, self.komi)
    }

    /// The game before its first move.
    pub(super) fn game(&self) -> Game {
        let mut game = self.game_without_stones();
        if !self.stones.is_empty() {
            game.set_stones(self.stones.iter().map(|&p| (p, Some(Color::Black))));
            game.set_to_move(Color::White);
        }
        game
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn config() -> MatchConfig {
        let player = PlayerConfig { player: "a".into(), sha256: None, visits: None, playouts: None, seconds: None, level: None };
        MatchConfig {
            players: [player.clone(), PlayerConfig { player: "b".into(), ..player }],
            board: [9, 9],
            rules: "chinese".to_string(),
            komi: 7.0,
            handicap: 0,
            nets: NetsConfig {
                resign_below: 0.03,
                resign_streak: 4,
                resign_after: 0.4,
                batch_size: 8,
                resigning: Resigning::Resigns,
            },
            opening: OpeningConfig { kind: OpeningKind::Random, moves: 4 },
            seed: 1,
            on_fault: OnFault::Loss,
            answer_s_max: 60.0,
            ready_s_max: 120.0,
            sprt: None,
        }
    }

    type Change = fn(&mut MatchConfig);

    #[test]
    fn what_cannot_be_played() {
        assert_eq!(config().check(), Ok(()));
        let cases: [(&str, Change); 7] = [
            ("board-size is 1x9", |c| c.board = [1, 9]),
            ("komi is 6.3", |c| c.komi = 6.3),
            ("handicap is 1, expected 0 or 2 to 9 on 9x9", |c| c.handicap = 1),
            ("handicap is 2, expected 0 on 5x5", |c| (c.board, c.handicap) = ([5, 5], 2)),
            ("opening-moves is 100", |c| c.opening.moves = 100),
            ("timeout is 0", |c| c.answer_s_max = 0.0),
            ("elo1 is 0", |c| c.sprt = Some(SprtConfig { elo0: 0.0, elo1: 0.0, alpha: 0.05, beta: 0.05 })),
        ];
        for (expected, change) in cases {
            let mut config = config();
            change(&mut config);
            assert!(config.check().unwrap_err().what.starts_with(expected), "{expected}");
        }
    }

    #[test]
    fn differences_are_named() {
        let other = MatchConfig { komi: 6.5, seed: 2, ..config() };
        assert_eq!(config().differences(&other), ["komi 7.0, there 6.5", "seed 1, there 2"]);
        assert!(config().differences(&config()).is_empty());
    }
}
