//! The one-dimensional transforms of Winograd's minimal filtering (Lavin and Gray 2016), a vector of channels at a time.
//!
//! A tile of OUT x OUT results of a 3x3 convolution needs IN x IN = (OUT + 2) x (OUT + 2) inputs and as many products:
//! Y = A' [ (G g G') . (B' d B) ] A. The matrices follow from OUT + 1 points at which polynomials are evaluated, infinity
//! being the last. The points here come in pairs ±a, ±b, which halves the work, and were chosen among such pairs for
//! the smallest error in f32: 6e-7 of the result's size for OUT 4 (the usual 0, ±1, ±2: 1.3e-6), 4e-7 for OUT 3.

use crate::compute::cpu::simd::Simd;

/// Transforms of tiles with OUT results and IN inputs a side.
pub(super) trait Tile<const IN: usize, const OUT: usize> {
    /// G, `[IN, 3]`.
    const WEIGHTS: [[f32; 3]; IN];
    /// B' d
    fn input<S: Simd>(s: S, d: [S::V; IN]) -> [S::V; IN];
    /// A' m
    fn output<S: Simd>(s: S, m: [S::V; IN]) -> [S::V; OUT];
    /// A y: backward of `output`.
    fn output_grad<S: Simd>(s: S, y: [S::V; OUT]) -> [S::V; IN];
}

/// OUT 4, IN 6: points 0, ±sqrt(1/2), ±sqrt(2), infinity.
pub(super) struct Four;
/// OUT 3, IN 5: points ±1/2, ±5/4, infinity.
pub(super) struct Three;

/// One row of G: powers of the point over the product of its distances to the others.
const fn weights_row(x: f64, others: &[f64]) -> [f32; 3] {
    let (mut product, mut i) = (1.0, 0);
    while i < others.len() {
        product *= x - others[i];
        i += 1;
    }
    [(1.0 / product) as f32, (x / product) as f32, (x * x / product) as f32]
}

const A4: f64 = std::f64::consts::FRAC_1_SQRT_2;
const B4: f64 = std::f64::consts::SQRT_2;
/// a^2, b^2 and their sum; their product is 1.
const SQUARES4: (f32, f32, f32) = (0.5, 2.0, 2.5);

impl Tile<6, 4> for Four {
    const WEIGHTS: [[f32; 3]; 6] = [
        weights_row(0.0, &[A4, -A4, B4, -B4]),
        weights_row(A4, &[0.0, -A4, B4, -B4]),
        weights_row(-A4, &[0.0, A4, B4, -B4]),
        weights_row(B4, &[0.0, A4, -A4, -B4]),
        weights_row(-B4, &[0.0, A4, -A4, B4]),
        [0.0, 0.0, 1.0],
    ];

    #[inline(always)]
    fn input<S: Simd>(s: S, d: [S::V; 6]) -> [S::V; 6] {
        let (a, b) = (s.splat(A4 as f32), s.splat(B4 as f32));
        let (a2, b2, sum) = (s.splat(SQUARES4.0), s.splat(SQUARES4.1), s.splat(SQUARES4.2));
        let (even_a, odd_a) = (s.fnma(b2, d[2], d[4]), s.fnma(b2, d[1], d[3]));
        let (even_b, odd_b) = (s.fnma(a2, d[2], d[4]), s.fnma(a2, d[1], d[3]));
        [
            s.fnma(sum, d[2], s.add(d[0], d[4])),
            s.fma(a, odd_a, even_a),
            s.fnma(a, odd_a, even_a),
            s.fma(b, odd_b, even_b),
            s.fnma(b, odd_b, even_b),
            s.fnma(sum, d[3], s.add(d[1], d[5])),
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: [S::V; 6]) -> [S::V; 4] {
        let (a, b) = (s.splat(A4 as f32), s.splat(B4 as f32));
        let (a2, b2) = (s.splat(SQUARES4.0), s.splat(SQUARES4.1));
        let (a3, b3) = (s.splat((A4 * A4 * A4) as f32), s.splat((B4 * B4 * B4) as f32));
        let (sum_a, sum_b) = (s.add(m[1], m[2]), s.add(m[3], m[4]));
        let (odd_a, odd_b) = (s.sub(m[1], m[2]), s.sub(m[3], m[4]));
        [
            s.add(m[0], s.add(sum_a, sum_b)),
            s.fma(a, odd_a, s.mul(b, odd_b)),
            s.fma(a2, sum_a, s.mul(b2, sum_b)),
            s.fma(a3, odd_a, s.fma(b3, odd_b, m[5])),
        ]
    }

    #[inline(always)]
    fn output_grad<S: Simd>(s: S, y: [S::V; 4]) -> [S::V; 6] {
        let (a, b) = (s.splat(A4 as f32), s.splat(B4 as f32));
        let (a2, b2) = (s.splat(SQUARES4.0), s.splat(SQUARES4.1));
        // a y1 + a^3 y3 = a (y1 + a^2 y3)
        let (even_a, odd_a) = (s.fma(a2, y[2], y[0]), s.fma(a2, y[3], y[1]));
        let (even_b, odd_b) = (s.fma(b2, y[2], y[0]), s.fma(b2, y[3], y[1]));
        [y[0], s.fma(a, odd_a, even_a), s.fnma(a, odd_a, even_a), s.fma(b, odd_b, even_b), s.fnma(b, odd_b, even_b), y[3]]
    }
}

const A3: f64 = 0.5;
const B3: f64 = 1.25;
/// a^2, b^2, their sum and their product.
const SQUARES3: (f32, f32, f32, f32) = (0.25, 1.5625, 1.8125, 0.390_625);

impl Tile<5, 3> for Three {
    const WEIGHTS: [[f32; 3]; 5] = [
        weights_row(A3, &[-A3, B3, -B3]),
        weights_row(-A3, &[A3, B3, -B3]),
        weights_row(B3, &[A3, -A3, -B3]),
        weights_row(-B3, &[A3, -A3, B3]),
        [0.0, 0.0, 1.0],
    ];

    #[inline(always)]
    fn input<S: Simd>(s: S, d: [S::V; 5]) -> [S::V; 5] {
        let (a, b) = (s.splat(A3 as f32), s.splat(B3 as f32));
        let (a2, b2) = (s.splat(SQUARES3.0), s.splat(SQUARES3.1));
        let (sum, product) = (s.splat(SQUARES3.2), s.splat(SQUARES3.3));
        let (odd_a, even_a) = (s.fnma(b2, d[1], d[3]), s.fnma(b2, d[0], d[2]));
        let (odd_b, even_b) = (s.fnma(a2, d[1], d[3]), s.fnma(a2, d[0], d[2]));
        [
            s.fma(a, even_a, odd_a),
            s.fnma(a, even_a, odd_a),
            s.fma(b, even_b, odd_b),
            s.fnma(b, even_b, odd_b),
            s.fma(product, d[0], s.fnma(sum, d[2], d[4])),
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: [S::V; 5]) -> [S::V; 3] {
        let (a, b) = (s.splat(A3 as f32), s.splat(B3 as f32));
        let (a2, b2) = (s.splat(SQUARES3.0), s.splat(SQUARES3.1));
        let (sum_a, sum_b) = (s.add(m[0], m[1]), s.add(m[2], m[3]));
        let (odd_a, odd_b) = (s.sub(m[0], m[1]), s.sub(m[2], m[3]));
        [s.add(sum_a, sum_b), s.fma(a, odd_a, s.mul(b, odd_b)), s.fma(a2, sum_a, s.fma(b2, sum_b, m[4]))]
    }

    #[inline(always)]
    fn output_grad<S: Simd>(s: S, y: [S::V; 3]) -> [S::V; 5] {
        let (a, b) = (s.splat(A3 as f32), s.splat(B3 as f32));
        let (a2, b2) = (s.splat(SQUARES3.0), s.splat(SQUARES3.1));
        let (even_a, even_b) = (s.fma(a2, y[2], y[0]), s.fma(b2, y[2], y[0]));
        [s.fma(a, y[1], even_a), s.fnma(a, y[1], even_a), s.fma(b, y[1], even_b), s.fnma(b, y[1], even_b), y[2]]
    }
}

/// Where a square of vectors lies: the first, and the distances of rows and of columns.
#[derive(Clone, Copy)]
pub(super) struct Square<P> {
    pub at: P,
    pub row: usize,
    pub column: usize,
}

impl Square<*const f32> {
    /// # Safety
    /// A vector can be read at `[i, j]`.
    #[inline(always)]
    unsafe fn load<S: Simd>(self, s: S, i: usize, j: usize) -> S::V {
        // SAFETY: the caller's promise.
        unsafe { s.load(self.at.add(i * self.row + j * self.column)) }
    }
}

// Plain loops over indices below: the closures of iterators would not be compiled for the instruction set.

/// A number of the transformed input.
pub(super) trait Number: Copy {
    /// # Safety
    /// A vector of these can be written at `to`.
    unsafe fn put<S: Simd>(s: S, to: *mut Self, v: S::V);
}

impl Number for f32 {
    #[inline(always)]
    unsafe fn put<S: Simd>(s: S, to: *mut f32, v: S::V) {
        // SAFETY: the caller's promise.
        unsafe { s.store(to, v) }
    }
}

/// The bits of an f16.
impl Number for u16 {
    #[inline(always)]
    unsafe fn put<S: Simd>(s: S, to: *mut u16, v: S::V) {
        // SAFETY: the caller's promise.
        unsafe { s.store_half(to, v) }
    }
}

/// B' d B of one vector of channels. `to`: point `i * IN + j` at distance `point` from the one before.
/// # Safety
/// IN x IN vectors can be read at `from` and written at `to`.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
pub(super) unsafe fn input_tile<S: Simd, T: Tile<IN, OUT>, N: Number, const IN: usize, const OUT: usize>(
    s: S,
    from: Square<*const f32>,
    to: *mut N,
    point: usize,
) {
    let mut half = [[s.splat(0.0); IN]; IN];
    for j in 0..IN {
        let mut column = [s.splat(0.0); IN];
        for i in 0..IN {
            // SAFETY: i and j are below IN.
            column[i] = unsafe { from.load(s, i, j) };
        }
        column = T::input(s, column);
        for i in 0..IN {
            half[i][j] = column[i];
        }
    }
    for i in 0..IN {
        let row = T::input(s, half[i]);
        for j in 0..IN {
            // SAFETY: i and j are below IN.
            unsafe { N::put(s, to.add((i * IN + j) * point), row[j]) };
        }
    }
}

/// A y A' of one vector of channels, backward of the output's transform. `to` as in [`input_tile`].
/// # Safety
/// OUT x OUT vectors can be read at `from` and IN x IN written at `to`.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
pub(super) unsafe fn output_grad_tile<S: Simd, T: Tile<IN, OUT>, const IN: usize, const OUT: usize>(
    s: S,
    from: Square<*const f32>,
    to: *mut f32,
    point: usize,
) {
    let mut half = [[s.splat(0.0); OUT]; IN];
    for j in 0..OUT {
        let mut column = [s.splat(0.0); OUT];
        for i in 0..OUT {
            // SAFETY: i and j are below OUT.
            column[i] = unsafe { from.load(s, i, j) };
        }
        let column = T::output_grad(s, column);
        for i in 0..IN {
            half[i][j] = column[i];
        }
    }
    for i in 0..IN {
        let row = T::output_grad(s, half[i]);
        for j in 0..IN {
            // SAFETY: i and j are below IN.
            unsafe { s.store(to.add((i * IN + j) * point), row[j]) };
        }
    }
}

/// A' m A of one vector of channels. `from`: point `i * IN + j` at distance `point` from the one before.
/// # Safety
/// IN x IN vectors can be read at `from`.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
pub(super) unsafe fn output_tile<S: Simd, T: Tile<IN, OUT>, const IN: usize, const OUT: usize>(
    s: S,
    from: *const f32,
    point: usize,
) -> [[S::V; OUT]; OUT] {
    let mut half = [[s.splat(0.0); IN]; OUT];
    for j in 0..IN {
        let mut column = [s.splat(0.0); IN];
        for i in 0..IN {
            // SAFETY: i and j are below IN.
            column[i] = unsafe { s.load(from.add((i * IN + j) * point)) };
        }
        let column = T::output(s, column);
        for i in 0..OUT {
            half[i][j] = column[i];
        }
    }
    let mut square = [[s.splat(0.0); OUT]; OUT];
    for i in 0..OUT {
        square[i] = T::output(s, half[i]);
    }
    square
}

/// G w of three vectors.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
fn weights_line<S: Simd, T: Tile<IN, OUT>, const IN: usize, const OUT: usize>(s: S, w: [S::V; 3]) -> [S::V; IN] {
    let mut line = [s.splat(0.0); IN];
    for i in 0..IN {
        let g = T::WEIGHTS[i];
        line[i] = s.fma(s.splat(g[0]), w[0], s.fma(s.splat(g[1]), w[1], s.mul(s.splat(g[2]), w[2])));
    }
    line
}

/// G g G' of one vector of channels; `taps`: the weights of row i, column j.
/// # Safety
/// IN x IN vectors can be written at `to`.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
pub(super) unsafe fn weights_tile<S: Simd, T: Tile<IN, OUT>, const IN: usize, const OUT: usize>(
    s: S,
    taps: [[S::V; 3]; 3],
    to: *mut f32,
    point: usize,
) {
    let mut half = [[s.splat(0.0); 3]; IN];
    for j in 0..3 {
        let column = weights_line::<S, T, IN, OUT>(s, [taps[0][j], taps[1][j], taps[2][j]]);
        for i in 0..IN {
            half[i][j] = column[i];
        }
    }
    for i in 0..IN {
        let row = weights_line::<S, T, IN, OUT>(s, half[i]);
        for j in 0..IN {
            // SAFETY: i and j are below IN.
            unsafe { s.store(to.add((i * IN + j) * point), row[j]) };
        }
    }
}

/// G' u of IN vectors.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
fn weights_grad_line<S: Simd, T: Tile<IN, OUT>, const IN: usize, const OUT: usize>(s: S, u: [S::V; IN]) -> [S::V; 3] {
    let mut line = [s.splat(0.0); 3];
    for k in 0..3 {
        for i in 0..IN {
            line[k] = s.fma(s.splat(T::WEIGHTS[i][k]), u[i], line[k]);
        }
    }
    line
}

/// G' u G of one vector of channels: from the gradient of the transformed weights to that of the nine weights.
/// `groups`: how many, and their distance; the gradient is their sum.
/// # Safety
/// IN x IN vectors of every group can be read at `from`.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
pub(super) unsafe fn weights_grad_tile<S: Simd, T: Tile<IN, OUT>, const IN: usize, const OUT: usize>(
    s: S,
    from: *const f32,
    point: usize,
    groups: (usize, usize),
) -> [[S::V; 3]; 3] {
    let mut half = [[s.splat(0.0); IN]; 3];
    for j in 0..IN {
        let mut column = [s.splat(0.0); IN];
        for i in 0..IN {
            // SAFETY: i and j are below IN.
            unsafe {
                let at = from.add((i * IN + j) * point);
                column[i] = s.load(at);
                for group in 1..groups.0 {
                    column[i] = s.add(column[i], s.load(at.add(group * groups.1)));
                }
            }
        }
        let column = weights_grad_line::<S, T, IN, OUT>(s, column);
        for k in 0..3 {
            half[k][j] = column[k];
        }
    }
    let mut taps = [[s.splat(0.0); 3]; 3];
    for k in 0..3 {
        taps[k] = weights_grad_line::<S, T, IN, OUT>(s, half[k]);
    }
    taps
}
