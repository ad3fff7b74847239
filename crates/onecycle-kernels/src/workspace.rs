//! Scratch memory that is reused between calls.
//!
//! Fresh memory costs a page fault for every 4 KiB; reused buffers do not.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// A cache line. Buffers consist of cache lines, which aligns them for vectors of any width.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

const LINE: usize = 16;

/// Buffers that kernels borrow for the duration of a call.
///
/// The workspace grows to the largest need of any call, times the number of threads that call at
/// once, and never shrinks; dropping it frees everything. One workspace can serve many threads.
#[derive(Default)]
pub(crate) struct Workspace {
    free: Mutex<Vec<Vec<Line>>>,
}

impl Workspace {
    /// Bytes of the buffers that are not borrowed.
    pub(crate) fn bytes(&self) -> usize {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.iter()
            .map(|lines| lines.capacity() * size_of::<Line>())
            .sum()
    }

    /// A buffer of `len` floats with unspecified values.
    pub(crate) fn take(&self, len: usize) -> Buffer<'_> {
        let count = len.div_ceil(LINE);
        let mut lines = {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            // The smallest buffer that is large enough; if there is none, the largest, which grows.
            let fit = (0..free.len()).min_by_key(|&i| {
                let size = free[i].len();
                if size >= count {
                    (0, size)
                } else {
                    (1, usize::MAX - size)
                }
            });
            fit.map(|i| free.swap_remove(i)).unwrap_or_default()
        };
        if lines.len() < count {
            lines.clear();
            lines.resize(count, Line([0.0; LINE]));
        }
        Buffer {
            lines,
            len,
            home: self,
        }
    }
}

impl std::fmt::Debug for Workspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workspace")
            .field("bytes", &self.bytes())
            .finish()
    }
}

/// A borrowed buffer, aligned to 64 bytes; dropping it returns it to its workspace.
pub(crate) struct Buffer<'w> {
    lines: Vec<Line>,
    len: usize,
    home: &'w Workspace,
}

impl Deref for Buffer<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: a `Line` is sixteen initialised floats without padding, and `len` is at most
        // `lines.len() * LINE`.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Buffer<'_> {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`; `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        self.home
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_reused() {
        let workspace = Workspace::default();
        let first = workspace.take(100).as_ptr() as usize;
        assert_eq!(first % 64, 0);
        assert_eq!(workspace.bytes(), 7 * 64);
        // The same memory serves a smaller request.
        assert_eq!(workspace.take(50).as_ptr() as usize, first);
        assert_eq!(workspace.bytes(), 7 * 64);
    }

    #[test]
    fn simultaneous_buffers_do_not_overlap() {
        let workspace = Workspace::default();
        let (mut a, mut b) = (workspace.take(16), workspace.take(16));
        a.fill(1.0);
        b.fill(2.0);
        assert_eq!((a[15], b[0]), (1.0, 2.0));
    }
}
