//! One range test of an experiment: [`run`].

use onecycle::{
    Hyper,
    range_test::{Conditions, RangeTest},
};

use super::{batches::EpochBatches, found::RangeTestRun, settings::RangeTestConfig};
use crate::{Experiment, TrainError, observer::Observer};

/// Makes one range test, with a new network of the experiment. Returns `None` if the observer stopped
/// it.
///
/// # Errors
/// The images are too small for the network, or options do not fit it; those of a training step.
pub fn run(
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
