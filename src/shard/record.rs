//! One training position: its input row and what is known about its outcome.

use super::layout::{REPLY_NONE, TARGET_BYTES, f32_at, known, stride, u16_at, u32_at};
use crate::base::limits::GAME_MOVES_MAX;
use crate::base::symmetry::Symmetry;
use crate::compute::packed::{self, HEADER_BYTES, N_PACKED_PLANES, plane, plane_words, row_bytes};
use crate::go::{Color, Size};

/// How a game ended for the player to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// The player to move won.
    Win = 0,
    /// The player to move lost.
    Loss = 1,
    /// Equal scores.
    Draw = 2,
    /// Voided, as by triple ko under Japanese rules.
    NoResult = 3,
}

impl Outcome {
    /// Target probabilities of win, loss and no result.
    pub fn probabilities(self) -> [f32; 3] {
        match self {
            Outcome::Win => [1.0, 0.0, 0.0],
            Outcome::Loss => [0.0, 1.0, 0.0],
            Outcome::Draw => [0.5, 0.5, 0.0],
            Outcome::NoResult => [0.0, 0.0, 1.0],
        }
    }

    fn from_byte(byte: u8) -> Option<Outcome> {
        [Outcome::Win, Outcome::Loss, Outcome::Draw, Outcome::NoResult].get(usize::from(byte)).copied()
    }
}

/// What a game record tells about one position, from the view of the player to move.
#[derive(Clone, Debug, PartialEq)]
pub struct Target<'a> {
    /// Moves played before this position.
    pub ply: u16,
    /// Moves from here to the end of the game.
    pub plies_left: u16,
    /// Player to move.
    pub to_move: Color,
    /// Policy index of the move played; `len * len` is a pass.
    pub policy: u16,
    /// Policy index of the move after it.
    pub reply: Option<u16>,
    /// How the game ended.
    pub value: Option<Outcome>,
    /// Final points of the player to move minus the opponent's, komi included.
    pub score: Option<f32>,
    /// Final area: planes of the player to move and the opponent, [`plane_words`] words each; disjoint.
    pub ownership: Option<[&'a [u32]; 2]>,
    /// 1 is one ordinary position.
    pub weight: f32,
}

/// Appends the record of `row` (packed, of an array of `len * len` cells) and `target`. The game number is left 0:
/// the writer of the file knows it.
pub fn append_record(out: &mut Vec<u8>, row: &[u8], len: usize, target: &Target) {
    assert_eq!(row.len(), row_bytes(len), "a packed row of this length");
    let mut flags = known::POLICY;
    flags |= if target.value.is_some() { known::VALUE } else { 0 };
    flags |= if target.score.is_some() { known::SCORE } else { 0 };
    flags |= if target.ownership.is_some() { known::OWNERSHIP } else { 0 };
    let mut head = [0; TARGET_BYTES];
    head[4..6].copy_from_slice(&target.ply.to_le_bytes());
    head[6..8].copy_from_slice(&target.policy.to_le_bytes());
    head[8..10].copy_from_slice(&flags.to_le_bytes());
    head[10] = target.value.map_or(0, |v| v as u8);
    head[11] = target.to_move.index() as u8;
    head[12..16].copy_from_slice(&target.score.unwrap_or(0.0).to_le_bytes());
    head[16..20].copy_from_slice(&target.weight.to_le_bytes());
    head[20..22].copy_from_slice(&target.reply.unwrap_or(REPLY_NONE).to_le_bytes());
    head[22..24].copy_from_slice(&target.plies_left.to_le_bytes());
    out.extend_from_slice(row);
    out.extend_from_slice(&head);
    match target.ownership {
        Some(planes) => {
            for plane in planes {
                assert_eq!(plane.len(), plane_words(len), "an ownership plane of this length");
                plane.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
            }
        }
        None => out.resize(out.len() + 2 * plane_words(len) * 4, 0),
    }
}

/// How a game ended for one of the players.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ending<'a> {
    /// Who won.
    pub value: Option<Outcome>,
    /// Final points of the player minus the opponent's, komi included.
    pub score: Option<f32>,
    /// Final area: planes of the player and the opponent, [`plane_words`] words each; disjoint.
    pub ownership: Option<[&'a [u32]; 2]>,
}

/// States the ending in records that were appended without one, since it is known only after the last move.
/// `endings`: Black's and White's.
pub fn set_ending(records: &mut [u8], len: usize, endings: [Ending<'_>; 2]) {
    for record in records.chunks_exact_mut(stride(len)) {
        let (head, planes) = record[row_bytes(len)..].split_at_mut(TARGET_BYTES);
        let ending = &endings[usize::from(head[11])];
        let mut flags = u16_at(head, 8) & !(known::VALUE | known::SCORE | known::OWNERSHIP);
        flags |= if ending.value.is_some() { known::VALUE } else { 0 };
        flags |= if ending.score.is_some() { known::SCORE } else { 0 };
        flags |= if ending.ownership.is_some() { known::OWNERSHIP } else { 0 };
        head[8..10].copy_from_slice(&flags.to_le_bytes());
        head[10] = ending.value.map_or(0, |v| v as u8);
        head[12..16].copy_from_slice(&ending.score.unwrap_or(0.0).to_le_bytes());
        if let Some(ownership) = ending.ownership {
            let words = ownership.into_iter().flatten();
            planes.chunks_exact_mut(4).zip(words).for_each(|(to, word)| to.copy_from_slice(&word.to_le_bytes()));
        }
    }
}

/// A record in the map.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    bytes: &'a [u8],
    len: usize,
}

impl<'a> Record<'a> {
    /// `bytes`: one record of an array of `len * len` cells.
    pub(super) fn new(bytes: &'a [u8], len: usize) -> Record<'a> {
        assert_eq!(bytes.len(), stride(len), "one record");
        Record { bytes, len }
    }

    /// The packed input row, [`row_bytes`]`(len)` bytes.
    pub fn row(&self) -> &'a [u8] {
        &self.bytes[..row_bytes(self.len)]
    }

    /// Side of the square array.
    #[expect(clippy::len_without_is_empty, reason = "a side length, not a count")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The board, in the top left corner of the array.
    pub fn size(&self) -> Size {
        Size::new(self.bytes[0].into(), self.bytes[1].into()).expect("checked when the record was fetched")
    }

    /// The last moves as the row shows them, latest first: cells, [`packed::MOVE_PASS`] or [`packed::MOVE_NONE`].
    pub fn history(&self) -> [u16; 5] {
        std::array::from_fn(|i| u16_at(self.bytes, 8 + 2 * i))
    }

    /// Row of the shard's game table.
    pub fn game(&self) -> u32 {
        u32_at(self.target(), 0)
    }

    /// Moves played before this position.
    pub fn ply(&self) -> usize {
        u16_at(self.target(), 4).into()
    }

    /// Moves from here to the end of the game.
    pub fn plies_left(&self) -> usize {
        u16_at(self.target(), 22).into()
    }

    /// Player to move.
    pub fn to_move(&self) -> Color {
        if self.target()[11] == 0 { Color::Black } else { Color::White }
    }

    /// Index of the move played: `y * len + x`, or `len * len` for a pass.
    pub fn policy(&self) -> usize {
        u16_at(self.target(), 6).into()
    }

    /// [`Record::policy`] on the board moved by `symmetry`, in the same array.
    pub fn policy_moved(&self, symmetry: Symmetry) -> usize {
        match self.policy() {
            pass if pass == self.len * self.len => pass,
            point_idx => self.moved(point_idx, symmetry),
        }
    }

    /// Index of the move after it, if there was one.
    pub fn reply(&self) -> Option<usize> {
        let reply = u16_at(self.target(), 20);
        (reply != REPLY_NONE).then_some(reply.into())
    }

    /// How the game ended for the player to move, if the record of the game tells.
    pub fn outcome(&self) -> Option<Outcome> {
        self.knows(known::VALUE).then(|| Outcome::from_byte(self.target()[10]).expect("checked when fetched"))
    }

    /// Probabilities of win, loss and no result for the player to move, if known.
    pub fn value(&self) -> Option<[f32; 3]> {
        self.outcome().map(Outcome::probabilities)
    }

    /// Points of the player to move minus the opponent's, komi included, if known.
    pub fn score(&self) -> Option<f32> {
        self.knows(known::SCORE).then(|| f32_at(self.target(), 12))
    }

    /// 1 is one ordinary position.
    pub fn weight(&self) -> f32 {
        f32_at(self.target(), 16)
    }

    /// Whether final ownership is known.
    pub fn ownership_known(&self) -> bool {
        self.knows(known::OWNERSHIP)
    }

    /// Final owner of cell `point_idx`: 1 the player to move, -1 the opponent, 0 nobody or unknown.
    pub fn ownership(&self, point_idx: usize) -> f32 {
        let [own, opp] = self.ownership_planes();
        bit(own, point_idx) as i8 as f32 - bit(opp, point_idx) as i8 as f32
    }

    /// Final owners on the board moved by `symmetry`: `out` `[len, len]`, 1 the player to move, -1 the opponent,
    /// 0 nobody or unknown. All of it is written.
    pub fn ownership_moved(&self, symmetry: Symmetry, out: &mut [f32]) {
        assert_eq!(out.len(), self.len * self.len, "a whole array");
        out.fill(0.0);
        if self.ownership_known() {
            for p in self.size().points() {
                let point_idx = p.index(self.len);
                out[self.moved(point_idx, symmetry)] = self.ownership(point_idx);
            }
        }
    }

    /// Bit planes of the final owner, player to move and opponent: cell `i` is bit `i % 8` of byte `i / 8`.
    pub fn ownership_planes(&self) -> [&'a [u8]; 2] {
        let plane_bytes = plane_words(self.len) * 4;
        let planes = &self.bytes[row_bytes(self.len) + TARGET_BYTES..];
        [&planes[..plane_bytes], &planes[plane_bytes..]]
    }

    /// A bit plane of the input row, see [`plane`].
    pub fn plane(&self, plane_idx: usize) -> &'a [u8] {
        let plane_bytes = plane_words(self.len) * 4;
        &self.bytes[HEADER_BYTES + plane_idx * plane_bytes..][..plane_bytes]
    }

    fn moved(&self, point_idx: usize, symmetry: Symmetry) -> usize {
        let size = self.size();
        let (x, y) = symmetry.apply((point_idx % self.len, point_idx / self.len), (size.w(), size.h()));
        y * self.len + x
    }

    fn knows(&self, bit: u16) -> bool {
        u16_at(self.target(), 8) & bit != 0
    }

    fn target(&self) -> &'a [u8] {
        &self.bytes[row_bytes(self.len)..][..TARGET_BYTES]
    }

    /// Numbers that others use as an index or a variant; cheap enough for every fetch.
    pub(super) fn check_numbers(&self) -> Result<(), Fault> {
        let target_at = row_bytes(self.len);
        let (w, h) = (usize::from(self.bytes[0]), usize::from(self.bytes[1]));
        if Size::new(w, h).is_none_or(|size| size.len_max() != self.len) {
            return Err(Fault::new(0, format!("board {w}x{h}, expected a longer side of {}", self.len)));
        }
        for (i, mv) in self.history().into_iter().enumerate() {
            if !matches!(mv, packed::MOVE_NONE | packed::MOVE_PASS) && !self.on_board(mv.into()) {
                return Err(Fault::new(8 + 2 * i, format!("past move {mv} is not on the {w}x{h} board")));
            }
        }
        let on_board = |idx: usize| idx == self.len * self.len || self.on_board(idx);
        if !on_board(self.policy()) {
            return Err(Fault::new(target_at + 6, format!("policy {} is not on the {w}x{h} board", self.policy())));
        }
        if self.reply().is_some_and(|reply| !on_board(reply)) {
            return Err(Fault::new(target_at + 20, format!("reply is not on the {w}x{h} board")));
        }
        let flags = u16_at(self.target(), 8);
        if flags & !known::ALL != 0 || flags & known::POLICY == 0 {
            return Err(Fault::new(target_at + 8, format!("flags {flags:04x}")));
        }
        if Outcome::from_byte(self.target()[10]).is_none() || self.target()[11] > 1 {
            return Err(Fault::new(target_at + 10, "value or player to move out of range"));
        }
        if !(0.0..=1e6).contains(&self.weight()) || f32_at(self.target(), 12).abs().is_nan() {
            return Err(Fault::new(target_at + 12, "score or weight out of range"));
        }
        Ok(())
    }

    /// Everything that holds for a record.
    pub(super) fn check(&self) -> Result<(), Fault> {
        self.check_numbers()?;
        self.check_row()?;
        let target_at = row_bytes(self.len);
        if self.ply() + self.plies_left() > GAME_MOVES_MAX || self.plies_left() == 0 {
            return Err(Fault::new(target_at + 4, "ply or plies left out of range"));
        }
        if f32_at(self.target(), 12).abs() > 1e4 || self.target()[24..].iter().any(|&b| b != 0) {
            return Err(Fault::new(target_at + 12, "score out of range or unused bytes in use"));
        }
        if self.policy() < self.len * self.len {
            let taken = bit(self.plane(plane::OWN), self.policy()) || bit(self.plane(plane::OPP), self.policy());
            if taken {
                return Err(Fault::new(target_at + 6, "policy is on a stone"));
            }
        }
        let at = target_at + TARGET_BYTES;
        let [own, opp] = self.ownership_planes();
        self.check_pair(own, opp, at, "ownership")?;
        if !self.ownership_known() && own.iter().chain(opp).any(|&b| b != 0) {
            return Err(Fault::new(at, "ownership marked unknown has points"));
        }
        Ok(())
    }

    fn check_row(&self) -> Result<(), Fault> {
        if u16_at(self.bytes, 2) != 0 || u16_at(self.bytes, 18) != 0 {
            return Err(Fault::new(2, "unused bytes of the row are in use"));
        }
        if (20..32).step_by(4).any(|at| !f32_at(self.bytes, at).is_finite()) {
            return Err(Fault::new(20, "a global is not a finite number"));
        }
        let plane_bytes = plane_words(self.len) * 4;
        for idx in 0..N_PACKED_PLANES {
            self.check_on_board(self.plane(idx), HEADER_BYTES + idx * plane_bytes, "a plane")?;
        }
        let pairs = [(plane::OWN, plane::OPP, "stones"), (plane::AREA_OWN, plane::AREA_OPP, "area")];
        for (a, b, what) in pairs {
            self.check_pair(self.plane(a), self.plane(b), HEADER_BYTES + a * plane_bytes, what)?;
        }
        Ok(())
    }

    fn on_board(&self, point_idx: usize) -> bool {
        let (w, h) = (usize::from(self.bytes[0]), usize::from(self.bytes[1]));
        point_idx % self.len < w && point_idx / self.len < h
    }

    /// Two planes of the board without a common point; `at`: where the first starts in the record.
    fn check_pair(&self, a: &[u8], b: &[u8], at: usize, what: &str) -> Result<(), Fault> {
        self.check_on_board(a, at, what)?;
        self.check_on_board(b, at + a.len(), what)?;
        match a.iter().zip(b).position(|(a, b)| a & b != 0) {
            Some(i) => Err(Fault::new(at + i, format!("{what} of both players on one point"))),
            None => Ok(()),
        }
    }

    fn check_on_board(&self, plane: &[u8], at: usize, what: &str) -> Result<(), Fault> {
        for (i, &byte) in plane.iter().enumerate().filter(|(_, byte)| **byte != 0) {
            let outside = (0..8).any(|j| byte >> j & 1 != 0 && !self.on_board(i * 8 + j));
            if outside {
                return Err(Fault::new(at + i, format!("{what} has a point outside the board")));
            }
        }
        Ok(())
    }
}

/// Whether cell `point_idx` is set in a bit plane given as little-endian bytes.
pub(super) fn bit(plane: &[u8], point_idx: usize) -> bool {
    plane[point_idx / 8] >> (point_idx % 8) & 1 != 0
}

/// What is wrong in a record, and at which of its bytes.
pub(super) struct Fault {
    pub at: usize,
    pub what: String,
}

impl Fault {
    fn new(at: usize, what: impl Into<String>) -> Fault {
        Fault { at, what: what.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::packed::{N_GLOBALS, N_PLANES, PackedRow, unpack};

    #[test]
    fn targets_move_with_the_planes() {
        // A board wider than high, the policy on the last move's point and the area where the stones are.
        let (len, size) = (7, Size::new(7, 5).unwrap());
        let (own_cell, opp_cell) = (3 * len + 6, 2);
        assert!(own_cell < 32);
        let mut row = PackedRow::new(len);
        row.set_size(size.w(), size.h());
        row.set_bit(plane::OWN, own_cell);
        row.set_bit(plane::OPP, opp_cell);
        for back in 0..5 {
            row.set_move(back, if back == 0 { own_cell as u16 } else { packed::MOVE_NONE });
        }
        let word = |cell: usize| [1u32 << cell, 0];
        let (own, opp) = (word(own_cell), word(opp_cell));
        let target = Target {
            ply: 1,
            plies_left: 1,
            to_move: Color::White,
            policy: own_cell as u16,
            reply: None,
            value: None,
            score: None,
            ownership: Some([&own, &opp]),
            weight: 1.0,
        };
        let mut bytes = Vec::new();
        append_record(&mut bytes, row.bytes(), len, &target);
        let record = Record::new(&bytes, len);
        let (mut planes, mut globals) = (vec![0.0; len * len * N_PLANES], vec![0.0; N_GLOBALS]);
        let mut areas = vec![0.0; len * len];
        for symmetry in Symmetry::all() {
            unpack(record.row(), len, symmetry.number(), &mut planes, &mut globals);
            record.ownership_moved(symmetry, &mut areas);
            for (cell, plane) in planes.chunks_exact(N_PLANES).enumerate() {
                assert_eq!(areas[cell], plane[1] - plane[2], "{symmetry:?} cell {cell}");
                assert_eq!(cell == record.policy_moved(symmetry), plane[9] == 1.0, "{symmetry:?} cell {cell}");
            }
        }
    }
}
