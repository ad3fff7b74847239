use serde::{Deserialize, Serialize};

use super::{
    check_lr,
    recursion::{Recursion, run},
};
use crate::{
    PolicyError, check,
    clock::Extent,
    math,
    resolve::{Resolve, Tracks},
};

/// `LinearLR`: a straight line from `lr start_factor` to `lr end_factor` over `total_iters` steps,
/// then constant.
///
/// ```text
/// lr(0) = lr start
/// lr(n) = lr(n - 1) (1 + (end - start) / (total start + (n - 1) (end - start)))      n <= total
/// ```
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `lr` | | the optimizer's learning rate | at least 0 |
/// | `start_factor` | 1/3 | first factor | above 0, at most 1 |
/// | `end_factor` | 1 | last factor | 0 to 1 |
/// | `total_iters` | 5 | steps of the transition | |
///
/// Source: PyTorch 2.15, `torch.optim.lr_scheduler.LinearLR`.
///
/// ```
/// use onecycle::{Run, torch::LinearLr};
/// let warmup = LinearLr { start_factor: 0.5, total_iters: 2, ..LinearLr::new(0.4) };
/// let plan = warmup.policy()?.resolve(&Run::steps(4))?;
/// let lr = [0, 1, 3].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.200, 0.300, 0.400]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearLr {
    /// The optimizer's learning rate, from which the scheduler starts. Optional inside a
    /// [`SequentialLr`](crate::torch::SequentialLr).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Factor of the first step.
    #[serde(default = "third")]
    pub start_factor: f64,
    /// Factor from step `total_iters` on.
    #[serde(default = "crate::defaults::one")]
    pub end_factor: f64,
    /// Steps of the transition.
    #[serde(default = "five")]
    pub total_iters: u64,
}

fn third() -> f64 {
    1.0 / 3.0
}

fn five() -> u64 {
    5
}

impl LinearLr {
    /// PyTorch's defaults: from `lr / 3` to `lr` in 5 steps.
    pub fn new(lr: f64) -> Self {
        LinearLr {
            lr: Some(lr),
            start_factor: third(),
            end_factor: 1.0,
            total_iters: five(),
        }
    }
}

impl Resolve for LinearLr {
    fn check(&self) -> Result<(), PolicyError> {
        check_lr(self.lr)?;
        self.check_arguments()
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        Ok(run("torch_linear", self, self.lr, extent.steps)?.into())
    }
}

impl LinearLr {
    pub(super) fn check_arguments(&self) -> Result<(), PolicyError> {
        check::decay("start_factor", self.start_factor)?;
        check::share("end_factor", self.end_factor)
    }
}

impl Recursion for LinearLr {
    fn next(&self, epoch: u64, lr: f64, _: f64) -> f64 {
        if epoch == 0 {
            return lr * self.start_factor;
        }
        if epoch > self.total_iters {
            return lr;
        }
        let rise = self.end_factor - self.start_factor;
        lr * (1.0
            + rise / (self.total_iters as f64 * self.start_factor + (epoch - 1) as f64 * rise))
    }

    fn jump(&self, epoch: u64, base: f64) -> f64 {
        let passed = self.total_iters.min(epoch) as f64;
        let rise = (self.end_factor - self.start_factor) * passed;
        let share = if self.total_iters == 0 {
            0.0
        } else {
            rise / self.total_iters as f64
        };
        base * (self.start_factor + share)
    }
}

/// `PolynomialLR`: `lr (1 - n / total_iters)^power`, then 0, computed as `lr(n) = lr(n - 1) ((1 -
/// n / total) / (1 - (n - 1) / total))^power`.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `lr` | | the optimizer's learning rate | at least 0 |
/// | `total_iters` | 5 | steps until 0 | at least 1 |
/// | `power` | 1 | exponent | above 0 |
///
/// Source: PyTorch 2.15, `torch.optim.lr_scheduler.PolynomialLR`.
///
/// ```
/// use onecycle::{Run, torch::PolynomialLr};
/// let polynomial = PolynomialLr { total_iters: 4, ..PolynomialLr::new(0.4) };
/// let plan = polynomial.policy()?.resolve(&Run::steps(6))?;
/// let lr = [0, 2, 5].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.400, 0.200, 0.000]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolynomialLr {
    /// The optimizer's learning rate, from which the scheduler starts. Optional inside a
    /// [`SequentialLr`](crate::torch::SequentialLr).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Steps until 0.
    #[serde(default = "five")]
    pub total_iters: u64,
    /// The exponent.
    #[serde(default = "crate::defaults::one")]
    pub power: f64,
}

impl PolynomialLr {
    /// PyTorch's defaults: a straight line to 0 in 5 steps.
    pub fn new(lr: f64) -> Self {
        PolynomialLr {
            lr: Some(lr),
            total_iters: five(),
            power: 1.0,
        }
    }
}

impl Resolve for PolynomialLr {
    fn check(&self) -> Result<(), PolicyError> {
        check_lr(self.lr)?;
        self.check_arguments()
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        Ok(run("torch_polynomial", self, self.lr, extent.steps)?.into())
    }
}

impl PolynomialLr {
    pub(super) fn check_arguments(&self) -> Result<(), PolicyError> {
        check::ensure(self.total_iters > 0, "total_iters", 0.0, "at least 1")?;
        check::positive("power", self.power)
    }
}

impl Recursion for PolynomialLr {
    fn next(&self, epoch: u64, lr: f64, _: f64) -> f64 {
        if epoch == 0 || epoch > self.total_iters {
            return lr;
        }
        let total = self.total_iters as f64;
        let (now, before) = (1.0 - epoch as f64 / total, 1.0 - (epoch - 1) as f64 / total);
        lr * math::pow(now / before, self.power)
    }

    fn jump(&self, epoch: u64, base: f64) -> f64 {
        let passed = self.total_iters.min(epoch) as f64;
        base * math::pow(1.0 - passed / self.total_iters as f64, self.power)
    }
}

/// `ConstantLR`: `lr factor` for `total_iters` steps, then `lr`, computed by dividing by `factor`
/// again.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `lr` | | the optimizer's learning rate | at least 0 |
/// | `factor` | 1/3 | factor of the first steps | above 0, at most 1 |
/// | `total_iters` | 5 | number of steps with the factor | |
///
/// Source: PyTorch 2.15, `torch.optim.lr_scheduler.ConstantLR`.
///
/// ```
/// use onecycle::{Run, torch::ConstantLr};
/// let constant = ConstantLr { factor: 0.5, total_iters: 2, ..ConstantLr::new(0.4) };
/// let plan = constant.policy()?.resolve(&Run::steps(4))?;
/// let lr: Vec<f64> = (0..4).map(|n| plan.at(n).lr).collect();
/// assert_eq!(format!("{lr:.3?}"), "[0.200, 0.200, 0.400, 0.400]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConstantLr {
    /// The optimizer's learning rate, from which the scheduler starts. Optional inside a
    /// [`SequentialLr`](crate::torch::SequentialLr).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Factor of the first steps.
    #[serde(default = "third")]
    pub factor: f64,
    /// Number of steps with the factor.
    #[serde(default = "five")]
    pub total_iters: u64,
}

impl ConstantLr {
    /// PyTorch's defaults: `lr / 3` for 5 steps.
    pub fn new(lr: f64) -> Self {
        ConstantLr {
            lr: Some(lr),
            factor: third(),
            total_iters: five(),
        }
    }
}

impl Resolve for ConstantLr {
    fn check(&self) -> Result<(), PolicyError> {
        check_lr(self.lr)?;
        self.check_arguments()
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        Ok(run("torch_constant", self, self.lr, extent.steps)?.into())
    }
}

impl ConstantLr {
    pub(super) fn check_arguments(&self) -> Result<(), PolicyError> {
        check::decay("factor", self.factor)
    }
}

impl Recursion for ConstantLr {
    fn next(&self, epoch: u64, lr: f64, _: f64) -> f64 {
        match epoch {
            0 => lr * self.factor,
            n if n == self.total_iters => lr * (1.0 / self.factor),
            _ => lr,
        }
    }

    fn jump(&self, epoch: u64, base: f64) -> f64 {
        let over = if epoch >= self.total_iters { 1.0 } else { 0.0 };
        base * (self.factor + over * (1.0 - self.factor))
    }
}
