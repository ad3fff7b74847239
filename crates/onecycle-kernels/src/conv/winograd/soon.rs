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
            let (from, end) = (part * read.len() / POINTS, (part + 1) * read.len() / POINTS);
            for at in (from..end).step_by(LINE) {
                // SAFETY: the caller has the instructions; `at` lies within.
                unsafe { S::prefetch(read.as_ptr().add(at)) }
            }
        }
        let len = self.write.len();
        for at in (part * len / POINTS..(part + 1) * len / POINTS).step_by(LINE) {
            // SAFETY: as above.
            unsafe { S::prefetch_to_write(self.write.as_mut_ptr().add(at)) }
        }
    }
}
