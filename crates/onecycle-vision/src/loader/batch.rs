//! A batch of images, whose memory is reused.

use std::sync::mpsc::Sender;

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::dataset::ImageShape;

/// Images and labels of one step.
///
/// [`tensors`](Self::tensors) copies it to a device; the fields are for other frameworks. A dropped
/// batch returns its memory to the loader, which uses it for a later batch. To keep `images`, take
/// them out with [`std::mem::take`].
#[derive(Debug)]
pub struct Batch {
    /// Normalised values `[image, channel, row, column]`, or features `[image, feature, 1, 1]`.
    pub images: Vec<f32>,
    /// Label of each image.
    pub labels: Vec<i64>,
    /// Index of each image in its split.
    pub indices: Vec<u32>,
    /// Number of images.
    pub len: usize,
    /// Shape of every image.
    pub shape: ImageShape,
    /// Whether `images` has [features](super::Features) of a frozen network. Give their tensor to
    /// [`Network::classify`](crate::models::Network::classify).
    pub features: bool,
    /// The second label of each image if mixup or CutMix mixed it with another one.
    pub mixed: Option<MixedLabels>,
    /// Returns the memory to the producer.
    recycle: Option<Sender<Buffers>>,
}

/// Second labels of mixed images. The loss is `share` times that for [`Batch::labels`] plus
/// `1 - share` times that for these.
#[derive(Clone, Debug, PartialEq)]
pub struct MixedLabels {
    /// Label of the other image of each image.
    pub labels: Vec<i64>,
    /// Share of the image with the label in [`Batch::labels`], 0 to 1.
    pub share: f64,
}

impl Batch {
    pub(super) fn new(
        buffers: Buffers,
        shape: ImageShape,
        mixed: Option<MixedLabels>,
        recycle: Sender<Buffers>,
    ) -> Self {
        let Buffers {
            images,
            labels,
            indices,
        } = buffers;
        Self {
            len: labels.len(),
            shape,
            images,
            labels,
            indices,
            features: false,
            mixed,
            recycle: Some(recycle),
        }
    }

    /// Images `[batch, channels, height, width]`, normalised, and labels `[batch]` on a device. To
    /// train, give the device of the network, with autodiff. [`mixed`](Self::mixed) is dropped; take
    /// it out before if the augmentation mixes images.
    pub fn tensors(mut self, device: &Device) -> (Tensor<4>, Tensor<1, Int>) {
        let ImageShape {
            channels,
            height,
            width,
        } = self.shape;
        let (images, labels) = (
            std::mem::take(&mut self.images),
            std::mem::take(&mut self.labels),
        );
        let images = TensorData::new(images, [self.len, channels, height, width]);
        let labels = TensorData::new(labels, [self.len]);
        (
            Tensor::from_data(images, device),
            Tensor::from_data(labels, device),
        )
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
