//! Memory that is wanted soon.
//!
//! A row of tiles reads and writes short pieces of several rows of an image, which the processor does not foresee: it would
//! wait for each. It is asked for while products keep the arithmetic busy, a little at each point, since no more than some
//! twenty lines of cache are on their way at a time.

use super::POINTS;
use crate::simd::Simd;

/// Floats of a cache line.
const LINE: usize = 16;

/// What the next group of images reads, and what this one writes.
pub(super) struct Soon<'a> {
    pub reads: &'a [&'a [f32]],
    pub write: &'a mut [f32],
}

impl Soon<'_> {
    /// Asks for one of [`POINTS`] equal parts.
    ///
    /// # Safety
    /// As [`Simd`].
    #[inline(always)]
    pub(super) unsafe fn prefetch<S: Simd>(&mut self, part: usize) {
        for read in self.reads {
            let range = part * read.len() / POINTS..(part + 1) * read.len() / POINTS;
            for line in read[range].chunks(LINE) {
                // SAFETY: the caller has the instructions.
                unsafe { S::prefetch(line.as_ptr()) }
            }
        }
        let len = self.write.len();
        let range = part * len / POINTS..(part + 1) * len / POINTS;
        for line in self.write[range].chunks_mut(LINE) {
            // SAFETY: the caller has the instructions.
            unsafe { S::prefetch_to_write(line.as_mut_ptr()) }
        }
    }
}
