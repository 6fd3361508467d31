//! The sgf room against the corpus: what sgfmill and GNU Go say about 1476 games, and the tables of odd and hostile files.

mod common;

use edgezero::go::board::Board;
use edgezero::go::rules::Suicide;
use edgezero::go::{Color, Move, Point};
use edgezero::sgf::replay::Replay;
use edgezero::sgf::{Collection, GameError, GameRecord, GameResult, Margin, Step, Winner, games};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

#[test]
fn truth_of_the_archives() {
    let Some(data) = common::data() else { return };
    for (set, n_expected) in [("pro19", 320), ("small9", 320), ("mid13", 439)] {
        let corpus = data.join("corpus");
        let truth = truth(&corpus.join(format!("truth/{set}.jsonl")));
        let mut n_equal = 0;
        members(&corpus.join(format!("{set}.tar.gz")), |name, bytes| {
            if let Some(expected) = truth.get(name) {
                assert_eq!(replays(name, bytes).len(), expected.len(), "{name}: games");
                n_equal += compare(name, bytes, expected);
            }
        });
        println!("{set} {n_equal}/{n_expected}");
        assert_eq!((n_equal, truth.values().map(Vec::len).sum()), (n_expected, n_expected), "{set}");
    }
}

#[test]
fn all_games_of_the_archives_are_records() {
    let Some(data) = common::data() else { return };
    for (set, n_expected, moves_expected) in [("pro19", 5745, 1_167_973), ("small9", 9879, 612_189), ("mid13", 439, 42_786)] {
        let (mut n_games, mut n_moves) = (0, 0);
        members(&data.join(format!("corpus/{set}.tar.gz")), |name, bytes| {
            for game in games(bytes) {
                let game = game.unwrap_or_else(|e| panic!("{name}: {e}"));
                n_games += 1;
                n_moves += game.n_moves();
            }
        });
        println!("{set} records {n_games}/{n_expected}, moves {n_moves}/{moves_expected}");
        assert_eq!((n_games, n_moves), (n_expected, moves_expected), "{set}");
    }
}

#[test]
fn truth_of_the_conformance_files() {
    let Some(data) = common::data() else { return };
    let truth = truth(&data.join("corpus/truth/conformance.jsonl"));
    let (mut n_equal, mut n_trees) = (0, 0);
    for (name, expected) in &truth {
        let bytes = std::fs::read(data.join("corpus/conformance").join(name)).unwrap();
        n_trees += expected.len();
        n_equal += compare(name, &bytes, expected);
    }
    println!("conformance {n_equal}/{n_trees} trees");
    assert_eq!((n_equal, n_trees), (397, 397));
}

#[test]
fn the_go_board_replays_alike() {
    let Some(data) = common::data() else { return };
    let corpus = data.join("corpus");
    let (mut n_games, mut n_illegal, mut n_elsewhere) = (0, 0, 0);
    let mut check = |name: &str, bytes: &[u8]| {
        for (record, replay) in games(bytes).zip(replays(name, bytes)) {
            let (Ok(record), Ok(Replay { go: Some(plain), .. })) = (record, replay) else {
                n_elsewhere += 1;
                continue;
            };
            n_games += 1;
            n_illegal += usize::from(plain.illegal.is_some());
            let (board, taken, illegal) = play(&record);
            let expected = plain.illegal.map(|(number, why)| (number, why.name().to_string()));
            assert_eq!((board, taken, illegal), (plain.board, plain.captures, expected), "{name} game {}", record.game_idx);
        }
    };
    for set in ["pro19", "small9", "mid13"] {
        let truth = truth(&corpus.join(format!("truth/{set}.jsonl")));
        members(&corpus.join(format!("{set}.tar.gz")), |name, bytes| {
            if truth.contains_key(name) {
                check(name, bytes);
            }
        });
    }
    for name in truth(&corpus.join("truth/conformance.jsonl")).keys() {
        check(name, &std::fs::read(corpus.join("conformance").join(name)).unwrap());
    }
    println!("go board {n_games} games alike, {n_illegal} illegal, {n_elsewhere} no record");
    // Six trees are no Go, eight are on boards beyond 19x19.
    assert_eq!((n_games, n_illegal, n_elsewhere), (1079 + 397 - 14, 9, 6 + 8));
}

/// The last position, the stones taken and the first illegal move by the house's own board.
fn play(record: &GameRecord) -> (String, [usize; 2], Option<(usize, String)>) {
    let mut board = Board::new(record.size);
    let (mut n_moves, mut captures, mut illegal) = (0, [0; 2], None);
    let steps = &record.steps;
    let mut i = 0;
    while i < steps.len() && illegal.is_none() {
        let set_up: Vec<_> = steps[i..].iter().map_while(stone_of).collect();
        if !set_up.is_empty() {
            i += set_up.len();
            board.set_stones(set_up);
            illegal = board.chain_without_liberty().map(|_| (n_moves, "setup".to_string()));
            continue;
        }
        if let Step::Move { color, mv, .. } = steps[i] {
            n_moves += 1;
            match mv {
                Move::Pass => board.clear_ko(),
                Move::Play(p) => match board.check(p, color, Suicide::Forbidden) {
                    Ok(()) => captures[color.index()] += usize::from(board.play(p, color).stones[color.opponent().index()]),
                    Err(why) => illegal = Some((n_moves, format!("{why:?}").to_lowercase())),
                },
            }
        }
        i += 1;
    }
    let letter = |p| board.get(p).map_or('.', |color| if color == Color::Black { 'X' } else { 'O' });
    (record.size.points().map(letter).collect(), captures, illegal)
}

fn stone_of(step: &Step) -> Option<(Point, Option<Color>)> {
    match *step {
        Step::Setup { point, stone } => Some((point, stone)),
        _ => None,
    }
}

#[test]
fn conformance_table() {
    let Some(data) = common::data() else { return };
    let dir = data.join("corpus/conformance");
    let rows = table(&dir.join("expected.tsv"));
    let mut wrong = Vec::new();
    for row in &rows {
        let bytes = std::fs::read(dir.join(&row["file"])).unwrap();
        if let Err(why) = conforms(row, &bytes) {
            wrong.push(format!("{}: {why}", row["file"]));
        }
    }
    println!("conformance files {}/{}", rows.len() - wrong.len(), rows.len());
    assert_eq!((rows.len(), wrong), (152, vec![]));
}

#[test]
fn komi_table() {
    let Some(data) = common::data() else { return };
    let dir = data.join("corpus/conformance");
    let rows = table(&dir.join("komi_expected.tsv"));
    let bytes = std::fs::read(dir.join("hw_komi_forms.sgf")).unwrap();
    let records: Vec<GameRecord> = games(&bytes).map(Result::unwrap).collect();
    let replays = replays("komi", &bytes);
    assert_eq!((rows.len(), records.len()), (24, 24));
    for (row, (record, replay)) in rows.iter().zip(records.iter().zip(&replays)) {
        let expected = |column: &str| row[column].parse::<f64>().ok();
        assert_eq!(record.komi.map(f64::from), expected("recommended_points"), "points of {row:?}");
        let json: Value = serde_json::from_str(&replay.as_ref().unwrap().json()).unwrap();
        assert_eq!(json["komi"].as_f64(), expected("plain_number"), "plain number of {row:?}");
    }
    println!("komi {0}/{0}", rows.len());
}

#[test]
fn result_table() {
    let Some(data) = common::data() else { return };
    let dir = data.join("corpus/conformance");
    let rows = table(&dir.join("result_expected.tsv"));
    let bytes = std::fs::read(dir.join("hw_result_forms.sgf")).unwrap();
    let results: Vec<GameResult> = games(&bytes).map(|game| game.unwrap().result).collect();
    assert_eq!((rows.len(), results.len()), (42, 42));
    let mut n_unknown = 0;
    for (row, result) in rows.iter().zip(&results) {
        let winner = match row["winner (B W D=draw N=no result ?=unknown)"].as_str() {
            "B" => Some(Winner::Black),
            "W" => Some(Winner::White),
            "D" => Some(Winner::Draw),
            _ => None,
        };
        let margin = match row["margin"].as_str() {
            "R" => Some(Margin::Resignation),
            "T" => Some(Margin::Time),
            "F" => Some(Margin::Forfeit),
            "1.75 zi (3.5 points)" => Some(Margin::Points(3.5)),
            number => number.parse().ok().map(Margin::Points),
        };
        let lenient = row["level (standard: must be right; lenient: right or unknown, never wrong)"] == "lenient";
        if lenient && result.winner.is_none() && winner.is_some() {
            n_unknown += 1;
        } else {
            assert_eq!((result.winner, result.margin), (winner, margin), "{row:?}");
        }
    }
    println!("results {0}/{0}, {n_unknown} unknown", rows.len());
    assert_eq!(n_unknown, 0);
}

#[test]
fn a_tree_without_end_is_refused() {
    // Twelve bytes of memory for each of its text.
    let bytes = format!("(;SZ[9]{})(;SZ[9];B[aa])", ";".repeat(6 << 20));
    let told: Vec<String> =
        edgezero::sgf::games(bytes.as_bytes()).map(|game| game.map_or_else(|e| e.to_string(), |_| String::new())).collect();
    assert!(told.len() == 2 && told[0].contains("too many nodes: a tree of more than 64 MiB") && told[1].is_empty(), "{told:?}");
}

#[test]
fn hostile_table() {
    let Some(data) = common::data() else { return };
    let dir = data.join("corpus/hostile");
    let rows = table(&dir.join("expected.tsv"));
    let mut wrong = Vec::new();
    for row in &rows {
        let bytes = std::fs::read(dir.join(&row["file"])).unwrap();
        let start = std::time::Instant::now();
        let (mut n_ok, mut n_rejected, mut reasons) = (0, 0, Vec::new());
        let mut collection = Collection::new(&bytes);
        while let Some(game) = collection.next_game() {
            match game.map_err(|e| e.to_string()).and_then(|game| usable(&game)) {
                Ok(()) => n_ok += 1,
                Err(reason) => {
                    n_rejected += 1;
                    reasons.push(reason);
                }
            }
        }
        assert!(start.elapsed().as_secs() < 60, "{row:?} took {:?}", start.elapsed());
        let fits = |column: &str, n: usize| match row[column].split_once('-') {
            Some((from, to)) => (from.parse().unwrap()..=to.parse().unwrap()).contains(&n),
            None => row[column].parse::<usize>().unwrap() == n,
        };
        let told = row["must"] == "either" || n_rejected == 0 || reasons.iter().any(|r| names(r, &row["reason"]));
        if !(fits("ok", n_ok) && fits("rejected", n_rejected) && told) {
            wrong.push(format!("{row:?}: {n_ok} ok, {n_rejected} rejected, {reasons:?}"));
        }
    }
    println!("hostile {}/{}", rows.len() - wrong.len(), rows.len());
    assert_eq!((rows.len(), wrong), (110, vec![]));
}

/// Whether a game gives a record, and its moves are legal.
fn usable(game: &edgezero::sgf::Game<'_>) -> Result<(), String> {
    let replay = Replay::of(game, "").map_err(|e| e.to_string())?;
    replay.refusal().map_or(Ok(()), Err)?;
    GameRecord::read(game).map(|_| ()).map_err(|e| e.to_string())
}

/// Whether our reason says what the table says: the same move and the same fault.
fn names(ours: &str, expected: &str) -> bool {
    let fault = expected.rsplit(": ").next().unwrap();
    let number = expected.split("move ").nth(1).map(|rest| format!("move {}", rest.split(':').next().unwrap()));
    // A tree of empty brackets is no game tree at all here.
    let same = ours.contains(fault) || (ours.contains("no game tree") && expected != "empty file");
    same && number.is_none_or(|number| ours.contains(&number))
}

fn replays(name: &str, bytes: &[u8]) -> Vec<Result<Replay, GameError>> {
    let mut collection = Collection::new(bytes);
    let mut all = Vec::new();
    while let Some(game) = collection.next_game() {
        all.push(game.and_then(|game| Replay::of(&game, name)));
    }
    all
}

/// Panics at the first field of a game that differs; tells how many games are equal.
fn compare(name: &str, bytes: &[u8], expected: &[Value]) -> usize {
    let replays = replays(name, bytes);
    assert_eq!(replays.len(), expected.len(), "{name}: games");
    for (replay, expected) in replays.iter().zip(expected) {
        let replay = replay.as_ref().unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut ours: Value = serde_json::from_str(&replay.json()).unwrap();
        let decoded_before = expected["ca"] == "UTF-8" && ours["ca"] != "UTF-8";
        let undeclared = matches!(expected["ca"].as_str(), None | Some("MS_KANJI"));
        for (field, value) in expected.as_object().unwrap() {
            let mut value = value.clone();
            if let Value::String(text) = &ours[field]
                && undeclared
                && *text != value
            {
                // The truth reads bytes without a known CA as ISO-8859-1, where UTF-8 is what they are.
                ours[field] = text.bytes().map(char::from).collect::<String>().into();
            }
            if field == "ca" && decoded_before {
                // These files were decoded before the truth was made.
                value = ours["ca"].clone();
            }
            assert_eq!(ours[field], value, "{name} game {}: {field}", expected["game"]);
        }
        assert_eq!(ours.as_object().unwrap().len(), expected.as_object().unwrap().len(), "{name}: fields");
    }
    expected.len()
}

fn conforms(row: &HashMap<String, String>, bytes: &[u8]) -> Result<(), String> {
    let replays = replays(&row["file"], bytes);
    if let Some(Err(err)) = replays.iter().find(|r| r.is_err()) {
        return Err(err.to_string());
    }
    let replays: Vec<&Replay> = replays.iter().flatten().collect();
    let go: Vec<_> = replays.iter().filter_map(|r| r.go.as_ref()).collect();
    let count = |column: &str, n: usize| match row[column].parse() == Ok(n) {
        true => Ok(()),
        false => Err(format!("{column}: {n}, expected {}", row[column])),
    };
    count("trees", replays.len())?;
    count("go_games", go.len())?;
    count("not_go", replays.len() - go.len())?;
    let mut sizes: Vec<String> = go.iter().map(|g| format!("{}x{}", g.w, g.h)).collect();
    sizes.dedup();
    let one_of = |got: &str, expected: &str| expected.split(" or ").any(|e| e == got);
    if !one_of(&sizes.join(","), &row["sizes"]) {
        return Err(format!("sizes: {sizes:?}, expected {}", row["sizes"]));
    }
    let moves: Vec<String> = go.iter().map(|g| g.main_moves.to_string()).collect();
    let moves_agree = match row["main_moves"].strip_suffix("...") {
        Some(first) => moves.join(",").starts_with(first),
        None => moves.join(",") == row["main_moves"],
    };
    if !moves_agree {
        return Err(format!("main_moves: {moves:?}"));
    }
    let illegal = |r: &&Replay| r.go.as_ref()?.illegal.map(|(number, why)| format!("{}:{number}:{}", r.game, why.name()));
    let illegal: Vec<String> = replays.iter().filter_map(illegal).collect();
    if illegal.join(";") != row["illegal(game:move:reason)"] {
        return Err(format!("illegal: {illegal:?}"));
    }
    players_agree(row, &replays)?;
    records_agree(bytes, &replays)
}

fn players_agree(row: &HashMap<String, String>, replays: &[&Replay]) -> Result<(), String> {
    if row["text"] != "exact" {
        return Ok(());
    }
    for (color, name) in ["PB", "PW"].iter().enumerate() {
        let found = replays.iter().find_map(|r| r.info.players[color].clone()).unwrap_or_default();
        // One row has UTF-8 without CA as the table's maker saw it: as ISO-8859-1.
        let latin: String = found.bytes().map(char::from).collect();
        if found != row[*name] && latin != row[*name] {
            return Err(format!("{name}: {found:?}, expected {:?}", row[*name]));
        }
    }
    Ok(())
}

/// Records are the same games, but for other games than Go and boards we do not play.
fn records_agree(bytes: &[u8], replays: &[&Replay]) -> Result<(), String> {
    let records: Vec<_> = games(bytes).collect();
    if records.len() != replays.len() {
        return Err(format!("{} records", records.len()));
    }
    for (record, replay) in records.iter().zip(replays) {
        match (&record, &replay.go) {
            (Ok(record), Some(go)) => {
                let same = (record.size.w(), record.size.h(), record.n_moves()) == (go.w, go.h, go.main_moves);
                same.then_some(()).ok_or_else(|| format!("record of game {} differs", replay.game))?;
            }
            (Err(err), None) if err.is_other_game() => {}
            (Err(err), Some(go)) if go.w.max(go.h) > 19 && err.to_string().contains("board size") => {}
            (record, _) => return Err(format!("game {}: {record:?}", replay.game)),
        }
    }
    Ok(())
}

fn truth(path: &Path) -> HashMap<String, Vec<Value>> {
    let mut by_file: HashMap<String, Vec<Value>> = HashMap::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let game: Value = serde_json::from_str(line).unwrap();
        by_file.entry(game["file"].as_str().unwrap().to_string()).or_default().push(game);
    }
    by_file
}

fn table(path: &Path) -> Vec<HashMap<String, String>> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.split('\n').filter(|line| !line.is_empty());
    let names: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('\t').collect();
        names.iter().enumerate().map(|(i, name)| (name.to_string(), cells.get(i).unwrap_or(&"").to_string())).collect()
    };
    lines.map(row).collect()
}

/// Every game file of an archive.
fn members(archive: &Path, mut tell: impl FnMut(&str, &[u8])) {
    let all = common::members(archive);
    all.iter().filter(|(name, _)| name.ends_with(".sgf")).for_each(|(name, bytes)| tell(name, bytes));
}
