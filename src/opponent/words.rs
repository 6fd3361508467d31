//! A command line as words, as a shell would split it.

use crate::base::{Error, Result};

/// Splits at blanks outside of quotes. Within `\'…\'` everything stands for itself; within `"…"` and outside, a backslash takes
/// the meaning from a quote, a backslash or a blank after it, and stands for itself before anything else, as in paths of
/// Windows. Nothing is expanded.
///
/// # Errors
/// A quote that is not closed.
pub(super) fn split(command: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    // The word under way; none between words, so that quotes can hold an empty one.
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut letters = command.chars().peekable();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                let taken =
                    letters.next_if(|next| matches!(next, '\'' | '"' | '\\') || (quote.is_none() && next.is_whitespace()));
                word.get_or_insert_default().push(taken.unwrap_or(letter));
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    match quote {
        Some(open) => Err(Error::call("program", format!("{command}: {open} is not closed"))),
        None => Ok(words.into_iter().chain(word).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_split_as_in_a_shell() {
        let cases: [(&str, &[&str]); 9] = [
            ("gnugo --mode  gtp ", &["gnugo", "--mode", "gtp"]),
            ("'/my games/gnugo' --level 1", &["/my games/gnugo", "--level", "1"]),
            (
                r#"katago gtp -override-config "maxVisits = 5, x=\"y\"""#,
                &["katago", "gtp", "-override-config", "maxVisits = 5, x=\"y\""],
            ),
            (r"/my\ games/gnugo", &["/my games/gnugo"]),
            (r"C:\go\gnugo.exe --mode gtp", &[r"C:\go\gnugo.exe", "--mode", "gtp"]),
            (r"'a\b' a\\b", &[r"a\b", r"a\b"]),
            ("a '' b", &["a", "", "b"]),
            ("--name='x y'z", &["--name=x yz"]),
            ("  ", &[]),
        ];
        for (command, expected) in cases {
            assert_eq!(split(command).unwrap(), expected, "{command}");
        }
        for open in ["gnugo 'x", "gnugo \"x", r#"gnugo "x\""#] {
            assert_eq!(split(open).unwrap_err().exit_code(), 2, "{open}");
        }
    }
}
