//! One training in one call: [`train`] in memory, [`train_in`] with a run folder. Both return a
//! [`Trained`].

use std::{any::type_name, path::Path, time::Instant};

use onecycle_vision::{
    Loader,
    models::{Model, Network},
};

use crate::{
    Config, ConfigError, Experiment, RunError, TrainError,
    assessment::{self, Answers, Assessment},
    best::BestEpoch,
    config::{Keep, OnDivergence},
    device, files,
    finish::{Kept, Summary},
    metrics::{Evaluator, MetricSums},
    observer::Observer,
    predict::Classifier,
    record::{EpochRecord, EpochSums, StepRecord},
    run_folder::{RunFile, RunFolder},
    trainer::{StepResult, Trainer},
    training::{self, Outcome, Training},
    tta::Tta,
};

/// Result of a training.
#[derive(Debug, Clone)]
pub struct Trained<N = Model> {
    /// The result in numbers.
    pub summary: Summary,
    /// One record per epoch, in order.
    pub epochs: Vec<EpochRecord>,
    /// The trained network in evaluation mode, without autodiff.
    pub model: N,
}

/// Trains a configuration in memory: it writes no files and cannot be resumed.
///
/// If `observer` asks to stop, the training ends early with the network as it is then;
/// `summary.steps` has the updates made.
///
/// ```
/// use onecycle::OneCycle;
/// use onecycle_train::{Config, config::DataConfig, observer::on_epoch, train};
///
/// let config = Config {
///     model: "lenet5".to_owned(),
///     epochs: Some(3.0),
///     batch_size: 32,
///     data: DataConfig::named("fashion-mnist").limited(2000, 500),
///     policy: OneCycle::new(0.1).into(),
///     ..Config::default()
/// };
/// let trained = train(config, &mut on_epoch(|epoch| println!("{epoch}")))?;
/// println!("{}", trained.summary);
/// assert!(trained.summary.test_accuracy > 0.5);
/// # Ok::<(), onecycle_train::TrainError>(())
/// ```
///
/// # Errors
/// Those of [`Experiment::prepare`] and [`Experiment::train`].
pub fn train(config: Config, observer: &mut dyn Observer) -> Result<Trained, TrainError> {
    device::set_threads(config.threads)?;
    Experiment::prepare(config)?.train(observer)
}

/// Trains a configuration with a run folder: records, checkpoints, model, figures, report
/// ([`run_folder`](crate::run_folder) lists its files).
///
/// The call is repeatable. If the folder contains a stopped run of the same configuration, it is
/// resumed to the same bits; if it contains a finished one, its result is returned.
///
/// # Errors
/// Those of [`Experiment::prepare`] and [`Experiment::train_in`].
pub fn train_in(
    folder: impl AsRef<Path>,
    config: Config,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    device::set_threads(config.threads)?;
    Experiment::prepare(config)?.train_in(folder, observer)
}

impl Experiment {
    /// Trains the network of the configuration in memory, like [`train`].
    ///
    /// # Errors
    /// [`RunError::NotFinite`] if the loss is not finite, [`ConfigError::Setting`] for a setting
    /// that needs a run folder, errors of the optimizer and of reading the data.
    pub fn train(&self, observer: &mut dyn Observer) -> Result<Trained, TrainError> {
        let name = self.architecture.to_string();
        if self.config.freezes() && !self.data.train.has_features() {
            let mut experiment = self.clone();
            experiment.add_features(None, observer)?;
            return experiment.train(observer);
        }
        self.train_in_memory(self.trainer()?, name, observer)
    }

    /// Trains a network of your own in memory, with the data, the optimizer and the policy of the
    /// configuration. Its `model` is used only to sort the images of a curriculum.
    ///
    /// `network` must be on [`device`](Self::device) with autodiff. It maps images `[batch,
    /// channels, height, width]` of [`data.shape`](crate::experiment::Data::shape) to logits
    /// `[batch, classes]`.
    ///
    /// ```
    /// use burn::{module::Module, tensor::Tensor};
    /// use onecycle::OneCycle;
    /// use onecycle_burn::nn::Linear;
    /// use onecycle_train::{Config, Experiment, config::DataConfig, observer::on_epoch};
    /// use onecycle_vision::{Network, random};
    ///
    /// /// Two layers. Images `[batch, 1, 28, 28]` to logits `[batch, 10]`.
    /// #[derive(Module, Debug)]
    /// struct Perceptron {
    ///     hidden: Linear,
    ///     out: Linear,
    /// }
    ///
    /// impl Network for Perceptron {
    ///     fn forward(&self, images: Tensor<4>) -> Tensor<2> {
    ///         self.out.forward(self.hidden.forward_relu(images.flatten(1, 3)))
    ///     }
    /// }
    ///
    /// let experiment = Experiment::prepare(Config {
    ///     epochs: Some(3.0),
    ///     batch_size: 32,
    ///     data: DataConfig::named("fashion-mnist").limited(1000, 500),
    ///     policy: OneCycle::new(0.1).into(),
    ///     ..Config::default()
    /// })?;
    /// let device = experiment.device.clone().autodiff();
    /// let mut rng = random::stream(1, "initialisation", 0);
    /// let network = Perceptron {
    ///     hidden: Linear::new(784, 64, &mut rng, &device),
    ///     out: Linear::new(64, 10, &mut rng, &device),
    /// };
    /// let mut progress = on_epoch(|epoch| println!("{epoch}"));
    /// let trained = experiment.train_network(network, &mut progress)?;
    /// assert!(trained.summary.test_accuracy > 0.6);
    /// # Ok::<(), onecycle_train::TrainError>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Experiment::train`].
    pub fn train_network<N: Network>(
        &self,
        network: N,
        observer: &mut dyn Observer,
    ) -> Result<Trained<N>, TrainError> {
        let ghost_batch = self.config.ghost_batch;
        if ghost_batch > 0 {
            let expected = "0 for a network of your own; set it on its batch norms instead";
            return Err(ConfigError::setting("ghost_batch", ghost_batch, expected).into());
        }
        if self.config.finetune.is_some() {
            let expected = "no table for a network of your own; freeze its layers with onecycle_burn::freeze instead";
            return Err(ConfigError::setting("finetune", "a table", expected).into());
        }
        let (optimizer, plan) = (self.config.optimizer.build()?, self.plan.clone());
        let trainer = Trainer::new(network, optimizer, plan, self.training_data()?);
        let trainer = trainer
            .with_freeze(self.config.optimizer.freeze.clone())
            .with_averager(self.averager()?);
        self.train_in_memory(trainer, name_of::<N>(), observer)
    }

    /// Trains with a run folder, like [`train_in`].
    ///
    /// # Errors
    /// - [`RunError::Stopped`] if `observer` asks to stop; a checkpoint is written before.
    /// - [`RunError::OtherSettings`] or [`RunError::OtherData`] if the folder contains a run of
    ///   another configuration or on other data.
    /// - Those of [`Training::start`] and [`Training::run`].
    pub fn train_in(
        self,
        folder: impl AsRef<Path>,
        observer: &mut dyn Observer,
    ) -> Result<Trained, TrainError> {
        let root = folder.as_ref();
        let (device, file) = (self.device.clone(), RunFile::of(&self));
        let training = match RunFolder::look(root) {
            Err(_) => Training::start(self, RunFolder::create(root)?)?,
            Ok(run) if !run.is_finished() => {
                Training::resume_experiment(RunFolder::open(root)?, self, observer)?
            }
            Ok(run) => {
                run.read_run_file()?.check_same(&file, root)?;
                return Trained::read(&run, &device);
            }
        };
        match training.run(observer)? {
            Outcome::Finished(_) => Trained::read(&RunFolder::look(root)?, &device),
            Outcome::Stopped { step } => Err(RunError::Stopped {
                step,
                run: root.to_path_buf(),
            }
            .into()),
        }
    }

    fn train_in_memory<N: Network>(
        &self,
        trainer: Trainer<N>,
        name: String,
        observer: &mut dyn Observer,
    ) -> Result<Trained<N>, TrainError> {
        check_needs_no_folder(&self.config)?;
        let training = InMemory {
            experiment: self,
            trainer,
            epochs: Vec::new(),
            train: Default::default(),
            answers: Answers::default(),
            best: None,
            observer,
        };
        device::on_pool_thread(|| training.run(name))
    }
}

impl Trained {
    /// Reads the result of a finished run.
    ///
    /// # Errors
    /// [`RunError::NotFinished`] if it is not finished; files that cannot be read.
    pub fn read(run: &RunFolder, device: &burn::tensor::Device) -> Result<Self, TrainError> {
        let model = Classifier::open(run.root(), device)?.network().clone();
        Ok(Trained {
            summary: files::read_json(&run.summary())?,
            epochs: run.read_epochs()?,
            model,
        })
    }
}

/// A training in memory.
struct InMemory<'a, N> {
    experiment: &'a Experiment,
    trainer: Trainer<N>,
    epochs: Vec<EpochRecord>,
    /// Training metrics and seconds of training since the last evaluation.
    train: (MetricSums, f64),
    /// Answers in the last evaluation.
    answers: Answers,
    /// The best network so far, if the configuration keeps it.
    best: Option<(BestEpoch, N)>,
    observer: &'a mut dyn Observer,
}

impl<N: Network> InMemory<'_, N> {
    fn run(mut self, name: String) -> Result<Trained<N>, TrainError> {
        let Experiment { data, config, .. } = self.experiment;
        let tta = config.tta;
        while !self.trainer.is_finished() {
            if self.train_epoch()? {
                break;
            }
        }
        let (chosen, model) = match self.best.take() {
            None => (None, self.trainer.network()),
            Some((epoch, model)) => (Some(epoch), model),
        };
        let steps = self.trainer.cursor().step;
        let measured = match self.epochs.last() {
            // The last epoch measured this network on these images.
            Some(last)
                if last.steps == steps
                    && data.validation_is == "test"
                    && tta == Tta::Image
                    && chosen.is_none() =>
            {
                (last.val_accuracy, last.val_loss)
            }
            _ => {
                let sums = self.evaluate(&model, &data.test, tta, false)?;
                (sums.accuracy(), sums.mean_loss())
            }
        };
        // The last evaluation was that of this network on the test images.
        let on = assessment::measured_on(data);
        let assessment = Assessment::new(&self.answers, &data.classes, data.test.split(), on);
        let accuracies = self.epochs.iter().map(|epoch| epoch.val_accuracy);
        let summary = Summary {
            model: name,
            parameters: self.trainer.parameters(),
            data: data.name.clone(),
            steps,
            epochs: self.trainer.cursor().epoch,
            test_accuracy: measured.0,
            test_loss: measured.1,
            best_val_accuracy: accuracies.fold(f64::NAN, f64::max),
            train_seconds: self.epochs.iter().map(|epoch| epoch.seconds).sum::<f64>()
                + self.train.1,
            tta,
            test_scores: assessment.map(|assessment| assessment.scores.into()),
            kept: chosen.map(|epoch| Kept::of(epoch, data)),
            search: None,
            head: None,
        };
        Ok(Trained {
            summary,
            epochs: self.epochs,
            model,
        })
    }

    /// Trains one epoch, and evaluates it if that is due. Returns true if the observer asked to stop; an
    /// epoch that it interrupts has no record.
    fn train_epoch(&mut self) -> Result<bool, TrainError> {
        let Experiment { plan, data, .. } = self.experiment;
        let start = Instant::now();
        let hyper = loop {
            let step = self.trainer.cursor().step;
            let hyper = plan.try_at(step)?;
            let StepResult::Updated(update) = self.trainer.step_with(&hyper)? else {
                return Err(self.not_finite(step, hyper.lr));
            };
            self.train.0.add(update.metrics);
            let record = StepRecord::of(&update, &hyper, self.trainer.optimizer.config());
            self.observer.step(&record);
            if self.trainer.is_finished() {
                break hyper;
            }
            if self.observer.stop() {
                self.train.1 += start.elapsed().as_secs_f64();
                return Ok(true);
            }
            if self.trainer.epoch_is_over() {
                break hyper;
            }
        };
        self.train.1 += start.elapsed().as_secs_f64();
        if !self
            .trainer
            .evaluation_is_due(self.experiment.config.eval_every())
        {
            self.trainer.begin_next_epoch();
            return Ok(self.observer.stop());
        }
        if self.trainer.is_finished() {
            self.trainer.measure_statistics(|| false)?;
        }
        let model = self.trainer.network();
        let set = &data.validation;
        let (train, seconds) = self.train;
        let sums = EpochSums {
            train,
            validation: self.evaluate(&model, set, Tta::Image, true)?,
            seconds,
        };
        if sums.validation.images < set.len() as u64 {
            return Ok(true);
        }
        let end = self.trainer.cursor();
        let record = EpochRecord::of(&sums, end, &hyper, self.trainer.optimizer.config());
        self.observer.epoch(&record);
        let epoch = BestEpoch::of(&record);
        self.epochs.push(record);
        if !sums.validation.loss.is_finite() {
            return Err(self.not_finite(end.step - 1, hyper.lr));
        }
        let best = self.best.as_ref().map(|(epoch, _)| epoch);
        if self.experiment.config.keep == Keep::Best && epoch.beats(best) {
            self.best = Some((epoch, model));
        }
        self.train = Default::default();
        self.trainer.begin_next_epoch();
        Ok(!self.trainer.is_finished() && self.observer.stop())
    }

    /// Evaluates a set of images, or its first batches if it `may_stop` and the observer asks to.
    fn evaluate(
        &mut self,
        model: &N,
        set: &Loader,
        tta: Tta,
        may_stop: bool,
    ) -> Result<MetricSums, TrainError> {
        let (experiment, images) = (self.experiment, set.len() as u64);
        let batches = set.evaluation(experiment.config.eval_batch_size);
        let mut sums = MetricSums::default();
        let evaluator = Evaluator::new(model, &experiment.device).with_tta(tta);
        let (answers, observer) = (&mut self.answers, &mut self.observer);
        *answers = Answers::default();
        evaluator.each(batches, |logits| {
            sums.add(MetricSums::of(logits.values, logits.labels));
            answers.add(logits.values, logits.labels, logits.indices);
            observer.evaluation(sums.images, images);
            may_stop && sums.images < images && observer.stop()
        })?;
        Ok(sums)
    }

    fn not_finite(&self, step: u64, lr: f64) -> TrainError {
        let rate = training::rate_key(&self.experiment.config.policy);
        RunError::NotFinite { step, lr, rate }.into()
    }
}

/// Refuses settings that need a run folder.
fn check_needs_no_folder(config: &Config) -> Result<(), ConfigError> {
    let expected = |default: &str| {
        format!("{default} for a training in memory; `train_in` trains with a run folder")
    };
    if config.on_divergence == OnDivergence::Retry {
        return Err(ConfigError::setting(
            "on_divergence",
            "retry",
            expected("stop"),
        ));
    }
    if config.checkpoint_steps > 0 {
        let steps = config.checkpoint_steps;
        return Err(ConfigError::setting(
            "checkpoint_steps",
            steps,
            expected("0"),
        ));
    }
    if !config.diagnose.is_never() {
        let expected = expected("no diagnosis");
        return Err(ConfigError::setting("diagnose.every", "set", expected));
    }
    Ok(())
}

/// Name of a type without its path and parameters.
fn name_of<T>() -> String {
    let full = type_name::<T>();
    let path = full.split('<').next().unwrap_or(full);
    path.rsplit("::").next().unwrap_or(path).to_owned()
}
