//! One game under the eyes of a strict board: it decides what is legal, when the game is over and who has won.

use super::config::Start;
use super::journal::Ending;
use super::seat::{Fault, FaultKind, Seat, Trouble};
use crate::base::{Error, Result};
use crate::go::{Color, Game, Move, PointSet, life};
use crate::opponent::{Answer, score_text};
use crate::search::takes_board_literally;
use crate::sgf::{self, GameRecord, Step};
use std::time::Instant;

/// Most moves of a game, as a multiple of the board's points: both sides have long had their say.
const MOVES_PER_POINT_MAX: usize = 5;
/// Seed of the random continuations by which the board's own judge finds the dead.
const LIFE_SEED: u64 = 1;

/// A game that was played.
pub(super) struct Played {
    pub(super) game: Game,
    pub(super) ending: Ending,
    /// None for a draw.
    pub(super) winner: Option<Color>,
    /// As SGF has it.
    pub(super) result: String,
    pub(super) fault: Option<(Color, Fault)>,
    /// What Black and White counted, in points for White.
    pub(super) counted: Option<[Option<f32>; 2]>,
    pub(super) disputed: bool,
    /// Moves after which Black and White would have resigned.
    pub(super) gave_up: [Option<usize>; 2],
    /// Seconds that Black and White thought, and their longest thoughts.
    pub(super) seconds: [f64; 2],
    pub(super) slowest: [f64; 2],
}

/// Plays a game from `start` and the moves of `opening` on. `seats` are Black's and White's; `seed` is the game's.
///
/// # Errors
/// Ours, not a player's: a net cannot be evaluated, or the person stopped it (`is_stopped`).
pub(super) fn play(
    mut seats: [&mut Seat; 2],
    start: &Start,
    opening: &[Move],
    seed: u64,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Played> {
    let mut table = Table { game: start.game(), seconds: [0.0; 2], slowest: [0.0; 2] };
    let ended = table.play(&mut seats, start, opening, seed, is_stopped);
    let gave_up = COLORS.map(|color| seats[color.index()].gave_up(color));
    let played = match ended {
        Ok(End::Passed) => table.count(&mut seats),
        Ok(End::Resigned(color)) => {
            let winner = color.opponent();
            Ok(table.ended(Ending::Resignation, Some(winner), format!("{}+R", winner.letter())))
        }
        Ok(End::TooLong) => Ok(table.ended(Ending::TooLong, None, "Void".to_string())),
        Err((_, Trouble::World(e))) => Err(e),
        Err((color, Trouble::Fault(fault))) => {
            seats[color.index()].dismiss();
            let winner = color.opponent();
            let how = if fault.kind == FaultKind::Timeout { 'T' } else { 'F' };
            let played = table.ended(Ending::Fault, Some(winner), format!("{}+{how}", winner.letter()));
            Ok(Played { fault: Some((color, fault)), ..played })
        }
    };
    played.map(|played| Played { gave_up, ..played })
}

/// How the moves ended.
enum End {
    Passed,
    Resigned(Color),
    TooLong,
}

/// The board between the players.
struct Table {
    game: Game,
    seconds: [f64; 2],
    slowest: [f64; 2],
}

type Try<T> = std::result::Result<T, (Color, Trouble)>;

impl Table {
    fn play(
        &mut self,
        seats: &mut [&mut Seat; 2],
        start: &Start,
        opening: &[Move],
        seed: u64,
        is_stopped: &dyn Fn() -> bool,
    ) -> Try<End> {
        let size = start.size;
        for color in COLORS {
            seats[color.index()].begin(start, seed).map_err(|why| (color, why))?;
        }
        for &mv in opening {
            let color = self.game.to_move();
            self.game.play(color, mv).map_err(|why| (color, Trouble::World(Error::new("opening", why))))?;
            for told in COLORS {
                seats[told.index()].play(color, mv, size).map_err(|why| (told, why))?;
            }
        }
        while self.game.n_passes() < 2 {
            let color = self.game.to_move();
            if self.game.moves().len() >= MOVES_PER_POINT_MAX * size.n_points() {
                return Ok(End::TooLong);
            }
            if is_stopped() {
                return Err((color, Trouble::World(Error::stopped("game", "stopped"))));
            }
            let asked = Instant::now();
            let answer = seats[color.index()].genmove(color, size).map_err(|why| (color, why))?;
            self.note_time(color, asked.elapsed().as_secs_f64());
            let mv = match answer {
                Answer::Move(mv) => mv,
                Answer::Resign => return Ok(End::Resigned(color)),
            };
            self.game.play(color, mv).map_err(|why| {
                let what = format!("move {}, {}: {why}", self.game.moves().len() + 1, mv.gtp(size));
                (color, Trouble::Fault(Fault { kind: FaultKind::Illegal, what }))
            })?;
            let other = color.opponent();
            seats[other.index()].play(color, mv, size).map_err(|why| (other, why))?;
        }
        Ok(End::Passed)
    }

    fn note_time(&mut self, color: Color, seconds: f64) {
        self.seconds[color.index()] += seconds;
        let slowest = &mut self.slowest[color.index()];
        *slowest = slowest.max(seconds);
    }

    /// Counts the board: as it stands where the rules say so, else as the players agree; where they do not agree who
    /// has won, or one of them cannot count and the other is not believed, the board's own judge decides.
    fn count(self, seats: &mut [&mut Seat; 2]) -> Result<Played> {
        let is_bare = self.game.board().empty_points().len() == self.game.size().n_points();
        if is_bare || takes_board_literally(&self.game) {
            let white = self.game.score_white(&PointSet::default());
            return Ok(self.passed(white, None, false));
        }
        let mut counted = [None; 2];
        for color in COLORS {
            counted[color.index()] = seats[color.index()].score()?;
        }
        let ours = self.game.score_white(&life::dead_stones(self.game.board(), LIFE_SEED));
        let same = |a: f32, b: f32| winner_of(a) == winner_of(b);
        let (white, disputed) = match counted {
            [Some(black), Some(white)] if same(black, white) => (believed(seats, [black, white]), false),
            [Some(one), None] | [None, Some(one)] if same(one, ours) => (one, false),
            [None, None] => (ours, false),
            _ => (ours, true),
        };
        Ok(self.passed(white, Some(counted), disputed))
    }

    fn passed(self, white: f32, counted: Option<[Option<f32>; 2]>, disputed: bool) -> Played {
        Played { counted, disputed, ..self.ended(Ending::Passes, winner_of(white), score_text(white)) }
    }

    fn ended(self, ending: Ending, winner: Option<Color>, result: String) -> Played {
        let Table { game, seconds, slowest } = self;
        Played { game, ending, winner, result, fault: None, counted: None, disputed: false, gave_up: [None; 2], seconds, slowest }
    }
}

const COLORS: [Color; 2] = [Color::Black, Color::White];

fn winner_of(white: f32) -> Option<Color> {
    match white {
        w if w > 0.0 => Some(Color::White),
        w if w < 0.0 => Some(Color::Black),
        _ => None,
    }
}

/// Of two counts with one winner, a net's of ours before a program's, which may have rules of its own.
fn believed(seats: &[&mut Seat; 2], [black, white]: [f32; 2]) -> f32 {
    match (&*seats[0], &*seats[1]) {
        (Seat::Program(_), Seat::Net(_)) => white,
        _ => black,
    }
}

/// The game as SGF, without a date: the same game gives the same bytes.
pub(super) fn to_sgf(played: &Played, start: &Start, names: [&str; 2], rules: &str, event: &str) -> String {
    let mut record = GameRecord::new(start.size);
    record.players = names.map(|name| Some(name.to_string()));
    record.rules = Some(rules.to_string());
    record.event = Some(event.to_string());
    record.komi = Some(start.komi);
    record.result_raw = Some(played.result.clone());
    if !start.stones.is_empty() {
        record.handicap = u32::try_from(start.stones.len()).ok();
        record.steps.extend(start.stones.iter().map(|&point| Step::Setup { point, stone: Some(Color::Black) }));
        record.steps.push(Step::ToMove(Color::White));
    }
    let moves = played.game.moves().iter().map(|&(color, mv)| Step::Move { color, mv, line: 0, column: 0 });
    record.steps.extend(moves);
    sgf::write(&record)
}
