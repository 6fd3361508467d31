//! Compiled kernels.

use super::{Context, Stream, check};
use crate::base::{Error, Result};
use cudarc::driver::sys::{self, CUfunction, CUfunction_attribute, CUmodule};
use std::ffi::{CString, c_void};
use std::sync::Arc;

/// Most arguments of a kernel.
const ARGS_MAX: usize = 32;
/// Shared memory a block may have without asking.
const SHARED_BYTES_USUAL: u32 = 48 << 10;

/// A loaded image of kernels.
#[derive(Debug)]
pub struct Module(Arc<Loaded>);

#[derive(Debug)]
struct Loaded {
    context: Context,
    name: String,
    raw: CUmodule,
}

// SAFETY: a module may be used from any thread.
unsafe impl Send for Loaded {}
// SAFETY: as above; the handle never changes.
unsafe impl Sync for Loaded {}

impl Module {
    /// Loads an image: a cubin, or the text of PTX (which must end with a zero byte). `name` is told in errors.
    ///
    /// # Safety
    /// The image is a whole one.
    pub unsafe fn load(context: &Context, name: &str, image: &[u8]) -> Result<Module> {
        context.bind()?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: a context is current; the caller's promise.
        let code = unsafe { sys::cuModuleLoadData(&mut raw, image.as_ptr().cast()) };
        check(code, || format!("loading kernels {name} ({} bytes)", image.len()))?;
        Ok(Module(Arc::new(Loaded { context: context.clone(), name: name.to_string(), raw })))
    }

    /// A kernel of it.
    pub fn function(&self, name: &str) -> Result<Function> {
        self.0.context.bind()?;
        let place = || format!("kernel {name} of {}", self.0.name);
        let text = CString::new(name).map_err(|e| Error::new(place(), e))?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: the module is alive; a handle is written.
        check(unsafe { sys::cuModuleGetFunction(&mut raw, self.0.raw, text.as_ptr()) }, place)?;
        Ok(Function { raw, name: name.to_string(), module: self.0.clone() })
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // SAFETY: it is alive and unloaded once; functions hold it.
            let _ = unsafe { sys::cuModuleUnload(self.raw) };
        }
    }
}

/// A kernel.
#[derive(Debug)]
pub struct Function {
    raw: CUfunction,
    name: String,
    /// Keeps the code loaded.
    module: Arc<Loaded>,
}

// SAFETY: as for modules.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

/// The extent of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Launch {
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub block: [u32; 3],
    /// Dynamic shared memory of a block.
    pub shared_bytes: u32,
}

impl Function {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the compiler says of it: registers a thread, bytes of local memory a thread (spills among them), bytes of shared memory.
    pub fn resources(&self) -> Result<[u32; 3]> {
        use CUfunction_attribute::{
            CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES, CU_FUNC_ATTRIBUTE_NUM_REGS, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES,
        };
        self.module.context.bind()?;
        let mut all = [0; 3];
        let kinds = [CU_FUNC_ATTRIBUTE_NUM_REGS, CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES];
        for (to, kind) in all.iter_mut().zip(kinds) {
            let mut value = 0;
            // SAFETY: the function is alive; one int is written.
            check(unsafe { sys::cuFuncGetAttribute(&mut value, kind, self.raw) }, || format!("kernel {}", self.name))?;
            *to = u32::try_from(value).unwrap_or(0);
        }
        Ok(all)
    }

    /// Allows launches with so much dynamic shared memory, where that is more than is usual.
    pub fn allow_shared(&self, bytes: u32) -> Result<()> {
        if bytes <= SHARED_BYTES_USUAL {
            return Ok(());
        }
        self.module.context.bind()?;
        let kind = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: the function is alive.
        let code = unsafe { sys::cuFuncSetAttribute(self.raw, kind, bytes as i32) };
        check(code, || format!("kernel {} with {bytes} bytes of shared memory", self.name))
    }

    /// Queues a launch. Each argument lies in the low bytes of a slot of eight.
    ///
    /// # Safety
    /// The arguments are the kernel's, and the memory that they point to is large enough and alive until it is done.
    pub unsafe fn launch(&self, stream: &Stream, launch: Launch, args: &[u64]) -> Result<()> {
        assert!(args.len() <= ARGS_MAX, "a kernel has at most {ARGS_MAX} arguments");
        let mut slots = [std::ptr::null_mut::<c_void>(); ARGS_MAX];
        slots.iter_mut().zip(args).for_each(|(slot, arg)| *slot = std::ptr::from_ref(arg).cast_mut().cast());
        let Launch { grid: [gx, gy, gz], block: [bx, by, bz], shared_bytes } = launch;
        // SAFETY: the driver reads the arguments before it returns; the caller's promise.
        let code = unsafe {
            let (raw, slots) = (stream.raw(), slots.as_mut_ptr());
            sys::cuLaunchKernel(self.raw, gx, gy, gz, bx, by, bz, shared_bytes, raw, slots, std::ptr::null_mut())
        };
        check(code, || {
            let args: Vec<String> = args.iter().map(|a| format!("{a:#x}")).collect();
            let extent = format!("{gx}x{gy}x{gz} blocks of {bx}x{by}x{bz} threads, {shared_bytes} bytes shared");
            format!("kernel {} on {extent}, arguments {}", self.name, args.join(" "))
        })
    }
}
