//! One training step: batch, forward, loss, backward, update.
//!
//! [`Trainer`] is all that training a network takes, in memory: no folder, no record, no observer.
//! [`Training`](crate::training::Training) adds these; the learning-rate search, the curriculum and
//! the benchmark call the same [`Trainer::step`].

use std::sync::Arc;

use burn::{
    module::Module,
    optim::GradientsParams,
    tensor::{Device, Int, Tensor, TensorData},
};
use onecycle::{Hyper, Plan};
use onecycle_burn::{Optimizer, nn::cross_entropy};
use onecycle_vision::{Batch, Batches, ImageShape, Loader, models::Model};

use crate::{
    TrainError,
    metrics::{self, Evaluator, MetricSums},
};

/// A network, its optimizer, the plan of its hyper-parameters and its training images.
#[derive(Debug)]
pub struct Trainer {
    /// The network, on the device with autodiff.
    pub model: Model,
    /// The optimizer with its state.
    pub optimizer: Optimizer,
    plan: Arc<Plan>,
    data: TrainingData,
    cursor: Cursor,
    /// The rest of the current epoch; `None` until its next batch is needed.
    batches: Option<Batches>,
}

/// Training images, and what else the loss depends on.
#[derive(Debug, Clone)]
pub struct TrainingData {
    /// The images, shuffled and augmented.
    pub loader: Loader,
    /// Shape of an image.
    pub shape: ImageShape,
    /// Where to compute, without autodiff.
    pub device: Device,
    /// Images per update where the plan sets no batch size.
    pub batch_size: usize,
    /// Share of the target spread over all classes, at least 0 and below 1.
    pub label_smoothing: f64,
}

/// Position in a training. Batches are a function of it, so it is all that resuming needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Updates made.
    pub step: u64,
    /// Epoch of the next update, counted from 0.
    pub epoch: u64,
    /// Images of that epoch already trained on.
    pub images_of_epoch: u64,
}

/// What [`Trainer::step`] came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// An update was made.
    Made(Update),
    /// The loss is not finite: nothing was updated.
    NotFinite {
        /// Learning rate of the update that was not made.
        lr: f64,
    },
}

/// An update that was made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    /// Its number, counted from 0.
    pub step: u64,
    /// Its epoch, counted from 0.
    pub epoch: u64,
    /// Loss and correct answers on its batch, before the update.
    pub metrics: MetricSums,
    /// Euclidean norm of the gradient, if the optimizer computes it.
    pub grad_norm: Option<f64>,
}

impl Trainer {
    /// A training of `model` from its start.
    pub fn new(model: Model, optimizer: Optimizer, plan: Arc<Plan>, data: TrainingData) -> Self {
        Trainer {
            model,
            optimizer,
            plan,
            data,
            cursor: Cursor::default(),
            batches: None,
        }
    }

    /// Continues from `cursor`, where `model` and `optimizer` come from.
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

    /// Whether every image of the epoch has been trained on.
    pub fn epoch_is_over(&self) -> bool {
        self.cursor.images_of_epoch >= self.data.loader.len() as u64
    }

    /// Moves on to the first batch of the next epoch. [`step`](Self::step) does so by itself when an
    /// epoch is over; call this to end an epoch early, at the end of the plan.
    pub fn begin_next_epoch(&mut self) {
        self.cursor.epoch += 1;
        self.cursor.images_of_epoch = 0;
        self.batches = None;
    }

    /// Makes the next update, with the plan's hyper-parameters.
    ///
    /// # Errors
    /// The end of a plan that does not hold, data that cannot be read, hyper-parameters that the
    /// optimizer cannot use.
    pub fn step(&mut self) -> Result<Step, TrainError> {
        let hyper = self.plan.try_at(self.cursor.step)?;
        self.step_with(&hyper)
    }

    /// Makes the next update, with these hyper-parameters.
    ///
    /// # Errors
    /// Those of [`step`](Self::step), the end of the plan excepted.
    pub fn step_with(&mut self, hyper: &Hyper) -> Result<Step, TrainError> {
        let batch = self.next_batch()?;
        let labels = batch.labels.clone();
        let Forward { logits, loss } = self.forward(batch);
        let gradients = self.backward(&loss);
        let metrics = MetricSums::of(&metrics::host(logits.without_autodiff())?, &labels);
        if !metrics.loss.is_finite() {
            return Ok(Step::NotFinite { lr: hyper.lr });
        }
        let grad_norm = self.update(hyper, gradients)?;
        let made = Update {
            step: self.cursor.step,
            epoch: self.cursor.epoch,
            metrics,
            grad_norm,
        };
        self.cursor.step += 1;
        self.cursor.images_of_epoch += metrics.images;
        Ok(Step::Made(made))
    }

    /// Logits and loss of the network on a batch.
    pub fn forward(&self, batch: Batch) -> Forward {
        self.data.forward(&self.model, batch)
    }

    /// The gradient of the loss by every parameter of the network.
    pub fn backward(&self, loss: &Tensor<1>) -> GradientsParams {
        GradientsParams::from_grads(loss.backward(), &self.model)
    }

    /// Applies the optimizer to the network; returns the norm of the gradient if it was computed.
    ///
    /// # Errors
    /// Hyper-parameters that the optimizer cannot use.
    pub fn update(
        &mut self,
        hyper: &Hyper,
        gradients: GradientsParams,
    ) -> Result<Option<f64>, TrainError> {
        let (model, report) = self.optimizer.step(hyper, self.model.clone(), gradients)?;
        self.model = model;
        Ok(report.grad_norm)
    }

    /// Loss and accuracy of the network on `batches`, in evaluation mode.
    ///
    /// # Errors
    /// Data that cannot be read.
    pub fn evaluate(&self, batches: Batches) -> Result<MetricSums, TrainError> {
        let model = self.model.valid();
        Evaluator::new(&model, self.data.shape, &self.data.device).over(batches)
    }

    /// The batch of the next update; that of the next epoch if this one is over.
    ///
    /// # Errors
    /// Data that cannot be read.
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
}

/// Logits and loss of a batch.
pub struct Forward {
    /// Logits `[batch, classes]`.
    pub logits: Tensor<2>,
    /// Mean cross-entropy `[1]`, with label smoothing.
    pub loss: Tensor<1>,
}

impl TrainingData {
    /// The batches of an epoch from `cursor` on, in the sizes that the plan sets.
    fn batches(&self, cursor: Cursor, plan: &Arc<Plan>) -> Batches {
        let (plan, default) = (Arc::clone(plan), self.batch_size);
        let batch_size = move |index| {
            let size = plan.at(cursor.step + index).batch_size;
            size.map_or(default, |size| size as usize)
        };
        let skip = cursor.images_of_epoch as usize;
        self.loader
            .epoch(cursor.epoch)
            .batch_sizes(batch_size)
            .skip(skip)
            .batches()
    }

    /// Runs `model`, a network with autodiff, on a batch.
    pub fn forward(&self, model: &Model, batch: Batch) -> Forward {
        let device = self.device.clone().autodiff();
        let labels = TensorData::new(batch.labels.clone(), [batch.len]);
        let logits = model.forward(metrics::images(batch, self.shape, &device));
        let labels = Tensor::<1, Int>::from_data(labels, &device);
        let loss = cross_entropy(logits.clone(), labels, self.label_smoothing);
        Forward { logits, loss }
    }
}
