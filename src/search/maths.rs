//! The functions that decide in a tree, from plain arithmetic: libraries of different machines round them differently, and
//! the same seed is to give the same tree everywhere.

use std::f32::consts::{FRAC_PI_2, FRAC_PI_4, LN_2, LOG2_E};

/// Largest magnitude whose exponential is a normal number.
const EXP_MAX: f32 = 87.0;

/// e^x, to a few units in the last place; 0 and huge numbers at the ends of the range.
pub(super) fn exp(x: f32) -> f32 {
    if x < -EXP_MAX {
        return 0.0;
    }
    let x = x.min(EXP_MAX);
    let k = (x * LOG2_E + 0.5).floor();
    // ln 2 in two parts, so that the rest is exact.
    let r = x - k * 0.693_359_4 + k * 2.121_944_4e-4;
    let series = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0))))));
    series * f32::from_bits(((k as i32 + 127) as u32) << 23)
}

/// Natural logarithm of a normal number above 0.
pub(super) fn ln(x: f32) -> f32 {
    debug_assert!(x >= f32::MIN_POSITIVE);
    let bits = x.to_bits();
    // The mantissa between 0.7 and 1.4, so that the series is short.
    let exponent = ((bits.wrapping_sub(0x3f33_3333)) as i32) >> 23;
    let mantissa = f32::from_bits(bits.wrapping_sub((exponent as u32) << 23));
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let t2 = t * t;
    exponent as f32 * LN_2 + 2.0 * t * (1.0 + t2 * (1.0 / 3.0 + t2 * (0.2 + t2 * (1.0 / 7.0 + t2 * (1.0 / 9.0)))))
}

/// Arc tangent (polynomial of the Cephes library, Moshier 1989).
pub(super) fn atan(x: f32) -> f32 {
    const TAN_3_PI_8: f32 = 2.414_213_6;
    const TAN_PI_8: f32 = 0.414_213_57;
    let a = x.abs();
    let (base, z) = match a {
        a if a > TAN_3_PI_8 => (FRAC_PI_2, -1.0 / a),
        a if a > TAN_PI_8 => (FRAC_PI_4, (a - 1.0) / (a + 1.0)),
        a => (0.0, a),
    };
    let s = z * z;
    let y = base + z + z * s * (((8.053_745e-2 * s - 0.138_776_86) * s + 0.199_777_1) * s - 0.333_329_5);
    if x < 0.0 { -y } else { y }
}

/// ln(1 + e^x)
pub(super) fn softplus(x: f32) -> f32 {
    if x > 20.0 { x } else { ln(1.0 + exp(x)) }
}

/// A number from 0 to below 2 in 16 bits that sort as it does: seven bits of exponent and nine of mantissa, which is an
/// f32 without its sign, its highest exponent bit and its low mantissa.
pub(super) fn pack(x: f32) -> u16 {
    debug_assert!((0.0..2.0).contains(&x));
    ((x.to_bits() + 0x2000) >> 14) as u16
}

/// The number of [`pack`].
pub(super) fn unpack(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 14)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_library_has_them() {
        let mut x = -30.0f32;
        while x < 30.0 {
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-6, "exp {x}: {} {}", exp(x), x.exp());
            assert!((atan(x) - x.atan()).abs() < 1e-6, "atan {x}");
            let up = x.exp();
            assert!((ln(up) - up.ln()).abs() < 2e-6 * (1.0 + x.abs()), "ln {up}: {} {}", ln(up), up.ln());
            let soft = if x > 20.0 { x } else { x.exp().ln_1p() };
            assert!((softplus(x) - soft).abs() < 1e-5, "softplus {x}");
            x += 0.0137;
        }
        assert_eq!((exp(-1e9), exp(0.0), ln(1.0), atan(0.0)), (0.0, 1.0, 0.0, 0.0));
        assert!(exp(f32::MAX).is_finite());
    }

    #[test]
    fn packed_numbers_keep_their_order() {
        let mut last = pack(0.0);
        assert_eq!((last, unpack(last), unpack(pack(1.0))), (0, 0.0, 1.0));
        let mut x = 1e-9f32;
        while x <= 1.0 {
            let packed = pack(x);
            assert!(packed >= last && (unpack(packed) / x - 1.0).abs() < 1e-3, "{x}");
            (last, x) = (packed, x * 1.01);
        }
    }
}
