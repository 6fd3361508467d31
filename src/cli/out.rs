//! Results on stdout. A reader that closes early (`edgezero replay … | head`) ends the command quietly.

use crate::base::{Error, Result};
use crate::device::watch::Seen;
use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

static CLOSED: AtomicBool = AtomicBool::new(false);

/// Whether the reader of stdout is gone: no failure, nothing more to say.
pub(super) fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

fn note(err: &io::Error) {
    if err.kind() == io::ErrorKind::BrokenPipe {
        CLOSED.store(true, Ordering::Relaxed);
    }
}

/// Writes on stdout what `outln!` was given.
pub(super) fn write(text: fmt::Arguments<'_>) -> Result<()> {
    writeln!(Stdout, "{text}").and_then(|()| Stdout.flush()).map_err(|e| Error::new("stdout", e))
}

/// `println!` for results: gives a `Result`, never panics.
macro_rules! outln {
    ($($arg:tt)*) => { $crate::cli::out::write(format_args!($($arg)*)) };
}
pub(super) use outln;

/// What a run has drawn: in all, and for each of the `n` things that it did.
pub(super) fn energy_line(seen: &Seen, joules: f64, n: f64, each: &str) -> String {
    let (whose, per_one) = (seen.reading.powered(), joules / n.max(1e-9));
    format!("energy of {whose}: {:.1} kJ, {per_one:.1} J for {each}", joules / 1000.0)
}

/// Stdout as a writer that notes when its reader is gone.
pub(super) struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write(bytes).inspect_err(note)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush().inspect_err(note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::sensors::{Named, Reading};

    #[test]
    fn energy_is_told_with_its_source() {
        let line = |rail: &str| {
            let rails = vec![Named { name: rail.to_string(), value: 7.0 }];
            energy_line(&Seen { reading: Reading { rails, ..Reading::default() }, ..Seen::default() }, 1500.0, 2.0, "a game")
        };
        assert_eq!(line("VDD_IN"), "energy of the board: 1.5 kJ, 750.0 J for a game");
        assert_eq!(line("GPU card1"), "energy of the GPU: 1.5 kJ, 750.0 J for a game");
    }
}
