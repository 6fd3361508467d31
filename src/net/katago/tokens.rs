//! The tokens of a model file: words between white space, and runs of numbers.

use crate::base::{Error, Result};

/// How runs of numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// `@BIN@`, then little-endian f32.
    Binary,
    /// Decimal words.
    Text,
}

/// What stands before a binary run.
pub(super) const BINARY_MARK: &[u8] = b"@BIN@";
/// Longest word: names of KataGo's layers stay below a hundred.
const WORD_BYTES_MAX: usize = 1024;

/// A position in a model file.
pub(super) struct Tokens<'a> {
    place: &'a str,
    bytes: &'a [u8],
    at: usize,
    words: usize,
    numbers: Numbers,
}

impl<'a> Tokens<'a> {
    /// The tokens of `bytes`, numbers as `numbers` says; `place` is the file in errors.
    pub fn new(place: &'a str, bytes: &'a [u8], numbers: Numbers) -> Tokens<'a> {
        Tokens { place, bytes, at: 0, words: 0, numbers }
    }

    /// An error here, in the layer or token `what` names.
    pub fn error(&self, what: impl std::fmt::Display) -> Error {
        let place = match self.numbers {
            Numbers::Binary => format!("{} @ byte {}", self.place, self.at),
            Numbers::Text => format!("{} @ token {}", self.place, self.words),
        };
        Error::new(place, what)
    }

    fn skip_blanks(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    /// The next word; `what` says what it is for.
    pub fn word(&mut self, what: &str) -> Result<&'a str> {
        self.skip_blanks();
        let rest = &self.bytes[self.at..];
        let len =
            rest.iter().take(WORD_BYTES_MAX + 1).position(u8::is_ascii_whitespace).unwrap_or(rest.len().min(WORD_BYTES_MAX + 1));
        if len == 0 {
            return Err(self.error(format!("the file ends before {what}")));
        }
        if len > WORD_BYTES_MAX {
            return Err(self.error(format!("{what}: a word longer than {WORD_BYTES_MAX} bytes")));
        }
        let word = std::str::from_utf8(&rest[..len]).map_err(|_| self.error(format!("{what}: not text")))?;
        self.at += len;
        self.words += 1;
        Ok(word)
    }

    /// The next word as a whole number up to `max`.
    pub fn int(&mut self, what: &str, max: usize) -> Result<usize> {
        let word = self.word(what)?;
        match word.parse::<usize>() {
            Ok(n) if n <= max => Ok(n),
            _ => Err(self.error(format!("{what}: '{}', expected a number up to {max}", excerpt(word)))),
        }
    }

    /// The next word as 0 or 1.
    pub fn flag(&mut self, what: &str) -> Result<bool> {
        Ok(self.int(what, 1)? == 1)
    }

    /// The next word as a real number.
    pub fn real(&mut self, what: &str) -> Result<f32> {
        let word = self.word(what)?;
        let number = word.parse::<f32>().map_err(|_| self.error(format!("{what}: '{}' is no number", excerpt(word))))?;
        if number.is_finite() { Ok(number) } else { Err(self.error(format!("{what}: NaN or infinity"))) }
    }

    /// A run of `len` numbers, added to `to`. Memory follows what the file really holds.
    pub fn floats(&mut self, what: &str, len: usize, to: &mut Vec<f32>) -> Result<()> {
        match self.numbers {
            Numbers::Text => {
                // a number takes at least a digit and a blank
                if len > self.bytes.len().saturating_sub(self.at) {
                    return Err(self.error(format!("{what}: {len} numbers, but the file ends before")));
                }
                to.reserve(len);
                for _ in 0..len {
                    let number = self.real(what)?;
                    to.push(number);
                }
                Ok(())
            }
            Numbers::Binary => self.binary(what, len, to),
        }
    }

    fn binary(&mut self, what: &str, len: usize, to: &mut Vec<f32>) -> Result<()> {
        self.skip_blanks();
        let rest = &self.bytes[self.at..];
        let Some(data) = rest.strip_prefix(BINARY_MARK) else {
            return Err(self.error(format!("{what}: no @BIN@ before its {len} numbers")));
        };
        let data = len.checked_mul(4).and_then(|bytes| data.get(..bytes));
        let Some(data) = data else {
            return Err(self.error(format!("{what}: {len} numbers, but the file ends before")));
        };
        let start = to.len();
        to.extend(data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        self.at += BINARY_MARK.len();
        if let Some(i) = to[start..].iter().position(|x| !x.is_finite()) {
            self.at += 4 * i;
            return Err(self.error(format!("{what}: number {i} is NaN or infinite")));
        }
        self.at += data.len();
        Ok(())
    }
}

/// The start of a word, fit for a message: a file of another kind may hold anything.
fn excerpt(word: &str) -> String {
    const CHARS_MAX: usize = 24;
    let start: String = word.chars().take(CHARS_MAX).flat_map(char::escape_debug).collect();
    if word.chars().nth(CHARS_MAX).is_some() { start + "…" } else { start }
}
