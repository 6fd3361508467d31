//! `edgezero profiles`: what the profiles say.

use super::Context;
use super::out::outln;
use crate::base::fs::write_whole;
use crate::base::{Error, Result};
use crate::device::Machine;
use crate::profile::{self, BUILT_IN, Profile};
use argh::FromArgs;
use std::path::Path;

/// List the profiles, show one as a complete TOML file, compare some, or write a new one for this machine.
#[derive(FromArgs)]
#[argh(subcommand, name = "profiles")]
pub(super) struct ProfilesArgs {
    /// list (the default); show (the one in use) or show NAME; compare NAME NAME...; new FILE
    #[argh(positional, arg_name = "list|show|compare|new")]
    words: Vec<String>,
}

pub(super) fn run(args: ProfilesArgs, ctx: &Context) -> Result<()> {
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    match words[..] {
        [] | ["list"] => list(ctx),
        ["show"] => show_in_use(ctx),
        ["show", name] => show(name),
        ["compare", ref names @ ..] if names.len() >= 2 => compare(names),
        ["compare", ..] => {
            Err(Error::call("profiles compare", "fewer than two profiles").hint("edgezero profiles compare nano xavier-nx"))
        }
        ["new", file] => new(Path::new(file)),
        ["new"] => Err(Error::call("profiles new", "no name of a file").hint("edgezero profiles new mine.toml")),
        _ => Err(Error::call("profiles", format!("{:?}, expected list, show, compare or new", words.join(" ")))),
    }
}

fn list(ctx: &Context) -> Result<()> {
    outln!("{:12} {:>5} {:>8} {:>10}  {:8} {:>6}", "profile", "cores", "ram", "budget", "net", "batch")?;
    for (name, _) in BUILT_IN {
        row(&Profile::built_in(name).expect("a name of BUILT_IN")?)?;
    }
    if Profile::built_in(&ctx.profile.name).is_none_or(|profile| profile.ok().as_ref() != Some(&ctx.profile)) {
        outln!("in use on this machine:")?;
        row(&ctx.profile)?;
    }
    Ok(())
}

fn row(profile: &Profile) -> Result<()> {
    let train = &profile.train;
    outln!(
        "{:12} {:>5} {:>5} MB {:>7} MB  {:8} {:>6}",
        profile.name,
        profile.device.cores,
        profile.device.ram_mb,
        profile.ram_budget_bytes() >> 20,
        train.net,
        train.batch_size * train.accumulate
    )
}

fn show_in_use(ctx: &Context) -> Result<()> {
    let text = toml::to_string(&ctx.profile).map_err(|e| Error::new("profile", e))?;
    outln!("{}", text.trim_end())
}

fn show(name: &str) -> Result<()> {
    match BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
        Some((_, text)) => outln!("{}", text.trim_end()),
        None => Err(Error::call("profiles show", format!("no profile is named {name:?}")).hint("edgezero profiles list")),
    }
}

/// A table of the keys in which they differ.
fn compare(names: &[&str]) -> Result<()> {
    let machine = Machine::read();
    let profiles = names.iter().map(|name| Ok(profile::choose(name, &machine)?.0)).collect::<Result<Vec<Profile>>>()?;
    let rows = profile::differences(&profiles)?;
    let width = |i: usize| rows.iter().map(|(_, values)| values[i].len()).chain([names[i].len()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    let first = rows.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    let line = |key: &str, values: &[String]| {
        let values: Vec<String> = values.iter().zip(&widths).map(|(value, width)| format!("{value:>width$}")).collect();
        outln!("{key:first$}  {}", values.join("  "))
    };
    line("", &names.iter().map(|name| name.to_string()).collect::<Vec<_>>())?;
    rows.iter().try_for_each(|(key, values)| line(key, values))
}

/// Writes a profile for this machine; a file that is there stays.
fn new(file: &Path) -> Result<()> {
    if file.exists() {
        return Err(Error::new(file.display(), "is there already").hint("another file name"));
    }
    let name = file.file_stem().map_or("new".to_string(), |stem| stem.to_string_lossy().into_owned());
    write_whole(file, profile::text_for(&Machine::read(), &name)?.as_bytes())?;
    outln!("{}", file.display())?;
    let used = if file.components().count() == 1 { Path::new(".").join(file) } else { file.to_path_buf() };
    log::info!("use it with: edgezero --profile {} train", used.display());
    Ok(())
}
