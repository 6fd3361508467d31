//! Broken input: no panic, no hang, no memory out of proportion.

mod common;

use edgezero::base::rng::{Rng, below, rng};
use edgezero::sgf::replay::Replay;
use edgezero::sgf::{Collection, GameRecord, games};
use rand::Rng as _;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Counts the bytes of each thread, so that tests can run beside each other.
struct Counting;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes on to the system's allocator with the same arguments; the counters allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.set(LIVE.get().wrapping_add(layout.size()));
        PEAK.set(PEAK.get().max(LIVE.get()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get().wrapping_sub(layout.size()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The promise: memory within this many times the file, and a constant for what every file needs.
const TIMES_FILE: usize = 20;
const CONSTANT_BYTES: usize = 1 << 20;

const SAMPLES: [&str; 6] = [
    "(;FF[4]GM[1]SZ[9]KM[6.5]PB[a]PW[b]RE[B+R];B[cc];W[gc];B[cg];W[gg];B[ee])",
    "(;FF[4]GM[1]CA[Shift_JIS]SZ[19]HA[2]AB[pd][dp]RU[Japanese];W[dd](;B[pp];W[])(;B[qq]C[a\\]b\\\\]))",
    "(;GaMe[1]SiZe[5:7]AddBlack[aa:cc]AW[ee]AE[bb]PL[W];W[dd]B[ab];;C[text: (;B[aa\\])])\n(;SZ[13];B[tt])",
    "junk (;GM[1]KM[375]AP[foxwq]CA[UTF-8]PB[\u{4e95}\u{5c71}];B[aa];W[ba];B[ab];W[bb]) (;GM[3])(;SZ[21];B[tt])",
    "(;SZ[3];B[aa];W[ba];B[bb];W[ab];B[ca];W[aa];B[ac];W[ba];B[];W[];B[ab])",
    "\u{feff}(;RE[W+3,5]KM[5 1/2]HA[3]DT[2001-01-01]EV[x];AB[aa]AW[ab];B[ss];W[sa](;B[as])(;B[sb](;W[sc])(;W[sd])))",
];

#[test]
fn a_hundred_thousand_mutations() {
    const N: u64 = 100_000;
    const FILE_BYTES_MAX: u64 = 4096;
    let mut seeds: Vec<Vec<u8>> = SAMPLES.iter().map(|s| s.as_bytes().to_vec()).collect();
    for path in corpus_files() {
        if std::fs::metadata(&path).unwrap().len() <= FILE_BYTES_MAX {
            seeds.push(std::fs::read(&path).unwrap());
        }
    }
    let (mut n_games, mut n_refused) = (0_u64, 0_u64);
    for i in 0..N {
        let mut rng = rng(20_240_607, i);
        let mut bytes = seeds[pick(&mut rng, seeds.len())].clone();
        for _ in 0..1 + pick(&mut rng, 6) {
            mutate(&mut bytes, &seeds, &mut rng);
        }
        let mut collection = Collection::new(&bytes);
        while let Some(game) = collection.next_game() {
            n_games += 1;
            n_refused += u64::from(game.is_err());
            if let Ok(game) = game {
                read(&game);
            }
        }
    }
    println!("fuzz {N}/{N} files from {} seeds, {n_games} games, {n_refused} refused", seeds.len());
    assert!(n_games > N / 2 && n_refused > N / 100 && n_refused < n_games);
}

#[test]
fn memory_is_in_proportion() {
    let mut worst = (0.0, String::new());
    let mut n = 0;
    let mut check = |name: String, bytes: &[u8]| {
        let (peak, time) = measure(bytes);
        assert!(peak <= TIMES_FILE * bytes.len() + CONSTANT_BYTES, "{name}: {peak} bytes for a file of {}", bytes.len());
        assert!(time < Duration::from_secs(60), "{name}: {time:?} for {} bytes", bytes.len());
        let times = peak.saturating_sub(CONSTANT_BYTES) as f64 / bytes.len().max(1) as f64;
        n += 1;
        if times > worst.0 {
            worst = (times, name);
        }
    };
    for path in corpus_files() {
        check(path.display().to_string(), &std::fs::read(&path).unwrap());
    }
    for (name, bytes) in nasty() {
        check(name, &bytes);
    }
    println!("memory {n}/{n} files within {TIMES_FILE} times the file, the worst {:.1} times: {}", worst.0, worst.1);
}

/// Reads all games in every way there is: the peak of memory beyond the file, and the time.
fn measure(bytes: &[u8]) -> (usize, Duration) {
    let start = Instant::now();
    let before = LIVE.get();
    PEAK.set(before);
    games(bytes).for_each(drop);
    let mut collection = Collection::new(bytes);
    while let Some(game) = collection.next_game() {
        if let Ok(game) = game {
            drop(Replay::of(&game, ""));
        }
    }
    (PEAK.get() - before, start.elapsed())
}

fn read(game: &edgezero::sgf::Game<'_>) {
    if let Ok(record) = GameRecord::read(game) {
        let text = edgezero::sgf::write(&record);
        let again = games(text.as_bytes()).next().expect("a game").unwrap_or_else(|e| panic!("{e} in {text:?}"));
        assert_eq!((again.size, again.steps.len()), (record.size, record.steps.len()), "{text:?}");
    }
    if let Ok(replay) = Replay::of(game, "") {
        assert!(replay.json().len() + replay.drawing().len() > 2);
    }
}

/// Small pieces, a million bytes of each: what costs most for its bytes.
fn nasty() -> Vec<(String, Vec<u8>)> {
    const BYTES: usize = 1_000_000;
    let pieces: [&[u8]; 34] = [
        b";",
        b"(;",
        b"(;)",
        b"(",
        b"()",
        b"(;A(",
        b"[]",
        b"A[]",
        b"AB[]",
        b";AB[aa]",
        b";AB[aa:ss]",
        b"AB[aa:ss]",
        b"[aa:ss]",
        b";B[]",
        b"(;B[]",
        b"(;B[])",
        b";B[aa];AE[aa]",
        b";AB[aa:ss];AE[aa:ss]",
        b";W[]B[]",
        b"a",
        b"A",
        b"\n",
        b"\\",
        b"\x80",
        b"\x95\\",
        b"\x95]",
        b"(;CA[Shift_JIS]C[\x95\\",
        b"(;C[\x95\\](;\x95",
        b"(;FF[4]",
        b"(;SZ[52];B[ZZ]",
        b"(;C[\xe4\xba\x95",
        b"\x1b$B",
        b"(\0;\0",
        b"(TE[",
    ];
    let mut files = Vec::new();
    for piece in pieces {
        let body = piece.repeat(BYTES / piece.len());
        for head in
            [&b""[..], b"(;", b"(;B[aa]PB[", b"(;AB[aa]", b"(;CA[Big5]PB[", b"(;CA[ISO-2022-JP]KM[", b"(;SZ[52]", b"\xff\xfe(\0"]
        {
            for tail in [&b""[..], b"])"] {
                let name = format!("{} {} ... {}", head.escape_ascii(), piece.escape_ascii(), tail.escape_ascii());
                files.push((name, [head, &body, tail].concat()));
            }
        }
    }
    files
}

fn mutate(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], rng: &mut Rng) {
    const SPECIAL: &[u8] = b"()[];:\\\n\r \0tBWCA\x80\x81\x95\xe4\xff\x1b09-.";
    let at = pick(rng, bytes.len() + 1);
    let end = (at + pick(rng, 24)).min(bytes.len());
    match pick(rng, 8) {
        0 => bytes.insert(at, SPECIAL[pick(rng, SPECIAL.len())]),
        1 if at < bytes.len() => bytes[at] = SPECIAL[pick(rng, SPECIAL.len())],
        2 if at < bytes.len() => bytes[at] ^= 1 << pick(rng, 8),
        3 => drop(bytes.drain(at..end)),
        4 => bytes.truncate(at),
        5 => {
            let piece = bytes[at..end].to_vec();
            let to = pick(rng, bytes.len() + 1);
            bytes.splice(to..to, piece);
        }
        6 => {
            let other = &seeds[pick(rng, seeds.len())];
            let from = pick(rng, other.len() + 1);
            let to = (from + pick(rng, 64)).min(other.len());
            bytes.splice(at..at, other[from..to].iter().copied());
        }
        _ => {
            let label = [&b"CA[Shift_JIS]"[..], b"CA[GB2312]", b"CA[Big5]", b"SZ[52]", b"AB[aa:ss]", b"(;FF[4]"][pick(rng, 6)];
            bytes.splice(at..at, label.iter().copied());
        }
    }
}

fn pick(rng: &mut Rng, n: usize) -> usize {
    below(rng.next_u64(), n)
}

/// The files of the conformance and hostile sets, in the order of their names; none where there is no data folder.
fn corpus_files() -> Vec<PathBuf> {
    let Some(data) = common::data() else { return Vec::new() };
    let mut files: Vec<PathBuf> = ["conformance", "hostile"]
        .iter()
        .flat_map(|set| std::fs::read_dir(data.join("corpus").join(set)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e.eq_ignore_ascii_case("sgf")))
        .collect();
    files.sort();
    files
}
