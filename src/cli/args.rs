//! Arguments in the forms people type, brought to the one form argh reads: `edgezero [global options] command [options]`.

use crate::base::{Error, Result};
use std::ffi::OsString;

/// Global options that take a value.
const GLOBAL_OPTIONS: [&str; 6] = ["--profile", "--backend", "--gpus", "--precision", "--threads", "--log-file"];
/// Global switches.
const GLOBAL_SWITCHES: [&str; 3] = ["--verbose", "-v", "--version"];

/// Splits `--key=value` and `-vv`, writes `-h` out, and moves global options before the command.
/// From a bare `--` on, everything stays as it is.
///
/// # Errors
/// An argument that is not UTF-8, or a global option without its value.
pub(super) fn normalize(args: impl IntoIterator<Item = OsString>) -> Result<Vec<String>> {
    let mut globals = Vec::new();
    let mut rest = Vec::new();
    let mut args = args.into_iter().map(utf8);
    while let Some(arg) = args.next() {
        let arg = arg?;
        if arg == "--" {
            rest.push(arg);
            for arg in args.by_ref() {
                rest.push(arg?);
            }
            break;
        }
        let (key, value) = match arg.split_once('=') {
            Some((key, value)) if key.starts_with("--") => (key.to_string(), Some(value.to_string())),
            _ => (arg, None),
        };
        if GLOBAL_OPTIONS.contains(&key.as_str()) {
            let value = match value {
                Some(value) => value,
                None => args.next().ok_or_else(|| Error::call(&key, "needs a value").hint("edgezero --help"))??,
            };
            globals.extend([key, value]);
        } else if GLOBAL_SWITCHES.contains(&key.as_str()) && value.is_none() {
            globals.push(key);
        } else if is_repeated_v(&key) {
            globals.extend((1..key.len()).map(|_| "-v".to_string()));
        } else {
            rest.push(match key.as_str() {
                "-h" => "--help".to_string(),
                // As KaTrain and others call KataGo.
                "-model" => "--net".to_string(),
                "-config" | "-override-config" | "-analysis-threads" | "-human-model" | "-quit-without-waiting" => {
                    format!("-{key}")
                }
                // `-V` is `--version`, which needs no command.
                "-V" => "--version".to_string(),
                // argh would take it for an option; a command that reads files reads standard input all the same.
                "-" => "/dev/stdin".to_string(),
                _ => key,
            });
            rest.extend(value);
        }
    }
    globals.extend(rest);
    Ok(globals)
}

fn utf8(arg: OsString) -> Result<String> {
    arg.into_string().map_err(|arg| Error::call(format!("{:?}", arg.to_string_lossy()), "this argument is not UTF-8 text"))
}

fn is_repeated_v(arg: &str) -> bool {
    arg.len() > 2 && arg.strip_prefix('-').is_some_and(|letters| letters.bytes().all(|b| b == b'v'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_comes_out_the_same() {
        let cases = [
            ("gtp --net a.bin.gz", "gtp --net a.bin.gz"),
            ("gtp --net=a=b.bin.gz", "gtp --net a=b.bin.gz"),
            ("gtp --net x --threads 2 --profile=nano", "--threads 2 --profile nano gtp --net x"),
            ("train -vv -h", "-v -v train --help"),
            ("analysis -model a.bin.gz -config b.cfg", "analysis --net a.bin.gz --config b.cfg"),
            ("analysis -human-model h -quit-without-waiting", "analysis --human-model h --quit-without-waiting"),
            ("-V", "--version"),
            ("inspect --version", "--version inspect"),
            ("inspect -- --threads=2 -h", "inspect -- --threads=2 -h"),
            ("gtp --komi -7.5", "gtp --komi -7.5"),
            ("convert a=b --out=", "convert a=b --out "),
        ];
        for (typed, expected) in cases {
            let got = normalize(typed.split(' ').map(OsString::from)).unwrap().join(" ");
            assert_eq!(got, expected, "{typed}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_a_wrong_call() {
        let told = normalize(["train", "--threads"].map(OsString::from)).unwrap_err();
        assert_eq!((told.exit_code(), told.to_string().as_str()), (2, "--threads: needs a value\ntry: edgezero --help"));
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStringExt;
            assert_eq!(normalize([OsString::from_vec(vec![b'a', 0xff])]).unwrap_err().exit_code(), 2);
        }
    }
}
