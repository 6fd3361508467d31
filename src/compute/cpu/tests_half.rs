//! Prepared convolutions in f16 against f32, and what they may never do.

use super::buf::buf;
use super::tests::{backends, plain, random};
use super::*;

/// 3x3 by tiles of four and of three, with and without overhang, whole and cut vectors, several panels.
const SHAPES: [(usize, usize, usize, usize); 8] = [
    // n, len, c_in, c_out
    (3, 19, 5, 33),
    (1, 13, 17, 70),
    (1, 9, 96, 24),
    (2, 8, 22, 16),
    (1, 6, 3, 1),
    (2, 3, 32, 130),
    (5, 9, 8, 12),
    (1, 19, 64, 20),
];

fn shape((n, len, c_in, c_out): (usize, usize, usize, usize)) -> ConvShape {
    ConvShape { n, len, kernel_y: 3, kernel_x: 3, c_in, c_out }
}

/// Every instruction set with every arithmetic of f16 that work here.
fn halves(threads: usize) -> Vec<CpuOps> {
    let arithmetics = [Some(Half::plain()), Half::detect()].into_iter().flatten();
    arithmetics.flat_map(|half| backends(threads).into_iter().map(move |(_, ops)| CpuOps { half: Some(half), ..ops })).collect()
}

fn conv(ops: &CpuOps, s: ConvShape, base: Base<'_, CpuBuf>, x: &CpuBuf, w: &CpuBuf) -> CpuBuf {
    let prepared = ops.prepare(s, At { buf: w, at: 0 }).unwrap();
    let mut y = buf![0.5; s.cells() * s.c_out];
    ops.conv(s, base, plain(x), Weights::Prepared(&prepared), &mut y);
    y
}

/// The root of the mean square of the difference, over that of `expected`.
fn apart(got: &[f32], expected: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let (off, all) = got.iter().zip(expected).fold((0.0, 0.0), |(off, all), (g, e)| (off + square(g - e), all + square(*e)));
    (off / all).sqrt()
}

/// Factors are rounded to 11 bits, an error of 3e-4 of each on average, and so is each of the up to 32 partial sums; Winograd's
/// transforms enlarge both some times: 4.4e-3 was seen. A lost number or a wrong place is far beyond 8e-3.
const HALF: f64 = 8e-3;

#[test]
fn convolution_in_f16_is_near_that_in_f32() {
    for case in SHAPES {
        let s = shape(case);
        let (x, w, base) = (random(1, s.cells() * s.c_in), random(2, s.weights()), random(3, s.cells() * s.c_out));
        let single = CpuOps::new(1).unwrap();
        let expected = conv(&single, s, Base::Zero, &x, &w);
        let own: CpuBuf = expected.iter().map(|y| y + 0.5).collect();
        let of: CpuBuf = expected.iter().zip(&base).map(|(y, b)| y + b).collect();
        for ops in halves(2) {
            let name = format!("{} {case:?}", ops.instruction_set());
            assert!(ops.prepared_bytes(s) < single.prepared_bytes(s) || s.c_out < 16, "{name}");
            for (base, expected) in [(Base::Zero, &expected), (Base::Own, &own), (Base::Of(&base), &of)] {
                let worst = apart(&conv(&ops, s, base, &x, &w), expected);
                assert!(worst < HALF, "{name}: {worst}");
            }
        }
    }
}

#[test]
fn nothing_overflows_or_vanishes_in_f16() {
    let s = shape((2, 9, 32, 16));
    let (x, w) = (random(1, s.cells() * s.c_in), random(2, s.weights()));
    let expected = conv(&CpuOps::new(1).unwrap(), s, Base::Zero, &x, &w);
    for ops in halves(1) {
        for (large_x, large_w) in [(1e4f32, 1.0f32), (1e12, 1e-9), (1.0, 1e6), (1e-6, 1e-6), (3e4, 3e4)] {
            let scaled = |x: &CpuBuf, by: f32| x.iter().map(|x| x * by).collect::<CpuBuf>();
            let y = conv(&ops, s, Base::Zero, &scaled(&x, large_x), &scaled(&w, large_w));
            let y = scaled(&y, 1.0 / large_x / large_w);
            assert!(apart(&y, &expected) < HALF, "{} {large_x} {large_w}: {}", ops.instruction_set(), apart(&y, &expected));
        }
        // the largest numbers that no scale is put to, in all orders of signs
        let x: CpuBuf = x.iter().map(|x| 37.0f32.copysign(*x)).collect();
        let w = buf![1.0; w.len()];
        assert!(conv(&ops, s, Base::Zero, &x, &w).iter().all(|y| y.is_finite()));
    }
}

#[test]
fn an_image_does_not_depend_on_those_beside_it() {
    let (one, three) = (shape((1, 9, 16, 24)), shape((3, 9, 16, 24)));
    let (image, w) = (random(1, one.cells() * one.c_in), random(2, one.weights()));
    // the one in the middle needs another scale
    let x: CpuBuf = [1.0f32, 1e5, 1.0].iter().flat_map(|by| image.iter().map(move |x| x * by)).collect();
    for (ops, other) in halves(1).into_iter().zip(halves(3)) {
        let (alone, all) = (conv(&ops, one, Base::Zero, &image, &w), conv(&ops, three, Base::Zero, &x, &w));
        assert!(alone[..] == all[..alone.len()] && alone[..] == all[2 * alone.len()..], "{}", ops.instruction_set());
        assert!(all[..] == conv(&other, three, Base::Zero, &x, &w)[..]);
    }
}

#[test]
fn what_is_no_number_stays_visible() {
    let s = shape((1, 9, 8, 8));
    let mut x = random(1, s.cells() * s.c_in);
    x[100] = f32::NAN;
    let w = random(2, s.weights());
    assert!(halves(1).iter().all(|ops| conv(ops, s, Base::Zero, &x, &w).iter().any(|y| y.is_nan())));
}

#[test]
fn the_processor_is_asked() {
    let ops = CpuOps::with_precision(1, Precision::F16).unwrap();
    assert_eq!(ops.precision() == Precision::F16, CpuOps::has_f16());
    assert_eq!(ops.describe().contains("f16"), CpuOps::has_f16());
    assert_eq!(CpuOps::with_precision(1, Precision::F32).unwrap().precision(), Precision::F32);
    assert_eq!(CpuOps::with_plain_f16(1).unwrap().precision(), Precision::F16);
    // what the run under an emulator is meant to see
    if let Ok(expected) = std::env::var("EDGEZERO_TEST_CPU_F16") {
        assert_eq!(CpuOps::has_f16(), expected == "yes", "this processor's half precision");
    }
    println!("half precision of this processor: {}", if CpuOps::has_f16() { "yes" } else { "no" });
}
