//! One cycle of a configuration in memory, for what held-out images say of it: no folder, no record, and the model is
//! thrown away.
//!
//! A trial of a run's whole length is that run, update for update, as long as the run holds out the same images: weights,
//! order and augmentation are functions of the seed.

use std::{sync::Arc, time::Instant};

use serde::{Deserialize, Serialize};

use crate::{
    Experiment, TrainError, experiment,
    metrics::MetricSums,
    trainer::{StepResult, Trainer},
};

/// Images that are judged by, about as many at most: one per cent is the error of their accuracy.
const MOST_JUDGED: usize = 2000;

/// How held-out images are dealt: into `parts` of one size, by the first of which choices are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldOut {
    /// Parts.
    pub parts: usize,
    /// Whether the other parts measure what was trained.
    pub measure: bool,
}

impl HoldOut {
    /// For choosing alone: all of `images` held-out images, or one of so many parts that they are no more than it takes.
    pub fn judging(images: usize) -> Self {
        HoldOut {
            parts: images.div_ceil(MOST_JUDGED),
            measure: false,
        }
    }
}

/// What a trial came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Seed of every random stream.
    pub seed: u64,
    /// Peak of the cycle.
    pub lr_max: f64,
    /// Updates.
    pub steps: u64,
    /// The update at which the loss was not finite; such a trial has no scores.
    pub diverged: Option<u64>,
    /// On the first part of the held-out images: what choices go by.
    pub judged: Option<Score>,
    /// On the other parts, where that was asked for.
    pub measured: Option<Score>,
    /// Time of it all.
    pub seconds: f64,
}

/// Loss and accuracy on a set of images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean cross-entropy, in nats. Null in a file where it is not finite.
    pub loss: Option<f64>,
    /// Share of images classified rightly, 0 to 1.
    pub accuracy: f64,
}

impl From<MetricSums> for Score {
    fn from(tally: MetricSums) -> Self {
        let loss = tally.mean_loss();
        Score {
            loss: loss.is_finite().then_some(loss),
            accuracy: tally.accuracy(),
        }
    }
}

impl Trial {
    /// Updates that were made.
    pub fn updates(&self) -> u64 {
        self.diverged.unwrap_or(self.steps)
    }

    /// The loss to choose by: infinite where there is none.
    pub fn loss(&self) -> f64 {
        self.judged
            .and_then(|score| score.loss)
            .unwrap_or(f64::INFINITY)
    }
}

/// Trains `experiment`'s network for one cycle of `steps` with the peak `lr_max`, and scores it on its held-out images.
///
/// `None` where `stop`, asked before each update, said so.
///
/// # Errors
/// A policy other than `one_cycle`, or one that peak and length do not fit; those of a training, but not a divergence.
pub fn run(
    experiment: &Experiment,
    lr_max: f64,
    steps: u64,
    hold_out: HoldOut,
    stop: &mut dyn FnMut() -> bool,
) -> Result<Option<Trial>, TrainError> {
    let start = Instant::now();
    let mut config = experiment.config.clone();
    (config.steps, config.epochs) = (Some(steps), None);
    config.one_cycle_mut()?.lr_max = lr_max;
    config.check()?;
    let plan = experiment::plan(&config, Some(experiment.data.train.len()))?;
    let experiment = Experiment {
        config,
        plan: Arc::new(plan),
        ..experiment.clone()
    };
    let mut trial = Trial {
        seed: experiment.config.seed,
        lr_max,
        steps,
        diverged: None,
        judged: None,
        measured: None,
        seconds: 0.0,
    };
    match train(&experiment, stop)? {
        Trained::Stopped => return Ok(None),
        Trained::Diverged(step) => trial.diverged = Some(step),
        Trained::Whole(trainer) => {
            let batch_size = experiment.config.eval_batch_size;
            let part = |part| {
                let held_out = &experiment.data.validation;
                trainer.evaluate(
                    held_out
                        .evaluation()
                        .batch_size(batch_size)
                        .part(part, hold_out.parts)
                        .batches(),
                )
            };
            trial.judged = Some(part(0)?.into());
            if hold_out.measure {
                let mut sums = MetricSums::default();
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
    Whole(Trainer),
    Diverged(u64),
    Stopped,
}

/// Trains to the end of the plan.
fn train(experiment: &Experiment, stop: &mut dyn FnMut() -> bool) -> Result<Trained, TrainError> {
    let mut trainer = experiment.trainer()?;
    while !trainer.is_finished() {
        if stop() {
            return Ok(Trained::Stopped);
        }
        if let StepResult::NotFinite = trainer.step()? {
            return Ok(Trained::Diverged(trainer.cursor().step));
        }
    }
    Ok(Trained::Whole(trainer))
}
