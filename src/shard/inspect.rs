//! A data set and its positions for people to look at.

use super::dataset::Dataset;
use super::manifest::{Report, Source};
use super::reader::Shard;
use super::record::{Outcome, Record};
use super::sampler::Split;
use crate::base::{Error, Result};
use crate::compute::packed::{MOVE_NONE, MOVE_PASS, N_GLOBALS, N_PLANES, unpack};
use crate::go::{Move, Point};
use serde::Serialize;
use std::fmt::Write as _;

/// What is in a data set.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The folder.
    pub dir: String,
    /// Games.
    pub games: u64,
    /// Positions.
    pub positions: u64,
    /// Bytes of the shard files.
    pub bytes: u64,
    /// Games held out, of 1000, that the splits below are for.
    pub validation_permille: u32,
    /// One entry a shard file.
    pub shards: Vec<ShardSummary>,
    /// Where it came from.
    pub source: Source,
    /// What became of the records.
    pub report: Report,
}

/// What is in a shard file.
#[derive(Clone, Debug, Serialize)]
pub struct ShardSummary {
    /// Its name.
    pub file: String,
    /// Longer side of its boards.
    pub len: usize,
    /// Games to learn from.
    pub train_games: u64,
    /// Their positions.
    pub train_positions: u64,
    /// Games held out.
    pub validation_games: u64,
    /// Their positions.
    pub validation_positions: u64,
}

impl Summary {
    /// Sums up `dataset`, with the splits for a held-out share of `validation_permille` of 1000 games.
    pub fn of(dataset: &Dataset, validation_permille: u32) -> Summary {
        let manifest = dataset.manifest();
        let shards = dataset.shards().iter().zip(&manifest.shards).map(|(shard, entry)| {
            let mut sums = [[0; 2]; 2];
            for game in shard.games() {
                let sum = &mut sums[usize::from(Split::of(&game, validation_permille) == Split::Validation)];
                sum[0] += 1;
                sum[1] += u64::from(game.n_records);
            }
            let [[train_games, train_positions], [validation_games, validation_positions]] = sums;
            let file = entry.file.clone();
            ShardSummary { file, len: shard.len(), train_games, train_positions, validation_games, validation_positions }
        });
        Summary {
            dir: dataset.dir().display().to_string(),
            games: dataset.n_games(),
            positions: dataset.n_positions(),
            bytes: manifest.shards.iter().map(|shard| shard.bytes).sum(),
            validation_permille,
            shards: shards.collect(),
            source: manifest.source.clone(),
            report: manifest.report.clone(),
        }
    }
}

/// One position in words.
#[derive(Clone, Debug, Serialize)]
pub struct PositionView {
    /// Number in the data set, shard after shard.
    pub position: u64,
    /// Row of the shard's game table.
    pub game: u32,
    /// Identity of the game.
    pub game_hash: String,
    /// Board, as `19x19`.
    pub size: String,
    /// Moves before it.
    pub ply: usize,
    /// `black` or `white`.
    pub to_move: &'static str,
    /// Rows from the top: `X` Black, `O` White, `.` empty.
    pub board: Vec<String>,
    /// The moves before it, latest first, as the network is shown them.
    pub history: Vec<String>,
    /// Points set in each of the 22 planes.
    pub planes: Vec<PlaneCount>,
    /// The 19 numbers.
    pub globals: Vec<f32>,
    /// The move played.
    pub policy: String,
    /// The move after it.
    pub reply: Option<String>,
    /// `win`, `loss`, `draw` or `no result` for the player to move.
    pub value: Option<&'static str>,
    /// Points of the player to move minus the opponent's.
    pub score: Option<f32>,
    /// Rows from the top: `x` Black's, `o` White's, `.` nobody's.
    pub ownership: Option<Vec<String>>,
    /// 1 is one ordinary position.
    pub weight: f32,
}

/// A plane and its points.
#[derive(Clone, Debug, Serialize)]
pub struct PlaneCount {
    /// What it shows.
    pub name: &'static str,
    /// Points set.
    pub points: usize,
}

/// KataGo's 22 planes, input version 7.
const PLANE_NAMES: [&str; N_PLANES] = [
    "on the board",
    "own stones",
    "opponent's stones",
    "1 liberty",
    "2 liberties",
    "3 liberties",
    "ko or superko bans",
    "ko recapture blocked",
    "unused",
    "last move",
    "2nd last move",
    "3rd last move",
    "4th last move",
    "5th last move",
    "laddered",
    "laddered 1 move ago",
    "laddered 2 moves ago",
    "working ladder moves",
    "own area",
    "opponent's area",
    "own second-phase stones",
    "opponent's second-phase stones",
];

impl PositionView {
    /// Position number `position` of the data set, shard after shard.
    ///
    /// # Errors
    /// No such position, or a damaged block.
    pub fn read(dataset: &Dataset, position: u64) -> Result<PositionView> {
        let mut here = position;
        for shard in dataset.shards() {
            if here < shard.n_positions() {
                return Ok(PositionView::of(shard, &shard.record(here)?, position));
            }
            here -= shard.n_positions();
        }
        Err(Error::call("--position", format!("{position}, there are {}", dataset.n_positions())))
    }

    fn of(shard: &Shard, record: &Record, position: u64) -> PositionView {
        let (len, size) = (record.len(), record.size());
        let mut planes = vec![0.0; len * len * N_PLANES];
        let mut globals = vec![0.0; N_GLOBALS];
        unpack(record.row(), len, 0, &mut planes, &mut globals);
        let counts = PLANE_NAMES
            .iter()
            .enumerate()
            .map(|(c, name)| PlaneCount { name, points: planes.chunks_exact(N_PLANES).filter(|cell| cell[c] != 0.0).count() });
        let own = record.to_move();
        let letters = |own_plane: &dyn Fn(usize) -> f32, black: char, white: char| -> Vec<String> {
            let letter = |p: Point| match own_plane(p.index(len)) {
                x if x > 0.0 => [black, white][own.index()],
                x if x < 0.0 => [black, white][own.opponent().index()],
                _ => '.',
            };
            (0..size.h()).map(|y| (0..size.w()).map(|x| letter(Point::new(x, y))).collect()).collect()
        };
        let name = |idx: usize| Move::from_policy_index(idx, len).gtp(size);
        let past = |mv: u16| if mv == MOVE_PASS { "pass".to_string() } else { name(mv.into()) };
        PositionView {
            position,
            game: record.game(),
            game_hash: shard.game(record.game().into()).hash.to_string(),
            size: size.to_string(),
            ply: record.ply(),
            to_move: ["black", "white"][own.index()],
            board: letters(&|cell| planes[cell * N_PLANES + 1] - planes[cell * N_PLANES + 2], 'X', 'O'),
            history: record.history().into_iter().take_while(|&mv| mv != MOVE_NONE).map(past).collect(),
            planes: counts.collect(),
            globals,
            policy: name(record.policy()),
            reply: record.reply().map(name),
            value: record.outcome().map(|outcome| match outcome {
                Outcome::Win => "win",
                Outcome::Loss => "loss",
                Outcome::Draw => "draw",
                Outcome::NoResult => "no result",
            }),
            score: record.score(),
            ownership: record.ownership_known().then(|| letters(&|cell| record.ownership(cell), 'x', 'o')),
            weight: record.weight(),
        }
    }

    /// The position drawn: board and final areas side by side, then planes and targets.
    pub fn draw(&self) -> String {
        let mut text = format!(
            "position {}: game {} ({}), {}, after {} moves, {} to move\n",
            self.position, self.game, self.game_hash, self.size, self.ply, self.to_move
        );
        let n_rows = self.board.len();
        for (y, row) in self.board.iter().enumerate() {
            let spaced = |row: &str| row.chars().flat_map(|c| [' ', c]).collect::<String>();
            let areas = self.ownership.as_ref().map_or(String::new(), |rows| format!("    {}", spaced(&rows[y])));
            let _ = writeln!(text, "{:>4}{}{areas}", n_rows - y, spaced(row));
        }
        let columns: String = "ABCDEFGHJKLMNOPQRST".chars().take(self.board[0].len()).flat_map(|c| [' ', c]).collect();
        let _ = writeln!(text, "    {columns}");
        let _ =
            writeln!(text, "  history: {}", if self.history.is_empty() { "none".to_string() } else { self.history.join(" ") });
        for plane in self.planes.iter().filter(|plane| plane.points > 0) {
            let _ = writeln!(text, "  {:>4} {}", plane.points, plane.name);
        }
        let globals: Vec<String> = self.globals.iter().map(|g| format!("{g}")).collect();
        let _ = writeln!(text, "  numbers: {}", globals.join(" "));
        let unknown = || "unknown".to_string();
        let _ = writeln!(text, "  target: {}, then {}", self.policy, self.reply.as_deref().unwrap_or("the end"));
        let _ = write!(
            text,
            "  value: {}, score: {}, areas: {}, weight {}",
            self.value.unwrap_or("unknown"),
            self.score.map_or_else(unknown, |s| format!("{s:+}")),
            if self.ownership.is_some() { "on the right (x Black, o White)" } else { "unknown" },
            self.weight
        );
        text
    }
}
