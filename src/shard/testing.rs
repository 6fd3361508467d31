//! Small made-up data sets for this room's tests.

use super::{Dataset, DatasetWriter, GameHash, Group, Outcome, Report, Source, Target, append_record};
use crate::base::rng::mix;
use crate::compute::packed::{MOVE_NONE, row_bytes};
use crate::go::{Color, Size};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A folder that goes away with the test.
pub struct TempDir(pub PathBuf);

impl TempDir {
    /// An empty folder of its own, whoever else asks for `name`.
    pub fn new(name: &str) -> TempDir {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("edgezero-shard-{name}-{}-{made}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        TempDir(dir)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `n_games` games of 1 to 12 empty 9x9 boards, in one group.
pub fn small_dataset(dir: &Path, n_games: u64) -> Dataset {
    dataset_in_groups(dir, n_games, 1)
}

/// The same games, so many in turn to each of `n_groups` groups, one of which is cut.
pub fn dataset_in_groups(dir: &Path, n_games: u64, n_groups: u64) -> Dataset {
    let size = Size::square(9).unwrap();
    let mut writer = DatasetWriter::create(dir).unwrap();
    let mut groups = Vec::new();
    for game in 0..n_games {
        let mut records = Vec::new();
        let n = 1 + mix(game) % 12;
        for ply in 0..n {
            let mut row = vec![0; row_bytes(9)];
            row[..2].copy_from_slice(&[9, 9]);
            for i in 0..5 {
                row[8 + 2 * i..10 + 2 * i].copy_from_slice(&MOVE_NONE.to_le_bytes());
            }
            let target = Target {
                ply: ply as u16,
                plies_left: (n - ply) as u16,
                to_move: Color::Black,
                policy: (mix(game + ply) % 82) as u16,
                reply: None,
                value: Some(Outcome::Win),
                score: None,
                ownership: None,
                weight: 1.0,
            };
            append_record(&mut records, &row, 9, &target);
        }
        let mut hash = [0; 16];
        hash[..8].copy_from_slice(&mix(game).to_le_bytes());
        writer.push_game(size, GameHash(hash), &mut records).unwrap();
        if game == n_games / 3 && n_groups > 1 {
            writer.cut().unwrap();
        }
        if (game + 1) * n_groups / n_games > game * n_groups / n_games {
            groups.push(writer.end_group(Group { key: format!("{game:x}"), ..Group::default() }).unwrap());
        }
    }
    writer.finish(Source::default(), Report::default(), groups).unwrap();
    Dataset::open(dir).unwrap()
}
