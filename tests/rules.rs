//! The board, the rules and the scores against hand-made positions and an independent replay.

mod common;

use edgezero::go::rules::{Ko, Rules, Suicide, Tax};
use edgezero::go::{Board, Color, Game, Move, Point, PointSet, Size, life, score};
use edgezero::sgf::{GameRecord, Step};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// The game after its main line, played as records are.
fn replay(record: &GameRecord, rules: Rules) -> Result<Game, String> {
    let mut game = Game::new(record.size, rules, record.komi.unwrap_or(0.0));
    let mut moves = 0;
    for step in &record.steps {
        match *step {
            Step::Setup { point, stone } => game.set_stone(point, stone),
            Step::ToMove(color) => game.set_to_move(color),
            Step::Move { color, mv, .. } => {
                moves += 1;
                game.play_record(color, mv).map_err(|e| format!("move {moves}: {e}"))?;
            }
        }
    }
    Ok(game)
}

fn first_game(bytes: &[u8]) -> GameRecord {
    edgezero::sgf::games(bytes).next().unwrap().unwrap()
}

/// A point in SGF's letters.
fn sgf_point(letters: &str) -> Point {
    let at: Vec<usize> = letters.bytes().map(|b| usize::from(b - b'a')).collect();
    Point::new(at[0], at[1])
}

/// The points after `key` in a query such as `dead: aa,bb | seki: -`.
fn listed(query: &str, key: &str) -> PointSet {
    let part = query.split('|').find_map(|p| p.trim().strip_prefix(key)).unwrap_or("-").trim();
    part.split(',').filter(|p| *p != "-").map(sgf_point).collect()
}

fn counts(points: [usize; 2], size: Size, with_neutral: bool) -> String {
    let [b, w] = points;
    let diff = b as i64 - w as i64;
    if with_neutral {
        format!("B={b} W={w} neutral={} diff={diff:+}", size.n_points() - b - w)
    } else {
        format!("B={b} W={w} diff={diff:+}")
    }
}

fn margin(white: f32) -> String {
    if white > 0.0 { format!("W+{white}") } else { format!("B+{}", -white) }
}

/// Our answer to one row, in the table's words.
fn answer(row: &HashMap<&str, &str>, record: &GameRecord) -> String {
    let (ruleset, query) = (row["ruleset"], row["query"]);
    let mut rules = Rules { ko: Ko::Simple, suicide: Suicide::Forbidden, ..Rules::TROMP_TAYLOR };
    for part in ruleset.split(';') {
        match part {
            "ko=psk" => rules.ko = Ko::Positional,
            "ko=ssk" => rules.ko = Ko::Situational,
            "suicide=multi" => rules.suicide = Suicide::MultiStone,
            "suicide=all" => rules.suicide = Suicide::Allowed,
            _ => {}
        }
    }
    if ruleset.contains("Tromp-Taylor: multi-stone suicide allowed") {
        rules.suicide = Suicide::MultiStone;
    }
    let game = replay(record, rules).unwrap();
    let (board, size) = (game.board(), game.size());
    match row["kind"] {
        "legality" => {
            let words: Vec<&str> = query.split(' ').collect();
            let verdict = game.is_legal(Color::parse(words[1]).unwrap(), Move::Play(sgf_point(words[2])));
            if verdict.is_ok() { "legal".to_string() } else { "illegal".to_string() }
        }
        "final_board" => {
            let [black, white] = game.taken();
            format!("board={} prisoners_B={white} prisoners_W={black}", board.to_line())
        }
        "area_score" if query.contains("komi") => {
            let taxed = Game::from_board(board.clone(), Color::Black, Rules { tax: Tax::Seki, ..rules }, 0.5);
            margin(taxed.score_white(&PointSet::default()))
        }
        "area_score" => {
            let clean = score::without(board, &listed(query, "dead:"));
            counts(score::plain_area(&clean).count(), size, true)
        }
        "territory_score" if query.contains("komi") => {
            let japanese = Game::from_board(board.clone(), Color::Black, Rules::JAPANESE, 0.5);
            margin(japanese.score_white(&PointSet::default()))
        }
        "territory_score" => counts(score::territory(board, &listed(query, "dead:"), &listed(query, "seki:")), size, false),
        "status" => {
            let point = sgf_point(query.strip_prefix("status ").unwrap());
            if life::dead_stones(board, 1).contains(point) { "dead" } else { "not dead" }.to_string()
        }
        other => panic!("no such kind: {other}"),
    }
}

#[test]
fn hand_made_rules_positions() {
    let Some(data) = common::data() else { return };
    let folder = data.join("corpus/rules");
    let table = std::fs::read_to_string(folder.join("expected.tsv")).unwrap();
    let header: Vec<&str> = table.lines().next().unwrap().split('\t').collect();
    let mut wrong = Vec::new();
    let mut n = 0;
    for line in table.lines().skip(1) {
        n += 1;
        let row: HashMap<&str, &str> = header.iter().copied().zip(line.split('\t')).collect();
        let record = first_game(&std::fs::read(folder.join(row["file"])).unwrap());
        let got = answer(&row, &record);
        let expected = match row["kind"] {
            // The word after the colon is a hint.
            "legality" => row["expected"].split(':').next().unwrap(),
            "status" if row["expected"].contains("not dead") => "not dead",
            "status" => "dead",
            _ => row["expected"].trim(),
        };
        if got != expected {
            wrong
                .push(format!("{} {} {} {}: {got}, expected {expected}", row["file"], row["kind"], row["ruleset"], row["query"]));
        }
    }
    println!("rules {}/{n}", n - wrong.len());
    assert!(wrong.is_empty() && n == 76, "{}", wrong.join("\n"));
}

#[test]
fn our_board_agrees_with_the_independent_replay() {
    let Some(data) = common::data() else { return };
    for (set, n) in [("pro19", 320), ("small9", 320), ("mid13", 439)] {
        let archive: HashMap<String, Vec<u8>> = common::members(&data.join(format!("corpus/{set}.tar.gz"))).into_iter().collect();
        let truth = std::fs::read_to_string(data.join(format!("corpus/truth/{set}.jsonl"))).unwrap();
        let mut right = 0;
        for line in truth.lines() {
            let truth: serde_json::Value = serde_json::from_str(line).unwrap();
            let game = replay(&first_game(&archive[truth["file"].as_str().unwrap()]), Rules::JAPANESE).unwrap();
            let board: &Board = game.board();
            assert_eq!(board.to_line(), truth["board"].as_str().unwrap(), "{}", truth["file"]);
            let [black, white] = game.taken();
            assert_eq!(
                (u64::from(white), u64::from(black)),
                (truth["cap_b"].as_u64().unwrap(), truth["cap_w"].as_u64().unwrap())
            );
            let text = format!("{}x{}:{}", board.size().w(), board.size().h(), board.to_line());
            let hash: String = Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(hash, truth["sha256"].as_str().unwrap());
            right += 1;
        }
        println!("{set} {right}/{n}");
        assert_eq!(right, n);
    }
}
