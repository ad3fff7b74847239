//! Memory that is wanted soon.
//!
//! A row of tiles reads and writes short pieces of several rows of an image, which the processor does not foresee: it would
//! wait for each. It is asked for while products keep the arithmetic busy, a little at each point, since no more than some
//! twenty lines of cache are on their way at a time.

use std::iter::StepBy;
use std::ops::Range;

use super::POINTS;
use crate::simd::{LINE, prefetch, prefetch_to_write};

/// What the next group of images reads, and what this one writes.
pub(super) struct Soon<'a> {
    pub reads: &'a [&'a [f32]],
    pub write: &'a [f32],
}

impl Soon<'_> {
    /// Asks for one of [`POINTS`] equal parts.
    #[inline(always)]
    pub(super) fn prefetch(&self, part: usize) {
        for read in self.reads {
            for at in places(read.len(), part) {
                prefetch(read.as_ptr().wrapping_add(at));
            }
        }
        for at in places(self.write.len(), part) {
            prefetch_to_write(self.write.as_ptr().wrapping_add(at));
        }
    }
}

/// Where the cache lines of one of [`POINTS`] equal parts begin.
#[inline(always)]
fn places(len: usize, part: usize) -> StepBy<Range<usize>> {
    (part * len / POINTS..(part + 1) * len / POINTS).step_by(LINE)
}
