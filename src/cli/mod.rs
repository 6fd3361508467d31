//! The command line: one file a subcommand, each parses, calls and prints; no logic lives here.

/// Runs the program and returns its exit code: 0 success, 1 a failure of the world, 2 a wrong call.
pub fn main() -> i32 {
    0
}
