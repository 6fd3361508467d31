//! Which backend computes: what was asked for, and what opens.

use crate::base::{Error, Result};
use crate::compute::Precision;
use crate::compute::cpu::CpuOps;
use crate::compute::cuda::CudaOps;

/// Most GPUs of a run: as many as a large machine has.
const GPUS_MAX: usize = 16;

/// A backend asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendChoice {
    /// The first that opens.
    Auto,
    /// TensorRT.
    TensorRt,
    /// CUDA.
    Cuda,
    /// The processor.
    Cpu,
}

impl BackendChoice {
    /// Reads `auto`, `tensorrt`, `cuda`, `cpu`.
    pub fn parse(text: &str) -> Result<BackendChoice> {
        match text {
            "auto" => Ok(BackendChoice::Auto),
            "tensorrt" => Ok(BackendChoice::TensorRt),
            "cuda" => Ok(BackendChoice::Cuda),
            "cpu" => Ok(BackendChoice::Cpu),
            other => Err(Error::call("--backend", format!("'{other}', expected auto, tensorrt, cuda or cpu"))),
        }
    }
}

/// What was asked to compute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// The kind.
    pub choice: BackendChoice,
    /// GPUs by their numbers; none: the first.
    pub gpus: Vec<usize>,
    /// Threads of the processor, 1 or more.
    pub threads: usize,
    /// What convolutions round to; none: what the backend does best.
    pub precision: Option<Precision>,
}

impl Backend {
    /// The processor.
    pub fn cpu(threads: usize) -> Backend {
        Backend { choice: BackendChoice::Cpu, gpus: Vec::new(), threads, precision: None }
    }

    /// The CUDA backend on each GPU that is to be used; none where the processor computes instead, which is told. It rounds to
    /// `best` where nothing else was asked for. Fails where CUDA was asked for and does not open.
    pub fn cuda(&self, best: Precision) -> Result<Vec<CudaOps>> {
        match self.choice {
            BackendChoice::Cpu => return Ok(Vec::new()),
            BackendChoice::TensorRt => {
                let hint = "--backend cuda, or --backend cpu";
                return Err(Error::new("--backend tensorrt", "this build has no TensorRT backend").hint(hint));
            }
            BackendChoice::Auto | BackendChoice::Cuda => {}
        }
        let gpus = if self.gpus.is_empty() { &[0][..] } else { &self.gpus };
        gpus.iter()
            .map(|gpu| CudaOps::new(*gpu, self.precision.unwrap_or(best)))
            .collect::<Result<Vec<_>>>()
            .or_else(|e| self.went_on_without(e).map(|()| Vec::new()))
    }

    /// The processor, to play. It is f32 unless something else was asked for; where it has no such arithmetic a line tells.
    pub fn processor(&self) -> Result<CpuOps> {
        let asked = self.precision.unwrap_or(Precision::F32);
        let ops = CpuOps::with_precision(self.threads, asked)?;
        match (asked, ops.precision()) {
            (Precision::F16, Precision::F32) => {
                log::info!("precision: f32 (this processor does not compute with f16, as Carmel and Cortex-A78AE do)");
            }
            (Precision::Bf16, _) => log::info!("precision: f32 (the CPU backend has f32 and f16)"),
            _ => {}
        }
        Ok(ops)
    }

    /// Tells in a line why the GPU is not used, unless it was asked for.
    pub fn went_on_without(&self, e: Error) -> Result<()> {
        if self.choice == BackendChoice::Auto && self.gpus.is_empty() {
            log::info!("backend: cpu ({})", e.to_string().lines().next().unwrap_or_default());
            return Ok(());
        }
        Err(e)
    }
}

/// Reads `0` or `0,1`.
pub fn parse_gpus(text: &str) -> Result<Vec<usize>> {
    let wrong = || Error::call("--gpus", format!("'{text}', expected numbers of GPUs such as 0 or 0,1, each once"));
    let gpus = text.split(',').map(|number| number.trim().parse().map_err(|_| wrong())).collect::<Result<Vec<usize>>>()?;
    let is_new = |(i, gpu): (usize, &usize)| !gpus[..i].contains(gpu);
    if gpus.len() <= GPUS_MAX && gpus.iter().enumerate().all(is_new) { Ok(gpus) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_read() {
        assert_eq!(parse_gpus("0").unwrap(), [0]);
        assert_eq!(parse_gpus("2, 0").unwrap(), [2, 0]);
        for wrong in ["", "a", "0,0", "-1", "0,"] {
            assert_eq!(parse_gpus(wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }

    #[test]
    fn the_processor_rounds_where_it_can() {
        let ops = |precision| Backend { precision, ..Backend::cpu(1) }.processor().unwrap().precision();
        assert_eq!([None, Some(Precision::F32), Some(Precision::Bf16)].map(ops), [Precision::F32; 3]);
        assert_eq!(ops(Some(Precision::F16)) == Precision::F16, CpuOps::has_f16());
        assert_eq!(Precision::parse("f8").unwrap_err().exit_code(), 2);
        assert_eq!((Precision::parse("auto").unwrap(), Precision::parse("f16").unwrap()), (None, Some(Precision::F16)));
    }
}
