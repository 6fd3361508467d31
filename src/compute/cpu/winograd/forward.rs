//! Forward: transformed weights, then for a few images at a time input transform, products, output transform.
//! The input gradient is the same with turned weights.

use super::half::{self, HalfWeights};
use super::transform::{Four, Number, Square, Three, Tile, input_tile, output_tile, weights_tile};
use super::{Grid, TileSize, apart};
use crate::compute::cpu::RawMut;
use crate::compute::cpu::activation::{Identity, Mish, Relu, Silu};
use crate::compute::cpu::frame::{self, View};
use crate::compute::cpu::gemm::{Panel, Product, panels};
use crate::compute::cpu::last::{BackBy, Finish, Last, Place, Plain};
use crate::compute::cpu::output::Base;
use crate::compute::cpu::simd::{Isa, Kernel, Simd};
use crate::compute::cpu::team::Team;
use crate::compute::{Activation, ConvShape, Store};
use std::marker::PhantomData;

/// Vectors of the widest panel.
const PANEL_MAX: usize = 4;
/// Tiles that go through the stages together at least: below, streaming the weights costs more than it saves in cache.
const TILES_MIN: usize = 40;

/// Elements of the transformed weights of a shape: for each panel `[points, c_in, columns]`.
pub(in crate::compute::cpu) fn weights_len(isa: Isa, grid: Grid, shape: ConvShape) -> usize {
    grid.points * shape.c_in * shape.c_out.next_multiple_of(isa.width())
}

struct Weights<'a> {
    grid: Grid,
    isa: Isa,
    c_in: usize,
    c_out: usize,
    /// Input channel.
    row: usize,
    /// `[9, c_in, c_out]`
    from: &'a [f32],
    to: RawMut,
}

impl Kernel for Weights<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.grid.size {
            TileSize::Four => self.transform::<S, Four, 6, 4>(s),
            TileSize::Three => self.transform::<S, Three, 5, 3>(s),
        }
    }
}

impl Weights<'_> {
    #[inline(always)]
    fn transform<S: Simd, T: Tile<IN, OUT>, const IN: usize, const OUT: usize>(self, s: S) {
        let Weights { c_in, c_out, row, from, .. } = self;
        let from = &from[..9 * c_in * c_out];
        for panel in panels(self.isa, c_out) {
            let columns = panel.vectors * S::WIDTH;
            for v in 0..panel.vectors {
                let column = (panel.at + v) * S::WIDTH;
                let n = (c_out - column).min(S::WIDTH);
                let mut taps = [[s.splat(0.0); 3]; 3];
                for tap in 0..9 {
                    // SAFETY: n columns are left in this row of `from`, whose length was checked.
                    taps[tap / 3][tap % 3] = unsafe {
                        let at = from.as_ptr().add((tap * c_in + row) * c_out + column);
                        if n == S::WIDTH { s.load(at) } else { s.load_first(at, n) }
                    };
                }
                // to[panel][point][row][v]: within the length checked by `transform_weights`; rows are disjoint.
                let at = panel.at * S::WIDTH * c_in * IN * IN + row * columns + v * S::WIDTH;
                // SAFETY: as said.
                unsafe { weights_tile::<S, T, IN, OUT>(s, taps, self.to.add(at), c_in * columns) };
            }
        }
    }
}

/// The weights `[9, c_in, c_out]` as the products want them.
pub(in crate::compute::cpu) fn transform_weights(
    team: &Team,
    isa: Isa,
    grid: Grid,
    shape: ConvShape,
    from: &[f32],
    to: &mut [f32],
) {
    assert!(to.len() >= weights_len(isa, grid, shape));
    let to = RawMut(to.as_mut_ptr());
    let ConvShape { c_in, c_out, .. } = shape;
    team.run(c_in, |row, _| isa.run(Weights { grid, isa, c_in, c_out, row, from, to }));
}

/// What the factors of the products are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::compute::cpu) enum FactorKind {
    Single,
    Half,
}

/// Transformed weights of a shape.
#[derive(Clone, Copy)]
pub(in crate::compute::cpu) enum Factors<'a> {
    /// By [`transform_weights`].
    Single(&'a [f32]),
    /// By [`half::transform_weights`].
    Half(HalfWeights<'a>),
}

/// What a few images need between the stages: a framed image, a matrix of all tiles for each point, and with factors of f16 a
/// scale for each tile.
#[derive(Clone, Copy)]
struct Between {
    frame: usize,
    /// Distance of the tiles in a matrix of the input, in its own numbers.
    stride: usize,
    /// Distance of the points' matrices.
    input_point: usize,
    output_point: usize,
    scales: usize,
}

impl Between {
    fn new(isa: Isa, grid: Grid, shape: ConvShape, factors: FactorKind, images: usize) -> Between {
        let widest = panels(isa, shape.c_out).map(|p| p.vectors).max().unwrap_or(0) * isa.width();
        let frame = grid.frame(isa, shape.c_in);
        let tiles = images * grid.image_tiles();
        let (stride, input, scales) = match factors {
            FactorKind::Single => (frame.stride, tiles * frame.stride, 0),
            FactorKind::Half => (half::padded(frame.stride), tiles * half::padded(frame.stride) / 2, tiles),
        };
        let (input_point, output_point) = (apart(input), apart(tiles * widest));
        Between { frame: frame.elements(), stride, input_point, output_point, scales }
    }

    fn elements(self, grid: Grid) -> usize {
        self.frame + grid.points * (self.input_point + self.output_point) + self.scales
    }
}

/// Images that go through the stages together.
fn images_together(grid: Grid, n: usize, threads: usize) -> usize {
    TILES_MIN.div_ceil(grid.image_tiles()).min(n.div_ceil(threads)).max(1)
}

/// Elements of scratch a thread takes at most.
pub(in crate::compute::cpu) fn scratch_len(isa: Isa, threads: usize, shape: ConvShape, factors: FactorKind) -> usize {
    let grid = Grid::new(shape.len);
    Between::new(isa, grid, shape, factors, images_together(grid, shape.n, threads)).elements(grid)
}

/// A few images and some panels of the result.
struct Forward<'a> {
    isa: Isa,
    grid: Grid,
    shape: ConvShape,
    images: (usize, usize),
    panels: (usize, usize),
    view: View<'a>,
    weights: Factors<'a>,
    kind: FactorKind,
    base: Base<'a>,
    last: Last<'a>,
    y: RawMut,
    scratch: &'a mut [f32],
}

/// `y = base + conv(view, weights)` with transformed weights; `last` is done before it is stored.
#[allow(clippy::too_many_arguments)]
pub(in crate::compute::cpu) fn forward(
    team: &Team,
    isa: Isa,
    grid: Grid,
    shape: ConvShape,
    base: Base<'_>,
    view: View<'_>,
    weights: Factors<'_>,
    last: Last<'_>,
    y: &mut [f32],
) {
    assert!(view.x.len() >= shape.cells() * shape.c_in && y.len() >= shape.cells() * shape.c_out);
    let kind = match weights {
        Factors::Single(weights) => {
            assert!(weights.len() >= weights_len(isa, grid, shape));
            FactorKind::Single
        }
        Factors::Half(weights) => {
            assert!(weights.bits.len() >= half::weights_len(isa, grid, shape));
            FactorKind::Half
        }
    };
    assert!(last.fits(shape.n, shape.len * shape.len, shape.c_out));
    if let Base::Of(base) = base {
        assert!(base.len() >= shape.cells() * shape.c_out);
    }
    let together = images_together(grid, shape.n, team.threads());
    let chunks = shape.n.div_ceil(together);
    // fewer images than threads: each takes a part of the channels, and transforms the input for itself
    let n_panels = panels(isa, shape.c_out).count();
    let groups = team.threads().div_ceil(chunks).min(n_panels);
    let y = RawMut(y.as_mut_ptr());
    team.each(0..chunks * groups, scratch_len(isa, team.threads(), shape, kind), |item, scratch| {
        let (chunk, group) = (item / groups, item % groups);
        let images = (chunk * together, ((chunk + 1) * together).min(shape.n));
        let panels = (group * n_panels / groups, (group + 1) * n_panels / groups);
        isa.run(Forward { isa, grid, shape, images, panels, view, weights, kind, base, last, y, scratch });
    });
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.grid.size {
            TileSize::Four => self.stages::<S, Four, 6, 4>(s),
            TileSize::Three => self.stages::<S, Three, 5, 3>(s),
        }
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn stages<S: Simd, T: Tile<IN, OUT>, const IN: usize, const OUT: usize>(mut self, s: S) {
        let frame = self.grid.frame(self.isa, self.shape.c_in);
        let between = Between::new(self.isa, self.grid, self.shape, self.kind, self.images.1 - self.images.0);
        let (framed, rest) = std::mem::take(&mut self.scratch).split_at_mut(between.frame);
        let (input, rest) = rest.split_at_mut(IN * IN * between.input_point);
        let (output, scales) =
            rest[..IN * IN * between.output_point + between.scales].split_at_mut(IN * IN * between.output_point);
        frame::clear_border(frame, framed);
        let (tiles, stride, point) = (self.grid.tiles, between.stride, between.input_point);
        for image in self.images.0..self.images.1 {
            frame::fill(s, frame, self.view, image, framed);
            let first = (image - self.images.0) * self.grid.image_tiles();
            macro_rules! enter {
                ($to:expr, $point:expr) => {{
                    let (to, point, transform) = ($to, $point, PhantomData);
                    s.enter(InputTiles::<T, _, IN, OUT> { frame, tiles, from: framed, first, to, stride, point, transform });
                }};
            }
            match self.weights {
                Factors::Single(_) => enter!(&mut *input, point),
                Factors::Half(weights) => {
                    let scale = half::scale(s, framed);
                    scales[first..first + self.grid.image_tiles()].fill(weights.unit / scale);
                    enter!(bytemuck::cast_slice_mut::<f32, u16>(input), 2 * point);
                }
            }
        }
        for panel in panels(self.isa, self.shape.c_out).skip(self.panels.0).take(self.panels.1 - self.panels.0) {
            match self.weights {
                Factors::Single(weights) => self.products::<S>(s, panel, between, weights, input, output),
                Factors::Half(weights) => {
                    let m = (self.images.1 - self.images.0) * self.grid.image_tiles();
                    let input = half::Input { m, bits: bytemuck::cast_slice(input), stride, point: 2 * point, scales };
                    weights.products(self.isa, self.grid, self.shape, panel, &input, output, between.output_point);
                }
            }
            self.results::<S, T, IN, OUT>(s, panel, output, between.output_point);
        }
    }

    /// All tiles of one panel to the result.
    #[inline(always)]
    fn results<S: Simd, T: Tile<IN, OUT>, const IN: usize, const OUT: usize>(
        &self,
        s: S,
        panel: Panel,
        from: &[f32],
        point: usize,
    ) {
        macro_rules! enter {
            ($last:expr) => {
                s.enter(OutputTiles::<T, _, IN, OUT> { of: self, panel, from, point, last: $last, transform: PhantomData })
            };
        }
        match self.last {
            Last::Nothing => enter!(Plain),
            Last::Moments(moments) => enter!(moments),
            Last::Back(back) => match back.act {
                Activation::Identity => enter!(BackBy::<Identity>(back, PhantomData)),
                Activation::Relu => enter!(BackBy::<Relu>(back, PhantomData)),
                Activation::Mish => enter!(BackBy::<Mish>(back, PhantomData)),
                Activation::Silu => enter!(BackBy::<Silu>(back, PhantomData)),
            },
        }
    }

    /// `output[point][tile][column] = input[point][tile][..] weights[panel][point][..][column]`
    #[inline(always)]
    fn products<S: Simd>(&self, s: S, panel: Panel, between: Between, weights: &[f32], input: &[f32], output: &mut [f32]) {
        let (points, stride) = (self.grid.points, between.stride);
        let (k, columns) = (self.shape.c_in, panel.vectors * S::WIDTH);
        let m = (self.images.1 - self.images.0) * self.grid.image_tiles();
        assert!(m * stride <= between.input_point && m * columns <= between.output_point);
        assert!(input.len() >= points * between.input_point && output.len() >= points * between.output_point);
        let weights = &weights[panel.at * S::WIDTH * k * points..][..points * k * columns];
        for point in 0..points {
            let product = Product {
                m,
                k,
                vectors: panel.vectors,
                columns,
                a: input[point * between.input_point..].as_ptr(),
                a_row: stride,
                a_k: 1,
                b: weights[point * k * columns..].as_ptr(),
                b_row: columns,
                c: output[point * between.output_point..].as_mut_ptr(),
                c_row: columns,
                store: Store::Write,
            };
            // SAFETY: the assertions and the slice of weights bound all that the strides reach.
            unsafe { product.run(s) };
        }
    }
}

/// All tiles of a framed image to `[point][tile, stride]`, tiles from `first` on.
struct InputTiles<'a, T, N, const IN: usize, const OUT: usize> {
    frame: frame::Frame,
    tiles: usize,
    from: &'a [f32],
    first: usize,
    to: &'a mut [N],
    /// Distance of tiles in it.
    stride: usize,
    point: usize,
    transform: PhantomData<T>,
}

impl<T: Tile<IN, OUT>, N: Number, const IN: usize, const OUT: usize> Kernel for InputTiles<'_, T, N, IN, OUT> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let frame::Frame { stride, rows, columns, .. } = self.frame;
        assert!(rows >= self.tiles * OUT + IN - OUT && columns == rows && self.from.len() >= rows * columns * stride);
        let image_tiles = self.tiles * self.tiles;
        assert!(stride <= self.stride && (self.first + image_tiles) * self.stride <= self.point);
        assert!(self.to.len() >= IN * IN * self.point);
        for tile in 0..image_tiles {
            let (y, x) = (tile / self.tiles * OUT, tile % self.tiles * OUT);
            assert!(y + IN <= rows && x + IN <= columns);
            for v in (0..stride).step_by(S::WIDTH) {
                // SAFETY: the tile lies within the frame by the assertions, and v is a whole vector of its channels.
                unsafe {
                    let at = self.from.as_ptr().add((y * columns + x) * stride + v);
                    let from = Square { at, row: columns * stride, column: stride };
                    let to = self.to.as_mut_ptr().add((self.first + tile) * self.stride + v);
                    input_tile::<S, T, N, IN, OUT>(s, from, to, self.point);
                }
            }
        }
    }
}

/// All tiles of one panel to the result.
struct OutputTiles<'a, 'b, T, L, const IN: usize, const OUT: usize> {
    of: &'a Forward<'b>,
    panel: Panel,
    from: &'a [f32],
    point: usize,
    last: L,
    transform: PhantomData<T>,
}

impl<T: Tile<IN, OUT>, L: Finish, const IN: usize, const OUT: usize> Kernel for OutputTiles<'_, '_, T, L, IN, OUT> {
    #[inline(always)]
    #[allow(clippy::needless_range_loop, clippy::undocumented_unsafe_blocks)]
    fn run<S: Simd>(self, s: S) {
        let Forward { grid, shape, images, base, y, .. } = *self.of;
        let (len, c) = (shape.len, shape.c_out);
        let columns = self.panel.vectors * S::WIDTH;
        assert!(self.from.len() >= IN * IN * self.point);
        assert!((images.1 - images.0) * grid.image_tiles() * columns <= self.point);
        let place = |v: usize, cell: usize| {
            let channel = (self.panel.at + v) * S::WIDTH;
            Place { cell, channel, n: (c - channel).min(S::WIDTH) }
        };
        for image in images.0..images.1 {
            // SAFETY of all blocks: all points of the tile are in `from`; cells below len and n channels are within y and what
            // else has its shape, whose lengths `forward` has checked; no other item has this image and panel.
            let mut sums = [unsafe { self.last.begin(s, place(0, 0)) }; PANEL_MAX];
            for v in 1..self.panel.vectors {
                sums[v] = unsafe { self.last.begin(s, place(v, 0)) };
            }
            for tile in 0..grid.image_tiles() {
                let from = &self.from[((image - images.0) * grid.image_tiles() + tile) * columns..];
                let (y0, x0) = (tile / grid.tiles * OUT, tile % grid.tiles * OUT);
                for v in 0..self.panel.vectors {
                    let square = unsafe { output_tile::<S, T, IN, OUT>(s, from.as_ptr().add(v * S::WIDTH), self.point) };
                    for i in 0..OUT.min(len - y0) {
                        for j in 0..OUT.min(len - x0) {
                            let place = place(v, (image * len + y0 + i) * len + x0 + j);
                            let at = place.cell * c + place.channel;
                            unsafe {
                                let met = base.meet(s, square[i][j], place.n, y.add(0), at);
                                let result = self.last.cell(s, &mut sums[v], place, met);
                                s.store_n(y.add(at), place.n, result);
                            }
                        }
                    }
                }
            }
            for v in 0..self.panel.vectors {
                unsafe { self.last.end(s, sums[v], image, place(v, 0)) };
            }
        }
    }
}
