//! The Go Text Protocol, version 2, around a session: KataGo's framing, error texts and tolerance, so that programs
//! which drive KataGo find what they expect.
//!
//! One reply a command, in order, with the command's id. Results are `=<id> <text>`, failures `?<id> <text>`, each
//! followed by an empty line.

mod analyze;
mod commands;
mod gogui;
mod lines;
mod params;
mod raw;
mod times;

pub use lines::{Ahead, Input, Line, Lines};

use super::session::{Ponder, Session};
use crate::base::{Error, Result};
use crate::search::Report;
use lines::AtOnce;
use std::io::Write;
use std::ops::ControlFlow;
use std::time::Duration;

/// What a command says: the text of a result, or of a failure.
type Reply = std::result::Result<String, String>;

/// What follows a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Continue,
    /// The other's turn begins.
    Ponder,
    Quit,
}

/// How often pondering is looked at for the next line of input.
const PONDER_TICK: Duration = Duration::from_millis(5);

/// Answers command lines until `quit` or their end. Analysis ends at once, as the next line is there already.
///
/// # Errors
/// As [`serve_input`].
pub fn serve(session: &mut Session, lines: impl Iterator<Item = std::io::Result<Line>>, out: impl Write) -> Result<()> {
    serve_input(session, &mut AtOnce(lines), out)
}

/// Answers the commands of a controller until `quit` or their end.
///
/// # Errors
/// Reading or writing failed, or the net could not be evaluated. Whatever a controller sends is answered, not an error.
pub fn serve_input(session: &mut Session, input: &mut dyn Input, mut out: impl Write) -> Result<()> {
    while let Some(line) = input.next_line() {
        let line = line.map_err(|e| Error::new("gtp input", e))?;
        match answer(session, &line, input, &mut out)? {
            Next::Quit => break,
            Next::Continue => {}
            Next::Ponder => ponder(session, input)?,
        }
    }
    Ok(())
}

/// Thinks on until the next line comes.
fn ponder(session: &mut Session, input: &mut dyn Input) -> Result<()> {
    if session.ponder == Ponder::No || session.game().is_over() {
        return Ok(());
    }
    let mut watch = |_: &dyn Fn() -> Option<Report>| match input.is_waiting() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    session.think_ahead(PONDER_TICK, &mut watch)
}

/// Writes the whole answer to one line; nothing if the line holds no command.
fn answer(session: &mut Session, line: &Line, input: &mut dyn Input, out: &mut dyn Write) -> Result<Next> {
    let write = |out: &mut dyn Write, text: String| {
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| Error::new("stdout", e))
    };
    let text = match line {
        Line::Text(text) => clean(text),
        Line::TooLong => return write(out, framed("", Err("line too long".to_string()))).map(|()| Next::Continue),
    };
    let mut words = text.split_whitespace().peekable();
    let id = words.next_if(|word| word.bytes().all(|b| b.is_ascii_digit())).unwrap_or("");
    let Some(name) = words.next() else {
        if !id.is_empty() {
            write(out, framed(id, Err("unknown command".to_string())))?;
        }
        return Ok(Next::Continue);
    };
    let args: Vec<&str> = words.collect();
    let next = match name {
        "quit" => Next::Quit,
        name if name.contains("genmove") => Next::Ponder,
        _ => Next::Continue,
    };
    match commands::find(name) {
        Some(_) if matches!(name, "genmove" | "kgs-genmove_cleanup") && input.may_interrupt() && session.searches() => {
            write(out, framed(id, commands::genmove_interruptible(session, &args, input)?))?;
        }
        Some(run) => write(out, framed(id, run(session, &args)?))?,
        None if analyze::run(session, (id, name, &args), input, out)? => {}
        None => write(out, framed(id, Err("unknown command".to_string())))?,
    }
    Ok(next)
}

/// Without comment and control characters; a tab is a blank.
fn clean(line: &str) -> String {
    let line = line.split('#').next().unwrap_or("");
    line.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !c.is_control()).collect()
}

fn framed(id: &str, reply: Reply) -> String {
    match reply {
        Ok(text) => format!("={id} {text}\n\n"),
        Err(text) => format!("?{id} {text}\n\n"),
    }
}

#[cfg(test)]
mod live_tests;
#[cfg(test)]
mod tests;
