//! Products of small matrices: tiles of sums held in registers, whole vectors of columns wide.
//!
//! `C (+)= A B` with A `[m, k]`, B `[k, n]`, C `[m, n]`. B's columns are cut into panels of up to four vectors, C's rows into
//! tiles of nearly equal height. Each sum is built in the order of k, whatever the tiling, so a number does not depend on how
//! the work around it was cut.

use super::simd::{Isa, Kernel, Simd};
use crate::compute::Store;
use std::ops::Range;

/// A range of columns, in vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Panel {
    /// First vector.
    pub at: usize,
    /// Vectors, 1 to 4.
    pub vectors: usize,
}

/// The panels of `n` columns: as few as there can be, of nearly equal width.
pub(super) fn panels(isa: Isa, n: usize) -> impl Iterator<Item = Panel> + Clone {
    let vectors = n.div_ceil(isa.width());
    let count = vectors.div_ceil(isa.panel_vectors());
    (0..count).map(move |i| {
        let (at, end) = (i * vectors / count, (i + 1) * vectors / count);
        Panel { at, vectors: end - at }
    })
}

/// One panel of a product. `A[i, l]` is at `a + i * a_row + l * a_k`, `B[l, j]` at `b + l * b_row + j`,
/// `C[i, j]` at `c + i * c_row + j`.
#[derive(Clone, Copy)]
pub(super) struct Product {
    pub m: usize,
    pub k: usize,
    /// Vectors of columns, 1 to 4.
    pub vectors: usize,
    /// Columns of C that exist: all of the vectors, or less of the last.
    pub columns: usize,
    pub a: *const f32,
    pub a_row: usize,
    pub a_k: usize,
    pub b: *const f32,
    pub b_row: usize,
    pub c: *mut f32,
    pub c_row: usize,
    pub store: Store,
}

/// A [`Product`] whose rows of A lie at any distance.
pub(super) struct RowsOfA(Product);
/// A [`Product`] with `a_row` 1: A is given transposed.
pub(super) struct ColumnsOfA(Product);

impl Kernel for RowsOfA {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: as `Product::run` demands.
        unsafe { by_width::<S, false>(s, self.0) }
    }
}

impl Kernel for ColumnsOfA {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: as `Product::run` demands.
        unsafe { by_width::<S, true>(s, self.0) }
    }
}

impl Product {
    /// Computes it.
    /// # Safety
    /// All elements of A that the strides reach for `[m, k]` can be read; so can `k` rows of B of whole vectors;
    /// `m` rows of C of `columns` numbers can be written and nobody else reads or writes them; `vectors` is 1 to
    /// `panel_vectors` and `columns` within the last of them.
    #[inline(always)]
    pub unsafe fn run<S: Simd>(self, s: S) {
        if self.a_row == 1 { s.enter(ColumnsOfA(self)) } else { s.enter(RowsOfA(self)) }
    }
}

/// Chooses the tile's width.
/// # Safety
/// As [`Product::run`] demands.
#[inline(always)]
unsafe fn by_width<S: Simd, const COLUMNS: bool>(s: S, p: Product) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match p.vectors {
            1 => by_height::<S, 1, COLUMNS>(s, p),
            2 => by_height::<S, 2, COLUMNS>(s, p),
            3 => by_height::<S, 3, COLUMNS>(s, p),
            _ => by_height::<S, 4, COLUMNS>(s, p),
        }
    }
}

/// Cuts the rows into tiles of nearly equal height.
/// # Safety
/// As [`Product::run`] demands, with `NV` vectors.
#[inline(always)]
unsafe fn by_height<S: Simd, const NV: usize, const COLUMNS: bool>(s: S, p: Product) {
    let most = S::ROWS[NV - 1];
    if most == 0 {
        return;
    }
    let tiles = p.m.div_ceil(most);
    let mut row = 0;
    for i in 0..tiles {
        let height = (i + 1) * p.m / tiles - row;
        // SAFETY: rows row .. row + height are within m; the rest is the caller's promise.
        unsafe {
            let p = Product { a: p.a.add(row * if COLUMNS { 1 } else { p.a_row }), c: p.c.add(row * p.c_row), ..p };
            macro_rules! heights {
                ($($h:literal)*) => {
                    match height {
                        $($h if $h <= most => tile::<S, $h, NV, COLUMNS>(s, p),)*
                        _ => {}
                    }
                };
            }
            heights!(1 2 3 4 5 6 7 8 9 10 11 12);
        }
        row += height;
    }
}

/// MR rows and NV vectors of sums in registers.
/// # Safety
/// As [`Product::run`] demands, with `NV` vectors and at least `MR` rows.
// Plain loops over indices: the closures of iterators would not be compiled for the instruction set.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
unsafe fn tile<S: Simd, const MR: usize, const NV: usize, const COLUMNS: bool>(s: S, p: Product) {
    let last = p.columns - (NV - 1) * S::WIDTH;
    let a_row = if COLUMNS { 1 } else { p.a_row };
    // SAFETY: the caller's promise bounds all strides.
    unsafe {
        let mut sums = [[s.splat(0.0); NV]; MR];
        if p.store == Store::Add {
            for i in 0..MR {
                let c = p.c.add(i * p.c_row).cast_const();
                for j in 0..NV {
                    let c = c.add(j * S::WIDTH);
                    sums[i][j] = if j + 1 == NV && last < S::WIDTH { s.load_first(c, last) } else { s.load(c) };
                }
            }
        }
        let (mut a, mut b) = (p.a, p.b);
        for _ in 0..p.k {
            let mut b_row = [s.splat(0.0); NV];
            for j in 0..NV {
                b_row[j] = s.load(b.add(j * S::WIDTH));
            }
            for i in 0..MR {
                let a = s.splat(*a.add(i * a_row));
                for j in 0..NV {
                    sums[i][j] = s.fma(a, b_row[j], sums[i][j]);
                }
            }
            a = a.add(p.a_k);
            b = b.add(p.b_row);
        }
        for i in 0..MR {
            let c = p.c.add(i * p.c_row);
            for j in 0..NV {
                let c = c.add(j * S::WIDTH);
                if j + 1 == NV && last < S::WIDTH { s.store_first(c, last, sums[i][j]) } else { s.store(c, sums[i][j]) }
            }
        }
    }
}

/// Copies rows `[k, n]` of B to panels of whole vectors: `to`: for each panel `[k, vectors * width]`, zeros beyond n.
/// `rows`: those rows of the matrix, `b` given as its element `[row, column]`.
pub(super) fn pack(isa: Isa, rows: Range<usize>, n: usize, b: impl Fn(usize, usize) -> f32, to: &mut [f32]) {
    let (width, k) = (isa.width(), rows.len());
    for panel in panels(isa, n) {
        let columns = panel.vectors * width;
        let to = &mut to[panel.at * width * k..][..k * columns];
        for (row, to) in rows.clone().zip(to.chunks_exact_mut(columns)) {
            for (j, to) in to.iter_mut().enumerate() {
                let column = panel.at * width + j;
                *to = if column < n { b(row, column) } else { 0.0 };
            }
        }
    }
}
