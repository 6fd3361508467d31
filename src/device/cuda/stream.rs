//! Queues of work, and marks in them.

use super::{Context, Graph, check};
use crate::base::Result;
use cudarc::driver::sys::{self, CUevent, CUevent_flags, CUstream, CUstream_flags, CUstreamCaptureMode};

/// A queue of work for a device.
#[derive(Debug)]
pub struct Stream {
    context: Context,
    raw: CUstream,
}

// SAFETY: a stream may be used from any thread.
unsafe impl Send for Stream {}
// SAFETY: as above; the driver locks.
unsafe impl Sync for Stream {}

impl Stream {
    /// An empty queue that waits for no other.
    pub fn new(context: &Context) -> Result<Stream> {
        context.bind()?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: a context is current; a handle is written.
        check(unsafe { sys::cuStreamCreate(&mut raw, CUstream_flags::CU_STREAM_NON_BLOCKING as u32) }, "making a stream")?;
        Ok(Stream { context: context.clone(), raw })
    }

    /// The device's context.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The context made current on this thread, which every other call needs; once before a series of calls.
    pub fn bind(&self) -> Result<()> {
        self.context.bind()
    }

    /// Waits until everything that was queued is done. An error may be of anything that was queued.
    pub fn wait(&self) -> Result<()> {
        self.context.bind()?;
        // SAFETY: the stream is alive.
        check(unsafe { sys::cuStreamSynchronize(self.raw) }, || format!("GPU {}", self.context.facts().ordinal))
    }

    /// Makes a graph of what `queue` puts into this stream, none of which is done now.
    pub fn capture(&self, queue: impl FnOnce() -> Result<()>) -> Result<Graph> {
        self.context.bind()?;
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is alive and not being captured: whoever has it captures in here only.
        check(unsafe { sys::cuStreamBeginCapture_v2(self.raw, mode) }, "beginning to capture a graph")?;
        let queued = queue();
        let mut graph = std::ptr::null_mut();
        // SAFETY: the stream is being captured. The capture ends whatever `queue` met.
        let ended = check(unsafe { sys::cuStreamEndCapture(self.raw, &mut graph) }, "capturing a graph");
        // the first failure says more: it is why the capture broke
        let graph = queued.and(ended).map(|()| graph);
        Graph::new(&self.context, graph?)
    }

    pub(super) fn raw(&self) -> CUstream {
        self.raw
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // SAFETY: the stream is alive and destroyed once; what is queued is still done.
            let _ = unsafe { sys::cuStreamDestroy_v2(self.raw) };
        }
    }
}

/// A mark in a stream.
#[derive(Debug)]
pub struct Event {
    context: Context,
    raw: CUevent,
}

// SAFETY: an event may be used from any thread.
unsafe impl Send for Event {}
// SAFETY: as above; the driver locks.
unsafe impl Sync for Event {}

impl Event {
    /// A mark that is nowhere yet. It keeps the time at which it was passed.
    pub fn new(context: &Context) -> Result<Event> {
        context.bind()?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: a context is current; a handle is written.
        check(unsafe { sys::cuEventCreate(&mut raw, CUevent_flags::CU_EVENT_DEFAULT as u32) }, "making an event")?;
        Ok(Event { context: context.clone(), raw })
    }

    /// Puts the mark behind everything that was queued.
    pub fn record(&self, stream: &Stream) -> Result<()> {
        // SAFETY: both are alive.
        check(unsafe { sys::cuEventRecord(self.raw, stream.raw()) }, "marking a stream")
    }

    /// Waits until the mark was passed; not at all if it is nowhere.
    pub fn wait(&self) -> Result<()> {
        self.context.bind()?;
        // SAFETY: the event is alive.
        check(unsafe { sys::cuEventSynchronize(self.raw) }, "waiting for a mark")
    }

    /// Whether the mark was passed, or is nowhere.
    pub fn is_passed(&self) -> bool {
        // SAFETY: the event is alive.
        unsafe { sys::cuEventQuery(self.raw) == sys::CUresult::CUDA_SUCCESS }
    }

    /// Seconds between two marks that were passed.
    pub fn seconds_since(&self, earlier: &Event) -> Result<f64> {
        let mut ms = 0.0;
        // SAFETY: both are alive.
        check(unsafe { sys::cuEventElapsedTime(&mut ms, earlier.raw, self.raw) }, "reading a clock")?;
        Ok(f64::from(ms) / 1e3)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // SAFETY: the event is alive and destroyed once.
            let _ = unsafe { sys::cuEventDestroy_v2(self.raw) };
        }
    }
}
