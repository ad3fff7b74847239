use burn::tensor::{Int, Tensor};
use onecycle_burn::diagnose::Objective;
use onecycle_vision::{Batch, Batches, DataError, models::Model};

use crate::{Experiment, TrainError, observer::Observer, trainer::TrainingData};

/// An epoch that no training reaches: its order and its augmentation are reserved for diagnoses.
pub(super) const EPOCH: u64 = u64::MAX;
/// Largest number of images whose activations are in memory at once.
const AT_A_TIME: usize = 250;

/// Training images in memory, in micro-batches of equal size.
pub(super) struct Images<'a> {
    batches: Vec<(Tensor<4>, Tensor<1, Int>)>,
    /// Images per micro-batch.
    pub(super) size: usize,
    data: TrainingData,
    /// Number of losses and gradients of micro-batches computed so far.
    pub(super) evaluated: usize,
    observer: &'a mut dyn Observer,
}

impl<'a> Images<'a> {
    /// Up to `batches` micro-batches of at most `size` different training images, augmented as in
    /// training. If the training set is small, the micro-batches are smaller, so that there are at
    /// least 32 if there are as many images.
    pub(super) fn augmented(
        experiment: &Experiment,
        batches: usize,
        size: usize,
        observer: &'a mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let train = &experiment.data.train;
        let size = size.min(train.len() / batches.min(32)).max(1);
        let epoch = train.epoch(EPOCH, size).batches();
        let batches = batches.min(train.len() / size);
        Images::collect(experiment, epoch, batches, size, observer)
    }

    /// The first `images` training images of the order, or all, without augmentation. A few are
    /// omitted if they cannot be divided evenly.
    pub(super) fn plain(
        experiment: &Experiment,
        images: usize,
        observer: &'a mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let train = &experiment.data.train;
        let images = images.min(train.len());
        let batches = images.div_ceil(AT_A_TIME);
        let size = images / batches;
        let epoch = train.evaluation(size).images(train.order(EPOCH)).batches();
        Images::collect(experiment, epoch, batches, size, observer)
    }

    fn collect(
        experiment: &Experiment,
        epoch: Batches,
        batches: usize,
        size: usize,
        observer: &'a mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let device = experiment.device.clone().autodiff();
        let of = |batch: Result<Batch, DataError>| -> Result<_, TrainError> {
            Ok(batch?.tensors(&device))
        };
        Ok(Images {
            batches: epoch
                .take(batches)
                .map(of)
                .collect::<Result<Vec<_>, TrainError>>()?,
            size,
            data: experiment.training_data()?,
            evaluated: 0,
            observer,
        })
    }

    /// Total number of images.
    pub(super) fn images(&self) -> usize {
        self.batches.len() * self.size
    }

    /// Tells the observer the next part, which evaluates all micro-batches `evaluations` times.
    pub(super) fn begin(&mut self, part: &str, evaluations: usize) {
        self.observer
            .diagnosis_part(part, evaluations * self.batches.len());
    }
}

impl Objective<Model> for Images<'_> {
    type Error = TrainError;

    fn batches(&self) -> usize {
        self.batches.len()
    }

    fn loss(&mut self, model: &Model, batch: usize) -> Result<Tensor<1>, TrainError> {
        let (images, labels) = self.batches[batch].clone();
        let loss = self.data.loss(model.forward(images), labels);
        self.evaluated += 1;
        self.observer.diagnosis_batch();
        Ok(loss)
    }
}
