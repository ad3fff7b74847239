//! Makes one batch after another.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use super::batch::{Batch, Buffers, MixedLabels};
use super::features::Features;
use crate::augment::resample::{Axis, resize};
use crate::augment::{EpochDraws, Transform};
use crate::dataset::{ImageShape, ImageSize, Split};
use crate::error::DataError;

/// Number of images in the batch with this index.
pub(super) type BatchSizes = Box<dyn FnMut(u64) -> usize + Send>;
/// Height and width of the images in the batch with this index.
pub(super) type ImageSizes = Box<dyn FnMut(u64) -> ImageSize + Send>;

/// What a pass consists of.
pub(super) struct Contents {
    /// Indices of the images in their order.
    pub(super) order: Vec<u32>,
    /// Position in `order` of the first image.
    pub(super) position: usize,
    /// The epoch's random choices; `None` leaves the images unchanged.
    pub(super) draws: Option<EpochDraws>,
    pub(super) batch_sizes: BatchSizes,
    /// `None` for the size of the split.
    pub(super) image_sizes: Option<ImageSizes>,
    /// Whether an incomplete last batch is left out.
    pub(super) drop_last: bool,
    pub(super) pieces: Pieces,
    /// Epoch whose views of the features are used.
    pub(super) views: u64,
}

/// The pieces of each batch that are made.
pub(super) struct Pieces {
    pub(super) range: Range<usize>,
    /// Number of pieces of a batch.
    pub(super) of: usize,
}

impl Default for Pieces {
    fn default() -> Self {
        Pieces { range: 0..1, of: 1 }
    }
}

impl Pieces {
    /// The images of a piece, as a range of a batch of `len` images.
    fn images(&self, piece: usize, len: usize) -> Range<usize> {
        let (each, larger) = (len / self.of, len % self.of);
        let start = |piece: usize| piece * each + piece.min(larger);
        start(piece)..start(piece + 1)
    }
}

/// A batch of which pieces are made.
struct Whole {
    /// Number of images.
    len: usize,
    shape: ImageShape,
    /// The next piece.
    piece: usize,
}

/// Source of the batches of one pass.
pub(super) struct Producer {
    split: Arc<Split>,
    tables: Arc<[[f32; 256]]>,
    /// Taken instead of images, if there are any.
    features: Option<Arc<Features>>,
    /// Its position is that of the next image.
    pass: Contents,
    /// Index of the next batch.
    batch: u64,
    /// The batch whose pieces are being made.
    whole: Option<Whole>,
    /// Memory for mixing and resizing images.
    floats: Vec<f32>,
    between: Vec<f32>,
    /// A dropped batch sends its buffers here.
    recycle: Sender<Buffers>,
    returned: Receiver<Buffers>,
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("position", &self.pass.position)
            .field("batch", &self.batch)
            .finish()
    }
}

impl Producer {
    pub(super) fn new(
        split: Arc<Split>,
        tables: Arc<[[f32; 256]]>,
        features: Option<Arc<Features>>,
        pass: Contents,
    ) -> Self {
        let (recycle, returned) = mpsc::channel();
        Self {
            split,
            tables,
            features,
            pass,
            batch: 0,
            whole: None,
            floats: Vec::new(),
            between: Vec::new(),
            recycle,
            returned,
        }
    }

    /// Number of images still to come.
    pub(super) fn remaining(&self) -> usize {
        self.pass.order.len().saturating_sub(self.pass.position)
    }

    /// The next piece of a batch; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Result<Batch, DataError>> {
        let whole = match self.whole.take() {
            Some(whole) => whole,
            None => match self.begin()? {
                Ok(whole) => whole,
                Err(error) => return Some(Err(error)),
            },
        };
        let Whole { len, shape, piece } = whole;
        let images = self.pass.pieces.images(piece, len);
        let first = self.pass.position + images.start;
        let mut buffers = self.returned.try_recv().unwrap_or_default();
        self.fill(first, images.len(), shape, &mut buffers);
        let mixed = self.mix(first, images.len(), shape, &mut buffers);
        if piece + 1 < self.pass.pieces.range.end {
            let piece = piece + 1;
            self.whole = Some(Whole { len, shape, piece });
        } else {
            self.pass.position += len;
            self.batch += 1;
        }
        let mut batch = Batch::new(buffers, shape, mixed, self.recycle.clone());
        batch.features = self.features.is_some();
        Some(Ok(batch))
    }

    /// Begins the next batch; `None` at the end.
    fn begin(&mut self) -> Option<Result<Whole, DataError>> {
        let left = self.remaining();
        if left == 0 {
            return None;
        }
        let size = (self.pass.batch_sizes)(self.batch);
        if self.pass.drop_last && left < size {
            return None;
        }
        let len = size.min(left);
        if len == 0 {
            return Some(Err(DataError::BatchSize { batch: self.batch }));
        }
        let piece = self.pass.pieces.range.start;
        Some(self.shape().map(|shape| Whole { len, shape, piece }))
    }

    /// Shape of the images in the next batch.
    fn shape(&mut self) -> Result<ImageShape, DataError> {
        if let Some(features) = &self.features {
            return Ok(ImageShape::new(features.width(), 1, 1));
        }
        let full = self.split.shape();
        let Some(sizes) = &mut self.pass.image_sizes else {
            return Ok(full);
        };
        let ImageSize { height, width } = sizes(self.batch);
        if (1..=full.height).contains(&height) && (1..=full.width).contains(&width) {
            return Ok(ImageShape::new(full.channels, height, width));
        }
        Err(DataError::Setting {
            key: "image size of a batch",
            value: format!("{height} x {width}"),
            expected: format!("1 x 1 to {} x {}", full.height, full.width),
        })
    }

    /// Sets the indices and labels of `len` images from position `first` of the order on.
    fn label(&self, first: usize, len: usize, buffers: &mut Buffers) {
        let indices = &self.pass.order[first..first + len];
        buffers.indices.clear();
        buffers.indices.extend_from_slice(indices);
        buffers.labels.clear();
        buffers.labels.extend(
            indices
                .iter()
                .map(|&index| i64::from(self.split.label(index as usize))),
        );
    }

    /// Makes `len` images from position `first` of the order on, or takes their features.
    fn fill(&mut self, first: usize, len: usize, shape: ImageShape, buffers: &mut Buffers) {
        self.label(first, len, buffers);
        if let Some(features) = &self.features {
            buffers.images.clear();
            for index in &buffers.indices {
                let values = features.of(*index, self.pass.views);
                buffers.images.extend_from_slice(values);
            }
            return;
        }
        let full = self.split.shape();
        // All values are overwritten below, so only newly added ones are set here.
        buffers.images.resize(len * shape.len(), 0.0);
        let axes = (shape != full).then(|| {
            [
                Axis::new(0, full.height, shape.height),
                Axis::new(0, full.width, shape.width),
            ]
        });
        for (&index, out) in buffers
            .indices
            .iter()
            .zip(buffers.images.chunks_exact_mut(shape.len()))
        {
            let transform = match &self.pass.draws {
                None => Transform::default(),
                Some(draws) => draws.transform(index, full),
            };
            let image = self.split.image(index as usize);
            let Some([rows, columns]) = &axes else {
                transform.apply(image, full, &self.tables, out);
                continue;
            };
            self.floats.resize(full.len(), 0.0);
            transform.apply(image, full, &self.tables, &mut self.floats);
            let planes = self.floats.chunks_exact(full.plane());
            for (plane, out) in planes.zip(out.chunks_exact_mut(shape.plane())) {
                resize(plane, full.width, [rows, columns], &mut self.between, out);
            }
        }
    }

    /// Mixes the images from position `first` of the order on, if the augmentation does so.
    fn mix(
        &mut self,
        first: usize,
        len: usize,
        shape: ImageShape,
        buffers: &mut Buffers,
    ) -> Option<MixedLabels> {
        let mixes = len > 0 && self.features.is_none();
        let draws = self.pass.draws.as_ref().filter(|_| mixes)?;
        let mix = draws.mix(first, len, shape)?;
        mix.apply(&mut buffers.images, shape, &mut self.floats);
        let partner = |index: &u32| buffers.labels[*index as usize];
        Some(MixedLabels {
            labels: mix.partners.iter().map(partner).collect(),
            share: mix.share,
        })
    }
}
