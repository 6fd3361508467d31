//! Activation functions and their derivatives: of one number, and of vectors in loops that are compiled once a function.

use super::simd::{Simd, WIDTH_MAX};
use crate::compute::Activation;

/// The activation.
#[inline(always)]
pub(super) fn value(act: Activation, z: f32) -> f32 {
    match act {
        Activation::Identity => z,
        Activation::Relu => z.max(0.0),
        Activation::Mish => z * tanh_softplus(z),
        Activation::Silu => z * sigmoid(z),
    }
}

/// Its derivative.
#[inline(always)]
pub(super) fn slope(act: Activation, z: f32) -> f32 {
    match act {
        Activation::Identity => 1.0,
        Activation::Relu => f32::from(u8::from(z > 0.0)),
        Activation::Mish => {
            let t = tanh_softplus(z);
            t + z * (1.0 - t * t) * sigmoid(z)
        }
        Activation::Silu => {
            let s = sigmoid(z);
            s * (1.0 + z * (1.0 - s))
        }
    }
}

/// tanh(ln(1 + e^z)) without cancellation: with e = e^z it is e (e + 2) / (e (e + 2) + 2).
#[inline(always)]
fn tanh_softplus(z: f32) -> f32 {
    if z > 20.0 {
        return 1.0;
    }
    let e = z.exp();
    let q = e * (e + 2.0);
    q / (q + 2.0)
}

/// 1 / (1 + e^-z)
#[inline(always)]
pub(super) fn sigmoid(z: f32) -> f32 {
    1.0 / (1.0 + (-z).exp())
}

/// An activation of vectors.
pub(super) trait Function {
    /// The activation.
    fn value<S: Simd>(s: S, z: S::V) -> S::V;
    /// Its derivative at `z`, times `dy`.
    fn grad<S: Simd>(s: S, z: S::V, dy: S::V) -> S::V;
}

#[derive(Clone, Copy)]
pub(super) struct Identity;
#[derive(Clone, Copy)]
pub(super) struct Relu;
#[derive(Clone, Copy)]
pub(super) struct Mish;
#[derive(Clone, Copy)]
pub(super) struct Silu;

impl Function for Identity {
    #[inline(always)]
    fn value<S: Simd>(_: S, z: S::V) -> S::V {
        z
    }
    #[inline(always)]
    fn grad<S: Simd>(_: S, _: S::V, dy: S::V) -> S::V {
        dy
    }
}

impl Function for Relu {
    #[inline(always)]
    fn value<S: Simd>(s: S, z: S::V) -> S::V {
        s.max(z, s.splat(0.0))
    }
    #[inline(always)]
    fn grad<S: Simd>(s: S, z: S::V, dy: S::V) -> S::V {
        s.where_positive(z, dy)
    }
}

impl Function for Mish {
    #[inline(always)]
    fn value<S: Simd>(s: S, z: S::V) -> S::V {
        one_by_one(s, z, |z| value(Activation::Mish, z))
    }
    #[inline(always)]
    fn grad<S: Simd>(s: S, z: S::V, dy: S::V) -> S::V {
        s.mul(dy, one_by_one(s, z, |z| slope(Activation::Mish, z)))
    }
}

impl Function for Silu {
    #[inline(always)]
    fn value<S: Simd>(s: S, z: S::V) -> S::V {
        one_by_one(s, z, |z| value(Activation::Silu, z))
    }
    #[inline(always)]
    fn grad<S: Simd>(s: S, z: S::V, dy: S::V) -> S::V {
        s.mul(dy, one_by_one(s, z, |z| slope(Activation::Silu, z)))
    }
}

#[inline(always)]
fn one_by_one<S: Simd>(s: S, v: S::V, f: impl Fn(f32) -> f32) -> S::V {
    let mut all = [0.0f32; WIDTH_MAX];
    // SAFETY: the array holds the widest vector.
    unsafe {
        s.store(all.as_mut_ptr(), v);
        for x in &mut all[..S::WIDTH] {
            *x = f(*x);
        }
        s.load(all.as_ptr())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_the_derivatives() {
        for act in [Activation::Identity, Activation::Relu, Activation::Mish, Activation::Silu] {
            for z in [-30.0f32, -5.0, -1.0, -0.3, 0.2, 1.0, 4.0, 25.0] {
                let h = 1e-2;
                let expected = (value(act, z + h) - value(act, z - h)) / (2.0 * h);
                assert!((slope(act, z) - expected).abs() < 2e-3, "{act:?} at {z}: {} {expected}", slope(act, z));
            }
        }
        assert!((value(Activation::Mish, 1.0) - 0.865_098_4).abs() < 1e-6);
        assert!((value(Activation::Silu, 1.0) - 0.731_058_6).abs() < 1e-6);
    }
}
