//! The games that were finished: a line of JSON each, appended and synced, so that a crash costs no finished game.

use super::seat::FaultKind;
use crate::base::fs::read_limited;
use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The journal's name in a match's folder.
pub const JOURNAL_NAME: &str = "games.jsonl";
/// Largest journal read, in bytes: a million games.
const JOURNAL_BYTES_MAX: u64 = 1 << 30;

/// One of the players.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Name {
    /// The first that was named.
    A,
    /// The second.
    B,
}

/// How a game ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Both passed, and the board was counted.
    Passes,
    /// One side resigned.
    Resignation,
    /// It went on for longer than any game takes: a draw.
    TooLong,
    /// A program failed.
    Fault,
}

/// A finished game.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GameLine {
    /// Its number, from 0. Games 2n and 2n + 1 are a pair.
    pub game: usize,
    /// Who played Black.
    pub black: Name,
    /// The moves that neither chose, as GTP has them.
    pub opening: Vec<String>,
    /// As SGF has it.
    pub result: String,
    /// Who won; none for a draw.
    pub winner: Option<Name>,
    /// Whether the game counts.
    pub counts: bool,
    /// How it ended.
    pub ending: Ending,
    /// What went wrong: whose fault it was, its kind and what was seen.
    pub fault: Option<FaultLine>,
    /// What Black and White counted in points for White, where they did and the rules do not take the board as it stands.
    pub counted: Option<[Option<f32>; 2]>,
    /// They did not count the same winner, so the board's own judge did.
    pub disputed: bool,
    /// Moves after which A and B would have resigned, where they were told to play on.
    #[serde(default)]
    pub gave_up: [Option<usize>; 2],
    /// Moves, with the opening.
    pub moves: usize,
    /// Seconds that A and B thought.
    pub seconds: [f64; 2],
    /// Seconds of the longest thought of A and of B.
    pub slowest: [f64; 2],
    /// Its record, from the match's folder.
    pub sgf: String,
}

/// What went wrong in a game.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultLine {
    /// Whose fault.
    pub by: Name,
    /// Which.
    pub kind: FaultKind,
    /// What was seen.
    pub what: String,
}

impl Name {
    /// The other player.
    pub fn other(self) -> Name {
        match self {
            Name::A => Name::B,
            Name::B => Name::A,
        }
    }

    /// 0 for A, 1 for B.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// The journal, open for one match at a time.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens or begins the journal of a folder and gives its lines. A line that was cut off in the middle is taken away.
    ///
    /// # Errors
    /// Another match is at work there; a line that is none.
    pub(super) fn open(dir: &Path) -> Result<(Journal, Vec<GameLine>)> {
        let path = dir.join(JOURNAL_NAME);
        let mut file = File::options().append(true).create(true).open(&path).map_err(|e| Error::io(&path, &e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(dir.display(), "another edgezero match is at work here").hint("wait for it to end"));
            }
            Err(TryLockError::Error(e)) => log::debug!("{}: no lock: {e}", path.display()),
        }
        let bytes = read_limited(&path, JOURNAL_BYTES_MAX)?;
        let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        if whole < bytes.len() {
            log::warn!("{}: the last line is cut off: that game is played again", path.display());
            file.set_len(whole as u64).map_err(|e| Error::io(&path, &e))?;
        }
        let mut lines: Vec<GameLine> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for (at, line) in bytes[..whole].split(|&b| b == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
            let wrong = |what: String| Error::new(format!("{}:{}", path.display(), at + 1), what).hint("another --out");
            let line: GameLine = serde_json::from_slice(line).map_err(|e| wrong(e.to_string()))?;
            if !seen.insert(line.game) {
                return Err(wrong(format!("game {} for the second time", line.game)));
            }
            lines.push(line);
        }
        file.flush().map_err(|e| Error::io(&path, &e))?;
        Ok((Journal { path, file }, lines))
    }

    /// Appends a game; when this returns, it is kept.
    pub(super) fn append(&mut self, line: &GameLine) -> Result<()> {
        let mut text = serde_json::to_vec(line).map_err(|e| Error::new(self.path.display(), e))?;
        text.push(b'\n');
        self.file.write_all(&text).and_then(|()| self.file.sync_data()).map_err(|e| Error::io(&self.path, &e))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn line(game: usize, winner: Option<Name>) -> GameLine {
        GameLine {
            game,
            black: if game.is_multiple_of(2) { Name::A } else { Name::B },
            opening: vec!["E5".into()],
            result: "B+R".into(),
            winner,
            counts: true,
            ending: Ending::Resignation,
            fault: None,
            counted: None,
            disputed: false,
            gave_up: [None; 2],
            moves: 40,
            seconds: [1.0, 2.0],
            slowest: [0.5, 0.25],
            sgf: format!("games/{game:06}.sgf"),
        }
    }

    #[test]
    fn lines_survive_and_torn_ones_go() {
        let dir = std::env::temp_dir().join(format!("edgezero-journal-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join(JOURNAL_NAME);
        let (mut journal, lines) = Journal::open(&dir).unwrap();
        assert!(lines.is_empty());
        let fault = FaultLine { by: Name::B, kind: FaultKind::Timeout, what: "no \"answer\"".into() };
        let told = [line(1, Some(Name::B)), GameLine { fault: Some(fault), counted: Some([None, Some(1.5)]), ..line(0, None) }];
        told.iter().for_each(|line| journal.append(line).unwrap());
        assert!(Journal::open(&dir).is_err_and(|e| e.to_string().contains("another edgezero match")));
        drop(journal);
        let mut bytes = std::fs::read(&path).unwrap();
        let whole = bytes.len();
        // Cut anywhere in its last line, the journal keeps those before.
        bytes.extend_from_within(..whole / 3);
        std::fs::write(&path, &bytes).unwrap();
        let (mut journal, lines) = Journal::open(&dir).unwrap();
        assert_eq!((lines.as_slice(), std::fs::metadata(&path).unwrap().len()), (&told[..], whole as u64));
        journal.append(&line(7, None)).unwrap();
        drop(journal);
        assert_eq!(Journal::open(&dir).unwrap().1[2], line(7, None));
        for (text, expected) in [("{}\n", ":1: missing field"), (&format!("{0}{0}", to_line(&line(3, None))), ":2: game 3 for")] {
            std::fs::write(&path, text).unwrap();
            let told = Journal::open(&dir).err().unwrap().to_string();
            assert!(told.contains(expected), "{told}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }

    fn to_line(line: &GameLine) -> String {
        serde_json::to_string(line).unwrap() + "\n"
    }
}
