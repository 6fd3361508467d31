//! Buffers of numbers that begin at a cache line, the large ones on large pages where the system has them.

use crate::base::{Error, Result};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Bytes of a cache line, and of the widest vector: aligned vectors never lie across two lines.
const LINE_BYTES: usize = 64;
/// Bytes of a large page. A walk in training touches every page of more memory than the tables of a core reach in small ones.
const LARGE_PAGE_BYTES: usize = 2 << 20;

/// A buffer in host memory: a slice of `f32`.
pub struct CpuBuf {
    data: NonNull<f32>,
    len: usize,
}

// SAFETY: it owns its memory as a Vec does.
unsafe impl Send for CpuBuf {}
// SAFETY: as above.
unsafe impl Sync for CpuBuf {}

/// None where the size is beyond any memory.
fn layout(len: usize) -> Option<Layout> {
    let bytes = len.checked_mul(size_of::<f32>())?;
    let align = if bytes >= LARGE_PAGE_BYTES { LARGE_PAGE_BYTES } else { LINE_BYTES };
    Layout::from_size_align(bytes, align).ok()
}

impl CpuBuf {
    /// `len` zeros. Fails where memory does not suffice.
    pub fn zeros(len: usize) -> Result<CpuBuf> {
        let failed = || Error::new(format!("allocating {} bytes", len.saturating_mul(4)), "not enough memory");
        let layout = layout(len).ok_or_else(failed)?;
        CpuBuf::with_layout(len, layout).ok_or_else(failed)
    }

    fn with_layout(len: usize, layout: Layout) -> Option<CpuBuf> {
        if len == 0 {
            return Some(CpuBuf { data: NonNull::dangling(), len });
        }
        // SAFETY: the layout has a size.
        let data = NonNull::new(unsafe { alloc(layout) }.cast::<f32>())?;
        large_pages(data, layout);
        // SAFETY: `len` numbers have room, and nobody else knows the memory.
        unsafe { data.as_ptr().write_bytes(0, len) };
        Some(CpuBuf { data, len })
    }

    /// The first `len` elements of a buffer that only grows; they hold anything.
    pub(super) fn first(&mut self, len: usize) -> &mut [f32] {
        if self.len < len {
            // what is there is not needed: it goes before the larger one comes
            *self = CpuBuf::default();
            let layout = layout(len).expect("fewer bytes than there are addresses");
            *self = CpuBuf::with_layout(len, layout).unwrap_or_else(|| handle_alloc_error(layout));
        }
        &mut self[..len]
    }
}

/// Asks for large pages before the memory is touched; where there are none, nothing is lost.
fn large_pages(data: NonNull<f32>, layout: Layout) {
    #[cfg(target_os = "linux")]
    if layout.align() == LARGE_PAGE_BYTES {
        use rustix::mm::{Advice, madvise};
        // SAFETY: advice about whole pages of memory that was just allocated changes nothing that can be seen.
        let _ = unsafe { madvise(data.as_ptr().cast(), layout.size(), Advice::LinuxHugepage) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (data, layout);
}

impl Drop for CpuBuf {
    fn drop(&mut self) {
        if let Some(layout) = layout(self.len).filter(|layout| layout.size() > 0) {
            // SAFETY: allocated with this layout, which follows from the length.
            unsafe { dealloc(self.data.as_ptr().cast(), layout) };
        }
    }
}

impl Default for CpuBuf {
    fn default() -> CpuBuf {
        CpuBuf { data: NonNull::dangling(), len: 0 }
    }
}

impl Deref for CpuBuf {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: `len` numbers were allocated and set.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr(), self.len) }
    }
}

impl DerefMut for CpuBuf {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and the buffer is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr(), self.len) }
    }
}

impl<'a> IntoIterator for &'a CpuBuf {
    type Item = &'a f32;
    type IntoIter = std::slice::Iter<'a, f32>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl std::fmt::Debug for CpuBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self[..].fmt(f)
    }
}

impl From<&[f32]> for CpuBuf {
    fn from(values: &[f32]) -> CpuBuf {
        let mut buf = CpuBuf::default();
        buf.first(values.len());
        buf.copy_from_slice(values);
        buf
    }
}

impl FromIterator<f32> for CpuBuf {
    fn from_iter<I: IntoIterator<Item = f32>>(values: I) -> CpuBuf {
        CpuBuf::from(values.into_iter().collect::<Vec<f32>>().as_slice())
    }
}

impl Clone for CpuBuf {
    fn clone(&self) -> CpuBuf {
        CpuBuf::from(&self[..])
    }
}

/// A buffer, written as `vec!`.
#[cfg(test)]
macro_rules! buf {
    ($($values:tt)*) => { $crate::compute::cpu::CpuBuf::from(vec![$($values)*].as_slice()) };
}
#[cfg(test)]
pub(super) use buf;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_begin_at_lines_and_hold_zeros() {
        for len in [0, 1, 17, 1000, 600_000] {
            let mut buf = CpuBuf::zeros(len).unwrap();
            assert!(buf.len() == len && buf.iter().all(|x| *x == 0.0));
            assert!(len == 0 || (buf.as_ptr() as usize).is_multiple_of(LINE_BYTES), "{len}");
            buf.fill(3.0);
            assert!(buf.first(len + 100).len() == len + 100 && buf.first(5).len() == 5 && buf.len() == len + 100);
        }
        assert!(CpuBuf::zeros(usize::MAX / 2).is_err());
    }
}
