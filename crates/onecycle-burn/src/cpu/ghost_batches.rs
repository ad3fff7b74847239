//! Ghost batches: which images are normalised together.

use std::ops::Range;

/// Images of a batch that are normalised together: runs of equal length, the last of which may be shorter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GhostBatches {
    batch: usize,
    images: usize,
}

impl GhostBatches {
    /// GhostBatches of `ghost` images; 0 for one of the whole batch.
    pub(crate) fn new(batch: usize, ghost: usize) -> Self {
        let images = if ghost == 0 { batch } else { ghost.min(batch) };
        GhostBatches {
            batch,
            images: images.max(1),
        }
    }

    /// How many there are.
    pub(super) fn count(self) -> usize {
        self.batch.div_ceil(self.images)
    }

    /// The images of each.
    pub(crate) fn iter(self) -> impl Iterator<Item = Range<usize>> {
        (0..self.batch)
            .step_by(self.images)
            .map(move |first| first..self.batch.min(first + self.images))
    }

    /// Values of a run, the last apart, in maps of `len` values.
    pub(super) fn chunk(self, len: usize) -> usize {
        (len / self.batch.max(1) * self.images).max(1)
    }
}
