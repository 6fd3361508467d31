//! CUDA devices: the driver under owning types, from CUDA 10.2 to 13.
//!
//! libcuda is looked for once, at run time ([`Driver::get`]); a machine without it, or with one that is too old, gets an error
//! that says so. cudarc's own functions end the program where a symbol is missing, so each that is called is probed first.
//! Every type frees what it holds; a [`Context`] outlives everything made in it. Errors say what was asked for.

mod context;
mod driver;
mod graph;
mod memory;
mod module;
mod stream;

pub use context::{Context, Facts};
pub use driver::{CapabilityText, Driver, VersionText};
pub use graph::Graph;
pub use memory::{Buffer, Pinned};
pub use module::{Function, Launch, Module};
pub use stream::{Event, Stream};

use crate::base::Error;
use cudarc::driver::sys::CUresult;
use std::ffi::CStr;
use std::fmt;

/// A call's failure in words: CUDA's name for it and its text.
fn told(code: CUresult) -> String {
    let text = |get: unsafe fn(CUresult, *mut *const std::ffi::c_char) -> CUresult| {
        let mut text = std::ptr::null();
        // SAFETY: both functions write a pointer to a static string, or fail; the driver was probed for them.
        unsafe {
            let found = get(code, &mut text) == CUresult::CUDA_SUCCESS && !text.is_null();
            found.then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
        }
    };
    let name = text(cudarc::driver::sys::cuGetErrorName).unwrap_or_else(|| format!("CUDA error {}", code as u32));
    match text(cudarc::driver::sys::cuGetErrorString) {
        Some(words) => format!("{name} ({words})"),
        None => name,
    }
}

/// The outcome of a call; `doing` says at failure what was asked for.
fn check<D: fmt::Display>(code: CUresult, doing: impl Doing<D>) -> Result<(), Error> {
    if code == CUresult::CUDA_SUCCESS { Ok(()) } else { Err(Error::new(doing.words(), told(code))) }
}

/// What was asked for, in words that are made only when they are needed.
trait Doing<D> {
    fn words(self) -> D;
}

impl<'a> Doing<&'a str> for &'a str {
    fn words(self) -> &'a str {
        self
    }
}

impl<D, F: FnOnce() -> D> Doing<D> for F {
    fn words(self) -> D {
        self()
    }
}
