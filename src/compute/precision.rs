//! What convolutions round to.

use crate::base::{Error, Result};
use serde::Serialize;

/// What convolutions round their factors to, and on a GPU points between operations are kept in. Sums that grow long, and everything
/// else, are f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Nothing.
    F32,
    /// 11 bits and a small range: on tensor cores since sm_70, in pairs on sm_53 and sm_62, in NEON since ARMv8.2. Enough to play.
    F16,
    /// 8 bits and the range of f32, on tensor cores since sm_80; f16 on those before.
    Bf16,
}

impl Precision {
    /// The largest relative error of rounding once.
    pub fn rounding(self) -> f32 {
        match self {
            Precision::F32 => 0.0,
            Precision::F16 => 1.0 / 2048.0,
            Precision::Bf16 => 1.0 / 256.0,
        }
    }

    /// Reads `f32`, `f16`, `bf16`; `auto`, which is what each backend does best, is none.
    pub fn parse(text: &str) -> Result<Option<Precision>> {
        match text {
            "auto" => Ok(None),
            "f32" => Ok(Some(Precision::F32)),
            "f16" => Ok(Some(Precision::F16)),
            "bf16" => Ok(Some(Precision::Bf16)),
            other => Err(Error::call("--precision", format!("'{other}', expected auto, f32, f16 or bf16"))),
        }
    }
}
