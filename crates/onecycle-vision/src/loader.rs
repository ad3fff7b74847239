//! Batches for training and evaluation, one ahead of the consumer.
//!
//! The order of an epoch is a permutation drawn from the seed and the epoch, and what happens to an
//! image is drawn from the seed, the epoch and the image's index. Neither the batch size, nor
//! prefetching, nor where an epoch is taken up again changes which values an image has.

mod producer;

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use crate::augment::Augment;
use crate::dataset::{ImageShape, Split};
use crate::error::DataError;
use crate::random;
use crate::statistics::Statistics;
use producer::{Buffers, Producer};

/// Images and labels of one step.
///
/// When a batch is dropped, its memory goes back to the loader for a later one. A consumer that
/// wants to keep `images` takes it out with [`std::mem::take`].
#[derive(Debug)]
pub struct Batch {
    /// Normalised values `[image, channel, row, column]`.
    pub images: Vec<f32>,
    /// Label of each image.
    pub labels: Vec<i64>,
    /// Index of each image in its split.
    pub indices: Vec<u32>,
    /// Number of images.
    pub len: usize,
    /// Where the buffers go in the end.
    home: Option<Sender<Buffers>>,
}

impl Drop for Batch {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            // The loader may be gone already: then the memory is simply freed.
            let _ = home.send(Buffers {
                images: std::mem::take(&mut self.images),
                labels: std::mem::take(&mut self.labels),
                indices: std::mem::take(&mut self.indices),
            });
        }
    }
}

/// Makes the batches of a split, epoch after epoch.
///
/// ```
/// use std::sync::Arc;
/// use onecycle_vision::{Augment, Border, ImageShape, Loader, Split, Statistics};
///
/// let shape = ImageShape::new(1, 28, 28);
/// let split = Arc::new(Split::new(shape, vec![128; 100 * shape.len()], vec![3; 100])?);
/// let statistics = Statistics { mean: vec![0.5], std: vec![0.25] };
/// let augment = Augment::crop_and_flip(2, Border::Zero);
/// let loader = Loader::new(split, shape, &statistics, augment, 42)?;
/// let mut seen = 0;
/// for batch in loader.epoch(0, |_| 32, 0) {
///     seen += batch?.len;
/// }
/// assert_eq!(seen, 100);
/// # Ok::<(), onecycle_vision::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Loader {
    split: Arc<Split>,
    tables: Arc<[[f32; 256]]>,
    augment: Augment,
    seed: u64,
    prefetch: bool,
    curriculum: Option<Arc<Curriculum>>,
}

/// Which images the first epochs draw from: the easiest ones, more of them from epoch to epoch (Bengio et al.,
/// "Curriculum Learning", 2009).
///
/// Epoch `e` draws from the easiest share `start + (1 - start) e / epochs` of the images, from epoch `epochs` on from all.
/// Every epoch has as many images as there are: where the share is smaller, they come again, in another order. What
/// augmentation does to an image is the same each time that it comes within an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Curriculum {
    /// Indices of all images in their split, the easiest first.
    pub easiest_first: Vec<u32>,
    /// Share of the images that epoch 0 draws from, above 0 and at most 1.
    pub start: f64,
    /// Epochs until all images are drawn from.
    pub epochs: f64,
}

impl Curriculum {
    /// How many of the easiest images an epoch draws from.
    pub fn pool(&self, epoch: u64) -> usize {
        let images = self.easiest_first.len();
        let done = epoch as f64 / self.epochs;
        if done.is_nan() || done >= 1.0 {
            return images;
        }
        let share = self.start + (1.0 - self.start) * done;
        ((share * images as f64).ceil() as usize).clamp(1, images)
    }
}

impl Loader {
    /// A loader of `split`, normalised by `statistics` (those of the training part, for every part).
    ///
    /// # Errors
    /// [`DataError::Setting`] if the split is empty, its images are not of `shape`, or the
    /// statistics or the augmentation do not fit them.
    pub fn new(
        split: Arc<Split>,
        shape: ImageShape,
        statistics: &Statistics,
        augment: Augment,
        seed: u64,
    ) -> Result<Self, DataError> {
        if split.is_empty() || split.shape() != shape {
            return Err(DataError::Setting {
                key: "split",
                value: format!("{} images of {}", split.len(), split.shape()),
                expected: format!("at least one image, of {shape}"),
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
        })
    }

    /// Whether batches are made one ahead on a thread of their own (the default), or when asked for.
    /// The values are the same.
    #[must_use]
    pub fn prefetch(mut self, prefetch: bool) -> Self {
        self.prefetch = prefetch;
        self
    }

    /// Number of images in an epoch.
    pub fn len(&self) -> usize {
        self.split.len()
    }

    /// Whether there is no image; never so for a loader that was made.
    pub fn is_empty(&self) -> bool {
        self.split.is_empty()
    }

    /// With easy images first.
    ///
    /// # Errors
    /// [`DataError::Setting`] unless the curriculum names every image of the split once, and its numbers are in range.
    pub fn with_curriculum(mut self, curriculum: Curriculum) -> Result<Self, DataError> {
        let refuse = |key, value: String, expected: &str| {
            Err(DataError::Setting {
                key,
                value,
                expected: expected.to_owned(),
            })
        };
        let mut named = curriculum.easiest_first.clone();
        named.sort_unstable();
        if !named.iter().copied().eq(0..self.len() as u32) {
            let found = format!("{} indices", named.len());
            return refuse("curriculum", found, "every image once");
        }
        let Curriculum { start, epochs, .. } = curriculum;
        if !(start > 0.0 && start <= 1.0) {
            let expected = "above 0 and at most 1";
            return refuse("data.curriculum.start", start.to_string(), expected);
        }
        if !(epochs.is_finite() && epochs >= 0.0) {
            let expected = "a number of at least 0";
            return refuse("data.curriculum.epochs", epochs.to_string(), expected);
        }
        self.curriculum = Some(Arc::new(curriculum));
        Ok(self)
    }

    /// Indices of the images in the order of this epoch.
    pub fn order(&self, epoch: u64) -> Vec<u32> {
        let mut random = random::stream(self.seed, "shuffle", epoch);
        let Some(curriculum) = &self.curriculum else {
            return random::permutation(&mut random, self.len() as u32);
        };
        let pool = &curriculum.easiest_first[..curriculum.pool(epoch)];
        let mut order = Vec::with_capacity(self.len() + pool.len());
        while order.len() < self.len() {
            let drawn = random::permutation(&mut random, pool.len() as u32);
            order.extend(drawn.into_iter().map(|i| pool[i as usize]));
        }
        order.truncate(self.len());
        order
    }

    /// The batches of an epoch, from the image at position `skip` of its order on.
    ///
    /// `batch_sizes` is asked once for each batch, with 0 for the first one of this call, 1 for the
    /// next, and so on; it is asked on the loader's thread, one batch ahead. The last batch has what
    /// is left of the epoch. To resume, `skip` is the number of images that were used already; at
    /// the length of the split or beyond there is no batch.
    pub fn epoch<F>(&self, epoch: u64, batch_sizes: F, skip: usize) -> Batches
    where
        F: FnMut(u64) -> usize + Send + 'static,
    {
        let random = (!self.augment.is_none()).then(|| random::stream(self.seed, "augment", epoch));
        Batches::start(
            Producer::new(
                &self.split,
                &self.tables,
                random.map(|random| (self.augment.clone(), random)),
                self.order(epoch),
                skip,
                Box::new(batch_sizes),
            ),
            self.prefetch,
        )
    }

    /// All images in the order of the split, without augmentation, `batch_size` at a time.
    pub fn evaluation(&self, batch_size: usize) -> Batches {
        self.evaluation_from(batch_size, 0)
    }

    /// As [`evaluation`](Self::evaluation), from the image at position `skip` on: to go on with one that was stopped,
    /// the number of images that it has seen.
    pub fn evaluation_from(&self, batch_size: usize, skip: usize) -> Batches {
        self.in_order((0..self.len() as u32).collect(), batch_size, skip)
    }

    /// The same for every `parts`-th image from image `part` on: parts of one size that have no image in common and, in a
    /// split sorted by class, the same share of each class. None for a part from `parts` on, 0 parts count as one.
    pub fn evaluation_part(&self, batch_size: usize, part: usize, parts: usize) -> Batches {
        let images = match part < parts.max(1) {
            true => (part as u32..self.len() as u32).step_by(parts.max(1)),
            false => (0..0).step_by(1),
        };
        self.in_order(images.collect(), batch_size, 0)
    }

    /// The images with these indices, in this order, without augmentation, `batch_size` at a time: with
    /// [`order`](Self::order), a random part of the split.
    ///
    /// # Panics
    /// For an index that the split does not have.
    pub fn evaluation_of(&self, indices: Vec<u32>, batch_size: usize) -> Batches {
        assert!(
            indices.iter().all(|i| (*i as usize) < self.len()),
            "an index beyond the {} images",
            self.len()
        );
        self.in_order(indices, batch_size, 0)
    }

    /// These images without augmentation, from the one at position `skip` on.
    fn in_order(&self, images: Vec<u32>, batch_size: usize, skip: usize) -> Batches {
        Batches::start(
            Producer::new(
                &self.split,
                &self.tables,
                None,
                images,
                skip,
                Box::new(move |_| batch_size),
            ),
            self.prefetch,
        )
    }
}

/// The batches of an epoch, in order.
///
/// An error is the last item. Dropped early, it waits for the batch in the making and ends its
/// thread.
#[derive(Debug)]
pub struct Batches {
    state: State,
    remaining: usize,
}

#[derive(Debug)]
enum State {
    /// Made by the consumer's own thread.
    Inline(Box<Producer>),
    /// Made ahead.
    Ahead {
        batches: Receiver<Result<Batch, DataError>>,
        thread: JoinHandle<()>,
    },
    /// The thread could not be started.
    Failed(DataError),
    /// Nothing more to come.
    Done,
}

impl Batches {
    fn start(producer: Producer, prefetch: bool) -> Self {
        let remaining = producer.remaining();
        let state = match prefetch && remaining > 0 {
            true => Self::spawn(producer),
            false => State::Inline(Box::new(producer)),
        };
        Self { state, remaining }
    }

    fn spawn(mut producer: Producer) -> State {
        // Without room in the channel, the thread makes one batch and waits until it is taken.
        let (sender, batches) = mpsc::sync_channel(0);
        let work = move || {
            while let Some(batch) = producer.next() {
                let failed = batch.is_err();
                if sender.send(batch).is_err() || failed {
                    return;
                }
            }
        };
        match thread::Builder::new()
            .name("onecycle-loader".to_owned())
            .spawn(work)
        {
            Ok(thread) => State::Ahead { batches, thread },
            Err(error) => State::Failed(DataError::Prefetch {
                reason: error.to_string(),
            }),
        }
    }

    /// Images that are still to come.
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// Ends the thread; says why, if it ended by a panic.
    fn finish(&mut self) -> Option<DataError> {
        let State::Ahead { batches, thread } = std::mem::replace(&mut self.state, State::Done)
        else {
            return None;
        };
        // Without its receiver, a thread that waits to hand over a batch goes on and ends.
        drop(batches);
        let panic = thread.join().err()?;
        let reason = (panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "it panicked".to_owned());
        Some(DataError::Prefetch { reason })
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = match &mut self.state {
            State::Inline(producer) => producer.next(),
            State::Ahead { batches, .. } => batches.recv().ok(),
            State::Failed(_) => match std::mem::replace(&mut self.state, State::Done) {
                State::Failed(error) => Some(Err(error)),
                _ => None,
            },
            State::Done => None,
        };
        match item {
            Some(Ok(batch)) => {
                self.remaining -= batch.len;
                Some(Ok(batch))
            }
            Some(Err(error)) => {
                self.remaining = 0;
                self.finish();
                self.state = State::Done;
                Some(Err(error))
            }
            None => {
                self.remaining = 0;
                self.finish().map(Err)
            }
        }
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.finish();
    }
}
