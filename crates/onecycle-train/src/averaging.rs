//! Averages of the weights during a training: [`Averager`] applies the `[averaging]` table.

use burn::{module::Module, tensor::Device};
use onecycle::Plan;
use onecycle_burn::{
    average::{WeightAverage, ema_weight, equal_weight, lookahead_weight},
    state::TensorMap,
};

use crate::{ConfigError, config::Averaging};

/// The average of a training in progress, by the rule of its configuration.
#[derive(Debug, Clone, Default)]
pub struct Averager {
    rule: Rule,
    average: WeightAverage,
}

/// [`Averaging`] with its points in steps of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
enum Rule {
    #[default]
    None,
    Ema {
        decay: f64,
        every: u64,
        warm_up: bool,
    },
    Swa {
        start: u64,
        every: u64,
    },
    Lookahead {
        decay: f64,
        every: u64,
        steps: u64,
    },
}

/// State of an [`Averager`], to restore it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AverageState {
    /// Flat tensors by name; empty if nothing was averaged yet.
    pub tensors: TensorMap,
    /// Number of networks averaged.
    pub count: u64,
}

impl Averager {
    /// The averager of a training with this plan, before its first update.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] if the averaging would begin after the end of the run;
    /// [`ConfigError::Policy`] for a span in units that the run does not define.
    pub fn new(averaging: &Averaging, plan: &Plan) -> Result<Self, ConfigError> {
        let steps = plan.steps();
        let rule = match *averaging {
            Averaging::None => Rule::None,
            Averaging::Ema {
                decay,
                every,
                warm_up,
            } => {
                check_begins("averaging.every", every, every, steps)?;
                Rule::Ema {
                    decay,
                    every,
                    warm_up,
                }
            }
            Averaging::Swa { start, every } => {
                let first = plan.step_at("averaging.start", start)?;
                check_begins("averaging.start", start, first, steps)?;
                let every = plan.step_at("averaging.every", every)?.max(1);
                Rule::Swa {
                    start: first,
                    every,
                }
            }
            Averaging::Lookahead { decay, every } => {
                check_begins("averaging.every", every, every, steps)?;
                Rule::Lookahead {
                    decay,
                    every,
                    steps,
                }
            }
        };
        Ok(Averager {
            rule,
            average: WeightAverage::new(),
        })
    }

    /// Begins with `model`, the network before its first update.
    pub(crate) fn begin<M: Module>(&mut self, model: &M) {
        if let Rule::Lookahead { .. } = self.rule {
            self.average.add(model, 1.0);
        }
    }

    /// Continues after update `step`, counted from 1. Lookahead changes `model`.
    pub(crate) fn after_update<M: Module>(&mut self, model: &mut M, step: u64) {
        let count = self.average.count();
        match self.rule {
            Rule::Ema {
                decay,
                every,
                warm_up,
            } if step.is_multiple_of(every) => {
                self.average.add(model, ema_weight(decay, warm_up, count));
            }
            Rule::Swa { start, every } if step >= start && (step - start).is_multiple_of(every) => {
                self.average.add(model, equal_weight(count));
            }
            Rule::Lookahead {
                decay,
                every,
                steps,
            } => {
                let due = step.is_multiple_of(every);
                if due {
                    let weight = lookahead_weight(decay, every, step, steps);
                    self.average.add(model, weight);
                }
                // At the end, the network becomes the slow weights: an update with weight 0.
                if due || step == steps {
                    *model = self.average.apply(model.clone());
                }
            }
            _ => {}
        }
    }

    /// The network to evaluate and save, without autodiff: the average, if there is one.
    pub(crate) fn network<M: Module>(&self, model: &M) -> M {
        match self.rule {
            Rule::Ema { .. } | Rule::Swa { .. } => self.average.apply(model.valid()),
            Rule::None | Rule::Lookahead { .. } => model.valid(),
        }
    }

    /// The average.
    pub(crate) fn average_mut(&mut self) -> &mut WeightAverage {
        &mut self.average
    }

    /// Whether the statistics of batch norm must be measured at the end of the run: those of an
    /// average of weights are not the average of their statistics.
    pub(crate) fn needs_statistics(&self) -> bool {
        matches!(self.rule, Rule::Swa { .. }) && self.average.count() > 0
    }

    /// Number of networks averaged.
    pub fn count(&self) -> u64 {
        self.average.count()
    }

    /// The state after the last update.
    pub fn state(&self) -> AverageState {
        AverageState {
            tensors: self.average.state(),
            count: self.average.count(),
        }
    }

    /// Replaces the state by one that [`state`](Self::state) returned.
    #[must_use]
    pub fn with_state(self, state: AverageState, device: &Device) -> Self {
        Averager {
            average: WeightAverage::from_state(state.tensors, state.count, device),
            ..self
        }
    }
}

/// Checks that the first of `steps` steps that is averaged exists.
fn check_begins(
    key: &str,
    value: impl ToString,
    first: u64,
    steps: u64,
) -> Result<(), ConfigError> {
    if first <= steps {
        return Ok(());
    }
    let expected = format!("a point within the run of {steps} steps; nothing would be averaged");
    Err(ConfigError::setting(key, value, expected))
}
