//! `edgezero profiles`: what the profiles say.

use super::Context;
use super::out::outln;
use crate::base::{Error, Result};
use crate::profile::{BUILT_IN, Profile};
use argh::FromArgs;

/// List the built-in profiles, or show one as a complete TOML file, ready to be copied and changed.
#[derive(FromArgs)]
#[argh(subcommand, name = "profiles")]
pub(super) struct ProfilesArgs {
    /// list (the default), show (the one in use), or show NAME
    #[argh(positional, arg_name = "list|show [NAME]")]
    words: Vec<String>,
}

pub(super) fn run(args: ProfilesArgs, ctx: &Context) -> Result<()> {
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    match words[..] {
        [] | ["list"] => list(ctx),
        ["show"] => show_in_use(ctx),
        ["show", name] => show(name),
        _ => Err(Error::call("profiles", format!("{:?}, expected list, show or show NAME", words.join(" ")))),
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
