//! Makes one batch after another.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use super::batch::{Batch, Buffers};
use crate::augment::{EpochDraws, Transform};
use crate::dataset::Split;
use crate::error::DataError;

/// Size of the batch with this index.
pub(super) type BatchSizes = Box<dyn FnMut(u64) -> usize + Send>;

/// Source of the batches of one pass.
pub(super) struct Producer {
    split: Arc<Split>,
    tables: Arc<[[f32; 256]]>,
    /// The epoch's random choices; `None` leaves the images unchanged.
    draws: Option<EpochDraws>,
    order: Vec<u32>,
    /// Position in `order` of the next image.
    position: usize,
    /// Index of the next batch.
    batch: u64,
    batch_sizes: BatchSizes,
    /// Whether an incomplete last batch is left out.
    drop_last: bool,
    /// A dropped batch sends its buffers here.
    recycle: Sender<Buffers>,
    returned: Receiver<Buffers>,
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("position", &self.position)
            .field("batch", &self.batch)
            .finish()
    }
}

impl Producer {
    pub(super) fn new(
        split: Arc<Split>,
        tables: Arc<[[f32; 256]]>,
        draws: Option<EpochDraws>,
        order: Vec<u32>,
        position: usize,
        batch_sizes: BatchSizes,
    ) -> Self {
        let (recycle, returned) = mpsc::channel();
        Self {
            split,
            tables,
            draws,
            order,
            position,
            batch: 0,
            batch_sizes,
            drop_last: false,
            recycle,
            returned,
        }
    }

    /// Leaves out an incomplete last batch.
    pub(super) fn drop_last(self, drop_last: bool) -> Self {
        Self { drop_last, ..self }
    }

    /// Number of images still to come.
    pub(super) fn remaining(&self) -> usize {
        self.order.len().saturating_sub(self.position)
    }

    /// The next batch; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Result<Batch, DataError>> {
        let left = self.remaining();
        if left == 0 {
            return None;
        }
        let size = (self.batch_sizes)(self.batch);
        if self.drop_last && left < size {
            return None;
        }
        let len = size.min(left);
        if len == 0 {
            return Some(Err(DataError::BatchSize { batch: self.batch }));
        }
        let mut buffers = self.returned.try_recv().unwrap_or_default();
        self.fill(len, &mut buffers);
        self.position += len;
        self.batch += 1;
        Some(Ok(Batch::new(
            buffers,
            self.split.shape(),
            self.recycle.clone(),
        )))
    }

    fn fill(&self, len: usize, buffers: &mut Buffers) {
        let shape = self.split.shape();
        let indices = &self.order[self.position..self.position + len];
        buffers.indices.clear();
        buffers.indices.extend_from_slice(indices);
        buffers.labels.clear();
        buffers.labels.extend(
            indices
                .iter()
                .map(|&index| i64::from(self.split.label(index as usize))),
        );
        // All values are overwritten below, so only newly added ones are set here.
        buffers.images.resize(len * shape.len(), 0.0);
        for (&index, out) in indices
            .iter()
            .zip(buffers.images.chunks_exact_mut(shape.len()))
        {
            let transform = match &self.draws {
                None => Transform::default(),
                Some(draws) => draws.transform(index, shape),
            };
            transform.apply(self.split.image(index as usize), shape, &self.tables, out);
        }
    }
}
