use alloc::{sync::Arc, vec::Vec};
use core::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::{
    PolicyError, check,
    clock::Extent,
    math,
    resolve::{Resolve, Tracks},
    table::{Formula, Law, Mark, Table},
};

/// `decay_shape` of [`Trapezoid`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TrapezoidDecay {
    /// `t`.
    #[default]
    #[serde(rename = "linear")]
    Linear,
    /// `(1 - cos(pi t)) / 2`.
    #[serde(rename = "cos")]
    Cos,
    /// `sqrt(t)`.
    #[serde(rename = "1-sqrt")]
    OneMinusSqrt,
}

/// `LambdaLR` with the usual function for warm-up, plateau and decay.
///
/// With `W`, `S` and `D` steps of warm-up, plateau and decay, the factors `s` and `e`, and `t =
/// (n - W - S) / D`:
///
/// ```text
/// lr(n) / lr = s + (1 - s) n / W        n < W
///              1                        n < W + S
///              1 + (e - 1) g(t)         n < W + S + D
///              e                        else
/// ```
///
/// **Where it misses its end:** a run of `W + S + D` steps ends one step before `e`.
/// [`WarmupStableDecay`](crate::WarmupStableDecay) reaches its last rate.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `lr` | | the optimizer's learning rate | at least 0 |
/// | `warmup`, `stable`, `decay` | | steps of each phase | |
/// | `start_factor`, `end_factor` | 0 | first and last factor | at least 0 |
/// | `decay_shape` | linear | shape of the decay | linear, cos, 1-sqrt |
///
/// Source: PyTorch 2.15, `torch.optim.lr_scheduler.LambdaLR`, which multiplies `lr` by the value of
/// the function.
///
/// ```
/// use onecycle::{Run, torch::Trapezoid};
/// let plan = Trapezoid::new(0.4, 2, 2, 2).policy()?.resolve(&Run::steps(7))?;
/// let lr: Vec<f64> = (0..7).map(|n| plan.at(n).lr).collect();
/// assert_eq!(format!("{lr:.3?}"), "[0.000, 0.200, 0.400, 0.400, 0.400, 0.200, 0.000]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trapezoid {
    /// The optimizer's learning rate.
    pub lr: f64,
    /// Steps of the warm-up.
    pub warmup: u64,
    /// Steps of the plateau.
    pub stable: u64,
    /// Steps of the decay.
    pub decay: u64,
    /// Factor of the first step.
    #[serde(default)]
    pub start_factor: f64,
    /// Factor after the decay.
    #[serde(default)]
    pub end_factor: f64,
    /// Shape of the decay.
    #[serde(default)]
    pub decay_shape: TrapezoidDecay,
}

impl Trapezoid {
    /// Linear warm-up from 0 and linear decay to 0.
    pub fn new(lr: f64, warmup: u64, stable: u64, decay: u64) -> Self {
        Trapezoid {
            lr,
            warmup,
            stable,
            decay,
            start_factor: 0.0,
            end_factor: 0.0,
            decay_shape: TrapezoidDecay::Linear,
        }
    }

    fn ends(&self) -> [u64; 3] {
        let stable = self.warmup.saturating_add(self.stable);
        [self.warmup, stable, stable.saturating_add(self.decay)]
    }

    fn factor(&self, n: u64) -> f64 {
        let [warmup, stable, decay] = self.ends();
        if n < warmup {
            self.start_factor + (1.0 - self.start_factor) * n as f64 / self.warmup as f64
        } else if n < stable {
            1.0
        } else if n < decay {
            let t = (n - stable) as f64 / self.decay as f64;
            let share = match self.decay_shape {
                TrapezoidDecay::Linear => t,
                TrapezoidDecay::Cos => (1.0 - math::cos(PI * t)) / 2.0,
                TrapezoidDecay::OneMinusSqrt => math::sqrt(t),
            };
            1.0 + (self.end_factor - 1.0) * share
        } else {
            self.end_factor
        }
    }
}

impl Resolve for Trapezoid {
    fn check(&self) -> Result<(), PolicyError> {
        check::rate("lr", self.lr)?;
        check::rate("start_factor", self.start_factor)?;
        check::rate("end_factor", self.end_factor)
    }

    fn resolve(&self, _: &Extent<'_>) -> Result<Tracks, PolicyError> {
        let law = Law::Formula(Arc::new(self.clone()));
        Ok(Table::new("torch_trapezoid", law).into())
    }
}

impl Formula for Trapezoid {
    fn value(&self, n: u64) -> f64 {
        self.lr * self.factor(n)
    }

    fn marks(&self) -> Vec<Mark> {
        let [warmup, stable, decay] = self.ends();
        let (start, end) = (self.lr * self.start_factor, self.lr * self.end_factor);
        let mark = |name, first, from, to| Mark {
            name,
            first,
            from,
            to,
        };
        let marks = [
            (mark("warmup", 0, start, self.lr), warmup),
            (mark("stable", warmup, self.lr, self.lr), stable),
            (mark("decay", stable, self.lr, end), decay),
            (mark("end", decay, end, end), u64::MAX),
        ];
        let with_steps = marks.into_iter().filter(|(mark, end)| mark.first < *end);
        with_steps.map(|(mark, _)| mark).collect()
    }
}
