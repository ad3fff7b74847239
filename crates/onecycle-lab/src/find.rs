//! The LR range test of a configuration: under exactly the conditions of its training, over several seeds, over a list of
//! weight decays, momenta or batch sizes.
//!
//! Every test trains a network of its own from the start and throws it away. There is nothing to restore: the data's order
//! and every random stream are functions of the seed, so a training that follows is bit for bit the one that it would have
//! been without.

mod feed;
mod figure;
mod journal;
mod report;

use onecycle::{
    Hyper,
    range_test::{Conditions, Ladder, RangeTest},
};
use onecycle_burn::range_test;
use serde::{Deserialize, Serialize};

use crate::{Config, Experiment, LabError, experiment::DataCache};

pub use figure::figure;
pub use journal::Journal;
pub(crate) use journal::remove as remove_journal;
pub use report::{Choice, Cost, Found, Group, Test};

/// Rungs of the ladder that [`FindConfig::default`] has: 25 a decade.
const STEPS: u64 = 150;
/// Share of the training images that accuracy is measured on, where the configuration holds none out. Never the test set.
const HELD_OUT: f64 = 0.1;

/// How to test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FindConfig {
    /// The learning rates.
    pub ladder: Ladder,
    /// Updates at the first rate before the first recorded one.
    pub warm_up: u64,
    /// Updates between measurements of the validation accuracy, on images held out from training; 0 for none.
    pub validate_every: usize,
    /// Seeds, one test each.
    pub seeds: Vec<u64>,
    /// What varies from curve to curve.
    pub overlay: Option<Overlay>,
}

/// A hyper-parameter that varies from curve to curve. Smith, "A disciplined approach" (2018), figures 7 and 8.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overlay {
    /// The hyper-parameter.
    pub parameter: Parameter,
    /// Its values.
    pub values: Vec<f64>,
}

/// A hyper-parameter that curves may be laid over one another for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parameter {
    /// Weight decay.
    WeightDecay,
    /// SGD's momentum or Adam's beta1.
    Momentum,
    /// Images an update.
    BatchSize,
}

impl Parameter {
    /// Its name in words.
    pub fn name(self) -> &'static str {
        match self {
            Parameter::WeightDecay => "weight decay",
            Parameter::Momentum => "momentum",
            Parameter::BatchSize => "batch size",
        }
    }

    /// Puts a value into the hyper-parameters of every update.
    fn set(self, hyper: &mut Hyper, value: f64) -> Result<(), LabError> {
        let wrong = |expected: &str| {
            Err(LabError::Setting {
                key: self.name().to_owned(),
                value: value.to_string(),
                expected: expected.to_owned(),
            })
        };
        match self {
            Parameter::WeightDecay if !(value.is_finite() && value >= 0.0) => {
                return wrong("a number of at least 0");
            }
            Parameter::Momentum if !(0.0..1.0).contains(&value) => {
                return wrong("at least 0 and below 1");
            }
            Parameter::BatchSize if !(value >= 1.0 && value.fract() == 0.0 && value < 1e9) => {
                return wrong("a whole number of at least 1");
            }
            Parameter::WeightDecay => hyper.weight_decay = Some(value),
            Parameter::Momentum => hyper.momentum = Some(value),
            Parameter::BatchSize => hyper.batch_size = Some(value as u64),
        }
        Ok(())
    }
}

impl FindConfig {
    /// An exponential ladder from 1e-5 to 10, one seed, no validation.
    ///
    /// # Errors
    /// None: the bounds are sound.
    pub fn new(seed: u64) -> Result<Self, LabError> {
        Ok(FindConfig {
            ladder: Ladder::exponential(1e-5, 10.0, STEPS)?,
            warm_up: 0,
            validate_every: 0,
            seeds: vec![seed],
            overlay: None,
        })
    }

    /// Tests to make.
    pub fn tests(&self) -> usize {
        let values = self
            .overlay
            .as_ref()
            .map_or(1, |overlay| overlay.values.len());
        values * self.seeds.len()
    }

    fn check(&self) -> Result<(), LabError> {
        let empty = |key: &str| LabError::Setting {
            key: key.to_owned(),
            value: "an empty list".to_owned(),
            expected: "at least one".to_owned(),
        };
        if self.seeds.is_empty() {
            return Err(empty("seeds"));
        }
        if let Some(overlay) = &self.overlay {
            if overlay.values.is_empty() {
                return Err(empty(overlay.parameter.name()));
            }
            for value in &overlay.values {
                overlay.parameter.set(&mut blank(), *value)?;
            }
        }
        Ok(())
    }
}

/// Who looks on while tests are made. All methods do nothing by default.
pub trait FindObserver {
    /// A test begins, the first with index 0.
    fn test(&mut self, _index: usize, _label: &str, _updates: u64) {}
    /// An update at this rate is about to be made.
    fn step(&mut self, _lr: f64) {}
    /// A short cycle with this peak begins.
    fn cycle(&mut self, _lr_max: f64, _seed: u64, _updates: u64) {}
    /// Something to tell.
    fn note(&mut self, _text: &str) {}
    /// Asked before each update: true ends all tests.
    fn stop(&mut self) -> bool {
        false
    }
}

impl FindObserver for crate::train::Silent {}

/// Makes the tests that `find` asks for, of the network that `config` would train.
///
/// Momentum, weight decay and batch size are those that the policy has where its learning rate is largest: that is where
/// the rate that is looked for will be in force. An overlay takes their place.
///
/// `None` where the observer ended it.
///
/// # Errors
/// Those of [`Experiment::prepare`], and of a training.
pub fn find(
    config: &Config,
    find: &FindConfig,
    observer: &mut dyn FindObserver,
) -> Result<Option<Found>, LabError> {
    find_from(config, find, &mut Journal::none(), observer)
}

/// As [`find`], going on with what a journal holds of it, and keeping there what is made.
///
/// # Errors
/// The same, and those of the journal: other settings, another process, files that cannot be read or written.
pub fn find_from(
    config: &Config,
    find: &FindConfig,
    journal: &mut Journal,
    observer: &mut dyn FindObserver,
) -> Result<Option<Found>, LabError> {
    find.check()?;
    let hold_out = (find.validate_every > 0).then_some(HELD_OUT);
    let experiments = prepare(config, &find.seeds, hold_out)?;
    for note in experiments.iter().take(1).flat_map(|one| &one.data.notes) {
        observer.note(note);
    }
    if let Some(experiment) = experiments.first() {
        let known = journal.begin(config, find, experiment)?;
        if known != (0, 0) {
            observer.note(&format!(
                "going on: {} range tests and {} short cycles are there",
                known.0, known.1
            ));
        }
    }
    let overlay = find.overlay.as_ref();
    let values: Vec<Option<f64>> = match overlay {
        None => vec![None],
        Some(overlay) => overlay.values.iter().copied().map(Some).collect(),
    };
    let mut groups = Vec::with_capacity(values.len());
    for value in values {
        let mut tests = Vec::with_capacity(experiments.len());
        for experiment in &experiments {
            if let Some(test) = journal.test() {
                tests.push(test);
                continue;
            }
            let mut hyper = at_the_peak(experiment);
            if let (Some(overlay), Some(value)) = (overlay, value) {
                overlay.parameter.set(&mut hyper, value)?;
            }
            let label = label(
                overlay.map(|overlay| overlay.parameter),
                value,
                experiment.config.seed,
            );
            let index = groups.len() * experiments.len() + tests.len();
            observer.test(index, &label, find.warm_up + find.ladder.steps());
            match test(experiment, find, hyper, observer)? {
                None => return Ok(None),
                Some(test) => {
                    journal.keep_test(&test)?;
                    tests.push(test);
                }
            }
        }
        groups.push(Group::new(value, tests));
    }
    Ok(Some(Found::new(
        overlay.map(|overlay| overlay.parameter),
        find.ladder,
        groups,
    )))
}

/// An experiment a seed; with this share of the images held out to judge by, where the configuration holds none out.
///
/// # Errors
/// Those of [`Experiment::prepare`].
pub fn prepare(
    config: &Config,
    seeds: &[u64],
    hold_out: Option<f64>,
) -> Result<Vec<Experiment>, LabError> {
    let mut config = config.clone();
    if let (Some(share), 0.0) = (hold_out, config.data.validation) {
        config.data.validation = share;
    }
    let mut cache = DataCache::default();
    let each = seeds.iter().map(|seed| {
        let seed = *seed;
        Experiment::prepare_from(
            Config {
                seed,
                ..config.clone()
            },
            &mut cache,
        )
    });
    each.collect()
}

/// One test of the experiment's network from its start.
pub(crate) fn test(
    experiment: &Experiment,
    find: &FindConfig,
    hyper: Hyper,
    observer: &mut dyn FindObserver,
) -> Result<Option<Test>, LabError> {
    let conditions = Conditions {
        momentum: hyper.momentum,
        weight_decay: hyper.weight_decay,
        batch_size: hyper.batch_size,
        seed: Some(experiment.config.seed),
        ..Conditions::default()
    };
    let machine = RangeTest::new(find.ladder)
        .with_warm_up(find.warm_up)
        .with_base(hyper)
        .with_conditions(conditions);
    let model = experiment.initial_model()?;
    let optimizer = experiment.config.optimizer.build()?;
    let mut feed = feed::Batches::new(experiment, find, hyper, observer);
    let tested = range_test(&model, &optimizer, machine, &mut feed)?;
    Ok(tested.stop.map(|stop| Test {
        seed: experiment.config.seed,
        stop,
        cost: tested.cost.into(),
        curve: tested.curve,
    }))
}

/// The hyper-parameters of the update with the plan's largest learning rate, all of them set.
pub(crate) fn at_the_peak(experiment: &Experiment) -> Hyper {
    let plan = &experiment.plan;
    let all = (0..plan.steps()).map(|step| plan.at(step));
    let peak = all
        .reduce(|a, b| if b.lr > a.lr { b } else { a })
        .unwrap_or(blank());
    let optimizer = &experiment.config.optimizer.config;
    Hyper {
        lr: 0.0,
        momentum: Some(peak.momentum.unwrap_or(optimizer.momentum())),
        weight_decay: Some(peak.weight_decay.unwrap_or(optimizer.weight_decay())),
        batch_size: Some(
            peak.batch_size
                .unwrap_or(experiment.config.batch_size as u64),
        ),
    }
}

fn blank() -> Hyper {
    Hyper {
        lr: 0.0,
        momentum: None,
        weight_decay: None,
        batch_size: None,
    }
}

/// What one curve is called.
fn label(parameter: Option<Parameter>, value: Option<f64>, seed: u64) -> String {
    match (parameter, value) {
        (Some(parameter), Some(value)) => format!("{} {value}, seed {seed}", parameter.name()),
        _ => format!("seed {seed}"),
    }
}
