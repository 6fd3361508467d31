//! What a net is, for people and programs that look at a file.

use super::Net;
use super::arch::{Arch, Block};
use crate::compute::Activation;
use crate::compute::packed::{N_GLOBALS, N_PLANES};
use serde::Serialize;

/// A net in numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NetSummary {
    /// Its name.
    pub name: String,
    /// KataGo's model version.
    pub version: u32,
    /// Input planes of a board.
    pub planes: usize,
    /// Input numbers beside them.
    pub numbers: usize,
    /// Channels of the trunk.
    pub channels: usize,
    /// Blocks of the trunk.
    pub blocks: usize,
    /// Their kinds in order, with the blocks inside of nested ones.
    pub kinds: Vec<String>,
    /// The activation of the trunk.
    pub activation: Activation,
    /// Sides of the first kernel.
    pub first_kernel: [usize; 2],
    /// Numbers of the score head.
    pub score_numbers: usize,
    /// Learned numbers.
    pub parameters: usize,
    /// Running means and variances.
    pub statistics: usize,
    /// Multiply-and-adds of its convolutions for each point of the board.
    pub products_per_point: usize,
}

impl NetSummary {
    /// Of a net.
    pub fn of(net: &Net) -> NetSummary {
        let arch: &Arch = net.arch();
        NetSummary {
            name: net.name().to_string(),
            version: arch.version,
            planes: N_PLANES,
            numbers: N_GLOBALS,
            channels: arch.channels(),
            blocks: arch.blocks.len(),
            kinds: arch.blocks.iter().map(kind).collect(),
            activation: arch.norm_tip.act,
            first_kernel: arch.conv_in.kernel,
            score_numbers: arch.score_c(),
            parameters: net.params().len(),
            statistics: net.stats().len(),
            products_per_point: arch.conv_weights(),
        }
    }
}

fn kind(block: &Block) -> String {
    match block {
        Block::Ordinary { .. } => "ordinary".to_string(),
        Block::Gpool { .. } => "pooling".to_string(),
        Block::Nested { blocks, .. } => {
            let inner: Vec<String> = blocks.iter().map(kind).collect();
            format!("nested ({})", inner.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::NetConfig;

    #[test]
    fn a_net_in_numbers() {
        let net = NetConfig::named("b3c16").unwrap().init(1);
        let summary = NetSummary::of(&net);
        assert_eq!((summary.blocks, summary.channels, summary.version, summary.first_kernel), (3, 16, 8, [3, 3]));
        assert_eq!(summary.kinds, ["ordinary", "pooling", "ordinary"]);
        assert_eq!(summary.parameters, net.params().len());
    }
}
