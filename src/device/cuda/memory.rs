//! Memory of a device, and memory of the host that a device copies from without waiting.

use super::{Context, Stream, check, told};
use crate::base::{Error, Result};
use cudarc::driver::sys::{self, CUdeviceptr, CUresult};
use std::ffi::c_void;

/// Memory of a device.
#[derive(Debug)]
pub struct Buffer {
    context: Context,
    address: CUdeviceptr,
    bytes: usize,
}

impl Buffer {
    /// `bytes` of memory, at least one; it holds anything.
    pub fn new(context: &Context, bytes: usize) -> Result<Buffer> {
        context.bind()?;
        let bytes = bytes.max(1);
        let mut address = 0;
        // SAFETY: a context is current; an address is written.
        match unsafe { sys::cuMemAlloc_v2(&mut address, bytes) } {
            CUresult::CUDA_SUCCESS => Ok(Buffer { context: context.clone(), address, bytes }),
            code => Err(no_memory(context, bytes, code)),
        }
    }

    /// Where it begins, for the device.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Its size.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // SAFETY: the address came from cuMemAlloc and is freed once; the driver waits for what uses it.
            let _ = unsafe { sys::cuMemFree_v2(self.address) };
        }
    }
}

fn no_memory(context: &Context, bytes: usize, code: CUresult) -> Error {
    let free =
        context.memory().map_or(String::new(), |(free, total)| format!("; {} of {} MiB are free", free >> 20, total >> 20));
    let place = format!("allocating {bytes} bytes on GPU {}", context.facts().ordinal);
    Error::new(place, format!("{}{free}", told(code))).hint("a smaller batch, a smaller net, or --backend cpu")
}

/// Page-locked memory of the host.
#[derive(Debug)]
pub struct Pinned {
    context: Context,
    at: *mut u8,
    bytes: usize,
}

// SAFETY: it is memory that only the owner reaches.
unsafe impl Send for Pinned {}
// SAFETY: shared references only read.
unsafe impl Sync for Pinned {}

impl Pinned {
    /// `bytes` of zeros, at least one.
    pub fn new(context: &Context, bytes: usize) -> Result<Pinned> {
        context.bind()?;
        let bytes = bytes.max(1);
        let mut at: *mut c_void = std::ptr::null_mut();
        // SAFETY: a context is current; an address is written. 0: plain page-locked memory.
        let code = unsafe { sys::cuMemHostAlloc(&mut at, bytes, 0) };
        check(code, || format!("allocating {bytes} bytes of page-locked memory"))?;
        // SAFETY: the memory has that many bytes.
        unsafe { std::ptr::write_bytes(at.cast::<u8>(), 0, bytes) };
        Ok(Pinned { context: context.clone(), at: at.cast(), bytes })
    }

    /// Its content. What a device is still writing there is awaited by the caller.
    pub fn all(&self) -> &[u8] {
        // SAFETY: the memory has that many bytes, all of them written.
        unsafe { std::slice::from_raw_parts(self.at, self.bytes) }
    }

    /// Its content, to be changed. What a device still reads is awaited by the caller.
    pub fn all_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and this is the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.at, self.bytes) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // SAFETY: the address came from cuMemHostAlloc and is freed once.
            let _ = unsafe { sys::cuMemFreeHost(self.at.cast()) };
        }
    }
}

impl Stream {
    /// Queues a copy of host bytes to a device address. `from` must stay as it is until the copy is done if it is page-locked;
    /// the driver keeps its own copy otherwise.
    ///
    /// # Safety
    /// `to` begins at least `from.len()` bytes of device memory that stay until the copy is done.
    pub unsafe fn upload(&self, from: &[u8], to: u64) -> Result<()> {
        // SAFETY: the caller's promise.
        let code = unsafe { sys::cuMemcpyHtoDAsync_v2(to, from.as_ptr().cast(), from.len(), self.raw()) };
        check(code, || format!("copying {} bytes to the GPU", from.len()))
    }

    /// Queues a copy of device memory to host bytes, which hold it when the stream has been waited for.
    ///
    /// # Safety
    /// `from` begins at least `to.len()` bytes of device memory; both stay until the copy is done.
    pub unsafe fn download(&self, from: u64, to: &mut [u8]) -> Result<()> {
        // SAFETY: the caller's promise.
        let code = unsafe { sys::cuMemcpyDtoHAsync_v2(to.as_mut_ptr().cast(), from, to.len(), self.raw()) };
        check(code, || format!("copying {} bytes from the GPU", to.len()))
    }

    /// Queues a copy between device addresses.
    ///
    /// # Safety
    /// Both begin at least `bytes` of device memory that stay until the copy is done and do not overlap.
    pub unsafe fn copy(&self, from: u64, to: u64, bytes: usize) -> Result<()> {
        // SAFETY: the caller's promise.
        let code = unsafe { sys::cuMemcpyDtoDAsync_v2(to, from, bytes, self.raw()) };
        check(code, || format!("copying {bytes} bytes on the GPU"))
    }

    /// Queues the filling of `words` words of 32 bits.
    ///
    /// # Safety
    /// `to`, a multiple of 4, begins at least that many words of device memory that stay until it is done.
    pub unsafe fn fill(&self, to: u64, word: u32, words: usize) -> Result<()> {
        // SAFETY: the caller's promise.
        let code = unsafe { sys::cuMemsetD32Async(to, word, words, self.raw()) };
        check(code, || format!("filling {} bytes on the GPU", 4 * words))
    }
}
