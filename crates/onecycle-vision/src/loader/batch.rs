//! A batch of images, whose memory is reused.

use std::sync::mpsc::Sender;

/// Images and labels of one step.
///
/// A dropped batch returns its memory to the loader, which uses it for a later batch. To keep
/// `images`, take them out with [`std::mem::take`].
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
    /// Returns the memory to the producer.
    recycle: Option<Sender<Buffers>>,
}

impl Batch {
    pub(super) fn new(buffers: Buffers, recycle: Sender<Buffers>) -> Self {
        let Buffers {
            images,
            labels,
            indices,
        } = buffers;
        Self {
            len: labels.len(),
            images,
            labels,
            indices,
            recycle: Some(recycle),
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if let Some(recycle) = self.recycle.take() {
            // If the producer is gone, sending fails and the memory is freed.
            let _ = recycle.send(Buffers {
                images: std::mem::take(&mut self.images),
                labels: std::mem::take(&mut self.labels),
                indices: std::mem::take(&mut self.indices),
            });
        }
    }
}

/// Memory of a batch, reused for later batches.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    pub(super) images: Vec<f32>,
    pub(super) labels: Vec<i64>,
    pub(super) indices: Vec<u32>,
}
