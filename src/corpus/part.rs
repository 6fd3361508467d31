//! A group's part of the ledger, and the numbering that makes one ledger of all parts.
//!
//! Which line a game repeats is known only when all groups are: a part holds each line without it, after a head with the
//! identities that decide it. So a group that is kept is never read again, and the ledger still counts from 1.

use super::config::Duplicates;
use super::duplicate::{Identity, Seen};
use super::ledger::LedgerLine;
use crate::base::{Error, Result};
use crate::shard::{GameHash, LEDGER_NAME};
use std::io::{ErrorKind, Read};

/// Bytes before the text of a line: what it is, the length of the text, two identities.
const HEAD_BYTES: usize = 40;
/// Longest text of a line, in bytes: names and reasons are cut to much less.
pub(super) const TEXT_BYTES_MAX: usize = 1 << 16;

/// What the numbering needs to know of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Accepted; the first of its kind unless duplicates are kept.
    Accepted(Identity),
    /// Left out for an earlier game with this identity.
    Twin(GameHash),
    /// Nothing that others refer to.
    Other,
}

/// A line of a part, to be written or read.
#[derive(Default)]
pub(super) struct PartLine {
    bytes: Vec<u8>,
}

impl PartLine {
    /// Makes it this line.
    pub(super) fn set(&mut self, kind: Kind, line: &LedgerLine) -> Result<()> {
        let (code, game, opening) = match kind {
            Kind::Other => (0, None, None),
            Kind::Twin(game) => (1, Some(game), None),
            Kind::Accepted(Identity { game, opening: None }) => (2, Some(game), None),
            Kind::Accepted(Identity { game, opening }) => (3, Some(game), opening),
        };
        self.bytes.clear();
        self.bytes.resize(HEAD_BYTES, 0);
        self.bytes[0] = code;
        for (at, hash) in [(8, game), (24, opening)] {
            self.bytes[at..at + 16].copy_from_slice(&hash.unwrap_or(GameHash([0; 16])).0);
        }
        serde_json::to_writer(&mut self.bytes, line).map_err(|e| Error::new(LEDGER_NAME, e))?;
        self.bytes.push(b'\n');
        let len = (self.bytes.len() - HEAD_BYTES) as u32;
        self.bytes[4..8].copy_from_slice(&len.to_le_bytes());
        Ok(())
    }

    /// Head and text.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads the next line of a part; false at its end.
    pub(super) fn read(&mut self, from: &mut impl Read) -> std::io::Result<bool> {
        self.bytes.resize(HEAD_BYTES, 0);
        let mut n = 0;
        while n < HEAD_BYTES {
            match from.read(&mut self.bytes[n..HEAD_BYTES])? {
                0 if n == 0 => return Ok(false),
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                more => n += more,
            }
        }
        let len = u32::from_le_bytes([self.bytes[4], self.bytes[5], self.bytes[6], self.bytes[7]]) as usize;
        if !(3..=TEXT_BYTES_MAX).contains(&len) || self.bytes[0] > 3 {
            return Err(std::io::Error::new(ErrorKind::InvalidData, "not a part of our ledger"));
        }
        self.bytes.resize(HEAD_BYTES + len, 0);
        from.read_exact(&mut self.bytes[HEAD_BYTES..])?;
        Ok(true)
    }

    fn kind(&self) -> Kind {
        let hash = |at: usize| GameHash(std::array::from_fn(|i| self.bytes[at + i]));
        match self.bytes[0] {
            0 => Kind::Other,
            1 => Kind::Twin(hash(8)),
            2 => Kind::Accepted(Identity { game: hash(8), opening: None }),
            _ => Kind::Accepted(Identity { game: hash(8), opening: Some(hash(24)) }),
        }
    }
}

/// Gives lines their numbers, and tells which earlier line each repeats.
pub(super) struct Numbering {
    duplicates: Duplicates,
    seen: Seen,
    n_lines: u32,
    /// Accepted games that were there before: only where duplicates are kept.
    pub n_duplicate: u64,
    /// Accepted games with the opening of an earlier one.
    pub n_shared_opening: u64,
    text: Vec<u8>,
}

impl Numbering {
    pub(super) fn new(duplicates: Duplicates) -> Numbering {
        Numbering { duplicates, seen: Seen::default(), n_lines: 0, n_duplicate: 0, n_shared_opening: 0, text: Vec::new() }
    }

    /// The next line, complete, its end included.
    ///
    /// # Errors
    /// More lines than their numbers can tell.
    pub(super) fn number(&mut self, part: &PartLine) -> Result<&[u8]> {
        self.n_lines = self.n_lines.checked_add(1).ok_or_else(|| Error::new(LEDGER_NAME, "more than 4294967295 games"))?;
        let (mut twin, mut shared) = (None, None);
        match part.kind() {
            Kind::Other => {}
            Kind::Twin(game) => twin = self.seen.line(game),
            Kind::Accepted(Identity { game, opening }) => {
                twin = self.seen.note(game, self.n_lines);
                if twin.is_none() {
                    shared = opening.and_then(|opening| self.seen.note(opening, self.n_lines));
                }
                self.n_duplicate += u64::from(twin.is_some() && self.duplicates == Duplicates::Keep);
                self.n_shared_opening += u64::from(shared.is_some());
            }
        }
        self.text.clear();
        let text = &part.bytes[HEAD_BYTES..];
        // A line is an object, and ends like one: `}` and the line end.
        self.text.extend_from_slice(&text[..text.len() - 2]);
        for (key, line) in [("twin", twin), ("opening", shared)] {
            if let Some(line) = line {
                self.text.extend_from_slice(format!(",\"{key}\":{line}").as_bytes());
            }
        }
        self.text.extend_from_slice(b"}\n");
        Ok(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_over_parts() {
        let hash = |i: u8| GameHash([i; 16]);
        let line = LedgerLine { file: "a.sgf".into(), ..LedgerLine::default() };
        let accepted = |game, opening| Kind::Accepted(Identity { game: hash(game), opening: Some(hash(opening)) });
        let mut file = Vec::new();
        let mut part = PartLine::default();
        for kind in [Kind::Other, accepted(1, 9), accepted(2, 9), Kind::Twin(hash(1)), accepted(1, 9)] {
            part.set(kind, &line).unwrap();
            assert_eq!(part.kind(), kind);
            file.extend_from_slice(part.bytes());
        }
        let told = |duplicates| {
            let (mut numbering, mut from, mut all) = (Numbering::new(duplicates), &file[..], Vec::new());
            let mut part = PartLine::default();
            while part.read(&mut from).unwrap() {
                let line: LedgerLine = serde_json::from_slice(numbering.number(&part).unwrap()).unwrap();
                all.push((line.twin, line.opening));
            }
            (all, numbering.n_duplicate, numbering.n_shared_opening)
        };
        let lines = vec![(None, None), (None, None), (None, Some(2)), (Some(2), None), (Some(2), None)];
        assert_eq!(told(Duplicates::Keep), (lines.clone(), 1, 1));
        assert_eq!(told(Duplicates::Drop), (lines, 0, 1));
        assert!(part.read(&mut &file[..HEAD_BYTES + 3]).is_err());
        assert!(part.read(&mut &file[..HEAD_BYTES - 3]).is_err());
        assert!(part.read(&mut &[0xff; 200][..]).is_err());
    }
}
