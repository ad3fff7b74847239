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

use std::{ops::Range, sync::Arc};

use burn::{
    optim::GradientsParams,
    tensor::{Device, Int, Tensor, TensorData},
};
use onecycle::{Hyper, Plan};
use onecycle_burn::{
    Optimizer, batch_statistics,
    nn::{cross_entropy, weighted_cross_entropy},
    shards, state,
};
use onecycle_vision::{
    Batch, Batches, DataError, ImageSize, Loader, MixedLabels,
    models::{Model, Network},
};

use crate::{
    ConfigError, TrainError,
    averaging::Averager,
    config::Freeze,
    image_sizes::ImageSizes,
    logits::to_host,
    metrics::{Evaluator, MetricSums, WeightedSums},
    processes::{Order, Team, Tree},
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
    /// The processes that compute the shards; `None` if this one computes all.
    team: Option<Team>,
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
    /// The pieces of each batch that this trainer computes.
    pub shards: Shards,
    /// Size of the images over the run; `None` for full images.
    pub image_sizes: Option<ImageSizes>,
    /// Label smoothing: share of the target spread over all classes, at least 0 and below 1.
    pub label_smoothing: f64,
    /// Weight of each class in the loss, above 0; `None` for equal weights.
    pub class_weights: Option<Arc<[f64]>>,
}

/// Successive pieces of each batch, which go through the network separately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shards {
    /// Number of pieces of a batch.
    of: usize,
    /// Those that this process computes.
    own: Range<usize>,
}

impl Shards {
    /// All of `of` pieces; 0 counts as 1. With a single one, the whole batch is a piece.
    pub fn all(of: usize) -> Self {
        let of = of.max(1);
        Shards { of, own: 0..of }
    }
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
            team: None,
        }
    }

    /// Computes the shards together with other processes, from the next update on.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] if the shards cannot be divided equally.
    pub(crate) fn set_team(&mut self, team: Team) -> Result<(), ConfigError> {
        self.data.shards.own = team.shards(self.data.shards.of)?;
        self.batches = None;
        self.team = Some(team);
        Ok(())
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
        let (metrics, grad_norm) = match self.data.shards.of {
            1 => self.update_by_batch(hyper)?,
            _ => self.update_by_shards(hyper)?,
        };
        if !metrics.loss.is_finite() {
            return Ok(StepResult::NotFinite);
        }
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

    /// Makes an update from one pass over the whole batch, unless its loss is not finite. Returns the
    /// metrics and the norm of the gradient.
    fn update_by_batch(&mut self, hyper: &Hyper) -> Result<(MetricSums, Option<f64>), TrainError> {
        let batch = self.next_batch()?;
        let (metrics, gradients) = self.pass(&self.model, batch)?;
        let grad_norm = match metrics.loss.is_finite() {
            true => self.update(hyper, gradients)?,
            false => None,
        };
        Ok((metrics, grad_norm))
    }

    /// Makes an update from one pass per shard, unless the loss is not finite. Returns the metrics of
    /// the batch and the norm of the gradient. Each shard counts by its number of images.
    fn update_by_shards(&mut self, hyper: &Hyper) -> Result<(MetricSums, Option<f64>), TrainError> {
        let Some(team) = self.team.clone() else {
            let (sum, metrics) = self.own_shards()?;
            let add = |mut total: MetricSums, sums| {
                total.add(sums);
                total
            };
            let total = metrics.into_iter().fold(MetricSums::default(), add);
            return self.update_by_sum(hyper, sum, total);
        };
        if team.leads() {
            team.give(&Order::Step(*hyper))?;
        }
        let (sum, total) = team.at_work(|| {
            let (mut sum, metrics) = self.own_shards()?;
            team.sum(&mut sum)?;
            Ok((sum, team.add_metrics(&metrics)?))
        })?;
        self.update_by_sum(hyper, sum, total)
    }

    /// Runs the shards of this process forward and backward. Returns the sum of their contributions
    /// and the metrics of each.
    fn own_shards(&mut self) -> Result<(Vec<f32>, Vec<MetricSums>), TrainError> {
        let (mut tree, mut metrics) = (Tree::default(), Vec::new());
        for _ in self.data.shards.own.clone() {
            let shard = self.next_batch()?;
            let images = shard.len;
            let (sums, gradients, model) = if images == 0 {
                let model = self.model.clone();
                (MetricSums::default(), GradientsParams::new(), model)
            } else {
                // A shard starts from the running statistics before the update.
                let model = state::fork(&self.model);
                let (sums, gradients) = self.pass(&model, shard)?;
                (sums, gradients, model)
            };
            let mut values = shards::contribution(&model, &gradients);
            shards::scale(&mut values, images as f32);
            tree.push(values);
            metrics.push(sums);
        }
        Ok((tree.sum(), metrics))
    }

    /// Makes an update from the sum over all shards, unless the loss is not finite.
    fn update_by_sum(
        &mut self,
        hyper: &Hyper,
        mut sum: Vec<f32>,
        total: MetricSums,
    ) -> Result<(MetricSums, Option<f64>), TrainError> {
        if !total.loss.is_finite() {
            return Ok((total, None));
        }
        shards::scale(&mut sum, 1.0 / total.images as f32);
        let (model, gradients) = shards::combined(self.model.clone(), &sum)?;
        self.model = model;
        Ok((total, self.update(hyper, gradients)?))
    }

    /// Runs a batch forward and backward. Returns its metrics and the gradients.
    fn pass(&self, model: &N, batch: Batch) -> Result<(MetricSums, GradientsParams), TrainError> {
        let (labels, mixed) = (batch.labels.clone(), batch.mixed.clone());
        let Forward { logits, loss } = self.data.forward(model, batch);
        let gradients = GradientsParams::from_grads(loss.backward(), model);
        let logits = to_host(logits.without_autodiff())?;
        let metrics = MetricSums::of_mixed(&logits, &labels, mixed.as_ref());
        Ok((metrics, gradients))
    }

    /// Returns the batch of the next update, or with [`Shards`] the next piece of it. If the current epoch is over, begins the next one.
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
        // Batch norm is part of the frozen layers of a network that is trained on features.
        if !self.averager.needs_statistics() || self.data.loader.has_features() {
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

    /// Whether the current epoch, which is over, ends with an evaluation in a run that makes one after
    /// every `every` epochs and one at its end.
    pub(crate) fn evaluation_is_due(&self, every: u64) -> bool {
        self.is_finished() || (self.cursor.epoch + 1).is_multiple_of(every)
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
        let features = batch.features;
        let (images, labels) = batch.tensors(&device);
        let logits = match features {
            false => model.forward(images),
            true => model.classify(images.flatten(1, 3)),
        };
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
            .drop_last(self.drop_last)
            .pieces(self.shards.own.clone(), self.shards.of);
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
