//! `edgezero doctor`: what this machine is, and what to mend before training.

use super::Context;
use super::out::outln;
use crate::base::{Error, Result};
use crate::device::{Machine, Tree};
use crate::diagnose::doctor::Examination;
use crate::profile;
use argh::FromArgs;
use std::path::{Path, PathBuf};

/// Tell what this board is, what is wrong for training, the command that mends it, and which backend will open and why.
///
/// Nothing is changed. The disk of the present folder is written and read for about two seconds.
#[derive(FromArgs)]
#[argh(subcommand, name = "doctor")]
pub(super) struct DoctorArgs {
    /// look at the files under this folder instead of this machine's: a recorded board (scripts/record_board.sh)
    #[argh(option, arg_name = "dir")]
    root: Option<PathBuf>,
    /// one JSON object on stdout
    #[argh(switch)]
    json: bool,
}

pub(super) fn run(args: DoctorArgs, _: &Context) -> Result<()> {
    let root = args.root.as_deref().unwrap_or(Path::new("/"));
    if !root.is_dir() {
        return Err(Error::new(root.display(), "no such folder").hint("the folder of a recorded board"));
    }
    let tree = Tree::under(root);
    let here = match tree.is_machine() {
        true => std::env::current_dir().map_err(|e| Error::new("the present folder", e))?,
        false => PathBuf::from("/"),
    };
    let examination = Examination::of(&tree, &here);
    let (_, profile) = profile::choose("auto", &Machine::read_under(root))?;
    if !args.json {
        outln!("{profile}")?;
        return outln!("{examination}");
    }
    let failed = |e: serde_json::Error| Error::new("doctor", e);
    let mut json = serde_json::to_value(&examination).map_err(failed)?;
    json["findings"] = serde_json::to_value(examination.findings()).map_err(failed)?;
    json["profile"] = profile.into();
    outln!("{json}")
}
