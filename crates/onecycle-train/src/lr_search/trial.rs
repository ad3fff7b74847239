//! One short cycle of a configuration in memory, evaluated on held-out images: [`run`] returns a
//! [`Trial`]. There is no folder and no record, and the model is discarded.
//!
//! A trial of the full length of a run makes the same updates as the run if the run holds out the
//! same images: weights, order and augmentation are functions of the seed.

use std::{sync::Arc, time::Instant};

use serde::{Deserialize, Serialize};

use crate::{
    Experiment, TrainError, experiment, leader,
    metrics::WeightedSums,
    processes::Team,
    run_folder::RunFile,
    trainer::{StepResult, Trainer},
};

/// Approximate largest number of images to choose by: the standard error of their accuracy is about
/// one percentage point.
const MAX_JUDGED: usize = 2000;

/// How the held-out images are used: they are divided into `parts` of equal size, and choices are
/// made on the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldOut {
    /// Number of parts.
    pub parts: usize,
    /// Whether to measure the trained network on the other parts too.
    pub measure: bool,
}

impl HoldOut {
    /// For choosing only: all `images` held-out images, or one of several parts if there are many.
    pub fn judging(images: usize) -> Self {
        HoldOut {
            parts: images.div_ceil(MAX_JUDGED),
            measure: false,
        }
    }
}

/// A short cycle to make.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cycle {
    /// Peak learning rate, above 0.
    pub lr_max: f64,
    /// Updates, at least 1.
    pub steps: u64,
    /// How to use the held-out images.
    pub hold_out: HoldOut,
}

/// Result of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Seed of the initial weights. All other random streams have the seed of the configuration.
    pub seed: u64,
    /// Peak learning rate of the cycle.
    pub lr_max: f64,
    /// Planned updates.
    pub steps: u64,
    /// The update at which the loss was not finite. Such a trial has no scores.
    pub diverged: Option<u64>,
    /// Score on the first part of the held-out images, by which choices are made.
    pub judged: Option<Score>,
    /// Score on the other parts, if it was requested.
    pub measured: Option<Score>,
    /// Time of the trial, in seconds.
    pub seconds: f64,
}

/// Loss and accuracy on a set of images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean cross-entropy in nats, with the class weights of the training if it has any; `null` if it
    /// is not finite.
    pub loss: Option<f64>,
    /// Accuracy, 0 to 1.
    pub accuracy: f64,
}

impl From<WeightedSums> for Score {
    fn from(sums: WeightedSums) -> Self {
        let loss = sums.mean_loss();
        Score {
            loss: loss.is_finite().then_some(loss),
            accuracy: sums.metrics.accuracy(),
        }
    }
}

impl Trial {
    /// Updates made.
    pub fn updates(&self) -> u64 {
        self.diverged.unwrap_or(self.steps)
    }

    /// The loss to choose by; infinite if there is none.
    pub fn loss(&self) -> f64 {
        self.judged
            .and_then(|score| score.loss)
            .unwrap_or(f64::INFINITY)
    }
}

/// Trains a new network for one cycle, and evaluates it on the held-out images.
///
/// With a `team`, its processes make the updates together.
///
/// Returns `None` if `stop`, called before each update, returned true.
///
/// # Errors
/// The policy is not `one_cycle` or does not fit this peak and length; errors of a training step. A
/// divergence is not an error.
pub fn run(
    experiment: &Experiment,
    cycle: Cycle,
    team: Option<&Team>,
    stop: &mut dyn FnMut() -> bool,
) -> Result<Option<Trial>, TrainError> {
    let start = Instant::now();
    let Cycle {
        lr_max,
        steps,
        hold_out,
    } = cycle;
    let mut config = experiment.config.clone();
    (config.steps, config.epochs) = (Some(steps), None);
    config.one_cycle_mut()?.lr_max = lr_max;
    config.averaging = config.averaging.in_proportion(&experiment.plan, steps)?;
    config.check()?;
    let plan = experiment::plan(&config, Some(experiment.data.train.len()))?;
    let experiment = Experiment {
        config,
        plan: Arc::new(plan),
        ..experiment.clone()
    };
    let mut trial = Trial {
        seed: experiment.weights_seed,
        lr_max,
        steps,
        diverged: None,
        judged: None,
        measured: None,
        seconds: 0.0,
    };
    match train(&experiment, team, stop)? {
        Trained::Stopped => return Ok(None),
        Trained::Diverged(step) => trial.diverged = Some(step),
        Trained::Finished(trainer) => {
            let batch_size = experiment.config.eval_batch_size;
            let part = |part| {
                let held_out = experiment.data.validation.evaluation(batch_size);
                trainer.evaluate_weighted(held_out.part(part, hold_out.parts))
            };
            trial.judged = Some(part(0)?.into());
            if hold_out.measure {
                let mut sums = WeightedSums::default();
                for other in 1..hold_out.parts {
                    sums.add(part(other)?);
                }
                trial.measured = Some(sums.into());
            }
        }
    }
    trial.seconds = start.elapsed().as_secs_f64();
    Ok(Some(trial))
}

enum Trained {
    Finished(Box<Trainer>),
    Diverged(u64),
    Stopped,
}

/// Trains to the end of the plan.
fn train(
    experiment: &Experiment,
    team: Option<&Team>,
    stop: &mut dyn FnMut() -> bool,
) -> Result<Trained, TrainError> {
    let mut trainer = experiment.trainer()?;
    if let Some(team) = team {
        leader::begin(team, &mut trainer, &RunFile::of(experiment))?;
    }
    while !trainer.is_finished() {
        if stop() {
            return Ok(Trained::Stopped);
        }
        if let StepResult::NotFinite = trainer.step()? {
            return Ok(Trained::Diverged(trainer.cursor().step));
        }
    }
    if trainer.measure_statistics(stop)? {
        return Ok(Trained::Stopped);
    }
    Ok(Trained::Finished(Box::new(trainer)))
}
