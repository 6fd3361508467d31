//! Speed of the tree work alone: an evaluator that answers at once, so that what is left is descending, playing out,
//! legality, and carrying up.
//!
//! `cargo bench --bench search [-- SECONDS]`. A peer: a search in compiled Python (Numba) does 8,142 playouts/s on one core.

use edgezero::base::Result;
use edgezero::base::rng::mix;
use edgezero::go::{Color, Game, Move, Rules, Size};
use edgezero::infer::{Evaluation, Evaluator, Looks, Request};
use edgezero::search::{CANDIDATE_BYTES, EDGE_BYTES, Limits, NODE_BYTES, Params, Search, bytes_per_node};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

const PEER: f64 = 8142.0;

/// Answers with numbers that look like a network's: a few moves have most of the policy, values scatter around even.
struct Instantly {
    looks: Looks,
    n: u64,
}

impl Evaluator for Instantly {
    fn evaluate(&mut self, rows: &[Request<'_>], out: &mut [Evaluation]) -> Result<()> {
        for (row, out) in rows.iter().zip(out) {
            self.n += 1;
            let mut bits = mix(self.n);
            out.policy.resize(row.len * row.len + 1, 0.0);
            for logit in &mut out.policy {
                bits = bits.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                let x = (bits >> 40) as f32 / (1u32 << 24) as f32;
                *logit = 8.0 * x * x * x;
            }
            out.value = [(bits >> 60) as f32 / 8.0, 0.9, -9.0];
            out.score = [0.0, 0.5, 0.0, 0.0, 0.0, 0.0];
            out.version = 8;
        }
        Ok(())
    }

    fn batch_max(&self) -> usize {
        256
    }

    fn describe(&self) -> String {
        "instantly".to_string()
    }

    fn looks_at(&self) -> Looks {
        self.looks
    }
}

/// A game that has gone on for `n_moves`, with captures behind it so that superko is looked up.
fn game(len: usize, n_moves: usize) -> Game {
    let mut game = Game::new(Size::square(len).expect("a size we play"), Rules::TROMP_TAYLOR, 7.5);
    let mut bits = 1;
    while game.moves().len() < n_moves {
        bits = mix(bits);
        let at = Move::from_policy_index(bits as usize % (len * len), len);
        let color: Color = game.to_move();
        let _ = game.play(color, at);
    }
    game
}

fn main() {
    let seconds = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(1.0);
    println!(
        "bytes: node {NODE_BYTES}, edge {EDGE_BYTES}, legal move {CANDIDATE_BYTES}; peer: {PEER} playouts/s (compiled Python)"
    );
    println!(
        "{:<44} {:>12} {:>8} {:>7} {:>12} {:>10}",
        "board, evaluator", "playouts/s", "x peer", "depth", "bytes/node", "of budget"
    );
    for (len, n_moves) in [(9, 0), (9, 40), (19, 0), (19, 120)] {
        for looks in [Looks::Sizes, Looks::Rows] {
            for (n_threads, batch) in [(1, 1), (1, 16), (2, 16)] {
                run(&game(len, n_moves), looks, n_threads, batch, seconds);
            }
        }
    }
}

fn run(game: &Game, looks: Looks, n_threads: usize, batch: usize, seconds: f64) {
    let mut search = Search::new(game, 2 << 30, batch, Params::default()).expect("enough for a tree");
    let mut evaluators: Vec<Instantly> = (0..n_threads).map(|i| Instantly { looks, n: (i as u64) << 40 }).collect();
    let mut evaluators: Vec<&mut dyn Evaluator> = evaluators.iter_mut().map(|e| e as &mut dyn Evaluator).collect();
    let stop = AtomicBool::new(false);
    // The buffers grow and the processor warms up.
    search.think(&mut evaluators, &Limits { playouts: 20_000, ..Limits::NONE }, &stop).expect("an evaluator that answers");
    let begun = Instant::now();
    let limits = Limits { deadline: Some(begun + Duration::from_secs_f64(seconds)), ..Limits::NONE };
    search.think(&mut evaluators, &limits, &stop).expect("an evaluator that answers");
    let took = begun.elapsed().as_secs_f64();
    let report = search.report().expect("a root");
    let rate = f64::from(report.playouts) / took;
    let planes = if looks == Looks::Rows { "with planes" } else { "no planes" };
    let name = format!("{0}x{0} move {1}, {planes}, threads {n_threads}, batch {batch}", game.size().w(), game.moves().len());
    println!(
        "{name:<44} {rate:>12.0} {:>8.1} {:>7.1} {:>12.0} {:>10}",
        rate / PEER,
        report.depth_mean,
        report.bytes as f64 / report.nodes[0] as f64,
        bytes_per_node(game.size().n_points()),
    );
}
