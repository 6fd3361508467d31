//! Weights that are used many times, in the form that the products want.

use super::conv::{forward_prepared, half_weights_len, prepare, prepare_half, weights_len};
use super::frame::View;
use super::last::Last;
use super::output::Base;
use super::simd::half::Half;
use super::winograd::forward::Factors;
use super::winograd::half::HalfWeights;
use super::{CpuBuf, CpuOps};
use crate::base::Result;
use crate::compute::ConvShape;

/// What the numbers of the weights are.
enum Form {
    Single,
    /// Two of f16 lie in the place of one; they were divided by `unit`.
    Half {
        half: Half,
        unit: f32,
    },
}

/// Weights in the form that the products want.
pub struct Prepared {
    /// Of no boards.
    shape: ConvShape,
    weights: CpuBuf,
    form: Form,
}

/// Elements that hold `numbers` of f16.
fn elements(numbers: usize) -> usize {
    numbers.div_ceil(2)
}

/// Bytes of the weights of a shape.
pub(super) fn bytes(ops: &CpuOps, shape: ConvShape) -> usize {
    let half = ops.half.and_then(|_| half_weights_len(ops.isa, shape));
    4 * half.map_or_else(|| weights_len(ops.isa, shape), elements)
}

impl Prepared {
    pub(super) fn new(ops: &CpuOps, shape: ConvShape, weights: &[f32]) -> Result<Prepared> {
        let of_no_boards = ConvShape { n: 0, ..shape };
        if let (Some(half), Some(numbers)) = (ops.half, half_weights_len(ops.isa, shape)) {
            let mut to = CpuBuf::zeros(elements(numbers))?;
            let unit = prepare_half(ops, shape, weights, bytemuck::cast_slice_mut(&mut to[..]));
            return Ok(Prepared { shape: of_no_boards, weights: to, form: Form::Half { half, unit } });
        }
        let len = weights_len(ops.isa, shape);
        let mut to = CpuBuf::zeros(len)?;
        prepare(ops, shape, weights, to.first(len));
        Ok(Prepared { shape: of_no_boards, weights: to, form: Form::Single })
    }

    /// `y = base + conv(view, weights)`.
    pub(super) fn forward(&self, ops: &CpuOps, shape: ConvShape, base: Base<'_>, view: View<'_>, y: &mut [f32]) {
        assert_eq!(ConvShape { n: 0, ..shape }, self.shape, "weights were prepared for another shape");
        let factors = match self.form {
            Form::Single => Factors::Single(&self.weights),
            Form::Half { half, unit } => Factors::Half(HalfWeights { half, bits: bytemuck::cast_slice(&self.weights), unit }),
        };
        forward_prepared(ops, shape, base, view, factors, Last::Nothing, y);
    }
}
