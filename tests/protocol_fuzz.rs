//! Random lines of GTP and of the analysis protocol: each gets its answers, a bad one a `?` or an error object, in time.
//!
//! `EDGEZERO_FUZZ_LINES=1000000 cargo test --test protocol_fuzz` sends a million to each; here it is fewer.

mod common;
#[path = "common/engine.rs"]
mod engine;

use common::TempDir;
use edgezero::base::rng::{below, rng};
use edgezero::base::signal::Stop;
use edgezero::infer::scripted::Scripted;
use edgezero::infer::{Batcher, Evaluation, Evaluator, Request};
use edgezero::net::{NetConfig, tensors};
use edgezero::opponent::analysis::{self, AnalysisConfig};
use edgezero::opponent::gtp::{Input, Line, Lines, serve};
use edgezero::opponent::{Effort, OpponentConfig, Session, Side};
use edgezero::search::SearchConfig;
use engine::Engine;
use rand::Rng as _;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Lines of each protocol when nothing else is said.
const LINES: usize = 20_000;
/// Longer than any of these lines takes, the machine being busy.
const LINE_TIME_MAX: Duration = Duration::from_secs(60);

fn n_lines() -> usize {
    std::env::var("EDGEZERO_FUZZ_LINES").ok().and_then(|n| n.parse().ok()).unwrap_or(LINES)
}

/// A net whose answers depend on the position's bytes.
fn net() -> Box<dyn Evaluator> {
    Box::new(Scripted::new(8, |request: &Request<'_>| {
        let mut draw = rng(request.row.iter().fold(1, |h: u64, &b| h.wrapping_mul(31) ^ u64::from(b)), 0);
        let mut answer = Evaluation::even(request.len);
        answer.policy.iter_mut().for_each(|logit| *logit = (draw.next_u64() >> 40) as f32 / (1 << 22) as f32);
        answer
    }))
}

const SEARCH: SearchConfig = SearchConfig { tree_mb: 1, cache_mb: 0, visits: 4, batch_size: 2 };

struct Draw(rand_xoshiro::Xoshiro256PlusPlus);

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        below(self.0.next_u64(), n)
    }

    fn one<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    /// Letters, blanks, signs, control characters and what is no ASCII.
    fn garbage(&mut self) -> String {
        const ALPHABET: [char; 40] = [
            'a', 'b', 'k', 'p', 'w', 'A', 'B', 'J', 'T', 'Z', '0', '1', '5', '9', ' ', ' ', ' ', '\t', '-', '_', '=', '?', '#',
            ':', ',', '.', '{', '}', '[', ']', '"', '\\', '\u{0}', '\u{7f}', '\u{b}', 'é', '碁', '\u{202e}', '\u{feff}', '🀄',
        ];
        let n = self.below(40);
        (0..n).map(|_| ALPHABET[self.below(ALPHABET.len())]).collect()
    }
}

/// What an answer has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Result,
    Failure,
    Either,
    Nothing,
}

const GOOD: [&str; 44] = [
    "protocol_version",
    "name",
    "version",
    "known_command play",
    "list_commands",
    "boardsize 5",
    "boardsize 7",
    "boardsize 4:6",
    "rectangular_boardsize 3 6",
    "clear_board",
    "komi 6.5",
    "komi -3",
    "get_komi",
    "kata-get-rules",
    "kata-set-rule ko SITUATIONAL",
    "kata-set-rules japanese",
    "kata-set-rules {\"ko\":\"SIMPLE\",\"scoring\":\"TERRITORY\"}",
    "kgs-rules chinese",
    "genmove b",
    "genmove WHITE",
    "kgs-genmove_cleanup w",
    "showboard",
    "time_settings 0 0 1",
    "time_settings 1 0 0",
    "time_left b 0 1",
    "kgs-time_settings none",
    "kata-time_settings fischer 1 0.01",
    "final_score",
    "final_status_list dead",
    "final_status_list seki",
    "stop",
    "set_position b A1 w B2",
    "printsgf",
    "kata-raw-nn 3",
    "kata-raw-nn w all",
    "kata-get-models",
    "kata-get-param maxVisits",
    "kata-set-param maxVisits 5",
    "clear_cache",
    "cputime",
    "gogui-policy",
    "kata-genmove_analyze b 1 maxmoves 2",
    "kata-analyze w 1 ownership true",
    "lz-analyze 1 avoid b A1 1",
];

const BAD: [&str; 58] = [
    "play",
    "play b",
    "play x A1",
    "play b Z1",
    "play b I1",
    "play b A0",
    "play w A20",
    "play w a99999999999999999999999",
    "play b A1 extra",
    "genmove",
    "genmove q",
    "boardsize",
    "boardsize 0",
    "boardsize 1",
    "boardsize 20",
    "boardsize -9",
    "boardsize 9.5",
    "boardsize 4294967305",
    "boardsize 9 9 9",
    "rectangular_boardsize 9 20",
    "komi",
    "komi x",
    "komi 0.3",
    "komi nan",
    "komi inf",
    "komi 401",
    "kata-set-rules",
    "kata-set-rules nonsense",
    "kata-set-rules {\"ko\":7}",
    "kata-set-rules {",
    "kata-set-rule ko",
    "kata-set-rule ko NONE",
    "kata-set-rule nonsense true",
    "fixed_handicap",
    "fixed_handicap 99",
    "fixed_handicap -1",
    "set_free_handicap",
    "set_free_handicap Z9",
    "time_settings",
    "time_settings 1",
    "time_settings a b c",
    "time_settings -1 0 0",
    "time_left b",
    "time_left x 1 1",
    "kgs-time_settings sundial",
    "final_status_list",
    "final_status_list asleep",
    "loadsgf",
    "loadsgf /nonexistent/file.sgf",
    "set_position b",
    "set_position b Z1",
    "kata-raw-nn 8",
    "kata-get-param nonsense",
    "kata-set-param maxVisits 0",
    "kata-analyze nonsense",
    "kata-analyze b 1 maxmoves",
    "lz-analyze 1 ownership true",
    "gg-undo x",
];

const WORDS: [&str; 36] = [
    "play",
    "genmove",
    "undo",
    "gg-undo",
    "gogui-play_sequence",
    "set_free_handicap",
    "place_free_handicap",
    "fixed_handicap",
    "kata-genmove_analyze",
    "kata-search_analyze_cancellable",
    "lz-genmove_analyze",
    "kata-search",
    "kata-set-rules",
    "final_status_list",
    "final_score",
    "set_position",
    "gogui-ownership",
    "gogui-pv",
    "kata-raw-nn",
    "clear_board",
    "b",
    "w",
    "black",
    "A1",
    "b2",
    "C3",
    "D4",
    "pass",
    "resign",
    "2",
    "3",
    "tromp-taylor",
    "stone-scoring",
    "avoid",
    "alive",
    "1e308",
];

/// A command line without its id, and what its answer must be. Never one that writes a file of a drawn name.
fn command(draw: &mut Draw) -> (String, Expect) {
    loop {
        let (text, expect) = any_command(draw);
        let words = words_of(&text);
        let name_idx = words.iter().position(|word| !word.bytes().all(|b| b.is_ascii_digit())).unwrap_or(0);
        if words.get(name_idx).is_none_or(|name| name != "printsgf") || words.len() == name_idx + 1 {
            return (text, expect);
        }
    }
}

fn any_command(draw: &mut Draw) -> (String, Expect) {
    match draw.below(10) {
        0 | 1 => (draw.one(&GOOD).to_string(), Expect::Result),
        2 | 3 => (draw.one(&BAD).to_string(), Expect::Failure),
        4..=7 => {
            // Mostly a game that goes on.
            let n = 1 + draw.below(4);
            let mut words: Vec<&str> = (0..n).map(|_| draw.one(&WORDS)).collect();
            if draw.below(2) == 0 {
                words = vec![
                    "play",
                    draw.one(&["b", "w"]),
                    draw.one(&["A1", "A2", "B1", "B2", "B3", "C2", "C3", "A3", "C1", "pass"]),
                ];
            }
            (words.join(" "), Expect::Either)
        }
        8 => {
            let (good, cut) = (draw.one(&GOOD).to_string(), draw.below(12));
            let mut mutated: String = good.chars().take(cut).collect();
            mutated += &draw.garbage();
            (mutated, Expect::Either)
        }
        _ => (draw.garbage(), Expect::Either),
    }
}

/// What is left of a line when comments and control characters are gone.
fn words_of(line: &str) -> Vec<String> {
    let text: String = line.split('#').next().unwrap_or("").replace('\t', " ").chars().filter(|c| !c.is_control()).collect();
    text.split_whitespace().map(str::to_string).collect()
}

#[test]
fn gtp_lines() {
    let config =
        OpponentConfig { rules: "chinese".to_string(), komi: 7.5, resign_below: 0.05, resign_streak: 2, resign_after: 0.0 };
    // Only visits end a search, so that a clock that was drawn cannot make it long.
    let effort = Effort { visits: Some(4), ..Effort::default() };
    let mut session = Session::with_search(net(), config, SEARCH, effort).unwrap();
    let mut ask = |line: &str| {
        let mut out = Vec::new();
        serve(&mut session, Lines::new(line.as_bytes()), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let mut known: Vec<String> = ask("list_commands")[2..].split_whitespace().map(str::to_string).collect();
    known.extend(["analyze", "genmove_analyze", "kata-get-params", "kata-set-params"].map(str::to_string));
    ask("boardsize 5");
    let mut draw = Draw(rng(2026, 0));
    let (mut counts, mut slowest) = (HashMap::new(), Duration::ZERO);
    for line_idx in 0..n_lines() {
        let (text, mut expect) = command(&mut draw);
        let mut line = if draw.below(2) == 0 { format!("{line_idx} {text}") } else { text };
        if draw.below(20_000) == 0 {
            line = "x".repeat(100_000);
        }
        let words = words_of(&line);
        let (id, rest) = match words.split_first() {
            Some((first, rest)) if first.bytes().all(|b| b.is_ascii_digit()) => (first.as_str(), rest),
            _ => ("", &words[..]),
        };
        expect = match rest.first() {
            None if id.is_empty() => Expect::Nothing,
            None => Expect::Failure,
            Some(name) if !known.contains(name) => Expect::Failure,
            Some(_) => expect,
        };
        let begun = Instant::now();
        let told = ask(&line);
        slowest = slowest.max(begun.elapsed());
        assert!(begun.elapsed() < LINE_TIME_MAX, "{line}: {:?}", begun.elapsed());
        if expect == Expect::Nothing {
            assert_eq!(told, "", "{line:?}");
            continue;
        }
        let sign = told.chars().next().unwrap_or(' ');
        match expect {
            Expect::Result => assert_eq!(sign, '=', "{line:?}: {told}"),
            Expect::Failure => assert_eq!(sign, '?', "{line:?}: {told}"),
            _ => assert!("=?".contains(sign), "{line:?}: {told}"),
        }
        let after = &told[1..];
        assert!(after.starts_with(id) && [" ", "\n"].contains(&&after[id.len()..=id.len()]), "{line:?}: {told:?}");
        // KataGo parts the eight answers of `kata-raw-nn all` by empty lines.
        let is_parted = rest.first().is_some_and(|name| name == "kata-raw-nn");
        assert!(told.ends_with("\n\n") && (is_parted || told.matches("\n\n").count() == 1), "{line:?}: {told:?}");
        *counts.entry(sign).or_insert(0) += 1;
    }
    println!("gtp: {} lines, answers {counts:?}, slowest {slowest:?}", n_lines());
}

/// The program itself reads ahead while it answers, and a line ends the analysis before it.
#[test]
fn gtp_lines_through_a_pipe() {
    let dir = TempDir::new("fuzz-pipe");
    let net = dir.path().join("net.safetensors");
    tensors::save(&net, &NetConfig::named("b2c32").unwrap().init(1)).unwrap();
    let mut engine = Engine::start(["gtp", "--visits", "4", "--threads", "1", "--ponder", "--net", net.to_str().unwrap()]);
    let mut draw = Draw(rng(2026, 2));
    let n = n_lines() / 10;
    engine.send("boardsize 5");
    for id in 1..=n {
        let text = loop {
            let (text, _) = command(&mut draw);
            if words_of(&text).first().is_some_and(|name| name != "quit") {
                break text;
            }
        };
        engine.send(&format!("{id} {text}"));
    }
    let (out, _) = engine.end();
    let id_of = |line: &String| -> Option<usize> {
        let rest = line.strip_prefix(['=', '?'])?;
        rest.split(' ').next()?.parse().ok()
    };
    let ids: Vec<usize> = out.iter().filter_map(id_of).collect();
    assert!(ids.iter().copied().eq(1..=n), "{} of {n} lines answered", ids.len());
}

/// Values that make a query wrong, each by itself.
fn bad_fields() -> Vec<(&'static str, Value)> {
    vec![
        ("id", json!(7)),
        ("id", json!(null)),
        ("rules", json!("nonsense")),
        ("rules", json!(3)),
        ("rules", json!({"ko": 3})),
        ("boardXSize", json!(1)),
        ("boardXSize", json!(20)),
        ("boardXSize", json!(-5)),
        ("boardXSize", json!("5")),
        ("boardYSize", json!(5.5)),
        ("boardYSize", json!(4_294_967_301_u64)),
        ("moves", json!(null)),
        ("moves", json!({})),
        ("moves", json!([["B"]])),
        ("moves", json!([["X", "A1"]])),
        ("moves", json!([["B", "Z9"]])),
        ("moves", json!([["B", "A1"], ["W", "A1"]])),
        ("moves", json!([[["B", "A1"]]])),
        ("komi", json!(0.3)),
        ("komi", json!(1e99)),
        ("komi", json!("7")),
        ("maxVisits", json!(0)),
        ("maxVisits", json!(1.5)),
        ("maxVisits", json!(-1)),
        ("analyzeTurns", json!([99])),
        ("analyzeTurns", json!([-1])),
        ("analyzeTurns", json!("all")),
        ("priority", json!(1.5)),
        ("priorities", json!([1, 2, 3, 4, 5, 6])),
        ("initialStones", json!([["W", "pass"]])),
        ("initialStones", json!([["B", "A1"], ["W", "A2"], ["W", "B1"]])),
        ("initialPlayer", json!("green")),
        ("includeOwnership", json!(1)),
        ("includePolicy", json!("yes")),
        ("overrideSettings", json!([])),
        ("overrideSettings", json!({"maxTime": "x"})),
        ("overrideSettings", json!({"reportAnalysisWinratesAs": "GREEN"})),
        ("avoidMoves", json!([{"player": "B"}])),
        ("avoidMoves", json!([{"player": "B", "moves": ["Z1"], "untilDepth": 1}])),
        ("allowMoves", json!("A1")),
        ("reportDuringSearchEvery", json!(0)),
        ("action", json!("fly")),
        ("action", json!(1)),
        ("action", json!("terminate")),
    ]
}

/// A query that is as it should be.
fn good_query(draw: &mut Draw) -> Map<String, Value> {
    let points = ["A1", "B2", "C3", "D4", "A5", "E1", "B4", "pass"];
    let n_moves = draw.below(points.len());
    let moves: Vec<Value> = (0..n_moves).map(|i| json!([if i % 2 == 0 { "B" } else { "W" }, points[i]])).collect();
    let mut query = json!({"rules": draw.one(&["chinese", "japanese", "tromp-taylor", "stone_scoring", "new zealand"]),
        "boardXSize": 5, "boardYSize": 5 + draw.below(3), "moves": moves, "maxVisits": 1 + draw.below(3)});
    let extras = [
        ("komi", json!(6.5)),
        ("analyzeTurns", json!([0, n_moves])),
        ("priority", json!(-3)),
        ("includeOwnership", json!(true)),
        ("includeMovesOwnership", json!(true)),
        ("includePolicy", json!(true)),
        ("includePVVisits", json!(true)),
        ("initialPlayer", json!("b")),
        ("initialStones", json!([["W", "E5"]])),
        ("overrideSettings", json!({"reportAnalysisWinratesAs": "BLACK", "wideRootNoise": 0.04, "maxTime": 8})),
        ("avoidMoves", json!([{"player": "W", "moves": ["A1", "B5"], "untilDepth": 1}])),
        ("typo", json!([])),
    ];
    for (key, value) in extras {
        if draw.below(4) == 0 {
            query[key] = value;
        }
    }
    query.as_object().unwrap().clone()
}

struct All<I>(I);

impl<I: Iterator<Item = std::io::Result<Line>>> Input for All<I> {
    fn next_line(&mut self) -> Option<std::io::Result<Line>> {
        self.0.next()
    }
    fn is_waiting(&mut self) -> bool {
        true
    }
}

/// Lines, and of each id whether it is an error and how many positions it answers.
fn analysis_lines(draw: &mut Draw, n: usize) -> (String, HashMap<String, Option<usize>>, usize) {
    let bad = bad_fields();
    let (mut lines, mut expected, mut n_nameless) = (String::new(), HashMap::new(), 0);
    for i in 0..n {
        let mut query = good_query(draw);
        let n_turns = query.get("analyzeTurns").map_or(1, |turns| turns.as_array().unwrap().len());
        let mut told = Some(n_turns);
        query.insert("id".to_string(), json!(i.to_string()));
        if draw.below(2) == 0 {
            let (key, value) = bad[draw.below(bad.len())].clone();
            query.insert(key.to_string(), value);
            told = None;
        }
        let mut line = Value::Object(query.clone()).to_string();
        match draw.below(8) {
            0 => {
                let cut = draw.below(line.len());
                line.truncate(cut);
            }
            1 => line = draw.garbage(),
            _ => {}
        }
        lines += &line;
        lines.push('\n');
        match serde_json::from_str::<Value>(&line) {
            Ok(value) if value["id"].is_string() => drop(expected.insert(i.to_string(), told)),
            Err(_) if line.trim().is_empty() => {}
            Ok(_) | Err(_) => n_nameless += 1,
        }
    }
    (lines, expected, n_nameless)
}

#[test]
fn analysis_queries() {
    const CHUNK: usize = 5000;
    let mut draw = Draw(rng(2026, 1));
    let (mut n, mut n_errors, mut n_answers, mut slowest) = (0, 0, 0, Duration::ZERO);
    while n < n_lines() {
        let (lines, expected, n_nameless) = analysis_lines(&mut draw, CHUNK.min(n_lines() - n));
        n += CHUNK.min(n_lines() - n);
        let batcher = Batcher::new(net(), Duration::from_micros(50));
        let clients = (0..3).map(|_| Box::new(batcher.client()) as Box<dyn Evaluator>).collect();
        let config = AnalysisConfig { search: SEARCH, side: Side::ToMove, stop: Stop::default() };
        let mut out = Vec::new();
        let begun = Instant::now();
        analysis::serve(clients, config, &mut All(Lines::new(lines.as_bytes())), &mut out).unwrap();
        slowest = slowest.max(begun.elapsed());
        assert!(begun.elapsed() < 20 * LINE_TIME_MAX, "{:?}", begun.elapsed());

        let mut told: HashMap<String, (usize, usize)> = HashMap::new();
        let mut nameless = 0;
        for line in String::from_utf8(out).unwrap().lines() {
            let answer: Value = serde_json::from_str(line).unwrap();
            let is_error = answer.get("error").is_some();
            let Some(id) = answer["id"].as_str() else {
                assert!(is_error, "{line}");
                nameless += 1;
                continue;
            };
            let counts = told.entry(id.to_string()).or_default();
            counts.0 += usize::from(is_error);
            counts.1 += usize::from(answer["isDuringSearch"] == false);
        }
        assert_eq!(nameless, n_nameless);
        for (id, turns) in &expected {
            let counts = told.get(id).copied().unwrap_or_default();
            let wanted = turns.map_or((1, 0), |n| (0, n));
            assert_eq!(counts, wanted, "{:?}", lines.lines().nth(id.parse().unwrap()));
            n_errors += wanted.0;
            n_answers += wanted.1;
        }
        assert_eq!(told.len(), expected.len());
        n_errors += nameless;
    }
    println!("analysis: {n} lines, {n_errors} errors, {n_answers} answers, slowest chunk of {CHUNK} {slowest:?}");
}
