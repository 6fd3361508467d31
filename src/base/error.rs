//! One error type: where it happened, what was found, and what to do next.

use std::fmt;
use std::path::Path;

/// `Result` with the house's error.
pub type Result<T> = std::result::Result<T, Error>;

/// Whose fault it is; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The world: a file, a device, a peer. Exit code 1.
    World,
    /// The call: a wrong flag or value. Exit code 2.
    Call,
    /// The person stopped it (Ctrl-C, SIGTERM). Exit code 130, as shells have it.
    Stopped,
    /// It stopped by itself before the machine ran out of memory or disk. Exit code 75, `EX_TEMPFAIL` of sysexits.h: what was
    /// done is kept, the same command goes on.
    Yielded,
}

/// A failure, told as `where: what` and, on a second line, `try: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    fault: Fault,
    place: String,
    what: String,
    hint: Option<String>,
}

impl Error {
    /// A failure of the world at `place` (a file, a byte offset, a device).
    pub fn new(place: impl fmt::Display, what: impl fmt::Display) -> Error {
        Error { fault: Fault::World, place: place.to_string(), what: what.to_string(), hint: None }
    }

    /// A wrong call: `place` is the flag or the command.
    pub fn call(place: impl fmt::Display, what: impl fmt::Display) -> Error {
        Error { fault: Fault::Call, ..Error::new(place, what) }
    }

    /// The person asked for an end; `place` says what was going on, `what` what was kept.
    pub fn stopped(place: impl fmt::Display, what: impl fmt::Display) -> Error {
        Error { fault: Fault::Stopped, ..Error::new(place, what) }
    }

    /// An operating-system error on a file.
    pub fn io(path: &Path, err: &std::io::Error) -> Error {
        use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, StorageFull};
        let told = Error::new(path.display(), err);
        match err.kind() {
            StorageFull => told.hint("more free space there, or a folder on another disk"),
            PermissionDenied | ReadOnlyFilesystem => told.hint("a place this user may read and write"),
            _ => told,
        }
    }

    /// Something wrong in a file at a byte offset: `a.shard @ byte 64: …`.
    pub fn at_byte(path: &Path, byte: u64, what: impl fmt::Display) -> Error {
        Error::new(format!("{} @ byte {byte}", path.display()), what)
    }

    /// Adds what to do next: a command, a flag, a place to look.
    pub fn hint(mut self, hint: impl fmt::Display) -> Error {
        self.hint = Some(hint.to_string());
        self
    }

    /// Adds what to do next to a failure where nothing nearer to it has said so.
    pub fn or_hint(self, hint: impl fmt::Display) -> Error {
        if self.hint.is_some() || self.fault == Fault::Stopped { self } else { self.hint(hint) }
    }

    /// A stop that a person did not ask for: the machine could give no more.
    pub fn because(self, why: &str) -> Error {
        match self.fault {
            Fault::Stopped => Error { fault: Fault::Yielded, what: format!("{} ({why})", self.what), ..self },
            _ => self,
        }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// The process exit code that tells this failure.
    pub fn exit_code(&self) -> i32 {
        match self.fault {
            Fault::World => 1,
            Fault::Call => 2,
            Fault::Stopped => 130,
            Fault::Yielded => 75,
        }
    }

    /// What went wrong, without the place and the hint.
    pub fn what(&self) -> &str {
        &self.what
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)?;
        match &self.hint {
            Some(hint) => write!(f, "\ntry: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where_what_and_next() {
        let e = Error::at_byte(Path::new("a.shard"), 64, "version 3, expected 2").hint("edgezero convert games --out shards");
        assert_eq!(e.to_string(), "a.shard @ byte 64: version 3, expected 2\ntry: edgezero convert games --out shards");
        assert_eq!((e.exit_code(), Error::call("--threads", "0").exit_code()), (1, 2));
    }
}
