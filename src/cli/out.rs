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

/// The failure of a write on stdout.
pub(super) fn failed(err: &io::Error) -> Error {
    if err.kind() == io::ErrorKind::BrokenPipe {
        CLOSED.store(true, Ordering::Relaxed);
    }
    Error::new("stdout", err)
}

/// Writes on stdout what `outln!` was given.
pub(super) fn write(text: fmt::Arguments<'_>) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_fmt(text).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()).map_err(|e| failed(&e))
}

/// `println!` for results: gives a `Result`, never panics.
macro_rules! outln {
    ($($arg:tt)*) => { $crate::cli::out::write(format_args!($($arg)*)) };
}
pub(super) use outln;
