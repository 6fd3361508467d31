//! What can play: trait [`Evaluator`] and its backends. Search and the opponent never name a backend.
//!
//! Backends open in the order TensorRT, CUDA, CPU unless one is asked for ([`open`]).

pub mod backend;
pub mod batch;
pub mod cache;
pub mod native;
pub mod post;
pub mod scripted;
mod several;

pub use backend::{Backend, BackendChoice};
pub use batch::{Batcher, Client};
pub use cache::Cache;
pub use post::{NoResult, Output};

use crate::base::{Error, Result};
use crate::compute::Precision;
use crate::net::{Net, katago, tensors};
use native::Native;
use std::path::Path;

/// A position to be evaluated.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// A packed row ([`crate::compute::packed`]) of [`row_bytes`](crate::compute::packed::row_bytes)`(len)` bytes.
    pub row: &'a [u8],
    /// Side of the square array.
    pub len: usize,
    /// The symmetry the network sees it under, 0 to 7 ([`crate::base::symmetry`]); answers are moved back.
    pub symmetry: u8,
}

/// Raw answers for one position, for the player to move. Cells off the board hold [`LOGIT_OFF_BOARD`] and 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Logits, `[len * len + 1]`, pass last.
    pub policy: Vec<f32>,
    /// Logits of win, loss, no result.
    pub value: [f32; 3],
    /// Raw score numbers; those a version lacks are 0.
    pub score: [f32; 6],
    /// Logits before tanh, `[len * len]`.
    pub ownership: Vec<f32>,
    /// KataGo's model version of the net, which says what the score numbers mean.
    pub version: u32,
}

/// Policy logit of a cell that is not on the board.
pub const LOGIT_OFF_BOARD: f32 = f32::NEG_INFINITY;

/// Something that evaluates positions in batches.
pub trait Evaluator: Send {
    /// Evaluates `rows` into the first entries of `out`, which is at least as long; memory of `out` is reused.
    /// Any number of rows; the backend cuts them into batches of at most [`Evaluator::batch_max`].
    fn evaluate(&mut self, rows: &[Request<'_>], out: &mut [Evaluation]) -> Result<()>;

    /// Most positions that are evaluated at once.
    fn batch_max(&self) -> usize;

    /// One line: the net and the backend.
    fn describe(&self) -> String;

    /// Where the GPUs are that compute; none where the processor does.
    fn gpus(&self) -> Vec<crate::device::nvml::Place> {
        Vec::new()
    }

    /// KataGo's model version of the net; 8 is that of ours.
    fn version(&self) -> u32 {
        8
    }

    /// What it looks at; most need the rows.
    fn looks_at(&self) -> Looks {
        Looks::Rows
    }
}

/// What an evaluator looks at in its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// The whole packed row.
    Rows,
    /// Only the size of the array: rows may be of anything.
    Sizes,
}

/// Whether [`read_net`] would try to read a file of this name.
pub fn is_net_name(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("safetensors")) || katago::is_model_name(path)
}

/// Reads a net: ours (`.safetensors`) or KataGo's, by the name.
pub fn read_net(path: &Path) -> Result<Net> {
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("safetensors")) {
        return tensors::open(path);
    }
    if katago::is_model_name(path) {
        return katago::open(path);
    }
    let known = "a checkpoint (.safetensors) or a KataGo net (.bin.gz, .txt.gz, .bin, .txt)";
    Err(Error::new(path.display(), "not a net by its name").hint(known))
}

/// Opens a net on a backend, for batches of at most `batch_max` positions on boards up to 19x19. Where nothing was asked for and a
/// GPU is there that cannot hold the net, the processor does.
pub fn open(path: &Path, backend: &Backend, batch_max: usize) -> Result<Box<dyn Evaluator>> {
    let net = read_net(path)?;
    let on_gpus =
        backend.cuda(Precision::F16)?.into_iter().map(|ops| Native::new(ops, &net, batch_max)).collect::<Result<Vec<_>>>();
    match on_gpus {
        Ok(mut all) if all.len() == 1 => return Ok(Box::new(all.remove(0))),
        Ok(all) if all.len() > 1 => return Ok(Box::new(several::Several::new(all))),
        Ok(_) => {}
        Err(e) => backend.went_on_without(e)?,
    }
    Ok(Box::new(Native::new(backend.processor()?, &net, batch_max)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::packed::PackedRow;
    use crate::net::NetConfig;

    #[test]
    fn nets_open_by_name_and_backend() {
        let dir = std::env::temp_dir().join(format!("edgezero-infer-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let net = NetConfig::named("b1c8").unwrap().init(1);
        let (ours, katagos) = (dir.join("a.safetensors"), dir.join("a.bin.gz"));
        tensors::save(&ours, &net).unwrap();
        katago::save(&katagos, &net).unwrap();
        let mut row = PackedRow::new(9);
        row.set_size(9, 9);
        let request = Request { row: row.bytes(), len: 9, symmetry: 3 };
        let answers = [(&ours, BackendChoice::Auto), (&katagos, BackendChoice::Cpu)].map(|(path, choice)| {
            let mut evaluator = open(path, &Backend { choice, ..Backend::cpu(1) }, 4).unwrap();
            assert_eq!((evaluator.batch_max(), evaluator.describe()), (4, "b1c8 on CPU (threads: 1)".to_string()));
            let mut out = vec![Evaluation::default(); 9];
            evaluator.evaluate(&[request; 9], &mut out).unwrap();
            assert!(evaluator.evaluate(&[request; 9], &mut out[..8]).is_err());
            assert!(evaluator.evaluate(&[Request { len: 8, ..request }], &mut out).is_err());
            assert!(evaluator.evaluate(&[Request { symmetry: 8, ..request }], &mut out).is_err());
            out
        });
        assert!(answers[0] == answers[1] && answers[0].iter().all(|a| a == &answers[0][0]));
        let refused = |path: &Path, choice: BackendChoice, why: &str| {
            let e = open(path, &Backend { choice, ..Backend::cpu(1) }, 4).err().unwrap().to_string();
            assert!(e.contains(why), "{e}");
        };
        refused(&ours, BackendChoice::TensorRt, "or --backend cpu");
        refused(&dir.join("a.onnx"), BackendChoice::Cpu, "not a net by its name");
        assert!(open(&ours, &Backend::cpu(0), 4).is_err() && open(&ours, &Backend::cpu(1), 0).is_err());
        assert!(BackendChoice::parse("cpu").is_ok() && BackendChoice::parse("tpu").is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_script_answers() {
        let mut asked = 0;
        let mut scripted = scripted::Scripted::new(2, |r: &Request<'_>| {
            asked += 1;
            Evaluation::even(r.len)
        });
        let row = PackedRow::new(5);
        let mut out = vec![Evaluation::default(); 3];
        scripted.evaluate(&[Request { row: row.bytes(), len: 5, symmetry: 0 }; 3], &mut out).unwrap();
        assert_eq!((out[2].policy.len(), scripted.batch_max()), (26, 2));
        assert_eq!(asked, 3);
    }
}
