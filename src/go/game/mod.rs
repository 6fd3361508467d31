//! A game: a set-up, the moves after it, and all of the past that rules and network inputs ask for.

use super::board::{Board, Illegal, Undo};
use super::point::{Color, Move, Point, Size};
use super::pointset::PointSet;
use super::rules::{FriendlyPass, HandicapBonus, Ko, Rules, Scoring, Suicide, Tax};
use super::score;
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

/// Moves of history that a network sees.
pub const HISTORY_MAX: usize = 5;

/// How strictly a move is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// The game's own rules, superko included.
    Rules,
    /// What servers let pass into records: simple ko and suicide are checked, superko is not.
    Record,
    /// What a controller may say: only occupied points and single-stone suicide are refused.
    Tolerant,
}

/// The half point on the table under button rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Button {
    Unused,
    OnTable,
    Taken(Color),
}

/// How a move is taken back.
#[derive(Clone)]
enum Step {
    None,
    /// The ko ban that the pass lifted.
    Pass {
        ko: Option<Point>,
    },
    Stone(Undo),
}

/// A game in progress.
///
/// A *reset* is the start, a set-up, or a colour moving twice in a row: history, ko bans and passes before it are
/// forgotten, as KataGo's engine does it.
#[derive(Clone)]
pub struct Game {
    rules: Rules,
    komi: f32,
    start: Board,
    start_to_move: Color,
    start_taken: [u32; 2],
    board: Board,
    to_move: Color,
    moves: Vec<(Color, Move)>,
    /// How to take back the latest move and the one before it.
    latest: [Step; 2],
    /// Moves that history planes may show.
    pub(super) n_history: usize,
    pub(super) past: HashSet<u64, BuildHasherDefault<Unhashed>>,
    /// Where stones of Black's and of White's were taken off since the reset.
    vacated: [PointSet; 2],
    n_passes: usize,
    over: bool,
    /// Where each player passed since the reset; only kept under simple ko.
    pub(super) passed_at: Vec<(u64, Color)>,
    pub(super) n_handicap: usize,
    pub(super) white_has_played: bool,
    pub(super) placed: [u32; 2],
    taken: [u32; 2],
    pub(super) button: Button,
}

impl Game {
    /// An empty board with Black to move; komi in points for White.
    pub fn new(size: Size, rules: Rules, komi: f32) -> Game {
        Game::from_board(Board::new(size), Color::Black, rules, komi)
    }

    /// A game that starts from a position without history.
    pub fn from_board(mut board: Board, to_move: Color, rules: Rules, komi: f32) -> Game {
        board.clear_ko();
        let mut game = Game {
            rules,
            komi,
            start: board.clone(),
            start_to_move: to_move,
            start_taken: [0; 2],
            latest: [Step::None, Step::None],
            board,
            to_move,
            moves: Vec::new(),
            n_history: 0,
            past: HashSet::default(),
            vacated: [PointSet::default(); 2],
            n_passes: 0,
            over: false,
            passed_at: Vec::new(),
            n_handicap: 0,
            white_has_played: false,
            placed: [0; 2],
            taken: [0; 2],
            button: Button::Unused,
        };
        game.restart();
        game
    }

    /// The rule set.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Points White receives by agreement; handicap compensation comes on top.
    pub fn komi(&self) -> f32 {
        self.komi
    }

    /// Changes the komi of the game in progress.
    pub fn set_komi(&mut self, komi: f32) {
        self.komi = komi;
    }

    /// Replays the game under other rules.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
        self.replay(self.moves.len());
    }

    /// Columns and rows.
    pub fn size(&self) -> Size {
        self.board.size()
    }

    /// The present position.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Whose turn it is.
    pub fn to_move(&self) -> Color {
        self.to_move
    }

    /// All moves since the last set-up.
    pub fn moves(&self) -> &[(Color, Move)] {
        &self.moves
    }

    /// Whether passes have ended the game. Moves may still be played.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Stones taken off so far by the colour of the stones: `[black, white]`.
    pub fn taken(&self) -> [u32; 2] {
        self.taken
    }

    /// Consecutive passes at the end of the moves.
    pub fn n_passes(&self) -> usize {
        self.n_passes
    }

    /// Where the moves begin: the board, and whose turn it is there.
    pub fn start(&self) -> (&Board, Color) {
        (&self.start, self.start_to_move)
    }

    /// Puts or removes one stone as a set-up: history, moves and ko are forgotten.
    pub fn set_stone(&mut self, p: Point, color: Option<Color>) {
        self.set_stones([(p, color)]);
    }

    /// Puts and removes stones as one set-up: history, moves and ko are forgotten.
    pub fn set_stones(&mut self, stones: impl IntoIterator<Item = (Point, Option<Color>)>) {
        self.board.set_stones(stones);
        self.start = self.board.clone();
        self.start_to_move = self.to_move;
        self.start_taken = self.taken;
        self.restart();
    }

    /// Sets whose turn it is. A change counts as a set-up without new stones.
    pub fn set_to_move(&mut self, color: Color) {
        if color != self.to_move {
            self.to_move = color;
            if self.moves.is_empty() {
                self.start_to_move = color;
            }
            self.reset();
        }
    }

    /// Whether the rules allow the move, superko included. Passing is always legal.
    pub fn is_legal(&self, color: Color, mv: Move) -> Result<(), Illegal> {
        self.check(color, mv, Check::Rules)
    }

    /// Plays a move that the rules allow.
    pub fn play(&mut self, color: Color, mv: Move) -> Result<(), Illegal> {
        self.check(color, mv, Check::Rules)?;
        self.apply(color, mv);
        Ok(())
    }

    /// Plays a move of a record: superko repetitions pass, since servers let them pass.
    pub fn play_record(&mut self, color: Color, mv: Move) -> Result<(), Illegal> {
        self.check(color, mv, Check::Record)?;
        self.apply(color, mv);
        Ok(())
    }

    /// Plays what a controller says: refuses only occupied points, points off the board and single-stone suicide.
    pub fn play_tolerant(&mut self, color: Color, mv: Move) -> Result<(), Illegal> {
        self.check(color, mv, Check::Tolerant)?;
        self.apply(color, mv);
        Ok(())
    }

    /// Takes the last move back; false if there is none since the set-up.
    pub fn undo(&mut self) -> bool {
        match self.moves.len() {
            0 => false,
            n => {
                self.replay(n - 1);
                true
            }
        }
    }

    /// The points other than simple ko's where `color` may not play because of superko; the game's own rules.
    pub fn superko_points(&self, color: Color) -> PointSet {
        let mut points = PointSet::default();
        if self.rules.ko == Ko::Simple || color != self.to_move || self.past.len() < 2 {
            return points;
        }
        let empty = self.board.empty_points();
        // A position that stood before had a stone where the move puts one, and that was taken since, or the move is
        // a suicide.
        let mut candidates = self.vacated[color.index()] & empty;
        if self.rules.suicide != Suicide::Forbidden {
            candidates |= empty - empty.neighbors();
        }
        for p in candidates.iter() {
            if self.is_legal(color, Move::Play(p)) == Err(Illegal::Superko) {
                points.insert(p);
            }
        }
        points
    }

    /// The last moves that history planes may show, latest first: at most [`HISTORY_MAX`], alternating in colour.
    pub fn history(&self) -> impl Iterator<Item = Move> + '_ {
        self.moves.iter().rev().take(self.n_history).map(|&(_, mv)| mv)
    }

    /// The board `n` moves ago, 0 to 2, as far as history reaches.
    pub fn board_before(&self, n: usize) -> Board {
        let mut board = self.board.clone();
        for step in &self.latest[..n.min(self.n_history).min(self.latest.len())] {
            match step {
                Step::None => {}
                Step::Pass { ko } => {
                    board.replace_ko(*ko);
                }
                Step::Stone(undo) => board.take_back(undo),
            }
        }
        board
    }

    /// [`Board::hash`] and [`Board::ko`] of [`Game::board_before`].
    pub fn position_before(&self, n: usize) -> (u64, Option<Point>) {
        let (mut hash, mut ko) = (self.board.hash(), self.board.ko());
        for step in &self.latest[..n.min(self.n_history).min(self.latest.len())] {
            match step {
                Step::None => {}
                Step::Pass { ko: before } => ko = *before,
                Step::Stone(undo) => (hash, ko) = (undo.hash_before(), undo.ko_before()),
            }
        }
        (hash, ko)
    }

    /// Whether a pass by the player to move would be the second in a row.
    pub fn pass_is_second(&self) -> bool {
        self.button != Button::OnTable && self.n_passes >= 1
    }

    /// Whether a pass by the player to move would end the game: the second in a row, or under simple ko a
    /// second pass of this player in this position.
    pub fn pass_ends(&self) -> bool {
        self.pass_is_second() || (self.button != Button::OnTable && self.passed_at.contains(&(self.board.hash(), self.to_move)))
    }

    /// Whether the network is not to see the history: a courteous pass under area rules would end the game.
    pub fn hides_history(&self) -> bool {
        self.pass_is_second() && !self.over && self.rules.scoring == Scoring::Area && self.rules.friendly_pass == FriendlyPass::Ok
    }

    /// Whether the button is on the table.
    pub fn button_on_table(&self) -> bool {
        self.button == Button::OnTable
    }

    /// Points that White receives: komi, compensation for handicap, and the button.
    pub fn white_bonus(&self) -> f32 {
        let n = if self.n_handicap > 1 { self.n_handicap } else { 0 };
        let handicap = match self.rules.white_handicap_bonus {
            HandicapBonus::Zero => 0,
            HandicapBonus::N => n,
            HandicapBonus::NMinusOne => n.saturating_sub(1),
        };
        let button = match self.button {
            Button::Taken(Color::White) => 0.5,
            Button::Taken(Color::Black) => -0.5,
            Button::Unused | Button::OnTable => 0.0,
        };
        self.komi + handicap as f32 + button
    }

    /// Komi as the network sees it, for the player to move: with territory scoring, stones played more by Black count for White.
    pub fn self_komi(&self) -> f32 {
        let credit = match self.rules.scoring {
            Scoring::Area => 0.0,
            Scoring::Territory => self.placed[0] as f32 - self.placed[1] as f32,
        };
        let white = self.white_bonus() + credit;
        match self.to_move {
            Color::White => white,
            Color::Black => -white,
        }
    }

    /// The score in points for White (negative: Black is ahead) once the `dead` stones are taken off.
    pub fn score_white(&self, dead: &PointSet) -> f32 {
        let [black, white] = match self.rules.scoring {
            Scoring::Area => self.area_points(&score::without(&self.board, dead)),
            Scoring::Territory => self.territory_points(dead),
        };
        white as f32 - black as f32 + self.white_bonus() + self.group_tax_white(dead)
    }

    fn area_points(&self, clean: &Board) -> [usize; 2] {
        let owners = match self.rules.tax {
            Tax::None => score::area(clean, self.rules.suicide),
            Tax::Seki | Tax::All => score::taxed_area(clean, self.rules.suicide),
        };
        owners.count()
    }

    fn territory_points(&self, dead: &PointSet) -> [usize; 2] {
        let seki = score::seki_stones(&self.board, dead, self.rules.suicide, self.rules.tax);
        let mut points = score::territory(&self.board, dead, &seki);
        for color in [Color::Black, Color::White] {
            points[color.index()] += self.taken[color.opponent().index()] as usize;
        }
        points
    }

    /// What the tax on all groups, two points for each living one, brings White.
    fn group_tax_white(&self, dead: &PointSet) -> f32 {
        if self.rules.tax != Tax::All {
            return 0.0;
        }
        let [black, white] = score::count_groups(&score::without(&self.board, dead), self.rules.suicide);
        2.0 * (black as f32 - white as f32)
    }

    fn check(&self, color: Color, mv: Move, check: Check) -> Result<(), Illegal> {
        let Move::Play(p) = mv else { return Ok(()) };
        // Out of turn the position counts as a set-up without past and ko; in a record a retake stays a retake.
        let in_turn = color == self.to_move;
        let suicide = if check == Check::Tolerant { Suicide::MultiStone } else { self.rules.suicide };
        match self.board.check(p, color, suicide) {
            Err(Illegal::Ko) if check == Check::Tolerant || (check == Check::Rules && !in_turn) => {
                let mut free = self.board.clone();
                free.clear_ko();
                free.check(p, color, suicide)?;
            }
            other => other?,
        }
        if check == Check::Rules && self.rules.ko != Ko::Simple {
            let after = self.past_key(self.board.hash_after(p, color), color.opponent());
            let here = self.past_key(self.board.hash(), color);
            let repeats = if in_turn { self.past.contains(&after) } else { after == here };
            if repeats {
                return Err(Illegal::Superko);
            }
        }
        Ok(())
    }

    fn apply(&mut self, color: Color, mv: Move) {
        if color != self.to_move {
            self.to_move = color;
            self.reset();
        }
        self.moves.push((color, mv));
        self.n_history = (self.n_history + 1).min(HISTORY_MAX);
        self.latest.swap(0, 1);
        self.latest[0] = match mv {
            Move::Play(p) => Step::Stone(self.apply_stone(p, color)),
            Move::Pass => {
                let ko = self.board.ko();
                self.apply_pass(color);
                Step::Pass { ko }
            }
        };
        self.to_move = color.opponent();
        self.past.insert(self.past_key(self.board.hash(), self.to_move));
    }

    fn apply_stone(&mut self, p: Point, color: Color) -> Undo {
        let undo = self.board.play_with_undo(p, color);
        let taken = undo.taken();
        for (sum, n) in self.taken.iter_mut().zip(taken.stones) {
            *sum += u32::from(n);
        }
        if taken.stones != [0; 2] {
            self.board.points_taken(&undo).iter().zip(&mut self.vacated).for_each(|(points, all)| *all |= *points);
        }
        self.placed[color.index()] += 1;
        self.white_has_played |= color == Color::White;
        self.n_handicap += usize::from(!self.white_has_played);
        self.n_passes = 0;
        self.over = false;
        undo
    }

    fn apply_pass(&mut self, color: Color) {
        self.board.clear_ko();
        if self.button == Button::OnTable {
            self.button = Button::Taken(color);
            self.past.clear();
            return;
        }
        let here = (self.board.hash(), color);
        self.n_passes += 1;
        self.over = self.n_passes >= 2 || self.passed_at.contains(&here);
        if self.rules.ko == Ko::Simple {
            self.passed_at.push(here);
        }
        if self.over {
            self.n_history = 1;
        }
    }

    /// Begins anew at the start position.
    fn restart(&mut self) {
        self.board.clone_from(&self.start);
        self.to_move = self.start_to_move;
        self.moves.clear();
        self.taken = self.start_taken;
        let [black, white] = [Color::Black, Color::White].map(|c| self.start.count(c));
        // What was taken before a set-up was placed before it too.
        self.placed = [black as u32 + self.taken[0], white as u32 + self.taken[1]];
        // A set-up with white stones is a position, no handicap: no stone of Black's counts any more.
        self.n_handicap = if white == 0 { black } else { 0 };
        self.white_has_played = white > 0;
        self.button = if self.rules.button { Button::OnTable } else { Button::Unused };
        self.reset();
    }

    /// Forgets the past of the present position.
    fn reset(&mut self) {
        self.board.clear_ko();
        self.n_history = 0;
        self.n_passes = 0;
        self.over = false;
        self.passed_at.clear();
        self.past.clear();
        self.vacated = [PointSet::default(); 2];
        self.past.insert(self.past_key(self.board.hash(), self.to_move));
    }

    fn replay(&mut self, n_moves: usize) {
        let moves: Vec<(Color, Move)> = self.moves[..n_moves].to_vec();
        self.restart();
        for (color, mv) in moves {
            self.apply(color, mv);
        }
    }

    /// What superko compares: the stones, and in the situational rule the player to move.
    pub(super) fn past_key(&self, hash: u64, to_move: Color) -> u64 {
        match (self.rules.ko, to_move) {
            (Ko::Situational, Color::White) => !hash,
            _ => hash,
        }
    }
}

/// Position hashes are scattered already.
#[derive(Clone, Default)]
pub(super) struct Unhashed(u64);

impl Hasher for Unhashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(b);
        }
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

#[cfg(test)]
mod tests;
