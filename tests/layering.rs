//! A room imports only rooms below it: the order of ARCHITECTURE.md, held by reading the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The house from top to bottom. Rooms of one floor do not know each other.
const HOUSE: [&[&str]; 14] = [
    &["cli"],
    &["profile"],
    &["diagnose"],
    &["improve"],
    &["arena"],
    &["opponent"],
    &["train", "search", "corpus"],
    &["infer"],
    &["net"],
    &["shard"],
    &["feature", "sgf"],
    &["compute", "go"],
    &["device"],
    &["base"],
];

fn floor(room: &str) -> Option<usize> {
    HOUSE.iter().position(|rooms| rooms.contains(&room))
}

#[test]
fn rooms_import_only_rooms_below() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    assert!(files.len() > 10, "{} files under {}", files.len(), src.display());

    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&src).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let room = first.trim_end_matches(".rs");
        if ["lib", "main"].contains(&room) {
            continue;
        }
        let Some(from) = floor(room) else {
            wrong.push(format!("src/{}: the room {room} has no floor in tests/layering.rs", inside.display()));
            continue;
        };
        for (line, other) in imports(&fs::read_to_string(&file).unwrap()) {
            let place = format!("src/{}:{line}", inside.display());
            match floor(&other) {
                None => wrong.push(format!("{place}: {room} imports {other}, which is no room")),
                Some(to) if other != room && to <= from => {
                    wrong.push(format!("{place}: {room} (floor {}) imports {other} (floor {})", height(from), height(to)));
                }
                Some(_) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "imports that do not go down:\n{}", wrong.join("\n"));
}

/// Floors as people count them: the ground is 0.
fn height(floor: usize) -> usize {
    HOUSE.len() - 1 - floor
}

fn rust_files(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

/// The first names of all `crate::…` and `$crate::…` paths, grouped ones (`crate::{a, b::c}`) too, with their lines.
fn imports(text: &str) -> BTreeSet<(usize, String)> {
    // Comments may name any room; a blank keeps the lines' numbers.
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or("")).collect();
    let code = code.join("\n");
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        if at > 0 && code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let path = code[at + "crate::".len()..].trim_start();
        let names = match path.strip_prefix('{') {
            Some(group) => first_names(group),
            None => vec![word(path)],
        };
        found.extend(names.into_iter().filter(|name| !name.is_empty()).map(|name| (line, name)));
    }
    found
}

/// The first name of each path of a group, up to its closing brace.
fn first_names(group: &str) -> Vec<String> {
    let mut names = vec![word(group.trim_start())];
    let mut depth = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(word(group[at + 1..].trim_start())),
            _ => {}
        }
    }
    names
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn imports_are_seen_in_every_form() {
    let text = "use crate::go::Board; // crate::cli\nuse crate::{\n    base::{self, Error},\n    sgf::Tree,\n};\nlet x = crate::net::f($crate::cli::g);\nmycrate::no";
    let seen: Vec<(usize, String)> = imports(text).into_iter().collect();
    let expected = [(1, "go"), (2, "base"), (2, "sgf"), (6, "cli"), (6, "net")];
    assert_eq!(seen, expected.map(|(line, name)| (line, name.to_string())));
}
