//! Weight gradient: for a few images at a time the transformed inputs and result gradients of all tiles, and for each
//! point one product `[c_in, tiles] x [tiles, c_out]`, added up over the batch. One more transform gives the nine weights.
//!
//! Threads share out the images of a transform and then the points of the products, so every sum runs over the tiles in
//! their order and needs no partial sums.

use super::transform::{Four, Square, Three, Tile, input_tile, output_grad_tile, weights_grad_tile};
use super::{Grid, TileSize, apart};
use crate::compute::cpu::frame::{self, Frame, View};
use crate::compute::cpu::gemm::{Product, panels};
use crate::compute::cpu::simd::{Isa, Kernel, Simd};
use crate::compute::cpu::team::Team;
use crate::compute::cpu::{RawMut, Scratch};
use crate::compute::{ConvShape, Store};
use std::marker::PhantomData;

/// Tiles that are transformed before their products are added: both factors of one panel stay in the first-level cache.
const TILES_MIN: usize = 100;

/// Where things lie in the shared memory.
#[derive(Clone, Copy)]
struct Plan {
    images: usize,
    x: Frame,
    dy: Frame,
    /// Distance of the points' matrices.
    x_point: usize,
    dy_point: usize,
    /// Elements of a point's sums.
    sums_point: usize,
}

impl Plan {
    fn new(isa: Isa, grid: Grid, threads: usize, shape: ConvShape) -> Plan {
        let images = TILES_MIN.div_ceil(grid.image_tiles()).next_multiple_of(threads).min(shape.n);
        let (x, dy) = (grid.frame(isa, shape.c_in), grid.frame(isa, shape.c_out));
        let tiles = images * grid.image_tiles();
        let (x_point, dy_point) = (apart(tiles * x.stride), apart(tiles * dy.stride));
        Plan { images, x, dy, x_point, dy_point, sums_point: shape.c_in * dy.stride }
    }

    fn elements(self, grid: Grid) -> usize {
        grid.points * (self.x_point + self.dy_point + self.sums_point)
    }
}

/// Elements of shared scratch memory.
pub(in crate::compute::cpu) fn shared_len(isa: Isa, threads: usize, shape: ConvShape) -> usize {
    let grid = Grid::new(shape.len);
    Plan::new(isa, grid, threads, shape).elements(grid)
}

/// Elements of scratch a thread.
pub(in crate::compute::cpu) fn scratch_len(isa: Isa, shape: ConvShape) -> usize {
    let grid = Grid::new(shape.len);
    grid.frame(isa, shape.c_in).elements().max(grid.frame(isa, shape.c_out).elements())
}

/// `dweights +=` gradient of the weights of a convolution of `view`.
#[allow(clippy::too_many_arguments)]
pub(in crate::compute::cpu) fn grad_weights(
    team: &Team,
    isa: Isa,
    grid: Grid,
    shape: ConvShape,
    view: View<'_>,
    dy: View<'_>,
    shared: &mut Scratch,
    dweights: &mut [f32],
) {
    assert!(view.x.len() >= shape.cells() * shape.c_in && dy.x.len() >= shape.cells() * shape.c_out);
    let plan = Plan::new(isa, grid, team.threads(), shape);
    let shared = shared.first(plan.elements(grid));
    let (x_all, rest) = shared.split_at_mut(grid.points * plan.x_point);
    let (dy_all, sums) = rest.split_at_mut(grid.points * plan.dy_point);
    let (x_all, dy_all, sums) = (RawMut(x_all.as_mut_ptr()), RawMut(dy_all.as_mut_ptr()), RawMut(sums.as_mut_ptr()));
    for first in (0..shape.n).step_by(plan.images) {
        let images = plan.images.min(shape.n - first);
        // every image twice: its inputs, and the gradients of its results
        team.each(0..2 * images, scratch_len(isa, shape), |item, scratch| {
            let image = item / 2;
            let tile0 = image * grid.image_tiles();
            // SAFETY: within the matrices by the plan; each item has its own tiles.
            let job = unsafe {
                if item % 2 == 0 {
                    let to = RawMut(x_all.add(tile0 * plan.x.stride));
                    Tiles { grid, frame: plan.x, view, image: first + image, side: Side::Input, to, point: plan.x_point, scratch }
                } else {
                    let to = RawMut(dy_all.add(tile0 * plan.dy.stride));
                    let frame = plan.dy;
                    Tiles { grid, frame, view: dy, image: first + image, side: Side::Output, to, point: plan.dy_point, scratch }
                }
            };
            isa.run(job);
        });
        let store = if first == 0 { Store::Write } else { Store::Add };
        let tiles = images * grid.image_tiles();
        team.run(grid.points, |point, _| {
            isa.run(Sums { isa, plan, shape, point, tiles, store, x: x_all, dy: dy_all, sums });
        });
    }
    assert!(dweights.len() >= shape.weights());
    let dweights = RawMut(dweights.as_mut_ptr());
    team.run(shape.c_in, |row, _| isa.run(Nine { grid, plan, shape, row, sums, dweights }));
}

/// Which of the two transforms.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Input,
    Output,
}

/// All tiles of an image, to `[point][tile, stride]`.
struct Tiles<'a> {
    grid: Grid,
    frame: Frame,
    view: View<'a>,
    image: usize,
    side: Side,
    to: RawMut,
    point: usize,
    scratch: &'a mut [f32],
}

impl Kernel for Tiles<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        frame::clear_border(self.frame, self.scratch);
        frame::fill(s, self.frame, self.view, self.image, self.scratch);
        match self.grid.size {
            TileSize::Four => s.enter(Transform::<Four, 6, 4>(self, PhantomData)),
            TileSize::Three => s.enter(Transform::<Three, 5, 3>(self, PhantomData)),
        }
    }
}

struct Transform<'a, T, const IN: usize, const OUT: usize>(Tiles<'a>, PhantomData<T>);

impl<T: Tile<IN, OUT>, const IN: usize, const OUT: usize> Kernel for Transform<'_, T, IN, OUT> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Tiles { grid, frame, side, to, point, scratch, .. } = self.0;
        let Frame { stride, rows, columns, .. } = frame;
        assert!(rows == grid.tiles * OUT + 2 && columns == rows && scratch.len() >= frame.elements());
        for tile in 0..grid.image_tiles() {
            let (y, x) = (tile / grid.tiles * OUT, tile % grid.tiles * OUT);
            for v in (0..stride).step_by(S::WIDTH) {
                // SAFETY: the tile with its border lies within the frame by the assertion; `to` has room for every tile.
                unsafe {
                    let to = to.add(tile * stride + v);
                    let from = |y: usize, x: usize| Square {
                        at: scratch.as_ptr().add((y * columns + x) * stride + v),
                        row: columns * stride,
                        column: stride,
                    };
                    match side {
                        Side::Input => input_tile::<S, T, IN, OUT>(s, from(y, x), to, point),
                        Side::Output => output_grad_tile::<S, T, IN, OUT>(s, from(y + 1, x + 1), to, point),
                    }
                }
            }
        }
    }
}

/// `sums[point] (+)= x[point]' dy[point]`
struct Sums {
    isa: Isa,
    plan: Plan,
    shape: ConvShape,
    point: usize,
    tiles: usize,
    store: Store,
    x: RawMut,
    dy: RawMut,
    sums: RawMut,
}

impl Kernel for Sums {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Sums { isa, plan, shape, point, tiles, store, x, dy, sums } = self;
        for panel in panels(isa, shape.c_out) {
            let column = panel.at * S::WIDTH;
            // SAFETY: the plan has room for the tiles of a chunk at every point; each point is one item.
            unsafe {
                let product = Product {
                    m: shape.c_in,
                    k: tiles,
                    vectors: panel.vectors,
                    columns: panel.vectors * S::WIDTH,
                    a: x.add(point * plan.x_point),
                    a_row: 1,
                    a_k: plan.x.stride,
                    b: dy.add(point * plan.dy_point + column),
                    b_row: plan.dy.stride,
                    c: sums.add(point * plan.sums_point + column),
                    c_row: plan.dy.stride,
                    store,
                };
                product.run(s);
            }
        }
    }
}

/// The nine weights of one input channel: `dweights[.., row, ..] += G' sums[.., row, ..] G`.
struct Nine {
    grid: Grid,
    plan: Plan,
    shape: ConvShape,
    row: usize,
    sums: RawMut,
    dweights: RawMut,
}

impl Kernel for Nine {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.grid.size {
            TileSize::Four => self.transform::<S, Four, 6, 4>(s),
            TileSize::Three => self.transform::<S, Three, 5, 3>(s),
        }
    }
}

impl Nine {
    #[inline(always)]
    fn transform<S: Simd, T: Tile<IN, OUT>, const IN: usize, const OUT: usize>(self, s: S) {
        let Nine { plan, shape: ConvShape { c_in, c_out, .. }, row, .. } = self;
        for column in (0..c_out).step_by(S::WIDTH) {
            let n = (c_out - column).min(S::WIDTH);
            // SAFETY: row and column are within the sums of every point and, with n numbers, within the weights, whose length
            // was checked; each row is one item.
            unsafe {
                let from = self.sums.add(row * plan.dy.stride + column);
                let taps = weights_grad_tile::<S, T, IN, OUT>(s, from, plan.sums_point);
                for tap in 0..9 {
                    let v = taps[tap / 3][tap % 3];
                    let to = self.dweights.add((tap * c_in + row) * c_out + column);
                    if n == S::WIDTH {
                        s.store(to, s.add(s.load(to), v));
                    } else {
                        s.store_first(to, n, s.add(s.load_first(to, n), v));
                    }
                }
            }
        }
    }
}
