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
    tensor::{Device, Int, Tensor, TensorData},
};
use onecycle::{Hyper, Plan};
use onecycle_burn::{
    Optimizer, batch_statistics,
    nn::{cross_entropy, weighted_cross_entropy},
    state,
};
use onecycle_vision::{
    Batch, Batches, DataError, ImageSize, Loader, MixedLabels,
    models::{Model, Network},
};

use crate::{
    TrainError,
    averaging::Averager,
    config::Freeze,
    image_sizes::ImageSizes,
    logits::to_host,
    metrics::{Evaluator, MetricSums, WeightedSums},
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
    /// Number of trained values before anything was frozen.
    parameters: usize,
    averager: Averager,
    plan: Arc<Plan>,
    data: TrainingData,
    /// Parameters that stop learning.
    freeze: Vec<Freeze>,
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
    /// Whether the images at the end of an epoch that do not fill a batch are left out.
    pub drop_last: bool,
    /// Size of the images over the run; `None` for full images.
    pub image_sizes: Option<ImageSizes>,
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
    /// Size of the images, if it changes over the run.
    pub image_size: Option<ImageSize>,
}

impl<N: Network> Trainer<N> {
    /// A trainer before its first update.
    pub fn new(model: N, optimizer: Optimizer, plan: Arc<Plan>, data: TrainingData) -> Self {
        Trainer {
            parameters: state::trained_parameters(&model),
            model,
            optimizer,
            averager: Averager::default(),
            plan,
            data,
            freeze: Vec::new(),
            cursor: Cursor::default(),
            batches: None,
        }
    }

    /// Averages the weights over the updates, from the next one on.
    #[must_use]
    pub fn with_averager(self, mut averager: Averager) -> Self {
        averager.begin(&self.model);
        Trainer { averager, ..self }
    }

    /// Trains some parameters in the first epochs only.
    #[must_use]
    pub fn with_freeze(mut self, freeze: Vec<Freeze>) -> Self {
        self.freeze = freeze;
        self.freeze_due();
        self
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
        let (labels, mixed) = (batch.labels.clone(), batch.mixed.clone());
        let Forward { logits, loss } = self.forward(batch);
        let gradients = self.backward(&loss);
        let logits = to_host(logits.without_autodiff())?;
        let metrics = MetricSums::of_mixed(&logits, &labels, mixed.as_ref());
        if !metrics.loss.is_finite() {
            return Ok(StepResult::NotFinite);
        }
        let grad_norm = self.update(hyper, gradients)?;
        let update = Update {
            step: self.cursor.step,
            epoch: self.cursor.epoch,
            metrics,
            grad_norm,
            image_size: self.data.image_size_at(self.cursor.step),
        };
        self.cursor.step += 1;
        self.averager
            .after_update(&mut self.model, self.cursor.step);
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

    /// The network to evaluate and save, in evaluation mode without autodiff: the average of the
    /// weights if the trainer averages them.
    pub fn network(&self) -> N {
        self.averager.network(&self.model)
    }

    /// State of the average of the weights.
    pub fn averager(&self) -> &Averager {
        &self.averager
    }

    /// Measures the statistics of batch norm for stochastic weight averaging, in one pass over the
    /// training images. Call it after the last update; for any other trainer it does nothing.
    ///
    /// `stop` is called before each batch. If it returns true, nothing changes, and the call
    /// returns true. Repeating the call gives the same result.
    ///
    /// # Errors
    /// The data cannot be read.
    pub fn measure_statistics(
        &mut self,
        mut stop: impl FnMut() -> bool,
    ) -> Result<bool, TrainError> {
        if !self.averager.needs_statistics() {
            return Ok(false);
        }
        let device = self.data.device.clone().autodiff();
        let loader = &self.data.loader;
        let pass = loader.epoch(self.cursor.epoch, self.data.batch_size);
        let mut stopped = false;
        let until_stopped = pass.batches().take_while(|_| {
            stopped = stop();
            !stopped
        });
        let images = until_stopped.map(|batch| batch.map(|batch| batch.tensors(&device).0));
        let average = self.averager.average_mut();
        let model = average.apply(self.model.clone());
        let model = batch_statistics::remeasure(model, images, |model, images: &Tensor<4>| {
            model.forward(images.clone());
        })?;
        if !stopped {
            average.replace(&model);
        }
        Ok(stopped)
    }

    /// Measures loss and accuracy of [`network`](Self::network).
    ///
    /// # Errors
    /// The data cannot be read.
    pub fn evaluate(
        &self,
        batches: impl IntoIterator<Item = Result<Batch, DataError>>,
    ) -> Result<MetricSums, TrainError> {
        let model = self.network();
        Evaluator::new(&model, &self.data.device).over(batches)
    }

    /// Like [`evaluate`](Self::evaluate), and with the class weights of the training loss.
    pub(crate) fn evaluate_weighted(
        &self,
        batches: impl IntoIterator<Item = Result<Batch, DataError>>,
    ) -> Result<WeightedSums, TrainError> {
        let model = self.network();
        let weights = self.data.class_weights.as_deref();
        Evaluator::new(&model, &self.data.device).weighted(batches, weights)
    }

    /// Continues from `cursor`, with the `averager` of that position; `model` and `optimizer` must
    /// have its state.
    #[must_use]
    pub fn at(self, cursor: Cursor, averager: Averager) -> Self {
        let mut trainer = Trainer {
            cursor,
            averager,
            batches: None,
            ..self
        };
        trainer.freeze_due();
        trainer
    }

    /// Number of trained values of the network, those that stop learning included.
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// The position of the next update.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Whether all updates of the plan are made.
    pub fn is_finished(&self) -> bool {
        self.cursor.step >= self.plan.steps()
    }

    /// Whether every image of the current epoch has been trained on, or those that are left do not
    /// fill a batch and are left out.
    pub fn epoch_is_over(&self) -> bool {
        let left = (self.data.loader.len() as u64).saturating_sub(self.cursor.images_of_epoch);
        let batch = || self.data.batch_size_at(self.cursor.step, &self.plan) as u64;
        left == 0 || self.data.drop_last && left < batch()
    }

    /// Moves to the first batch of the next epoch. [`step`](Self::step) calls this when an epoch is
    /// over; call it yourself only to end an epoch early.
    pub fn begin_next_epoch(&mut self) {
        self.cursor.epoch += 1;
        self.cursor.images_of_epoch = 0;
        self.batches = None;
        self.freeze_due();
    }

    /// Freezes the parameters that are not trained from the current epoch on.
    fn freeze_due(&mut self) {
        let epoch = self.cursor.epoch;
        let due = |path: &str, rank| {
            let mut due = self
                .freeze
                .iter()
                .filter(|freeze| freeze.after_epochs <= epoch);
            due.any(|freeze| freeze.select.matches(path, rank))
        };
        if self
            .freeze
            .iter()
            .any(|freeze| freeze.after_epochs <= epoch)
        {
            self.model = state::freeze(self.model.clone(), due);
        }
    }
}

/// Result of a forward pass.
pub struct Forward {
    /// Logits `[batch, classes]`.
    pub logits: Tensor<2>,
    /// Mean cross-entropy `[1]`, with label smoothing and class weights; of both labels if images are
    /// mixed.
    pub loss: Tensor<1>,
}

impl TrainingData {
    /// Runs `model`, a network with autodiff, on a batch.
    pub fn forward(&self, model: &impl Network, mut batch: Batch) -> Forward {
        let device = self.device.clone().autodiff();
        let mixed = batch.mixed.take();
        let (images, labels) = batch.tensors(&device);
        let logits = model.forward(images);
        let loss = self.loss(logits.clone(), labels);
        let Some(MixedLabels { labels, share }) = mixed else {
            return Forward { logits, loss };
        };
        // The loss of a mixed target is the mixture of the losses: it is linear in the target.
        let batch = labels.len();
        let others = Tensor::from_data(TensorData::new(labels, [batch]), &device);
        let other = self.loss(logits.clone(), others);
        Forward {
            logits,
            loss: loss * share + other * (1.0 - share),
        }
    }

    /// The loss `[1]` of logits `[batch, classes]` against class indices `[batch]`.
    pub fn loss(&self, logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
        match &self.class_weights {
            None => cross_entropy(logits, labels, self.label_smoothing),
            Some(weights) => weighted_cross_entropy(logits, labels, self.label_smoothing, weights),
        }
    }

    /// The batches of an epoch from `cursor` on, in the sizes that the plan sets.
    pub(crate) fn batches(&self, cursor: Cursor, plan: &Arc<Plan>) -> Batches {
        let (plan, default) = (Arc::clone(plan), self.batch_size);
        let batch_size = move |index| batch_size(cursor.step + index, &plan, default);
        let skip = cursor.images_of_epoch as usize;
        let pass = self
            .loader
            .epoch(cursor.epoch, self.batch_size)
            .batch_sizes(batch_size)
            .skip(skip)
            .drop_last(self.drop_last);
        match self.image_sizes.clone() {
            None => pass.batches(),
            Some(sizes) => pass
                .image_sizes(move |index| sizes.at(cursor.step + index))
                .batches(),
        }
    }

    /// Size of the images of the update with this number; `None` for full images.
    fn image_size_at(&self, step: u64) -> Option<ImageSize> {
        self.image_sizes.as_ref().map(|sizes| sizes.at(step))
    }

    /// Images of the update with this number.
    fn batch_size_at(&self, step: u64, plan: &Plan) -> usize {
        batch_size(step, plan, self.batch_size)
    }
}

/// Images of the update with this number: those of the plan, or `default`.
fn batch_size(step: u64, plan: &Plan, default: usize) -> usize {
    plan.at(step)
        .batch_size
        .map_or(default, |size| size as usize)
}
