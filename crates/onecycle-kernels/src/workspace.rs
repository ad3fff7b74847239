//! Memory that is kept between calls.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// A cache line; buffers are made of them, so that they are aligned for every vector.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

const LINE: usize = 16;

/// Buffers that kernels borrow for the time of a call and hand back, so that repeated calls touch no fresh pages.
///
/// It grows to what the largest call needs, times the threads that call at once, and never shrinks; dropping it frees
/// all. One workspace may serve many threads.
#[derive(Default)]
pub struct Workspace {
    free: Mutex<Vec<Vec<Line>>>,
}

impl Workspace {
    /// An empty workspace.
    pub const fn new() -> Self {
        Self {
            free: Mutex::new(Vec::new()),
        }
    }

    /// Bytes that are kept now, those lent out left aside.
    pub fn bytes(&self) -> usize {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.iter()
            .map(|lines| lines.capacity() * size_of::<Line>())
            .sum()
    }

    /// A buffer of `len` floats of unspecified value.
    pub(crate) fn take(&self, len: usize) -> Buffer<'_> {
        let count = len.div_ceil(LINE);
        let mut lines = {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            // The smallest that is large enough, else the largest, which then grows.
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

/// A borrowed buffer, aligned to 64 bytes; it goes back to its workspace when dropped.
pub(crate) struct Buffer<'w> {
    lines: Vec<Line>,
    len: usize,
    home: &'w Workspace,
}

impl Deref for Buffer<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: a `Line` is sixteen initialised floats without padding, and `len <= lines.len() * LINE`.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Buffer<'_> {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`; the borrow of the lines is exclusive.
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
    fn buffers_come_back_and_are_aligned() {
        let workspace = Workspace::new();
        let first = workspace.take(100).as_ptr() as usize;
        assert_eq!(first % 64, 0);
        assert_eq!(workspace.bytes(), 7 * 64);
        // The same memory serves a smaller request.
        assert_eq!(workspace.take(50).as_ptr() as usize, first);
        assert_eq!(workspace.bytes(), 7 * 64);
    }

    #[test]
    fn two_at_once_are_two_buffers() {
        let workspace = Workspace::new();
        let (mut a, mut b) = (workspace.take(16), workspace.take(16));
        a.fill(1.0);
        b.fill(2.0);
        assert_eq!((a[15], b[0]), (1.0, 2.0));
    }
}
