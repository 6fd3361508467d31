//! From a game to a packed row. The facts follow KataGo's input version 7 (nets of model version 8 and later).

use crate::base::limits::BOARD_LEN_MAX;
use crate::base::rng::mix;
use crate::compute::packed::{MOVE_NONE, MOVE_PASS, PackedRow, flag, plane};
use crate::go::game::HISTORY_MAX;
use crate::go::ladder::{LadderReader, Ladders};
use crate::go::rules::{Ko, Scoring, Suicide, Tax};
use crate::go::score::{area, taxed_area};
use crate::go::{Game, Move, PointSet, Rules};

/// Komi is clipped to the number of points plus this.
const KOMI_CLIP_EXTRA: f32 = 20.0;
/// Ladder readings kept: the positions of the last two moves serve the next one.
const LADDERS_KEPT: usize = 4;

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
        let size = game.size();
        assert!(size.len_max() <= row.len(), "the array holds the board");
        row.clear();
        row.set_size(size.w(), size.h());
        let n_history = if game.hides_history() { 0 } else { HISTORY_MAX };
        set_plane(row, plane::OWN, game.board().stones(game.to_move()), game);
        set_plane(row, plane::OPP, game.board().stones(game.to_move().opponent()), game);
        encode_ko(game, row);
        encode_moves(game, n_history, row);
        self.encode_chains(game, n_history, row);
        encode_area(game, row);
        encode_numbers(game, row);
    }

    fn encode_chains(&mut self, game: &Game, n_history: usize, row: &mut PackedRow) {
        let now = *self.ladders(game, 0);
        let [one, two, three] = now.short;
        set_plane(row, plane::LIBERTIES_LOW, &(one | three), game);
        set_plane(row, plane::LIBERTIES_HIGH, &(two | three), game);
        let working = now.working[game.to_move().opponent().index()];
        set_plane(row, plane::LADDER, &(now.laddered | working), game);
        for (back, plane) in [(1, plane::LADDER_PREV), (2, plane::LADDER_PREV2)] {
            let ladders = self.ladders(game, back.min(n_history));
            set_plane(row, plane, &ladders.laddered, game);
        }
    }

    /// The ladders `back` moves ago, 0 to 2.
    fn ladders(&mut self, game: &Game, back: usize) -> &Ladders {
        // The stones, the board's size and the ko ban are all that ladders depend on.
        let (hash, ko) = game.position_before(back);
        let ko = ko.map_or(0, |p| 1 + p.index(BOARD_LEN_MAX) as u64);
        let key = mix(hash ^ mix(ko << 16 | (game.size().w() << 8 | game.size().h()) as u64));
        if let Some(i) = self.kept.iter().position(|(k, _)| *k == key) {
            return &self.kept.iter().nth(i).expect("found there").1;
        }
        let ladders = match back {
            0 => self.reader.read(game.board()),
            _ => self.reader.read(&game.board_before(back)),
        };
        if self.kept.is_full() {
            self.kept.pop_front();
        }
        self.kept.push_back((key, ladders)).expect("one was taken out when full");
        &self.kept.back().expect("just put there").1
    }
}

/// Writes a set of points as a plane of the row.
fn set_plane(row: &mut PackedRow, plane: usize, points: &PointSet, game: &Game) {
    // A row begins with empty planes.
    if !points.is_empty() {
        let len = row.len();
        row.set_plane(plane, PointSet::ROWS_AT_ONCE * len, points.rows(game.size().h(), len));
    }
}

fn encode_ko(game: &Game, row: &mut PackedRow) {
    let ko: PointSet = game.board().ko().into_iter().collect();
    set_plane(row, plane::KO, &(game.superko_points(game.to_move()) | ko), game);
}

fn encode_moves(game: &Game, n_history: usize, row: &mut PackedRow) {
    let len = row.len();
    let mut moves = game.history().take(n_history);
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

fn encode_area(game: &Game, row: &mut PackedRow) {
    let rules = game.rules();
    if rules.scoring == Scoring::Territory {
        return;
    }
    let owners = match rules.tax {
        Tax::None => area(game.board(), rules.suicide),
        Tax::Seki | Tax::All => taxed_area(game.board(), rules.suicide),
    };
    set_plane(row, plane::AREA_OWN, owners.of(game.to_move()), game);
    set_plane(row, plane::AREA_OPP, owners.of(game.to_move().opponent()), game);
}

fn encode_numbers(game: &Game, row: &mut PackedRow) {
    let n_points = game.size().n_points();
    let clip = n_points as f32 + KOMI_CLIP_EXTRA;
    let komi = game.self_komi().clamp(-clip, clip);
    let wave = match game.rules().scoring {
        Scoring::Area => parity_wave(komi, n_points),
        Scoring::Territory => 0.0,
    };
    row.set_numbers(komi / 20.0, wave, 0.0);
    row.set_flags(flags(game, game.rules()));
}

fn flags(game: &Game, rules: &Rules) -> u32 {
    let pass_ends = game.pass_ends() && !game.hides_history();
    [
        (rules.ko == Ko::Positional, flag::KO_POSITIONAL),
        (rules.ko == Ko::Situational, flag::KO_SITUATIONAL),
        (rules.suicide != Suicide::Forbidden, flag::SUICIDE),
        (rules.scoring == Scoring::Territory, flag::TERRITORY),
        (rules.tax != Tax::None, flag::TAX_SEKI_OR_ALL),
        (rules.tax == Tax::All, flag::TAX_ALL),
        (pass_ends, flag::PASS_ENDS_PHASE),
        (game.button_on_table(), flag::BUTTON),
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
