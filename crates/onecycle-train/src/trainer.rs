//! The training step: batch, forward, loss, backward, update.
//!
//! [`Trainer`] trains a network in memory. It has no folder, no records and no observer:
//! [`Training`](crate::training::Training) adds those. The learning-rate search, the curriculum and
//! the benchmark call the same [`Trainer::step`]. A whole training is one loop:
//!
//! ```no_run
//! use onecycle_train::{Config, Experiment, trainer::StepResult};
//!
//! let experiment = Experiment::prepare(Config::default())?;
//! let mut trainer = experiment.trainer()?;
//! while !trainer.is_finished() {
//!     match trainer.step()? {
//!         StepResult::Updated(update) => println!("{:.3}", update.metrics.mean_loss()),
//!         StepResult::NotFinite => break,
//!     }
//! }
//! let test = trainer.evaluate(experiment.data.test.evaluation(500))?;
//! println!("{:.2} %", 100.0 * test.accuracy());
//! # Ok::<(), onecycle_train::TrainError>(())
//! ```

use std::sync::Arc;

use burn::{
    optim::GradientsParams,
    tensor::{Device, Int, Tensor},
};
use onecycle::{Hyper, Plan};
use onecycle_burn::{
    Optimizer,
    nn::{cross_entropy, weighted_cross_entropy},
};
use onecycle_vision::{
    Batch, Batches, DataError, Loader,
    models::{Model, Network},
};

use crate::{
    TrainError,
    metrics::{self, Evaluator, MetricSums, WeightedSums},
};

/// A network, its optimizer, the plan of its hyper-parameters and its training images.
///
/// The network is one of [`onecycle_vision::models`], or any other [`Network`].
#[derive(Debug)]
pub struct Trainer<N = Model> {
    /// The network, on the device with autodiff.
    pub model: N,
    /// The optimizer with its state.
    pub optimizer: Optimizer,
    plan: Arc<Plan>,
    data: TrainingData,
    cursor: Cursor,
    /// The remaining batches of the current epoch; `None` until the first is needed.
    batches: Option<Batches>,
}

/// The training images and the settings of the loss.
#[derive(Debug, Clone)]
pub struct TrainingData {
    /// Training images, shuffled and augmented.
    pub loader: Loader,
    /// Device to train on, without autodiff.
    pub device: Device,
    /// Images per update if the plan sets no batch size.
    pub batch_size: usize,
    /// Label smoothing: share of the target spread over all classes, at least 0 and below 1.
    pub label_smoothing: f64,
    /// Weight of each class in the loss, above 0; `None` for equal weights.
    pub class_weights: Option<Arc<[f64]>>,
}

/// Position in a training. The batches are a function of it, so a resumed training needs no other
/// state of the data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Updates made.
    pub step: u64,
    /// Epoch of the next update, counted from 0.
    pub epoch: u64,
    /// Images of that epoch already trained on.
    pub images_of_epoch: u64,
}

/// Result of [`Trainer::step`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StepResult {
    /// The network was updated.
    Updated(Update),
    /// The loss is NaN or infinite. The weights, the optimizer and the cursor did not change.
    NotFinite,
}

/// One update of the network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    /// Number of the update, counted from 0.
    pub step: u64,
    /// Epoch of the update, counted from 0.
    pub epoch: u64,
    /// Loss and accuracy on the batch, before the update. The loss has neither label smoothing nor
    /// class weights, so that it can be compared with that of other images.
    pub metrics: MetricSums,
    /// Euclidean norm of the gradient, if the optimizer computes it.
    pub grad_norm: Option<f64>,
}

impl<N: Network> Trainer<N> {
    /// A trainer before its first update.
    pub fn new(model: N, optimizer: Optimizer, plan: Arc<Plan>, data: TrainingData) -> Self {
        Trainer {
            model,
            optimizer,
            plan,
            data,
            cursor: Cursor::default(),
            batches: None,
        }
    }

    /// Makes the next update with the hyper-parameters of the plan.
    ///
    /// # Errors
    /// The plan is over and its `at_end` is `error`, the data cannot be read, or the optimizer
    /// cannot use the hyper-parameters.
    pub fn step(&mut self) -> Result<StepResult, TrainError> {
        let hyper = self.plan.try_at(self.cursor.step)?;
        self.step_with(&hyper)
    }

    /// Makes the next update with the given hyper-parameters.
    ///
    /// # Errors
    /// The data cannot be read, or the optimizer cannot use the hyper-parameters.
    pub fn step_with(&mut self, hyper: &Hyper) -> Result<StepResult, TrainError> {
        let batch = self.next_batch()?;
        let labels = batch.labels.clone();
        let Forward { logits, loss } = self.forward(batch);
        let gradients = self.backward(&loss);
        let metrics = MetricSums::of(&metrics::to_host(logits.without_autodiff())?, &labels);
        if !metrics.loss.is_finite() {
            return Ok(StepResult::NotFinite);
        }
        let grad_norm = self.update(hyper, gradients)?;
        let update = Update {
            step: self.cursor.step,
            epoch: self.cursor.epoch,
            metrics,
            grad_norm,
        };
        self.cursor.step += 1;
        self.cursor.images_of_epoch += metrics.images;
        Ok(StepResult::Updated(update))
    }

    /// Returns the batch of the next update. If the current epoch is over, begins the next one.
    ///
    /// # Errors
    /// The data cannot be read.
    pub fn next_batch(&mut self) -> Result<Batch, TrainError> {
        loop {
            if self.epoch_is_over() {
                self.begin_next_epoch();
            }
            let cursor = self.cursor;
            let batches = self
                .batches
                .get_or_insert_with(|| self.data.batches(cursor, &self.plan));
            match batches.next() {
                Some(batch) => return Ok(batch?),
                None => self.begin_next_epoch(),
            }
        }
    }

    /// Computes the logits and the loss of a batch.
    pub fn forward(&self, batch: Batch) -> Forward {
        self.data.forward(&self.model, batch)
    }

    /// Computes the gradient of the loss with respect to every parameter.
    pub fn backward(&self, loss: &Tensor<1>) -> GradientsParams {
        GradientsParams::from_grads(loss.backward(), &self.model)
    }

    /// Updates the network. Returns the norm of the gradient if the optimizer computes it.
    ///
    /// # Errors
    /// The optimizer cannot use the hyper-parameters.
    pub fn update(
        &mut self,
        hyper: &Hyper,
        gradients: GradientsParams,
    ) -> Result<Option<f64>, TrainError> {
        let (model, report) = self.optimizer.step(hyper, self.model.clone(), gradients)?;
        self.model = model;
        Ok(report.grad_norm)
    }

    /// Measures loss and accuracy of the network in evaluation mode.
    ///
    /// # Errors
    /// The data cannot be read.
    pub fn evaluate(
        &self,
        batches: impl IntoIterator<Item = Result<Batch, DataError>>,
    ) -> Result<MetricSums, TrainError> {
        let model = self.model.valid();
        Evaluator::new(&model, &self.data.device).over(batches)
    }

    /// Like [`evaluate`](Self::evaluate), and with the class weights of the training loss.
    pub(crate) fn evaluate_weighted(
        &self,
        batches: impl IntoIterator<Item = Result<Batch, DataError>>,
    ) -> Result<WeightedSums, TrainError> {
        let model = self.model.valid();
        let weights = self.data.class_weights.as_deref();
        Evaluator::new(&model, &self.data.device).weighted(batches, weights)
    }

    /// Continues from `cursor`; `model` and `optimizer` must have the state of that position.
    #[must_use]
    pub fn at(self, cursor: Cursor) -> Self {
        Trainer {
            cursor,
            batches: None,
            ..self
        }
    }

    /// The position of the next update.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Whether all updates of the plan are made.
    pub fn is_finished(&self) -> bool {
        self.cursor.step >= self.plan.steps()
    }

    /// Whether every image of the current epoch has been trained on.
    pub fn epoch_is_over(&self) -> bool {
        self.cursor.images_of_epoch >= self.data.loader.len() as u64
    }

    /// Moves to the first batch of the next epoch. [`step`](Self::step) calls this when an epoch is
    /// over; call it yourself only to end an epoch early.
    pub fn begin_next_epoch(&mut self) {
        self.cursor.epoch += 1;
        self.cursor.images_of_epoch = 0;
        self.batches = None;
    }
}

/// Result of a forward pass.
pub struct Forward {
    /// Logits `[batch, classes]`.
    pub logits: Tensor<2>,
    /// Cross-entropy `[1]`, with label smoothing and class weights.
    pub loss: Tensor<1>,
}

impl TrainingData {
    /// Runs `model`, a network with autodiff, on a batch.
    pub fn forward(&self, model: &impl Network, batch: Batch) -> Forward {
        let (images, labels) = batch.tensors(&self.device.clone().autodiff());
        let logits = model.forward(images);
        let loss = self.loss(logits.clone(), labels);
        Forward { logits, loss }
    }

    /// The loss `[1]` of logits `[batch, classes]` against class indices `[batch]`.
    pub fn loss(&self, logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
        match &self.class_weights {
            None => cross_entropy(logits, labels, self.label_smoothing),
            Some(weights) => weighted_cross_entropy(logits, labels, self.label_smoothing, weights),
        }
    }

    /// The batches of an epoch from `cursor` on, in the sizes that the plan sets.
    fn batches(&self, cursor: Cursor, plan: &Arc<Plan>) -> Batches {
        let (plan, default) = (Arc::clone(plan), self.batch_size);
        let batch_size = move |index| {
            let size = plan.at(cursor.step + index).batch_size;
            size.map_or(default, |size| size as usize)
        };
        let skip = cursor.images_of_epoch as usize;
        self.loader
            .epoch(cursor.epoch, self.batch_size)
            .batch_sizes(batch_size)
            .skip(skip)
            .batches()
    }
}
