//! Activation functions and their derivatives, one number at a time.

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
