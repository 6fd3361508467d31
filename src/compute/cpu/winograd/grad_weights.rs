//! Weight gradient: for a few images at a time the transformed inputs and result gradients of all tiles, and for each
//! point one product `[c_in, tiles] x [tiles, c_out]`, added up over the batch. One more transform gives the nine weights.
//!
//! The images are cut into groups by the shape alone, each with sums of its own, which the last transform adds up in order:
//! so results do not depend on the threads. Where the groups share out evenly a thread takes a whole one, and all that it
//! reads it has written itself; elsewhere threads share out the images of a transform and then the points of the products.

use super::transform::{Four, Square, Three, Tile, input_tile, output_grad_tile, weights_grad_tile};
use super::{Grid, TileSize, apart};
use crate::compute::cpu::frame::{self, Frame, View};
use crate::compute::cpu::gemm::{Product, panels};
use crate::compute::cpu::simd::{Isa, Kernel, Simd};
use crate::compute::cpu::team::{ChunksMut, Team};
use crate::compute::cpu::{CpuBuf, RawMut};
use crate::compute::{ConvShape, Store};
use std::marker::PhantomData;
use std::ops::Range;

/// Tiles that threads transform together before their products are added: both factors of one panel stay in the first-level
/// cache.
const TILES_SHARED: usize = 100;
/// Tiles that one thread transforms by itself: both factors of all points nearly fit into the second-level cache.
const TILES_OWN: usize = 50;
/// Groups of images at most: as many threads need no barriers. Each costs sums of the size of the transformed weights.
const GROUPS_MAX: usize = 4;
/// Images a group at least: the last transform reads the sums of every group.
const GROUP_IMAGES: usize = 8;

/// Where things lie in memory.
#[derive(Clone, Copy)]
struct Plan {
    groups: usize,
    /// Whether a thread takes a whole group.
    alone: bool,
    /// Images that are transformed before their products.
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
        let groups = (shape.n / GROUP_IMAGES).clamp(1, GROUPS_MAX);
        let alone = groups.is_multiple_of(threads);
        let images = if alone {
            TILES_OWN.div_ceil(grid.image_tiles())
        } else {
            TILES_SHARED.div_ceil(grid.image_tiles()).next_multiple_of(threads)
        };
        let images = images.min(shape.n.div_ceil(groups));
        let (x, dy) = (grid.frame(isa, shape.c_in), grid.frame(isa, shape.c_out));
        let tiles = images * grid.image_tiles();
        let (x_point, dy_point) = (apart(tiles * x.stride), apart(tiles * dy.stride));
        Plan { groups, alone, images, x, dy, x_point, dy_point, sums_point: shape.c_in * dy.stride }
    }

    /// Elements of both factors of all points.
    fn factors(self, grid: Grid) -> usize {
        grid.points * (self.x_point + self.dy_point)
    }

    /// Elements of a group's sums.
    fn sums(self, grid: Grid) -> usize {
        grid.points * self.sums_point
    }

    /// Elements of a framed image of either side.
    fn frame(self) -> usize {
        self.x.elements().max(self.dy.elements())
    }
}

/// Elements of shared scratch memory.
pub(in crate::compute::cpu) fn shared_len(isa: Isa, threads: usize, shape: ConvShape) -> usize {
    let grid = Grid::new(shape.len);
    let plan = Plan::new(isa, grid, threads, shape);
    plan.groups * plan.sums(grid) + if plan.alone { 0 } else { plan.factors(grid) }
}

/// Elements of scratch a thread.
pub(in crate::compute::cpu) fn scratch_len(isa: Isa, threads: usize, shape: ConvShape) -> usize {
    let grid = Grid::new(shape.len);
    let plan = Plan::new(isa, grid, threads, shape);
    plan.frame() + if plan.alone { plan.factors(grid) } else { 0 }
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
    shared: &mut CpuBuf,
    dweights: &mut [f32],
) {
    assert!(view.x.len() >= shape.cells() * shape.c_in && dy.x.len() >= shape.cells() * shape.c_out);
    assert!(dweights.len() >= shape.weights());
    let plan = Plan::new(isa, grid, team.threads(), shape);
    let (sums, factors) = shared.first(shared_len(isa, team.threads(), shape)).split_at_mut(plan.groups * plan.sums(grid));
    let scratch_len = scratch_len(isa, team.threads(), shape);
    let sides = Sides { isa, grid, plan, shape, view, dy };
    let images = |group: usize| group * shape.n / plan.groups..(group + 1) * shape.n / plan.groups;
    if plan.alone {
        team.each((ChunksMut::new(sums, plan.sums(grid)), 0..plan.groups), scratch_len, |(sums, group), scratch| {
            let (factors, frame) = scratch.split_at_mut(plan.factors(grid));
            sides.chunks(images(group), RawMut(factors.as_mut_ptr()), RawMut(sums.as_mut_ptr()), |items, work| {
                (0..items).for_each(|item| work(item, frame));
            });
        });
    } else {
        for (group, sums) in sums.chunks_exact_mut(plan.sums(grid)).enumerate() {
            sides.chunks(images(group), RawMut(factors.as_mut_ptr()), RawMut(sums.as_mut_ptr()), |items, work| {
                team.each(0..items, scratch_len, work);
            });
        }
    }
    let (sums, dweights) = (RawMut(sums.as_mut_ptr()), RawMut(dweights.as_mut_ptr()));
    team.run(shape.c_in, |row, _| isa.run(Nine { grid, plan, shape, row, sums, dweights }));
}

/// Both sides of the products.
#[derive(Clone, Copy)]
struct Sides<'a> {
    isa: Isa,
    grid: Grid,
    plan: Plan,
    shape: ConvShape,
    view: View<'a>,
    dy: View<'a>,
}

impl Sides<'_> {
    /// The products of some images, a few at a time. `share` does a number of items, each with scratch for a frame, in any order.
    fn chunks(
        self,
        images: Range<usize>,
        factors: RawMut,
        sums: RawMut,
        mut share: impl FnMut(usize, &(dyn Fn(usize, &mut [f32]) + Sync)),
    ) {
        let Sides { isa, grid, plan, shape, .. } = self;
        // SAFETY: the factors of the input are followed by those of the result, both within what the plan says.
        let (x, dy) = (factors, RawMut(unsafe { factors.add(grid.points * plan.x_point) }));
        for first in images.clone().step_by(plan.images) {
            let n = plan.images.min(images.end - first);
            // every image twice: its inputs, and the gradients of its results
            share(2 * n, &|item, scratch| isa.run(self.tiles(item, first, (x, dy), scratch)));
            let store = if first == images.start { Store::Write } else { Store::Add };
            let tiles = n * grid.image_tiles();
            share(grid.points, &|point, _| isa.run(Sums { isa, plan, shape, point, tiles, store, x, dy, sums }));
        }
    }

    /// One side of an image of those from `first` on.
    fn tiles<'s>(&'s self, item: usize, first: usize, (x, dy): (RawMut, RawMut), scratch: &'s mut [f32]) -> Tiles<'s> {
        let Sides { grid, plan, .. } = *self;
        let image = item / 2;
        let tile0 = image * grid.image_tiles();
        let (side, frame, view, to, point) = if item.is_multiple_of(2) {
            (Side::Input, plan.x, self.view, x, plan.x_point)
        } else {
            (Side::Output, plan.dy, self.dy, dy, plan.dy_point)
        };
        // SAFETY: within the matrices by the plan; each item has its own tiles.
        let to = RawMut(unsafe { to.add(tile0 * frame.stride) });
        Tiles { grid, frame, view, image: first + image, side, to, point, scratch }
    }
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
                        Side::Input => input_tile::<S, T, f32, IN, OUT>(s, from(y, x), to, point),
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

/// The nine weights of one input channel: `dweights[.., row, ..] += G' sums[.., row, ..] G`, with the sums of all groups.
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
        let Nine { grid, plan, shape: ConvShape { c_in, c_out, .. }, row, .. } = self;
        for column in (0..c_out).step_by(S::WIDTH) {
            let n = (c_out - column).min(S::WIDTH);
            // SAFETY: row and column are within the sums of every point and, with n numbers, within the weights, whose length
            // was checked; each row is one item.
            unsafe {
                let from = self.sums.add(row * plan.dy.stride + column);
                let groups = (plan.groups, plan.sums(grid));
                let taps = weights_grad_tile::<S, T, IN, OUT>(s, from, plan.sums_point, groups);
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
