//! The LR range test of a configuration, under the conditions of its training: [`run`] makes the
//! tests over several seeds and over a list of weight decays, momenta or batch sizes.
//!
//! With `policy.image_size`, all images of a test have the size that the plan sets at its largest
//! learning rate.
//!
//! Every test trains a new network and discards it. Nothing has to be restored: the order of the
//! data and every random stream are functions of the seed, so a training that follows has the same
//! bits as without the test.

use onecycle::{
    Hyper,
    range_test::{Conditions, RangeTest},
};

use super::{
    batches::EpochBatches,
    found::{CurveGroup, RangeTestResult, RangeTestRun},
    journal::Journal,
    settings::{RangeTestConfig, SweptParameter},
};
use crate::{Config, Experiment, TrainError, experiment::DataCache, observer::Observer};

/// Share of the training images to measure accuracy on if the configuration holds out none. The
/// test set is never used.
const HELD_OUT: f64 = 0.1;

/// Makes the range tests of the network that `config` trains.
///
/// Momentum, weight decay and batch size are those of the policy at its largest learning rate,
/// because the suggested rate will be used there. The values of an overlay replace them.
///
/// Returns `None` if the observer stopped it.
///
/// # Errors
/// Those of [`Experiment::prepare`] and of a training step.
pub fn run(
    config: &Config,
    options: &RangeTestConfig,
    observer: &mut dyn Observer,
) -> Result<Option<RangeTestResult>, TrainError> {
    run_from(config, options, &mut Journal::none(), observer)
}

/// Like [`run`], but continues from the tests in a journal and adds the new ones to it.
///
/// # Errors
/// Those of [`run`]; the journal was made with other settings, is in use, or cannot be read or
/// written.
pub fn run_from(
    config: &Config,
    options: &RangeTestConfig,
    journal: &mut Journal,
    observer: &mut dyn Observer,
) -> Result<Option<RangeTestResult>, TrainError> {
    options.check()?;
    let hold_out = (options.validate_every > 0).then_some(HELD_OUT);
    let mut experiments = prepare(config, &options.seeds, hold_out)?;
    for note in experiments.iter().take(1).flat_map(|one| &one.data.notes) {
        observer.note(note);
    }
    if let Some(experiment) = experiments.first() {
        let known = journal.begin(config, options, experiment)?;
        if known != (0, 0) {
            observer.note(&format!(
                "continuing: {} range tests and {} short cycles are already made",
                known.0, known.1
            ));
        }
    }
    for experiment in &mut experiments {
        experiment.add_features(journal.folder(), observer)?;
    }
    let overlay = options.overlay.as_ref();
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
            let mut hyper = peak_hyper(experiment);
            if let (Some(overlay), Some(value)) = (overlay, value) {
                overlay.parameter.set(&mut hyper, value)?;
            }
            let label = label(
                overlay.map(|overlay| overlay.parameter),
                value,
                experiment.config.seed,
            );
            let index = groups.len() * experiments.len() + tests.len();
            observer.range_test(index, &label, options.warm_up + options.sweep.num_steps());
            match test(experiment, options, hyper, observer)? {
                None => return Ok(None),
                Some(test) => {
                    journal.keep_test(&test)?;
                    tests.push(test);
                }
            }
        }
        groups.push(CurveGroup::new(value, tests));
    }
    Ok(Some(RangeTestResult::new(
        overlay.map(|overlay| overlay.parameter),
        options.sweep,
        groups,
    )))
}

/// Prepares an experiment per seed. If the configuration holds out no images, holds out the share
/// `hold_out` of the training images.
///
/// # Errors
/// Those of [`Experiment::prepare`].
pub fn prepare(
    config: &Config,
    seeds: &[u64],
    hold_out: Option<f64>,
) -> Result<Vec<Experiment>, TrainError> {
    let mut config = config.clone().with_absolute_path()?;
    let mut cache = DataCache::default();
    if let (Some(share), 0.0) = (hold_out, config.data.validation)
        && !cache.has_validation(&config)?
    {
        config.data.validation = share;
    }
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

/// Makes one range test, with a new network of the experiment.
pub fn test(
    experiment: &Experiment,
    options: &RangeTestConfig,
    hyper: Hyper,
    observer: &mut dyn Observer,
) -> Result<Option<RangeTestRun>, TrainError> {
    let conditions = Conditions {
        momentum: hyper.momentum,
        weight_decay: hyper.weight_decay,
        batch_size: hyper.batch_size,
        seed: Some(experiment.config.seed),
        ..Conditions::default()
    };
    let range_test = RangeTest::new(options.sweep)
        .with_warm_up(options.warm_up)
        .with_base(hyper)
        .with_conditions(conditions);
    let range_test = match options.to_the_end {
        true => range_test.to_the_end(),
        false => range_test,
    };
    let trainer = experiment.trainer_of(experiment.initial_model()?)?;
    let (model, optimizer) = (trainer.model, trainer.optimizer);
    let mut feed = EpochBatches::new(experiment, options, hyper, observer)?;
    let tested = onecycle_burn::range_test(&model, &optimizer, range_test, &mut feed)?;
    Ok(tested.stop.map(|stop| RangeTestRun {
        seed: experiment.config.seed,
        stop,
        cost: tested.timing.into(),
        curve: tested.curve,
    }))
}

/// Hyper-parameters of the plan at its largest learning rate, with all of them set and `lr` 0.
pub fn peak_hyper(experiment: &Experiment) -> Hyper {
    let plan = &experiment.plan;
    let peak = match plan.steps() {
        0 => Hyper::new(0.0),
        _ => plan.at(experiment.peak_step()),
    };
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

/// Name of one test.
fn label(parameter: Option<SweptParameter>, value: Option<f64>, seed: u64) -> String {
    match (parameter, value) {
        (Some(parameter), Some(value)) => format!("{} {value}, seed {seed}", parameter.name()),
        _ => format!("seed {seed}"),
    }
}
