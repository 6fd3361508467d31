//! Which profile a run takes: a name, a file, or what fits the machine.

use super::{BUILT_IN, Profile};
use crate::base::{Error, Result};
use crate::device::Machine;
use std::path::Path;

/// Device tree models in their order of trial: words that are all there, the profile, and the board's name.
const MODELS: [(&[&str], &str); 7] = [
    (&["orin", "nano"], "orin-nano"),
    (&["orin", "nx"], "orin-nx"),
    (&["orin"], "agx-orin"),
    (&["xavier", "nx"], "xavier-nx"),
    (&["xavier"], "agx-xavier"),
    // JetPack 4 calls the AGX Xavier "Jetson-AGX".
    (&["jetson", "agx"], "agx-xavier"),
    (&["jetson", "nano"], "nano"),
];

/// Takes the profile that `request` names: `auto`, a built-in name, or a file (anything with a `/`, ending in `.toml`, or
/// that is there).
/// Beside it, one line that says which and why.
///
/// # Errors
/// An unknown name (a wrong call), or a file that cannot be read or holds no profile.
pub fn choose(request: &str, machine: &Machine) -> Result<(Profile, String)> {
    if request == "auto" {
        return auto(machine);
    }
    if let Some(profile) = Profile::built_in(request) {
        return Ok((profile?, format!("profile={request} (asked for)")));
    }
    if request.contains('/') || request.ends_with(".toml") || Path::new(request).is_file() {
        return Ok((Profile::read(Path::new(request))?, format!("profile={request} (a file)")));
    }
    let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    Err(Error::call("--profile", format!("no profile is named {request:?}"))
        .hint(format!("auto, {}, or a file such as ./{request}.toml", names.join(", "))))
}

fn auto(machine: &Machine) -> Result<(Profile, String)> {
    let (name, why) = match &machine.model {
        Some(model) => match of_model(model) {
            Some(name) => (name, format!("the device tree says {model:?}")),
            None => ("desktop", format!("no profile for {model:?}")),
        },
        None => ("desktop", "no device tree".to_string()),
    };
    let profile = Profile::built_in(name).expect("every name in MODELS is built in, as a test holds")?;
    let profile = fitted(profile, machine);
    let line = format!(
        "profile={name} ({why}) cores={} ram_mb={} budget_mb={}",
        profile.device.cores,
        profile.device.ram_mb,
        profile.ram_budget_bytes() >> 20
    );
    Ok((profile, line))
}

/// The profile of a device tree model.
fn of_model(model: &str) -> Option<&'static str> {
    let model = model.to_ascii_lowercase();
    let words: Vec<&str> = model.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    MODELS.iter().find(|(wanted, _)| wanted.iter().all(|word| words.contains(word))).map(|(_, name)| *name)
}

/// The profile with no more cores, workers and memory than the machine has.
fn fitted(mut profile: Profile, machine: &Machine) -> Profile {
    // A machine that does not tell its memory keeps the profile's.
    if machine.ram_bytes > 0 {
        profile.device.ram_mb = profile.device.ram_mb.min(machine.ram_bytes >> 20).max(1);
    }
    for workers in [
        &mut profile.device.cores,
        &mut profile.convert.workers,
        &mut profile.train.parse_workers,
        &mut profile.train.dataloader_workers,
    ] {
        *workers = (*workers).min(machine.cores).max(1);
    }
    profile
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::memory::Bound;

    fn machine(model: Option<&str>, cores: usize, ram_mb: u64) -> Machine {
        let ram_bytes = ram_mb << 20;
        Machine {
            model: model.map(str::to_string),
            cores,
            ram_bytes,
            ram_bound: Bound::Machine,
            ram_available_bytes: ram_bytes,
            address_bytes: None,
            page_bytes: 4096,
        }
    }

    #[test]
    fn auto_knows_the_boards() {
        let cases = [
            ("NVIDIA Jetson Nano Developer Kit", "nano"),
            ("NVIDIA Jetson Nano 2GB Developer Kit", "nano"),
            ("NVIDIA Jetson Xavier NX Developer Kit", "xavier-nx"),
            ("NVIDIA Jetson Xavier NX Developer Kit (SD-card)", "xavier-nx"),
            ("Jetson-AGX", "agx-xavier"),
            ("NVIDIA Jetson AGX Xavier Developer Kit", "agx-xavier"),
            ("NVIDIA Orin Nano Developer Kit", "orin-nano"),
            ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", "orin-nano"),
            ("NVIDIA Orin NX Developer Kit", "orin-nx"),
            ("NVIDIA Jetson Orin NX Engineering Reference Developer Kit", "orin-nx"),
            ("NVIDIA Jetson AGX Orin Developer Kit", "agx-orin"),
            ("Jetson AGX Orin", "agx-orin"),
            ("Raspberry Pi 5 Model B", "desktop"),
            ("quill", "desktop"),
        ];
        for (model, expected) in cases {
            let (profile, line) = choose("auto", &machine(Some(model), 64, 1 << 20)).unwrap();
            assert_eq!(profile.name, expected, "{model}");
            assert!(line.starts_with(&format!("profile={expected} (")) && line.contains(model), "{line}");
            // A machine with more than the board has does not change the profile.
            assert_eq!(Some(profile), Profile::built_in(expected).map(|p| p.unwrap()), "{model}");
        }
    }

    #[test]
    fn auto_stays_within_the_machine() {
        let (profile, line) = choose("auto", &machine(None, 2, 3000)).unwrap();
        assert_eq!(line, "profile=desktop (no device tree) cores=2 ram_mb=3000 budget_mb=1800");
        let train = &profile.train;
        assert_eq!((profile.convert.workers, train.parse_workers, train.dataloader_workers), (2, 2, 2));
        let (profile, _) = choose("auto", &machine(Some("NVIDIA Orin NX Developer Kit"), 6, 7600)).unwrap();
        assert_eq!((profile.device.cores, profile.device.ram_mb, profile.train.net.as_str()), (6, 7600, "b6c96"));
    }

    #[test]
    fn names_and_files() {
        let pc = machine(None, 2, 8000);
        let (profile, _) = choose("agx-orin", &pc).unwrap();
        assert_eq!(profile.device.cores, 12);
        let told = choose("orin", &pc).unwrap_err();
        assert_eq!(told.exit_code(), 2);
        assert!(told.to_string().contains("agx-orin, desktop, or a file such as ./orin.toml"), "{told}");
        assert_eq!(choose("no/such.toml", &pc).unwrap_err().exit_code(), 1);

        let path = std::env::temp_dir().join(format!("edgezero-profile-{}.toml", std::process::id()));
        std::fs::write(&path, BUILT_IN[0].1.replace("seed = 1 ", "seed = 7 ")).unwrap();
        let (profile, line) = choose(path.to_str().unwrap(), &pc).unwrap();
        assert_eq!(profile.train.seed, 7);
        assert!(line.ends_with("(a file)"));
        std::fs::remove_file(&path).unwrap();
    }
}
