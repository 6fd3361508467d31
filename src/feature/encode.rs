//! From a game to a packed row. The facts follow KataGo's input version 7 (nets of model version 8 and later).

use crate::base::limits::BOARD_LEN_MAX;
use crate::base::rng::mix;
use crate::compute::packed::{MOVE_NONE, MOVE_PASS, PackedRow, flag, plane};
use crate::go::game::HISTORY_MAX;
use crate::go::ladder::{LadderReader, Ladders};
use crate::go::rules::{Ko, Scoring, Suicide, Tax};
use crate::go::score::{area, taxed_area};
use crate::go::{Board, Branch, Color, Game, Move, Point, PointSet, Rules};

/// Komi is clipped to the number of points plus this.
const KOMI_CLIP_EXTRA: f32 = 20.0;
/// Ladder readings kept: the positions of the last two moves serve the next one.
const LADDERS_KEPT: usize = 4;

/// All that a network sees of a position.
pub trait Scene {
    /// The rules played.
    fn rules(&self) -> &Rules;
    /// The position.
    fn board(&self) -> &Board;
    /// The board `n` moves ago, 0 to 2, as far as history reaches.
    fn board_before(&self, n: usize) -> Board;
    /// [`Board::hash`] and [`Board::ko`] of it.
    fn position_before(&self, n: usize) -> (u64, Option<Point>);
    /// The last moves that history reaches, latest first.
    fn history(&self) -> heapless::Vec<Move, HISTORY_MAX>;
    /// Whose turn it is.
    fn to_move(&self) -> Color;
    /// Where superko forbids to play.
    fn banned(&self) -> PointSet;
    /// Komi for the player to move, in points.
    fn self_komi(&self) -> f32;
    /// Whether a pass would end the game.
    fn pass_ends(&self) -> bool;
    /// Whether the history is not to be seen.
    fn hides_history(&self) -> bool;
    /// Whether the button is on the table.
    fn button_on_table(&self) -> bool;
}

impl Scene for Game {
    fn rules(&self) -> &Rules {
        self.rules()
    }
    fn board(&self) -> &Board {
        self.board()
    }
    fn board_before(&self, n: usize) -> Board {
        self.board_before(n)
    }
    fn position_before(&self, n: usize) -> (u64, Option<Point>) {
        self.position_before(n)
    }
    fn history(&self) -> heapless::Vec<Move, HISTORY_MAX> {
        self.history().collect()
    }
    fn to_move(&self) -> Color {
        self.to_move()
    }
    fn banned(&self) -> PointSet {
        self.superko_points(self.to_move())
    }
    fn self_komi(&self) -> f32 {
        self.self_komi()
    }
    fn pass_ends(&self) -> bool {
        self.pass_ends()
    }
    fn hides_history(&self) -> bool {
        self.hides_history()
    }
    fn button_on_table(&self) -> bool {
        self.button_on_table()
    }
}

/// The end of a line of play.
pub struct LineEnd<'a> {
    /// The game it began with.
    pub game: &'a Game,
    /// The line.
    pub branch: &'a Branch,
    /// What [`Branch::legal_points`] found superko to forbid.
    pub banned: PointSet,
}

impl Scene for LineEnd<'_> {
    fn rules(&self) -> &Rules {
        self.game.rules()
    }
    fn board(&self) -> &Board {
        self.branch.board()
    }
    fn board_before(&self, n: usize) -> Board {
        self.branch.board_before(self.game, n)
    }
    fn position_before(&self, n: usize) -> (u64, Option<Point>) {
        self.branch.position_before(self.game, n)
    }
    fn history(&self) -> heapless::Vec<Move, HISTORY_MAX> {
        self.branch.history().iter().copied().collect()
    }
    fn to_move(&self) -> Color {
        self.branch.to_move()
    }
    fn banned(&self) -> PointSet {
        self.banned
    }
    fn self_komi(&self) -> f32 {
        self.branch.self_komi(self.game)
    }
    fn pass_ends(&self) -> bool {
        self.branch.pass_ends(self.game)
    }
    fn hides_history(&self) -> bool {
        self.branch.hides_history(self.game)
    }
    fn button_on_table(&self) -> bool {
        self.branch.button_on_table()
    }
}

/// Encodes positions; keeps the ladders of the last few boards, which the next position shows again.
#[derive(Default)]
pub struct Encoder {
    reader: LadderReader,
    kept: heapless::Deque<(u64, Ladders), LADDERS_KEPT>,
}

impl Encoder {
    /// Fills `row` with a position, from the view of the player to move.
    /// The row's array must hold the board.
    pub fn encode(&mut self, scene: &impl Scene, row: &mut PackedRow) {
        let size = scene.board().size();
        assert!(size.len_max() <= row.len(), "the array holds the board");
        row.clear();
        row.set_size(size.w(), size.h());
        let n_history = if scene.hides_history() { 0 } else { HISTORY_MAX };
        set_plane(row, plane::OWN, scene.board().stones(scene.to_move()), scene);
        set_plane(row, plane::OPP, scene.board().stones(scene.to_move().opponent()), scene);
        encode_ko(scene, row);
        encode_moves(scene, n_history, row);
        self.encode_chains(scene, n_history, row);
        encode_area(scene, row);
        encode_numbers(scene, row);
    }

    fn encode_chains(&mut self, scene: &impl Scene, n_history: usize, row: &mut PackedRow) {
        let now = *self.ladders(scene, 0);
        let [one, two, three] = now.short;
        set_plane(row, plane::LIBERTIES_LOW, &(one | three), scene);
        set_plane(row, plane::LIBERTIES_HIGH, &(two | three), scene);
        let working = now.working[scene.to_move().opponent().index()];
        set_plane(row, plane::LADDER, &(now.laddered | working), scene);
        for (back, plane) in [(1, plane::LADDER_PREV), (2, plane::LADDER_PREV2)] {
            let ladders = self.ladders(scene, back.min(n_history));
            set_plane(row, plane, &ladders.laddered, scene);
        }
    }

    /// The ladders `back` moves ago, 0 to 2.
    fn ladders(&mut self, scene: &impl Scene, back: usize) -> &Ladders {
        // The stones, the board's size and the ko ban are all that ladders depend on.
        let (hash, ko) = scene.position_before(back);
        let ko = ko.map_or(0, |p| 1 + p.index(BOARD_LEN_MAX) as u64);
        let key = mix(hash ^ mix(ko << 16 | (scene.board().size().w() << 8 | scene.board().size().h()) as u64));
        if let Some(i) = self.kept.iter().position(|(k, _)| *k == key) {
            return &self.kept.iter().nth(i).expect("found there").1;
        }
        let ladders = match back {
            0 => self.reader.read(scene.board()),
            _ => self.reader.read(&scene.board_before(back)),
        };
        if self.kept.is_full() {
            self.kept.pop_front();
        }
        self.kept.push_back((key, ladders)).expect("one was taken out when full");
        &self.kept.back().expect("just put there").1
    }
}

/// Writes a set of points as a plane of the row.
fn set_plane(row: &mut PackedRow, plane: usize, points: &PointSet, scene: &impl Scene) {
    // A row begins with empty planes.
    if !points.is_empty() {
        let len = row.len();
        row.set_plane(plane, PointSet::ROWS_AT_ONCE * len, points.rows(scene.board().size().h(), len));
    }
}

fn encode_ko(scene: &impl Scene, row: &mut PackedRow) {
    let ko: PointSet = scene.board().ko().into_iter().collect();
    set_plane(row, plane::KO, &(scene.banned() | ko), scene);
}

fn encode_moves(scene: &impl Scene, n_history: usize, row: &mut PackedRow) {
    let len = row.len();
    let mut moves = scene.history().into_iter().take(n_history);
    for back in 0..HISTORY_MAX {
        row.set_move(
            back,
            match moves.next() {
                None => MOVE_NONE,
                Some(Move::Pass) => MOVE_PASS,
                Some(Move::Play(p)) => p.index(len) as u16,
            },
        );
    }
}

fn encode_area(scene: &impl Scene, row: &mut PackedRow) {
    let rules = scene.rules();
    if rules.scoring == Scoring::Territory {
        return;
    }
    let owners = match rules.tax {
        Tax::None => area(scene.board(), rules.suicide),
        Tax::Seki | Tax::All => taxed_area(scene.board(), rules.suicide),
    };
    set_plane(row, plane::AREA_OWN, owners.of(scene.to_move()), scene);
    set_plane(row, plane::AREA_OPP, owners.of(scene.to_move().opponent()), scene);
}

fn encode_numbers(scene: &impl Scene, row: &mut PackedRow) {
    let n_points = scene.board().size().n_points();
    let clip = n_points as f32 + KOMI_CLIP_EXTRA;
    let komi = scene.self_komi().clamp(-clip, clip);
    let wave = match scene.rules().scoring {
        Scoring::Area => parity_wave(komi, n_points),
        Scoring::Territory => 0.0,
    };
    row.set_numbers(komi / 20.0, wave, 0.0);
    row.set_flags(flags(scene, scene.rules()));
}

fn flags(scene: &impl Scene, rules: &Rules) -> u32 {
    let pass_ends = scene.pass_ends() && !scene.hides_history();
    [
        (rules.ko == Ko::Positional, flag::KO_POSITIONAL),
        (rules.ko == Ko::Situational, flag::KO_SITUATIONAL),
        (rules.suicide != Suicide::Forbidden, flag::SUICIDE),
        (rules.scoring == Scoring::Territory, flag::TERRITORY),
        (rules.tax != Tax::None, flag::TAX_SEKI_OR_ALL),
        (rules.tax == Tax::All, flag::TAX_ALL),
        (pass_ends, flag::PASS_ENDS_PHASE),
        (scene.button_on_table(), flag::BUTTON),
    ]
    .into_iter()
    .filter(|(on, _)| *on)
    .fold(0, |bits, (_, bit)| bits | bit)
}

/// How near the next attainable area score is: a triangle wave in komi with the parity of the board (global 18).
fn parity_wave(komi: f32, n_points: usize) -> f32 {
    let parity = (n_points % 2) as f32;
    let floor = ((komi - parity) / 2.0).floor() * 2.0 + parity;
    let delta = komi - floor;
    if delta < 0.5 {
        delta
    } else if delta < 1.5 {
        1.0 - delta
    } else {
        delta - 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::{below, rng};
    use crate::go::Size;
    use rand::Rng as _;

    #[test]
    fn a_line_is_shown_as_the_game_that_played_it() {
        let mut draw = rng(3, 0);
        for name in Rules::NAMES {
            let mut game = Game::new(Size::square(5).unwrap(), Rules::named(name).unwrap(), 6.5);
            let mut random = |game: &Game| {
                let mut moves: Vec<Move> =
                    game.size().points().map(Move::Play).filter(|&m| game.is_legal(game.to_move(), m).is_ok()).collect();
                moves.push(Move::Pass);
                moves[below(draw.next_u64(), moves.len())]
            };
            for n_line in [0, 1, 2, 3, 7, 20] {
                let (mut line, mut end) = (Vec::new(), game.clone());
                for _ in 0..n_line {
                    let mv = random(&end);
                    line.push(mv);
                    end.play(end.to_move(), mv).unwrap();
                }
                let mut branch = Branch::new(&game);
                branch.play_line(&game, &line);
                let (_, banned) = branch.legal_points(&game);
                let (mut of_game, mut of_branch) = (PackedRow::new(5), PackedRow::new(5));
                Encoder::default().encode(&end, &mut of_game);
                Encoder::default().encode(&LineEnd { game: &game, branch: &branch, banned }, &mut of_branch);
                assert_eq!(of_game.bytes(), of_branch.bytes(), "{name}, {n_line} moves");
                let mv = random(&game);
                game.play(game.to_move(), mv).unwrap();
            }
        }
    }

    #[test]
    fn parity_wave_by_komi() {
        for (komi, n_points, expected) in [
            (0.5, 81, -0.5),
            (2.5, 81, -0.5),
            (6.0, 81, 0.0),
            (7.5, 81, 0.5),
            (0.5, 100, 0.5),
            (5.5, 100, -0.5),
            (-7.5, 361, -0.5),
        ] {
            assert_eq!(parity_wave(komi, n_points), expected, "komi {komi} on {n_points} points");
        }
    }
}
