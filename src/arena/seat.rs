//! A player at a board: a net of ours or somebody else's program, which may fail in every way.

use super::config::Start;
use crate::base::error::Fault as Blame;
use crate::base::signal::Stop;
use crate::base::{Error, Result};
use crate::go::{Color, Move, Size};
use crate::opponent::{Answer, Effort, Failure, Player, Program, Session};
use crate::search::Params;
use crate::sgf::{GameResult, Margin, Winner};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How a program failed in a game.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// It ended, or did not start.
    Crash,
    /// It took too long.
    Timeout,
    /// It answered with something that is no move.
    Garbage,
    /// It would not do what it was asked.
    Refusal,
    /// Its move is against the rules.
    Illegal,
}

impl FaultKind {
    /// One word for people.
    pub fn word(self) -> &'static str {
        match self {
            FaultKind::Crash => "crash",
            FaultKind::Timeout => "timeout",
            FaultKind::Garbage => "garbage",
            FaultKind::Refusal => "refusal",
            FaultKind::Illegal => "illegal",
        }
    }
}

/// What a program did wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    pub(super) what: String,
}

/// Why a game does not go on.
pub(super) enum Trouble {
    /// A program's fault: the game is over.
    Fault(Fault),
    /// Ours, the machine's or the person's: the match is over.
    World(Error),
}

type Try<T> = std::result::Result<T, Trouble>;

/// A player.
pub(super) enum Seat {
    Net(Box<NetSeat>),
    Program(ProgramSeat),
}

/// A net that plays.
pub(super) struct NetSeat {
    pub(super) session: Session,
    pub(super) stop: Stop,
}

/// A program, started anew after each of its faults.
pub(super) struct ProgramSeat {
    pub(super) command: String,
    pub(super) effort: Effort,
    pub(super) answer_max: Duration,
    pub(super) ready_max: Duration,
    pub(super) stop: Stop,
    pub(super) program: Option<Program>,
}

impl Seat {
    /// Sets up the start of a game; `seed` is the game's.
    pub(super) fn begin(&mut self, start: &Start, seed: u64) -> Try<()> {
        match self {
            Seat::Net(net) => net.begin(start, seed).map_err(Trouble::World),
            Seat::Program(seat) => {
                if let Err(e) = seat.start() {
                    return Err(trouble(None, e));
                }
                seat.asking(|program, effort| begin(program, effort, start))
            }
        }
    }

    /// The move of `color`.
    pub(super) fn genmove(&mut self, color: Color, size: Size) -> Try<Answer> {
        match self {
            Seat::Net(net) => net.genmove(color).map_err(Trouble::World),
            Seat::Program(seat) => seat.asking(|program, _| program.genmove(color, size)),
        }
    }

    /// Is told a move that the other made, or the opening.
    pub(super) fn play(&mut self, color: Color, mv: Move, size: Size) -> Try<()> {
        match self {
            Seat::Net(net) => Player::play(&mut net.session, color, mv, size).map_err(Trouble::World),
            Seat::Program(seat) => seat.asking(|program, _| Player::play(program, color, mv, size)),
        }
    }

    /// The score in points for White as this player counts it, if it does.
    pub(super) fn score(&mut self) -> Result<Option<f32>> {
        match self {
            Seat::Net(net) => net.session.score().map(|(white, _)| Some(white)),
            Seat::Program(seat) => match seat.asking(|program, _| program.ask("final_score")) {
                Ok(text) => Ok(score_of(&text)),
                Err(Trouble::World(e)) => Err(e),
                Err(Trouble::Fault(fault)) => {
                    log::debug!("no final_score: {}", fault.what);
                    Ok(None)
                }
            },
        }
    }

    /// Moves before the one at which this player would have resigned as `color`, if it tells.
    pub(super) fn gave_up(&self, color: Color) -> Option<usize> {
        match self {
            Seat::Net(net) => net.session.gave_up(color),
            Seat::Program(_) => None,
        }
    }

    /// The player has broken the rules: a program is not trusted with its board any more.
    pub(super) fn dismiss(&mut self) {
        if let Seat::Program(seat) = self {
            seat.program = None;
        }
    }
}

impl NetSeat {
    fn begin(&mut self, start: &Start, seed: u64) -> Result<()> {
        let session = &mut self.session;
        // A game is the same whichever were played before it.
        session.forget();
        session.set_params(Params { seed, ..session.params().clone() });
        Player::begin(session, &start.game_without_stones())?;
        if !start.stones.is_empty() {
            session.set_handicap(&start.stones);
        }
        Ok(())
    }

    fn genmove(&mut self, color: Color) -> Result<Answer> {
        let answer = self.session.genmove(color)?;
        // What a stop has broken off is not the net's move.
        if self.stop.requested() { Err(Error::stopped("game", "stopped")) } else { Ok(answer) }
    }
}

impl ProgramSeat {
    /// Starts the program if it does not run.
    pub(super) fn start(&mut self) -> Result<&mut Program> {
        if self.program.is_none() {
            let mut program = Program::start_within(&self.command, Some(self.ready_max), &self.stop)?;
            program.limit_answers(Some(self.answer_max));
            self.program = Some(program);
        }
        Ok(self.program.as_mut().expect("started above"))
    }

    /// Lets the program do something. After a failure it is ended.
    fn asking<T>(&mut self, what: impl FnOnce(&mut Program, &Effort) -> Result<T>) -> Try<T> {
        let Some(program) = &mut self.program else {
            return Err(Trouble::Fault(Fault { kind: FaultKind::Crash, what: "does not run".to_string() }));
        };
        let told = what(program, &self.effort);
        let failure = program.failure();
        if told.is_err() {
            self.program = None;
        }
        told.map_err(|e| trouble(failure, e))
    }
}

fn trouble(failure: Option<Failure>, e: Error) -> Trouble {
    let kind = match failure {
        _ if e.fault() == Blame::Stopped => return Trouble::World(e),
        Some(Failure::Late) => FaultKind::Timeout,
        Some(Failure::Refused) => FaultKind::Refusal,
        Some(Failure::Garbled) => FaultKind::Garbage,
        Some(Failure::Ended) | None => FaultKind::Crash,
    };
    Trouble::Fault(Fault { kind, what: e.what().to_string() })
}

/// Sets up a program's board, and how much it may think.
fn begin(program: &mut Program, effort: &Effort, start: &Start) -> Result<()> {
    Player::begin(program, &start.game_without_stones())?;
    set_effort(program, effort)?;
    if start.stones.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = start.stones.iter().map(|p| p.gtp(start.size)).collect();
    if program.ask("known_command set_free_handicap")? == "true" {
        return program.ask(&format!("set_free_handicap {}", names.join(" "))).map(|_| ());
    }
    names.iter().try_for_each(|name| program.ask(&format!("play B {name}")).map(|_| ()))
}

/// Tells a program what its side may take for a move, as far as GTP has words for it.
fn set_effort(program: &mut Program, effort: &Effort) -> Result<()> {
    if let Some(seconds) = effort.seconds {
        // Canadian time of one move a period; the protocol knows whole seconds only.
        program.ask(&format!("time_settings 0 {:.0} 1", seconds.ceil().max(1.0)))?;
    }
    for (name, value) in [("maxVisits", effort.visits), ("maxPlayouts", effort.playouts)] {
        if let Some(value) = value {
            program.ask(&format!("kata-set-param {name} {value}"))?;
        }
    }
    Ok(())
}

/// The score for White that an answer to `final_score` tells.
fn score_of(text: &str) -> Option<f32> {
    let result = GameResult::parse(text);
    match (result.winner?, result.margin) {
        (Winner::Draw, _) => Some(0.0),
        (Winner::Black, Some(Margin::Points(points))) => Some(-points),
        (Winner::White, Some(Margin::Points(points))) => Some(points),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_final_score() {
        let cases = [("B+3.5", Some(-3.5)), ("W+12", Some(12.0)), ("0", Some(0.0)), ("cannot", None), ("", None), ("B+R", None)];
        for (text, expected) in cases {
            assert_eq!(score_of(text), expected, "{text}");
        }
    }
}
