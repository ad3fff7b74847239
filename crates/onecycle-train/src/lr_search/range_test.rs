//! The LR range test of a configuration, under the conditions of its training: [`run`] makes the
//! tests over several seeds and over a list of weight decays, momenta or batch sizes.
//!
//! With `policy.image_size`, all images of a test have the size that the plan sets at its largest
//! learning rate.
//!
//! Every test trains a new network and discards it. Nothing has to be restored: the order of the
//! data and every random stream are functions of the seed, so a training that follows has the same
//! bits as without the test.

use super::{
    context::Context,
    found::{CurveGroup, RangeTestResult, RangeTestRun},
    journal::Journal,
    one_test,
    round::{self, PlannedTest},
    settings::{Overlay, RangeTestConfig},
};
use crate::{
    Config, ConfigError, Experiment, TrainError, experiment::DataCache, observer::Observer,
    processes::Team,
};

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
    let mut context = Context {
        team: None,
        journal: &mut Journal::none(),
        observer,
    };
    run_from(config, options, &mut context)
}

/// Like [`run`], but continues from the tests in a journal and adds the new ones to it.
///
/// The processes of a team make a test each at the same time. If the configuration freezes layers or starts
/// from given weights, process 0 makes all of them.
///
/// # Errors
/// Those of [`run`]; the journal was made with other settings, is in use, or cannot be read or
/// written; a process cannot be reached.
pub fn run_from(
    config: &Config,
    options: &RangeTestConfig,
    context: &mut Context<'_>,
) -> Result<Option<RangeTestResult>, TrainError> {
    options.check()?;
    let (journal, observer) = (&mut *context.journal, &mut *context.observer);
    let mut team = context.team;
    if let Some(team) = team {
        team.shards(config.shards)?;
    }
    // The other processes have neither the features of frozen layers nor the given weights.
    if team.is_some() && (config.freezes() || config.init.is_some()) {
        observer.note(
            "one process makes the range tests, because the network starts from given weights",
        );
        team = None;
    }
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
    let tests = planned(&experiments, options)?;
    let mut made = journal.take_tests();
    let left = &tests[made.len().min(tests.len())..];
    for round in left.chunks(team.map_or(1, Team::size)) {
        if observer.stop() {
            return Ok(None);
        }
        let labels: Vec<&str> = round.iter().map(|test| test.label.as_str()).collect();
        let updates = options.warm_up + options.sweep.num_steps();
        observer.range_test(made.len(), &labels.join("; "), updates);
        let finished = match team {
            Some(team) => round::lead(team, round, options, observer)?,
            None => one_after_another(round, options, observer)?,
        };
        let complete = finished.len() == round.len();
        for test in finished {
            journal.keep_test(&test)?;
            made.push(test);
        }
        if !complete {
            return Ok(None);
        }
    }
    let overlay = options.overlay.as_ref();
    let values: Vec<Option<f64>> = match overlay {
        None => vec![None],
        Some(overlay) => overlay.values.iter().copied().map(Some).collect(),
    };
    let groups = values.into_iter().zip(made.chunks(experiments.len()));
    Ok(Some(RangeTestResult::new(
        overlay.map(|overlay| overlay.parameter),
        options.sweep,
        groups
            .map(|(value, tests)| CurveGroup::new(value, tests.to_vec()))
            .collect(),
    )))
}

/// Makes tests in this process, until the observer stops it.
fn one_after_another(
    planned: &[PlannedTest<'_>],
    options: &RangeTestConfig,
    observer: &mut dyn Observer,
) -> Result<Vec<RangeTestRun>, TrainError> {
    let mut made = Vec::with_capacity(planned.len());
    for PlannedTest {
        experiment, hyper, ..
    } in planned
    {
        match one_test::run(experiment, options, *hyper, observer)? {
            Some(test) => made.push(test),
            None => break,
        }
    }
    Ok(made)
}

/// All tests: for each value of the overlay, one per seed.
fn planned<'a>(
    experiments: &'a [Experiment],
    options: &RangeTestConfig,
) -> Result<Vec<PlannedTest<'a>>, ConfigError> {
    let test = |experiment: &'a Experiment| PlannedTest {
        experiment,
        hyper: one_test::peak_hyper(experiment),
        label: format!("seed {}", experiment.config.seed),
    };
    let Some(Overlay { parameter, values }) = &options.overlay else {
        return Ok(experiments.iter().map(test).collect());
    };
    let mut tests = Vec::with_capacity(values.len() * experiments.len());
    for value in values {
        for experiment in experiments {
            let mut test = test(experiment);
            parameter.set(&mut test.hyper, *value)?;
            test.label = format!("{} {value}, {}", parameter.name(), test.label);
            tests.push(test);
        }
    }
    Ok(tests)
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
