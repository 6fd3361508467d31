//! The driver library: whether it is there, how old it is, and what it can do.

use super::{check, told};
use crate::base::{Error, Result};
use cudarc::driver::sys::{self, CUgraph, CUgraphExec, CUgraphNode, CUresult};
use std::ffi::{c_char, c_int};
use std::fmt;
use std::sync::OnceLock;

/// The oldest CUDA version this was made for: JetPack 4.6 of the Nano.
const OLDEST: c_int = 10_020;

/// Every function that is called through cudarc and is there since [`OLDEST`].
const NEEDED: [&str; 45] = [
    "cuInit",
    "cuDriverGetVersion",
    "cuGetErrorName",
    "cuGetErrorString",
    "cuDeviceGet",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDeviceGetAttribute",
    "cuDeviceTotalMem_v2",
    "cuDevicePrimaryCtxRetain",
    "cuCtxSetCurrent",
    "cuCtxSynchronize",
    "cuMemGetInfo_v2",
    "cuMemAlloc_v2",
    "cuMemFree_v2",
    "cuMemHostAlloc",
    "cuMemFreeHost",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyDtoDAsync_v2",
    "cuMemsetD32Async",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamSynchronize",
    "cuStreamQuery",
    "cuStreamWaitEvent",
    "cuStreamBeginCapture_v2",
    "cuStreamEndCapture",
    "cuStreamIsCapturing",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventRecord",
    "cuEventQuery",
    "cuEventSynchronize",
    "cuEventElapsedTime",
    "cuGraphLaunch",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuModuleGetFunction",
    "cuFuncGetAttribute",
    "cuFuncSetAttribute",
    "cuLaunchKernel",
    "cuOccupancyMaxActiveBlocksPerMultiprocessor",
];

/// `cuGraphInstantiate` as it was before CUDA 12, and `cuGraphInstantiate_v2`.
type InstantiateOld = unsafe extern "C" fn(*mut CUgraphExec, CUgraph, *mut CUgraphNode, *mut c_char, usize) -> CUresult;
/// `cuDevicePrimaryCtxRelease` in both its versions.
type Release = unsafe extern "C" fn(sys::CUdevice) -> CUresult;

/// The driver, ready for calls.
#[derive(Debug)]
pub struct Driver {
    version: c_int,
    instantiate: Instantiate,
    release: Release,
    count: usize,
}

/// How this driver makes a captured graph ready to run.
#[derive(Debug)]
enum Instantiate {
    /// Since CUDA 11.4.
    WithFlags,
    /// Before.
    Old(InstantiateOld),
}

/// `11.4` for 11040.
pub struct VersionText(pub u32);

impl fmt::Display for VersionText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 1000, self.0 % 1000 / 10)
    }
}

/// `sm_87` for (8, 7).
pub struct CapabilityText(pub (u32, u32));

impl fmt::Display for CapabilityText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sm_{}{}", self.0.0, self.0.1)
    }
}

impl Driver {
    /// The driver of this machine, looked for once.
    pub fn get() -> Result<&'static Driver> {
        static DRIVER: OnceLock<Result<Driver>> = OnceLock::new();
        DRIVER.get_or_init(Driver::load).as_ref().map_err(Clone::clone)
    }

    fn load() -> Result<Driver> {
        let hint = "--backend cpu, or a machine with an NVIDIA GPU and its driver";
        // SAFETY: loading a shared library runs its initialisers; libcuda's are meant for that.
        if !unsafe { sys::is_culib_present() } {
            return Err(Error::new("CUDA", "no libcuda.so on this machine").hint(hint));
        }
        let missing: Vec<&str> = NEEDED.into_iter().filter(|name| !has(name)).collect();
        if let Some(first) = missing.first() {
            let others = if missing.len() > 1 { format!(" and {} more", missing.len() - 1) } else { String::new() };
            let what = format!("libcuda.so lacks {first}{others}, expected CUDA {} or newer", VersionText(OLDEST as u32));
            return Err(Error::new("CUDA", what).hint("a newer driver (on a Jetson: JetPack 4.6 or newer), or --backend cpu"));
        }
        let mut version = 0;
        // SAFETY: the function is there and writes one int; it may be called before cuInit.
        check(unsafe { sys::cuDriverGetVersion(&mut version) }, "asking for CUDA's version")?;
        if version < OLDEST {
            let [got, oldest] = [version, OLDEST].map(|v| VersionText(v as u32));
            let what = format!("the driver is of CUDA {got}, expected {oldest} or newer");
            return Err(Error::new("CUDA", what).hint("a newer driver (on a Jetson: JetPack 4.6 or newer), or --backend cpu"));
        }
        // SAFETY: the function is there; 0 is the only flag.
        match unsafe { sys::cuInit(0) } {
            CUresult::CUDA_SUCCESS => {}
            CUresult::CUDA_ERROR_NO_DEVICE => return Err(Error::new("CUDA", "no GPU on this machine").hint(hint)),
            code => return Err(Error::new("starting CUDA", told(code)).hint("nvidia-smi, which may say more; or --backend cpu")),
        }
        let mut count = 0;
        // SAFETY: the function is there and writes one int.
        check(unsafe { sys::cuDeviceGetCount(&mut count) }, "counting GPUs")?;
        if count == 0 {
            return Err(Error::new("CUDA", "no GPU on this machine").hint(hint));
        }
        Ok(Driver { version, instantiate: Instantiate::find()?, release: release()?, count: count as usize })
    }

    /// CUDA's version times a thousand: 11040 for 11.4.
    pub fn version(&self) -> u32 {
        self.version as u32
    }

    /// GPUs of this machine, at least 1.
    pub fn count(&self) -> usize {
        self.count
    }

    /// A graph ready to run.
    pub(super) fn instantiate(&self, graph: CUgraph) -> Result<CUgraphExec> {
        let mut exec = std::ptr::null_mut();
        // SAFETY: the graph is alive, `exec` is written, and the function has the signature it is called with.
        let code = unsafe {
            match self.instantiate {
                Instantiate::WithFlags => sys::cuGraphInstantiateWithFlags(&mut exec, graph, 0),
                Instantiate::Old(f) => f(&mut exec, graph, std::ptr::null_mut(), std::ptr::null_mut(), 0),
            }
        };
        check(code, "making a captured graph ready")?;
        Ok(exec)
    }

    /// Gives a primary context back.
    pub(super) fn release(&self, device: sys::CUdevice) {
        // SAFETY: the function has this signature in both versions; a context that is already gone is an error that nobody needs.
        let _ = unsafe { (self.release)(device) };
    }
}

impl Instantiate {
    fn find() -> Result<Instantiate> {
        if has("cuGraphInstantiateWithFlags") {
            return Ok(Instantiate::WithFlags);
        }
        for name in ["cuGraphInstantiate_v2", "cuGraphInstantiate"] {
            // SAFETY: before cuGraphInstantiateWithFlags came, both names had this signature.
            if let Some(f) = unsafe { symbol::<InstantiateOld>(name) } {
                return Ok(Instantiate::Old(f));
            }
        }
        Err(Error::new("CUDA", "libcuda.so lacks cuGraphInstantiate").hint("a newer driver, or --backend cpu"))
    }
}

fn release() -> Result<Release> {
    for name in ["cuDevicePrimaryCtxRelease_v2", "cuDevicePrimaryCtxRelease"] {
        // SAFETY: both versions have this signature.
        if let Some(f) = unsafe { symbol::<Release>(name) } {
            return Ok(f);
        }
    }
    Err(Error::new("CUDA", "libcuda.so lacks cuDevicePrimaryCtxRelease").hint("a newer driver, or --backend cpu"))
}

/// Whether the driver library, which is present, has a function.
fn has(name: &str) -> bool {
    // SAFETY: the address is only compared, never called.
    unsafe { symbol::<*const ()>(name) }.is_some()
}

/// # Safety
/// `F` is the type of the function of this name.
unsafe fn symbol<F: Copy>(name: &str) -> Option<F> {
    // SAFETY: `culib` may be called as the library is present; the caller's promise.
    unsafe { sys::culib().get::<F>(name.as_bytes()).ok().map(|f| *f) }
}
