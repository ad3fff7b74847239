//! A configuration brought to life: data read, plan resolved, network built.

mod curriculum;

use std::{collections::BTreeMap, sync::Arc};

use burn::tensor::Device;
use onecycle::{Plan, Run};
use onecycle_vision::{
    Dataset, FolderOptions, ImageShape, Loader, Source, Statistics,
    models::{Architecture, Model},
    random,
};

use crate::{
    Config, ConfigError, TrainError, device,
    trainer::{Trainer, TrainingData},
};

/// All that a run needs besides its state: data, plan, device.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// What the run was told.
    pub config: Config,
    /// The policy, resolved against the length of the run.
    pub plan: Arc<Plan>,
    /// The data set.
    pub data: Data,
    /// The network's name.
    pub architecture: Architecture,
    /// The device, without autodiff.
    pub device: Device,
}

/// A data set with its loaders.
#[derive(Debug, Clone)]
pub struct Data {
    /// Name of the set.
    pub name: String,
    /// Class names in the order of their indices.
    pub classes: Vec<String>,
    /// Shape of an image.
    pub shape: ImageShape,
    /// Mean and deviation a channel, of all training images.
    pub statistics: Statistics,
    /// SHA-256 of the files that were read.
    pub checksums: BTreeMap<String, String>,
    /// What the reader of the data had to say.
    pub notes: Vec<String>,
    /// Training images, augmented.
    pub train: Loader,
    /// Images to measure on after each epoch: the test set, or what was held out from training.
    pub validation: Loader,
    /// What `validation` is: `test` or `held out`.
    pub validation_is: &'static str,
    /// The test set.
    pub test: Loader,
}

impl Experiment {
    /// Reads the data, resolves the policy and picks the device.
    ///
    /// # Errors
    /// Data that cannot be read, images too small for the network, a policy that does not fit the run's length, a
    /// device that is not there.
    pub fn prepare(config: Config) -> Result<Self, TrainError> {
        Experiment::prepare_from(config, &mut DataCache::default())
    }

    /// As [`prepare`](Self::prepare), for many runs on the same images: a data set that `cache` holds is not read again.
    ///
    /// # Errors
    /// The same.
    pub fn prepare_from(config: Config, cache: &mut DataCache) -> Result<Self, TrainError> {
        config.check()?;
        // The run may be resumed from another folder.
        let config = config.with_absolute_path()?;
        let architecture: Architecture = config.model.parse()?;
        let device = device::open(config.device)?;
        let data = Data::new(cache.read(&config)?, &config)?;
        let plan = Arc::new(plan(&config, Some(data.train.len()))?);
        let mut experiment = Experiment {
            config,
            plan,
            data,
            architecture,
            device,
        };
        // Whatever cannot be is told before anything is written.
        experiment.initial_model()?;
        curriculum::apply(&mut experiment)?;
        Ok(experiment)
    }

    /// The training of this experiment, from its start.
    ///
    /// # Errors
    /// Images too small for the network, options of the optimizer out of range.
    pub fn trainer(&self) -> Result<Trainer, TrainError> {
        Ok(Trainer::new(
            self.initial_model()?,
            self.config.optimizer.build()?,
            Arc::clone(&self.plan),
            self.training_data(),
        ))
    }

    /// The training images, and what else the loss depends on.
    pub fn training_data(&self) -> TrainingData {
        TrainingData {
            loader: self.data.train.clone(),
            shape: self.data.shape,
            device: self.device.clone(),
            batch_size: self.config.batch_size,
            label_smoothing: self.config.label_smoothing,
        }
    }

    /// The network at its start, on the device with autodiff. Weights depend on the seed alone.
    ///
    /// # Errors
    /// Images too small for the network.
    pub fn initial_model(&self) -> Result<Model, TrainError> {
        let mut rng = random::stream(self.config.seed, "initialisation", 0);
        let device = self.device.clone().autodiff();
        let model = Model::new(
            self.architecture,
            self.data.shape,
            self.data.classes.len(),
            &mut rng,
            &device,
        )?;
        Ok(model.with_ghost_batch(self.config.ghost_batch))
    }
}

/// The data set that was read last.
#[derive(Debug, Default)]
pub struct DataCache {
    last: Option<(Source, Dataset)>,
}

impl DataCache {
    /// The images that a configuration names, from memory where they are the last ones that were read.
    fn read(&mut self, config: &Config) -> Result<Dataset, TrainError> {
        let source = Source {
            name: config.data.name.clone(),
            path: config.data.path.clone(),
            folder: FolderOptions {
                size: config.data.image_size,
                seed: config.seed,
                ..FolderOptions::default()
            },
        };
        // The seed decides nothing but how a folder of images is divided.
        let same = |last: &Source| match source.path {
            None => last.name == source.name && last.path.is_none(),
            Some(_) => *last == source,
        };
        match &self.last {
            Some((last, set)) if same(last) => Ok(set.clone()),
            _ => {
                let set = source.load()?;
                self.last = Some((source, set.clone()));
                Ok(set)
            }
        }
    }
}

impl Data {
    fn new(mut set: Dataset, config: &Config) -> Result<Self, TrainError> {
        let seed = config.seed;
        if config.data.limit > 0 {
            set = set.limit(config.data.limit);
        }
        if config.data.test_limit > 0 {
            set = set.limit_test(config.data.test_limit);
        }
        let statistics = set.statistics();
        let (train, held_out) = if config.data.validation > 0.0 {
            let (train, held) = set
                .train
                .hold_out_stratified(config.data.validation, seed)?;
            (train, Some(held))
        } else {
            (set.train, None)
        };
        let loader = |split, augment| Loader::new(split, set.shape, &statistics, augment, seed);
        let test = loader(Arc::new(set.test), Default::default())?;
        let validation_is = if held_out.is_some() {
            "held out"
        } else {
            "test"
        };
        let validation = match held_out {
            None => test.clone(),
            Some(held) => loader(Arc::new(held), Default::default())?,
        };
        Ok(Data {
            name: set.name,
            classes: set.classes,
            shape: set.shape,
            train: loader(Arc::new(train), config.augment.clone())?,
            statistics,
            checksums: set.checksums,
            notes: set.notes,
            validation,
            validation_is,
            test,
        })
    }
}

/// Steps of the longest run: its plan and its records are held in memory to be drawn.
const MOST_STEPS: u64 = 10_000_000;

/// Resolves the policy of a configuration for a training set of `images`; without `images` the length must be
/// given in steps, or by the policy itself.
///
/// # Errors
/// A policy that is impossible or does not fit, or a length that is not known.
pub fn plan(config: &Config, images: Option<usize>) -> Result<Plan, ConfigError> {
    let policy = config.policy.policy()?;
    let run = match (config.steps, config.epochs, images) {
        (Some(steps), _, None) => Run::steps(steps),
        (Some(steps), _, Some(images)) => Run::steps(steps)
            .with_samples(images as u64)
            .with_batch_size(config.batch_size as u64),
        (None, Some(epochs), Some(images)) => {
            Run::epochs(epochs, images as u64, config.batch_size as u64)
        }
        (None, _, _) => match policy.length() {
            Some(steps) => Run::steps(steps),
            None => {
                return Err(ConfigError::setting(
                    "steps",
                    "nothing",
                    "the number of steps, since neither the policy nor a known data set says it",
                ));
            }
        },
    };
    let plan = policy.resolve(&run)?;
    if plan.steps() > MOST_STEPS {
        let (key, value) = match config.steps {
            Some(steps) => ("steps", steps.to_string()),
            None => ("epochs", config.epochs.unwrap_or_default().to_string()),
        };
        let expected = format!("a run of at most {MOST_STEPS} steps");
        return Err(ConfigError::setting(key, value, expected));
    }
    Ok(plan)
}
