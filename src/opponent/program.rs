//! A GTP program of somebody else, spoken to over its standard input and output.

use super::gtp::{Line, Lines};
use super::matchup::Player;
use super::session::Answer;
use crate::base::signal::Stop;
use crate::base::{Error, Result};
use crate::go::{Color, Game, Move, Size};
use std::io::{BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Most lines of one reply: a board with its margins has 40, a list of commands a few hundred.
const REPLY_LINES_MAX: usize = 10_000;

/// Lines read ahead of the one asked for.
const LINES_AHEAD_MAX: usize = 64;
/// How long Ctrl-C may go unnoticed while the program is silent: shorter than a person notices.
const STOP_POLL: Duration = Duration::from_millis(100);
/// A program that is silent for this long is told about: it may be thinking, or wait for something else than GTP.
const SILENCE_TOLD: Duration = Duration::from_secs(15);

/// A running GTP program. It is ended when this is dropped.
pub struct Program {
    name: String,
    child: Child,
    to: ChildStdin,
    from: Receiver<Line>,
    stop: Stop,
}

impl Program {
    /// Starts `command` (words split at blanks); what it says on stderr is dropped. Waiting for it ends with `stop`.
    ///
    /// # Errors
    /// As [`Program::spawn`].
    pub fn start(command: &str, stop: &Stop) -> Result<Program> {
        let words: Vec<&str> = command.split_whitespace().collect();
        let Some((program, args)) = words.split_first() else {
            return Err(Error::call("program", "no command, expected one such as \"gnugo --mode gtp\""));
        };
        Program::spawn(Command::new(program).args(args), stop)
    }

    /// Starts a prepared command.
    ///
    /// # Errors
    /// It does not start, or does not tell its name.
    pub fn spawn(command: &mut Command, stop: &Stop) -> Result<Program> {
        let file = command.get_program().to_string_lossy().into_owned();
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
        let mut program = Program { name: file, child, to, from, stop: stop.clone() };
        program.name = program.ask("name").map_err(|e| e.or_hint("a program that speaks GTP, such as \"gnugo --mode gtp\""))?;
        Ok(program)
    }

    /// Sends one command and gives the reply's text: its lines without `=` and the empty line after them.
    ///
    /// # Errors
    /// The program answers with a failure, or is gone, or the person asked for the end.
    pub fn ask(&mut self, command: &str) -> Result<String> {
        writeln!(self.to, "{command}").and_then(|()| self.to.flush()).map_err(|_| self.gone(command))?;
        let mut reply: Vec<String> = Vec::new();
        loop {
            let line = self.line(command)?;
            // Empty lines before a reply belong to nobody; the one after it ends it.
            match line.trim().is_empty() {
                true if reply.is_empty() => continue,
                true => break,
                false if reply.len() == REPLY_LINES_MAX => {
                    return Err(Error::new(&self.name, format!("answers `{command}` without end")));
                }
                false => reply.push(line),
            }
        }
        let reply = reply.join("\n");
        match reply.strip_prefix('=') {
            Some(text) => Ok(text.trim().to_string()),
            None => Err(Error::new(&self.name, format!("answers `{command}` with: {}", reply.trim_start_matches('?').trim()))),
        }
    }

    /// The next line, however long the program thinks about it.
    fn line(&self, command: &str) -> Result<String> {
        let asked = Instant::now();
        let mut told = false;
        loop {
            match self.from.recv_timeout(STOP_POLL) {
                Ok(Line::Text(line)) => return Ok(line),
                Ok(Line::TooLong) => return Err(Error::new(&self.name, format!("answers `{command}` with a line without end"))),
                Err(RecvTimeoutError::Disconnected) => return Err(self.gone(command)),
                Err(RecvTimeoutError::Timeout) if self.stop.requested() => return Err(Error::stopped("game", "stopped")),
                Err(RecvTimeoutError::Timeout) => {
                    if !told && asked.elapsed() > SILENCE_TOLD {
                        log::warn!("{}: no answer to `{command}` for {} s; Ctrl-C ends this", self.name, SILENCE_TOLD.as_secs());
                        told = true;
                    }
                }
            }
        }
    }

    /// The program has ended: on its own, or by the Ctrl-C that a terminal sends to us both.
    fn gone(&self, command: &str) -> Error {
        std::thread::sleep(STOP_POLL);
        match self.stop.requested() {
            true => Error::stopped("game", "stopped"),
            false => Error::new(&self.name, format!("ended before it answered `{command}`")),
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
        let mv =
            Move::parse_gtp(&text, size).ok_or_else(|| Error::new(&self.name, format!("plays {text:?}, which is no vertex")))?;
        Ok(Answer::Move(mv))
    }

    fn play(&mut self, color: Color, mv: Move, size: Size) -> Result<()> {
        self.ask(&format!("play {} {}", color.letter(), mv.gtp(size))).map(|_| ())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A program that is already gone needs neither.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
