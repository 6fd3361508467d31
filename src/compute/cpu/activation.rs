//! Activation functions and their derivatives, one number at a time; loops are compiled once a function.

use crate::compute::Activation;

/// An activation with its derivative.
pub(super) trait Function: Sync {
    fn value(z: f32) -> f32;
    fn slope(z: f32) -> f32;
}

pub(super) struct Identity;
pub(super) struct Relu;
pub(super) struct Mish;
pub(super) struct Silu;

impl Function for Identity {
    #[inline(always)]
    fn value(z: f32) -> f32 {
        z
    }
    #[inline(always)]
    fn slope(_: f32) -> f32 {
        1.0
    }
}

impl Function for Relu {
    #[inline(always)]
    fn value(z: f32) -> f32 {
        if z > 0.0 { z } else { 0.0 }
    }
    #[inline(always)]
    fn slope(z: f32) -> f32 {
        if z > 0.0 { 1.0 } else { 0.0 }
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

impl Function for Mish {
    #[inline(always)]
    fn value(z: f32) -> f32 {
        z * tanh_softplus(z)
    }
    #[inline(always)]
    fn slope(z: f32) -> f32 {
        let t = tanh_softplus(z);
        t + z * (1.0 - t * t) * sigmoid(z)
    }
}

impl Function for Silu {
    #[inline(always)]
    fn value(z: f32) -> f32 {
        z * sigmoid(z)
    }
    #[inline(always)]
    fn slope(z: f32) -> f32 {
        let s = sigmoid(z);
        s * (1.0 + z * (1.0 - s))
    }
}

/// 1 / (1 + e^-z)
#[inline(always)]
pub(super) fn sigmoid(z: f32) -> f32 {
    1.0 / (1.0 + (-z).exp())
}

/// Runs `$body` with the type `$f` bound to the activation's functions.
macro_rules! with_activation {
    ($act:expr, $f:ident => $body:expr) => {
        match $act {
            $crate::compute::Activation::Identity => {
                type $f = $crate::compute::cpu::activation::Identity;
                $body
            }
            $crate::compute::Activation::Relu => {
                type $f = $crate::compute::cpu::activation::Relu;
                $body
            }
            $crate::compute::Activation::Mish => {
                type $f = $crate::compute::cpu::activation::Mish;
                $body
            }
            $crate::compute::Activation::Silu => {
                type $f = $crate::compute::cpu::activation::Silu;
                $body
            }
        }
    };
}

/// One value, where speed does not matter.
pub(super) fn value(act: Activation, z: f32) -> f32 {
    with_activation!(act, F => F::value(z))
}

/// One slope, where speed does not matter.
pub(super) fn slope(act: Activation, z: f32) -> f32 {
    with_activation!(act, F => F::slope(z))
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
