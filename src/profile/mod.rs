//! Profiles: one TOML file a board, one section a room.
//!
//! The files in `profiles/` are part of the binary. A profile is complete: every key is there, none is unknown, and every
//! value is in the range its room can use, or the profile is refused with file and line.

mod choose;
mod compare;
mod fit;

pub use choose::choose;
pub use compare::differences;
pub use fit::text_for;

use crate::base::config::{BadValue, within};
use crate::base::fs::read_limited;
use crate::base::{Error, Result};
use crate::compute::Precision;
use crate::corpus::ConvertConfig;
use crate::device::WatchConfig;
use crate::opponent::OpponentConfig;
use crate::search::SearchConfig;
use crate::train::TrainConfig;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Largest profile file read, in bytes: ours have 4 KB.
const PROFILE_BYTES_MAX: u64 = 1 << 20;

/// The built-in profiles: name and text, smallest board first.
pub const BUILT_IN: [(&str, &str); 7] = [
    ("nano", include_str!("../../profiles/nano.toml")),
    ("xavier-nx", include_str!("../../profiles/xavier-nx.toml")),
    ("agx-xavier", include_str!("../../profiles/agx-xavier.toml")),
    ("orin-nano", include_str!("../../profiles/orin-nano.toml")),
    ("orin-nx", include_str!("../../profiles/orin-nx.toml")),
    ("agx-orin", include_str!("../../profiles/agx-orin.toml")),
    ("desktop", include_str!("../../profiles/desktop.toml")),
];

/// The budgets and defaults of one board.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name or its file; not part of the file.
    #[serde(skip)]
    pub name: String,
    /// What the board has.
    pub device: DeviceConfig,
    /// How much of its memory a run may take.
    pub memory: MemoryConfig,
    /// What a run leaves to the machine while it works.
    pub watch: WatchConfig,
    /// Records to shards.
    pub convert: ConvertConfig,
    /// Shards to a net.
    pub train: TrainConfig,
    /// The tree of a net at play.
    pub search: SearchConfig,
    /// A net at play.
    pub opponent: OpponentConfig,
}

/// What the board has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceConfig {
    /// Memory in MiB.
    pub ram_mb: u64,
    /// CPU cores; the default of `--threads`.
    pub cores: usize,
    /// What convolutions round to: the default of `--precision`.
    pub precision: String,
}

impl DeviceConfig {
    /// What convolutions round to; none leaves it to the backend.
    ///
    /// # Errors
    /// A word that is no precision.
    pub fn precision(&self) -> std::result::Result<Option<Precision>, BadValue> {
        let bad = |_| BadValue::new("precision", format!("{:?}", self.precision), "auto, f32, f16 or bf16");
        Precision::parse(&self.precision).map_err(bad)
    }
}

/// How much of the board's memory a run may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryConfig {
    /// Share of `device.ram_mb`.
    pub ram_share: f32,
}

impl Profile {
    /// Reads the built-in profile `name`, if there is one.
    pub fn built_in(name: &str) -> Option<Result<Profile>> {
        let (name, text) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name)?;
        Some(Profile::parse(text, &format!("profiles/{name}.toml")).map(|profile| Profile { name: name.to_string(), ..profile }))
    }

    /// Reads a profile file.
    pub fn read(path: &Path) -> Result<Profile> {
        let bytes = read_limited(path, PROFILE_BYTES_MAX).map_err(|e| e.or_hint(HINT))?;
        let text = std::str::from_utf8(&bytes).map_err(|e| Error::at_byte(path, e.valid_up_to() as u64, "not UTF-8 text"))?;
        Profile::parse(text, &path.display().to_string())
    }

    /// Reads a profile from its text; `place` names it in errors.
    pub fn parse(text: &str, place: &str) -> Result<Profile> {
        let mut profile: Profile = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |span| line_of(text, span.start));
            Error::new(format!("{place}:{line}"), plain(e.message())).hint(HINT)
        })?;
        profile.check().map_err(|(section, bad)| {
            Error::new(format!("{place}:{}", line_of_key(text, section, bad.key)), format!("[{section}] {}", bad.what)).hint(HINT)
        })?;
        profile.name = place.to_string();
        Ok(profile)
    }

    /// Bytes of memory one run may take.
    pub fn ram_budget_bytes(&self) -> u64 {
        ((self.device.ram_mb << 20) as f64 * f64::from(self.memory.ram_share)) as u64
    }

    /// The first value outside of its range, with its section.
    fn check(&self) -> std::result::Result<(), (&'static str, BadValue)> {
        within("ram_mb", self.device.ram_mb, 256..=1 << 24, "MiB").map_err(|bad| ("device", bad))?;
        within("cores", self.device.cores, 1..=1024, "cores").map_err(|bad| ("device", bad))?;
        self.device.precision().map_err(|bad| ("device", bad))?;
        within("ram_share", self.memory.ram_share, 0.05..=0.95, "of device.ram_mb").map_err(|bad| ("memory", bad))?;
        self.watch.check().map_err(|bad| ("watch", bad))?;
        self.convert.check().map_err(|bad| ("convert", bad))?;
        self.convert.archive.check().map_err(|bad| ("convert.archive", bad))?;
        self.train.check().map_err(|bad| ("train", bad))?;
        self.search.check().map_err(|bad| ("search", bad))?;
        self.opponent.check().map_err(|bad| ("opponent", bad))
    }
}

const HINT: &str = "edgezero profiles show desktop, a complete profile with every key explained";

/// serde's message with its type names in words.
fn plain(message: &str) -> String {
    const WORDS: [(&str, &str); 4] = [
        ("expected usize", "expected a whole number, 0 or more"),
        ("expected u64", "expected a whole number, 0 or more"),
        ("expected f32", "expected a number"),
        ("\n", " "),
    ];
    WORDS.iter().fold(message.trim_end().to_string(), |text, (from, to)| text.replace(from, to))
}

fn line_of(text: &str, byte: usize) -> usize {
    text.as_bytes()[..byte.min(text.len())].iter().filter(|&&b| b == b'\n').count() + 1
}

/// The line of `key` in `[section]`, from 1; 1 if it stands in a form this does not see, such as an inline table.
fn line_of_key(text: &str, section: &str, key: &str) -> usize {
    let mut current = "";
    for (line_idx, line) in text.lines().map(str::trim).enumerate() {
        if let Some(header) = line.strip_prefix('[') {
            current = header.split(']').next().unwrap_or("").trim();
        } else if is_in(current, section) && line.split('=').next().is_some_and(|k| k.trim() == key) {
            return line_idx + 1;
        }
    }
    1
}

/// Whether a header is `[section]` or a table in it.
fn is_in(header: &str, section: &str) -> bool {
    header.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_profiles_are_complete_and_explained() {
        for (name, text) in BUILT_IN {
            let profile = Profile::built_in(name).unwrap().unwrap();
            assert_eq!(profile.name, name);
            assert!(profile.ram_budget_bytes() < profile.device.ram_mb << 20, "{name}");
            assert!(profile.search.bytes() < profile.ram_budget_bytes() / 2, "{name}");
            assert!(profile.convert.workers <= profile.device.cores, "{name}");
            for line in text.lines().filter(|line| line.contains(" = ")) {
                assert!(line.contains("# "), "{name}: no unit or reason: {line}");
            }
        }
        assert!(Profile::built_in("atari").is_none());
    }

    #[test]
    fn a_written_profile_reads_back() {
        let profile = Profile::built_in("nano").unwrap().unwrap();
        let text = toml::to_string(&profile).unwrap();
        assert_eq!(Profile { name: "nano".into(), ..Profile::parse(&text, "x").unwrap() }, profile);
    }

    #[test]
    fn mistakes_are_told_with_file_and_line() {
        let good = BUILT_IN[6].1;
        let cases = [
            ("cores = 8 ", "cores = 0 ", "my.toml:@: [device] cores is 0, expected 1..=1024 cores"),
            ("precision = \"auto\"", "precision = \"f8\"", "[device] precision is \"f8\", expected auto, f32, f16 or bf16"),
            ("batch_size = 128", "batch_sise = 128", "my.toml:@: unknown field `batch_sise`, expected one of"),
            ("epochs = 8", "epochs = \"many\"", "my.toml:@: invalid type: string \"many\", expected a whole number"),
            ("epochs = 8", "epochs = -1", "my.toml:@: invalid value: integer `-1`, expected a whole number"),
            ("\"b4c32\"", "\"large\"", "my.toml:@: [train] net is \"large\", expected b{blocks}c{channels}, such as b4c32"),
            ("\"b4c32\"", "\"b64c600\"", "my.toml:@: [train] net is \"b64c600\", expected b{blocks}c{channels}, such as b4c32"),
            ("\"adamw\"", "\"adam\"", "my.toml:@: unknown variant `adam`, expected `sgd` or `adamw`"),
            ("komi = 7.5", "komi = 7.3", "[opponent] komi is 7.3, expected an integer or half-integer"),
            ("ema_decay = 0.995", "ema_decay = 1.5", "[train] ema_decay is 1.5, expected 0.0..1.0"),
            ("[memory]", "[memory", "my.toml:@: "),
            ("ram_share = ", "# ", "missing field `ram_share`"),
        ];
        for (from, to, expected) in cases {
            let text = good.replacen(from, to, 1);
            assert_ne!(text, good, "{from}");
            let line = line_of(good, good.find(from).unwrap());
            let expected = expected.replace('@', &line.to_string());
            let told = Profile::parse(&text, "my.toml").unwrap_err().to_string();
            assert!(told.contains(&expected), "{from} -> {to}: {told}");
            assert!(told.contains("\ntry: edgezero profiles show"), "{told}");
        }
    }
}
