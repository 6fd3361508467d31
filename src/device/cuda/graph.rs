//! Work that was captured once and is queued as a whole.

use super::{Context, Stream, check};
use crate::base::Result;
use cudarc::driver::sys::{self, CUgraph, CUgraphExec};

/// A captured graph, ready to run.
#[derive(Debug)]
pub struct Graph {
    context: Context,
    exec: CUgraphExec,
}

// SAFETY: a graph may be launched from any thread, one at a time.
unsafe impl Send for Graph {}
// SAFETY: shared references do nothing but launch, and the stream's owner does so one at a time.
unsafe impl Sync for Graph {}

impl Graph {
    pub(super) fn new(context: &Context, graph: CUgraph) -> Result<Graph> {
        let exec = context.driver().instantiate(graph);
        // SAFETY: what runs does not need the description it was made from.
        let _ = unsafe { sys::cuGraphDestroy(graph) };
        Ok(Graph { context: context.clone(), exec: exec? })
    }

    /// Queues the whole graph.
    ///
    /// # Safety
    /// All memory that was captured is alive until it is done.
    pub unsafe fn launch(&self, stream: &Stream) -> Result<()> {
        // SAFETY: both are alive; the caller's promise.
        check(unsafe { sys::cuGraphLaunch(self.exec, stream.raw()) }, "launching a graph")
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // SAFETY: it is alive and destroyed once; a launch under way ends by itself.
            let _ = unsafe { sys::cuGraphExecDestroy(self.exec) };
        }
    }
}
