//! Feature rows and legal moves against KataGo's own.

mod common;

use edgezero::compute::packed::{N_GLOBALS, N_PLANES, unpack};
use edgezero::feature::{Encoder, PackedRow, Symmetry};
use edgezero::go::{Board, Color, Game, Move, PointSet, Rules, Size};
use serde_json::Value;
use std::collections::HashMap;

fn lines(name: &str) -> Option<Vec<Value>> {
    let text = std::fs::read_to_string(common::data()?.join("katago").join(name)).unwrap();
    Some(text.lines().map(|l| serde_json::from_str(l).unwrap()).collect())
}

/// The game that KataGo's engine was given.
fn game(position: &Value) -> Game {
    let size = Size::square(position["size"].as_u64().unwrap() as usize).unwrap();
    let mut stones = Vec::new();
    for (key, color) in [("setup_b", Color::Black), ("setup_w", Color::White)] {
        for name in position[key].as_array().unwrap() {
            let mv = Move::parse_gtp(name.as_str().unwrap(), size).unwrap();
            stones.push((mv.point().unwrap(), Some(color)));
        }
    }
    let mut board = Board::new(size);
    board.set_stones(stones);
    let rules = Rules::parse(position["rules"].as_str().unwrap()).unwrap();
    let mut game = Game::from_board(board, Color::Black, rules, position["komi"].as_f64().unwrap() as f32);
    for mv in position["moves"].as_array().unwrap() {
        let color = Color::parse(mv[0].as_str().unwrap()).unwrap();
        game.play_tolerant(color, Move::parse_gtp(mv[1].as_str().unwrap(), size).unwrap()).unwrap();
    }
    let to_move = Color::parse(position["to_move"].as_str().unwrap()).unwrap();
    game.set_to_move(to_move);
    game
}

/// Bits of a hex string, the first point in the highest bit of the first digit.
fn bits(hex: &Value) -> Vec<bool> {
    let hex = hex.as_str().unwrap();
    hex.chars().flat_map(|c| (0..4).rev().map(move |b| c.to_digit(16).unwrap() >> b & 1 == 1)).collect()
}

/// What differs between our row and KataGo's, in words.
fn differences(game: &Game, truth: &Value) -> Vec<String> {
    let len = truth["nn_len"].as_u64().unwrap() as usize;
    let mut row = PackedRow::new(len);
    Encoder::default().encode(game, &mut row);
    let mut planes = vec![9.0; len * len * N_PLANES];
    let mut globals = vec![9.0; N_GLOBALS];
    unpack(row.bytes(), len, 0, &mut planes, &mut globals);
    let mut found = Vec::new();
    for c in 0..N_PLANES {
        let expected = bits(&truth["planes"][c]);
        let wrong: Vec<String> = (0..len * len)
            .filter(|&i| planes[i * N_PLANES + c] != f32::from(u8::from(expected[i])))
            .map(|i| Move::from_policy_index(i, len).gtp(Size::square(len).unwrap()))
            .collect();
        if !wrong.is_empty() {
            found.push(format!("plane {c}: {}", wrong.join(" ")));
        }
    }
    for (g, &got) in globals.iter().enumerate() {
        let expected = truth["global"][g].as_f64().unwrap() as f32;
        if got != expected {
            found.push(format!("number {g}: {got}, expected {expected}"));
        }
    }
    let legal = bits(&truth["legal"]);
    for p in game.size().points() {
        if game.is_legal(game.to_move(), Move::Play(p)).is_ok() != legal[p.index(len)] {
            found.push(format!("legality of {}", p.gtp(game.size())));
        }
    }
    let ended = |key: &str| truth[key].as_bool().unwrap();
    if game.is_over() != (ended("game_finished") || ended("past_phase_end")) {
        found.push("game over".to_string());
    }
    found
}

#[test]
fn v7_rows_are_katagos() {
    let (Some(positions), Some(truth)) = (lines("raw_nn.jsonl"), lines("v7_rows.jsonl")) else { return };
    let positions: HashMap<&str, &Value> = positions.iter().map(|p| (p["id"].as_str().unwrap(), p)).collect();
    let mut wrong = Vec::new();
    for row in &truth {
        let id = row["id"].as_str().unwrap();
        let game = game(positions[id]);
        let found = differences(&game, row);
        if !found.is_empty() {
            wrong.push(format!("{id} ({}): {}", positions[id]["note"], found.join("; ")));
        }
    }
    println!("v7_rows {}/{}", truth.len() - wrong.len(), truth.len());
    assert!(wrong.is_empty() && truth.len() == 438, "{}", wrong.join("\n"));
}

#[test]
fn a_symmetry_moves_the_whole_row() {
    let board = Board::from_text(
        "X . O . .
         . X O X .
         . O . . .",
    )
    .unwrap();
    let size = board.size();
    let mut game = Game::from_board(board, Color::White, Rules::CHINESE, 7.0);
    game.play(Color::White, Move::parse_gtp("E2", size).unwrap()).unwrap();
    let mut row = PackedRow::new(5);
    Encoder::default().encode(&game, &mut row);
    let unpacked = |symmetry: Symmetry| {
        let (mut planes, mut globals) = (vec![0.0; 25 * N_PLANES], vec![0.0; N_GLOBALS]);
        unpack(row.bytes(), 5, symmetry.number(), &mut planes, &mut globals);
        planes
    };
    let plain = unpacked(Symmetry::IDENTITY);
    for symmetry in Symmetry::all() {
        let moved = unpacked(symmetry);
        for (x, y) in size.points().map(|p| (p.x(), p.y())) {
            let (mx, my) = symmetry.apply((x, y), (size.w(), size.h()));
            let (from, to) = ((y * 5 + x) * N_PLANES, (my * 5 + mx) * N_PLANES);
            assert_eq!(plain[from..from + N_PLANES], moved[to..to + N_PLANES], "{symmetry:?} at {x},{y}");
        }
        let sum = |planes: &[f32]| planes.iter().sum::<f32>();
        assert_eq!(sum(&plain), sum(&moved));
    }
}

#[test]
fn superko_points_are_those_that_repeat() {
    // A ko at A2 taken and left: the retake repeats only under superko.
    let board = Board::from_text(". X O .\nX O . O\n. X O .\n. . . .").unwrap();
    let size = board.size();
    for (rules, expected) in [("chinese", 0), ("tromp-taylor", 1)] {
        let mut game = Game::from_board(board.clone(), Color::Black, Rules::parse(rules).unwrap(), 7.0);
        for name in ["C3", "pass", "pass"] {
            game.play(game.to_move(), Move::parse_gtp(name, size).unwrap()).unwrap();
        }
        let points: PointSet = game.superko_points(game.to_move());
        assert_eq!(points.len(), expected, "{rules}");
    }
}
