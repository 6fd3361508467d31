//! A running `edgezero`, spoken to by lines as the programs around it do.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// Longer than any answer takes, also on a busy machine under an emulator.
const PATIENCE: Duration = Duration::from_secs(120);

/// A process with its lines of output; ended when dropped.
pub struct Engine {
    child: Child,
    to: Option<ChildStdin>,
    out: Receiver<String>,
    err: Receiver<String>,
}

impl Engine {
    /// Starts the binary under test.
    pub fn start<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Engine {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edgezero"));
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let to = child.stdin.take();
        let out = lines(child.stdout.take().expect("piped"));
        let err = lines(child.stderr.take().expect("piped"));
        Engine { child, to, out, err }
    }

    /// Sends one line.
    pub fn send(&mut self, line: &str) {
        let to = self.to.as_mut().expect("not ended yet");
        writeln!(to, "{line}").and_then(|()| to.flush()).expect("the engine reads");
    }

    /// The next line of output.
    pub fn line(&self) -> String {
        self.out.recv_timeout(PATIENCE).expect("a line of output")
    }

    /// One whole GTP reply, without the empty line after it.
    pub fn reply(&self) -> String {
        let mut reply = self.line();
        assert!(reply.starts_with(['=', '?']), "no reply: {reply:?}");
        loop {
            match self.line() {
                line if line.is_empty() => return reply,
                line => reply = format!("{reply}\n{line}"),
            }
        }
    }

    /// Sends a GTP command and gives its reply.
    pub fn ask(&mut self, command: &str) -> String {
        self.send(command);
        self.reply()
    }

    /// The text of a result of a command without an id.
    #[track_caller]
    pub fn result(&mut self, command: &str) -> String {
        let reply = self.ask(command);
        reply.strip_prefix("= ").unwrap_or_else(|| panic!("{command}: {reply:?}")).to_string()
    }

    /// Ends the input and waits for the end; gives what was still said on stdout, and all of stderr.
    pub fn end(mut self) -> (Vec<String>, Vec<String>) {
        self.to = None;
        let out = self.out.iter().collect();
        let err = self.err.iter().collect();
        assert!(self.child.wait().expect("its end").success());
        (out, err)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // One that has ended needs neither.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (to, lines) = mpsc::channel();
    std::thread::spawn(move || BufReader::new(from).lines().map_while(Result::ok).try_for_each(|line| to.send(line)));
    lines
}
