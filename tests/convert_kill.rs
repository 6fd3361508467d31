//! Conversions killed at random moments: readers see the old data set or the new one, and the next run ends with the
//! bytes of an undisturbed one. `EDGEZERO_KILLS` says how many; `scripts/kill_loop.sh` runs 1,000.

mod common;

use common::TempDir;
use edgezero::base::rng::mix;
use edgezero::base::signal::Stop;
use edgezero::shard::{Dataset, LEDGER_NAME, MANIFEST_NAME, open_ledger, verify};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

type Contents = BTreeMap<String, Vec<u8>>;

fn contents(dir: &Path) -> Contents {
    let entries = fs::read_dir(dir).into_iter().flatten().map(|e| e.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}

/// Four folders of games, some of which are in two of them.
fn write_games(dir: &Path) -> [PathBuf; 4] {
    ["a", "b", "c", "d"].map(|name| {
        let folder = dir.join(name);
        fs::create_dir_all(&folder).unwrap();
        for i in 0..10u64 {
            let seed = if i % 4 == 0 { i } else { mix(i) ^ u64::from(name.as_bytes()[0]) };
            let mut text = format!("(;SZ[{}]RE[W+2.5]", if i % 3 == 0 { 13 } else { 9 });
            // A walk over the board that meets no point twice.
            for ply in 0..30 {
                let point = (ply * 16 + mix(seed)) % 81;
                if ply < 2 || ply % 5 != 0 {
                    let [x, y] = [point % 9, point / 9].map(|v| (b'a' + v as u8) as char);
                    text.push_str(&format!(";{}[{x}{y}]", ["B", "W"][ply as usize % 2]));
                }
            }
            text.push(')');
            fs::write(folder.join(format!("{i:03}.sgf")), text).unwrap();
        }
        folder
    })
}

fn start(paths: &[&PathBuf], out: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgezero"));
    command.arg("convert").args(paths).arg("--out").arg(out).args(["--workers", "2", "--min-moves", "1"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The state of `out`: the number of the data set it is, or none; its files are those of that data set.
fn state(out: &Path, data_sets: &[Contents]) -> Option<usize> {
    let manifest = fs::read(out.join(MANIFEST_NAME)).ok()?;
    let found = data_sets.iter().position(|set| set[MANIFEST_NAME] == manifest);
    let found = found.unwrap_or_else(|| panic!("another manifest: {}", String::from_utf8_lossy(&manifest)));
    let here = contents(out);
    for (name, bytes) in &data_sets[found] {
        if name == LEDGER_NAME {
            // Right after the manifest it may still have to take this name.
            let mut ledger = Vec::new();
            open_ledger(out).unwrap().read_to_end(&mut ledger).unwrap();
            assert!(ledger == *bytes, "another ledger");
            continue;
        }
        assert!(here.get(name) == Some(bytes), "{name}: gone or changed");
    }
    verify(&Dataset::open(out).unwrap(), &Stop::default(), |_| ()).unwrap();
    Some(found)
}

#[test]
fn a_killed_run_leaves_the_old_or_the_new() {
    let n_kills: u64 = std::env::var("EDGEZERO_KILLS").map_or(15, |n| n.parse().expect("EDGEZERO_KILLS: a number"));
    let dir = TempDir::new("kill");
    let [a, b, c, d] = write_games(dir.path());
    let sources = [vec![&a, &b], vec![&b, &c, &d]];
    let mut longest = Duration::ZERO;
    let data_sets: Vec<Contents> = (0..2)
        .map(|i| {
            let out = dir.path().join(format!("reference{i}"));
            let begin = Instant::now();
            assert!(start(&sources[i], &out).wait().unwrap().success());
            longest = longest.max(begin.elapsed());
            contents(&out)
        })
        .collect();
    let out = dir.path().join("out");
    let (mut n_old, mut n_new, mut n_left) = (0, 0, 0);
    for i in 0..n_kills {
        // In turn: nothing to the first data set, that to the second, that to the first.
        let (old, new) = [(None, 0), (Some(0), 1), (Some(1), 0)][i as usize % 3];
        if old.is_none() {
            let _ = fs::remove_dir_all(&out);
        }
        let mut child = start(&sources[new], &out);
        std::thread::sleep(longest * (mix(i) % 1100) as u32 / 1000);
        child.kill().unwrap();
        child.wait().unwrap();
        let now = state(&out, &data_sets);
        assert!(now == old || now == Some(new), "kill {i}: {now:?} from {old:?} to {new}");
        *if now == old { &mut n_old } else { &mut n_new } += 1;
        n_left += usize::from(contents(&out).len() > now.map_or(0, |now| data_sets[now].len()));
        assert!(start(&sources[new], &out).wait().unwrap().success(), "kill {i}: the run after it");
        let here = contents(&out);
        assert!(here.keys().eq(data_sets[new].keys()), "kill {i}: {:?}", here.keys());
        assert!(here == data_sets[new], "kill {i}: other bytes");
    }
    println!(
        "{n_kills} kills within {longest:?}: {n_old} left the old data set, {n_new} the new one; {n_left} left files behind"
    );
}
