//! What becomes of records: repairs, filters, duplicates, the ledger, quarantine and statistics.

mod common;

use common::TempDir;
use edgezero::base::signal::Stop;
use edgezero::base::symmetry::Symmetry;
use edgezero::corpus::config::set_key;
use edgezero::corpus::repair::{Repair, RepairConfig};
use edgezero::corpus::stats::{Stats, rank_key};
use edgezero::corpus::{
    Conversion, ConvertConfig, Duplicates, LedgerLine, Variations, Verdict, Weight, convert, ledger, quarantine,
};
use edgezero::shard::{Dataset, Report};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Converts a folder; gives the report and the ledger.
fn intake(games: &Path, out: &Path, config: &ConvertConfig) -> (Report, Vec<LedgerLine>) {
    let paths: [PathBuf; 1] = [games.to_path_buf()];
    let job = Conversion { paths: &paths, out, config, ram_budget_bytes: 1 << 30, stop: &Stop::default() };
    let manifest = convert(&job, &mut |_| ()).unwrap().manifest;
    let lines: Vec<LedgerLine> = ledger::read(out).unwrap().map(|line| line.unwrap()).collect();
    adds_up(&manifest.report, &lines);
    (manifest.report, lines)
}

/// The ledger's lines and the report tell the same.
fn adds_up(report: &Report, lines: &[LedgerLine]) {
    let count = |verdict| lines.iter().filter(|line| line.verdict == Some(verdict)).count() as u64;
    assert_eq!(count(Verdict::Accepted), report.games_accepted);
    assert_eq!(count(Verdict::Refused), report.games_refused);
    assert_eq!(count(Verdict::Filtered), report.games_filtered);
    let twins = lines.iter().filter(|line| line.twin.is_some()).count() as u64;
    assert_eq!(twins, report.games_duplicate);
    assert_eq!(lines.len() as u64, report.games + report.files_refused);
    assert_eq!(lines.iter().map(|line| u64::from(line.positions[0])).sum::<u64>(), report.positions);
    assert_eq!(lines.iter().map(|line| u64::from(line.positions[1])).sum::<u64>(), report.positions_value);
    assert_eq!(lines.iter().map(|line| u64::from(line.positions[2])).sum::<u64>(), report.positions_score);
    assert_eq!(lines.iter().map(|line| u64::from(line.positions[3])).sum::<u64>(), report.positions_ownership);
    for (i, line) in lines.iter().enumerate() {
        for first in [line.twin, line.opening].into_iter().flatten() {
            let first = first as usize - 1;
            assert!(first < i && lines[first].verdict == Some(Verdict::Accepted), "line {}", i + 1);
        }
    }
}

/// Converts games given as text, one file each; a game nobody objects to comes last, so that there always is one.
fn of_texts(name: &str, texts: &[&str], config: &ConvertConfig) -> (Report, Vec<LedgerLine>) {
    let dir = TempDir::new(&format!("intake-{name}"));
    let games = dir.path().join("games");
    fs::create_dir(&games).unwrap();
    for (i, text) in texts.iter().enumerate() {
        fs::write(games.join(format!("{i:04}.sgf")), text).unwrap();
    }
    fs::write(games.join("zzzz.sgf"), SOUND).unwrap();
    let (report, mut lines) = intake(&games, &dir.path().join("out"), config);
    assert_eq!(lines.pop().unwrap().verdict, Some(Verdict::Accepted), "{name}");
    (report, lines)
}

/// A sound game that every filter of these tests lets pass.
const SOUND: &str =
    "(;SZ[9]KM[6.5]RU[Japanese]RE[W+6.5]BR[5d]WR[6d]PB[Cho Chikun (5d)]PW[x]DT[2015-06-15]TM[3600];B[ii];W[hh];B[gg];W[ff])";

fn with_repair(assignment: &str) -> ConvertConfig {
    let config = ConvertConfig::default();
    ConvertConfig { repair: set_key(&config.repair, assignment).unwrap(), ..config }
}

fn with_filter(assignment: &str) -> ConvertConfig {
    let config = ConvertConfig { duplicates: Duplicates::Keep, ..ConvertConfig::default() };
    ConvertConfig { filter: set_key(&config.filter, assignment).unwrap(), ..config }
}

#[test]
fn komi_forms_are_read_as_the_table_says() {
    let Some(data) = common::data() else { return };
    let corpus = data.join("corpus/conformance");
    let dir = TempDir::new("intake-komi");
    let config = ConvertConfig { duplicates: Duplicates::Keep, ..ConvertConfig::default() };
    let (_, lines) = intake(&corpus.join("hw_komi_forms.sgf"), &dir.path().join("out"), &config);
    let table = fs::read_to_string(corpus.join("komi_expected.tsv")).unwrap();
    let mut n_right = 0;
    for row in table.lines().skip(1) {
        let columns: Vec<&str> = row.split('\t').collect();
        let line = lines.iter().find(|line| line.game == columns[0].parse().ok()).unwrap();
        let missing = line.repairs.contains(&"komi_missing".to_string());
        match columns[3].parse::<f32>() {
            Ok(points) => assert_eq!((line.komi, missing), (Some(points), false), "{row}"),
            Err(_) => assert!(missing, "{row}: {line:?}"),
        }
        let plain: Option<f32> = columns[2].parse().ok();
        let kinds = ["komi_hundredths", "komi_stones", "komi_words"];
        let mended = line.repairs.iter().any(|repair| kinds.contains(&repair.as_str()));
        assert_eq!(mended, !missing && plain != line.komi, "{row}: {line:?}");
        n_right += 1;
    }
    assert_eq!(n_right, 24);
}

#[test]
fn result_forms_are_read_as_the_table_says() {
    let Some(data) = common::data() else { return };
    let corpus = data.join("corpus/conformance");
    let dir = TempDir::new("intake-results");
    let config = ConvertConfig { duplicates: Duplicates::Keep, ..ConvertConfig::default() };
    let (_, lines) = intake(&corpus.join("hw_result_forms.sgf"), &dir.path().join("out"), &config);
    let table = fs::read_to_string(corpus.join("result_expected.tsv")).unwrap();
    let (mut n_standard, mut n_lenient) = (0, 0);
    for row in table.lines().skip(1) {
        let columns: Vec<&str> = row.split('\t').collect();
        let line = lines.iter().find(|line| line.game == columns[0].parse().ok()).unwrap();
        let got = line.result.as_deref().unwrap();
        let winner = match got.as_bytes()[0] {
            b'0' => "D",
            b'B' => "B",
            b'W' => "W",
            _ => "?",
        };
        let expected = if columns[2] == "N" { "?" } else { columns[2] };
        let standard = columns[4] == "standard";
        assert!(winner == expected || (!standard && winner == "?"), "{row}: {got}");
        if winner == expected && ["B", "W"].contains(&winner) {
            let margin = &got[2..];
            let points = columns[3].split(['(', ' ']).find_map(|word| word.parse::<f32>().ok());
            let points = if columns[3].contains("zi") { Some(3.5) } else { points };
            match points {
                Some(points) => assert_eq!(margin.parse::<f32>().ok(), Some(points), "{row}: {got}"),
                None if margin.is_empty() => {}
                None => assert_eq!(margin, columns[3], "{row}: {got}"),
            }
        }
        *(if standard { &mut n_standard } else { &mut n_lenient }) += 1;
    }
    assert_eq!((n_standard, n_lenient), (17, 25));
}

/// Records and what is made of them: repairs, komi, moves, and whether value and score are told.
const REPAIRS: [(&str, &str, &str, f32, u32, bool, bool); 30] = [
    ("plain", "KM[6.5]RU[Japanese]RE[W+R];B[aa];W[bb]", "", 6.5, 2, true, false),
    ("hundredths", "KM[375]RU[Chinese]RE[W+R]AP[foxwq];B[aa];W[bb]", "komi_hundredths", 7.5, 2, true, false),
    ("stones", "KM[3.75]RU[Chinese]RE[W+R];B[aa];W[bb]", "komi_stones", 7.5, 2, true, false),
    ("stones by server", "KM[3.25]RU[Japanese]AP[foxwq]RE[W+R];B[aa];W[bb]", "komi_stones", 6.5, 2, true, false),
    ("quarters as written", "KM[3.75]RU[Japanese]RE[W+R];B[aa];W[bb]", "", 3.75, 2, true, false),
    ("words", "KM[6.5 points]RU[Japanese]RE[W+R];B[aa];W[bb]", "komi_words", 6.5, 2, true, false),
    ("server default", "KM[0]RU[Chinese]AP[foxwq]HA[0]RE[B+2];B[aa];W[bb]", "komi_server", 7.0, 2, false, false),
    ("no komi given", "KM[0]RU[Chinese]AP[foxwq]HA[1]RE[B+R];B[aa];W[bb]", "", 0.0, 2, true, false),
    ("zero elsewhere", "KM[0]RU[Chinese]RE[B+2];B[aa];W[bb]", "", 0.0, 2, true, true),
    ("komi missing", "RU[Japanese]RE[B+2];B[aa];W[bb]", "komi_missing", 6.5, 2, false, false),
    ("komi missing, clear win", "RU[Japanese]RE[B+20];B[aa];W[bb]", "komi_missing", 6.5, 2, true, false),
    ("komi missing, resignation", "RU[Chinese]RE[B+R];B[aa];W[bb]", "komi_missing", 7.0, 2, true, false),
    ("komi absurd", "KM[82]RU[Chinese]RE[B+R];B[aa];W[bb]", "komi_missing", 7.0, 2, true, false),
    ("rules by komi", "KM[7.5]RE[W+R];B[aa];W[bb]", "rules_missing", 7.5, 2, true, false),
    ("rules in words", "KM[7.5]RU[Chinese 2002]RE[W+R];B[aa];W[bb]", "rules_words", 7.5, 2, true, false),
    ("stones placed", "KM[0.5]RU[Japanese]HA[2]RE[W+R];W[aa];B[bb]", "handicap_stones", 0.5, 2, true, false),
    ("stones as moves", "KM[0.5]RU[Japanese]HA[2]RE[W+R];B[gc];B[cg];W[aa]", "", 0.5, 3, true, false),
    ("stones in set-up", "KM[0.5]RU[Japanese]HA[2]AB[gc][cg]RE[W+R];W[aa]", "", 0.5, 1, true, false),
    ("stones in the second node", "KM[0.5]RU[Japanese]HA[2]RE[W+R];AB[gc][cg];W[aa]", "setup_late", 0.5, 1, true, false),
    ("other number", "KM[0.5]RU[Japanese]HA[5]AB[gc][cg]RE[W+R];W[aa]", "handicap_count", 0.5, 1, true, false),
    ("Black begins", "KM[0.5]RU[Japanese]HA[3]RE[W+R];B[aa];W[bb]", "handicap_count", 0.5, 2, false, false),
    ("White first", "KM[6.5]RU[Japanese]RE[W+R];W[aa];B[bb]", "turn", 6.5, 2, true, false),
    ("White first, said", "KM[6.5]RU[Japanese]RE[W+R]PL[W];W[aa];B[bb]", "", 6.5, 2, true, false),
    ("twice", "KM[6.5]RU[Japanese]RE[W+2.5];B[aa];W[bb];W[cc]", "turn", 6.5, 3, false, false),
    ("set-up in the game", "KM[6.5]RU[Japanese]RE[W+R];B[aa];AB[cc];W[bb]", "setup_midgame", 6.5, 2, false, false),
    ("words for results", "KM[6.5]RU[Japanese]RE[Black wins by 2.5];B[aa];W[bb]", "result_words", 6.5, 2, true, true),
    ("after the end", "KM[6.5]RU[Japanese]RE[W+2.5];B[aa];W[bb];B[];W[];B[cc]", "after_end", 6.5, 4, false, false),
    ("a third pass", "KM[6.5]RU[Japanese]RE[W+2.5];B[aa];W[bb];B[];W[];B[]", "after_end", 6.5, 4, true, true),
    (
        "White by words of three languages",
        "KM[6.5]RU[日本ルール]RE[白中盘胜];B[aa];W[bb]",
        "result_words rules_words",
        6.5,
        2,
        true,
        false,
    ),
    ("two passes", "KM[6.5]RU[Japanese]RE[W+2.5];B[aa];W[bb];B[];W[]", "", 6.5, 4, true, true),
];

#[test]
fn every_repair_is_made_and_counted() {
    let config = ConvertConfig { duplicates: Duplicates::Keep, ..ConvertConfig::default() };
    let texts: Vec<String> = REPAIRS.iter().map(|case| format!("(;SZ[9]{})", case.1)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (report, lines) = of_texts("repairs", &texts, &config);
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for ((name, _, repairs, komi, moves, value, score), line) in REPAIRS.iter().zip(&lines) {
        let mut expected: Vec<&str> = repairs.split_whitespace().collect();
        expected.sort_by_key(|name| Repair::ALL.iter().position(|repair| repair.name() == *name));
        assert_eq!(line.repairs, expected, "{name}");
        assert_eq!((line.komi, line.moves, line.positions[0]), (Some(*komi), *moves, *moves), "{name}");
        assert_eq!((line.positions[1] > 0, line.positions[2] > 0), (*value, *score), "{name}: {line:?}");
        line.repairs.iter().for_each(|repair| *kinds.entry(repair.clone()).or_default() += 1);
    }
    assert_eq!(report.repaired_by_kind, kinds);
}

#[test]
fn every_repair_can_be_refused() {
    let mut n_refused = 0;
    for repair in Repair::ALL {
        let config = match repair {
            Repair::Superko | Repair::Illegal => continue,
            _ => ConvertConfig { duplicates: Duplicates::Keep, ..with_repair(&format!("{repair}=refuse")) },
        };
        let cases: Vec<_> = REPAIRS.iter().filter(|case| case.2.split(' ').any(|kind| kind == repair.name())).collect();
        assert!(!cases.is_empty(), "{repair}: no case");
        let texts: Vec<String> = cases.iter().map(|case| format!("(;SZ[9]{})", case.1)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let (_, lines) = of_texts(&format!("refuse-{repair}"), &texts, &config);
        for line in &lines {
            assert_eq!(line.verdict, Some(Verdict::Refused), "{repair}");
            assert_eq!(line.reason.as_deref(), Some(format!("needs {repair}").as_str()));
            n_refused += 1;
        }
    }
    assert!(n_refused >= 20, "{n_refused}");
}

#[test]
fn repairs_that_are_off_leave_the_record_as_it_is() {
    let cases = [
        ("komi_stones=off", "KM[3.75]RU[Chinese]RE[W+R];B[aa];W[bb]", 3.75, 2, true),
        ("komi_server=off", "KM[0]RU[Chinese]AP[foxwq]RE[B+2];B[aa];W[bb]", 0.0, 2, true),
        ("komi_missing=off", "RU[Japanese]RE[B+R];B[aa];W[bb]", 6.5, 2, false),
        ("handicap_stones=off", "KM[0.5]RU[Japanese]HA[2]RE[W+R];W[aa];B[bb]", 0.5, 2, false),
        ("setup_midgame=off", "KM[6.5]RU[Japanese]RE[W+R];B[aa];AB[cc];W[bb]", 6.5, 2, true),
        ("result_words=off", "KM[6.5]RU[Japanese]RE[Black wins by 2.5];B[aa];W[bb]", 6.5, 2, false),
        ("after_end=off", "KM[6.5]RU[Japanese]RE[W+2.5];B[aa];W[bb];B[];W[];B[cc]", 6.5, 5, true),
    ];
    for (assignment, text, komi, moves, value) in cases {
        let (_, lines) = of_texts("off", &[&format!("(;SZ[9]{text})")], &with_repair(assignment));
        let line = &lines[0];
        assert_eq!((line.repairs.len(), line.komi, line.moves), (0, Some(komi), moves), "{assignment}");
        assert_eq!(line.positions[1] > 0, value, "{assignment}");
    }
}

#[test]
fn illegal_moves_and_repetitions_follow_the_policy() {
    let illegal = "(;SZ[9]KM[7]RU[Chinese]RE[W+R];B[aa];W[bb];B[cc];W[cc];B[dd])";
    let (_, lines) = of_texts("illegal", &[illegal], &ConvertConfig::default());
    assert_eq!(lines[0].reason.as_deref(), Some("illegal move: occupied point"));
    let (report, lines) = of_texts("prefix", &[illegal], &with_repair("illegal=prefix"));
    assert_eq!((lines[0].moves, lines[0].positions, lines[0].repairs.join(" ")), (3, [3, 0, 0, 0], "illegal".to_string()));
    assert_eq!(report.repaired_by_kind["illegal"], 1);
    let beside = "(;SZ[9]KM[7]RU[Chinese]RE[W+R];B[aa];W[bb];B[jj];W[cc])(;SZ[9];B[zz];W[aa])";
    let (_, lines) = of_texts("beside", &[beside], &ConvertConfig::default());
    let reasons: Vec<_> = lines.iter().map(|line| line.reason.as_deref()).collect();
    assert_eq!(reasons, [Some("illegal move: point off the board"); 2]);
    let (report, lines) = of_texts("beside", &[beside], &with_repair("illegal=prefix"));
    assert_eq!((lines[0].moves, lines[0].positions, lines[0].repairs.join(" ")), (2, [2, 0, 0, 0], "illegal".to_string()));
    assert_eq!((report.repaired_by_kind["illegal"], lines[1].reason.as_deref()), (1, Some("too few moves")));

    // Two kos taken in turn: at move 6 the board is as after move 2.
    let set_up = "AB[ba][ab][bc]AW[ca][db][cc][bb]AB[bg][ah][bi]AW[cg][dh][ci][ch]";
    let superko = format!("(;SZ[9]KM[7]RU[Chinese]RE[W+R]{set_up};B[cb];W[ih];B[ii];W[bb])");
    let (_, lines) = of_texts("superko-none", &[&superko], &ConvertConfig::default());
    let repeats = lines[0].repairs.contains(&"superko".to_string());
    assert!(!repeats, "stones were added between");
    let superko = format!("(;SZ[9]KM[7]RU[Chinese]RE[W+R]{set_up};B[cb];W[];B[];W[bb];B[gg])");
    for (policy, verdict, moves, value) in
        [("keep", Verdict::Accepted, 5, true), ("cut", Verdict::Accepted, 3, false), ("refuse", Verdict::Refused, 5, false)]
    {
        let config = ConvertConfig {
            repair: set_key(&with_repair("after_end=off").repair, &format!("superko={policy}")).unwrap(),
            ..ConvertConfig::default()
        };
        let (_, lines) = of_texts(&format!("superko-{policy}"), &[&superko], &config);
        let line = &lines[0];
        assert_eq!((line.verdict, line.moves, line.positions[1] > 0), (Some(verdict), moves, value), "{policy}: {line:?}");
    }
}

#[test]
fn filters_say_what_is_not_wanted() {
    let game = |root: &str| format!("(;SZ[9]KM[6.5]RU[Japanese]RE[W+R]{root};B[aa];W[bb];B[cc];W[dd])");
    let cases = [
        ("boards=9,13", "", true),
        ("boards=13,9x9", "SZ[9]", true),
        ("players=cho,lee", "PB[CHO Chikun]", true),
        ("players=cho,lee", "PB[Somebody]", false),
        ("rank_min=3d", "BR[3d]WR[9p]", true),
        ("rank_min=3d", "BR[3 dan]WR[2段]", false),
        ("rank_min=3d", "BR[3d]", false),
        ("rank_min=3d", "PB[a [4d\\]]PW[b (9段)]", true),
        ("rank_min=10k", "BR[15级]WR[1k]", false),
        ("rank_max=1d", "BR[1d?]WR[3k*]", true),
        ("rank_max=1d", "BR[1d]WR[2d]", false),
        ("rank_min=2000", "PB[bot (2345)]PW[other[2000\\]]", true),
        ("rank_min=2000", "PB[bot (2345)]PW[other [1999?\\]]", false),
        ("date_min=2001", "DT[2001-01-01]", true),
        ("date_min=2001-06", "DT[2001-05-31]", false),
        ("date_max=2001", "DT[2001/12/31]", true),
        ("date_max=2001", "DT[played 2002]", false),
        ("date_max=2001", "", false),
        ("date_max=2001", "DT[1999年3月]", true),
        ("handicap_max=0", "HA[0]", true),
        ("handicap_max=0", "HA[2]AB[gg][cg]", false),
        ("komi_min=6.5", "", true),
        ("komi_max=5.5", "", false),
        ("result=known", "", true),
        ("result=counted", "", false),
        ("moves_max=4", "", true),
        ("moves_max=3", "", false),
        ("move_seconds_min=5", "TM[1200]", true),
        ("move_seconds_min=5", "TM[300]", false),
        ("move_seconds_min=5", "TM[0]OT[5x10 byo-yomi]", true),
        ("move_seconds_min=5", "TM[60]OT[3x3 byo-yomi]", false),
        ("move_seconds_min=13", "TM[0]OT[25/300 Canadian]", false),
        ("move_seconds_min=5", "TM[9 hours]", true),
        ("move_seconds_min=5", "", false),
        ("sample=1", "", true),
        ("sample=0", "", false),
    ];
    for (assignment, root, wanted) in cases {
        let text = game(root);
        let dir = TempDir::new("intake-filter");
        let games = dir.path().join("games");
        fs::create_dir(&games).unwrap();
        fs::write(games.join("a.sgf"), &text).unwrap();
        // Something must be accepted: a game that the filter in question does not see.
        let config = with_filter(assignment);
        let sound = if assignment.starts_with("sample") || !wanted { None } else { Some(SOUND) };
        if let Some(sound) = sound {
            fs::write(games.join("b.sgf"), sound).unwrap();
        }
        let paths = [games];
        let out = dir.path().join("out");
        let job = Conversion { paths: &paths, out: &out, config: &config, ram_budget_bytes: 1 << 30, stop: &Stop::default() };
        match convert(&job, &mut |_| ()) {
            Ok(_) => {
                let line = ledger::read(&out).unwrap().next().unwrap().unwrap();
                assert_eq!(line.verdict == Some(Verdict::Accepted), wanted, "{assignment} {root}: {line:?}");
            }
            Err(e) => assert!(!wanted && e.what().contains("no usable game"), "{assignment} {root}: {e}"),
        }
    }
}

#[test]
fn samples_are_the_same_games_in_any_order() {
    let game = |i: usize| format!("(;SZ[9]KM[7]RU[Chinese]RE[W+R];B[{}];W[{}])", point(i % 81), point((i * 7 + 3) % 81 / 2));
    let texts: Vec<String> = (0..81).map(game).collect();
    let forward: Vec<&str> = texts.iter().map(String::as_str).collect();
    let backward: Vec<&str> = forward.iter().rev().copied().collect();
    let config = with_filter("sample=0.5");
    let taken = |texts: &[&str]| {
        let dir = TempDir::new("intake-sample");
        fs::write(dir.path().join("all.sgf"), texts.join("\n")).unwrap();
        let (_, lines) = intake(&dir.path().join("all.sgf"), &dir.path().join("out"), &config);
        let mut hashes: Vec<String> =
            lines.into_iter().filter(|line| line.verdict == Some(Verdict::Accepted)).filter_map(|line| line.hash).collect();
        hashes.sort();
        hashes
    };
    let (a, b) = (taken(&forward), taken(&backward));
    assert_eq!(a, b);
    assert!((20..62).contains(&a.len()), "{} of 81", a.len());
}

fn point(i: usize) -> String {
    [i % 9, i / 9].map(|n| (b'a' + n as u8) as char).iter().collect()
}

/// A 9x9 game moved by a symmetry.
fn turned(moves: &[(usize, usize)], symmetry: Symmetry) -> String {
    let name = |&(x, y): &(usize, usize)| {
        let (x, y) = symmetry.apply((x, y), (9, 9));
        point(y * 9 + x)
    };
    let moves = moves.iter().enumerate().map(|(i, at)| format!(";{}[{}]", if i % 2 == 0 { 'B' } else { 'W' }, name(at)));
    format!("(;SZ[9]KM[7]RU[Chinese]RE[W+R]AB[{}][{}]{})", name(&(0, 1)), name(&(5, 5)), moves.collect::<String>())
}

#[test]
fn the_same_game_is_known_again() {
    let moves: Vec<(usize, usize)> = (0..40).map(|i| ((i * 5 + 2) % 9, (i * 5 + 2) / 9 % 9)).collect();
    let dir = TempDir::new("intake-twins");
    let games = dir.path().join("games");
    fs::create_dir(&games).unwrap();
    for symmetry in Symmetry::all() {
        fs::write(games.join(format!("{}.sgf", symmetry.number())), turned(&moves, symmetry)).unwrap();
    }
    let same = turned(&moves, Symmetry::IDENTITY);
    // Other names, other encodings, other order of properties and of stones.
    let gbk = [b"(;CA[GBK]PB[\xba\xda\xc6\xe5]".as_slice(), &same.as_bytes()[2..]].concat();
    fs::write(games.join("gbk.sgf"), gbk).unwrap();
    let utf16: Vec<u8> = [0xfe, 0xff].into_iter().chain(same.encode_utf16().flat_map(u16::to_be_bytes)).collect();
    fs::write(games.join("utf16.sgf"), utf16).unwrap();
    fs::write(
        games.join("order.sgf"),
        same.replace("SZ[9]KM[7]RU[Chinese]RE[W+R]AB[ab][ff]", "AB[ff][ab]PW[x]SZ[9]RE[B+2]PL[B]"),
    )
    .unwrap();
    fs::write(games.join("order2.sgf"), same.replace("AB[ab][ff]", "AB[ff];AB[ab]")).unwrap();
    // Shares the first 28 moves and goes on in another way; and no relation at all.
    let mut other = moves[..30].to_vec();
    other.extend([(8, 8), (8, 7)]);
    fs::write(games.join("x-shared.sgf"), turned(&other, Symmetry::new(5))).unwrap();
    fs::write(games.join("y-other.sgf"), turned(&moves[1..], Symmetry::IDENTITY)).unwrap();

    let (report, lines) = intake(&games, &dir.path().join("out"), &ConvertConfig::default());
    assert_eq!((report.games_accepted, report.games_duplicate, report.games_shared_opening), (3, 11, 1));
    assert!(lines[1..12].iter().all(|line| line.verdict == Some(Verdict::Duplicate) && line.twin == Some(1)));
    assert_eq!((lines[12].opening, lines[13].opening), (Some(1), None));
    assert_eq!(Dataset::open(&dir.path().join("out")).unwrap().n_positions(), 40 + 32 + 39);

    let keep = ConvertConfig { duplicates: Duplicates::Keep, shared_moves: 0, ..ConvertConfig::default() };
    let (report, lines) = intake(&games, &dir.path().join("kept"), &keep);
    assert_eq!((report.games_accepted, report.games_duplicate, report.games_shared_opening), (14, 11, 0));
    assert!(lines.iter().all(|line| line.verdict == Some(Verdict::Accepted)));
}

#[test]
fn every_line_of_a_game_is_written_once() {
    let text = "(;SZ[9]KM[7]RU[Chinese]RE[W+R];B[aa];W[ba](;B[ca];W[da](;B[ea])(;B[fa]))(;B[ga];W[ha]))";
    let config = ConvertConfig { variations: Variations::All, ..ConvertConfig::default() };
    let (report, lines) = of_texts("variations", &[text], &config);
    let told: Vec<_> = lines.iter().map(|line| (line.variation, line.moves, line.positions)).collect();
    assert_eq!(told, [(0, 5, [5, 5, 0, 0]), (1, 5, [1, 0, 0, 0]), (2, 4, [2, 0, 0, 0])]);
    assert_eq!(report.positions, 8 + 4);
    let (_, lines) = of_texts("main-line", &[text], &ConvertConfig::default());
    assert_eq!(lines.len(), 1);
}

#[test]
fn games_may_weigh_the_same() {
    let dir = TempDir::new("intake-weight");
    fs::write(dir.path().join("a.sgf"), "(;SZ[9];B[];W[aa];B[bb];W[];B[cc])").unwrap();
    for (weight, expected) in [(Weight::Position, 1.0), (Weight::Game, 4.0)] {
        let config = ConvertConfig { weight, ..ConvertConfig::default() };
        let out = dir.path().join(format!("{weight:?}"));
        intake(&dir.path().join("a.sgf"), &out, &config);
        assert_eq!(Dataset::open(&out).unwrap().shards_of(9)[0].record(0).unwrap().weight(), expected);
    }
}

/// A folder in which everything happens.
fn everything(games: &Path) {
    fs::create_dir_all(games).unwrap();
    for (i, (_, text, ..)) in REPAIRS.iter().enumerate() {
        fs::write(games.join(format!("r{i:02}.sgf")), format!("(;SZ[9]{text})")).unwrap();
    }
    for i in 0..40 {
        let text = format!("(;SZ[9]KM[7]RE[B+R];B[{}];W[{}];B[ii])", point(i % 20), point(30 + i % 7));
        fs::write(games.join(format!("s{i:02}.sgf")), text).unwrap();
    }
    fs::write(games.join("t.sgf"), "(;SZ[9];B[aa];W[aa])(;SZ[9];B[a])(;GM[2])(;SZ[9];B[bb];W[cc](;B[dd])(;B[ee]))").unwrap();
    fs::write(games.join("u.sgf"), "").unwrap();
}

#[test]
fn the_account_does_not_depend_on_the_number_of_workers() {
    let dir = TempDir::new("intake-workers");
    let games = dir.path().join("games");
    everything(&games);
    let contents = |out: &Path| -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(out).unwrap().map(|e| e.unwrap());
        entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
    };
    for duplicates in [Duplicates::Drop, Duplicates::Keep] {
        let outs: Vec<_> = [1, 2, 3]
            .map(|workers| {
                let out = dir.path().join(format!("{duplicates:?}{workers}"));
                let config = ConvertConfig { workers, duplicates, variations: Variations::All, ..ConvertConfig::default() };
                intake(&games, &out, &config);
                contents(&out)
            })
            .into();
        assert!(outs[0].contains_key("ledger.jsonl"));
        assert!(outs[1] == outs[0] && outs[2] == outs[0], "{duplicates:?}: other bytes");
    }
}

#[test]
fn refused_games_are_copied_with_their_reasons() {
    let dir = TempDir::new("intake-quarantine");
    let (games, out, copies) = (dir.path().join("games"), dir.path().join("out"), dir.path().join("copies"));
    everything(&games);
    let limits = ConvertConfig::default().archive;
    let (report, _) = intake(&games, &out, &ConvertConfig::default());
    assert_eq!(quarantine(&out, &copies, &limits, &Stop::default()).unwrap(), report.games_refused);
    let mut texts: Vec<(String, String)> = fs::read_dir(&copies)
        .unwrap()
        .map(|e| e.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy()[8..].to_string(), fs::read_to_string(&path).unwrap()))
        .collect();
    texts.sort();
    let of = |name: &str| texts.iter().filter(|(n, _)| n == name).map(|(_, text)| text.as_str()).collect::<Vec<_>>();
    assert_eq!(of("t.sgf"), ["(;GM[2])", "(;SZ[9];B[a])", "(;SZ[9];B[aa];W[aa])"]);
    assert_eq!(of("u.sgf"), [""]);
    let reasons = of("t.sgf.reason.txt").join("");
    assert!(reasons.contains("t.sgf:1: game 1 illegal move: occupied point: move 2: W A9"), "{reasons}");
    // Once more in the same place, but never among other files.
    assert!(quarantine(&out, &copies, &limits, &Stop::default()).is_ok());
    let said = quarantine(&out, &games, &limits, &Stop::default()).unwrap_err();
    assert_eq!(said.exit_code(), 2, "{said}");
}

#[test]
fn statistics_agree_with_the_corpus() {
    let Some(data) = common::data() else { return };
    // Column by number: file w h main_moves … ha(7) km(8) re(9) win(10) margin(11) br(12) wr(13) dt(14).
    for (set, n_games) in [("pro19", 300), ("small9", 600), ("mid13", 439)] {
        let dir = TempDir::new(&format!("intake-stats-{set}"));
        let index = fs::read_to_string(data.join(format!("corpus/{set}.index.tsv"))).unwrap();
        let rows: BTreeMap<&str, Vec<&str>> =
            index.lines().map(|l| l.split('\t').collect::<Vec<_>>()).map(|c| (c[0], c)).collect();
        let mut expected = Stats::default();
        let (mut unnamed, mut known_komi) = (0, BTreeMap::<i32, u64>::new());
        for (name, bytes) in common::members(&data.join(format!("corpus/{set}.tar.gz"))).into_iter().take(n_games) {
            let row = &rows[name.as_str()];
            fs::create_dir_all(dir.path().join("games").join(&name).parent().unwrap()).unwrap();
            fs::write(dir.path().join("games").join(&name), bytes).unwrap();
            if row[3] == "0" {
                continue;
            }
            *expected.lengths.entry(row[3].parse().unwrap()).or_default() += 1;
            *expected.handicaps.entry(row[7].parse().unwrap_or(0)).or_default() += 1;
            *expected.sizes.entry(format!("{}x{}", row[1], row[2])).or_default() += 1;
            match row[8].parse::<f32>() {
                Ok(komi) => *known_komi.entry((komi * 100.0) as i32).or_default() += 1,
                Err(_) => unnamed += 1,
            }
            let won = match row[10] {
                "B" => Some("black"),
                "W" => Some("white"),
                "D" => Some("draw"),
                _ => None,
            };
            *expected.results.entry(won.unwrap_or("unknown")).or_default() += 1;
            for (i, rank) in [row[12], row[13]].into_iter().enumerate() {
                if let Some(key) = rank_key(rank) {
                    *expected.ranks[i].entry(key).or_default() += 1;
                }
            }
            // Somebody wrote the day first.
            let year = row[14].split(|c: char| !c.is_ascii_digit()).find(|digits| digits.len() == 4);
            if let Some(year) = year.and_then(|year| year.parse().ok()) {
                *expected.years.entry(year).or_default() += 1;
            }
        }
        let repair = set_key(&RepairConfig::default(), "after_end=off").unwrap();
        let config = ConvertConfig { duplicates: Duplicates::Keep, workers: 2, repair, ..ConvertConfig::default() };
        let (report, _) = intake(&dir.path().join("games"), &dir.path().join("out"), &config);
        let stats = Stats::read(&dir.path().join("out")).unwrap();
        assert_eq!((&stats.lengths, &stats.sizes, &stats.years), (&expected.lengths, &expected.sizes, &expected.years), "{set}");
        assert_eq!((&stats.handicaps, &stats.ranks), (&expected.handicaps, &expected.ranks), "{set}");
        let mut winners: BTreeMap<&str, u64> = BTreeMap::new();
        stats.results.iter().for_each(|(name, n)| *winners.entry(name.split(' ').next().unwrap()).or_default() += n);
        assert_eq!(winners.into_iter().collect::<Vec<_>>(), expected.results.into_iter().collect::<Vec<_>>(), "{set}");
        // Those without a komi got one.
        let more: u64 = stats.komi.iter().map(|(komi, n)| n - known_komi.get(komi).copied().unwrap_or(0)).sum();
        assert_eq!(more, unnamed, "{set}");
        assert_eq!(stats.positions[0], report.positions);
    }
}

fn edgezero(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_edgezero")).args(args).output().unwrap()
}

#[test]
fn the_commands_filter_repair_and_show() {
    let dir = TempDir::new("intake-commands");
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    everything(Path::new(&path("games")));
    let (games, out, page, copies) = (path("games"), path("out"), path("page.html"), path("copies"));
    let mut args = vec!["convert", &games, "--out", &out, "--min-moves=1", "--quarantine", &copies];
    args.extend(["--repair", "komi_missing=refuse", "--filter=boards=9,19", "--filter", "moves-max=300", "--duplicates", "keep"]);
    let made = edgezero(&args);
    let told = String::from_utf8(made.stdout).unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for expected in ["needs komi_missing", "duplicates: ", "repaired, of the accepted:", "refused games with their reasons"] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    let shown = edgezero(&["stats", &out, "--html", &page]);
    let table = String::from_utf8(shown.stdout).unwrap();
    assert!(table.contains("Results (games by result)") && table.contains("9x9"), "{table}");
    let page = fs::read_to_string(&page).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("<svg") && page.ends_with("</html>\n"));
    assert!(!page.contains("http"), "nothing is loaded from anywhere");
    assert_eq!(page.matches("<section>").count(), page.matches("</svg>").count());
    let json: serde_json::Value = serde_json::from_slice(&edgezero(&["stats", &out, "--json"]).stdout).unwrap();
    assert!(json["verdicts"]["accepted"].as_u64().unwrap() > 20);

    for (option, value, expected) in [
        ("--repair", "komi=on", "no key komi, expected one of after_end, "),
        ("--repair", "turn=maybe", "unknown variant `maybe`"),
        ("--repair", "turn", "expected KEY=VALUE"),
        ("--filter", "rank_min=strong", "a rank such as 3k"),
        ("--filter", "sample=2", "sample is 2, expected 0.0..=1.0"),
        ("--filter", "komi_min=low", "expected a number"),
        ("--duplicates", "some", "expected keep or drop"),
    ] {
        let refused = edgezero(&["convert", &games, "--out", &out, option, value]);
        let told = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{option} {value}: {told}");
        assert!(told.contains(expected), "{option} {value}: {told}");
    }
    assert_eq!(edgezero(&["stats", &games]).status.code(), Some(1));
}

#[test]
fn the_small_corpus_of_the_repository_is_counted() {
    let dir = TempDir::new("intake-small9");
    let games = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/small9");
    let (report, _) = intake(&games, &dir.path().join("out"), &ConvertConfig::default());
    let stats = Stats::read(&dir.path().join("out")).unwrap();
    assert_eq!(stats.sizes.values().sum::<u64>(), report.games_accepted);
    assert_eq!(stats.sizes.keys().collect::<Vec<_>>(), ["9x9"]);
    assert_eq!(stats.komi.keys().copied().filter(|komi| ![700, 750].contains(komi)).count(), 0);
    assert_eq!(stats.positions[0], report.positions);
}
