//! Everything that a run needs besides its state: an [`Experiment`] has the data, plan and device
//! of a configuration.

mod curriculum;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use burn::tensor::Device;
use onecycle::{AtEnd, Plan, Run};
use onecycle_burn::{Optimizer, optim::Select, state};
use onecycle_vision::{
    Contents, Dataset, ImageShape, Loader, Source, Split, Statistics, TestOrigin,
    models::{Architecture, Model},
    random,
};

use crate::{
    Config, ConfigError, TrainError,
    averaging::Averager,
    config::{Keep, OptimizerSection, units::policy_per_step},
    depth, device,
    image_sizes::ImageSizes,
    init::{Init, InitFile},
    trainer::{Shards, Trainer, TrainingData},
};

/// Training images from which a whitening layer is set, as in the original (Jordan 2024).
const WHITENING_IMAGES: usize = 5000;

/// Data, plan and device of a configuration.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// The configuration.
    pub config: Config,
    /// The policy, resolved for the length of the run.
    pub plan: Arc<Plan>,
    /// The data set.
    pub data: Data,
    /// The architecture of the network.
    pub architecture: Architecture,
    /// The device, without autodiff.
    pub device: Device,
    /// Weight of each class in the training loss; `None` for equal weights.
    pub class_weights: Option<Arc<[f64]>>,
    /// Seed of the random weights that the run starts from: that of the configuration, unless a search
    /// repeats a cycle on the same images.
    pub weights_seed: u64,
    /// The weights that the run starts from, instead of random ones.
    pub init: Option<Init>,
}

/// A data set with its loaders.
#[derive(Debug, Clone)]
pub struct Data {
    /// Name of the data set.
    pub name: String,
    /// Class names in the order of their indices.
    pub classes: Vec<String>,
    /// Shape of an image.
    pub shape: ImageShape,
    /// Mean and standard deviation per channel by which the images are normalised: those of the
    /// training images, or of the weights that the run starts from.
    pub statistics: Statistics,
    /// SHA-256 of each file that was read.
    pub checksums: BTreeMap<String, String>,
    /// Notes of the reader, for example on skipped files.
    pub notes: Vec<String>,
    /// Training images, augmented.
    pub train: Loader,
    /// Images to measure on after each epoch: the test set, or images held out from training.
    pub validation: Loader,
    /// Origin of `validation`: `test`, `held out` from the training images, or `validation` for a
    /// folder with images for it.
    pub validation_is: &'static str,
    /// The test set.
    pub test: Loader,
    /// Where the test set is from.
    pub test_origin: TestOrigin,
    /// What was found in a folder of images.
    pub contents: Option<Contents>,
}

impl Experiment {
    /// Reads the data, resolves the policy and opens the device.
    ///
    /// # Errors
    /// The data cannot be read, the images are too small for the network, the policy does not fit
    /// the length of the run, or the device is not available.
    pub fn prepare(config: Config) -> Result<Self, TrainError> {
        Experiment::prepare_from(config, &mut DataCache::default())
    }

    /// Like [`prepare`](Self::prepare), for images in memory. They replace the data set of the
    /// configuration: `data.name` becomes the name of `dataset`, `data.path` is removed. The other
    /// keys of `data` apply.
    ///
    /// ```
    /// use onecycle_train::{Config, Experiment, observer::Silent};
    /// use onecycle_vision::{Dataset, ImageShape, Split};
    ///
    /// // Images of 8 x 8 pixels: a bright upper half, or a bright lower half.
    /// let half = |i: usize| [[255_u8; 32], [0; 32]][i % 2];
    /// let image = |i: usize| [half(i), half(i + 1)].concat();
    /// let split = |count: usize| {
    ///     let labels = (0..count).map(|i| i as u32 % 2).collect();
    ///     Split::new(ImageShape::new(1, 8, 8), (0..count).flat_map(image).collect(), labels)
    /// };
    /// let dataset = Dataset::new("halves", ["upper", "lower"], split(200)?, split(50)?)?;
    /// let config = Config { model: "mlp".to_owned(), epochs: Some(2.0), ..Config::default() };
    /// let trained = Experiment::with_data(config, dataset)?.train(&mut Silent)?;
    /// assert_eq!(trained.summary.test_accuracy, 1.0);
    /// # Ok::<(), onecycle_train::TrainError>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`prepare`](Self::prepare), except for reading the data.
    pub fn with_data(mut config: Config, dataset: Dataset) -> Result<Self, TrainError> {
        (config.data.name, config.data.path) = (Some(dataset.name.clone()), None);
        config.data.labels = None;
        config.check()?;
        let init = Experiment::init(&config)?;
        Experiment::of(config, init, |_| Ok(dataset))
    }

    /// Like [`prepare`](Self::prepare), for a run that has recorded the file of its first weights
    /// and has weights of its own: that file may be gone.
    ///
    /// # Errors
    /// Those of [`prepare`](Self::prepare).
    pub(crate) fn prepare_recorded(
        config: Config,
        init: Option<InitFile>,
        cache: &mut DataCache,
    ) -> Result<Self, TrainError> {
        config.check()?;
        let config = config.with_absolute_path()?;
        let init = match (&config.init, init) {
            (Some(path), Some(file)) => Some(Init::recorded(path, file)),
            _ => Experiment::init(&config)?,
        };
        Experiment::of(config, init, |config| cache.read(config))
    }

    /// The weights that the configuration starts from.
    fn init(config: &Config) -> Result<Option<Init>, TrainError> {
        config.init.as_deref().map(Init::read).transpose()
    }

    /// Like [`prepare`](Self::prepare), for many runs on the same images: a data set in `cache` is
    /// not read again.
    ///
    /// # Errors
    /// Those of [`prepare`](Self::prepare).
    pub fn prepare_from(config: Config, cache: &mut DataCache) -> Result<Self, TrainError> {
        config.check()?;
        // The run may be resumed from another working directory.
        let config = config.with_absolute_path()?;
        let init = Experiment::init(&config)?;
        Experiment::of(config, init, |config| cache.read(config))
    }

    /// The experiment of a checked configuration and the data set that `read` returns.
    fn of(
        config: Config,
        init: Option<Init>,
        read: impl FnOnce(&Config) -> Result<Dataset, TrainError>,
    ) -> Result<Self, TrainError> {
        let architecture: Architecture = config.model.parse()?;
        let device = device::open(config.device)?;
        let statistics = init
            .as_ref()
            .and_then(|init| init.file().statistics.clone());
        let data = Data::new(read(&config)?, &config, statistics)?;
        let plan = Arc::new(plan(&config, Some(data.train.len()))?);
        let images = data.train.split().class_counts(data.classes.len());
        let class_weights = match &config.class_weights {
            None => None,
            Some(weights) => Some(weights.resolve(&data.classes, &images)?.into()),
        };
        let mut experiment = Experiment {
            weights_seed: config.seed,
            config,
            plan,
            data,
            architecture,
            device,
            class_weights,
            init,
        };
        // Report an impossible network before anything is written.
        let untrained = experiment.untrained_model()?;
        if let Some(init) = experiment.init.as_ref().filter(|init| init.is_read()) {
            let loaded = init.load(untrained, &experiment.data.classes)?;
            let (config, data) = (&experiment.config, &mut experiment.data);
            let divided = data.test_origin == TestOrigin::Drawn || config.data.validation > 0.0;
            let notes = init.notes(&data.checksums, config.seed, divided);
            data.notes.extend(notes.into_iter().chain(loaded.notes));
        }
        experiment.averager()?;
        experiment.training_data()?;
        curriculum::apply(&mut experiment)?;
        Ok(experiment)
    }

    /// A trainer for this experiment, before its first update.
    ///
    /// # Errors
    /// The images are too small for the network, options of the optimizer are out of range, or a
    /// parameter group matches no parameter.
    pub fn trainer(&self) -> Result<Trainer, TrainError> {
        self.trainer_of(self.initial_model()?)
    }

    /// A trainer for this experiment that begins with `model`.
    pub(crate) fn trainer_of(&self, model: Model) -> Result<Trainer, TrainError> {
        let OptimizerSection { groups, freeze, .. } = &self.config.optimizer;
        let groups = groups.iter().map(|group| &group.select);
        check_selected("groups", groups, &model)?;
        check_selected("freeze", freeze.iter().map(|freeze| &freeze.select), &model)?;
        let optimizer = self.optimizer()?;
        let mut trainer = Trainer::new(
            model,
            optimizer,
            Arc::clone(&self.plan),
            self.training_data()?,
        );
        trainer.model = depth::freeze(&self.config, self.architecture, trainer.model)?;
        let trainer = trainer.with_freeze(freeze.clone());
        Ok(trainer.with_averager(self.averager()?))
    }

    /// The optimizer of the configuration, without state.
    ///
    /// # Errors
    /// Options are out of range.
    fn optimizer(&self) -> Result<Optimizer, TrainError> {
        let section = &self.config.optimizer;
        let groups = depth::param_groups(&self.config, self.architecture, section.all_groups())?;
        Ok(section.build_with(groups)?)
    }

    /// The average of the weights that the configuration asks for, before the first update.
    ///
    /// # Errors
    /// It would begin after the end of the run, or in a unit that the run does not define.
    pub fn averager(&self) -> Result<Averager, ConfigError> {
        Averager::new(&self.config.averaging, &self.plan)
    }

    /// A warning if the run chooses its network on the images that it also tests on.
    pub fn selection_note(&self) -> Option<&'static str> {
        let chosen = self.config.keep == Keep::Best && self.data.validation_is == "test";
        chosen.then_some(
            "keep = \"best\" chooses the network on the test images, so its test accuracy will be too high; hold out \
             images with data.validation = 0.1, or keep the last network",
        )
    }

    /// The first step of the plan with the largest learning rate; 0 for an empty plan.
    pub(crate) fn peak_step(&self) -> u64 {
        let larger = |a: (u64, f64), b: (u64, f64)| if b.1 > a.1 { b } else { a };
        let rates = (0..self.plan.steps()).map(|step| (step, self.plan.at(step).lr));
        rates.reduce(larger).map_or(0, |(step, _)| step)
    }

    /// The training images and the settings of the loss.
    ///
    /// # Errors
    /// Those of [`ImageSizes::of`].
    pub fn training_data(&self) -> Result<TrainingData, ConfigError> {
        let Experiment {
            config, plan, data, ..
        } = self;
        Ok(TrainingData {
            loader: data.train.clone(),
            device: self.device.clone(),
            batch_size: config.batch_size,
            drop_last: config.drop_last,
            shards: Shards::all(config.shards),
            image_sizes: ImageSizes::of(config, plan, data.shape, self.architecture)?,
            label_smoothing: config.label_smoothing,
            class_weights: self.class_weights.clone(),
        })
    }

    /// The initial network, on the device with autodiff. Its weights depend only on the seed, unless
    /// the configuration starts from existing ones.
    ///
    /// # Errors
    /// The images are too small for the network, or the existing weights do not fit it.
    pub fn initial_model(&self) -> Result<Model, TrainError> {
        let model = self.untrained_model()?;
        match &self.init {
            None => Ok(model),
            Some(init) => Ok(init.load(model, &self.data.classes)?.model),
        }
    }

    /// The network with random weights, on the device with autodiff.
    pub(crate) fn untrained_model(&self) -> Result<Model, TrainError> {
        let mut rng = random::stream(self.weights_seed, "initialisation", 0);
        let device = self.device.clone().autodiff();
        let model = Model::new(
            self.architecture,
            self.data.shape,
            self.data.classes.len(),
            &mut rng,
            &device,
        )?;
        let mut model = model.with_ghost_batch(self.config.ghost_batch);
        if model.whitens() {
            model = model.whiten(&self.first_images()?, self.data.shape);
        }
        Ok(model)
    }

    /// The first training images in the order of the data set, normalised: as many as a first layer
    /// is set from.
    fn first_images(&self) -> Result<Vec<f32>, TrainError> {
        let loader = &self.data.train;
        let first = loader.len().min(WHITENING_IMAGES);
        let mut images = Vec::with_capacity(first * self.data.shape.len());
        for batch in loader.evaluation(first).images((0..first as u32).collect()) {
            images.extend_from_slice(&batch?.images);
        }
        Ok(images)
    }
}

/// Keeps the data set that was read last.
#[derive(Debug, Default)]
pub struct DataCache {
    last: Option<(Source, Dataset)>,
}

impl DataCache {
    /// Whether the data set of a configuration has images for validation besides its test images.
    pub(crate) fn has_validation(&mut self, config: &Config) -> Result<bool, TrainError> {
        Ok(self.read(config)?.validation.is_some())
    }

    /// Reads the data set of a configuration, from memory if it was the last one read.
    fn read(&mut self, config: &Config) -> Result<Dataset, TrainError> {
        let source = config.data.source(config.seed);
        // Only a folder of images depends on the seed, which splits it into training and test set.
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
    /// The data of a configuration. `statistics` normalise the images; `None` for their own.
    fn new(
        mut set: Dataset,
        config: &Config,
        statistics: Option<Statistics>,
    ) -> Result<Self, TrainError> {
        let seed = config.seed;
        if config.data.limit > 0 {
            set = set.limit(config.data.limit, seed);
        }
        if config.data.test_limit > 0 {
            set = set.limit_test(config.data.test_limit, seed);
        }
        // Statistics for other channels belong to weights that will not fit.
        let statistics = statistics
            .filter(|given| given.mean.len() == set.shape.channels)
            .unwrap_or_else(|| set.statistics());
        let share = config.data.validation;
        let (train, validation) = match set.validation {
            Some(_) if share > 0.0 => {
                let expected = "0, because the folder has images for validation";
                return Err(ConfigError::setting("data.validation", share, expected).into());
            }
            None if share > 0.0 => {
                let (train, held_out) = set.train.hold_out_stratified(share, seed)?;
                (train, Some((held_out, "held out")))
            }
            validation => (set.train, validation.map(|images| (images, "validation"))),
        };
        let loader = |split: Split, augment| Loader::new(split, &statistics, augment, seed);
        let test = loader(set.test, Default::default())?;
        let (validation, validation_is) = match validation {
            None => (test.clone(), "test"),
            Some((images, origin)) => (loader(images, Default::default())?, origin),
        };
        Ok(Data {
            name: set.name,
            classes: set.classes,
            shape: set.shape,
            train: loader(train, config.augment.clone())?,
            statistics,
            checksums: set.checksums,
            notes: set.notes,
            validation,
            validation_is,
            test,
            test_origin: set.test_origin,
            contents: set.contents,
        })
    }
}

/// Checks that each selection of `optimizer.LIST` has a parameter: without one it would have no
/// effect.
fn check_selected<'a>(
    list: &str,
    selections: impl Iterator<Item = &'a Select>,
    model: &Model,
) -> Result<(), ConfigError> {
    let weights = state::weights(model);
    let trained = weights
        .iter()
        .filter(|(name, _)| !name.contains("running_"));
    let trained: Vec<(&String, usize)> = trained
        .map(|(name, data)| (name, data.shape().len()))
        .collect();
    for (index, select) in selections.enumerate() {
        if trained
            .iter()
            .any(|(name, rank)| select.matches(name, *rank))
        {
            continue;
        }
        let value = select.to_string();
        let first = |name: &&String| name.split('.').next().unwrap_or_default().to_owned();
        let modules: BTreeSet<String> = trained.iter().map(|(name, _)| first(name)).collect();
        let modules: Vec<String> = modules.into_iter().collect();
        return Err(ConfigError::setting(
            format!("optimizer.{list}[{index}].select"),
            value,
            format!(
                "the beginning of a parameter's name; they begin with {}",
                modules.join(", ")
            ),
        ));
    }
    Ok(())
}

/// Checks that each epoch has a whole batch: without one, an epoch would have no step.
fn check_batches_fill(plan: &Plan, images: usize, batch_size: usize) -> Result<(), ConfigError> {
    let sizes = (0..plan.steps()).map(|step| plan.at(step).batch_size.unwrap_or(batch_size as u64));
    match sizes.max() {
        Some(largest) if largest > images as u64 => Err(ConfigError::setting(
            "drop_last",
            true,
            format!("batches of at most the {images} training images; one has {largest}"),
        )),
        _ => Ok(()),
    }
}

/// Largest number of steps: the plan and the records of a run are held in memory to be drawn.
const MAX_STEPS: u64 = 10_000_000;

/// Resolves the policy of a configuration for a training set of `images` images. Without `images`,
/// the length must be given in steps, or by the policy itself.
///
/// # Errors
/// The policy has impossible parameters or does not fit the length of the run, or the length is not
/// known.
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
                    "the number of steps, because neither the policy nor a known data set gives it",
                ));
            }
        },
    };
    let run = run.drop_last(config.drop_last);
    let mut plan = policy.resolve(&run)?;
    if config.optimizer.per_1024_images {
        plan = policy_per_step(config, &plan)?.resolve(&run)?;
    }
    if plan.ends_at() < plan.steps() && config.policy.at_end != AtEnd::Restart {
        return Err(ConfigError::setting(
            "policy.total_steps",
            plan.ends_at(),
            format!(
                "the {} steps of the run: after its own end the policy would keep its last rate; \
                 or at_end = \"restart\"",
                plan.steps()
            ),
        ));
    }
    if plan.steps() > MAX_STEPS {
        let (key, value) = match config.steps {
            Some(steps) => ("steps", steps.to_string()),
            None => ("epochs", config.epochs.unwrap_or_default().to_string()),
        };
        let expected = format!("a run of at most {MAX_STEPS} steps");
        return Err(ConfigError::setting(key, value, expected));
    }
    if let Some(images) = images
        && config.drop_last
    {
        check_batches_fill(&plan, images, config.batch_size)?;
    }
    Ok(plan)
}
