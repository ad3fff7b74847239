//! The LR range test of a configuration: under exactly the conditions of its training, over several seeds, over a list of
//! weight decays, momenta or batch sizes.
//!
//! Every test trains a network of its own from the start and throws it away. There is nothing to restore: the data's order
//! and every random stream are functions of the seed, so a training that follows is bit for bit the one that it would have
//! been without.

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

/// Share of the training images that accuracy is measured on, where the configuration holds none out. Never the test set.
const HELD_OUT: f64 = 0.1;

/// Makes the tests that `find` asks for, of the network that `config` would train.
///
/// Momentum, weight decay and batch size are those that the policy has where its learning rate is largest: that is where
/// the rate that is looked for will be in force. An overlay takes their place.
///
/// `None` where the observer ended it.
///
/// # Errors
/// Those of [`Experiment::prepare`], and of a training.
pub fn run(
    config: &Config,
    find: &RangeTestConfig,
    observer: &mut dyn Observer,
) -> Result<Option<RangeTestResult>, TrainError> {
    run_from(config, find, &mut Journal::none(), observer)
}

/// As [`run`], going on with what a journal holds of it, and keeping there what is made.
///
/// # Errors
/// The same, and those of the journal: other settings, another process, files that cannot be read or written.
pub fn run_from(
    config: &Config,
    find: &RangeTestConfig,
    journal: &mut Journal,
    observer: &mut dyn Observer,
) -> Result<Option<RangeTestResult>, TrainError> {
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
            observer.range_test(index, &label, find.warm_up + find.sweep.num_steps());
            match test(experiment, find, hyper, observer)? {
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
        find.sweep,
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
) -> Result<Vec<Experiment>, TrainError> {
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
pub fn test(
    experiment: &Experiment,
    find: &RangeTestConfig,
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
    let machine = RangeTest::new(find.sweep)
        .with_warm_up(find.warm_up)
        .with_base(hyper)
        .with_conditions(conditions);
    let model = experiment.initial_model()?;
    let optimizer = experiment.config.optimizer.build()?;
    let mut feed = EpochBatches::new(experiment, find, hyper, observer);
    let tested = onecycle_burn::range_test(&model, &optimizer, machine, &mut feed)?;
    Ok(tested.stop.map(|stop| RangeTestRun {
        seed: experiment.config.seed,
        stop,
        cost: tested.cost.into(),
        curve: tested.curve,
    }))
}

/// The hyper-parameters of the update with the plan's largest learning rate, all of them set.
pub fn at_the_peak(experiment: &Experiment) -> Hyper {
    let plan = &experiment.plan;
    let all = (0..plan.steps()).map(|step| plan.at(step));
    let peak = all
        .reduce(|a, b| if b.lr > a.lr { b } else { a })
        .unwrap_or(Hyper::new(0.0));
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

/// What one curve is called.
fn label(parameter: Option<SweptParameter>, value: Option<f64>, seed: u64) -> String {
    match (parameter, value) {
        (Some(parameter), Some(value)) => format!("{} {value}, seed {seed}", parameter.name()),
        _ => format!("seed {seed}"),
    }
}
