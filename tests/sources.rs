//! Records from files, folders, lists and archives: the same shards, one line for what is wrong, bounded memory and time.

mod common;

use common::TempDir;
use edgezero::base::signal::Stop;
use edgezero::corpus::source::{Files, Found, Item, Reader};
use edgezero::corpus::{ArchiveConfig, Conversion, ConvertConfig, Duplicates, convert, quarantine};
use edgezero::shard::{Dataset, Report};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

type Members = Vec<(String, Vec<u8>)>;

fn limits() -> ArchiveConfig {
    ArchiveConfig::default()
}

/// Everything that is in `path`: origin and content of records, `-` for other files, the reason of refusals.
fn read(path: &Path, limits: &ArchiveConfig) -> Vec<(String, String)> {
    let (stop, spool_dir) = (Stop::default(), std::env::temp_dir());
    let reader = Reader::new(limits, spool_dir, &stop);
    let mut all = Vec::new();
    let mut take = |item| {
        all.push(match item {
            Item::Records { origin, bytes, .. } => (origin, String::from_utf8_lossy(&bytes).into_owned()),
            Item::NotRecords => ("-".to_string(), String::new()),
            Item::Refused { origin, kind, reason } => (origin, format!("{kind}: {reason}")),
        });
        ControlFlow::Continue(())
    };
    for found in Files::new(&[path.to_path_buf()], Path::new("/none")).unwrap() {
        let _ = match found {
            Found::File(entry) => reader.read(&entry, &mut take),
            Found::Other => take(Item::NotRecords),
            Found::Unreadable(path, reason) => {
                take(Item::Refused { origin: path.display().to_string(), kind: "unreadable", reason })
            }
        };
    }
    all
}

/// Origin below `path`, without the content of records.
fn told(path: &Path, limits: &ArchiveConfig) -> Vec<String> {
    let root = path.display().to_string();
    let short = |origin: &str| origin.strip_prefix(&root).unwrap_or(origin).to_string();
    let line = |(origin, what): (String, String)| match what.starts_with('(') {
        true => short(&origin),
        false => format!("{} {what}", short(&origin)).trim_end().to_string(),
    };
    read(path, limits).into_iter().map(line).collect()
}

fn convert_ok(paths: &[&Path], out: &Path, archive: ArchiveConfig) -> (Report, BTreeMap<String, Vec<u8>>) {
    let paths: Vec<PathBuf> = paths.iter().map(|p| p.to_path_buf()).collect();
    let config = ConvertConfig { workers: 2, queue_games: 3, duplicates: Duplicates::Keep, archive, ..ConvertConfig::default() };
    let job = Conversion { paths: &paths, out, config: &config, ram_budget_bytes: 1 << 30, stop: &Stop::default() };
    let report = convert(&job, &mut |_| ()).unwrap().manifest.report;
    let shards = fs::read_dir(out).unwrap().map(|e| e.unwrap()).filter(|e| e.path().extension().is_some_and(|e| e == "shard"));
    (report, shards.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect())
}

/// All positions on 9x9 boards, in order: planes, move and place in the game.
fn positions(dir: &Path) -> Vec<(Vec<u8>, usize, usize)> {
    let dataset = Dataset::open(dir).unwrap();
    let mut all = Vec::new();
    for shard in dataset.shards_of(9) {
        for i in 0..shard.n_positions() {
            let record = shard.record(i).unwrap();
            all.push((record.row().to_vec(), record.policy(), record.ply()));
        }
    }
    all
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        out.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    out.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut out = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::default()).unwrap();
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut out = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, bytes) in files {
        out.start_file(name.as_str(), options).unwrap();
        out.write_all(bytes).unwrap();
    }
    out.finish().unwrap().into_inner()
}

fn seven(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut out = sevenz_rust2::ArchiveWriter::new(Cursor::new(Vec::new())).unwrap();
    for (name, bytes) in files {
        out.push_archive_entry(sevenz_rust2::ArchiveEntry::new_file(name), Some(&bytes[..])).unwrap();
    }
    out.finish().unwrap().into_inner()
}

/// Games in folders, in an order that no walk gives.
fn games() -> Members {
    let mut files = Members::new();
    for i in (0..60_u32).rev() {
        let moves: String = (0..20)
            .map(|k| format!(";{}[{}{}]", ["B", "W"][k % 2], (97 + (k as u8 + i as u8) % 9) as char, (97 + k as u8 / 3) as char))
            .collect();
        files.push((
            format!("g/{}/{}.sgf", ["b", "a", "a-b", "B", "a.x"][i as usize % 5], i * 7 % 60),
            format!("(;SZ[9]KM[7]RE[B+R]{moves})").into_bytes(),
        ));
    }
    files.push(("g/notes.txt".to_string(), b"no game".to_vec()));
    files
}

#[test]
fn every_archive_gives_the_shards_of_its_folder() {
    let dir = TempDir::new("sources-same");
    let files = games();
    for (name, bytes) in &files {
        write(&dir.path().join("folder").join(name), bytes);
    }
    let (expected_report, expected) = convert_ok(&[&dir.path().join("folder")], &dir.path().join("out"), limits());
    assert_eq!((expected_report.files, expected_report.files_skipped), (60, 1));
    let plain = tar(&files);
    let (inner, outer): (Vec<_>, Vec<_>) = files.iter().cloned().partition(|(name, _)| name.starts_with("g/a/"));
    let inner: Members = inner.into_iter().map(|(name, bytes)| (name.replace("g/a/", ""), bytes)).collect();
    let within = |name: &str, bytes: Vec<u8>| [outer.clone(), vec![(name.to_string(), bytes)]].concat();
    let each: Members = files
        .iter()
        .map(|(name, bytes)| (name.replace(".sgf", ".sgf.gz"), if name.ends_with("sgf") { gzip(bytes) } else { bytes.clone() }))
        .collect();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("g.zip", zip(&files)),
        ("g.tar", plain.clone()),
        ("g.tar.gz", gzip(&plain)),
        ("g.TGZ", gzip(&plain)),
        ("g.tar.bz2", bzip2(&plain)),
        ("g.tar.xz", xz(&plain)),
        ("g.tar.zst", zstd(&plain)),
        ("g.7z", seven(&files)),
        ("misnamed.zip", gzip(&plain)),
        ("nameless.bin", zip(&files)),
        ("zip in zip.zip", zip(&within("g/a.zip", zip(&inner)))),
        ("7z in tar.tar", tar(&within("g/a.7z", seven(&inner)))),
        ("tgz in 7z.7z", seven(&within("g/a.tar.gz", gzip(&tar(&inner))))),
        ("gz in tar.tar.xz", xz(&tar(&each))),
    ];
    for (name, bytes) in cases {
        let path = dir.path().join("archives").join(name);
        write(&path, &bytes);
        for spool_mb in [0, 16] {
            let out = dir.path().join("out2");
            let (report, shards) = convert_ok(&[&path], &out, ArchiveConfig { spool_mb, ..limits() });
            assert!(shards == expected, "{name}: other shards");
            let count = |r: &Report| (r.files, r.files_skipped, r.games, r.positions);
            assert_eq!(count(&report), count(&expected_report), "{name}");
        }
    }
    // A folder of archives, one of them found by its bytes alone.
    let (report, _) = convert_ok(&[&dir.path().join("archives")], &dir.path().join("out3"), limits());
    assert_eq!(report.files, 14 * 60);
    let left = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    assert!(left.into_iter().all(|name| !name.starts_with('.')), "a temporary file is left");
}

#[test]
fn a_large_archive_is_cut_like_its_folder() {
    let dir = TempDir::new("sources-large");
    // Folders of several cuts, of one, files beside them, a folder deep down.
    let mut files = Members::new();
    for i in 0..260_usize {
        let folder = ["", "a/", "b/", "b/deep/er/", "c/"][[0, 1, 1, 1, 2, 3, 3, 3, 3, 4][i % 10]];
        let (x, y) = ((97 + (i % 9) as u8) as char, (97 + (i / 9 % 9) as u8) as char);
        let text = format!("(;SZ[9]C[{}];B[{x}{y}];W[])", "x".repeat(if i % 10 == 9 { 100 } else { 30_000 + i }));
        files.push((format!("{folder}{i:03}.sgf"), text.into_bytes()));
    }
    for (name, bytes) in &files {
        write(&dir.path().join("folder").join(name), bytes);
    }
    let (_, expected) = convert_ok(&[&dir.path().join("folder")], &dir.path().join("out"), limits());
    assert!(expected.len() > 5, "{} shard files", expected.len());
    let packed: Members = files.iter().map(|(name, bytes)| (format!("{name}.gz"), gzip(bytes))).collect();
    for (name, bytes) in [("all.zip", zip(&files)), ("all.tar", tar(&files)), ("packed.tar", tar(&packed))] {
        let path = dir.path().join(name);
        write(&path, &bytes);
        let (_, shards) = convert_ok(&[&path], &dir.path().join("out2"), limits());
        assert!(shards == expected, "{name}: other shards");
    }
}

#[test]
fn archives_of_other_tools() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/archives");
    let expected: Vec<String> = read(&dir.join("games"), &limits()).into_iter().map(|(_, text)| text).collect();
    assert_eq!(expected.len(), 5);
    let names = "games.zip bzip2.zip stored.zip games.tar v7.tgz pax.tar.bz2 games.tar.xz games.tar.zst lzma2.7z bcj.7z ppmd.7z bzip2.7z \
                 deflate.7z copy.7z lzma.7z";
    for name in names.split_whitespace() {
        let read = read(&dir.join(name), &limits());
        let mut texts: Vec<&String> = read.iter().map(|(_, text)| text).filter(|text| !text.is_empty()).collect();
        let mut wanted: Vec<&String> = expected.iter().filter(|text| !text.is_empty()).collect();
        assert!(texts == wanted, "{name}: {read:?}");
        texts.sort();
        wanted.sort();
        assert_eq!(texts, wanted, "{name}");
    }
    for name in ["locked.zip", "locked.7z"] {
        let told = told(&dir.join(name), &limits());
        assert_eq!(told.iter().filter(|line| line.contains("encrypted: encrypted, there is no way")).count(), 4, "{told:?}");
    }
    assert_eq!(told(&dir.join("hidden.7z"), &limits()), [" encrypted: encrypted, names included"]);
    assert_eq!(told(&dir.join("gbk.zip"), &limits()), ["!棋谱/聂卫平对马晓春的一局.sgf"]);
    assert_eq!(told(&dir.join("sjis.zip"), &limits()), ["!棋譜/井山裕太名人の表ソ能.sgf"]);
}

/// What reading an archive says, and in which time.
fn quickly(name: &str, bytes: &[u8], limits: &ArchiveConfig) -> Vec<String> {
    let dir = TempDir::new(&format!("sources-bomb-{name}"));
    let path = dir.path().join(name);
    write(&path, bytes);
    let start = Instant::now();
    let told = told(&path, limits);
    assert!(start.elapsed() < Duration::from_secs(60), "{name}: {:?}", start.elapsed());
    told
}

#[test]
fn bombs_are_refused() {
    const GAME: &[u8] = b"(;SZ[9];B[aa])";
    let zeros = vec![0; 40 << 20];
    let file = |name: &str, bytes: &[u8]| (name.to_string(), bytes.to_vec());
    let limits = limits();
    let bomb = zip(&[file("a.sgf", GAME), file("b.sgf", &zeros), file("c.sgf", GAME)]);
    let times = "archive beyond the limits: unpacks to more than 250 times its size";
    assert_eq!(quickly("a.zip", &bomb, &limits), [format!("!b.sgf {times}"), "!a.sgf".into(), "!c.sgf".into()]);
    assert_eq!(quickly("a.sgf.gz", &gzip(&zeros), &limits), [format!(" {times}")]);
    assert_eq!(quickly("a.sgf.bz2", &bzip2(&zeros), &limits), [format!(" {times}")]);
    let in_tar = gzip(&tar(&[file("a.sgf", GAME), file("x.bin", &zeros), file("c.sgf", GAME)]));
    assert_eq!(quickly("a.tar.gz", &in_tar, &limits), ["-".to_string(), format!(" {times}"), "!a.sgf".into()]);
    let in_seven = quickly("a.7z", &seven(&[file("x.bin", &zeros), file("c.sgf", GAME)]), &limits);
    assert!(
        in_seven.contains(&format!(" {times}")) || in_seven.iter().any(|l| l.contains("unpacks to more than")),
        "{in_seven:?}"
    );

    let many: Members = (0..100_000).map(|i| (format!("{i}.sgf"), Vec::new())).collect();
    let few = ArchiveConfig { members_max: 1000, ..limits.clone() };
    let refused = "archive beyond the limits: 100000 members, at most 1000 are read";
    assert_eq!(quickly("many.zip", &zip(&many), &few), [format!(" {refused}")]);
    let told = quickly("many.tar", &tar(&many), &few);
    assert_eq!((told.len(), told[0].as_str()), (1001, " archive beyond the limits: more than 1000 members"));

    let nested = zip(&[file("b.zip", &zip(&[file("c.zip", &zip(&[file("a.sgf", GAME)])), file("d.sgf", GAME)]))]);
    let refused = "!b.zip!c.zip archive beyond the limits: archives inside each other, more than 2";
    assert_eq!(quickly("deep.zip", &nested, &limits), [refused, "!b.zip!d.sgf"]);
    let allowed = ArchiveConfig { depth_max: 3, ..limits.clone() };
    assert_eq!(quickly("deep3.zip", &nested, &allowed), ["!b.zip!c.zip!a.sgf", "!b.zip!d.sgf"]);

    // A member that says it has 4 GB, in a stored zip of 200 bytes.
    let mut huge = zip(&[file("a.sgf", GAME)]);
    let at = huge.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    huge[at + 24..at + 28].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
    assert_eq!(quickly("huge.zip", &huge, &limits).len(), 1);
    let mut huge = tar(&[file("a.sgf", GAME), file("b.sgf", GAME)]);
    huge[124..136].copy_from_slice(b"77777777777\0");
    let sum: u32 = huge[..148].iter().chain(&[b' '; 8]).chain(&huge[156..512]).map(|&b| u32::from(b)).sum();
    huge[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let told = quickly("huge.tar", &huge, &limits);
    assert!(told.iter().any(|line| line.contains("damaged archive")), "{told:?}");
    let small = ArchiveConfig { member_mb: 1, ..limits };
    let noise: Vec<u8> = (0..3 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    assert_eq!(
        quickly("large.tar", &tar(&[file("a.sgf", &noise)]), &small),
        ["!a.sgf archive beyond the limits: larger than 1 MiB"]
    );
}

#[test]
fn damage_costs_the_member_or_the_rest() {
    let tell_of = told;
    let files: Members = (0..20).map(|i| (format!("{i:02}.sgf"), games()[i].1.repeat(30))).collect();
    let n_games = |told: &[String]| told.iter().filter(|line| line.starts_with('!') && line.ends_with(".sgf")).count();
    let tell = |name: &str, bytes: &[u8]| quickly(name, bytes, &limits());

    let mut one = zip(&files);
    one[60] ^= 0xff;
    let told = tell("one.zip", &one);
    assert_eq!(n_games(&told), 19, "{told:?}");
    assert!(told[0].starts_with("!00.sgf damaged archive: "), "{told:?}");

    let whole = zip(&files);
    let told = tell("cut.zip", &whole[..whole.len() / 2]);
    assert!(n_games(&told) >= 6 && told[0].starts_with(" damaged archive: no table of members"), "{told:?}");

    // xz gives nothing of a chunk that is cut, and here there is one.
    for (name, whole) in [("cut.tar", tar(&files)), ("cut.tar.gz", gzip(&tar(&files))), ("cut.tar.xz", xz(&tar(&files)))] {
        let told = tell(name, &whole[..whole.len() * 2 / 3]);
        assert!(
            (n_games(&told) >= 5 || name == "cut.tar.xz") && told.iter().any(|line| line.contains("damaged archive: ")),
            "{name}: {told:?}"
        );
    }
    let mut rotten = tar(&files);
    for byte in rotten.iter_mut().skip(1024).step_by(997) {
        *byte ^= 1;
    }
    tell("rotten.tar", &rotten);
    let whole = seven(&files);
    let told = tell("cut.7z", &whole[..whole.len() - 10]);
    assert!(told.len() == 1 && told[0].contains("damaged archive: its header: "), "{told:?}");
    let dir = TempDir::new("sources-misnamed");
    write(&dir.path().join("empty.zip"), b"");
    let misnamed = "/empty.zip damaged archive: named .zip, but its bytes are those of no archive";
    assert_eq!(tell_of(dir.path(), &limits()), [misnamed]);
}

#[test]
fn lists_links_and_odd_names() {
    let dir = TempDir::new("sources-lists");
    let root = dir.path().join("games");
    for (name, bytes) in games() {
        write(&root.join(name), &bytes);
    }
    let odd = [&b"two\nlines.sgf"[..], b"\xff\xfe.sgf", b" .sgf", b"-x.SGF"];
    #[cfg(unix)]
    for name in odd {
        use std::os::unix::ffi::OsStrExt;
        write(&root.join("odd").join(std::ffi::OsStr::from_bytes(name)), b"(;SZ[9];B[aa])");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&root, root.join("g/loop")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("gone.sgf")).unwrap();
    }
    let (report, expected) = convert_ok(&[&root], &dir.path().join("out"), limits());
    assert_eq!((report.files, report.files_refused, report.games_accepted), (65, 1, 64), "{:?}", report.refused);
    assert!(report.refused[0].file.ends_with("gone.sgf") && report.refused[0].reason.contains("No such file"));

    // The same files as a list, backwards, and one that is not there any more.
    let mut list: Vec<u8> = Vec::new();
    let mut n = 0;
    for found in Files::new(std::slice::from_ref(&root), Path::new("/none")).unwrap() {
        if let Found::File(entry) = found {
            list.splice(0..0, [entry.path.as_os_str().as_encoded_bytes(), b"\0"].concat());
            n += 1;
        }
    }
    assert_eq!(n, 64);
    list.extend_from_slice(b"/none/vanished.sgf\0");
    let out = dir.path().join("listed");
    let mut child = Command::new(env!("CARGO_BIN_EXE_edgezero"))
        .args(["convert", "-", "--min-moves", "1", "--duplicates", "keep", "--out", out.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&list).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(String::from_utf8_lossy(&done.stdout).contains("1 unreadable file"), "{}", String::from_utf8_lossy(&done.stdout));
    // A list has no folders to cut at: other files, with the same positions in the same order.
    assert!(expected.len() > 1);
    assert!(positions(&out) == positions(&dir.path().join("out")));
}

#[test]
fn members_of_archives_are_put_in_quarantine() {
    let dir = TempDir::new("sources-quarantine");
    let file = |name: &str, text: &str| (name.to_string(), text.as_bytes().to_vec());
    let (bad, none) = ("(;SZ[9];B[aa];W[aa])", "no game");
    let both = format!("(;SZ[9];B[cc])\n{bad}");
    let inner = zip(&[file("deep!er.sgf", bad)]);
    let all = [file("a/bad.sgf", bad), file("a/none.sgf", none), file("both.sgf", &both), ("in.zip".to_string(), inner)];
    let games = dir.path().join("games");
    write(&games.join("x!y.tar.gz"), &gzip(&tar(&all)));
    write(&games.join("z.sgf.gz"), &gzip(bad.as_bytes()));
    write(&games.join("empty.zip"), b"not a zip");
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        write(&games.join(std::ffi::OsStr::from_bytes(b"odd\xff\n.sgf")), bad.as_bytes());
    }
    let out = dir.path().join("out");
    let (report, _) = convert_ok(&[&games], &out, limits());
    assert_eq!((report.games_accepted, report.games_refused), (1, 7));
    let copies = dir.path().join("copies");
    assert_eq!(quarantine(&out, &copies, &limits(), &Stop::default()).unwrap(), 7);
    let mut texts: Vec<(String, String)> = fs::read_dir(&copies)
        .unwrap()
        .map(|e| e.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap()[8..].to_string(), fs::read_to_string(&path).unwrap()))
        .filter(|(name, _)| !name.ends_with(".reason.txt") && !name.ends_with("-quarantine"))
        .collect();
    texts.sort();
    let expected = [
        ("bad.sgf", bad),
        ("both.sgf", bad),
        ("empty.zip", "not a zip"),
        ("er.sgf", bad),
        ("none.sgf", none),
        ("odd\\xff\\n.sgf", bad),
        ("z.sgf.gz", bad),
    ];
    assert_eq!(texts, expected.map(|(name, text)| (name.to_string(), text.to_string())));
}

#[test]
fn refused_games_are_not_read_as_records() {
    let dir = TempDir::new("sources-requarantine");
    let (games, out) = (dir.path().join("games"), dir.path().join("out"));
    write(&games.join("a.sgf"), b"(;SZ[9];B[cc])");
    write(&games.join("bad.sgf"), b"(;SZ[9];B[aa];W[aa])");
    // Below the records, as somebody may well put it.
    let copies = games.join("refused");
    let mut again = false;
    for bad in [1, 1, 0] {
        let (report, _) = convert_ok(&[&games], &out, limits());
        assert_eq!((report.games_accepted, report.games_refused), (1, bad));
        assert_eq!(quarantine(&out, &copies, &limits(), &Stop::default()).unwrap(), bad);
        assert_eq!(fs::read_dir(&copies).unwrap().count() as u64, 1 + 2 * bad, "copies of before are gone");
        if again && bad == 1 {
            fs::remove_file(games.join("bad.sgf")).unwrap();
        }
        again = true;
    }
}

#[test]
fn a_name_without_end_costs_its_member() {
    let dir = TempDir::new("sources-long-name");
    let (games, out) = (dir.path().join("games"), dir.path().join("out"));
    let game = |p: &str| format!("(;SZ[9];B[{p}])").into_bytes();
    let long = format!("{}.sgf", "a".repeat(65_500));
    write(&games.join("long.zip"), &zip(&[(long, game("aa")), ("b.sgf".to_string(), game("bb"))]));
    for _ in 0..2 {
        let (report, _) = convert_ok(&[&games], &out, limits());
        assert_eq!((report.games_accepted, report.files_refused), (1, 1), "{report:?}");
    }
    let lines: Vec<_> = edgezero::corpus::ledger::read(&out).unwrap().map(|line| line.unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().any(|line| line.detail.as_deref() == Some("its name is longer than 4096 bytes")), "{lines:?}");
}
