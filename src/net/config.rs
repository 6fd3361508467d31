//! The nets we make: sizes by name, widths of heads and pooled channels, first weights.

use super::arch::*;
use super::{Net, arch::Arch};
use crate::base::rng::{Rng, rng};
use crate::base::{Error, Result};
use crate::compute::Activation;
use crate::compute::packed::{N_GLOBALS, N_PLANES};
use rand::Rng as _;

/// Names of the nets offered, from the fastest to the strongest.
pub const PRESETS: [&str; 6] = ["b2c32", "b4c32", "b4c64", "b6c64", "b6c96", "b10c128"];
/// KataGo's model version of the nets we make.
pub const OUR_VERSION: u32 = 8;
/// Most blocks and channels of a net we make: KataGo's largest convolutional ones.
const MADE_MAX: (usize, usize) = (60, 512);
/// Added to the variance of a batch norm, as in KataGo's training.
const NORM_EPSILON: f32 = 1e-4;

/// Sizes of a net: `b{blocks}c{channels}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetConfig {
    /// Residual blocks; each third one, from the second on, pools globally.
    pub blocks: usize,
    /// Channels of the trunk.
    pub channels: usize,
}

impl NetConfig {
    /// Reads a name such as `b4c32`.
    pub fn named(name: &str) -> Result<NetConfig> {
        let parsed = name.strip_prefix('b').and_then(|rest| rest.split_once('c')).and_then(|(b, c)| {
            let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
            (digits(b) && digits(c)).then(|| Some((b.parse().ok()?, c.parse().ok()?)))?
        });
        match parsed {
            Some((blocks, channels)) if (1..=MADE_MAX.0).contains(&blocks) && (1..=MADE_MAX.1).contains(&channels) => {
                Ok(NetConfig { blocks, channels })
            }
            _ => Err(Error::call(
                "net",
                format!("'{name}', expected b1 to b{} and c1 to c{}, such as b4c32", MADE_MAX.0, MADE_MAX.1),
            )
            .hint(PRESETS.join(", "))),
        }
    }

    /// The name.
    pub fn name(&self) -> String {
        format!("b{}c{}", self.blocks, self.channels)
    }

    /// Channels that are pooled in a pooling block: a quarter, as KataGo's b10c128 has it, in steps of 8.
    fn pooled(&self) -> usize {
        if self.channels < 16 { self.channels.div_ceil(4) } else { self.channels.div_ceil(4).next_multiple_of(8) }
    }

    /// Channels of the heads: a third, between 16 and 48, as KataGo's b6c96 has it, in steps of 8.
    fn head(&self) -> usize {
        if self.channels < 16 { self.channels } else { (self.channels / 3).next_multiple_of(8).clamp(16, 48) }
    }

    /// The layers.
    pub fn arch(&self) -> Arch {
        let (c, h) = (self.channels, self.head());
        let mut arch = Arch {
            version: OUR_VERSION,
            conv_in: Conv::new(3, N_PLANES, c),
            matmul_in: Matmul::new(N_GLOBALS, c),
            blocks: (0..self.blocks).map(|i| self.block(i)).collect(),
            norm_tip: norm(c),
            policy: PolicyHead {
                conv_point: Conv::new(1, c, h),
                conv_pool: Conv::new(1, c, h),
                norm_pool: norm(h),
                matmul_bias: Matmul::new(3 * h, h),
                norm_point: norm(h),
                conv_out: Conv::new(1, h, 1),
                pass_hidden: None,
                matmul_pass: Matmul::new(3 * h, 1),
            },
            value: ValueHead {
                conv: Conv::new(1, c, h),
                norm: norm(h),
                matmul_hidden: Matmul::new(3 * h, 2 * h),
                bias_hidden: Bias::new(2 * h, Activation::Relu),
                matmul_value: Matmul::new(2 * h, 3),
                bias_value: Bias::new(3, Activation::Identity),
                matmul_score: Matmul::new(2 * h, score_numbers(OUR_VERSION)),
                bias_score: Bias::new(score_numbers(OUR_VERSION), Activation::Identity),
                conv_ownership: Conv::new(1, h, 1),
            },
            units: ScoreUnits::USUAL,
        };
        arch.place();
        arch
    }

    fn block(&self, i: usize) -> Block {
        let c = self.channels;
        if i % 3 != 1 || c < 2 {
            return Block::Ordinary { norm1: norm(c), conv1: Conv::new(3, c, c), norm2: norm(c), conv2: Conv::new(3, c, c) };
        }
        let pooled = self.pooled();
        let regular = c - pooled;
        Block::Gpool {
            norm1: norm(c),
            conv1: Conv::new(3, c, regular),
            conv_pool: Conv::new(3, c, pooled),
            norm_pool: norm(pooled),
            matmul: Matmul::new(3 * pooled, regular),
            norm2: norm(regular),
            conv2: Conv::new(3, regular, c),
        }
    }

    /// A net with first weights drawn from `seed` (He et al. 2015). The last layer of each block and of each head
    /// starts small, so that the first steps change the trunk and the answers gently.
    pub fn init(&self, seed: u64) -> Net {
        let mut net = Net::zeroed(&self.name(), self.arch());
        let residual = 1.0 / (self.blocks as f32).sqrt();
        for (i, info) in net.layout().params.clone().iter().enumerate() {
            let values = &mut net.params_mut()[info.offset..info.offset + info.len];
            match info.kind {
                ParamKind::Scale => values.fill(1.0),
                ParamKind::Bias => values.fill(0.0),
                ParamKind::Weight => {
                    let fan_in: usize = info.shape[..info.shape.len() - 1].iter().product();
                    let gain = match info.name.as_str() {
                        n if n.ends_with("conv2.weight") => residual,
                        "policy.conv_out.weight" | "policy.matmul_pass.weight" => 0.3,
                        "value.matmul_value.weight" | "value.matmul_score.weight" | "value.conv_ownership.weight" => 0.3,
                        // the three poolings of a channel say nearly the same
                        n if n.contains("matmul") => 0.6,
                        _ => 1.0,
                    };
                    normal(&mut rng(seed, i as u64), gain * (2.0 / fan_in as f32).sqrt(), values);
                }
            }
        }
        net.stats_mut_as_fresh();
        silence_untrained(&mut net);
        net
    }
}

/// The variance of time to the end is not trained: its column of the score head is zero and stays so.
fn silence_untrained(net: &mut Net) {
    let m = net.arch().value.matmul_score;
    for row in net.params_mut()[m.at..m.at + m.c_in * m.c_out].chunks_exact_mut(m.c_out) {
        row[3] = 0.0;
    }
}

fn norm(c: usize) -> Norm {
    let (scale_at, bias_at, stats_at) = (0, 0, 0);
    Norm { c, epsilon: NORM_EPSILON, scale: true, bias: true, act: Activation::Relu, scale_at, bias_at, stats_at }
}

/// Normal numbers by Box and Muller (1958).
fn normal(rng: &mut Rng, stdev: f32, to: &mut [f32]) {
    // in (0, 1], so that the logarithm exists
    let mut uniform = || ((rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
    for pair in to.chunks_mut(2) {
        let (radius, angle) = ((-2.0 * uniform().ln()).sqrt(), std::f64::consts::TAU * uniform());
        let both = [radius * angle.cos(), radius * angle.sin()];
        for (w, z) in pair.iter_mut().zip(both) {
            *w = z as f32 * stdev;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_have_sound_shapes() {
        for name in PRESETS.into_iter().chain(["b1c1", "b1c4", "b60c512"]) {
            let config = NetConfig::named(name).unwrap();
            assert_eq!(config.name(), name);
            config.arch().check(name).unwrap();
        }
        for bad in ["", "b", "c", "b0c32", "b4c0", "b61c8", "b4c513", "b+4c32", "b4c32x", "b4 c32", "b99999999999999999999c1"] {
            assert!(NetConfig::named(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn first_weights_follow_the_seed() {
        let config = NetConfig::named("b2c16").unwrap();
        let (a, b, c) = (config.init(1), config.init(1), config.init(2));
        assert_eq!(a.params(), b.params());
        assert_ne!(a.params(), c.params());
        let conv = a.arch().conv_in;
        let w = &a.params()[conv.at..conv.at + conv.len()];
        let square: f32 = w.iter().map(|w| w * w).sum::<f32>() / w.len() as f32;
        let expected = 2.0 / (9.0 * 22.0);
        assert!((square / expected - 1.0).abs() < 0.1, "{square} {expected}");
    }
}
