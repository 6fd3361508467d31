//! A record's way over a board: its steps in order, each move checked.

use super::replay::Unfit;
use crate::go::rules::Suicide;
use crate::go::{Board, Color, Game, Illegal, Move, Point, Size};
use crate::sgf::{GameRecord, Step};

/// What a record is played on.
pub(super) trait Table {
    /// The present position.
    fn board(&self) -> &Board;
    /// Whose turn it is.
    fn to_move(&self) -> Color;
    /// One set-up: it forgets the ko.
    fn set_stones(&mut self, stones: &[(Point, Option<Color>)]);
    /// Sets whose turn it is; a change forgets the ko.
    fn set_to_move(&mut self, color: Color);
    /// Plays a move of a record: superko repetitions pass.
    fn play(&mut self, color: Color, mv: Move) -> Result<(), Illegal>;
}

impl Table for Game {
    fn board(&self) -> &Board {
        Game::board(self)
    }

    fn to_move(&self) -> Color {
        Game::to_move(self)
    }

    fn set_stones(&mut self, stones: &[(Point, Option<Color>)]) {
        Game::set_stones(self, stones.iter().copied());
    }

    fn set_to_move(&mut self, color: Color) {
        Game::set_to_move(self, color);
    }

    fn play(&mut self, color: Color, mv: Move) -> Result<(), Illegal> {
        self.play_record(color, mv)
    }
}

/// A board and whose turn it is: enough to say whether a record's moves are legal, at a fraction of what a [`Game`] with
/// its history costs.
pub(super) struct Referee {
    board: Board,
    to_move: Color,
    suicide: Suicide,
    /// The board of the last size without stones: copying it is faster than laying out a new one.
    empty: Board,
}

impl Referee {
    pub(super) fn new(size: Size) -> Referee {
        Referee { board: Board::new(size), to_move: Color::Black, suicide: Suicide::Forbidden, empty: Board::new(size) }
    }

    /// Clears the board for another game.
    pub(super) fn start(&mut self, size: Size, suicide: Suicide) {
        if self.empty.size() != size {
            self.empty = Board::new(size);
        }
        self.board.clone_from(&self.empty);
        (self.to_move, self.suicide) = (Color::Black, suicide);
    }
}

impl Table for Referee {
    fn board(&self) -> &Board {
        &self.board
    }

    fn to_move(&self) -> Color {
        self.to_move
    }

    fn set_stones(&mut self, stones: &[(Point, Option<Color>)]) {
        self.board.set_stones(stones.iter().copied());
    }

    fn set_to_move(&mut self, color: Color) {
        if color != self.to_move {
            self.to_move = color;
            self.board.clear_ko();
        }
    }

    fn play(&mut self, color: Color, mv: Move) -> Result<(), Illegal> {
        self.set_to_move(color);
        match mv {
            Move::Pass => self.board.clear_ko(),
            Move::Play(p) => {
                self.board.check(p, color, self.suicide)?;
                self.board.play(p, color);
            }
        }
        self.to_move = color.opponent();
        Ok(())
    }
}

/// What a walk found.
#[derive(Debug, PartialEq)]
pub(super) struct Walked {
    /// Moves played before the last one that was tried; all of them where nothing was wrong.
    pub n_played: usize,
    /// Number of the first move, from 1, that brought an earlier position back.
    pub repeat: Option<usize>,
    /// What made the walk end early.
    pub fault: Option<Unfit>,
}

/// Walks over records; holds what is worth keeping from game to game.
#[derive(Default)]
pub(super) struct Walker {
    past: Past,
    set_up: Vec<(Point, Option<Color>)>,
}

impl Walker {
    /// Plays the record on `table`; `visit` sees every position before its move is checked: ply from 0, the move, the one after.
    pub(super) fn walk<T: Table>(
        &mut self,
        record: &GameRecord,
        table: &mut T,
        mut visit: impl FnMut(&T, usize, Move, Option<Move>),
    ) -> Walked {
        let mut walked = Walked { n_played: 0, repeat: None, fault: None };
        let mut steps = record.steps.iter().enumerate().peekable();
        self.past.start(record.steps.len());
        let mut after_play = false;
        while let Some((i, step)) = steps.next() {
            match *step {
                Step::Setup { point, stone } => {
                    // One set-up for all stones that stand together: each would forget the history anew.
                    self.set_up.clear();
                    self.set_up.push((point, stone));
                    while let Some((_, &Step::Setup { point, stone })) = steps.next_if(|(_, s)| matches!(s, Step::Setup { .. })) {
                        self.set_up.push((point, stone));
                    }
                    table.set_stones(&self.set_up);
                    if table.board().chain_without_liberty().is_some() {
                        let reason = format!("after move {}: the set-up leaves stones without a liberty", walked.n_played);
                        walked.fault = Some(Unfit::of(record, "set-up without liberty", reason));
                        return walked;
                    }
                }
                Step::ToMove(color) => table.set_to_move(color),
                Step::Move { color, mv, line, column } => {
                    // Out of turn the board forgets the ko, but a record that retakes it then is still wrong.
                    let ko = table.board().ko().filter(|_| color != table.to_move());
                    table.set_to_move(color);
                    // A pass repeats the position, and means nothing by it.
                    if self.past.repeats(table.board().hash()) && after_play && walked.repeat.is_none() {
                        walked.repeat = Some(walked.n_played);
                    }
                    after_play = mv != Move::Pass;
                    visit(table, walked.n_played, mv, reply(color, &record.steps[i + 1..]));
                    // A game may repeat a position that superko forbids: servers let it pass, and so did the players.
                    let played = if ko.is_some() && ko == mv.point() { Err(Illegal::Ko) } else { table.play(color, mv) };
                    if let Err(illegal) = played {
                        let reason =
                            format!("move {}: {} {}: {illegal}", walked.n_played + 1, color.letter(), mv.gtp(record.size));
                        walked.fault = Some(Unfit { kind: format!("{ILLEGAL_MOVE}: {illegal}"), reason, line, column });
                        return walked;
                    }
                    walked.n_played += 1;
                }
            }
        }
        if after_play && self.past.repeats(table.board().hash()) && walked.repeat.is_none() {
            walked.repeat = Some(walked.n_played);
        }
        walked
    }
}

/// Kind of every refusal for a move that no rules allow.
pub(super) const ILLEGAL_MOVE: &str = "illegal move";

/// The other colour's next move, if no set-up comes between.
fn reply(color: Color, steps: &[Step]) -> Option<Move> {
    match steps.first() {
        Some(&Step::Move { color: next, mv, .. }) if next != color => Some(mv),
        _ => None,
    }
}

/// The positions of a game so far, by their hashes: a table of twice as many places as the game has steps.
#[derive(Default)]
struct Past {
    /// Hashes at the place that their low bits say, or the next free one; 0 is free.
    places: Vec<u64>,
}

impl Past {
    fn start(&mut self, n_steps: usize) {
        // One more for the position before the first step; never full, so that a search ends.
        let n_places = (2 * (n_steps + 1)).next_power_of_two();
        self.places.clear();
        self.places.resize(n_places, 0);
    }

    /// Whether the position was there before; notes it.
    fn repeats(&mut self, hash: u64) -> bool {
        // The empty board hashes to 0.
        let hash = if hash == 0 { EMPTY_BOARD } else { hash };
        let mask = self.places.len() - 1;
        let mut place = hash as usize & mask;
        loop {
            match self.places[place] {
                0 => {
                    self.places[place] = hash;
                    return false;
                }
                found if found == hash => return true,
                _ => place = (place + 1) & mask,
            }
        }
    }
}

/// Stands for the hash 0, which marks free places.
const EMPTY_BOARD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::{below, rng};
    use crate::go::Rules;
    use crate::sgf;
    use flate2::read::GzDecoder;
    use rand::Rng as _;
    use std::io::Read as _;
    use std::path::{Path, PathBuf};

    /// The referee's walk, once the same as a whole game's.
    fn agreed(walker: &mut Walker, referee: &mut Referee, record: &GameRecord, suicide: Suicide, name: &str) -> Walked {
        let rules = Rules { suicide, ..Rules::JAPANESE };
        let mut game = Game::new(record.size, rules, 6.5);
        let whole = walker.walk(record, &mut game, |_, _, _, _| ());
        referee.start(record.size, suicide);
        let bare = walker.walk(record, referee, |_, _, _, _| ());
        assert_eq!(bare, whole, "{name}");
        assert_eq!(referee.board(), Table::board(&game), "{name}");
        bare
    }

    #[test]
    fn a_bare_board_judges_as_a_game_does() {
        let mut walker = Walker::default();
        let mut referee = Referee::new(Size::square(19).unwrap());
        let (mut n_faults, mut n_repeats) = (0, 0);
        for seed in 0..3000 {
            let mut r = rng(seed, 7);
            let mut any = |n: usize| below(r.next_u64(), n);
            let size = Size::new(2 + any(4), 2 + any(4)).unwrap();
            let points: Vec<Point> = size.points().collect();
            let mut record = GameRecord::new(size);
            let mut color = Color::Black;
            for _ in 0..40 {
                let point = points[any(points.len())];
                color = if any(8) > 0 { color.opponent() } else { color };
                record.steps.push(match any(40) {
                    0 => Step::Setup { point, stone: [None, Some(Color::Black), Some(Color::White)][any(3)] },
                    1 => Step::ToMove(color),
                    2 | 3 => Step::Move { color, mv: Move::Pass, line: 1, column: 1 },
                    _ => Step::Move { color, mv: Move::Play(point), line: 1, column: 1 },
                });
                // Mostly legal games, so that they go on.
                let walked = agreed(&mut walker, &mut referee, &record, Suicide::Allowed, "random game");
                if walked.fault.is_some() && any(60) > 0 {
                    record.steps.pop();
                }
            }
            for suicide in [Suicide::Forbidden, Suicide::MultiStone, Suicide::Allowed] {
                let walked = agreed(&mut walker, &mut referee, &record, suicide, &format!("seed {seed}"));
                n_faults += usize::from(walked.fault.is_some());
                n_repeats += usize::from(walked.repeat.is_some());
            }
        }
        assert!(n_faults > 500 && n_repeats > 500, "{n_faults} faults, {n_repeats} repeats");
    }

    #[test]
    fn a_bare_board_judges_every_game_of_the_corpus_as_a_game_does() {
        let data = std::env::var_os("EDGEZERO_DATA")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
        let (mut walker, mut referee) = (Walker::default(), Referee::new(Size::square(19).unwrap()));
        let mut n_games = 0;
        for name in ["pro19.tar.gz", "small9.tar.gz", "mid13.tar.gz"] {
            let Ok(file) = std::fs::File::open(data.join("corpus").join(name)) else {
                println!("skipped: no {name} in the data folder {}", data.display());
                continue;
            };
            for entry in tar::Archive::new(GzDecoder::new(file)).entries().unwrap() {
                let mut text = Vec::new();
                entry.unwrap().read_to_end(&mut text).unwrap();
                for record in sgf::games(&text).filter_map(Result::ok) {
                    agreed(&mut walker, &mut referee, &record, Suicide::Forbidden, name);
                    n_games += 1;
                }
            }
        }
        println!("{n_games} games");
    }
}
