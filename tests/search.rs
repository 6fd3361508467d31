//! The search's signature: a fixed seed and a script give this tree, on every machine. And its memory: after warm-up nothing
//! is allocated.

use edgezero::base::Result;
use edgezero::base::rng::mix;
use edgezero::go::{Game, Move, Rules, Size};
use edgezero::infer::{Cache, Evaluation, Evaluator, Request};
use edgezero::search::{Limits, Mode, Noise, Params, Report, Search};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; the counter does not touch memory that is handed out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Answers drawn from the bytes of the row, in memory that is reused.
struct ByRow;

impl Evaluator for ByRow {
    fn evaluate(&mut self, rows: &[Request<'_>], out: &mut [Evaluation]) -> Result<()> {
        for (row, out) in rows.iter().zip(out) {
            let mut bits = row.row.iter().fold(u64::from(row.symmetry), |h, &b| mix(h ^ u64::from(b)));
            let mut draw = || {
                bits = mix(bits);
                (bits >> 40) as f32 / (1u32 << 24) as f32
            };
            out.policy.resize(row.len * row.len + 1, 0.0);
            out.policy.iter_mut().for_each(|logit| *logit = 6.0 * draw() * draw());
            out.value = [2.0 * draw(), 2.0 * draw(), -3.0];
            out.score = [draw() - 0.5, -1.0, draw() - 0.5, 0.0, 0.0, 0.0];
            out.ownership.resize(row.len * row.len, 0.0);
            out.version = 8;
        }
        Ok(())
    }

    fn batch_max(&self) -> usize {
        64
    }

    fn describe(&self) -> String {
        "by row".to_string()
    }
}

fn game(len: usize, rules: &str, moves: &str) -> Game {
    let mut game = Game::new(Size::square(len).unwrap(), Rules::named(rules).unwrap(), 6.5);
    for name in moves.split_whitespace() {
        let mv = Move::parse_gtp(name, game.size()).unwrap();
        game.play(game.to_move(), mv).unwrap();
    }
    game
}

/// The tree in a few words: the root, the five first moves with their visits, values and variations, and a hash over all moves.
fn signature(report: &Report, size: Size) -> String {
    let exact = |x: f32| format!("{:08x}", x.to_bits());
    let mut text = format!("{} {} nodes {}", report.visits, exact(report.value.utility), report.nodes[0]);
    let mut all = 0;
    for (i, m) in report.moves.iter().enumerate() {
        for part in
            [m.visits, m.value.utility.to_bits(), m.value.score.to_bits(), m.value.score_square.to_bits(), m.win_lcb.to_bits()]
        {
            all = mix(all ^ u64::from(part));
        }
        for &(mv, n) in &m.pv {
            all = mix(all ^ u64::from(n) << 16 ^ mv.policy_index(size.len_max()) as u64);
        }
        if i < 3 {
            let pv: Vec<String> = m.pv.iter().take(4).map(|(mv, _)| mv.gtp(size)).collect();
            text += &format!("\n{} {} {} {}", m.mv.gtp(size), m.visits, exact(m.value.utility), pv.join(" "));
        }
    }
    text + &format!("\n{all:016x}")
}

#[test]
fn signatures() {
    let noise = Params { noise: Some(Noise::SELF_PLAY), root_temperature: 1.2, root_symmetries: 8, ..Params::default() };
    let gumbel = Params { mode: Mode::Gumbel { considered: 16 }, seed: 9, ..Params::default() };
    let cases = [
        ("9x9", game(9, "tromp-taylor", "E5 C3 G7"), 1, Params::default(), 600, SIGNATURES[0]),
        ("19x19 in batches", game(19, "chinese", "Q16 D4"), 8, Params::default(), 300, SIGNATURES[1]),
        ("noise, territory, the end", game(5, "japanese", "C3 B3 C2 B2 C4 B4 C1 B1 C5 B5 pass"), 4, noise, 500, SIGNATURES[2]),
        ("gumbel", game(7, "aga", "D4"), 1, gumbel, 65, SIGNATURES[3]),
    ];
    let mut wrong = String::new();
    for (case, game, batch, params, visits, expected) in cases {
        let mut search = Search::new(&game, 4 << 20, batch, params).unwrap();
        search.think(&mut [&mut ByRow], &Limits::visits(visits), &AtomicBool::new(false)).unwrap();
        let got = signature(&search.report().unwrap(), game.size());
        if got != expected.trim() {
            wrong += &format!("{case}:\n{got}\n");
        }
    }
    assert!(wrong.is_empty(), "a change of the tree is intended, or a bug\n{wrong}");
}

const SIGNATURES: [&str; 4] = [
    "
600 3c8fe6cb nodes 600
J2 230 3d89942b J2 F2 B9 H6
B6 118 3cd4674f B6 H9 A3 F6
A4 80 3a42acd9 A4 E2 G2 J8
f4ac84005d1499bc",
    "
300 3d157cf1 nodes 300
T16 13 be0d2f43 T16 Q4 H13 R8
M14 32 bd04fe38 M14 T14 H5 D5
G1 29 bd3d690e G1 F4 M11 E16
126dab11187e6bfe",
    "
500 3f78cb5e nodes 19
pass 482 3f813699 pass
A4 2 3ef2535c A4 D4
E5 2 3f0618bb E5 A5
263ac4c201314976",
    "
65 3dcf2f53 nodes 65
F1 15 3e34b74c F1 F5 pass A5
B4 15 3d46bfbd B4 B6 A3 G2
F5 7 3d2abbb1 F5 C5 C2 B5
7090c4064a06cac7",
];

#[test]
fn nothing_is_allocated_after_warm_up() {
    for (len, batch, mode) in [(9, 1, Mode::Puct), (9, 16, Mode::Puct), (19, 4, Mode::Puct)] {
        let game = game(len, "tromp-taylor", "C3 D4 C4");
        let mut search = Search::new(&game, 256 << 20, batch, Params { mode, ..Params::default() }).unwrap();
        search.share_cache(Arc::new(Cache::new(1 << 20, len).unwrap()));
        let stop = AtomicBool::new(false);
        search.think(&mut [&mut ByRow], &Limits::visits(3000), &stop).unwrap();
        let count = |search: &mut Search, playouts: u32| {
            let before = ALLOCATIONS.with(Cell::get);
            search.think(&mut [&mut ByRow], &Limits { playouts, ..Limits::NONE }, &stop).unwrap();
            ALLOCATIONS.with(Cell::get) - before
        };
        // Beginning a search takes a few; going on takes none, but where a longer ladder than all before comes up.
        let begun = count(&mut search, 1);
        let long = count(&mut search, 4000);
        assert!(begun < 50, "{begun} allocations to begin");
        assert!(long < begun + 10, "{len}x{len}, batch {batch}: 4000 playouts allocate {} times", long - begun);
    }
}
