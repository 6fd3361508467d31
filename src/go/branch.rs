//! A line of play from a game's present position: what a search plays out many times a second.
//!
//! The same rules as [`Game`]'s, without a list of moves and without allocation once its lists have grown.

use super::board::{Board, stone_hash};
use super::game::{Button, Game, HISTORY_MAX};
use super::point::{Color, Move, Point};
use super::pointset::PointSet;
use super::rules::{FriendlyPass, HandicapBonus, Ko, Scoring};
use crate::base::rng::mix;

/// Bits that tell most positions apart from those of the past: with 500 of them one in eight is looked up in vain.
const FILTER_BITS: usize = 4096;
/// Moves of a line before its lists grow.
const LINE_MOVES: usize = 512;

/// A line of play. Every call takes the game that it was begun with.
pub struct Branch {
    board: Board,
    /// Before the latest move of the line, and before the one before it.
    before: [Board; 2],
    to_move: Color,
    n_played: usize,
    /// Latest first, the game's last moves included.
    recent: [Move; HISTORY_MAX],
    n_history: usize,
    n_passes: usize,
    over: bool,
    button: Button,
    n_handicap: usize,
    white_has_played: bool,
    placed: [u32; 2],
    taken: [u32; 2],
    passed_at: Vec<(u64, Color)>,
    past: Vec<u64>,
    /// Whether the game's own positions count for superko still: taking the button forgets them.
    forgets_game: bool,
    /// A bit for every position of the past; some stand for others too.
    filter: Box<[u64; FILTER_BITS / 64]>,
    /// The bits that the line has set.
    filter_own: Vec<u16>,
}

impl Branch {
    /// The line without a move.
    pub fn new(game: &Game) -> Branch {
        let mut branch = Branch {
            board: game.board().clone(),
            before: [game.board().clone(), game.board().clone()],
            to_move: game.to_move(),
            n_played: 0,
            recent: [Move::Pass; HISTORY_MAX],
            n_history: 0,
            n_passes: 0,
            over: false,
            button: Button::Unused,
            n_handicap: 0,
            white_has_played: false,
            placed: [0; 2],
            taken: [0; 2],
            passed_at: Vec::with_capacity(LINE_MOVES),
            past: Vec::with_capacity(LINE_MOVES),
            forgets_game: false,
            filter: Box::new([0; FILTER_BITS / 64]),
            filter_own: Vec::with_capacity(LINE_MOVES),
        };
        branch.begin(game);
        branch
    }

    /// Takes another game, or the same one after it has gone on.
    pub fn begin(&mut self, game: &Game) {
        self.filter.fill(0);
        self.filter_own.clear();
        for &key in &game.past {
            let bit = filter_bit(key);
            self.filter[bit / 64] |= 1 << (bit % 64);
        }
        self.restart(game);
    }

    /// Goes back to the game's present position.
    pub fn restart(&mut self, game: &Game) {
        self.board.clone_from(game.board());
        self.to_move = game.to_move();
        self.n_played = 0;
        self.n_history = game.n_history;
        self.recent.iter_mut().zip(game.history()).for_each(|(to, mv)| *to = mv);
        (self.n_passes, self.over) = (game.n_passes(), game.is_over());
        self.button = game.button;
        (self.n_handicap, self.white_has_played) = (game.n_handicap, game.white_has_played);
        (self.placed, self.taken) = (game.placed, game.taken());
        self.passed_at.clear();
        self.past.clear();
        self.forgets_game = false;
        for bit in self.filter_own.drain(..) {
            self.filter[bit as usize / 64] &= !(1 << (bit % 64));
        }
    }

    /// Goes back and plays `moves`, each of which must be legal where it is played.
    pub fn play_line(&mut self, game: &Game, moves: &[Move]) {
        self.restart(game);
        for (i, &mv) in moves.iter().enumerate() {
            // Only the last two boards are ever asked for.
            if let Some(back @ 0..=1) = (moves.len() - 1).checked_sub(i) {
                self.before[back].clone_from(&self.board);
            }
            self.play(game, mv);
        }
    }

    fn play(&mut self, game: &Game, mv: Move) {
        let color = self.to_move;
        self.recent.rotate_right(1);
        self.recent[0] = mv;
        self.n_history = (self.n_history + 1).min(HISTORY_MAX);
        match mv {
            Move::Play(p) => {
                let taken = self.board.play(p, color);
                for (sum, n) in self.taken.iter_mut().zip(taken.stones) {
                    *sum += u32::from(n);
                }
                self.placed[color.index()] += 1;
                self.white_has_played |= color == Color::White;
                self.n_handicap += usize::from(!self.white_has_played);
                (self.n_passes, self.over) = (0, false);
            }
            Move::Pass => self.play_pass(game, color),
        }
        self.to_move = color.opponent();
        self.n_played += 1;
        if game.rules().ko != Ko::Simple {
            self.remember(game.past_key(self.board.hash(), self.to_move));
        }
    }

    fn play_pass(&mut self, game: &Game, color: Color) {
        self.board.clear_ko();
        if self.button == Button::OnTable {
            self.button = Button::Taken(color);
            self.past.clear();
            self.forgets_game = true;
            return;
        }
        self.over = self.pass_ends(game);
        self.n_passes += 1;
        if game.rules().ko == Ko::Simple {
            self.passed_at.push((self.board.hash(), color));
        }
        if self.over {
            self.n_history = 1;
        }
    }

    fn remember(&mut self, key: u64) {
        self.past.push(key);
        let bit = filter_bit(key);
        if self.filter[bit / 64] >> (bit % 64) & 1 == 0 {
            self.filter[bit / 64] |= 1 << (bit % 64);
            self.filter_own.push(bit as u16);
        }
    }

    /// The position at the end of the line.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Whose turn it is.
    pub fn to_move(&self) -> Color {
        self.to_move
    }

    /// Whether passes have ended the game.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Stones taken off so far by the colour of the stones: `[black, white]`.
    pub fn taken(&self) -> [u32; 2] {
        self.taken
    }

    /// As [`Game::history`].
    pub fn history(&self) -> &[Move] {
        &self.recent[..self.n_history]
    }

    /// As [`Game::board_before`].
    pub fn board_before(&self, game: &Game, n: usize) -> Board {
        match n.min(self.n_history) {
            0 => self.board.clone(),
            n if n <= self.n_played => self.before[n - 1].clone(),
            n => game.board_before(n - self.n_played),
        }
    }

    /// As [`Game::position_before`].
    pub fn position_before(&self, game: &Game, n: usize) -> (u64, Option<Point>) {
        let of = |board: &Board| (board.hash(), board.ko());
        match n.min(self.n_history) {
            0 => of(&self.board),
            n if n <= self.n_played => of(&self.before[n - 1]),
            n => game.position_before(n - self.n_played),
        }
    }

    /// As [`Game::pass_is_second`].
    pub fn pass_is_second(&self) -> bool {
        self.button != Button::OnTable && self.n_passes >= 1
    }

    /// As [`Game::pass_ends`].
    pub fn pass_ends(&self, game: &Game) -> bool {
        let here = (self.board.hash(), self.to_move);
        let was_here = || self.passed_at.contains(&here) || game.passed_at.contains(&here);
        self.pass_is_second() || (self.button != Button::OnTable && was_here())
    }

    /// As [`Game::hides_history`].
    pub fn hides_history(&self, game: &Game) -> bool {
        let rules = game.rules();
        self.pass_is_second() && !self.over && rules.scoring == Scoring::Area && rules.friendly_pass == FriendlyPass::Ok
    }

    /// As [`Game::button_on_table`].
    pub fn button_on_table(&self) -> bool {
        self.button == Button::OnTable
    }

    /// As [`Game::white_bonus`].
    pub fn white_bonus(&self, game: &Game) -> f32 {
        let n = if self.n_handicap > 1 { self.n_handicap } else { 0 };
        let handicap = match game.rules().white_handicap_bonus {
            HandicapBonus::Zero => 0,
            HandicapBonus::N => n,
            HandicapBonus::NMinusOne => n.saturating_sub(1),
        };
        let button = match self.button {
            Button::Taken(Color::White) => 0.5,
            Button::Taken(Color::Black) => -0.5,
            Button::Unused | Button::OnTable => 0.0,
        };
        game.komi() + handicap as f32 + button
    }

    /// As [`Game::self_komi`].
    pub fn self_komi(&self, game: &Game) -> f32 {
        let credit = match game.rules().scoring {
            Scoring::Area => 0.0,
            Scoring::Territory => self.placed[0] as f32 - self.placed[1] as f32,
        };
        let white = self.white_bonus(game) + credit;
        match self.to_move {
            Color::White => white,
            Color::Black => -white,
        }
    }

    /// Where the player to move may play, and where only superko forbids it.
    pub fn legal_points(&self, game: &Game) -> (PointSet, PointSet) {
        let color = self.to_move;
        let (own, empty) = (*self.board.stones(color), self.board.empty_points());
        // The last liberties of chains: only there something is taken off or a suicide threatens.
        let mut last = PointSet::default();
        for head in self.board.chains() {
            if self.board.liberties(head) == 1 {
                last |= self.board.liberty_points(head);
            }
        }
        let mut legal = (empty & (empty | own).neighbors()) - last;
        for p in last.iter() {
            if self.board.check(p, color, game.rules().suicide).is_ok() {
                legal.insert(p);
            }
        }
        if let Some(ko) = self.board.ko() {
            legal.remove(ko);
        }
        let repeats = self.repetitions(game, &legal, &last);
        (legal - repeats, repeats)
    }

    /// The points of `legal` that superko forbids; `last` holds those where stones may be taken off.
    fn repetitions(&self, game: &Game, legal: &PointSet, last: &PointSet) -> PointSet {
        let mut repeats = PointSet::default();
        if game.rules().ko == Ko::Simple {
            return repeats;
        }
        let color = self.to_move;
        // As long as no stone was taken off, every position has more stones than the ones before; a first suicide has not.
        let doubtful = if self.taken == [0; 2] { *legal & *last } else { *legal };
        for p in doubtful.iter() {
            let hash = match last.contains(p) {
                true => self.board.hash_after(p, color),
                false => self.board.hash() ^ stone_hash(p, color),
            };
            let key = game.past_key(hash, color.opponent());
            let bit = filter_bit(key);
            if self.filter[bit / 64] >> (bit % 64) & 1 == 1 && self.was_before(game, key) {
                repeats.insert(p);
            }
        }
        repeats
    }

    fn was_before(&self, game: &Game, key: u64) -> bool {
        self.past.contains(&key) || (!self.forgets_game && game.past.contains(&key))
    }

    /// A key of the position as a network sees it, its recent moves aside: stones, player, bans, passes, komi, rules.
    /// `banned`: what [`Branch::legal_points`] found superko to forbid.
    pub fn key(&self, game: &Game, banned: &PointSet) -> u64 {
        let ko = self.board.ko().map_or(0, |p| 1 + u64::from(p.0));
        let state =
            [self.to_move == Color::White, self.pass_ends(game), self.hides_history(game), self.button_on_table(), self.over];
        let bits = state.iter().fold(ko, |bits, &flag| bits << 1 | u64::from(flag));
        let size = self.board.size();
        let whole = bits << 16 | (size.w() << 8 | size.h()) as u64;
        let mut key = self.board.hash() ^ mix(whole ^ u64::from(self.self_komi(game).to_bits()) << 32);
        for p in banned.iter() {
            key ^= mix(0x6b6f_0000 + u64::from(p.0));
        }
        key
    }
}

fn filter_bit(key: u64) -> usize {
    key as usize % FILTER_BITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::{below, rng};
    use crate::go::{Rules, Size};
    use rand::Rng as _;

    /// Random games with random lines from them, against a game that plays the same moves.
    #[test]
    fn a_branch_is_its_game() {
        let mut draw = rng(7, 0);
        let mut n_banned = 0;
        for (round, name) in Rules::NAMES.iter().cycle().take(300).enumerate() {
            let size = [Size::new(3, 2), Size::new(4, 3), Size::square(3), Size::square(5)][round % 4].unwrap();
            let mut game = Game::new(size, Rules::named(name).unwrap(), 6.5);
            let random = |game: &Game, draw: &mut crate::base::rng::Rng| {
                let mut moves: Vec<Move> =
                    size.points().map(Move::Play).filter(|&m| game.is_legal(game.to_move(), m).is_ok()).collect();
                moves.push(Move::Pass);
                moves[below(draw.next_u64(), moves.len())]
            };
            for _ in 0..below(draw.next_u64(), 40) {
                let mv = random(&game, &mut draw);
                game.play(game.to_move(), mv).unwrap();
            }
            let mut branch = Branch::new(&game);
            for _ in 0..4 {
                let (mut line, mut end) = (Vec::new(), game.clone());
                for _ in 0..below(draw.next_u64(), 30) {
                    let mv = random(&end, &mut draw);
                    line.push(mv);
                    end.play(end.to_move(), mv).unwrap();
                }
                branch.play_line(&game, &line);
                assert_eq!(branch.board(), end.board(), "{name}");
                let told =
                    (branch.to_move(), branch.is_over(), branch.taken(), branch.pass_ends(&game), branch.hides_history(&game));
                assert_eq!(told, (end.to_move(), end.is_over(), end.taken(), end.pass_ends(), end.hides_history()), "{name}");
                assert_eq!(
                    (branch.self_komi(&game), branch.button_on_table()),
                    (end.self_komi(), end.button_on_table()),
                    "{name}"
                );
                assert!(branch.history().iter().copied().eq(end.history()), "{name}");
                for n in 0..=2 {
                    assert_eq!(branch.board_before(&game, n), end.board_before(n), "{name}, {n} moves ago");
                    assert_eq!(branch.position_before(&game, n), end.position_before(n), "{name}, {n} moves ago");
                }
                let (legal, banned) = branch.legal_points(&game);
                let expected: PointSet = size.points().filter(|&p| end.is_legal(end.to_move(), Move::Play(p)).is_ok()).collect();
                assert_eq!(legal, expected, "{name}\n{}", end.board());
                assert_eq!(banned, end.superko_points(end.to_move()), "{name}");
                n_banned += banned.len();
            }
        }
        assert!(n_banned > 50, "superko was tried {n_banned} times");
    }
}
