//! A GTP program of somebody else, spoken to over its standard input and output.

use super::gtp::{Line, Lines};
use super::matchup::Player;
use super::session::Answer;
use crate::base::{Error, Result};
use crate::go::{Color, Game, Move, Size};
use std::io::{BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Most lines of one reply: a board with its margins has 40, a list of commands a few hundred.
const REPLY_LINES_MAX: usize = 10_000;

/// A running GTP program. It is ended when this is dropped.
pub struct Program {
    name: String,
    child: Child,
    to: ChildStdin,
    from: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts `command` (words split at blanks); what it says on stderr is dropped.
    ///
    /// # Errors
    /// As [`Program::spawn`].
    pub fn start(command: &str) -> Result<Program> {
        let words: Vec<&str> = command.split_whitespace().collect();
        let Some((program, args)) = words.split_first() else {
            return Err(Error::call("program", "no command, expected one such as \"gnugo --mode gtp\""));
        };
        Program::spawn(Command::new(program).args(args))
    }

    /// Starts a prepared command.
    ///
    /// # Errors
    /// It does not start, or does not tell its name.
    pub fn spawn(command: &mut Command) -> Result<Program> {
        let file = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| Error::new(&file, format!("does not start: {e}")))?;
        let to = child.stdin.take().expect("piped above");
        let from = Lines::new(BufReader::new(child.stdout.take().expect("piped above")));
        let mut program = Program { name: file, child, to, from };
        program.name = program.ask("name")?;
        Ok(program)
    }

    /// Sends one command and gives the reply's text: its lines without `=` and the empty line after them.
    ///
    /// # Errors
    /// The program answers with a failure, or is gone.
    pub fn ask(&mut self, command: &str) -> Result<String> {
        let gone = |name: &str| Error::new(name, format!("ended before it answered `{command}`"));
        writeln!(self.to, "{command}").and_then(|()| self.to.flush()).map_err(|_| gone(&self.name))?;
        let mut reply: Vec<String> = Vec::new();
        loop {
            let line = match self.from.next() {
                Some(Ok(Line::Text(line))) => line,
                _ => return Err(gone(&self.name)),
            };
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
