//! Results on stdout. A reader that closes early (`edgezero replay … | head`) ends the command quietly.

use crate::base::{Error, Result};
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
