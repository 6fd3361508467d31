//! The network against KataGo: the real net and six small ones, with KataGo's own input rows and answers.

mod common;

use edgezero::compute::cpu::CpuOps;
use edgezero::compute::packed::{MOVE_NONE, MOVE_PASS, N_GLOBALS, N_PLANES, PackedRow, flag, plane};
use edgezero::compute::{Ops, PackedRows, Unpacked};
use edgezero::infer::native::Native;
use edgezero::infer::{Evaluation, Evaluator, NoResult, Output, Request};
use edgezero::net::{Net, katago};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

/// A position as the network sees it.
struct Position {
    id: String,
    /// Sides of the board and of the array.
    size: usize,
    len: usize,
    row: PackedRow,
    legal: Vec<bool>,
    no_result: NoResult,
    planes: Vec<Vec<bool>>,
    global: Vec<f32>,
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn id(v: &Value) -> String {
    v["id"].as_str().unwrap().to_string()
}

fn floats(v: &Value) -> Vec<f32> {
    v.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

/// Points in the order of the array, first point in the highest bit of the first digit.
fn bitmap(v: &Value, n: usize) -> Vec<bool> {
    let digits: Vec<u32> = v.as_str().unwrap().chars().map(|c| c.to_digit(16).unwrap()).collect();
    (0..n).map(|i| digits[i / 4] >> (3 - i % 4) & 1 == 1).collect()
}

/// The packed row of KataGo's planes and numbers.
fn pack(size: usize, len: usize, planes: &[Vec<bool>], global: &[f32]) -> PackedRow {
    let mut row = PackedRow::new(len);
    row.set_size(size, size);
    let flags = [
        (flag::KO_POSITIONAL, global[7] > 0.0),
        (flag::KO_SITUATIONAL, global[7] < 0.0),
        (flag::SUICIDE, global[8] != 0.0),
        (flag::TERRITORY, global[9] != 0.0),
        (flag::TAX_SEKI_OR_ALL, global[10] != 0.0),
        (flag::TAX_ALL, global[11] != 0.0),
        (flag::PHASE_CLEANUP, global[12] != 0.0),
        (flag::PHASE_CLEANUP_2, global[13] != 0.0),
        (flag::PASS_ENDS_PHASE, global[14] != 0.0),
        (flag::BUTTON, global[17] != 0.0),
    ];
    row.set_flags(flags.iter().filter(|(_, on)| *on).fold(0, |all, (f, _)| all | f));
    for back in 0..5 {
        let point = planes[9 + back].iter().position(|b| *b).map(|p| p as u16);
        row.set_move(back, if global[back] != 0.0 { MOVE_PASS } else { point.unwrap_or(MOVE_NONE) });
    }
    row.set_numbers(global[5], global[18], 2.0 * global[16]);
    // each packed plane is the union of these
    let sources: [(usize, &[usize]); 10] = [
        (plane::OWN, &[1]),
        (plane::OPP, &[2]),
        (plane::LIBERTIES_LOW, &[3, 5]),
        (plane::LIBERTIES_HIGH, &[4, 5]),
        (plane::KO, &[6]),
        (plane::LADDER, &[14, 17]),
        (plane::LADDER_PREV, &[15]),
        (plane::LADDER_PREV2, &[16]),
        (plane::AREA_OWN, &[18]),
        (plane::AREA_OPP, &[19]),
    ];
    for (packed, from) in sources {
        (0..len * len).filter(|cell| from.iter().any(|p| planes[*p][*cell])).for_each(|cell| row.set_bit(packed, cell));
    }
    row
}

fn position(v: &Value, len: usize) -> Position {
    let size = (v["plane_sums"][0].as_u64().unwrap() as f64).sqrt() as usize;
    let planes: Vec<Vec<bool>> = v["planes"].as_array().unwrap().iter().map(|p| bitmap(p, len * len)).collect();
    let global = floats(&v["global"]);
    // number 6 is set by the superko rules, number 9 by territory scoring
    let no_result = if global[6] == 0.0 || global[9] != 0.0 { NoResult::Possible } else { NoResult::Impossible };
    let row = pack(size, len, &planes, &global);
    Position { id: id(v), size, len, row, legal: bitmap(&v["legal"], len * len + 1), no_result, planes, global }
}

fn positions(katago: &Path) -> Vec<Position> {
    lines(&katago.join("v7_rows.jsonl")).iter().map(|v| position(v, v["nn_len"].as_u64().unwrap() as usize)).collect()
}

fn evaluate(net: &Net, threads: usize, batch_max: usize, requests: &[Request<'_>]) -> Vec<Evaluation> {
    evaluate_on(CpuOps::new(threads).unwrap(), net, batch_max, requests)
}

fn evaluate_on(ops: CpuOps, net: &Net, batch_max: usize, requests: &[Request<'_>]) -> Vec<Evaluation> {
    let mut native = Native::new(ops, net, batch_max).unwrap();
    let mut out = vec![Evaluation::default(); requests.len()];
    native.evaluate(requests, &mut out).unwrap();
    out
}

fn request(p: &Position) -> Request<'_> {
    Request { row: p.row.bytes(), len: p.len, symmetry: 0 }
}

/// The largest difference of each kind of number, and whether it is within its tolerance.
#[derive(Default)]
struct Worst(Vec<(&'static str, f64, f64)>);

impl Worst {
    /// Compares; true if all are within `tolerance`.
    fn see(&mut self, kind: &'static str, tolerance: f64, got: &[f32], expected: &[f32]) -> bool {
        assert_eq!(got.len(), expected.len(), "{kind}");
        let worst = got
            .iter()
            .zip(expected)
            .map(|(a, b)| f64::from((a - b).abs()))
            .fold(0.0, |a, b| if b > a || b.is_nan() { b } else { a });
        match self.0.iter_mut().find(|(k, _, _)| *k == kind) {
            Some(entry) => entry.1 = entry.1.max(worst),
            None => self.0.push((kind, worst, tolerance)),
        }
        worst <= tolerance
    }

    fn print(&self) {
        for (kind, worst, tolerance) in &self.0 {
            println!("  {kind}: largest difference {worst:.2e}, allowed {tolerance:.0e}");
        }
    }
}

/// Raw outputs as in logits.jsonl. The tolerance of KataGo's README: 5e-4.
fn raw_agrees(worst: &mut Worst, e: &Evaluation, v: &Value) -> bool {
    const LOGITS: f64 = 5e-4;
    let area = e.ownership.len();
    let score = floats(&v["score"]);
    let on_board = |logits: &[f32]| -> Vec<f32> { logits.iter().copied().filter(|l| l.is_finite()).collect() };
    let policy = floats(v.get("policy").unwrap_or(&v["policy_on_board"]));
    [
        worst.see("policy logits", LOGITS, &on_board(&e.policy[..area]), &policy),
        worst.see("pass logit", LOGITS, &e.policy[area..], &[v["pass"].as_f64().unwrap() as f32]),
        worst.see("value logits", LOGITS, &e.value, &floats(&v["value"])),
        worst.see("score numbers", LOGITS, &e.score[..score.len()], &score),
        v.get("ownership").is_none_or(|o| worst.see("ownership logits", LOGITS, &e.ownership, &floats(o))),
    ]
    .iter()
    .all(|ok| *ok)
}

/// Final outputs as `kata-raw-nn` prints them, White's view.
fn final_agrees(worst: &mut Worst, o: &Output, white_to_move: bool, v: &Value) -> bool {
    let number = |key: &str| v[key].as_f64().unwrap() as f32;
    let sign = if white_to_move { 1.0 } else { -1.0 };
    let (win, loss) = if white_to_move { (o.win, o.loss) } else { (o.loss, o.win) };
    let mut policy: Vec<f32> = v["policy"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap_or(0.0) as f32).collect();
    let illegal_agree = v["policy"].as_array().unwrap().iter().zip(&o.policy).all(|(p, q)| !p.is_null() || *q == 0.0);
    policy.push(number("policyPass"));
    let ownership: Vec<f32> = o.ownership.iter().map(|x| sign * x).collect();
    let square = o.score_mean * o.score_mean + o.score_stdev * o.score_stdev;
    let expected_square = number("whiteScoreSelfplaySq");
    let scale = expected_square.max(1.0);
    let mut ok = vec![
        illegal_agree,
        worst.see("policy", 2e-5, &o.policy, &policy),
        worst.see(
            "win, loss, no result",
            2e-5,
            &[win, loss, o.no_result],
            &[number("whiteWin"), number("whiteLoss"), number("noResult")],
        ),
        worst.see(
            "lead, score",
            2e-3,
            &[sign * o.lead, sign * o.score_mean],
            &[number("whiteLead"), number("whiteScoreSelfplay")],
        ),
        // 1e-4 of the number, and the three decimals it was printed with
        worst.see("score square, relative", 2e-4, &[square / scale], &[expected_square / scale]),
        worst.see("ownership", 5e-5, &ownership, &floats(&v["whiteOwnership"])),
    ];
    if let Some(s) = o.short_term {
        let got = [s.variance_time, s.winloss_error, s.score_error];
        let expected = [number("varTimeLeft"), number("shorttermWinlossError"), number("shorttermScoreError")];
        ok.push(worst.see("short-term numbers", 2e-3, &got, &expected));
    }
    ok.iter().all(|ok| *ok)
}

fn by_id(v: Vec<Value>) -> HashMap<String, Value> {
    v.into_iter().map(|v| (id(&v), v)).collect()
}

/// Evaluations of positions of mixed sizes: neighbours of one size share a batch.
fn in_order_of_size(mut all: Vec<Position>) -> Vec<Position> {
    all.sort_by_key(|p| p.len);
    all
}

#[test]
fn packed_rows_unpack_to_katagos_planes_and_numbers() {
    let Some(data) = common::data() else { return };
    let ops = CpuOps::new(1).unwrap();
    let all = positions(&data.join("katago"));
    for p in &all {
        let area = p.len * p.len;
        let [mut planes, mut globals, mut mask, mut counts] =
            [area * N_PLANES, N_GLOBALS, area, 1].map(|len| ops.alloc(len).unwrap());
        let to = Unpacked { planes: &mut planes, globals: &mut globals, mask: &mut mask, counts: &mut counts };
        ops.unpack(PackedRows { len: p.len, bytes: p.row.bytes(), symmetries: &[0] }, to).unwrap();
        for (cell, point) in planes.chunks_exact(N_PLANES).enumerate() {
            let expected: Vec<f32> = p.planes.iter().map(|plane| if plane[cell] { 1.0 } else { 0.0 }).collect();
            assert_eq!(point, expected, "{} cell {cell}", p.id);
        }
        assert_eq!(globals[..], p.global, "{}", p.id);
    }
    println!("unpacked rows {}/{}", all.len(), all.len());
    assert_eq!(all.len(), 438);
}

#[test]
fn the_real_net_answers_as_katago() {
    let Some(data) = common::data() else { return };
    let katago = data.join("katago");
    let net = katago::open(&katago.join("g170-b6c96-s175395328-d26788732.bin.gz")).unwrap();
    let (logits, nn) = (by_id(lines(&katago.join("logits.jsonl"))), by_id(lines(&katago.join("raw_nn.jsonl"))));
    let all = in_order_of_size(positions(&katago));
    let started = std::time::Instant::now();
    let answers = evaluate(&net, 2, 16, &all.iter().map(request).collect::<Vec<_>>());
    println!("{} evaluations in {:.1} s", answers.len(), started.elapsed().as_secs_f64());
    let (mut worst_raw, mut worst_final) = (Worst::default(), Worst::default());
    let (mut raw, mut end) = (0, 0);
    for (p, e) in all.iter().zip(&answers) {
        raw += usize::from(raw_agrees(&mut worst_raw, e, &logits[&p.id]));
        let v = &nn[&p.id];
        let o = e.post_process(&p.legal, p.no_result);
        end += usize::from(final_agrees(&mut worst_final, &o, v["to_move"].as_str() == Some("W"), &v["nn"]));
    }
    println!("logits {raw}/{}", all.len());
    worst_raw.print();
    println!("raw_nn {end}/{}", all.len());
    worst_final.print();
    assert_eq!((raw, end, all.len()), (438, 438, 438));
}

/// The first of the largest.
fn top(policy: &[f32]) -> usize {
    (0..policy.len()).fold(0, |best, i| if policy[i] > policy[best] { i } else { best })
}

/// Half precision changes numbers, hardly what is played. It is computed number by number here, which takes a while: every 20th
/// position, or as the variable says (1: all). Over all of them the largest differences are winrate 0.006, lead 0.32, ownership
/// 0.038, policy 0.008; two other first moves are 0.0073 behind at most.
#[test]
fn the_real_net_in_half_precision_plays_as_katago() {
    let Some(data) = common::data() else { return };
    let katago = data.join("katago");
    let net = katago::open(&katago.join("g170-b6c96-s175395328-d26788732.bin.gz")).unwrap();
    let nn = by_id(lines(&katago.join("raw_nn.jsonl")));
    let every = std::env::var("EDGEZERO_F16_EVERY").map_or(20, |every| every.parse().unwrap());
    let all = in_order_of_size(positions(&katago).into_iter().step_by(every).collect());
    let started = std::time::Instant::now();
    let answers = evaluate_on(CpuOps::with_plain_f16(2).unwrap(), &net, 16, &all.iter().map(request).collect::<Vec<_>>());
    println!("{} evaluations in f16 in {:.1} s", answers.len(), started.elapsed().as_secs_f64());
    let (mut worst, mut agree, mut same_top) = (Worst::default(), 0, 0);
    for (p, e) in all.iter().zip(&answers) {
        let (o, v) = (e.post_process(&p.legal, p.no_result), &nn[&p.id]["nn"]);
        let sign = if nn[&p.id]["to_move"].as_str() == Some("W") { 1.0 } else { -1.0 };
        let number = |key: &str| v[key].as_f64().unwrap() as f32;
        let mut policy: Vec<f32> = v["policy"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap_or(0.0) as f32).collect();
        policy.push(number("policyPass"));
        let ownership: Vec<f32> = o.ownership.iter().map(|x| sign * x).collect();
        let (ours, theirs) = (top(&o.policy), top(&policy));
        same_top += usize::from(ours == theirs);
        let near = [
            worst.see("winrate", 0.01, &[sign * (o.win - o.loss) / 2.0], &[(number("whiteWin") - number("whiteLoss")) / 2.0]),
            worst.see("lead", 0.5, &[sign * o.lead], &[number("whiteLead")]),
            worst.see("ownership", 0.05, &ownership, &floats(&v["whiteOwnership"])),
            worst.see("policy", 0.02, &o.policy, &policy),
            // where another move comes first, it was as good
            worst.see("policy of the first move", 0.015, &[policy[ours]], &[policy[theirs]]),
        ];
        agree += usize::from(near.iter().all(|ok| *ok));
    }
    println!("half precision {agree}/{}, the same first move {same_top}", all.len());
    worst.print();
    assert_eq!(agree, all.len());
}

#[test]
fn padded_boards_and_symmetries_answer_as_katago() {
    let Some(data) = common::data() else { return };
    let katago = data.join("katago");
    let net = katago::open(&katago.join("g170-b6c96-s175395328-d26788732.bin.gz")).unwrap();
    let all: HashMap<String, Position> = positions(&katago).into_iter().map(|p| (p.id.clone(), p)).collect();
    let nn = by_id(lines(&katago.join("raw_nn.jsonl")));
    let (mut worst, mut agree) = (Worst::default(), 0);
    let padded = lines(&katago.join("v7_padded19.jsonl"));
    for v in &padded {
        let p = position(v, 19);
        let e = &evaluate(&net, 1, 1, &[request(&p)])[0];
        let plain = &evaluate(&net, 1, 1, &[request(&all[&p.id])])[0];
        let on_board: Vec<f32> = e.policy.iter().copied().filter(|l| l.is_finite()).collect();
        let same = worst.see("policy, padded against plain", 1e-4, &on_board, &plain.policy);
        agree += usize::from(raw_agrees(&mut worst, e, v) && same && p.size < 19);
    }
    println!("v7_padded19 {agree}/{}", padded.len());
    worst.print();
    assert_eq!((agree, padded.len()), (9, 9));

    let (mut worst, mut agree, mut n) = (Worst::default(), 0, 0);
    for v in lines(&katago.join("symmetries.jsonl")) {
        let p = &all[&id(&v)];
        for turned in v["symmetries"].as_array().unwrap() {
            let symmetry = turned["symmetry"].as_u64().unwrap() as u8;
            let e = &evaluate(&net, 1, 1, &[Request { symmetry, ..request(p) }])[0];
            let o = e.post_process(&p.legal, p.no_result);
            agree += usize::from(final_agrees(&mut worst, &o, nn[&p.id]["to_move"].as_str() == Some("W"), turned));
            n += 1;
        }
    }
    println!("symmetries {agree}/{n}");
    worst.print();
    assert_eq!((agree, n), (24, 24));
}

#[test]
fn the_mini_nets_answer_as_katago() {
    let Some(data) = common::data() else { return };
    let katago = data.join("katago");
    let all: HashMap<String, Position> = positions(&katago).into_iter().map(|p| (p.id.clone(), p)).collect();
    let raw_nn = by_id(lines(&katago.join("raw_nn.jsonl")));
    let mut nets: HashMap<String, Net> = HashMap::new();
    let (mut worst_raw, mut worst_final, mut agree) = (Worst::default(), Worst::default(), 0);
    let truth = lines(&katago.join("mini/mini_truth.jsonl"));
    for v in &truth {
        let name = v["net"].as_str().unwrap();
        let net = nets.entry(name.to_string()).or_insert_with(|| katago::open(&katago.join("mini").join(name)).unwrap());
        let p = &all[&id(v)];
        let e = &evaluate(net, 1, 1, &[request(p)])[0];
        let raw = raw_agrees(&mut worst_raw, e, &v["raw"]);
        let o = e.post_process(&p.legal, p.no_result);
        let white = raw_nn[&p.id]["to_move"].as_str() == Some("W");
        agree += usize::from(raw && final_agrees(&mut worst_final, &o, white, &v["nn"]));
    }
    println!("mini nets {agree}/{} ({} nets)", truth.len(), nets.len());
    worst_raw.print();
    worst_final.print();
    assert_eq!(agree, truth.len());

    // the text file holds the same net as the binary one
    let text = katago::open(&katago.join("mini/mini-b2c16-v8.txt.gz")).unwrap();
    let binary = katago::open(&katago.join("mini/mini-b2c16-v8.bin.gz")).unwrap();
    let difference = text.params().iter().zip(binary.params()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("text against binary: largest difference {difference:e}");
    assert!(difference < 1e-6);
}

#[test]
fn threads_and_batches_do_not_change_a_byte() {
    let Some(data) = common::data() else { return };
    let katago = data.join("katago");
    let net = katago::open(&katago.join("mini/mini-b4c32-v8.bin.gz")).unwrap();
    let all = in_order_of_size(positions(&katago));
    let requests: Vec<Request<'_>> = all.iter().step_by(9).map(request).collect();
    let one = evaluate(&net, 1, 16, &requests);
    assert!(one == evaluate(&net, 2, 16, &requests), "2 threads");
    assert!(one == evaluate(&net, 3, 16, &requests), "3 threads");
    // other batches are other matrix products: equal but for rounding
    let mixed: Vec<Request<'_>> = requests.iter().rev().copied().collect();
    for (a, b) in one.iter().rev().zip(evaluate(&net, 2, 5, &mixed)) {
        let apart = |a: &[f32], b: &[f32]| a.iter().zip(b).any(|(a, b)| a != b && (a - b).abs() > 1e-4);
        assert!(!apart(&a.policy, &b.policy) && !apart(&a.ownership, &b.ownership) && !apart(&a.value, &b.value));
    }
}
