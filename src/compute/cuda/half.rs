//! Tensors of 16-bit numbers, as they come from and go to the host.

/// How a tensor's numbers lie in memory, as the kernels number it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    F32 = 0,
    F16 = 1,
    Bf16 = 2,
}

impl Kind {
    /// Bytes of a number.
    pub(super) fn bytes(self) -> usize {
        if self == Kind::F32 { 4 } else { 2 }
    }

    /// The 16 bits nearest to a number, ties to even; f16 ends at 65504.
    pub(super) fn narrow(self, v: f32) -> u16 {
        let bits = v.to_bits();
        match self {
            Kind::F32 => unreachable!("only 16-bit tensors are narrowed"),
            Kind::Bf16 => ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16,
            Kind::F16 => {
                let (sign, v) = ((bits >> 16 & 0x8000) as u16, v.abs().min(F16_MAX));
                // below 2^-14 numbers are multiples of 2^-24
                if v < F16_MIN_NORMAL {
                    return sign | (v * F16_UNIT.recip()).round_ties_even() as u16;
                }
                let bits = v.to_bits() - (112 << 23);
                sign | ((bits + 0xfff + (bits >> 13 & 1)) >> 13) as u16
            }
        }
    }

    /// The number that 16 bits stand for.
    pub(super) fn widen(self, bits: u16) -> f32 {
        let wide = u32::from(bits);
        match self {
            Kind::F32 => unreachable!("only 16-bit tensors are widened"),
            Kind::Bf16 => f32::from_bits(wide << 16),
            Kind::F16 => {
                let (exponent, mantissa) = (wide >> 10 & 31, wide & 1023);
                let v = match exponent {
                    0 => mantissa as f32 * F16_UNIT,
                    31 => f32::from_bits(0x7f80_0000 | mantissa << 13),
                    _ => f32::from_bits((exponent + 112) << 23 | mantissa << 13),
                };
                if bits >> 15 == 1 { -v } else { v }
            }
        }
    }
}

/// The largest f16, the smallest that has all its bits, and the distance between those below.
const F16_MAX: f32 = 65504.0;
const F16_MIN_NORMAL: f32 = 1.0 / 16384.0;
const F16_UNIT: f32 = 1.0 / 16_777_216.0;

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn all_16_bit_numbers_survive() {
        for kind in [Kind::F16, Kind::Bf16] {
            for bits in 0..=u16::MAX {
                let v = kind.widen(bits);
                assert!(!v.is_finite() || kind.narrow(v) == bits, "{kind:?} {bits:#x} {v}");
            }
        }
        let half = |v| Kind::F16.widen(Kind::F16.narrow(v));
        assert_eq!([half(1.0), half(-2.5), half(1e9), half(0.1)], [1.0, -2.5, 65504.0, 0.099_975_586]);
        assert_eq!(half(1.0 + 1.0 / 2048.0), 1.0, "ties to even");
        assert_eq!(Kind::Bf16.widen(Kind::Bf16.narrow(3.0e38)), 3.004_055_3e38, "the nearer one");
    }
}
