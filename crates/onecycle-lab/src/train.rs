//! The training loop: plan, batch, forward, backward, update, record.

use std::{sync::Arc, time::Instant};

use burn::{
    module::Module,
    optim::GradientsParams,
    tensor::{Int, Tensor, TensorData},
};
use onecycle::{Hyper, Plan};
use onecycle_burn::{Optimizer, nn::cross_entropy, state};
use onecycle_vision::{Batch, models::Model};

use crate::{
    Experiment, LabError,
    checkpoint::{Checkpoint, Progress},
    files::{self, JsonLines},
    finish::{self, Summary},
    metrics::{self, Tally},
    record::{EpochRecord, StepRecord, generalisation_gap},
    run_folder::{RunFile, RunFolder},
};

/// Who looks on while a run goes.
///
/// All methods do nothing by default.
pub trait Observer {
    /// An update was made.
    fn step(&mut self, _record: &StepRecord) {}
    /// An evaluation has seen so many of so many images.
    fn evaluation(&mut self, _images: u64, _of: u64) {}
    /// An epoch was trained and evaluated.
    fn epoch(&mut self, _record: &EpochRecord) {}
    /// Something to tell, such as a damaged checkpoint that was passed over.
    fn note(&mut self, _text: &str) {}
    /// Asked after each update: true writes a checkpoint and stops the run.
    fn stop(&mut self) -> bool {
        false
    }
}

/// An observer that looks away.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All steps were made.
    Finished(Box<Summary>),
    /// The observer asked to stop before this step; a checkpoint was written.
    Stopped {
        /// Updates made so far.
        step: u64,
    },
}

/// A run in progress.
#[derive(Debug)]
pub struct Training {
    experiment: Experiment,
    folder: RunFolder,
    model: Model,
    optimizer: Optimizer,
    progress: Progress,
    steps: JsonLines<StepRecord>,
    epochs: JsonLines<EpochRecord>,
}

impl Training {
    /// A new run in `folder`.
    ///
    /// # Errors
    /// Files that cannot be written, an optimizer or network that cannot be built.
    pub fn start(experiment: Experiment, folder: RunFolder) -> Result<Self, LabError> {
        let model = experiment.initial_model()?;
        let optimizer = experiment.config.optimizer.build()?;
        files::keep_lines(&folder.steps(), 0)?;
        files::keep_lines(&folder.epochs(), 0)?;
        let training = Training {
            steps: JsonLines::open(&folder.steps())?,
            epochs: JsonLines::open(&folder.epochs())?,
            model,
            optimizer,
            progress: Progress::default(),
            experiment,
            folder,
        };
        training.save()?;
        // Written last: a folder with a run file is one that can be resumed.
        let run_file = RunFile::new(&training.experiment.config, &training.experiment.data);
        training.folder.write_run_file(&run_file)?;
        Ok(training)
    }

    /// Goes on with a run from its newest whole checkpoint. The records are cut to where the checkpoint stands.
    ///
    /// # Errors
    /// No whole checkpoint, or one that is not of this network; data that are not those the run began with.
    pub fn resume(folder: RunFolder, observer: &mut dyn Observer) -> Result<Self, LabError> {
        let run_file = folder.read_run_file()?;
        let experiment = Experiment::prepare(run_file.config.clone())?;
        let found = RunFile::new(&experiment.config, &experiment.data).data;
        if found != run_file.data {
            return Err(LabError::OtherData {
                run: folder.root().to_path_buf(),
            });
        }
        let (checkpoint, damaged) = Checkpoint::newest(&folder.checkpoints())?;
        for error in damaged {
            observer.note(&format!("{error}; going on from the one before it"));
        }
        let model = state::load_weights(experiment.initial_model()?, checkpoint.weights)?;
        let mut optimizer = experiment.config.optimizer.build()?;
        optimizer.load_state(checkpoint.optimizer, &experiment.device)?;
        let progress = checkpoint.progress;
        files::keep_lines(&folder.steps(), progress.step as usize)?;
        files::keep_lines(&folder.epochs(), progress.epoch as usize)?;
        Ok(Training {
            steps: JsonLines::open(&folder.steps())?,
            epochs: JsonLines::open(&folder.epochs())?,
            experiment,
            folder,
            model,
            optimizer,
            progress,
        })
    }

    /// The experiment of this run.
    pub fn experiment(&self) -> &Experiment {
        &self.experiment
    }

    /// Where the run stands.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Trains to the end, or until the observer asks to stop.
    ///
    /// # Errors
    /// A loss that is not finite ([`LabError::Diverged`]), files that cannot be written, data that cannot be read.
    pub fn run(mut self, observer: &mut dyn Observer) -> Result<Outcome, LabError> {
        let total = self.experiment.plan.steps();
        while self.progress.step < total {
            if self.train_epoch(observer)? {
                self.save()?;
                return Ok(Outcome::Stopped {
                    step: self.progress.step,
                });
            }
            self.end_epoch(observer)?;
            self.save()?;
        }
        let summary = finish::finish(&self.experiment, &self.folder, self.model)?;
        Ok(Outcome::Finished(Box::new(summary)))
    }

    /// Trains what is left of the current epoch, or of the run. True if the observer asked to stop before that.
    fn train_epoch(&mut self, observer: &mut dyn Observer) -> Result<bool, LabError> {
        let plan = Arc::clone(&self.experiment.plan);
        let total = plan.steps();
        let batches = self.experiment.data.train.epoch(
            self.progress.epoch,
            batch_sizes(&plan, self.progress.step, self.experiment.config.batch_size),
            self.progress.images_of_epoch as usize,
        );
        let saved_seconds = self.progress.seconds;
        let start = Instant::now();
        for batch in batches {
            let record = self.train_step(&plan.try_at(self.progress.step)?, batch?)?;
            self.progress.seconds = saved_seconds + start.elapsed().as_secs_f64();
            observer.step(&record);
            let step = self.progress.step;
            if step == total {
                break;
            }
            if observer.stop() {
                return Ok(true);
            }
            let every = self.experiment.config.checkpoint_steps;
            if every > 0 && step.is_multiple_of(every) {
                self.save()?;
            }
        }
        Ok(false)
    }

    /// One update.
    fn train_step(&mut self, hyper: &Hyper, mut batch: Batch) -> Result<StepRecord, LabError> {
        let (logits, loss) = forward(&self.experiment, &self.model, &mut batch);
        let grads = GradientsParams::from_grads(loss.backward(), &self.model);
        let tally = Tally::of(&metrics::host(logits.without_autodiff())?, &batch.labels);
        if !tally.loss.is_finite() {
            return Err(self.diverged(self.progress.step, hyper.lr));
        }
        let report;
        (self.model, report) = self.optimizer.step(hyper, self.model.clone(), grads)?;

        let record = StepRecord {
            step: self.progress.step,
            epoch: self.progress.epoch,
            lr: hyper.lr,
            momentum: Some(self.momentum(hyper)),
            weight_decay: hyper
                .weight_decay
                .unwrap_or(self.optimizer.config().weight_decay()),
            batch_size: batch.len as u64,
            loss: tally.mean_loss(),
            grad_norm: report.grad_norm,
        };
        self.steps.push(&record)?;
        self.progress.step += 1;
        self.progress.images_of_epoch += tally.images;
        self.progress.loss += tally.loss;
        self.progress.correct += tally.correct;
        Ok(record)
    }

    /// Momentum, or beta1, in force under `hyper`.
    fn momentum(&self, hyper: &Hyper) -> f64 {
        hyper.momentum.unwrap_or(self.optimizer.config().momentum())
    }

    fn diverged(&self, step: u64, lr: f64) -> LabError {
        LabError::Diverged {
            step,
            lr,
            run: self.folder.root().to_path_buf(),
        }
    }

    /// Evaluates, writes the epoch's record and moves on to the next epoch.
    fn end_epoch(&mut self, observer: &mut dyn Observer) -> Result<(), LabError> {
        let data = &self.experiment.data;
        let images = data.validation.len() as u64;
        let measured = metrics::evaluate(
            &self.model.valid(),
            &data.validation,
            data.shape,
            self.experiment.config.eval_batch_size,
            &self.experiment.device,
            |seen| observer.evaluation(seen, images),
        )?;
        let trained = self.progress.tally();
        let last = self.experiment.plan.at(self.progress.step - 1);
        let seconds = self.progress.seconds;
        let record = EpochRecord {
            epoch: self.progress.epoch,
            steps: self.progress.step,
            train_loss: trained.mean_loss(),
            train_accuracy: trained.accuracy(),
            val_loss: measured.mean_loss(),
            val_accuracy: measured.accuracy(),
            generalisation_gap: generalisation_gap(trained.mean_loss(), measured.mean_loss()),
            lr: last.lr,
            momentum: Some(self.momentum(&last)),
            seconds,
            images_per_second: trained.images as f64 / seconds,
        };
        self.epochs.push(&record)?;
        observer.epoch(&record);
        if !measured.loss.is_finite() {
            // Before the checkpoint: the one before it may still be of use.
            return Err(self.diverged(self.progress.step - 1, last.lr));
        }
        self.progress = Progress {
            step: self.progress.step,
            epoch: self.progress.epoch + 1,
            ..Progress::default()
        };
        Ok(())
    }

    /// Writes a checkpoint. The records it relies on are on the disk before it.
    fn save(&self) -> Result<(), LabError> {
        self.steps.sync()?;
        self.epochs.sync()?;
        Checkpoint {
            progress: self.progress,
            weights: state::weights(&self.model),
            optimizer: self.optimizer.state(),
        }
        .save(&self.folder.checkpoints())?;
        Ok(())
    }
}

/// Logits and loss, `[1]`, of a training batch, whose images are taken out of it.
pub(crate) fn forward(
    experiment: &Experiment,
    model: &Model,
    batch: &mut Batch,
) -> (Tensor<2>, Tensor<1>) {
    let shape = experiment.data.shape;
    let device = experiment.device.clone().autodiff();
    let images = TensorData::new(
        std::mem::take(&mut batch.images),
        [batch.len, shape.channels, shape.height, shape.width],
    );
    let labels = TensorData::new(batch.labels.clone(), [batch.len]);
    let logits = model.forward(Tensor::<4>::from_data(images, &device));
    let labels = Tensor::<1, Int>::from_data(labels, &device);
    let loss = cross_entropy(logits.clone(), labels, experiment.config.label_smoothing);
    (logits, loss)
}

/// The batch size of each update from `first` on, as the loader asks for them.
fn batch_sizes(
    plan: &Arc<Plan>,
    first: u64,
    default: usize,
) -> impl FnMut(u64) -> usize + Send + 'static {
    let plan = Arc::clone(plan);
    move |index| {
        plan.at(first + index)
            .batch_size
            .map_or(default, |size| size as usize)
    }
}
