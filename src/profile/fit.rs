//! A profile written for a machine: the nearest built-in one with this machine's numbers, comments and all.

use super::{Profile, choose, is_in};
use crate::base::Result;
use crate::device::Machine;

/// Share of a run's memory that the tree and the kept evaluations may take.
const SEARCH_SHARE: f64 = 0.25;
/// Smallest batch that a new profile gets.
const BATCH_MIN: usize = 32;

/// The text of a profile for `machine`, with `name` in its first lines.
///
/// # Errors
/// None but a mistake in a built-in profile.
pub fn text_for(machine: &Machine, name: &str) -> Result<String> {
    // `auto` brings the memory and the workers down to what is there; a board may have more as well.
    let (fitted, why) = choose("auto", machine)?;
    let base = fitted.name.clone();
    let text = super::BUILT_IN.iter().find(|(built_in, _)| *built_in == base).map_or("", |(_, text)| text);
    let mut profile = Profile::parse(text, &base)?;
    let base_ram_mb = profile.device.ram_mb;
    if machine.ram_bytes > 0 {
        profile.device.ram_mb = (machine.ram_bytes >> 20).max(256);
    }
    profile.device.cores = machine.cores;
    // One core stays free for the writer and the system, as in the built-in profiles.
    let workers = machine.cores.saturating_sub(1).max(1);
    (profile.convert.workers, profile.train.parse_workers) = (workers, workers);
    profile.train.dataloader_workers = profile.train.dataloader_workers.min(machine.cores.div_ceil(2));
    let train = &mut profile.train;
    let mut ram_mb = base_ram_mb;
    while ram_mb > profile.device.ram_mb && train.batch_size / 2 >= BATCH_MIN && train.batch_size.is_multiple_of(2) {
        ram_mb /= 2;
        train.batch_size /= 2;
        train.accumulate *= 2;
    }
    while profile.search.bytes() as f64 > profile.ram_budget_bytes() as f64 * SEARCH_SHARE && profile.search.tree_mb > 16 {
        profile.search.tree_mb /= 2;
        profile.search.cache_mb /= 2;
    }
    let (device, train, search) = (&profile.device, &profile.train, &profile.search);
    let numbers = [
        ("device", "ram_mb", device.ram_mb, "MiB: what this machine has"),
        ("device", "cores", device.cores as u64, "what this machine has"),
        ("convert", "workers", profile.convert.workers as u64, ""),
        ("train", "batch_size", train.batch_size as u64, ""),
        ("train", "accumulate", train.accumulate as u64, ""),
        ("train", "parse_workers", train.parse_workers as u64, ""),
        ("train", "dataloader_workers", train.dataloader_workers as u64, ""),
        ("search", "tree_mb", search.tree_mb as u64, ""),
        ("search", "cache_mb", search.cache_mb as u64, ""),
    ];
    let body = text.split_once("\n\n").map_or(text, |(_, body)| body);
    let head = format!("# Profile {name}: made for this machine from {base}.\n# {why}\n\n");
    let text =
        numbers.iter().fold(format!("{head}{body}"), |text, (section, key, value, why)| set(&text, section, key, *value, why));
    Profile::parse(&text, name)?;
    Ok(text)
}

/// The text with another value of a key, and another reason unless `why` is empty.
fn set(text: &str, section: &str, key: &str, value: u64, why: &str) -> String {
    let mut current = "";
    let mut lines = Vec::new();
    for line in text.lines() {
        if let Some(header) = line.trim().strip_prefix('[') {
            current = header.split(']').next().unwrap_or("").trim();
        }
        let is_it = current == section && is_in(current, section) && line.split('=').next().is_some_and(|k| k.trim() == key);
        let old = line.split_once("# ").map_or("", |(_, comment)| comment);
        let comment = if why.is_empty() { old } else { why };
        match is_it {
            true => lines.push(format!("{:32} # {comment}", format!("{key} = {value}"))),
            false => lines.push(line.to_string()),
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::memory::Bound;

    #[test]
    fn a_new_profile_is_whole_and_fits() {
        for (model, cores, ram_mb) in
            [(None, 2, 1500), (None, 64, 250_000), (Some("NVIDIA Jetson Nano 2GB Developer Kit"), 4, 1979)]
        {
            let ram_bytes = ram_mb << 20;
            let machine = Machine {
                model: model.map(str::to_string),
                cores,
                ram_bytes,
                ram_bound: Bound::Machine,
                ram_available_bytes: ram_bytes,
                address_bytes: None,
                page_bytes: 4096,
            };
            let text = text_for(&machine, "mine").unwrap();
            let profile = Profile::parse(&text, "mine").unwrap();
            assert_eq!((profile.device.cores, profile.device.ram_mb), (cores, ram_mb), "{text}");
            assert!(profile.search.bytes() <= profile.ram_budget_bytes() / 4, "{text}");
            assert!(profile.convert.workers < cores.max(2) && text.starts_with("# Profile mine: "));
            assert!(text.lines().filter(|line| line.contains(" = ")).all(|line| line.contains("# ")), "{text}");
        }
    }
}
