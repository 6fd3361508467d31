//! From a game to a packed row. The facts follow KataGo's input version 7 (nets of model version 8 and later).

use crate::base::limits::BOARD_LEN_MAX;
use crate::base::rng::mix;
use crate::compute::packed::{MOVE_NONE, MOVE_PASS, PackedRow, flag, plane};
use crate::go::game::HISTORY_MAX;
use crate::go::ladder::{LadderReader, Ladders};
use crate::go::rules::{Ko, Scoring, Suicide, Tax};
use crate::go::score::{area, taxed_area};
use crate::go::{Board, Branch, Color, Game, Move, PointSet, Rules, Size};

/// Komi is clipped to the number of points plus this.
const KOMI_CLIP_EXTRA: f32 = 20.0;
/// Ladder readings kept: the positions of the last two moves serve the next one.
const LADDERS_KEPT: usize = 4;

/// All that a network sees of a position.
pub struct Scene<'a> {
    /// The rules played.
    pub rules: &'a Rules,
    /// The position now, one move ago and two moves ago, as far back as it may be shown.
    pub boards: [&'a Board; 3],
    /// The last moves, latest first, as far back as they may be shown.
    pub history: &'a [Move],
    /// Whose turn it is.
    pub to_move: Color,
    /// Where superko forbids to play.
    pub banned: PointSet,
    /// Komi for the player to move, in points.
    pub self_komi: f32,
    /// Whether a pass would end the game, as far as that may be shown.
    pub pass_ends: bool,
    /// Whether the button is on the table.
    pub button_on_table: bool,
}

/// Encodes positions; keeps the ladders of the last few boards, which the next position shows again.
#[derive(Default)]
pub struct Encoder {
    reader: LadderReader,
    kept: heapless::Deque<(u64, Ladders), LADDERS_KEPT>,
}

impl Encoder {
    /// Fills `row` with the present position of `game`, from the view of the player to move.
    /// The row's array must hold the board.
    pub fn encode(&mut self, game: &Game, row: &mut PackedRow) {
        let is_hidden = game.hides_history();
        let shown = if is_hidden { 0 } else { HISTORY_MAX };
        let history: heapless::Vec<Move, HISTORY_MAX> = game.history().take(shown).collect();
        let scene = Scene {
            rules: game.rules(),
            boards: [0, 1, 2].map(|back| game.board_before(back.min(shown))),
            history: &history,
            to_move: game.to_move(),
            banned: game.superko_points(game.to_move()),
            self_komi: game.self_komi(),
            pass_ends: game.pass_ends() && !is_hidden,
            button_on_table: game.button_on_table(),
        };
        self.encode_scene(&scene, row);
    }

    /// [`Encoder::encode`] for the end of a line of play; `banned` is what superko forbids there.
    pub fn encode_branch(&mut self, game: &Game, branch: &Branch, banned: PointSet, row: &mut PackedRow) {
        let is_hidden = branch.hides_history(game);
        let shown = if is_hidden { 0 } else { HISTORY_MAX };
        let scene = Scene {
            rules: game.rules(),
            boards: [0, 1, 2].map(|back| branch.board_before(game, back.min(shown))),
            history: if is_hidden { &[] } else { branch.history() },
            to_move: branch.to_move(),
            banned,
            self_komi: branch.self_komi(game),
            pass_ends: branch.pass_ends(game) && !is_hidden,
            button_on_table: branch.button_on_table(),
        };
        self.encode_scene(&scene, row);
    }

    /// Fills `row` with what a network sees.
    pub fn encode_scene(&mut self, scene: &Scene<'_>, row: &mut PackedRow) {
        let size = scene.boards[0].size();
        assert!(size.len_max() <= row.len(), "the array holds the board");
        row.clear();
        row.set_size(size.w(), size.h());
        encode_stones(scene, row);
        let ko: PointSet = scene.boards[0].ko().into_iter().collect();
        set_plane(row, plane::KO, &(scene.banned | ko), size);
        encode_moves(scene, row);
        self.encode_ladders(scene, row);
        encode_area(scene, row);
        encode_numbers(scene, row);
    }

    fn encode_ladders(&mut self, scene: &Scene<'_>, row: &mut PackedRow) {
        let size = scene.boards[0].size();
        let now = self.ladders(scene.boards[0]);
        let working = now.working[scene.to_move.opponent().index()];
        set_plane(row, plane::LADDER, &(now.laddered | working), size);
        for (board, plane) in [(scene.boards[1], plane::LADDER_PREV), (scene.boards[2], plane::LADDER_PREV2)] {
            let ladders = self.ladders(board);
            set_plane(row, plane, &ladders.laddered, size);
        }
    }

    fn ladders(&mut self, board: &Board) -> Ladders {
        // The stones, the board's size and the ko ban are all that ladders depend on.
        let ko = board.ko().map_or(0, |p| 1 + p.index(BOARD_LEN_MAX) as u64);
        let key = mix(board.hash() ^ mix(ko << 16 | (board.size().w() << 8 | board.size().h()) as u64));
        if let Some((_, ladders)) = self.kept.iter().find(|(k, _)| *k == key) {
            return *ladders;
        }
        let ladders = self.reader.read(board);
        if self.kept.is_full() {
            self.kept.pop_front();
        }
        self.kept.push_back((key, ladders)).expect("one was taken out when full");
        ladders
    }
}

/// Writes a set of points as a plane of the row.
fn set_plane(row: &mut PackedRow, plane: usize, points: &PointSet, size: Size) {
    for y in 0..size.h() {
        row.set_bits(plane, y, points.row(y));
    }
}

fn encode_stones(scene: &Scene<'_>, row: &mut PackedRow) {
    let board = scene.boards[0];
    let size = board.size();
    set_plane(row, plane::OWN, board.stones(scene.to_move), size);
    set_plane(row, plane::OPP, board.stones(scene.to_move.opponent()), size);
    let (mut low, mut high) = (PointSet::default(), PointSet::default());
    for p in board.chains() {
        let class = Some(board.liberties(p)).filter(|n| *n <= 3).unwrap_or(0);
        if class == 0 {
            continue;
        }
        for s in board.chain(p) {
            if class & 1 != 0 {
                low.insert(s);
            }
            if class & 2 != 0 {
                high.insert(s);
            }
        }
    }
    set_plane(row, plane::LIBERTIES_LOW, &low, size);
    set_plane(row, plane::LIBERTIES_HIGH, &high, size);
}

fn encode_moves(scene: &Scene<'_>, row: &mut PackedRow) {
    let len = row.len();
    for back in 0..HISTORY_MAX {
        row.set_move(
            back,
            match scene.history.get(back) {
                None => MOVE_NONE,
                Some(Move::Pass) => MOVE_PASS,
                Some(Move::Play(p)) => p.index(len) as u16,
            },
        );
    }
}

fn encode_area(scene: &Scene<'_>, row: &mut PackedRow) {
    let (board, rules) = (scene.boards[0], scene.rules);
    if rules.scoring == Scoring::Territory {
        return;
    }
    let owners = match rules.tax {
        Tax::None => area(board, rules.suicide),
        Tax::Seki | Tax::All => taxed_area(board, rules.suicide),
    };
    set_plane(row, plane::AREA_OWN, owners.of(scene.to_move), board.size());
    set_plane(row, plane::AREA_OPP, owners.of(scene.to_move.opponent()), board.size());
}

fn encode_numbers(scene: &Scene<'_>, row: &mut PackedRow) {
    let n_points = scene.boards[0].size().n_points();
    let clip = n_points as f32 + KOMI_CLIP_EXTRA;
    let komi = scene.self_komi.clamp(-clip, clip);
    let wave = match scene.rules.scoring {
        Scoring::Area => parity_wave(komi, n_points),
        Scoring::Territory => 0.0,
    };
    row.set_numbers(komi / 20.0, wave, 0.0);
    row.set_flags(flags(scene));
}

fn flags(scene: &Scene<'_>) -> u32 {
    let rules = scene.rules;
    [
        (rules.ko == Ko::Positional, flag::KO_POSITIONAL),
        (rules.ko == Ko::Situational, flag::KO_SITUATIONAL),
        (rules.suicide != Suicide::Forbidden, flag::SUICIDE),
        (rules.scoring == Scoring::Territory, flag::TERRITORY),
        (rules.tax != Tax::None, flag::TAX_SEKI_OR_ALL),
        (rules.tax == Tax::All, flag::TAX_ALL),
        (scene.pass_ends, flag::PASS_ENDS_PHASE),
        (scene.button_on_table, flag::BUTTON),
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
                Encoder::default().encode_branch(&game, &branch, banned, &mut of_branch);
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
