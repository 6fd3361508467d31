//! 3x3 convolutions by Winograd's minimal filtering: forward and input gradient, and weight gradient.
//!
//! The image is cut into tiles of 4x4 or 3x3 results, whichever needs fewer products for the board. Inputs, weights and
//! results pass a transform ([`transform`]), between which lie 36 or 25 matrix products `[tiles, c_in] x [c_in, c_out]`.
//! A few images at a time go through all three stages, so that what lies between stays in the second-level cache.

pub(super) mod forward;
pub(super) mod grad_weights;
pub(super) mod half;
mod transform;

use super::frame::Frame;
use super::simd::Isa;
use crate::compute::ConvShape;

/// Which transform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TileSize {
    Four,
    Three,
}

/// How a shape is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub size: TileSize,
    pub len: usize,
    /// Tiles a side.
    pub tiles: usize,
    /// Results a tile's side.
    pub out: usize,
    /// Products of a tile and pair of channels.
    pub points: usize,
}

impl Grid {
    /// The cut of fewest products for an image of `len * len`.
    pub fn new(len: usize) -> Grid {
        let four = Grid { size: TileSize::Four, len, tiles: len.div_ceil(4), out: 4, points: 36 };
        let three = Grid { size: TileSize::Three, len, tiles: len.div_ceil(3), out: 3, points: 25 };
        if three.products() < four.products() { three } else { four }
    }

    /// Whether this is for the shape, and pays for it.
    pub fn serves(shape: ConvShape) -> bool {
        shape.kernel_y == 3 && shape.kernel_x == 3 && shape.len >= 3
    }

    fn products(self) -> usize {
        self.tiles * self.tiles * self.points
    }

    /// Tiles of an image.
    pub fn image_tiles(self) -> usize {
        self.tiles * self.tiles
    }

    /// An image of `c` channels with room for every tile's surroundings.
    pub fn frame(self, isa: Isa, c: usize) -> Frame {
        let side = self.tiles * self.out + 2;
        let stride = c.next_multiple_of(isa.width());
        Frame { len: self.len, c, stride, top: 1, left: 1, rows: side, columns: side }
    }
}

/// Elements of one cache line.
const LINE: usize = 16;

/// Distance of matrices of `len` elements, one for each point: an odd number of cache lines, so that the same place of all,
/// which are written together, does not fall on the same place of the first-level cache.
fn apart(len: usize) -> usize {
    len.next_multiple_of(2 * LINE) + LINE
}
