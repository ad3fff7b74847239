//! Memory that is wanted soon.
//!
//! A row of tiles reads and writes short pieces of several rows of an image, which the processor does not foresee: it would
//! wait for each. It is asked for while products keep the arithmetic busy, a little at each point, since no more than some
//! twenty lines of cache are on their way at a time.

use crate::simd::{LINE, prefetch, prefetch_to_write};

/// Memory that will be read, and memory that will be written, asked for in equal parts.
pub(super) struct Soon {
    reads: [Part; 3],
    write: Part,
}

impl Soon {
    /// In `parts` parts: what the next group of images reads, and what this one writes.
    pub(super) fn new(reads: [&[f32]; 3], write: &[f32], parts: usize) -> Self {
        Soon {
            reads: reads.map(|read| Part::new(read, parts)),
            write: Part::new(write, parts),
        }
    }

    /// Asks for the next part.
    #[inline(always)]
    pub(super) fn prefetch(&mut self) {
        for read in &mut self.reads {
            read.next(prefetch);
        }
        self.write.next(prefetch_to_write);
    }
}

/// The next part of a slice, whole cache lines. No reference, since memory that will be written is written meanwhile.
struct Part {
    at: *const f32,
    left: usize,
    len: usize,
}

impl Part {
    fn new(slice: &[f32], parts: usize) -> Self {
        Part {
            at: slice.as_ptr(),
            left: slice.len(),
            len: slice.len().div_ceil(parts).next_multiple_of(LINE),
        }
    }

    #[inline(always)]
    fn next(&mut self, ask: impl Fn(*const f32)) {
        let len = self.len.min(self.left);
        for at in (0..len).step_by(LINE) {
            ask(self.at.wrapping_add(at));
        }
        self.at = self.at.wrapping_add(len);
        self.left -= len;
    }
}
