//! Shard files as files: what is written comes back, and nothing else is taken for it.

mod common;

use common::TempDir;
use edgezero::base::rng::{Rng, below, rng};
use edgezero::base::signal::Stop;
use edgezero::compute::packed::{self, MOVE_NONE, MOVE_PASS, plane_words, row_bytes};
use edgezero::go::{Color, Size};
use edgezero::shard::{
    Dataset, DatasetWriter, GameEntry, GameHash, Group, MANIFEST_NAME, Outcome, Report, Source, Split, Target, append_record,
    layout, verify,
};
use proptest::prelude::*;
use rand::Rng as _;
use std::fs;
use std::path::{Path, PathBuf};

/// One made-up position in full, to compare with what is read.
struct Made {
    row: Vec<u8>,
    policy: u16,
    reply: Option<u16>,
    value: Option<Outcome>,
    score: Option<f32>,
    ownership: Option<[Vec<u32>; 2]>,
}

/// Planes of random points of the board, no point in two of them.
fn planes(r: &mut Rng, size: Size, n: usize) -> Vec<Vec<u32>> {
    let len = size.len_max();
    let mut planes = vec![vec![0u32; plane_words(len)]; n];
    for p in size.points() {
        let i = p.index(len);
        if let Some(plane) = planes.get_mut(below(r.next_u64(), n + 1)) {
            plane[i / 32] |= 1 << (i % 32);
        }
    }
    planes
}

fn made(r: &mut Rng, size: Size) -> Made {
    let len = size.len_max();
    let mut row = vec![0; packed::HEADER_BYTES];
    row[..2].copy_from_slice(&[size.w() as u8, size.h() as u8]);
    row[4..8].copy_from_slice(&(r.next_u64() as u32 & 0x3ff).to_le_bytes());
    let points: Vec<u16> = size.points().map(|p| p.index(len) as u16).collect();
    for i in 0..5 {
        let m = [MOVE_NONE, MOVE_PASS, points[below(r.next_u64(), points.len())]][below(r.next_u64(), 3)];
        row[8 + 2 * i..10 + 2 * i].copy_from_slice(&m.to_le_bytes());
    }
    let mut own_opp = planes(r, size, 2);
    let policy = points[below(r.next_u64(), points.len())];
    for plane in &mut own_opp {
        plane[policy as usize / 32] &= !(1 << (policy % 32));
    }
    let mut all = own_opp;
    all.extend((0..6).map(|_| planes(r, size, 1).remove(0)));
    all.extend(planes(r, size, 2));
    row.extend(all.iter().flatten().flat_map(|word| word.to_le_bytes()));
    let outcomes = [Outcome::Win, Outcome::Loss, Outcome::Draw, Outcome::NoResult];
    let mut coin = || r.next_u64() >> 63 == 0;
    let (value, score, own, reply) = (coin(), coin(), coin(), coin());
    Made {
        row,
        policy,
        reply: reply.then_some((len * len) as u16),
        value: value.then(|| outcomes[below(r.next_u64(), 4)]),
        score: score.then(|| below(r.next_u64(), 200) as f32 * 0.5 - 50.0),
        ownership: own.then(|| planes(r, size, 2).try_into().expect("two planes")),
    }
}

fn write_game(writer: &mut DatasetWriter, size: Size, game: u64, positions: &[Made]) {
    let mut records = Vec::new();
    for (ply, p) in positions.iter().enumerate() {
        let target = Target {
            ply: ply as u16,
            plies_left: (positions.len() - ply) as u16,
            to_move: [Color::Black, Color::White][ply % 2],
            policy: p.policy,
            reply: p.reply,
            value: p.value,
            score: p.score,
            ownership: p.ownership.as_ref().map(|[own, opp]| [own.as_slice(), opp.as_slice()]),
            weight: 1.0,
        };
        append_record(&mut records, &p.row, size.len_max(), &target);
    }
    let mut hash = [0; 16];
    hash[..8].copy_from_slice(&game.to_le_bytes());
    writer.push_game(size, GameHash(hash), &mut records).unwrap();
}

/// Completes a data set of one group.
fn finish(mut writer: DatasetWriter) {
    let group = writer.end_group(Group::default()).unwrap();
    writer.finish(Source::default(), Report::default(), vec![group]).unwrap();
}

/// A data set of made-up games; gives them back in order.
fn write_dataset(dir: &Path, seed: u64, games: &[((usize, usize), usize)]) -> Vec<(Size, Vec<Made>)> {
    let mut writer = DatasetWriter::create(dir).unwrap();
    let mut r = rng(seed, 0);
    let mut all = Vec::new();
    for (i, &((w, h), n)) in games.iter().enumerate() {
        let size = Size::new(w, h).unwrap();
        let positions: Vec<Made> = (0..n).map(|_| made(&mut r, size)).collect();
        write_game(&mut writer, size, i as u64, &positions);
        all.push((size, positions));
    }
    finish(writer);
    all
}

fn shard_path(dir: &Path) -> PathBuf {
    let names = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    names.filter(|p| p.extension().is_some_and(|e| e == "shard")).min().unwrap()
}

/// What opening and verifying says.
fn check(dir: &Path) -> Result<u64, String> {
    let dataset = Dataset::open(dir).map_err(|e| e.to_string())?;
    verify(&dataset, &Stop::default(), |_| ()).map(|v| v.positions).map_err(|e| e.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn what_is_written_comes_back(
        seed: u64,
        games in prop::collection::vec(((2usize..=19, 2usize..=19), 1usize..40), 1..12),
    ) {
        let dir = TempDir::new(&format!("round-{seed:x}"));
        let all = write_dataset(dir.path(), seed, &games);
        let dataset = Dataset::open(dir.path()).unwrap();
        let n: u64 = games.iter().map(|g| g.1 as u64).sum();
        prop_assert_eq!((dataset.n_games(), dataset.n_positions()), (games.len() as u64, n));
        prop_assert_eq!(check(dir.path()), Ok(n));
        for shard in dataset.shards() {
            let here: Vec<_> = all.iter().filter(|(size, _)| size.len_max() == shard.len()).collect();
            prop_assert_eq!(here.len() as u64, shard.n_games());
            for (game, (size, positions)) in shard.games().zip(here) {
                prop_assert_eq!((game.size, game.n_records as usize), (*size, positions.len()));
                for (ply, made) in positions.iter().enumerate() {
                    let record = shard.record(game.first_record + ply as u64).unwrap();
                    prop_assert_eq!(record.row(), &made.row[..]);
                    prop_assert_eq!((record.ply(), record.plies_left()), (ply, positions.len() - ply));
                    prop_assert_eq!(record.policy(), made.policy as usize);
                    prop_assert_eq!(record.reply(), made.reply.map(usize::from));
                    prop_assert_eq!((record.outcome(), record.score(), record.weight()), (made.value, made.score, 1.0));
                    prop_assert_eq!(record.ownership_known(), made.ownership.is_some());
                    for p in size.points() {
                        let i = p.index(shard.len());
                        let bit = |plane: &[u32]| (plane[i / 32] >> (i % 32) & 1) as f32;
                        let expected = made.ownership.as_ref().map_or(0.0, |[own, opp]| bit(own) - bit(opp));
                        prop_assert_eq!(record.ownership(i), expected);
                    }
                }
            }
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let dir = TempDir::new("flip");
    write_dataset(dir.path(), 1, &[((9, 9), 30), ((9, 7), 5), ((3, 9), 1)]);
    let path = shard_path(dir.path());
    let whole = fs::read(&path).unwrap();
    assert_eq!(check(dir.path()), Ok(36));
    let tables = layout::HEADER_BYTES + 36 * layout::stride(9);
    assert_eq!(whole.len(), tables + 4 + 3 * layout::GAME_BYTES);
    // All of the header and the tables, and a sample of the data.
    let flips = (0..layout::HEADER_BYTES).chain((layout::HEADER_BYTES..tables).step_by(61)).chain(tables..whole.len());
    for at in flips {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, &bytes).unwrap();
        let err = check(dir.path()).expect_err(&format!("a flip of byte {at}"));
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(err.contains(&format!("{name} @ byte ")) && err.contains("\ntry: edgezero convert"), "byte {at}: {err}");
    }
}

#[test]
fn damage_in_a_block_is_found_when_it_is_touched() {
    let dir = TempDir::new("touch");
    let per_block = layout::records_per_block(19);
    write_dataset(dir.path(), 2, &[((19, 19), per_block), ((19, 19), per_block / 2)]);
    let path = shard_path(dir.path());
    let mut bytes = fs::read(&path).unwrap();
    let second = layout::HEADER_BYTES + per_block * layout::stride(19);
    bytes[second + 700] ^= 4;
    fs::write(&path, &bytes).unwrap();
    let dataset = Dataset::open(dir.path()).unwrap();
    let shard = &dataset.shards_of(19)[0];
    assert!(shard.record(per_block as u64 - 1).is_ok());
    let err = shard.record(per_block as u64 + 9).err().unwrap().to_string();
    assert!(err.contains(&format!("@ byte {second}: block 1 has checksum")), "{err}");
}

#[test]
fn verify_names_the_record_that_breaks_an_invariant() {
    let size = Size::new(9, 7).unwrap();
    let target_at = row_bytes(9);
    let own_at = target_at + layout::TARGET_BYTES;
    // What a faulty writer could store: byte of the record, its new value, the complaint.
    let cases: [(usize, u8, &str); 8] = [
        (0, 8, "board 8x7, expected a longer side of 9"),
        (9, 1, "past move"),
        (19, 1, "unused bytes of the row"),
        (packed::HEADER_BYTES + 8, 0x80, "outside the board"),
        (target_at + 6, 70, "policy 70 is not on the 9x7 board"),
        (target_at + 9, 1, "flags"),
        (target_at + 10, 4, "value or player"),
        (own_at + 9, 1, "outside the board"),
    ];
    for (at, byte, complaint) in cases {
        let dir = TempDir::new("invariant");
        let mut r = rng(8, 0);
        let mut p = made(&mut r, size);
        p.row[8..18].fill(0);
        let target = Target {
            ply: 0,
            plies_left: 1,
            to_move: Color::White,
            policy: p.policy,
            reply: None,
            value: Some(Outcome::Loss),
            score: None,
            ownership: None,
            weight: 1.0,
        };
        let mut records = Vec::new();
        append_record(&mut records, &p.row, 9, &target);
        records[at] = byte;
        let mut writer = DatasetWriter::create(dir.path()).unwrap();
        writer.push_game(size, GameHash([0; 16]), &mut records).unwrap();
        finish(writer);
        let err = check(dir.path()).unwrap_err();
        assert!(err.contains("position 0: ") && err.contains(complaint), "byte {at}: {err}");
    }
}

#[test]
fn a_cut_or_padded_file_is_refused() {
    let dir = TempDir::new("cut");
    write_dataset(dir.path(), 3, &[((9, 9), 20)]);
    let path = shard_path(dir.path());
    let whole = fs::read(&path).unwrap();
    for bytes in (0..whole.len()).step_by(37).chain([1, 8, 127, 128, 129, whole.len() - 1]) {
        fs::write(&path, &whole[..bytes]).unwrap();
        let err = Dataset::open(dir.path()).err().unwrap_or_else(|| panic!("cut to {bytes}")).to_string();
        let place =
            if bytes == 0 { "@ byte 0: not an edgezero shard".to_string() } else { format!("@ byte {bytes}: {bytes} bytes") };
        assert!(err.contains(&place), "cut to {bytes}: {err}");
    }
    let mut longer = whole.clone();
    longer.push(0);
    fs::write(&path, &longer).unwrap();
    let err = Dataset::open(dir.path()).err().unwrap().to_string();
    assert!(err.contains("foreign tail"), "{err}");
}

#[test]
fn foreign_files_and_other_versions_are_refused() {
    let dir = TempDir::new("foreign");
    write_dataset(dir.path(), 4, &[((9, 9), 20)]);
    let path = shard_path(dir.path());
    let whole = fs::read(&path).unwrap();
    let refuse = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Dataset::open(dir.path()).err().unwrap().to_string()
    };
    assert!(refuse(b"(;GM[1])").contains("@ byte 0: not an edgezero shard file"));
    assert!(refuse(&[7; 500]).contains("@ byte 0: not an edgezero shard file"));
    for (version, age) in [(0u32, "older"), (99, "newer")] {
        let mut bytes = whole.clone();
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        let err = refuse(&bytes);
        assert!(err.contains(&format!("@ byte 8: version {version}, expected 1: written by a")) && err.contains(age), "{err}");
    }
    // A sound shard of another data set is not the one that the manifest names.
    let other = TempDir::new("foreign-other");
    write_dataset(other.path(), 5, &[((9, 9), 20)]);
    let err = refuse(&fs::read(shard_path(other.path())).unwrap());
    assert!(err.contains("manifest.json says 9, 1, 20"), "{err}");
    fs::remove_file(&path).unwrap();
    assert!(check(dir.path()).unwrap_err().contains("No such file"));
}

#[test]
fn a_damaged_group_file_is_found() {
    let dir = TempDir::new("group");
    write_dataset(dir.path(), 9, &[((9, 9), 20)]);
    let names = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path());
    let group =
        names.into_iter().find(|path| path.extension().is_some_and(|e| e == "json") && !path.ends_with(MANIFEST_NAME)).unwrap();
    let whole = fs::read_to_string(&group).unwrap();
    for (text, what) in [(whole.replacen('0', "7", 1), "the file is damaged"), (whole[..40].to_string(), "no group of ours")] {
        fs::write(&group, text).unwrap();
        let err = check(dir.path()).unwrap_err();
        assert!(err.contains(what) && err.contains("\ntry: edgezero convert"), "{err}");
    }
    fs::remove_file(&group).unwrap();
    assert!(check(dir.path()).unwrap_err().contains("No such file"));
}

#[test]
fn a_folder_is_whole_or_refused() {
    let dir = TempDir::new("whole");
    let err = |dir: &Path| Dataset::open(dir).err().unwrap().to_string();
    assert!(err(&dir.path().join("none")).contains("no such folder"));
    assert!(err(dir.path()).contains("no shards here: no manifest.json"));
    write_dataset(dir.path(), 6, &[((9, 9), 20), ((5, 5), 3)]);
    let before = fs::read(dir.path().join(MANIFEST_NAME)).unwrap();

    // A writer that is dropped leaves the old data set as it was.
    let mut writer = DatasetWriter::create(dir.path()).unwrap();
    let second = DatasetWriter::create(dir.path()).err().unwrap().to_string();
    assert!(second.contains(&format!("another edgezero convert (process {}) is writing here", std::process::id())), "{second}");
    write_game(&mut writer, Size::square(9).unwrap(), 0, &[made(&mut rng(1, 1), Size::square(9).unwrap())]);
    drop(writer);
    assert_eq!(check(dir.path()), Ok(23));
    assert_eq!((fs::read_dir(dir.path()).unwrap().count(), fs::read(dir.path().join(MANIFEST_NAME)).unwrap()), (5, before));

    // One that finishes replaces it, other array lengths and leftovers included.
    fs::write(dir.path().join("len13.new.part"), "left over").unwrap();
    write_dataset(dir.path(), 7, &[((9, 9), 4)]);
    assert_eq!(check(dir.path()), Ok(4));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4);

    // A damaged manifest is ours to replace, as the message says.
    let cut = fs::read(dir.path().join(MANIFEST_NAME)).unwrap();
    fs::write(dir.path().join(MANIFEST_NAME), &cut[..cut.len() / 2]).unwrap();
    assert!(err(dir.path()).contains("try: edgezero convert"), "{}", err(dir.path()));
    write_dataset(dir.path(), 7, &[((9, 9), 4)]);
    assert_eq!(check(dir.path()), Ok(4));

    fs::remove_file(dir.path().join(MANIFEST_NAME)).unwrap();
    let half = err(dir.path());
    assert!(half.contains("half-written shards: no manifest.json\ntry: edgezero convert"), "{half}");
    for (text, what) in [("{", "not our manifest"), ("{}", "not our manifest"), (r#"{"format":"x","version":1}"#, "format \"x\"")]
    {
        fs::write(dir.path().join(MANIFEST_NAME), text).unwrap();
        assert!(err(dir.path()).contains(what), "{}", err(dir.path()));
        assert_eq!(DatasetWriter::create(dir.path()).err().unwrap().exit_code(), 2);
    }
    fs::write(dir.path().join(MANIFEST_NAME), r#"{"format":"edgezero shards","version":9}"#).unwrap();
    assert!(err(dir.path()).contains("version 9, expected 2"));
    assert!(DatasetWriter::create(dir.path()).is_ok(), "ours to replace");
}

#[test]
fn a_foreign_folder_is_left_alone() {
    let dir = TempDir::new("left-alone");
    fs::write(dir.path().join("thesis.tex"), "x").unwrap();
    let err = DatasetWriter::create(dir.path()).err().unwrap();
    assert!(err.exit_code() == 2 && err.to_string().contains("thesis.tex"), "{err}");
    // A folder made for a writer that never finished goes with it.
    let made = dir.path().join("deep/shards");
    drop(DatasetWriter::create(&made).unwrap());
    assert!(!made.exists());
}

#[test]
fn splits_hold_about_their_share() {
    let held_out = (0..20_000u64).filter(|i| {
        let mut hash = [0; 16];
        hash[..8].copy_from_slice(&i.to_le_bytes());
        let game = GameEntry { first_record: 0, n_records: 1, size: Size::square(9).unwrap(), hash: GameHash(hash), draw: None };
        Split::of(&game, 50) == Split::Validation
    });
    let n = held_out.count();
    assert!((900..1100).contains(&n), "{n} of 20,000 at 50 per mille");
    assert_eq!(row_bytes(19), 512);
}
