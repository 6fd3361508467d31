//! Reading a model file: its grammar turned into an arch and two flat vectors.

use super::tokens::{Numbers, Tokens};
use crate::base::Result;
use crate::compute::Activation;
use crate::compute::packed::{N_GLOBALS, N_PLANES};
use crate::net::Net;
use crate::net::arch::*;

/// Version from which on files tell about features beyond the layers.
const FIRST_WITH_FEATURES: u32 = 15;

/// Reads the content of a model file; `place` names it in errors.
pub fn read(place: &str, bytes: &[u8], numbers: Numbers) -> Result<Net> {
    let mut r = Reader { t: Tokens::new(place, bytes, numbers), version: 0, params: Vec::new(), stats: Vec::new() };
    let name = r.t.word("the model's name")?;
    let arch = r.model()?;
    Net::new(place, name, arch, r.params, r.stats)
}

struct Reader<'a> {
    t: Tokens<'a>,
    version: u32,
    params: Vec<f32>,
    stats: Vec<f32>,
}

impl Reader<'_> {
    fn model(&mut self) -> Result<Arch> {
        let version = self.t.int("the model's version", 1_000_000)? as u32;
        if !VERSIONS.contains(&version) {
            let what = format!("model version {version}, expected {} to {}", VERSIONS.start(), VERSIONS.end());
            return Err(self.t.error(what).hint("a convolutional net of KataGo such as g170-b6c96, or one of ours"));
        }
        self.version = version;
        self.exactly("input planes", N_PLANES)?;
        self.exactly("input numbers", N_GLOBALS)?;
        let units = self.units()?;
        self.features()?;
        self.t.word("the trunk's name")?;
        let n_blocks = self.t.int("number of blocks", BLOCKS_MAX)?;
        let channels = self.count("trunk channels")?;
        for what in ["middle channels", "regular channels"] {
            self.count(what)?;
        }
        self.t.int("dilated channels", CHANNELS_MAX)?;
        self.count("pooled channels")?;
        if version >= FIRST_WITH_FEATURES {
            self.zero("kind of norm", "only plain norms are played")?;
            self.zeros("the trunk", 5)?;
        }
        let conv_in = self.conv("first convolution")?;
        let matmul_in = self.matmul("first matrix")?;
        let blocks = (0..n_blocks).map(|i| self.block(&format!("block {}", i + 1), 0)).collect::<Result<Vec<_>>>()?;
        let norm_tip = self.norm("trunk tip")?;
        if norm_tip.c != channels {
            return Err(self.t.error(format!("the trunk's tip has {} channels, the header says {channels}", norm_tip.c)));
        }
        Ok(Arch { version, conv_in, matmul_in, blocks, norm_tip, policy: self.policy()?, value: self.value()?, units })
    }

    /// What the score numbers are multiplied by.
    fn units(&mut self) -> Result<ScoreUnits> {
        if self.version < 13 {
            return Ok(ScoreUnits::USUAL);
        }
        // That of the mean over time, which is for training only.
        self.t.real("multipliers")?;
        let mut unit = || self.t.real("multipliers");
        Ok(ScoreUnits {
            mean: unit()?,
            stdev: unit()?,
            lead: unit()?,
            variance_time: unit()?,
            winloss_error: unit()?,
            score_error: unit()?,
        })
    }

    /// What a net may need besides the board.
    fn features(&mut self) -> Result<()> {
        if self.version < FIRST_WITH_FEATURES {
            return Ok(());
        }
        self.zero("metadata encoder", "a net that is told about the players (such as KataGo's human nets) is not played")?;
        // Whether it has learnt to prefer what is alive without an answer: nothing for us to do.
        self.t.int("preference for pass-alive", 1)?;
        self.zeros("the inputs", 6)
    }

    /// A number that says, unless it is 0, that the net is of a kind that we do not play.
    fn zero(&mut self, what: &str, why: &str) -> Result<()> {
        match self.t.int(what, 1_000_000)? {
            0 => Ok(()),
            kind => Err(self.t.error(format!("{what} {kind}: {why}"))),
        }
    }

    /// Numbers that are 0 in every net there is.
    fn zeros(&mut self, what: &str, n: usize) -> Result<()> {
        (0..n).try_for_each(|_| self.zero(&format!("an unknown feature of {what}"), "expected 0"))
    }

    fn exactly(&mut self, what: &str, expected: usize) -> Result<()> {
        let got = self.t.int(what, 1_000_000)?;
        if got == expected { Ok(()) } else { Err(self.t.error(format!("{got} {what}, expected {expected}"))) }
    }

    /// A number of channels, at least 1.
    fn count(&mut self, what: &str) -> Result<usize> {
        match self.t.int(what, CHANNELS_MAX)? {
            0 => Err(self.t.error(format!("{what}: 0, expected at least 1"))),
            n => Ok(n),
        }
    }

    /// Appends `shape`'s numbers to the parameters.
    fn weights(&mut self, what: &str, shape: &[usize]) -> Result<()> {
        let len = shape.iter().try_fold(1usize, |a, b| a.checked_mul(*b)).filter(|len| *len <= PARAMS_MAX);
        let len = len.ok_or_else(|| self.t.error(format!("{what}: shape {shape:?} is larger than any net")))?;
        self.t.floats(what, len, &mut self.params)
    }

    fn conv(&mut self, what: &str) -> Result<Conv> {
        self.t.word(what)?;
        let kernel = [self.t.int(what, KERNEL_MAX)?, self.t.int(what, KERNEL_MAX)?];
        let (c_in, c_out) = (self.count(what)?, self.count(what)?);
        let dilation = [self.t.int(what, 1024)?, self.t.int(what, 1024)?];
        if dilation != [1, 1] {
            return Err(self.t.error(format!("{what}: dilation {}x{}, only 1x1 is played", dilation[0], dilation[1])));
        }
        if kernel.iter().any(|k| k % 2 == 0) {
            return Err(self.t.error(format!("{what}: kernel {}x{}, expected odd sides", kernel[0], kernel[1])));
        }
        self.weights(what, &[kernel[0], kernel[1], c_in, c_out])?;
        Ok(Conv { kernel, ..Conv::new(1, c_in, c_out) })
    }

    fn matmul(&mut self, what: &str) -> Result<Matmul> {
        self.t.word(what)?;
        let (c_in, c_out) = (self.count(what)?, self.count(what)?);
        self.weights(what, &[c_in, c_out])?;
        Ok(Matmul::new(c_in, c_out))
    }

    /// A norm and the activation that always follows it.
    fn norm(&mut self, what: &str) -> Result<Norm> {
        self.t.word(what)?;
        let c = self.count(what)?;
        let epsilon = self.t.real(what)?;
        let (scale, bias) = (self.t.flag(what)?, self.t.flag(what)?);
        self.t.floats(&format!("{what}: means"), c, &mut self.stats)?;
        self.t.floats(&format!("{what}: variances"), c, &mut self.stats)?;
        if scale {
            self.weights(&format!("{what}: scale"), &[c])?;
        }
        if bias {
            self.weights(&format!("{what}: bias"), &[c])?;
        }
        let act = self.activation(what)?;
        Ok(Norm { c, epsilon, scale, bias, act, scale_at: 0, bias_at: 0, stats_at: 0 })
    }

    fn activation(&mut self, what: &str) -> Result<Activation> {
        self.t.word(&format!("{what}: activation"))?;
        if self.version < 11 {
            return Ok(Activation::Relu);
        }
        match self.t.word(&format!("{what}: kind of activation"))? {
            "ACTIVATION_IDENTITY" => Ok(Activation::Identity),
            "ACTIVATION_RELU" => Ok(Activation::Relu),
            "ACTIVATION_MISH" => Ok(Activation::Mish),
            "ACTIVATION_SILU" => Ok(Activation::Silu),
            other => Err(self.t.error(format!("{what}: unknown activation '{other}'"))),
        }
    }

    fn bias(&mut self, what: &str) -> Result<Bias> {
        self.t.word(what)?;
        let c = self.count(what)?;
        self.weights(what, &[c])?;
        Ok(Bias::new(c, Activation::Identity))
    }

    fn block(&mut self, what: &str, depth: usize) -> Result<Block> {
        let kind = self.t.word(&format!("{what}: kind"))?;
        let expected = match kind {
            "ordinary_block" | "gpool_block" | "nested_bottleneck_block" => kind,
            other => {
                let known = "ordinary_block, gpool_block or nested_bottleneck_block";
                return Err(self.t.error(format!("{what}: kind '{other}', expected {known}")));
            }
        };
        let name = self.t.word(&format!("{what}: name"))?;
        let what = &format!("{what} ({name})");
        if expected == "nested_bottleneck_block" {
            return self.nested(what, depth);
        }
        let norm1 = self.norm(what)?;
        let conv1 = self.conv(what)?;
        if expected == "ordinary_block" {
            return Ok(Block::Ordinary { norm1, conv1, norm2: self.norm(what)?, conv2: self.conv(what)? });
        }
        Ok(Block::Gpool {
            norm1,
            conv1,
            conv_pool: self.conv(what)?,
            norm_pool: self.norm(what)?,
            matmul: self.matmul(what)?,
            norm2: self.norm(what)?,
            conv2: self.conv(what)?,
        })
    }

    fn nested(&mut self, what: &str, depth: usize) -> Result<Block> {
        if depth >= NESTING_MAX {
            return Err(self.t.error(format!("{what}: nested deeper than {NESTING_MAX} levels")));
        }
        let n = self.t.int(&format!("{what}: number of inner blocks"), BLOCKS_MAX)?;
        let norm1 = self.norm(what)?;
        let conv1 = self.conv(what)?;
        let blocks = (0..n).map(|i| self.block(&format!("{what}: inner {}", i + 1), depth + 1)).collect::<Result<Vec<_>>>()?;
        Ok(Block::Nested { norm1, conv1, blocks, norm2: self.norm(what)?, conv2: self.conv(what)? })
    }

    fn policy(&mut self) -> Result<PolicyHead> {
        self.t.word("the policy head's name")?;
        Ok(PolicyHead {
            conv_point: self.conv("policy head: point convolution")?,
            conv_pool: self.conv("policy head: pooled convolution")?,
            norm_pool: self.norm("policy head: pooled norm")?,
            matmul_bias: self.matmul("policy head: bias matrix")?,
            norm_point: self.norm("policy head: point norm")?,
            conv_out: self.first_conv("policy head: last convolution")?,
            pass_hidden: self.pass_hidden("policy head: hidden pass layer")?,
            matmul_pass: self.first_matmul("policy head: pass matrix")?,
        })
    }

    fn pass_hidden(&mut self, what: &str) -> Result<Option<(Matmul, Bias)>> {
        if self.version < FIRST_WITH_FEATURES {
            return Ok(None);
        }
        let (matmul, mut bias) = (self.matmul(what)?, self.bias(what)?);
        bias.act = self.activation(what)?;
        Ok(Some((matmul, bias)))
    }

    /// Policies that a net of this version has: the first is what the player does, the others are what might surprise, or
    /// what the other does.
    fn n_policies(&self) -> usize {
        match self.version {
            ..12 => 1,
            12..16 => 2,
            16.. => 4,
        }
    }

    /// A convolution to all policies, of which the first stays.
    fn first_conv(&mut self, what: &str) -> Result<Conv> {
        let from = self.params.len();
        let conv = self.conv(what)?;
        Ok(Conv { c_out: self.first_of(what, from, conv.c_out)?, ..conv })
    }

    /// A matrix to all policies, of which the first stays.
    fn first_matmul(&mut self, what: &str) -> Result<Matmul> {
        let from = self.params.len();
        let matmul = self.matmul(what)?;
        Ok(Matmul { c_out: self.first_of(what, from, matmul.c_out)?, ..matmul })
    }

    /// Leaves of the parameters from `from` on, whose last dimension is `n`, the first of every `n`.
    fn first_of(&mut self, what: &str, from: usize, n: usize) -> Result<usize> {
        let expected = self.n_policies();
        if n != expected {
            return Err(self.t.error(format!("{what}: {n} policies, version {} has {expected}", self.version)));
        }
        let first: Vec<f32> = self.params[from..].iter().copied().step_by(n).collect();
        self.params.truncate(from);
        self.params.extend(first);
        Ok(1)
    }

    fn value(&mut self) -> Result<ValueHead> {
        self.t.word("the value head's name")?;
        let conv = self.conv("value head: convolution")?;
        let norm = self.norm("value head: norm")?;
        let matmul_hidden = self.matmul("value head: hidden matrix")?;
        let mut bias_hidden = self.bias("value head: hidden bias")?;
        bias_hidden.act = self.activation("value head: hidden")?;
        Ok(ValueHead {
            conv,
            norm,
            matmul_hidden,
            bias_hidden,
            matmul_value: self.matmul("value head: value matrix")?,
            bias_value: self.bias("value head: value bias")?,
            matmul_score: self.matmul("value head: score matrix")?,
            bias_score: self.bias("value head: score bias")?,
            conv_ownership: self.conv("value head: ownership convolution")?,
        })
    }
}
