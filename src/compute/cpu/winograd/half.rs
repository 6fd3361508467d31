//! Forward with factors of f16: the transformed weights and inputs are rounded, their products summed in f16 for a short while and
//! then in f32. The transforms themselves are f32.
//!
//! Nothing overflows or vanishes, whatever a net holds: weights are divided by a power of two that leaves none above 1, and an image
//! whose transform could pass [`FACTOR_MAX`], or is tiny, by another. Both come back, exactly, where sums are widened.

use super::Grid;
use super::forward;
use crate::compute::ConvShape;
use crate::compute::Store;
use crate::compute::cpu::gemm::{Panel, panels};
pub(super) use crate::compute::cpu::gemm_half::padded;
use crate::compute::cpu::gemm_half::{self, FACTOR_MAX, HalfProduct};
use crate::compute::cpu::simd::half::Half;
use crate::compute::cpu::simd::{Isa, Simd, WIDTH_MAX};
use crate::compute::cpu::team::Team;

/// What both passes of an input's transform enlarge a number by at most: (3 + 3 / sqrt(2))^2 = 26.2 for tiles of four, 14.8 for
/// tiles of three.
const INPUT_GAIN: f32 = 27.0;

/// An image whose largest number is this share of the largest there may be is left as it is: 0.07 then, so that numbers a thousand
/// times smaller still have all bits.
const LEFT_ALONE: f32 = 1.0 / 512.0;

/// Transformed weights in f16.
#[derive(Clone, Copy)]
pub(in crate::compute::cpu) struct HalfWeights<'a> {
    pub half: Half,
    /// For each panel `[points]` of packed matrices `[c_in, columns]`.
    pub bits: &'a [u16],
    /// What they were divided by: a power of two.
    pub unit: f32,
}

/// Tiles of transformed inputs, `[point][tile, stride]`.
pub(super) struct Input<'a> {
    /// Tiles.
    pub m: usize,
    pub bits: &'a [u16],
    pub stride: usize,
    /// Distance of the points' matrices.
    pub point: usize,
    /// What each tile's results are multiplied by.
    pub scales: &'a [f32],
}

/// Numbers of the transformed weights of a shape.
pub(in crate::compute::cpu) fn weights_len(isa: Isa, grid: Grid, shape: ConvShape) -> usize {
    let columns: usize = panels(isa, shape.c_out).map(|panel| padded(panel.vectors * isa.width())).sum();
    grid.points * shape.c_in * columns
}

/// The power of two above `x`; 1 where there is none.
fn power_above(x: f32) -> f32 {
    const EXPONENT: u32 = 0xff << 23;
    let power = 2.0 * f32::from_bits(x.to_bits() & EXPONENT);
    if power.is_normal() { power } else { 1.0 }
}

/// The weights `[9, c_in, c_out]` as the products want them, and what they were divided by. `single`: room for them in f32.
pub(in crate::compute::cpu) fn transform_weights(
    team: &Team,
    isa: Isa,
    grid: Grid,
    shape: ConvShape,
    from: &[f32],
    single: &mut [f32],
    to: &mut [u16],
) -> f32 {
    forward::transform_weights(team, isa, grid, shape, from, single);
    let single = &single[..forward::weights_len(isa, grid, shape)];
    let unit = power_above(single.iter().fold(0.0, |most: f32, w| most.max(w.abs())));
    let k = shape.c_in;
    let (mut single, mut to) = (single, to);
    for panel in panels(isa, shape.c_out) {
        let columns = panel.vectors * isa.width();
        for _ in 0..grid.points {
            let (matrix, rest) = single.split_at(k * columns);
            let (packed, left) = to.split_at_mut(k * padded(columns));
            gemm_half::pack(k, columns, |row, column| matrix[row * columns + column] / unit, packed);
            (single, to) = (rest, left);
        }
    }
    unit
}

/// Scales a framed image by a power of two if its transform could pass [`FACTOR_MAX`], or stays so far below that numbers would be
/// kept in the coarse steps of the smallest f16; says by which.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
pub(super) fn scale<S: Simd>(s: S, framed: &mut [f32]) -> f32 {
    let zero = s.splat(0.0);
    let mut most = [zero; 4];
    for part in framed.chunks_exact(4 * S::WIDTH) {
        for i in 0..4 {
            // SAFETY: `part` holds four vectors.
            let x = unsafe { s.load(part.as_ptr().add(i * S::WIDTH)) };
            most[i] = s.max(most[i], s.max(x, s.sub(zero, x)));
        }
    }
    let mut all = [0.0f32; WIDTH_MAX];
    // SAFETY: the array holds the widest vector.
    unsafe { s.store(all.as_mut_ptr(), s.max(s.max(most[0], most[1]), s.max(most[2], most[3]))) };
    let rest = framed.chunks_exact(4 * S::WIDTH).remainder();
    let mut largest = 0.0f32;
    for x in all.iter().chain(rest) {
        largest = largest.max(x.abs());
    }
    let over = largest * (INPUT_GAIN / FACTOR_MAX);
    if (LEFT_ALONE..=1.0).contains(&over) {
        return 1.0;
    }
    let scale = 1.0 / power_above(over);
    if scale != 1.0 {
        for x in framed {
            *x *= scale;
        }
    }
    scale
}

impl HalfWeights<'_> {
    /// `output[point][tile][column] = input[point][tile][..] weights[panel][point][..][column]`
    #[allow(clippy::too_many_arguments)]
    pub(super) fn products(
        &self,
        isa: Isa,
        grid: Grid,
        shape: ConvShape,
        panel: Panel,
        input: &Input<'_>,
        output: &mut [f32],
        output_point: usize,
    ) {
        let (k, columns, points) = (shape.c_in, panel.vectors * isa.width(), grid.points);
        let before = panels(isa, shape.c_out).take_while(|p| p.at < panel.at).map(|p| padded(p.vectors * isa.width()));
        let first = before.sum::<usize>() * k * points;
        let matrix = k * padded(columns);
        let weights = &self.bits[first..][..points * matrix];
        assert!(k <= input.stride && input.stride == padded(input.stride) && input.m * input.stride <= input.point);
        assert!(input.scales.len() >= input.m && input.m * columns <= output_point);
        assert!(input.bits.len() >= points * input.point && output.len() >= points * output_point);
        for point in 0..points {
            let product = HalfProduct {
                m: input.m,
                k,
                columns,
                a: input.bits[point * input.point..].as_ptr(),
                a_row: input.stride,
                b: weights[point * matrix..].as_ptr(),
                c: output[point * output_point..].as_mut_ptr(),
                c_row: columns,
                scale: input.scales.as_ptr(),
                store: Store::Write,
            };
            // SAFETY: the assertions and the slice of weights bound all that the strides reach; rows of A are whole vectors.
            unsafe { product.run(self.half) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::transform::{Four, Three, Tile};
    use super::*;
    use crate::compute::cpu::simd::portable::Portable;

    /// The largest sum of sizes of a row of B', for both passes.
    fn gain<T: Tile<IN, OUT>, const IN: usize, const OUT: usize>() -> f32 {
        let mut rows = [0.0f32; IN];
        for i in 0..IN {
            let unit = std::array::from_fn(|j| [if i == j { 1.0 } else { 0.0 }; 4]);
            for (row, v) in rows.iter_mut().zip(T::input(Portable, unit)) {
                *row += v[0].abs();
            }
        }
        rows.into_iter().fold(0.0, f32::max).powi(2)
    }

    #[test]
    fn inputs_grow_as_much_as_is_said() {
        let (four, three) = (gain::<Four, 6, 4>(), gain::<Three, 5, 3>());
        assert!((26.2..INPUT_GAIN).contains(&four) && (14.7..14.9).contains(&three), "{four} {three}");
    }

    #[test]
    fn powers_of_two() {
        let cases = [(0.0, 1.0), (1.0, 2.0), (0.9, 1.0), (5.0, 8.0), (f32::NAN, 1.0), (f32::INFINITY, 1.0), (1e-40, 1.0)];
        cases.iter().for_each(|(x, power)| assert_eq!(power_above(*x), *power, "{x}"));
    }
}
