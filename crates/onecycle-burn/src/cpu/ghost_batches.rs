//! Ghost batch normalisation (Hoffer et al. 2017): division of a batch into ghost batches.

use std::ops::Range;

/// Ghost batches: parts of a batch, each normalised with its own statistics. All have the
/// same number of images, except that the last may have fewer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GhostBatches {
    batch: usize,
    images: usize,
}

impl GhostBatches {
    /// Ghost batches of `ghost` images; 0 means one ghost batch with all images.
    pub(crate) fn new(batch: usize, ghost: usize) -> Self {
        let images = if ghost == 0 { batch } else { ghost.min(batch) };
        GhostBatches {
            batch,
            images: images.max(1),
        }
    }

    /// Number of ghost batches.
    pub(super) fn count(self) -> usize {
        self.batch.div_ceil(self.images)
    }

    /// The images of each ghost batch.
    pub(crate) fn iter(self) -> impl Iterator<Item = Range<usize>> {
        (0..self.batch)
            .step_by(self.images)
            .map(move |first| first..self.batch.min(first + self.images))
    }

    /// Values of each ghost batch except the last, in feature maps of `len` values.
    pub(super) fn chunk(self, len: usize) -> usize {
        (len / self.batch.max(1) * self.images).max(1)
    }
}
