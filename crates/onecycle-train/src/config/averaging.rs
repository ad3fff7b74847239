use onecycle::{Plan, Span};
use serde::{Deserialize, Serialize};

use super::require;
use crate::ConfigError;

/// The `[averaging]` table: which average of the weights over the updates the run evaluates and
/// saves. Running statistics of batch norm are averaged with the weights.
///
/// | key | default | range | meaning |
/// |---|---|---|---|
/// | `kind` | `none` | `none`, `ema`, `swa`, `lookahead` | the average |
/// | **`ema`** | | | exponential moving average (Polyak & Juditsky 1992) |
/// | `decay` | 0.999 | 0 to < 1 | share of the old average that an update keeps |
/// | `every` | 1 | ≥ 1 | optimizer updates between updates of the average |
/// | `warm_up` | true | | decay `min(decay, (1 + t) / (10 + t))` after `t` updates of the average |
/// | **`swa`** | | | stochastic weight averaging (Izmailov et al. 2018): the equal average |
/// | `start` | 0.75 | [`Span`] within the run | first weights that are averaged |
/// | `every` | `1ep` | [`Span`] above 0 | distance to the next ones |
/// | **`lookahead`** | | | slow weights that the network returns to (Zhang et al. 2019; Jordan 2024, section 3.4) |
/// | `decay` | 0.95 | 0 to < 1 | share of the slow weights per optimizer update at the end of the run |
/// | `every` | 5 | ≥ 1 | optimizer updates between updates of the slow weights |
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Averaging {
    /// The network itself.
    #[default]
    None,
    /// Exponential moving average of the weights.
    Ema {
        /// Share of the old average that an update keeps, at least 0 and below 1.
        #[serde(default = "ema_decay")]
        decay: f64,
        /// Optimizer updates between updates of the average, at least 1.
        #[serde(default = "one")]
        every: u64,
        /// Whether a young average has a smaller decay: `min(decay, (1 + t) / (10 + t))`.
        #[serde(default = "yes")]
        warm_up: bool,
    },
    /// Stochastic weight averaging: the equal average of the weights at some points of the run. At
    /// its end, the statistics of batch norm are measured again.
    Swa {
        /// The first point.
        #[serde(default = "swa_start")]
        start: Span,
        /// Distance to the next point.
        #[serde(default = "swa_every")]
        every: Span,
    },
    /// Lookahead with a growing decay: every few updates the slow weights move towards the network,
    /// and the network returns to them.
    Lookahead {
        /// Share of the slow weights that remains per optimizer update at the end of the run, at
        /// least 0 and below 1.
        #[serde(default = "lookahead_decay")]
        decay: f64,
        /// Optimizer updates between updates of the slow weights, at least 1.
        #[serde(default = "lookahead_every")]
        every: u64,
    },
}

fn ema_decay() -> f64 {
    0.999
}

fn one() -> u64 {
    1
}

fn yes() -> bool {
    true
}

fn swa_start() -> Span {
    Span::Fraction(0.75)
}

fn swa_every() -> Span {
    Span::Epochs(1.0)
}

fn lookahead_decay() -> f64 {
    0.95
}

fn lookahead_every() -> u64 {
    5
}

impl Averaging {
    /// Whether nothing is averaged.
    pub fn is_none(&self) -> bool {
        *self == Averaging::None
    }

    /// The averaging of a training of `steps` steps that stands for the whole run with this plan: it
    /// covers the same shares of it.
    pub(crate) fn in_proportion(&self, plan: &Plan, steps: u64) -> Result<Self, ConfigError> {
        let run = plan.steps() as f64;
        let share = |name, span| -> Result<Span, ConfigError> {
            let share = plan.step_at(name, span)? as f64 / run;
            Ok(Span::Fraction(share.min(1.0)))
        };
        Ok(match *self {
            Averaging::None | Averaging::Lookahead { .. } => *self,
            Averaging::Ema {
                decay,
                every,
                warm_up,
            } => Averaging::Ema {
                // Each update of the short run replaces `run / steps` updates of the whole one.
                decay: (1.0 - (1.0 - decay) * run / steps as f64).clamp(0.0, decay),
                every: every.min(steps),
                warm_up,
            },
            Averaging::Swa { start, every } => Averaging::Swa {
                start: share("averaging.start", start)?,
                every: share("averaging.every", every)?,
            },
        })
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        match self {
            Averaging::None => Ok(()),
            Averaging::Ema { decay, every, .. } | Averaging::Lookahead { decay, every } => {
                require(
                    (0.0..1.0).contains(decay),
                    "averaging.decay",
                    decay,
                    "at least 0 and below 1",
                )?;
                require(*every > 0, "averaging.every", every, "at least 1 update")
            }
            Averaging::Swa { every, .. } => require(
                !every.is_zero(),
                "averaging.every",
                every,
                "a span above 0, such as \"1ep\"",
            ),
        }
    }
}
