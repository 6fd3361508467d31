//! The shape of a network: every layer with its sizes and its place in the flat parameters.
//!
//! An [`Arch`] holds any convolutional KataGo net of versions 8 to 16, of whose policies the first. The places are not stored but follow from
//! the order of the layers, which is the order of KataGo's model files.

use crate::base::{Error, Result};
use crate::compute::packed::{N_GLOBALS, N_PLANES};
use crate::compute::{Activation, Decay, Span};
use serde::{Deserialize, Serialize};

/// Most channels of a layer: KataGo's largest nets have 1024.
pub const CHANNELS_MAX: usize = 4096;
/// Most blocks of one stack: KataGo's largest nets have 60.
pub const BLOCKS_MAX: usize = 256;
/// Deepest nesting of blocks: KataGo's nested blocks hold ordinary ones.
pub const NESTING_MAX: usize = 4;
/// Longest side of a kernel: one that reaches from corner to corner of 19x19.
pub const KERNEL_MAX: usize = 37;
/// Most learned numbers of a net: 2^29 (2 GiB); KataGo's largest convolutional net has 2^27.
pub const PARAMS_MAX: usize = 1 << 29;
/// First and last model version of KataGo that is understood.
pub const VERSIONS: std::ops::RangeInclusive<u32> = 8..=16;

/// A convolution without bias, weights `[kernel_y, kernel_x, c_in, c_out]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv {
    /// Rows and columns of the kernel, odd.
    pub kernel: [usize; 2],
    /// Input channels.
    pub c_in: usize,
    /// Output channels.
    pub c_out: usize,
    #[serde(skip)]
    pub(crate) at: usize,
}

/// A matrix `[c_in, c_out]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matmul {
    /// Input channels.
    pub c_in: usize,
    /// Output channels.
    pub c_out: usize,
    #[serde(skip)]
    pub(crate) at: usize,
}

/// A batch norm with its activation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Norm {
    /// Channels.
    pub c: usize,
    /// Added to the variance.
    pub epsilon: f32,
    /// A learned factor follows the norm.
    pub scale: bool,
    /// A learned offset follows the norm.
    pub bias: bool,
    /// What comes after.
    pub act: Activation,
    #[serde(skip)]
    pub(crate) scale_at: usize,
    #[serde(skip)]
    pub(crate) bias_at: usize,
    /// Mean, then variance, in the flat statistics.
    #[serde(skip)]
    pub(crate) stats_at: usize,
}

/// A bias of a vector and the activation after it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bias {
    /// Channels.
    pub c: usize,
    /// What comes after.
    pub act: Activation,
    #[serde(skip)]
    pub(crate) at: usize,
}

/// A residual block: `t += f(t)`, norm and activation before each convolution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Block {
    /// Two convolutions.
    Ordinary {
        /// Before the first.
        norm1: Norm,
        /// Trunk to middle.
        conv1: Conv,
        /// Before the second.
        norm2: Norm,
        /// Middle to trunk.
        conv2: Conv,
    },
    /// The first convolution's result is biased by a pooled one beside it.
    Gpool {
        /// Before the first.
        norm1: Norm,
        /// Trunk to regular channels.
        conv1: Conv,
        /// Trunk to pooled channels.
        conv_pool: Conv,
        /// Before the pooling.
        norm_pool: Norm,
        /// Pooled numbers to regular channels.
        matmul: Matmul,
        /// Before the last.
        norm2: Norm,
        /// Regular channels to trunk.
        conv2: Conv,
    },
    /// A stack of blocks on fewer channels between two convolutions.
    Nested {
        /// Before the first.
        norm1: Norm,
        /// Trunk to inner trunk.
        conv1: Conv,
        /// On the inner trunk.
        blocks: Vec<Block>,
        /// Before the last.
        norm2: Norm,
        /// Inner trunk to trunk.
        conv2: Conv,
    },
}

/// Move logits: one a point and one for the pass.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct PolicyHead {
    pub conv_point: Conv,
    pub conv_pool: Conv,
    pub norm_pool: Norm,
    pub matmul_bias: Matmul,
    pub norm_point: Norm,
    pub conv_out: Conv,
    /// Between the pooled numbers and the last matrix of the pass, from version 15 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass_hidden: Option<(Matmul, Bias)>,
    pub matmul_pass: Matmul,
}

/// Win, loss, no result; score numbers; ownership.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ValueHead {
    pub conv: Conv,
    pub norm: Norm,
    pub matmul_hidden: Matmul,
    pub bias_hidden: Bias,
    pub matmul_value: Matmul,
    pub bias_value: Bias,
    pub matmul_score: Matmul,
    pub bias_score: Bias,
    pub conv_ownership: Conv,
}

/// A whole network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Arch {
    /// KataGo's model version, which says what the score numbers mean.
    pub version: u32,
    pub conv_in: Conv,
    pub matmul_in: Matmul,
    pub blocks: Vec<Block>,
    pub norm_tip: Norm,
    pub policy: PolicyHead,
    pub value: ValueHead,
    /// What the score numbers are multiplied by.
    #[serde(default, skip_serializing_if = "ScoreUnits::are_usual")]
    pub units: ScoreUnits,
}

/// What the numbers of the score head are multiplied by, which files state from version 13 on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreUnits {
    /// Of the expected score, in points.
    pub mean: f32,
    /// Of its standard deviation, in points.
    pub stdev: f32,
    /// Of the lead, in points.
    pub lead: f32,
    /// Of the variance of the time to the end.
    pub variance_time: f32,
    /// Of the square of the error of win minus loss.
    pub winloss_error: f32,
    /// Of the square of the error of the score.
    pub score_error: f32,
}

impl ScoreUnits {
    /// Those of all nets before version 13.
    pub const USUAL: ScoreUnits =
        ScoreUnits { mean: 20.0, stdev: 20.0, lead: 20.0, variance_time: 40.0, winloss_error: 0.25, score_error: 30.0 };

    /// Whether they are [`ScoreUnits::USUAL`].
    pub fn are_usual(&self) -> bool {
        *self == ScoreUnits::USUAL
    }

    fn check(&self) -> Result<()> {
        let all = [self.mean, self.stdev, self.lead, self.variance_time, self.winloss_error, self.score_error];
        match all.iter().find(|unit| !(unit.is_finite() && **unit > 0.0)) {
            Some(unit) => wrong("units", format!("{unit}, expected more than 0")),
            None => Ok(()),
        }
    }
}

impl Default for ScoreUnits {
    fn default() -> ScoreUnits {
        ScoreUnits::USUAL
    }
}

/// What a range of the flat parameters is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// Weights of a convolution or a matrix: weight decay applies.
    Weight,
    /// Factor of a norm: no decay.
    Scale,
    /// Offset of a norm or a vector: no decay.
    Bias,
}

/// One tensor of the flat parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamInfo {
    /// Unique path, such as `blocks.2.conv1.weight`.
    pub name: String,
    /// Row-major shape.
    pub shape: Vec<usize>,
    /// First element.
    pub offset: usize,
    /// Elements.
    pub len: usize,
    /// What it is.
    pub kind: ParamKind,
}

/// One tensor of the flat statistics: `…running_mean` or `…running_var`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatInfo {
    /// Unique path.
    pub name: String,
    /// First element.
    pub offset: usize,
    /// Elements.
    pub len: usize,
}

/// The tables of the two flat vectors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Learned numbers.
    pub params: Vec<ParamInfo>,
    /// Running means and variances.
    pub stats: Vec<StatInfo>,
}

impl Layout {
    /// Elements of the flat parameters.
    pub fn params_len(&self) -> usize {
        self.params.last().map_or(0, |p| p.offset + p.len)
    }

    /// Elements of the flat statistics.
    pub fn stats_len(&self) -> usize {
        self.stats.last().map_or(0, |s| s.offset + s.len)
    }

    /// The parameters as spans with one decay rule each, neighbours joined.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for p in &self.params {
            let decay = if p.kind == ParamKind::Weight { Decay::On } else { Decay::Off };
            match spans.last_mut() {
                Some(last) if last.decay == decay => last.len += p.len,
                _ => spans.push(Span { at: p.offset, len: p.len, decay }),
            }
        }
        spans
    }

    fn param(&mut self, name: String, shape: &[usize], kind: ParamKind) -> usize {
        let offset = self.params_len();
        let len = shape.iter().product();
        self.params.push(ParamInfo { name, shape: shape.to_vec(), offset, len, kind });
        offset
    }

    fn stat(&mut self, name: String, len: usize) -> usize {
        let offset = self.stats_len();
        self.stats.push(StatInfo { name, offset, len });
        offset
    }
}

impl Conv {
    pub(crate) fn new(kernel: usize, c_in: usize, c_out: usize) -> Conv {
        Conv { kernel: [kernel, kernel], c_in, c_out, at: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.c_in * self.c_out
    }

    fn place(&mut self, name: &str, layout: &mut Layout) {
        let shape = [self.kernel[0], self.kernel[1], self.c_in, self.c_out];
        self.at = layout.param(format!("{name}.weight"), &shape, ParamKind::Weight);
    }

    fn check(&self, name: &str, c_in: usize, c_out: Option<usize>) -> Result<usize> {
        if self.kernel.iter().any(|k| k % 2 == 0 || *k > KERNEL_MAX) {
            return wrong(name, format!("kernel {}x{}, expected odd and at most {KERNEL_MAX}", self.kernel[0], self.kernel[1]));
        }
        channels(name, (self.c_in, self.c_out), c_in, c_out)
    }
}

impl Matmul {
    pub(crate) fn new(c_in: usize, c_out: usize) -> Matmul {
        Matmul { c_in, c_out, at: 0 }
    }

    fn place(&mut self, name: &str, layout: &mut Layout) {
        self.at = layout.param(format!("{name}.weight"), &[self.c_in, self.c_out], ParamKind::Weight);
    }

    fn check(&self, name: &str, c_in: usize, c_out: Option<usize>) -> Result<usize> {
        channels(name, (self.c_in, self.c_out), c_in, c_out)
    }
}

impl Norm {
    fn place(&mut self, name: &str, layout: &mut Layout) {
        self.stats_at = layout.stat(format!("{name}.running_mean"), self.c);
        layout.stat(format!("{name}.running_var"), self.c);
        if self.scale {
            self.scale_at = layout.param(format!("{name}.scale"), &[self.c], ParamKind::Scale);
        }
        if self.bias {
            self.bias_at = layout.param(format!("{name}.bias"), &[self.c], ParamKind::Bias);
        }
    }

    fn check(&self, name: &str, c: usize) -> Result<()> {
        if self.c != c {
            return wrong(name, format!("{} channels, expected {c}", self.c));
        }
        if !(self.epsilon.is_finite() && self.epsilon >= 0.0) {
            return wrong(name, format!("epsilon {}, expected a small positive number", self.epsilon));
        }
        Ok(())
    }
}

impl Bias {
    pub(crate) fn new(c: usize, act: Activation) -> Bias {
        Bias { c, act, at: 0 }
    }

    fn place(&mut self, name: &str, layout: &mut Layout) {
        self.at = layout.param(format!("{name}.bias"), &[self.c], ParamKind::Bias);
    }

    fn check(&self, name: &str, c: usize) -> Result<()> {
        if self.c != c { wrong(name, format!("{} channels, expected {c}", self.c)) } else { Ok(()) }
    }
}

impl Block {
    fn place(&mut self, name: &str, layout: &mut Layout) {
        let n = |part: &str| format!("{name}.{part}");
        match self {
            Block::Ordinary { norm1, conv1, norm2, conv2 } => {
                norm1.place(&n("norm1"), layout);
                conv1.place(&n("conv1"), layout);
                norm2.place(&n("norm2"), layout);
                conv2.place(&n("conv2"), layout);
            }
            Block::Gpool { norm1, conv1, conv_pool, norm_pool, matmul, norm2, conv2 } => {
                norm1.place(&n("norm1"), layout);
                conv1.place(&n("conv1"), layout);
                conv_pool.place(&n("conv_pool"), layout);
                norm_pool.place(&n("norm_pool"), layout);
                matmul.place(&n("matmul"), layout);
                norm2.place(&n("norm2"), layout);
                conv2.place(&n("conv2"), layout);
            }
            Block::Nested { norm1, conv1, blocks, norm2, conv2 } => {
                norm1.place(&n("norm1"), layout);
                conv1.place(&n("conv1"), layout);
                for (i, block) in blocks.iter_mut().enumerate() {
                    block.place(&format!("{name}.blocks.{i}"), layout);
                }
                norm2.place(&n("norm2"), layout);
                conv2.place(&n("conv2"), layout);
            }
        }
    }

    fn check(&self, name: &str, c: usize, depth: usize) -> Result<()> {
        let n = |part: &str| format!("{name}.{part}");
        let (norm1, norm2, conv2, mid) = match self {
            Block::Ordinary { norm1, conv1, norm2, conv2 } => (norm1, norm2, conv2, conv1.check(&n("conv1"), c, None)?),
            Block::Gpool { norm1, conv1, conv_pool, norm_pool, matmul, norm2, conv2 } => {
                let mid = conv1.check(&n("conv1"), c, None)?;
                let pooled = conv_pool.check(&n("conv_pool"), c, None)?;
                norm_pool.check(&n("norm_pool"), pooled)?;
                matmul.check(&n("matmul"), 3 * pooled, Some(mid))?;
                (norm1, norm2, conv2, mid)
            }
            Block::Nested { norm1, conv1, blocks, norm2, conv2 } => {
                let mid = conv1.check(&n("conv1"), c, None)?;
                if depth >= NESTING_MAX {
                    return wrong(name, format!("nested deeper than {NESTING_MAX} levels"));
                }
                check_blocks(&n("blocks"), blocks, mid, depth + 1)?;
                (norm1, norm2, conv2, mid)
            }
        };
        norm1.check(&n("norm1"), c)?;
        norm2.check(&n("norm2"), mid)?;
        conv2.check(&n("conv2"), mid, Some(c)).map(|_| ())
    }
}

fn check_blocks(name: &str, blocks: &[Block], c: usize, depth: usize) -> Result<()> {
    if blocks.is_empty() || blocks.len() > BLOCKS_MAX {
        return wrong(name, format!("{} blocks, expected 1 to {BLOCKS_MAX}", blocks.len()));
    }
    blocks.iter().enumerate().try_for_each(|(i, b)| b.check(&format!("{name}.{i}"), c, depth))
}

impl Arch {
    /// Numbers of the score head of this version.
    pub fn score_c(&self) -> usize {
        self.value.bias_score.c
    }

    /// Channels of the trunk.
    pub fn channels(&self) -> usize {
        self.conv_in.c_out
    }

    /// Checks that neighbouring layers fit and that sizes are within the limits; `place` names the file in errors.
    pub fn check(&self, place: &str) -> Result<()> {
        self.check_layers().map_err(|e| Error::new(place, e))
    }

    fn check_layers(&self) -> Result<()> {
        if !VERSIONS.contains(&self.version) {
            return wrong("version", format!("{}, expected {} to {}", self.version, VERSIONS.start(), VERSIONS.end()));
        }
        let c = self.conv_in.check("conv_in", N_PLANES, None)?;
        self.matmul_in.check("matmul_in", N_GLOBALS, Some(c))?;
        check_blocks("blocks", &self.blocks, c, 0)?;
        self.norm_tip.check("norm_tip", c)?;
        let p = &self.policy;
        let points = p.conv_point.check("policy.conv_point", c, None)?;
        let pooled = p.conv_pool.check("policy.conv_pool", c, None)?;
        p.norm_pool.check("policy.norm_pool", pooled)?;
        p.matmul_bias.check("policy.matmul_bias", 3 * pooled, Some(points))?;
        p.norm_point.check("policy.norm_point", points)?;
        p.conv_out.check("policy.conv_out", points, Some(1))?;
        let hidden = match &p.pass_hidden {
            Some((matmul, bias)) => {
                let hidden = matmul.check("policy.pass_hidden", 3 * pooled, None)?;
                bias.check("policy.pass_hidden", hidden)?;
                hidden
            }
            None => 3 * pooled,
        };
        p.matmul_pass.check("policy.matmul_pass", hidden, Some(1))?;
        self.units.check()?;
        let v = &self.value;
        let channels = v.conv.check("value.conv", c, None)?;
        v.norm.check("value.norm", channels)?;
        let hidden = v.matmul_hidden.check("value.matmul_hidden", 3 * channels, None)?;
        v.bias_hidden.check("value.bias_hidden", hidden)?;
        v.matmul_value.check("value.matmul_value", hidden, Some(3))?;
        v.bias_value.check("value.bias_value", 3)?;
        let score_c = score_numbers(self.version);
        v.matmul_score.check("value.matmul_score", hidden, Some(score_c))?;
        v.bias_score.check("value.bias_score", score_c)?;
        v.conv_ownership.check("value.conv_ownership", channels, Some(1))?;
        Ok(())
    }

    /// Weights of all convolutions: multiply-and-adds a point.
    pub fn conv_weights(&self) -> usize {
        let layout = self.clone().place();
        layout.params.iter().filter(|p| p.shape.len() == 4).map(|p| p.len).sum()
    }

    /// Sets the places of all layers and lists them. Call after [`Arch::check`].
    pub(crate) fn place(&mut self) -> Layout {
        let mut layout = Layout::default();
        let l = &mut layout;
        self.conv_in.place("conv_in", l);
        self.matmul_in.place("matmul_in", l);
        for (i, block) in self.blocks.iter_mut().enumerate() {
            block.place(&format!("blocks.{i}"), l);
        }
        self.norm_tip.place("norm_tip", l);
        let p = &mut self.policy;
        p.conv_point.place("policy.conv_point", l);
        p.conv_pool.place("policy.conv_pool", l);
        p.norm_pool.place("policy.norm_pool", l);
        p.matmul_bias.place("policy.matmul_bias", l);
        p.norm_point.place("policy.norm_point", l);
        p.conv_out.place("policy.conv_out", l);
        if let Some((matmul, bias)) = &mut p.pass_hidden {
            matmul.place("policy.pass_hidden", l);
            bias.place("policy.pass_hidden", l);
        }
        p.matmul_pass.place("policy.matmul_pass", l);
        let v = &mut self.value;
        v.conv.place("value.conv", l);
        v.norm.place("value.norm", l);
        v.matmul_hidden.place("value.matmul_hidden", l);
        v.bias_hidden.place("value.bias_hidden", l);
        v.matmul_value.place("value.matmul_value", l);
        v.bias_value.place("value.bias_value", l);
        v.matmul_score.place("value.matmul_score", l);
        v.bias_score.place("value.bias_score", l);
        v.conv_ownership.place("value.conv_ownership", l);
        layout
    }
}

/// Numbers of the score head by KataGo's model version.
pub fn score_numbers(version: u32) -> usize {
    if version >= 9 { 6 } else { 4 }
}

fn channels(name: &str, (c_in, c_out): (usize, usize), want_in: usize, want_out: Option<usize>) -> Result<usize> {
    if c_in != want_in {
        return wrong(name, format!("{c_in} input channels, expected {want_in}"));
    }
    if let Some(want) = want_out.filter(|want| *want != c_out) {
        return wrong(name, format!("{c_out} output channels, expected {want}"));
    }
    if c_out == 0 || c_out > CHANNELS_MAX {
        return wrong(name, format!("{c_out} output channels, expected 1 to {CHANNELS_MAX}"));
    }
    Ok(c_out)
}

fn wrong<T>(layer: &str, what: String) -> Result<T> {
    Err(Error::new(layer, what))
}
