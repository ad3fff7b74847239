use burn::{module::Module, tensor::Tensor};
use onecycle::Hyper;
use onecycle_burn::range_test::{Feed, ValidationScore};
use onecycle_vision::{Batch, Batches, ImageSize, models::Model};

use super::settings::RangeTestConfig;
use crate::{
    Experiment, TrainError, metrics::Evaluator, observer::Observer, trainer::TrainingData,
};

/// Approximate largest number of images to measure accuracy on: the standard error is then half a
/// percentage point.
const MAX_VALIDATION: usize = 2000;

/// The batches of a training from its first epoch on, for one range test.
pub(super) struct EpochBatches<'a> {
    experiment: &'a Experiment,
    options: &'a RangeTestConfig,
    batch_size: usize,
    /// Size of all images; `None` for full images.
    image_size: Option<ImageSize>,
    observer: &'a mut dyn Observer,
    epoch: u64,
    batches: Batches,
    data: TrainingData,
    updates: u64,
}

impl<'a> EpochBatches<'a> {
    pub(super) fn new(
        experiment: &'a Experiment,
        options: &'a RangeTestConfig,
        hyper: Hyper,
        observer: &'a mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let batch_size = hyper
            .batch_size
            .map_or(experiment.config.batch_size, |size| size as usize);
        let data = experiment.training_data()?;
        let sizes = data.image_sizes.as_ref();
        let image_size = sizes.map(|sizes| sizes.at(experiment.peak_step()));
        Ok(EpochBatches {
            experiment,
            options,
            batch_size,
            image_size,
            observer,
            epoch: 0,
            batches: epoch(experiment, 0, batch_size, image_size),
            data,
            updates: 0,
        })
    }

    /// The loss on the next batch, `[1]`; `None` if the batch is empty. Its shards go through the network
    /// one after another, so that batch norm sees what it sees in the training.
    fn mean_loss(&mut self, model: &Model) -> Result<Option<Tensor<1>>, TrainError> {
        let shards = self.experiment.config.shards;
        if shards == 1 {
            let batch = self.next()?;
            return Ok(Some(self.data.forward(model, batch).loss));
        }
        let (mut images, mut sum) = (0, None);
        for _ in 0..shards {
            let shard = self.next()?;
            let count = shard.len;
            if count == 0 {
                continue;
            }
            images += count;
            let loss = self.data.forward(model, shard).loss * count as f64;
            sum = Some(match sum {
                None => loss,
                Some(sum) => loss + sum,
            });
        }
        Ok(sum.map(|sum: Tensor<1>| sum / images as f64))
    }

    fn next(&mut self) -> Result<Batch, TrainError> {
        loop {
            if let Some(batch) = self.batches.next() {
                return Ok(batch?);
            }
            self.epoch += 1;
            self.batches = epoch(
                self.experiment,
                self.epoch,
                self.batch_size,
                self.image_size,
            );
        }
    }
}

/// The batches of an epoch, with images of one size.
fn epoch(
    experiment: &Experiment,
    epoch: u64,
    batch_size: usize,
    image_size: Option<ImageSize>,
) -> Batches {
    let pass = experiment.data.train.epoch(epoch, batch_size);
    let shards = experiment.config.shards;
    let pass = pass.pieces(0..shards, shards);
    match image_size {
        None => pass.batches(),
        Some(size) => pass.image_sizes(move |_| size).batches(),
    }
}

impl Feed<Model> for EpochBatches<'_> {
    type Error = TrainError;

    fn loss(&mut self, model: &Model) -> Result<Option<Tensor<1>>, TrainError> {
        if self.observer.stop() {
            return Ok(None);
        }
        let Some(loss) = self.mean_loss(model)? else {
            return Ok(None);
        };
        let step = self.updates.saturating_sub(self.options.warm_up);
        self.updates += 1;
        self.observer.search_step(self.options.sweep.at(step));
        Ok(Some(loss))
    }

    fn validate(&mut self, model: &Model, updates: usize) -> Result<ValidationScore, TrainError> {
        let every = self.options.validate_every;
        if every == 0 || !updates.is_multiple_of(every) {
            return Ok(ValidationScore::default());
        }
        let held_out = &self.experiment.data.validation;
        let parts = held_out.len().div_ceil(MAX_VALIDATION);
        let batches = held_out
            .evaluation(self.experiment.config.eval_batch_size)
            .part(0, parts);
        let model = model.valid();
        let weights = self.data.class_weights.as_deref();
        let sums = Evaluator::new(&model, &self.data.device).weighted(batches, weights)?;
        Ok(ValidationScore {
            loss: Some(sums.mean_loss()),
            accuracy: Some(sums.metrics.accuracy()),
        })
    }
}
