//! Writing a net as KataGo's model version 8, so that KataGo can play it.

use super::tokens::BINARY_MARK;
use crate::base::{Error, Result};
use crate::compute::Activation;
use crate::compute::packed::{N_GLOBALS, N_PLANES};
use crate::net::Net;
use crate::net::arch::*;
use std::fmt::Display;

/// The version written: the last that needs no outputs besides ours.
const VERSION: u32 = 8;
/// Longest model name that KataGo accepts, in bytes.
const NAME_BYTES_MAX: usize = 96;

/// The unpacked content of a `.bin` file. Fails for nets that version 8 cannot express.
pub fn write(net: &Net) -> Result<Vec<u8>> {
    let arch = net.arch();
    if arch.version != VERSION {
        let what = format!("a net of version {} cannot be written as version {VERSION}", arch.version);
        return Err(Error::new(net.name(), what));
    }
    let mut w = Writer { out: Vec::new(), net };
    w.model(arch)?;
    Ok(w.out)
}

struct Writer<'a> {
    out: Vec<u8>,
    net: &'a Net,
}

/// The name with everything that KataGo refuses replaced.
fn model_name(name: &str) -> String {
    let sound = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    let name: String = name.chars().take(NAME_BYTES_MAX).map(sound).collect();
    if name.is_empty() { "edgezero".to_string() } else { name }
}

/// The largest middle, regular and pooled channels of all blocks; GPU backends size their buffers by them.
fn widest(blocks: &[Block]) -> (usize, usize, usize) {
    let mut widest = (1, 1, 1);
    for block in blocks {
        match block {
            Block::Ordinary { conv1, .. } => widest.0 = widest.0.max(conv1.c_out),
            Block::Gpool { conv1, conv_pool, .. } => {
                widest.1 = widest.1.max(conv1.c_out);
                widest.2 = widest.2.max(conv_pool.c_out);
            }
            Block::Nested { .. } => {}
        }
    }
    widest
}

impl Writer<'_> {
    fn word(&mut self, word: impl Display) {
        self.out.extend_from_slice(word.to_string().as_bytes());
        self.out.push(b'\n');
    }

    fn floats(&mut self, numbers: &[f32]) {
        self.out.extend_from_slice(BINARY_MARK);
        self.out.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
        self.out.push(b'\n');
    }

    fn params(&mut self, at: usize, len: usize) {
        let net = self.net;
        self.floats(&net.params()[at..at + len]);
    }

    fn conv(&mut self, name: &str, conv: &Conv) {
        self.word(name);
        for n in [conv.kernel[0], conv.kernel[1], conv.c_in, conv.c_out, 1, 1] {
            self.word(n);
        }
        self.params(conv.at, conv.len());
    }

    fn matmul(&mut self, name: &str, m: &Matmul) {
        self.word(name);
        self.word(m.c_in);
        self.word(m.c_out);
        self.params(m.at, m.c_in * m.c_out);
    }

    fn bias(&mut self, name: &str, bias: &Bias) {
        self.word(name);
        self.word(bias.c);
        self.params(bias.at, bias.c);
    }

    fn norm(&mut self, name: &str, norm: &Norm) -> Result<()> {
        self.word(name);
        self.word(norm.c);
        self.word(norm.epsilon);
        self.word(u8::from(norm.scale));
        self.word(u8::from(norm.bias));
        let net = self.net;
        let c = norm.c;
        self.floats(&net.stats()[norm.stats_at..norm.stats_at + c]);
        self.floats(&net.stats()[norm.stats_at + c..norm.stats_at + 2 * c]);
        if norm.scale {
            self.params(norm.scale_at, c);
        }
        if norm.bias {
            self.params(norm.bias_at, c);
        }
        self.activation(name, norm.act)
    }

    fn activation(&mut self, name: &str, act: Activation) -> Result<()> {
        if act != Activation::Relu {
            return Err(Error::new(
                format!("{} layer {name}", self.net.name()),
                format!("{act:?}: version {VERSION} has ReLU only"),
            ));
        }
        self.word(format_args!("{name}/actv"));
        Ok(())
    }

    fn model(&mut self, arch: &Arch) -> Result<()> {
        self.word(model_name(self.net.name()));
        let (mid, regular, pooled) = widest(&arch.blocks);
        for n in [VERSION as usize, N_PLANES, N_GLOBALS] {
            self.word(n);
        }
        self.word("trunk");
        for n in [arch.blocks.len(), arch.channels(), mid, regular, pooled, pooled] {
            self.word(n);
        }
        self.conv("conv1", &arch.conv_in);
        self.matmul("ginputw", &arch.matmul_in);
        for (i, block) in arch.blocks.iter().enumerate() {
            self.block(&format!("rconv{}", i + 1), block)?;
        }
        self.norm("trunk/norm", &arch.norm_tip)?;
        self.policy(&arch.policy)?;
        self.value(&arch.value)
    }

    fn block(&mut self, name: &str, block: &Block) -> Result<()> {
        let n = |part: &str| format!("{name}/{part}");
        match block {
            Block::Ordinary { norm1, conv1, norm2, conv2 } => {
                self.word("ordinary_block");
                self.word(name);
                self.norm(&n("norm1"), norm1)?;
                self.conv(&n("w1"), conv1);
                self.norm(&n("norm2"), norm2)?;
                self.conv(&n("w2"), conv2);
                Ok(())
            }
            Block::Gpool { norm1, conv1, conv_pool, norm_pool, matmul, norm2, conv2 } => {
                self.word("gpool_block");
                self.word(name);
                self.norm(&n("norm1"), norm1)?;
                self.conv(&n("w1a"), conv1);
                self.conv(&n("w1b"), conv_pool);
                self.norm(&n("norm1b"), norm_pool)?;
                self.matmul(&n("w1r"), matmul);
                self.norm(&n("norm2"), norm2)?;
                self.conv(&n("w2"), conv2);
                Ok(())
            }
            Block::Nested { .. } => Err(Error::new(self.net.name(), format!("version {VERSION} has no nested blocks"))),
        }
    }

    fn policy(&mut self, p: &PolicyHead) -> Result<()> {
        self.word("policyhead");
        self.conv("p1/intermediate_conv/w", &p.conv_point);
        self.conv("g1/w", &p.conv_pool);
        self.norm("g1/norm", &p.norm_pool)?;
        self.matmul("matmulg2w", &p.matmul_bias);
        self.norm("p1/norm", &p.norm_point)?;
        self.conv("p2/w", &p.conv_out);
        self.matmul("matmulpass", &p.matmul_pass);
        Ok(())
    }

    fn value(&mut self, v: &ValueHead) -> Result<()> {
        self.word("valuehead");
        self.conv("v1/w", &v.conv);
        self.norm("v1/norm", &v.norm)?;
        self.matmul("v2/w", &v.matmul_hidden);
        self.bias("v2/b", &v.bias_hidden);
        self.activation("v2", v.bias_hidden.act)?;
        self.matmul("v3/w", &v.matmul_value);
        self.bias("v3/b", &v.bias_value);
        self.matmul("sv3/w", &v.matmul_score);
        self.bias("sv3/b", &v.bias_score);
        self.conv("vownership/w", &v.conv_ownership);
        Ok(())
    }
}
