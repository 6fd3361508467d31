//! A GTP program of somebody else, spoken to over its standard input and output.
//!
//! It leads a process group of its own, so that what it has started ends with it, and Ctrl-C reaches only us.

use super::gtp::{Line, Lines};
use super::matchup::Player;
use super::session::Answer;
use super::words;
use crate::base::signal::Stop;
use crate::base::{Error, Result};
use crate::go::{Color, Game, Move, Size};
use std::io::{BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Most lines of one reply: a board with its margins has 40, a list of commands a few hundred.
const REPLY_LINES_MAX: usize = 10_000;

/// Most characters of a wrong reply that are told.
const REPLY_CHARS_TOLD_MAX: usize = 200;
/// Lines read ahead of the one asked for.
const LINES_AHEAD_MAX: usize = 64;
/// How long Ctrl-C may go unnoticed while the program is silent: shorter than a person notices.
const STOP_POLL: Duration = Duration::from_millis(100);
/// A program that is silent for this long is told about: it may be thinking, or wait for something else than GTP.
const SILENCE_TOLD: Duration = Duration::from_secs(15);

/// How long a program that is told to quit may take: enough to write its logs.
const QUIT_WAIT: Duration = Duration::from_millis(500);
/// How often is looked whether it has.
const QUIT_POLL: Duration = Duration::from_millis(2);

/// Why a program's last answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It is gone.
    Ended,
    /// It took longer than [`Program::limit_answers`] allows.
    Late,
    /// It says that it failed or will not.
    Refused,
    /// It says something that is no answer.
    Garbled,
}

/// A running GTP program. It is told to quit, and if it does not, ended when this is dropped.
pub struct Program {
    name: String,
    child: Child,
    to: ChildStdin,
    from: Receiver<Line>,
    stop: Stop,
    answer_max: Option<Duration>,
    failure: Option<Failure>,
    /// It and its group were ended.
    is_ended: bool,
}

impl Program {
    /// Starts `command` (words as a shell would split them); what it says on stderr is dropped. Waiting for it ends with `stop`.
    ///
    /// # Errors
    /// As [`Program::spawn`].
    pub fn start(command: &str, stop: &Stop) -> Result<Program> {
        Program::start_within(command, None, stop)
    }

    /// The same for a program that has to be ready in time.
    ///
    /// # Errors
    /// As [`Program::spawn`]; its first answer takes longer than `ready_max`.
    pub fn start_within(command: &str, ready_max: Option<Duration>, stop: &Stop) -> Result<Program> {
        let words = words::split(command)?;
        let Some((program, args)) = words.split_first() else {
            return Err(Error::call("program", "no command, expected one such as \"gnugo --mode gtp\""));
        };
        Program::launch(Command::new(program).args(args), ready_max, stop)
    }

    /// Starts a prepared command.
    ///
    /// # Errors
    /// It does not start, or does not tell its name.
    pub fn spawn(command: &mut Command, stop: &Stop) -> Result<Program> {
        Program::launch(command, None, stop)
    }

    fn launch(command: &mut Command, ready_max: Option<Duration>, stop: &Stop) -> Result<Program> {
        let file = command.get_program().to_string_lossy().into_owned();
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(|e| {
            Error::new(&file, format!("does not start: {e}")).hint("the program's full path, such as /usr/games/gnugo")
        })?;
        let to = child.stdin.take().expect("piped above");
        let lines = Lines::new(BufReader::new(child.stdout.take().expect("piped above")));
        let (sender, from) = mpsc::sync_channel(LINES_AHEAD_MAX);
        std::thread::spawn(move || {
            for line in lines.map_while(std::result::Result::ok) {
                // The game has ended; nobody listens any more.
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut program =
            Program { name: file, child, to, from, stop: stop.clone(), answer_max: ready_max, failure: None, is_ended: false };
        program.name = program.ask("name").map_err(|e| e.or_hint("a program that speaks GTP, such as \"gnugo --mode gtp\""))?;
        program.answer_max = None;
        Ok(program)
    }

    /// From here on no answer may take longer; none is no limit. A program that was late cannot be asked again.
    pub fn limit_answers(&mut self, answer_max: Option<Duration>) {
        self.answer_max = answer_max;
    }

    /// What went wrong with the last answer; none where it was the person who stopped it, or nothing did.
    pub fn failure(&self) -> Option<Failure> {
        self.failure
    }

    /// Its name and version, as far as it tells one.
    ///
    /// # Errors
    /// As [`Program::ask`].
    pub fn full_name(&mut self) -> Result<String> {
        if self.ask("known_command version")? != "true" {
            return Ok(self.name.clone());
        }
        let version = self.ask("version")?;
        Ok(format!("{} {version}", self.name).trim_end().to_string())
    }

    /// Sends one command and gives the reply's text: its lines without `=` and the empty line after them.
    ///
    /// # Errors
    /// The program answers with a failure, is gone or late, or the person asked for the end; [`Program::failure`] tells which.
    pub fn ask(&mut self, command: &str) -> Result<String> {
        self.failure = None;
        writeln!(self.to, "{command}").and_then(|()| self.to.flush()).map_err(|_| self.gone(command))?;
        let mut reply: Vec<String> = Vec::new();
        let asked = Instant::now();
        loop {
            let line = self.line(command, asked)?;
            // Empty lines before a reply belong to nobody; the one after it ends it.
            match line.trim().is_empty() {
                true if reply.is_empty() => continue,
                true => break,
                false if reply.len() == REPLY_LINES_MAX => {
                    return Err(self.failed(Failure::Garbled, format!("answers `{command}` without end")));
                }
                false => reply.push(line),
            }
        }
        let reply = reply.join("\n");
        match reply.strip_prefix('=') {
            Some(text) => Ok(text.trim().to_string()),
            None => {
                let failure = if reply.starts_with('?') { Failure::Refused } else { Failure::Garbled };
                let said: String = reply.trim_start_matches('?').trim().chars().take(REPLY_CHARS_TOLD_MAX).collect();
                Err(self.failed(failure, format!("answers `{command}` with: {said}")))
            }
        }
    }

    /// The next line, as long as the program may think about it since it was asked.
    fn line(&mut self, command: &str, asked: Instant) -> Result<String> {
        let mut told = false;
        loop {
            let left = self.answer_max.map(|most| most.saturating_sub(asked.elapsed()));
            match self.from.recv_timeout(left.map_or(STOP_POLL, |left| left.min(STOP_POLL))) {
                Ok(Line::Text(line)) => return Ok(line),
                Ok(Line::TooLong) => {
                    return Err(self.failed(Failure::Garbled, format!("answers `{command}` with a line without end")));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.gone(command)),
                Err(RecvTimeoutError::Timeout) if self.stop.requested() => return Err(Error::stopped("game", "stopped")),
                Err(RecvTimeoutError::Timeout) if left.is_some_and(|left| left.is_zero()) => {
                    let seconds = self.answer_max.unwrap_or_default().as_secs_f64();
                    return Err(self.failed(Failure::Late, format!("no answer to `{command}` for {seconds} s")));
                }
                Err(RecvTimeoutError::Timeout) => {
                    if !told && left.is_none() && asked.elapsed() > SILENCE_TOLD {
                        log::warn!("{}: no answer to `{command}` for {} s; Ctrl-C ends this", self.name, SILENCE_TOLD.as_secs());
                        told = true;
                    }
                }
            }
        }
    }

    /// The program has ended: on its own, or by the Ctrl-C that a terminal sends to us both.
    fn gone(&mut self, command: &str) -> Error {
        std::thread::sleep(STOP_POLL);
        if self.stop.requested() {
            return Error::stopped("game", "stopped");
        }
        let status = if self.has_exited() { self.end() } else { None };
        let how = status.map_or(String::new(), |status| format!(" ({status})"));
        self.failed(Failure::Ended, format!("ended before it answered `{command}`{how}"))
    }

    fn failed(&mut self, failure: Failure, what: String) -> Error {
        self.failure = Some(failure);
        Error::new(&self.name, what)
    }

    /// Ends the program and what it has started. Its status, if it had one of its own.
    fn end(&mut self) -> Option<ExitStatus> {
        if std::mem::replace(&mut self.is_ended, true) {
            return None;
        }
        // Before the program is waited for: until then the number of its group is nobody else's.
        #[cfg(unix)]
        if let Some(group) = self.pid() {
            // It may have ended on its own, and all of its group.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.kill();
        self.child.wait().ok()
    }

    #[cfg(unix)]
    fn pid(&self) -> Option<rustix::process::Pid> {
        i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw)
    }

    /// Whether it has ended; it is not waited for.
    fn has_exited(&mut self) -> bool {
        #[cfg(unix)]
        {
            use rustix::process::{WaitId, WaitIdOptions, waitid};
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            self.is_ended || self.pid().is_none_or(|pid| !matches!(waitid(WaitId::Pid(pid), options), Ok(None)))
        }
        #[cfg(not(unix))]
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Waits until it has ended, or `until`.
    fn has_ended(&mut self, until: Instant) -> bool {
        loop {
            match self.has_exited() {
                true => return true,
                false if Instant::now() < until => std::thread::sleep(QUIT_POLL),
                false => return false,
            }
        }
    }
}

impl Player for Program {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn begin(&mut self, game: &Game) -> Result<()> {
        let size = game.size();
        match size.w() == size.h() {
            true => self.ask(&format!("boardsize {}", size.w()))?,
            false => self.ask(&format!("rectangular_boardsize {} {}", size.w(), size.h()))?,
        };
        self.ask("clear_board")?;
        self.ask(&format!("komi {}", game.komi()))?;
        // Others have their rules by their own options.
        if self.ask("known_command kata-set-rules")? == "true" {
            self.ask(&format!("kata-set-rules {}", game.rules().to_json()))?;
        }
        Ok(())
    }

    fn genmove(&mut self, color: Color, size: Size) -> Result<Answer> {
        let text = self.ask(&format!("genmove {}", color.letter()))?;
        if text.eq_ignore_ascii_case("resign") {
            return Ok(Answer::Resign);
        }
        match Move::parse_gtp(&text, size) {
            Some(mv) => Ok(Answer::Move(mv)),
            None => {
                let said: String = text.chars().take(REPLY_CHARS_TOLD_MAX).collect();
                Err(self.failed(Failure::Garbled, format!("plays {said:?}, which is no vertex")))
            }
        }
    }

    fn play(&mut self, color: Color, mv: Move, size: Size) -> Result<()> {
        self.ask(&format!("play {} {}", color.letter(), mv.gtp(size))).map(|_| ())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Who was late hangs, and would not hear it.
        let is_told = self.failure != Some(Failure::Late) && writeln!(self.to, "quit").and_then(|()| self.to.flush()).is_ok();
        if is_told {
            self.has_ended(Instant::now() + QUIT_WAIT);
        }
        self.end();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read as _;

    #[test]
    fn what_a_program_has_started_ends_with_it() {
        // As long as one of them lives the pipe has no end.
        let pipe = std::env::temp_dir().join(format!("edgezero-program-pipe-{}", std::process::id()));
        let made = Command::new("mkfifo").arg(&pipe).status();
        if !made.is_ok_and(|status| status.success()) {
            println!("skipped: no mkfifo");
            return;
        }
        let (told, heard) = mpsc::channel();
        let reading = pipe.clone();
        std::thread::spawn(move || {
            let mut file = File::open(reading).unwrap();
            told.send(()).unwrap();
            file.read_to_end(&mut Vec::new()).unwrap();
            told.send(()).unwrap();
        });
        let script =
            "sleep 1000 > \"$0\" & while read x; do case $x in name) echo '= a'; echo;; quit) echo '= '; echo; exit;; esac; done";
        let program = Program::spawn(Command::new("sh").args(["-c", script]).arg(&pipe), &Stop::default()).unwrap();
        let long = Duration::from_secs(100);
        heard.recv_timeout(long).expect("the child of the program has begun");
        drop(program);
        let ended = heard.recv_timeout(long);
        std::fs::remove_file(&pipe).unwrap();
        assert!(ended.is_ok(), "it lives on");
    }
}
