//! The Go Text Protocol, version 2, around a session: KataGo's framing, error texts and tolerance, so that programs
//! which drive KataGo find what they expect.
//!
//! One reply a command, in order, with the command's id. Results are `=<id> <text>`, failures `?<id> <text>`, each
//! followed by an empty line.

mod commands;
mod lines;

pub use lines::{Line, Lines};

use super::session::Session;
use crate::base::{Error, Result};
use std::io::Write;

/// What a command says: the text of a result, or of a failure.
type Reply = std::result::Result<String, String>;

/// What follows a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Continue,
    Quit,
}

/// Answers command lines until `quit` or their end.
///
/// # Errors
/// Reading or writing failed, or the net could not be evaluated. Whatever a controller sends is answered, not an error.
pub fn serve(session: &mut Session, lines: impl Iterator<Item = std::io::Result<Line>>, mut out: impl Write) -> Result<()> {
    for line in lines {
        let line = line.map_err(|e| Error::new("gtp input", e))?;
        let Some((answer, next)) = answer(session, &line)? else { continue };
        out.write_all(answer.as_bytes()).and_then(|()| out.flush()).map_err(|e| Error::new("stdout", e))?;
        if next == Next::Quit {
            break;
        }
    }
    Ok(())
}

/// The whole answer to one line; none if the line holds no command.
fn answer(session: &mut Session, line: &Line) -> Result<Option<(String, Next)>> {
    let text = match line {
        Line::Text(text) => clean(text),
        Line::TooLong => return Ok(Some((framed("", Err("line too long".to_string())), Next::Continue))),
    };
    let mut words = text.split_whitespace().peekable();
    let id = words.next_if(|word| word.bytes().all(|b| b.is_ascii_digit())).unwrap_or("");
    let Some(name) = words.next() else {
        return Ok((!id.is_empty()).then(|| (framed(id, Err("unknown command".to_string())), Next::Continue)));
    };
    let args: Vec<&str> = words.collect();
    let reply = match commands::find(name) {
        Some(run) => run(session, &args)?,
        None => Err("unknown command".to_string()),
    };
    let next = if name == "quit" { Next::Quit } else { Next::Continue };
    Ok(Some((framed(id, reply), next)))
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
mod tests;
