//! The making of one batch after another.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use super::Batch;
use crate::augment::{Augment, Transform};
use crate::dataset::Split;
use crate::error::DataError;
use crate::random::ChaCha8Rng;

/// Memory of a batch, to be used again.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    pub(super) images: Vec<f32>,
    pub(super) labels: Vec<i64>,
    pub(super) indices: Vec<u32>,
}

/// How large the batch of this index shall be.
pub(super) type BatchSizes = Box<dyn FnMut(u64) -> usize + Send>;

/// What the batches of one epoch are made from.
pub(super) struct Producer {
    split: Arc<Split>,
    tables: Arc<[[f32; 256]]>,
    /// The augmentation and the epoch's stream; none where nothing is to be drawn.
    augment: Option<(Augment, ChaCha8Rng)>,
    order: Vec<u32>,
    /// Position in `order` of the next image.
    position: usize,
    /// Index of the next batch.
    batch: u64,
    batch_sizes: BatchSizes,
    /// Where a batch that is dropped sends its buffers.
    home: Sender<Buffers>,
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
        split: &Arc<Split>,
        tables: &Arc<[[f32; 256]]>,
        augment: Option<(Augment, ChaCha8Rng)>,
        order: Vec<u32>,
        position: usize,
        batch_sizes: BatchSizes,
    ) -> Self {
        let (home, returned) = mpsc::channel();
        Self {
            split: Arc::clone(split),
            tables: Arc::clone(tables),
            augment,
            order,
            position,
            batch: 0,
            batch_sizes,
            home,
            returned,
        }
    }

    /// Images that are still to come.
    pub(super) fn remaining(&self) -> usize {
        self.order.len().saturating_sub(self.position)
    }

    /// The next batch; none at the end of the epoch.
    pub(super) fn next(&mut self) -> Option<Result<Batch, DataError>> {
        let left = self.remaining();
        if left == 0 {
            return None;
        }
        let len = (self.batch_sizes)(self.batch).min(left);
        if len == 0 {
            return Some(Err(DataError::BatchSize { batch: self.batch }));
        }
        let mut buffers = self.returned.try_recv().unwrap_or_default();
        self.fill(len, &mut buffers);
        self.position += len;
        self.batch += 1;
        let Buffers {
            images,
            labels,
            indices,
        } = buffers;
        Some(Ok(Batch {
            images,
            labels,
            indices,
            len,
            home: Some(self.home.clone()),
        }))
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
        // Every value is overwritten: only what is new needs to be set at all.
        buffers.images.resize(len * shape.len(), 0.0);
        for (&index, out) in indices
            .iter()
            .zip(buffers.images.chunks_exact_mut(shape.len()))
        {
            let transform = match &self.augment {
                None => Transform::default(),
                Some((augment, epoch)) => {
                    // The image's own stream: independent of its position and of its neighbours.
                    let mut random = epoch.clone();
                    random.set_stream(u64::from(index));
                    augment.draw(&mut random, shape)
                }
            };
            transform.apply(self.split.image(index as usize), shape, &self.tables, out);
        }
    }
}
