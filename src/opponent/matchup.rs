//! One game between two players, watched by a board of its own.

use super::session::{Answer, Session};
use super::show::score_text;
use crate::base::signal::Stop;
use crate::base::{Error, Result};
use crate::go::{Color, Game, Move, Point, Size};
use crate::sgf::{self, GameRecord, Step};

/// Most moves of a watched game, as a multiple of the board's points: both sides have long had their say.
const MOVES_PER_POINT_MAX: usize = 5;

/// Somebody who plays.
pub trait Player {
    /// How it is called.
    fn name(&self) -> String;
    /// Sets the board up for a new game: size, komi, no stones.
    fn begin(&mut self, game: &Game) -> Result<()>;
    /// Asks for the move of `color` and plays it on its own board.
    fn genmove(&mut self, color: Color, size: Size) -> Result<Answer>;
    /// Is told the other's move.
    fn play(&mut self, color: Color, mv: Move, size: Size) -> Result<()>;
}

/// Who sits where.
pub enum Seats<'a> {
    /// Two players.
    Two {
        /// Plays Black.
        black: &'a mut dyn Player,
        /// Plays White.
        white: &'a mut dyn Player,
    },
    /// One player on both sides.
    Both(&'a mut dyn Player),
}

/// How a game ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Both passed; it is to be counted.
    Passed,
    /// This side resigned.
    Resigned(Color),
    /// Nobody passed for longer than any game takes.
    TooLong,
}

/// Plays `game` to its end; `on_move` sees it after every move.
///
/// # Errors
/// A player is gone, breaks the rules, or `stop` was asked for.
pub fn play_game(seats: &mut Seats<'_>, game: &mut Game, stop: &Stop, mut on_move: impl FnMut(&Game)) -> Result<Outcome> {
    let size = game.size();
    for player in seats.all() {
        player.begin(game)?;
    }
    while game.n_passes() < 2 {
        if game.moves().len() >= MOVES_PER_POINT_MAX * size.n_points() {
            return Ok(Outcome::TooLong);
        }
        if stop.requested() {
            return Err(stopped(game));
        }
        let color = game.to_move();
        let player = seats.of(color);
        let mv = match player.genmove(color, size)? {
            Answer::Move(mv) => mv,
            Answer::Resign => return Ok(Outcome::Resigned(color)),
        };
        if stop.requested() {
            // What came may have been found in haste.
            return Err(stopped(game));
        }
        game.play(color, mv)
            .map_err(|why| Error::new(player.name(), format!("move {}, {}: {why}", game.moves().len() + 1, mv.gtp(size))))?;
        if let Some(other) = seats.other(color) {
            other.play(color, mv, size)?;
        }
        on_move(game);
    }
    Ok(Outcome::Passed)
}

fn stopped(game: &Game) -> Error {
    Error::stopped("game", format!("stopped after {} moves", game.moves().len()))
}

impl Seats<'_> {
    fn of(&mut self, color: Color) -> &mut dyn Player {
        match (self, color) {
            (Seats::Two { black, .. }, Color::Black) => *black,
            (Seats::Two { white, .. }, Color::White) => *white,
            (Seats::Both(player), _) => *player,
        }
    }

    fn other(&mut self, color: Color) -> Option<&mut dyn Player> {
        match self {
            Seats::Two { .. } => Some(self.of(color.opponent())),
            Seats::Both(_) => None,
        }
    }

    fn all(&mut self) -> Vec<&mut dyn Player> {
        match self {
            Seats::Two { black, white } => vec![*black, *white],
            Seats::Both(player) => vec![*player],
        }
    }
}

impl Player for Session {
    fn name(&self) -> String {
        "edgezero".to_string()
    }

    fn begin(&mut self, game: &Game) -> Result<()> {
        self.set_rules(*game.rules());
        self.set_komi(game.komi());
        self.set_size(game.size());
        Ok(())
    }

    fn genmove(&mut self, color: Color, _size: Size) -> Result<Answer> {
        Session::genmove(self, color)
    }

    fn play(&mut self, color: Color, mv: Move, size: Size) -> Result<()> {
        Session::play(self, color, mv).map_err(|why| Error::new("edgezero", format!("{}: {why}", mv.gtp(size))))
    }
}

/// The score as SGF and people write it: the count for White, or who resigned.
pub fn result_text(outcome: &Outcome, white: f32) -> String {
    match outcome {
        Outcome::Passed => score_text(white),
        Outcome::Resigned(color) => format!("{}+R", color.opponent().letter()),
        Outcome::TooLong => "Void".to_string(),
    }
}

/// What a record says beside the moves; what is empty is left out.
pub struct Header<'a> {
    /// Black's and White's names.
    pub players: [&'a str; 2],
    /// The rules, by their name.
    pub rules: &'a str,
    /// As [`result_text`] writes it.
    pub result: &'a str,
}

/// The game as SGF, from its set-up on if it has one.
pub fn to_sgf(game: &Game, header: &Header<'_>) -> String {
    let mut record = GameRecord::new(game.size());
    let told = |text: &str| (!text.is_empty()).then(|| text.to_string());
    record.players = header.players.map(told);
    record.rules = Some(header.rules.to_string());
    record.komi = Some(game.komi());
    record.result_raw = told(header.result);
    let (start, to_move) = game.start();
    let stones: Vec<(Point, Color)> = game.size().points().filter_map(|p| Some((p, start.get(p)?))).collect();
    if !stones.is_empty() {
        let is_handicap = to_move == Color::White && stones.len() > 1 && stones.iter().all(|&(_, color)| color == Color::Black);
        record.handicap = u32::try_from(stones.len()).ok().filter(|_| is_handicap);
        record.steps.extend(stones.iter().map(|&(point, color)| Step::Setup { point, stone: Some(color) }));
        record.steps.push(Step::ToMove(to_move));
    }
    record.steps.extend(game.moves().iter().map(|&(color, mv)| Step::Move { color, mv, line: 0, column: 0 }));
    sgf::write(&record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::rng;
    use crate::go::Rules;
    use crate::infer::scripted::Scripted;
    use crate::infer::{Evaluation, Evaluator};
    use crate::opponent::OpponentConfig;
    use rand::Rng as _;

    /// A net that has learnt nothing: its policy is noise, its view of the rest a shrug.
    fn noise(seed: u64) -> Box<dyn Evaluator> {
        let mut draw = rng(seed, 0);
        Box::new(Scripted::new(8, move |request| {
            let mut answer = Evaluation::even(request.len);
            answer.policy.iter_mut().for_each(|logit| *logit = (draw.next_u64() >> 40) as f32 / (1 << 24) as f32);
            answer
        }))
    }

    #[test]
    fn noise_finishes_its_games() {
        for (seed, (w, h)) in [(9, 9), (5, 5), (2, 2), (7, 4), (13, 13)].into_iter().enumerate() {
            for rules in Rules::NAMES {
                let config = OpponentConfig {
                    rules: rules.to_string(),
                    komi: 6.5,
                    resign_below: 0.05,
                    resign_streak: 3,
                    resign_after: 0.3,
                };
                let mut session = Session::new(noise(seed as u64), config).unwrap();
                let size = Size::new(w, h).unwrap();
                let mut game = Game::new(size, Rules::parse(rules).unwrap(), 6.5);
                let outcome = play_game(&mut Seats::Both(&mut session), &mut game, &Stop::default(), |_| {}).unwrap();
                assert_eq!(outcome, Outcome::Passed, "{size} {rules}");
                assert_eq!(session.game().moves(), game.moves(), "{size} {rules}");
                let (white, dead) = session.score().unwrap();
                assert!(white.abs() <= (w * h) as f32 + 10.0, "{size} {rules}: {white}");
                assert!(dead.iter().all(|p| game.board().get(p).is_some()), "{size} {rules}");
            }
        }
    }

    #[test]
    fn a_stop_while_a_move_is_thought_about_ends_the_game() {
        let stop = Stop::default();
        let (mut n_asked, asked) = (0, stop.clone());
        let net = Scripted::new(8, move |request| {
            n_asked += 1;
            if n_asked == 30 {
                asked.request();
            }
            assert!(n_asked < 1000, "goes on after the stop");
            Evaluation::even(request.len)
        });
        let config =
            OpponentConfig { rules: "chinese".into(), komi: 7.5, resign_below: 0.0, resign_streak: 3, resign_after: 1.0 };
        let search = crate::search::SearchConfig { tree_mb: 16, cache_mb: 0, visits: 1_000_000, batch_size: 4 };
        let mut session = Session::with_search(Box::new(net), config, search, Default::default()).unwrap();
        session.stop_with(stop.clone());
        let mut game = Game::new(Size::square(9).unwrap(), Rules::CHINESE, 7.5);
        let told = play_game(&mut Seats::Both(&mut session), &mut game, &stop, |_| {}).unwrap_err();
        assert_eq!((told.exit_code(), game.moves().len()), (130, 0));
    }

    #[test]
    fn games_are_written_as_sgf() {
        let size = Size::square(9).unwrap();
        let mut game = Game::new(size, Rules::CHINESE, 7.0);
        for (color, name) in [(Color::Black, "E5"), (Color::White, "C3"), (Color::Black, "pass")] {
            game.play(color, Move::parse_gtp(name, size).unwrap()).unwrap();
        }
        let header = Header { players: ["a]b", "c"], rules: "chinese", result: "W+0.5" };
        let expected = "(;FF[4]GM[1]CA[UTF-8]AP[edgezero]SZ[9]PB[a\\]b]PW[c]RU[chinese]KM[7]RE[W+0.5];B[ee];W[cg];B[])\n";
        assert_eq!(to_sgf(&game, &header), expected);
        // What was on the board before the first move.
        let set_up = |stones: &[(usize, usize, Color)], to_move: Color| {
            let mut game = Game::new(size, Rules::CHINESE, 0.5);
            game.set_stones(stones.iter().map(|&(x, y, color)| (Point::new(x, y), Some(color))));
            game.set_to_move(to_move);
            game.play(to_move, Move::parse_gtp("E5", size).unwrap()).unwrap();
            to_sgf(&game, &Header { players: ["", ""], rules: "chinese", result: "" })
        };
        let handicap = set_up(&[(2, 2, Color::Black), (6, 6, Color::Black)], Color::White);
        assert!(handicap.contains("HA[2]") && handicap.contains("AB[cc][gg]") && handicap.contains("PL[W]"), "{handicap}");
        let position = set_up(&[(0, 0, Color::Black), (8, 8, Color::White)], Color::Black);
        assert!(position.contains("AB[aa]") && position.contains("AW[ii]") && !position.contains("HA["), "{position}");
        assert!(position.ends_with(";B[ee])\n"), "{position}");
    }
}
