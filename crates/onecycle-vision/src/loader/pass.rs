//! The description of one pass over the images: which ones, in what order, in batches of what size.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::Loader;
use super::batches::Batches;
use super::producer::{Contents, Pieces, Producer};
use crate::augment::EpochDraws;
use crate::dataset::ImageSize;

/// One pass over the images of a [`Loader`], in batches. Iterate over it to run it.
///
/// | method | default | effect |
/// |---|---|---|
/// | [`batch_sizes`](Self::batch_sizes) | constant | images per batch, as a function of the batch |
/// | [`image_sizes`](Self::image_sizes) | that of the split | height and width, as a function of the batch |
/// | [`images`](Self::images) | all | only these images, in this order |
/// | [`part`](Self::part) | part 0 of 1 | only every n-th image |
/// | [`skip`](Self::skip) | 0 | resumes after this number of images |
/// | [`drop_last`](Self::drop_last) | false | leaves out an incomplete last batch |
/// | [`pieces`](Self::pieces) | whole batches | cuts each batch into pieces |
#[must_use = "a pass does nothing until it is iterated"]
pub struct Pass<'a> {
    loader: &'a Loader,
    contents: Contents,
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        loader: &'a Loader,
        order: Vec<u32>,
        draws: Option<EpochDraws>,
        batch_size: usize,
    ) -> Self {
        Self {
            loader,
            contents: Contents {
                order,
                position: 0,
                draws,
                batch_sizes: Box::new(move |_| batch_size),
                image_sizes: None,
                drop_last: false,
                pieces: Pieces::default(),
                views: 0,
            },
        }
    }

    /// Draws the views of the features as in this epoch.
    pub(super) fn with_views(mut self, epoch: u64) -> Self {
        self.contents.views = epoch;
        self
    }

    /// Number of images per batch, if it varies. Replaces the constant size.
    ///
    /// `sizes` is called once per batch, in order, with the index of the batch in this pass. Images
    /// left out by [`skip`](Self::skip) do not count: the first batch after them has index 0. With
    /// prefetching it runs on the loader's thread, one batch ahead. A size of 0 ends the pass with
    /// [`DataError::BatchSize`](crate::DataError::BatchSize).
    pub fn batch_sizes(mut self, sizes: impl FnMut(u64) -> usize + Send + 'static) -> Self {
        self.contents.batch_sizes = Box::new(sizes);
        self
    }

    /// Height and width of the images of each batch, at most those of the split. Augmented images
    /// are made smaller by averaging the pixels that an output pixel covers.
    ///
    /// `sizes` is called like that of [`batch_sizes`](Self::batch_sizes). A size out of range ends
    /// the pass with [`DataError::Setting`](crate::DataError::Setting).
    pub fn image_sizes(mut self, sizes: impl FnMut(u64) -> ImageSize + Send + 'static) -> Self {
        self.contents.image_sizes = Some(Box::new(sizes));
        self
    }

    /// Only the images with these indices, in this order. Together with [`Loader::order`] this
    /// gives a random sample of the split.
    ///
    /// # Panics
    /// If an index is not below [`Loader::len`].
    pub fn images(mut self, indices: Vec<u32>) -> Self {
        let count = self.loader.len();
        assert!(
            indices.iter().all(|&index| (index as usize) < count),
            "an index beyond the {count} images"
        );
        self.contents.order = indices;
        self
    }

    /// Only every `parts`-th image, starting with image `part`, counted from 0.
    ///
    /// The parts have no image in common, and their sizes differ by at most one. In a split sorted
    /// by class each part has the same fraction of each class. There is no image in a part from
    /// `parts` on; 0 parts count as 1.
    pub fn part(mut self, part: usize, parts: usize) -> Self {
        let parts = parts.max(1);
        if part < parts {
            let order = std::mem::take(&mut self.contents.order);
            self.contents.order = order.into_iter().skip(part).step_by(parts).collect();
        } else {
            self.contents.order.clear();
        }
        self
    }

    /// Leaves out the first `images` images. To resume an interrupted pass, give the number of
    /// images that it has already used. If no image is left, there is no batch.
    pub fn skip(mut self, images: usize) -> Self {
        self.contents.position = images;
        self
    }

    /// Whether the images at the end that do not fill a batch are left out. Otherwise they are the
    /// last batch.
    pub fn drop_last(mut self, drop_last: bool) -> Self {
        self.contents.drop_last = drop_last;
        self
    }

    /// Cuts each batch into `of` consecutive pieces and makes only those of `range`, each as a
    /// [`Batch`](super::Batch) of its own. Sizes of pieces differ by at most one, the larger ones
    /// first; a piece of a small last batch may have no image. Mixup and CutMix mix the images of a
    /// piece.
    ///
    /// The pieces do not depend on `range`, so several processes can make one each.
    ///
    /// # Panics
    /// If `range` is empty or goes beyond `of`.
    pub fn pieces(mut self, range: Range<usize>, of: usize) -> Self {
        assert!(
            range.start < range.end && range.end <= of,
            "pieces {range:?} of {of}"
        );
        self.contents.pieces = Pieces { range, of };
        self
    }

    /// Starts the pass, and with it the thread that prepares the batches.
    #[must_use]
    pub fn batches(self) -> Batches {
        let Loader {
            split,
            tables,
            prefetch,
            features,
            ..
        } = self.loader;
        let producer = Producer::new(
            Arc::clone(split),
            Arc::clone(tables),
            features.clone(),
            self.contents,
        );
        Batches::start(producer, *prefetch)
    }
}

impl IntoIterator for Pass<'_> {
    type Item = <Batches as Iterator>::Item;
    type IntoIter = Batches;

    fn into_iter(self) -> Batches {
        self.batches()
    }
}

impl fmt::Debug for Pass<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass")
            .field("images", &self.contents.order.len())
            .field("skip", &self.contents.position)
            .finish_non_exhaustive()
    }
}
