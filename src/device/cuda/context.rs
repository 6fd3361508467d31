//! A device and its context.

use super::{CapabilityText, Driver, check};
use crate::base::{Error, Result};
use crate::device::nvml::Place;
use cudarc::driver::sys::{self, CUcontext, CUdevice, CUdevice_attribute as Attribute};
use std::ffi::{CStr, c_char};
use std::sync::Arc;

/// The smallest compute capability the kernels are written for: the Nano's.
const CAPABILITY_MIN: (u32, u32) = (5, 3);

/// What a GPU is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Facts {
    /// Its number, from 0.
    pub ordinal: usize,
    /// Its name, such as `Orin` or `NVIDIA H200`.
    pub name: String,
    /// Compute capability: (8, 7) for an Orin.
    pub capability: (u32, u32),
    /// Multiprocessors.
    pub multiprocessors: u32,
    /// Highest clock, in kHz; 0 where the driver does not tell.
    pub clock_khz: u32,
    /// Highest clock of the memory, in kHz; 0 where the driver does not tell.
    pub memory_clock_khz: u32,
    /// Width of the memory bus, in bits.
    pub memory_bus_bits: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of the second-level cache.
    pub cache_bytes: u32,
    /// Bytes of shared memory that a block may have at the most.
    pub shared_bytes_max: u32,
    /// Whether it shares the processor's memory, as on every Jetson.
    pub integrated: bool,
    /// Where it is on the PCI bus.
    pub place: Place,
}

impl Facts {
    /// One line: name and what it is.
    pub fn describe(&self) -> String {
        format!("{} ({}, {} MiB)", self.name, CapabilityText(self.capability), self.memory_bytes >> 20)
    }
}

/// The primary context of a device.
#[derive(Clone, Debug)]
pub struct Context(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    driver: &'static Driver,
    device: CUdevice,
    context: CUcontext,
    facts: Facts,
}

// SAFETY: a context may be made current on any thread.
unsafe impl Send for Inner {}
// SAFETY: as above; the handle itself never changes.
unsafe impl Sync for Inner {}

impl Context {
    /// Opens GPU `ordinal`.
    pub fn open(ordinal: usize) -> Result<Context> {
        let driver = Driver::get()?;
        if ordinal >= driver.count() {
            let what = format!("no GPU {ordinal}, this machine has {}", driver.count());
            return Err(Error::new("CUDA", what).hint("--gpus 0"));
        }
        let mut device = 0;
        // SAFETY: the ordinal is below the count.
        check(unsafe { sys::cuDeviceGet(&mut device, ordinal as i32) }, || format!("GPU {ordinal}"))?;
        let facts = facts(device, ordinal)?;
        if facts.capability < CAPABILITY_MIN {
            let (got, least) = (CapabilityText(facts.capability), CapabilityText(CAPABILITY_MIN));
            let what = format!("{} is too old: {got}, expected {least} or newer", facts.name);
            return Err(Error::new(format!("GPU {ordinal}"), what).hint("--backend cpu"));
        }
        let mut context = std::ptr::null_mut();
        // SAFETY: the device is one; the context is given back when it is dropped.
        let code = unsafe { sys::cuDevicePrimaryCtxRetain(&mut context, device) };
        check(code, || format!("opening GPU {ordinal}, {}", facts.name)).map_err(|e| e.hint("--backend cpu"))?;
        Ok(Context(Arc::new(Inner { driver, device, context, facts })))
    }

    /// What the device is.
    pub fn facts(&self) -> &Facts {
        &self.0.facts
    }

    /// The driver.
    pub fn driver(&self) -> &'static Driver {
        self.0.driver
    }

    /// Bytes of the device's memory that are free, and all.
    pub fn memory(&self) -> Result<(u64, u64)> {
        self.bind()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: a context is current; two numbers are written.
        check(unsafe { sys::cuMemGetInfo_v2(&mut free, &mut total) }, "asking for free memory")?;
        Ok((free as u64, total as u64))
    }

    /// Makes the context this thread's.
    pub(super) fn bind(&self) -> Result<()> {
        // SAFETY: the context is alive.
        check(unsafe { sys::cuCtxSetCurrent(self.0.context) }, || format!("using GPU {}", self.0.facts.ordinal))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.driver.release(self.device);
    }
}

fn facts(device: CUdevice, ordinal: usize) -> Result<Facts> {
    let doing = || format!("asking what GPU {ordinal} is");
    let mut name = [0 as c_char; 128];
    let mut bytes = 0;
    // SAFETY: the device is one; at most as many bytes are written as there are.
    unsafe {
        check(sys::cuDeviceGetName(name.as_mut_ptr(), name.len() as i32, device), doing)?;
        check(sys::cuDeviceTotalMem_v2(&mut bytes, device), doing)?;
    }
    // what a driver does not know is left at 0
    let number = |attribute: Attribute| {
        let mut value = 0;
        // SAFETY: the device is one; one int is written.
        let code = unsafe { sys::cuDeviceGetAttribute(&mut value, attribute, device) };
        if code == sys::CUresult::CUDA_SUCCESS { u32::try_from(value).unwrap_or(0) } else { 0 }
    };
    // SAFETY: the driver ends the name with a zero byte.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().trim().to_string();
    let major = number(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
    let optin = number(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
    Ok(Facts {
        ordinal,
        name,
        capability: (major, number(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)),
        multiprocessors: number(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
        clock_khz: number(Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE),
        memory_clock_khz: number(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE),
        memory_bus_bits: number(Attribute::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH),
        memory_bytes: bytes as u64,
        cache_bytes: number(Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE),
        shared_bytes_max: optin.max(number(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK)),
        integrated: number(Attribute::CU_DEVICE_ATTRIBUTE_INTEGRATED) != 0,
        place: Place {
            domain: number(Attribute::CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID),
            bus: number(Attribute::CU_DEVICE_ATTRIBUTE_PCI_BUS_ID),
            device: number(Attribute::CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID),
        },
    })
}
