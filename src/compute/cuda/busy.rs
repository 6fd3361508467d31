//! How long a device had work: marks before and behind what is queued, read when they were passed long ago.

use crate::base::Result;
use crate::device::cuda::{Context, Event, Stream};
use std::time::Duration;

/// Walks whose marks are kept. The host is at most two ahead of the device, as staging has two slots, so what comes four later
/// finds the marks passed.
const KEPT: usize = 4;

/// The marks of a walk.
struct Span {
    from: Event,
    to: Event,
    is_open: bool,
}

/// The time in which a stream had work.
pub(super) struct Busy {
    spans: [Span; KEPT],
    next: usize,
    seconds: f64,
}

impl Busy {
    pub(super) fn new(context: &Context) -> Result<Busy> {
        let span = || Ok(Span { from: Event::new(context)?, to: Event::new(context)?, is_open: false });
        Ok(Busy { spans: [span()?, span()?, span()?, span()?], next: 0, seconds: 0.0 })
    }

    /// Before what is queued.
    pub(super) fn begin(&mut self, stream: &Stream) -> Result<()> {
        self.close(self.next);
        self.spans[self.next].from.record(stream)
    }

    /// Behind it.
    pub(super) fn end(&mut self, stream: &Stream) -> Result<()> {
        let span = &mut self.spans[self.next];
        span.to.record(stream)?;
        span.is_open = true;
        self.next = (self.next + 1) % KEPT;
        Ok(())
    }

    /// The time since the last call, as far as the device has come.
    pub(super) fn take(&mut self) -> Duration {
        (0..KEPT).for_each(|i| self.close(i));
        Duration::from_secs_f64(std::mem::take(&mut self.seconds))
    }

    /// Adds up a span that was passed; one that was not is lost, which only a host far ahead sees.
    fn close(&mut self, i: usize) {
        let span = &mut self.spans[i];
        if span.is_open && span.to.is_passed() {
            self.seconds += span.to.seconds_since(&span.from).unwrap_or(0.0).max(0.0);
            span.is_open = false;
        }
    }
}
