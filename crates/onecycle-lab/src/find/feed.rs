use burn::{module::Module, tensor::Tensor};
use onecycle::Hyper;
use onecycle_burn::range_test::{Feed, Measured};
use onecycle_vision::{Batch, Batches as Epoch, models::Model};

use super::{FindConfig, FindObserver};
use crate::{Experiment, LabError, metrics, train};

/// Images that accuracy is measured on, about as many at most: half a per cent is its error then.
const MOST_VALIDATION: usize = 2000;

/// The batches of a training from its first epoch on, for one range test.
pub(super) struct Batches<'a> {
    experiment: &'a Experiment,
    find: &'a FindConfig,
    batch_size: usize,
    observer: &'a mut dyn FindObserver,
    epoch: u64,
    batches: Epoch,
    made: u64,
}

impl<'a> Batches<'a> {
    pub(super) fn new(
        experiment: &'a Experiment,
        find: &'a FindConfig,
        hyper: Hyper,
        observer: &'a mut dyn FindObserver,
    ) -> Self {
        let batch_size = hyper
            .batch_size
            .map_or(experiment.config.batch_size, |size| size as usize);
        Batches {
            experiment,
            find,
            batch_size,
            observer,
            epoch: 0,
            batches: experiment.data.train.epoch(0, move |_| batch_size, 0),
            made: 0,
        }
    }

    fn next(&mut self) -> Result<Batch, LabError> {
        loop {
            if let Some(batch) = self.batches.next() {
                return Ok(batch?);
            }
            self.epoch += 1;
            let size = self.batch_size;
            self.batches = self
                .experiment
                .data
                .train
                .epoch(self.epoch, move |_| size, 0);
        }
    }
}

impl Feed<Model> for Batches<'_> {
    type Error = LabError;

    fn loss(&mut self, model: &Model) -> Result<Option<Tensor<1>>, LabError> {
        if self.observer.stop() {
            return Ok(None);
        }
        let mut batch = self.next()?;
        let (_, loss) = train::forward(self.experiment, model, &mut batch);
        let rung = self.made.saturating_sub(self.find.warm_up);
        self.made += 1;
        self.observer.step(self.find.ladder.at(rung));
        Ok(Some(loss))
    }

    fn validate(&mut self, model: &Model, updates: usize) -> Result<Measured, LabError> {
        let every = self.find.validate_every;
        if every == 0 || !updates.is_multiple_of(every) {
            return Ok(Measured::default());
        }
        let held_out = &self.experiment.data.validation;
        let parts = held_out.len().div_ceil(MOST_VALIDATION);
        let tally = metrics::evaluate_part(&model.valid(), self.experiment, held_out, 0, parts)?;
        Ok(Measured {
            loss: Some(tally.mean_loss()),
            accuracy: Some(tally.accuracy()),
        })
    }
}
