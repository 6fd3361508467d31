//! Profiles side by side.

use super::Profile;
use crate::base::{Error, Result};
use std::collections::BTreeMap;

/// The keys in which the profiles differ, in the order of a profile: `section.key` and the value of each profile.
///
/// # Errors
/// A profile that cannot be written as TOML, which none is.
pub fn differences(profiles: &[Profile]) -> Result<Vec<(String, Vec<String>)>> {
    let mut keys: Vec<String> = Vec::new();
    let mut values: Vec<BTreeMap<String, String>> = Vec::new();
    for profile in profiles {
        let table = toml::Table::try_from(profile).map_err(|e| Error::new(&profile.name, e))?;
        let text = toml::to_string(profile).map_err(|e| Error::new(&profile.name, e))?;
        if keys.is_empty() {
            keys = keys_in_order(&text);
        }
        let mut flat = BTreeMap::new();
        flatten("", &toml::Value::Table(table), &mut flat);
        values.push(flat);
    }
    let value = |flat: &BTreeMap<String, String>, key: &String| flat.get(key).cloned().unwrap_or_else(|| "-".to_string());
    let rows = keys.into_iter().map(|key| {
        let row: Vec<String> = values.iter().map(|flat| value(flat, &key)).collect();
        (key, row)
    });
    Ok(rows.filter(|(_, row)| row.iter().any(|value| *value != row[0])).collect())
}

fn flatten(before: &str, value: &toml::Value, flat: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let name = if before.is_empty() { key.clone() } else { format!("{before}.{key}") };
                flatten(&name, value, flat);
            }
        }
        // Single precision turned into double has digits that nobody wrote.
        toml::Value::Float(number) => drop(flat.insert(before.to_string(), (*number as f32).to_string())),
        other => drop(flat.insert(before.to_string(), other.to_string())),
    }
}

/// `section.key` in the order of the text.
fn keys_in_order(text: &str) -> Vec<String> {
    let mut section = "";
    let mut keys = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
        } else if let Some((key, _)) = line.split_once(" = ") {
            keys.push(if section.is_empty() { key.to_string() } else { format!("{section}.{key}") });
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told() {
        let profile = |name: &str| Profile::built_in(name).unwrap().unwrap();
        let rows = differences(&[profile("nano"), profile("xavier-nx")]).unwrap();
        let row = |key: &str| rows.iter().find(|(name, _)| name == key).map(|(_, values)| values.join(" "));
        assert_eq!(row("device.cores").as_deref(), Some("4 6"));
        assert_eq!(row("memory.ram_share").as_deref(), Some("0.45 0.55"));
        assert_eq!(row("convert.repair.illegal"), None);
        assert_eq!(rows[0].0, "device.ram_mb");
        assert!(differences(&[profile("nano"), profile("nano")]).unwrap().is_empty());
    }
}
