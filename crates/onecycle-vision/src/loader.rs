//! Batches for training and evaluation, prepared one ahead of the consumer.
//!
//! The order of an epoch is a permutation drawn from the seed and the epoch. The augmentation of an
//! image is drawn from the seed, the epoch and the image's index. The values of an image therefore
//! do not depend on the batch size, on prefetching, or on where an interrupted epoch is resumed. Only
//! mixup and CutMix depend on the batches: they mix the images of a batch.

mod batch;
mod batches;
mod curriculum;
mod features;
mod pass;
mod producer;

use std::sync::Arc;

use crate::augment::{Augment, EpochDraws};
use crate::dataset::{Dataset, ImageShape, Split, Statistics};
use crate::error::DataError;
use crate::random;

pub use batch::{Batch, MixedLabels};
pub use batches::Batches;
pub use curriculum::Curriculum;
pub use features::Features;
pub use pass::Pass;

/// Makes the batches of a split, epoch after epoch.
///
/// [`epoch`](Self::epoch) and [`evaluation`](Self::evaluation) describe one [`Pass`] over the
/// images, which is iterated for its batches.
///
/// ```
/// use onecycle_vision::{Augment, Border, ImageShape, Loader, Split, Statistics};
///
/// let shape = ImageShape::new(1, 28, 28);
/// let split = Split::new(shape, vec![128; 100 * shape.len()], vec![3; 100])?;
/// let statistics = Statistics { mean: vec![0.5], std: vec![0.25] };
/// let augment = Augment::crop_and_flip(2, Border::Zero);
/// let loader = Loader::new(split, &statistics, augment, 42)?;
///
/// let device = burn::tensor::Device::flex();
/// let mut seen = 0;
/// for batch in loader.epoch(0, 32) {
///     let (images, labels) = batch?.tensors(&device); // [batch, 1, 28, 28] and [batch]
///     assert_eq!(images.dims(), [labels.dims()[0], 1, 28, 28]);
///     seen += labels.dims()[0];
/// }
/// assert_eq!(seen, 100);
/// # Ok::<(), onecycle_vision::DataError>(())
/// ```
///
/// [`Dataset::loaders`](crate::Dataset::loaders) makes the loaders of a whole data set.
#[derive(Clone, Debug)]
pub struct Loader {
    split: Arc<Split>,
    tables: Arc<[[f32; 256]]>,
    augment: Augment,
    seed: u64,
    prefetch: bool,
    curriculum: Option<Arc<Curriculum>>,
    features: Option<Arc<Features>>,
}

impl Loader {
    /// A loader of `split`, which is a [`Split`] or an [`Arc`] of one. `statistics` normalise the
    /// pixels; use those of the training images for the validation and test images too. The order
    /// of the images and their augmentation are drawn from `seed`.
    ///
    /// # Errors
    /// [`DataError::Setting`] if the split is empty, or if `statistics` or `augment` do not fit the
    /// shape of its images.
    pub fn new(
        split: impl Into<Arc<Split>>,
        statistics: &Statistics,
        augment: Augment,
        seed: u64,
    ) -> Result<Self, DataError> {
        let split = split.into();
        let shape = split.shape();
        if split.is_empty() {
            return Err(DataError::Setting {
                key: "split",
                value: format!("0 images of {shape}"),
                expected: "at least one image".to_owned(),
            });
        }
        augment.validate(shape)?;
        let tables = statistics.tables(shape)?.into();
        Ok(Self {
            split,
            tables,
            augment,
            seed,
            prefetch: true,
            curriculum: None,
            features: None,
        })
    }

    /// Whether a separate thread prepares the next batch while the consumer works on the current
    /// one (the default). Otherwise each batch is made when it is requested. The values are the
    /// same.
    #[must_use]
    pub fn prefetch(mut self, prefetch: bool) -> Self {
        self.prefetch = prefetch;
        self
    }

    /// Trains on easy images first.
    ///
    /// # Errors
    /// [`DataError::Setting`] unless the curriculum lists every image of the split exactly once and
    /// its numbers are in range.
    pub fn with_curriculum(mut self, curriculum: Curriculum) -> Result<Self, DataError> {
        curriculum.validate(self.len())?;
        self.curriculum = Some(Arc::new(curriculum));
        Ok(self)
    }

    /// Makes batches of `features` instead of images: [`Batch::features`] is then true. An epoch
    /// uses one view of each image, and an evaluation those of epoch 0. Neither augments.
    ///
    /// # Errors
    /// [`DataError::Setting`] unless there are features of every image of the split.
    pub fn with_features(mut self, features: Arc<Features>) -> Result<Self, DataError> {
        if features.images() != self.len() {
            return Err(DataError::Setting {
                key: "features",
                value: format!("{} images", features.images()),
                expected: format!("the {} images of the split", self.len()),
            });
        }
        self.features = Some(features);
        Ok(self)
    }

    /// Makes batches of images again.
    #[must_use]
    pub fn without_features(mut self) -> Self {
        self.features = None;
        self
    }

    /// Whether batches have features instead of images.
    pub fn has_features(&self) -> bool {
        self.features.is_some()
    }

    /// The images.
    pub fn split(&self) -> &Split {
        &self.split
    }

    /// Number of images in an epoch.
    pub fn len(&self) -> usize {
        self.split.len()
    }

    /// Always false: [`new`](Self::new) rejects an empty split.
    pub fn is_empty(&self) -> bool {
        self.split.is_empty()
    }

    /// Shape of every image.
    pub fn shape(&self) -> ImageShape {
        self.split.shape()
    }

    /// Indices of the images in the order of this epoch.
    pub fn order(&self, epoch: u64) -> Vec<u32> {
        let mut random = random::stream(self.seed, "shuffle", epoch);
        match &self.curriculum {
            Some(curriculum) => curriculum.order(epoch, &mut random),
            None => random::permutation(&mut random, self.len() as u32),
        }
    }

    /// One training epoch in batches of `batch_size` images: all images in random
    /// [`order`](Self::order), augmented. Epochs count from 0. The last batch has the images that
    /// are left.
    pub fn epoch(&self, epoch: u64, batch_size: usize) -> Pass<'_> {
        let draws =
            (!self.augment.is_none()).then(|| EpochDraws::new(&self.augment, self.seed, epoch));
        Pass::new(self, self.order(epoch), draws, batch_size).with_views(epoch)
    }

    /// One evaluation in batches of `batch_size` images: all images in the order of the split, not
    /// augmented. The batch size affects only memory and speed.
    pub fn evaluation(&self, batch_size: usize) -> Pass<'_> {
        Pass::new(self, (0..self.len() as u32).collect(), None, batch_size)
    }
}

impl Dataset {
    /// The loaders of the training and the test images, both normalised by the
    /// [`statistics`](Self::statistics) of the training images. `augment` changes the training
    /// images only. The order of the images and their augmentation are drawn from `seed`. No pixel
    /// is copied.
    ///
    /// # Errors
    /// [`DataError::Setting`] if a part has no image, or if `augment` does not fit the shape of the
    /// images.
    pub fn loaders(&self, augment: Augment, seed: u64) -> Result<(Loader, Loader), DataError> {
        let statistics = self.statistics();
        Ok((
            Loader::new(self.train.clone(), &statistics, augment, seed)?,
            Loader::new(self.test.clone(), &statistics, Augment::default(), seed)?,
        ))
    }
}
