//! Playing a match: games in order to as many workers as asked for, each finished one to the journal.

use super::config::{MatchConfig, OnFault, Start};
use super::journal::{FaultLine, GameLine, Journal, Name};
use super::opening::Openings;
use super::referee::{self, Played};
use super::report::{Report, Tally};
use super::seat::{NetSeat, ProgramSeat, Seat, Trouble};
use crate::base::fs::{create_dir, write_whole};
use crate::base::rng::mix;
use crate::base::signal::Stop;
use crate::base::{Error, Result};
use crate::go::{Color, Move};
use crate::infer::{Batcher, Evaluator};
use crate::opponent::{Effort, OpponentConfig, Session};
use crate::search::SearchConfig;
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The folder of the records in a match's folder.
const GAMES_DIR: &str = "games";
/// Most characters of a program's name that are kept.
const NAME_CHARS_MAX: usize = 80;
/// How often is told how far a match is while no game ends.
const TICK: Duration = Duration::from_millis(500);

/// Who plays.
#[derive(Clone)]
pub struct Entrant {
    /// What it is.
    pub kind: Kind,
    /// How much it thinks about a move.
    pub effort: Effort,
}

/// What a player is.
#[derive(Clone)]
pub enum Kind {
    /// A net, shared by all workers.
    Net {
        /// Its name in records.
        name: String,
        /// What evaluates it.
        net: Arc<Batcher>,
    },
    /// A GTP program, one a worker.
    Program {
        /// Its command line.
        command: String,
    },
}

/// A match to be played.
pub struct Match {
    /// What is played.
    pub config: MatchConfig,
    /// A and B.
    pub entrants: [Entrant; 2],
    /// Where journal, records and report are.
    pub dir: PathBuf,
    /// Games, an even number.
    pub games: usize,
    /// Games at once, 1 or more.
    pub workers: usize,
    /// What one net at one board may take.
    pub search: SearchConfig,
    /// When nets resign.
    pub opponent: OpponentConfig,
}

/// Is told how far a match is: after every game, with it, and now and then between games.
pub type Watch<'a> = &'a mut dyn FnMut(&Tally, Option<&GameLine>);

/// What the workers take their games from.
struct Schedule {
    left: VecDeque<usize>,
    openings: Openings,
    /// Openings of pairs with a finished game.
    known: HashMap<usize, Vec<Move>>,
}

impl Match {
    /// Plays the games that are missing in the folder, until all are there, the sequential test decides, or `stop`.
    /// Games under way when it decides are finished; those under way at a stop are not.
    ///
    /// # Errors
    /// The folder holds another match, or one at work; a program does not start for its first game; a net cannot be
    /// evaluated; a file cannot be written. All games that ended before are in the journal.
    pub fn run(&self, stop: &Stop, watch: Watch<'_>) -> Result<Report> {
        create_dir(&self.dir.join(GAMES_DIR))?;
        let (mut journal, lines) = Journal::open(&self.dir)?;
        let before = self.report_before(!lines.is_empty())?;
        let start = Start::new(&self.config)?;
        let mut tally = Tally::new(self.config.sprt);
        lines.iter().for_each(|line| tally.add(line));
        let left = self.missing(&lines, &tally);
        let mut seats = match left.is_empty() {
            true => Vec::new(),
            false => self.seats(left.len().min(self.workers), stop)?,
        };
        let names = match (before, seats.first_mut()) {
            (Some(report), _) if !lines.is_empty() => report.names,
            (_, Some(first)) => self.names(first, &start)?,
            (Some(report), None) => report.names,
            (None, None) => return Err(Error::call("--games", "0, expected 2 or more")),
        };
        let mut report = Report { config: self.config.clone(), names, games: self.games, tally };
        report.write(&self.dir)?;
        if !lines.is_empty() {
            log::info!("{}: goes on after {} games", self.dir.display(), lines.len());
        }
        let schedule = Mutex::new(self.schedule(left, &lines, &start));
        let told = self.play(&mut journal, &mut report, seats, &schedule, &start, stop, watch);
        report.write(&self.dir)?;
        told.map(|()| report)
    }

    /// The report that is there already, if it is of this match.
    fn report_before(&self, has_games: bool) -> Result<Option<Report>> {
        let before = Report::read(&self.dir)?;
        let place = self.dir.display();
        match &before {
            None if has_games => Err(Error::new(place, "games without match.json").hint("another --out")),
            Some(report) if has_games && report.config != self.config => {
                let differences = self.config.differences(&report.config).join("; ");
                Err(Error::call(place, format!("another match is here: {differences}")).hint("its options, or another --out"))
            }
            _ => Ok(before),
        }
    }

    /// The games still to be played, in order.
    fn missing(&self, lines: &[GameLine], tally: &Tally) -> VecDeque<usize> {
        if tally.verdict().is_some() {
            return VecDeque::new();
        }
        let done: std::collections::HashSet<usize> = lines.iter().map(|line| line.game).collect();
        (0..self.games).filter(|game| !done.contains(game)).collect()
    }

    fn schedule(&self, left: VecDeque<usize>, lines: &[GameLine], start: &Start) -> Schedule {
        let moves = |line: &GameLine| line.opening.iter().filter_map(|name| Move::parse_gtp(name, start.size)).collect();
        let known = lines.iter().map(|line| (line.game / 2, moves(line))).collect();
        let net = self.entrants.iter().find_map(|entrant| match &entrant.kind {
            Kind::Net { net, .. } => Some(Box::new(net.client()) as Box<dyn Evaluator>),
            Kind::Program { .. } => None,
        });
        Schedule { left, openings: Openings::new(start, self.config.opening, self.config.seed, net), known }
    }

    /// A's and B's seats of each worker.
    fn seats(&self, n_workers: usize, stop: &Stop) -> Result<Vec<[Seat; 2]>> {
        let seat = |entrant: &Entrant| match &entrant.kind {
            Kind::Net { net, .. } => {
                let evaluator = Box::new(net.client());
                let mut session = Session::with_search(evaluator, self.opponent.clone(), self.search.clone(), entrant.effort)?;
                session.resigning = self.config.nets.resigning;
                Ok(Seat::Net(Box::new(NetSeat { session, stop: stop.clone() })))
            }
            Kind::Program { command } => Ok(Seat::Program(ProgramSeat {
                command: command.clone(),
                effort: entrant.effort,
                answer_max: Duration::from_secs_f64(self.config.answer_s_max),
                ready_max: Duration::from_secs_f64(self.config.ready_s_max),
                stop: stop.clone(),
                program: None,
            })),
        };
        let [a, b] = &self.entrants;
        (0..n_workers).map(|_| Ok([seat(a)?, seat(b)?])).collect()
    }

    /// The names of both players. Programs are started for it and asked to set up a board: one that cannot do even that
    /// is a mistake of the call rather than a fault.
    fn names(&self, seats: &mut [Seat; 2], start: &Start) -> Result<[String; 2]> {
        let mut names = [String::new(), String::new()];
        for ((name, seat), entrant) in names.iter_mut().zip(seats).zip(&self.entrants) {
            *name = match (&entrant.kind, &mut *seat) {
                (Kind::Program { command }, Seat::Program(program)) => {
                    let name = program.start()?.full_name()?;
                    // Names stand in lines of their own, in records and tables.
                    let name = name.lines().next().unwrap_or_default().chars().take(NAME_CHARS_MAX).collect();
                    match seat.begin(start, 0) {
                        Ok(()) => name,
                        Err(Trouble::World(e)) => return Err(e),
                        Err(Trouble::Fault(fault)) => return Err(Error::new(command, fault.what)),
                    }
                }
                (Kind::Net { name, .. }, _) => name.clone(),
                (Kind::Program { command }, Seat::Net(_)) => command.clone(),
            };
        }
        if names[0] == names[1] {
            names[0].push_str(" (A)");
            names[1].push_str(" (B)");
        }
        Ok(names)
    }

    #[allow(clippy::too_many_arguments, reason = "each is one thing that the workers and the journal share")]
    fn play(
        &self,
        journal: &mut Journal,
        report: &mut Report,
        seats: Vec<[Seat; 2]>,
        schedule: &Mutex<Schedule>,
        start: &Start,
        stop: &Stop,
        watch: Watch<'_>,
    ) -> Result<()> {
        let failed = AtomicBool::new(false);
        let names = report.names.clone();
        std::thread::scope(|scope| {
            let (to, from) = mpsc::channel();
            for seats in seats {
                let (to, failed, names) = (to.clone(), &failed, &names);
                let worker = Worker { game: self, seats, schedule, start, names };
                // Asked between moves, when no clock runs.
                let is_stopped = move || {
                    stop.rest();
                    stop.requested() || failed.load(Relaxed)
                };
                scope.spawn(move || worker.work(&is_stopped, to));
            }
            drop(to);
            let mut told = Ok(());
            loop {
                let line = match from.recv_timeout(TICK) {
                    Ok(Ok(line)) => line,
                    // A stop is no failure: what was finished is there.
                    Ok(Err(_)) if stop.requested() => continue,
                    Ok(Err(e)) => {
                        failed.store(true, Relaxed);
                        told = told.and(Err(e));
                        continue;
                    }
                    Err(RecvTimeoutError::Timeout) => {
                        watch(&report.tally, None);
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                };
                if let Err(e) = journal.append(&line) {
                    failed.store(true, Relaxed);
                    told = told.and(Err(e));
                    continue;
                }
                report.tally.add(&line);
                watch(&report.tally, Some(&line));
                if report.tally.verdict().is_some() {
                    schedule.lock().unwrap_or_else(PoisonError::into_inner).left.clear();
                }
            }
            told
        })
    }
}

/// Plays games one after the other.
struct Worker<'a> {
    game: &'a Match,
    seats: [Seat; 2],
    schedule: &'a Mutex<Schedule>,
    start: &'a Start,
    names: &'a [String; 2],
}

impl Worker<'_> {
    fn work(mut self, is_stopped: &dyn Fn() -> bool, to: Sender<Result<GameLine>>) {
        while !is_stopped() {
            let line = match self.next() {
                Ok(None) => break,
                Ok(Some((game, opening))) => self.play(game, &opening, is_stopped),
                Err(e) => Err(e),
            };
            let is_over = line.is_err();
            // Nobody listens any more: the match is over.
            if to.send(line).is_err() || is_over {
                break;
            }
        }
    }

    fn next(&self) -> Result<Option<(usize, Vec<Move>)>> {
        let mut schedule = self.schedule.lock().unwrap_or_else(PoisonError::into_inner);
        let Schedule { left, openings, known } = &mut *schedule;
        let Some(game) = left.pop_front() else { return Ok(None) };
        let opening = openings.of_pair(game / 2, |pair| known.get(&pair).cloned())?;
        Ok(Some((game, opening)))
    }

    fn play(&mut self, game: usize, opening: &[Move], is_stopped: &dyn Fn() -> bool) -> Result<GameLine> {
        let (config, black) = (&self.game.config, if game.is_multiple_of(2) { Name::A } else { Name::B });
        let seed = mix(config.seed ^ mix(game as u64));
        let [a, b] = &mut self.seats;
        let seats = if black == Name::A { [a, b] } else { [b, a] };
        let played = referee::play(seats, self.start, opening, seed, is_stopped)?;
        let names = match black {
            Name::A => [&*self.names[0], &*self.names[1]],
            Name::B => [&*self.names[1], &*self.names[0]],
        };
        let sgf = format!("{GAMES_DIR}/{game:06}.sgf");
        let event = format!("edgezero match, game {}", game + 1);
        let text = referee::to_sgf(&played, self.start, names, &config.rules, &event);
        write_whole(&self.game.dir.join(&sgf), text.as_bytes())?;
        Ok(line(game, black, opening, &played, config, sgf))
    }
}

fn line(game: usize, black: Name, opening: &[Move], played: &Played, config: &MatchConfig, sgf: String) -> GameLine {
    let name = |color: Color| if color == Color::Black { black } else { black.other() };
    // From Black and White to A and B.
    let of_names = |[b, w]: [f64; 2]| if black == Name::A { [b, w] } else { [w, b] };
    let rounded = |seconds: [f64; 2]| of_names(seconds.map(|s| (s * 1e3).round() / 1e3));
    let is_void = played.fault.is_some() && config.on_fault == OnFault::Void;
    GameLine {
        game,
        black,
        opening: opening.iter().map(|mv| mv.gtp(played.game.size())).collect(),
        result: played.result.clone(),
        winner: played.winner.map(name),
        counts: !is_void,
        ending: played.ending,
        fault: played.fault.as_ref().map(|(by, fault)| FaultLine { by: name(*by), kind: fault.kind, what: fault.what.clone() }),
        counted: played.counted,
        disputed: played.disputed,
        gave_up: if black == Name::A { played.gave_up } else { [played.gave_up[1], played.gave_up[0]] },
        moves: played.game.moves().len(),
        seconds: rounded(played.seconds),
        slowest: rounded(played.slowest),
        sgf,
    }
}
