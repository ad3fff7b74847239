//! Software prefetch for the next group of tiles.
//!
//! A row of tiles reads and writes short pieces of several image rows. Hardware prefetchers do not
//! detect this pattern, so the transforms would wait for memory. The memory is prefetched during
//! the matrix products, a little at each point, because a core can have only about twenty
//! cache-line requests in flight.

use crate::simd::{LINE, prefetch, prefetch_to_write};

/// Prefetches memory in equal portions.
pub(super) struct Prefetcher {
    reads: [Portions; 3],
    write: Portions,
}

impl Prefetcher {
    /// Divides into `count` portions what the next group of images reads and what this one writes.
    pub(super) fn new(reads: [&[f32]; 3], write: &[f32], count: usize) -> Self {
        Prefetcher {
            reads: reads.map(|read| Portions::new(read, count)),
            write: Portions::new(write, count),
        }
    }

    /// Prefetches the next portion.
    #[inline(always)]
    pub(super) fn advance(&mut self) {
        for read in &mut self.reads {
            read.next(prefetch);
        }
        self.write.next(prefetch_to_write);
    }
}

/// A slice in portions of whole cache lines. It holds a pointer instead of a reference, because
/// memory that will be written is written during prefetching.
struct Portions {
    at: *const f32,
    left: usize,
    len: usize,
}

impl Portions {
    fn new(slice: &[f32], count: usize) -> Self {
        Portions {
            at: slice.as_ptr(),
            left: slice.len(),
            len: slice.len().div_ceil(count).next_multiple_of(LINE),
        }
    }

    #[inline(always)]
    fn next(&mut self, prefetch: impl Fn(*const f32)) {
        let len = self.len.min(self.left);
        for at in (0..len).step_by(LINE) {
            prefetch(self.at.wrapping_add(at));
        }
        self.at = self.at.wrapping_add(len);
        self.left -= len;
    }
}
