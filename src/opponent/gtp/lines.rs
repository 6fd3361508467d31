//! Lines of input, each of bounded length.

use crate::base::signal::Stop;
use std::io::{self, BufRead, Read};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

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

/// Lines of a controller, which a command under way may look out for.
pub trait Input {
    /// The next line; none at the end.
    fn next_line(&mut self) -> Option<io::Result<Line>>;
    /// Whether a line, or the end, is there without waiting for it.
    fn is_waiting(&mut self) -> bool;
    /// Whether an interrupt can come while a command is under way.
    fn may_interrupt(&self) -> bool {
        false
    }
    /// Whether the line that waits is GoGui's interrupt of the command under way.
    fn is_interrupted(&mut self) -> bool {
        false
    }
}

/// Lines that are all there.
pub(super) struct AtOnce<I>(pub(super) I);

impl<I: Iterator<Item = io::Result<Line>>> Input for AtOnce<I> {
    fn next_line(&mut self) -> Option<io::Result<Line>> {
        self.0.next()
    }

    fn is_waiting(&mut self) -> bool {
        true
    }
}

/// The comment by which GoGui interrupts.
const INTERRUPT: &str = "# interrupt";
/// Lines read ahead of the one being answered; a controller that sends more waits.
const LINES_AHEAD_MAX: usize = 64;
/// How long a stop may go unnoticed while no command comes: shorter than a person notices.
const STOP_POLL: Duration = Duration::from_millis(100);

/// Lines that come when they come, until their end or a stop: a read of a terminal cannot be broken off, waiting for it can.
pub struct Ahead {
    from: Receiver<io::Result<Line>>,
    held: Option<io::Result<Line>>,
    stop: Stop,
}

impl Ahead {
    /// Reads `reader` on a thread of its own.
    pub fn new<R: BufRead>(reader: impl FnOnce() -> R + Send + 'static, stop: Stop) -> Ahead {
        let (to, from) = mpsc::sync_channel(LINES_AHEAD_MAX);
        std::thread::spawn(move || {
            for line in Lines::new(reader()) {
                // The session has ended; nobody listens any more.
                if to.send(line).is_err() {
                    break;
                }
            }
        });
        Ahead { from, held: None, stop }
    }
}

impl Input for Ahead {
    fn next_line(&mut self) -> Option<io::Result<Line>> {
        if let Some(line) = self.held.take() {
            return Some(line);
        }
        while !self.stop.requested() {
            match self.from.recv_timeout(STOP_POLL) {
                Ok(line) => return Some(line),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        None
    }

    fn is_waiting(&mut self) -> bool {
        if self.held.is_some() || self.stop.requested() {
            return true;
        }
        match self.from.try_recv() {
            Ok(line) => {
                self.held = Some(line);
                true
            }
            Err(TryRecvError::Disconnected) => true,
            Err(TryRecvError::Empty) => false,
        }
    }

    fn may_interrupt(&self) -> bool {
        true
    }

    fn is_interrupted(&mut self) -> bool {
        if self.stop.requested() {
            return true;
        }
        if !self.is_waiting() {
            return false;
        }
        matches!(&self.held, Some(Ok(Line::Text(text))) if text.split_whitespace().eq(INTERRUPT.split_whitespace()))
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
