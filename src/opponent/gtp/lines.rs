//! Lines of input, each of bounded length.

use std::io::{self, BufRead, Read};

/// Longest command line, in bytes: a whole 19x19 position with its colours takes 3 KB.
const LINE_BYTES_MAX: u64 = 1 << 16;

/// One line of input without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Its text; bytes that are not UTF-8 are replaced.
    Text(String),
    /// Longer than any command; dropped.
    TooLong,
}

/// The lines of a reader, to its end.
pub struct Lines<R>(R);

impl<R: BufRead> Lines<R> {
    /// The lines of `reader`.
    pub fn new(reader: R) -> Lines<R> {
        Lines(reader)
    }

    fn read(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        if self.0.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        if bytes.len() as u64 == LINE_BYTES_MAX && !bytes.ends_with(b"\n") {
            self.0.skip_until(b'\n')?;
            return Ok(Some(Line::TooLong));
        }
        Ok(Some(Line::Text(String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_string())))
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<io::Result<Line>> {
        self.read().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_broken_lines() {
        let mut input = b"name\r\n\xff\n".to_vec();
        input.extend(vec![b'x'; 3 * LINE_BYTES_MAX as usize]);
        input.extend(b"\nquit");
        let lines: Vec<Line> = Lines::new(&input[..]).map(|line| line.unwrap()).collect();
        let text = |text: &str| Line::Text(text.to_string());
        assert_eq!(lines, [text("name"), text("\u{fffd}"), Line::TooLong, text("quit")]);
    }
}
