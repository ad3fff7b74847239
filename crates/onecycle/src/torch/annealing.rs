use core::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::{
    check_lr,
    recursion::{Recursion, run, series},
};
use crate::{
    PolicyError, check,
    clock::Extent,
    math,
    resolve::{Resolve, Tracks},
};

/// `CosineAnnealingLR`: the rate follows half cosine waves between `lr` and `eta_min`, down and up
/// again, `T_max` steps each.
///
/// The closed form is `eta_min + (lr - eta_min) (1 + cos(pi n / T_max)) / 2`. It is computed as
///
/// ```text
/// lr(n) = (1 + cos(pi n / T_max)) / (1 + cos(pi (n - 1) / T_max)) (lr(n - 1) - eta_min) + eta_min
///         lr(n - 1) + (lr - eta_min) (1 - cos(pi / T_max)) / 2
///             if n - 1 - T_max is a multiple of 2 T_max
/// ```
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `lr` | | the optimizer's learning rate | at least 0 |
/// | `T_max` | | steps down | at least 1 |
/// | `eta_min` | 0 | minimum | at least 0 |
///
/// A run of `T_max` steps does not reach the minimum, which belongs to step `T_max`. Source:
/// PyTorch 2.15, `torch.optim.lr_scheduler.CosineAnnealingLR`.
///
/// ```
/// use onecycle::{Run, torch::CosineAnnealingLr};
/// let plan = CosineAnnealingLr::new(0.4, 4).policy()?.resolve(&Run::steps(5))?;
/// let lr = [0, 2, 4].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.400, 0.200, 0.000]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CosineAnnealingLr {
    /// The optimizer's learning rate, from which the scheduler starts. Optional inside a
    /// [`SequentialLr`](crate::torch::SequentialLr).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Steps from the peak to the minimum (`T_max`).
    #[serde(rename = "T_max")]
    pub t_max: u64,
    /// The minimum.
    #[serde(default)]
    pub eta_min: f64,
}

impl CosineAnnealingLr {
    /// Falls from `lr` to 0 in `t_max` steps.
    pub fn new(lr: f64, t_max: u64) -> Self {
        CosineAnnealingLr {
            lr: Some(lr),
            t_max,
            eta_min: 0.0,
        }
    }

    fn wave(&self, epoch: u64) -> f64 {
        1.0 + math::cos(PI * epoch as f64 / self.t_max as f64)
    }
}

impl Resolve for CosineAnnealingLr {
    fn check(&self) -> Result<(), PolicyError> {
        check_lr(self.lr)?;
        self.check_arguments()
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        Ok(run("torch_cosine_annealing", self, self.lr, extent.steps)?.into())
    }
}

impl CosineAnnealingLr {
    pub(super) fn check_arguments(&self) -> Result<(), PolicyError> {
        check::ensure(self.t_max > 0, "T_max", 0.0, "at least 1")?;
        check::rate("eta_min", self.eta_min)
    }
}

impl Recursion for CosineAnnealingLr {
    fn next(&self, epoch: u64, lr: f64, base: f64) -> f64 {
        if epoch == 0 {
            return lr;
        }
        let turned = epoch > self.t_max && (epoch - 1 - self.t_max).is_multiple_of(2 * self.t_max);
        if turned {
            return lr + (base - self.eta_min) * (1.0 - math::cos(PI / self.t_max as f64)) / 2.0;
        }
        self.wave(epoch) / self.wave(epoch - 1) * (lr - self.eta_min) + self.eta_min
    }

    fn jump(&self, epoch: u64, base: f64) -> f64 {
        self.eta_min + (base - self.eta_min) * self.wave(epoch) / 2.0
    }
}

/// `CosineAnnealingWarmRestarts`: half cosine waves from `lr` towards `eta_min`, each `T_mult`
/// times as long as the one before.
///
/// `lr(n) = eta_min + (lr - eta_min) (1 + cos(pi k / T_i)) / 2` at step `k` of a cycle of `T_i`
/// steps.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `lr` | | the optimizer's learning rate | at least 0 |
/// | `T_0` | | steps of the first cycle | at least 1 |
/// | `T_mult` | 1 | factor on the length of each next cycle | at least 1 |
/// | `eta_min` | 0 | minimum | at least 0 |
///
/// Source: PyTorch 2.15, `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`.
///
/// ```
/// use onecycle::{Run, torch::CosineAnnealingWarmRestarts};
/// let plan = CosineAnnealingWarmRestarts::new(0.4, 4).policy()?.resolve(&Run::steps(8))?;
/// let lr = [0, 2, 4].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.400, 0.200, 0.400]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CosineAnnealingWarmRestarts {
    /// The optimizer's learning rate, from which the scheduler starts. Optional inside a
    /// [`SequentialLr`](crate::torch::SequentialLr).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Steps of the first cycle (`T_0`).
    #[serde(rename = "T_0")]
    pub t_0: u64,
    /// Factor on the length of each next cycle (`T_mult`).
    #[serde(rename = "T_mult", default = "once")]
    pub t_mult: u64,
    /// The minimum.
    #[serde(default)]
    pub eta_min: f64,
}

fn once() -> u64 {
    1
}

impl CosineAnnealingWarmRestarts {
    /// Equal cycles of `t_0` steps that fall from `lr` towards 0.
    pub fn new(lr: f64, t_0: u64) -> Self {
        CosineAnnealingWarmRestarts {
            lr: Some(lr),
            t_0,
            t_mult: 1,
            eta_min: 0.0,
        }
    }

    pub(super) fn check_arguments(&self) -> Result<(), PolicyError> {
        check::ensure(self.t_0 > 0, "T_0", 0.0, "at least 1")?;
        check::ensure(self.t_mult > 0, "T_mult", 0.0, "at least 1")?;
        check::rate("eta_min", self.eta_min)
    }
}

impl Resolve for CosineAnnealingWarmRestarts {
    fn check(&self) -> Result<(), PolicyError> {
        check_lr(self.lr)?;
        self.check_arguments()
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        let base = self.lr.unwrap_or(0.0);
        let lr = series(
            "torch_cosine_annealing_warm_restarts",
            extent.steps,
            base,
            |n, _| self.jump(n, base),
        )?;
        Ok(lr.into())
    }
}

impl Recursion for CosineAnnealingWarmRestarts {
    fn next(&self, epoch: u64, _: f64, base: f64) -> f64 {
        self.jump(epoch, base)
    }

    fn jump(&self, epoch: u64, base: f64) -> f64 {
        let (mut passed, mut cycle) = (epoch, self.t_0);
        if self.t_mult == 1 {
            passed %= cycle;
        }
        while passed >= cycle {
            passed -= cycle;
            cycle = cycle.saturating_mul(self.t_mult);
        }
        let wave = 1.0 + math::cos(PI * passed as f64 / cycle as f64);
        self.eta_min + (base - self.eta_min) * wave / 2.0
    }
}
