use alloc::vec::Vec;

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

/// `MultiStepLR`: `lr(n) = lr(n - 1) gamma^k`, where `k` is how often `n` occurs in the milestones.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `lr` | | the optimizer's learning rate | at least 0 |
/// | `milestones` | | steps in any order; a repeated step counts repeatedly | |
/// | `gamma` | 0.1 | factor per drop | at least 0 |
///
/// Source: PyTorch 2.15, `torch.optim.lr_scheduler.MultiStepLR`.
///
/// ```
/// use onecycle::{Run, torch::MultiStepLr};
/// let plan = MultiStepLr::new(0.1, [2, 4]).policy()?.resolve(&Run::steps(5))?;
/// let lr: Vec<f64> = (0..5).map(|n| plan.at(n).lr).collect();
/// assert_eq!(format!("{lr:.3?}"), "[0.100, 0.100, 0.010, 0.010, 0.001]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiStepLr {
    /// The optimizer's learning rate, from which the scheduler starts. Optional inside a
    /// [`SequentialLr`](crate::torch::SequentialLr).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Steps at which the rate drops.
    pub milestones: Vec<u64>,
    /// Factor per drop.
    #[serde(default = "crate::defaults::tenth")]
    pub gamma: f64,
}

impl MultiStepLr {
    /// Divides the rate by 10 at each milestone.
    pub fn new(lr: f64, milestones: impl IntoIterator<Item = u64>) -> Self {
        MultiStepLr {
            lr: Some(lr),
            milestones: milestones.into_iter().collect(),
            gamma: 0.1,
        }
    }
}

impl Resolve for MultiStepLr {
    fn check(&self) -> Result<(), PolicyError> {
        check_lr(self.lr)?;
        self.check_arguments()
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        Ok(run("torch_multi_step", self, self.lr, extent.steps)?.into())
    }
}

impl MultiStepLr {
    pub(super) fn check_arguments(&self) -> Result<(), PolicyError> {
        check::rate("gamma", self.gamma)
    }
}

impl Recursion for MultiStepLr {
    fn next(&self, epoch: u64, lr: f64, _: f64) -> f64 {
        match self
            .milestones
            .iter()
            .filter(|milestone| **milestone == epoch)
            .count()
        {
            0 => lr,
            times => lr * math::pow(self.gamma, times as f64),
        }
    }

    fn jump(&self, epoch: u64, base: f64) -> f64 {
        let passed = self
            .milestones
            .iter()
            .filter(|milestone| **milestone <= epoch)
            .count();
        base * math::pow(self.gamma, passed as f64)
    }
}

/// `StepLR`: `lr(n) = lr(n - 1) gamma` if `n` is a multiple of `step_size`, otherwise `lr(n - 1)`.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `lr` | | the optimizer's learning rate | at least 0 |
/// | `step_size` | | steps between drops | at least 1 |
/// | `gamma` | 0.1 | factor per drop | at least 0 |
///
/// Source: PyTorch 2.15, `torch.optim.lr_scheduler.StepLR`.
///
/// ```
/// use onecycle::{Run, torch::StepLr};
/// let plan = StepLr { gamma: 0.5, ..StepLr::new(0.4, 2) }.policy()?.resolve(&Run::steps(5))?;
/// let lr: Vec<f64> = (0..5).map(|n| plan.at(n).lr).collect();
/// assert_eq!(format!("{lr:.3?}"), "[0.400, 0.400, 0.200, 0.200, 0.100]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepLr {
    /// The optimizer's learning rate, from which the scheduler starts. Optional inside a
    /// [`SequentialLr`](crate::torch::SequentialLr).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Steps between drops.
    pub step_size: u64,
    /// Factor per drop.
    #[serde(default = "crate::defaults::tenth")]
    pub gamma: f64,
}

impl StepLr {
    /// Divides the rate by 10 every `step_size` steps.
    pub fn new(lr: f64, step_size: u64) -> Self {
        StepLr {
            lr: Some(lr),
            step_size,
            gamma: 0.1,
        }
    }
}

impl Resolve for StepLr {
    fn check(&self) -> Result<(), PolicyError> {
        check_lr(self.lr)?;
        self.check_arguments()
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        Ok(run("torch_step", self, self.lr, extent.steps)?.into())
    }
}

impl StepLr {
    pub(super) fn check_arguments(&self) -> Result<(), PolicyError> {
        check::ensure(self.step_size > 0, "step_size", 0.0, "at least 1")?;
        check::rate("gamma", self.gamma)
    }
}

impl Recursion for StepLr {
    fn next(&self, epoch: u64, lr: f64, _: f64) -> f64 {
        if epoch == 0 || !epoch.is_multiple_of(self.step_size) {
            lr
        } else {
            lr * self.gamma
        }
    }

    fn jump(&self, epoch: u64, base: f64) -> f64 {
        base * math::pow(self.gamma, (epoch / self.step_size) as f64)
    }
}

/// `ExponentialLR`: `lr(n) = lr(n - 1) gamma`.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `lr` | | the optimizer's learning rate | at least 0 |
/// | `gamma` | | factor per step | at least 0 |
///
/// Source: PyTorch 2.15, `torch.optim.lr_scheduler.ExponentialLR`.
///
/// ```
/// use onecycle::{Run, torch::ExponentialLr};
/// let plan = ExponentialLr::new(0.4, 0.5).policy()?.resolve(&Run::steps(3))?;
/// let lr: Vec<f64> = (0..3).map(|n| plan.at(n).lr).collect();
/// assert_eq!(format!("{lr:.3?}"), "[0.400, 0.200, 0.100]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExponentialLr {
    /// The optimizer's learning rate, from which the scheduler starts. Optional inside a
    /// [`SequentialLr`](crate::torch::SequentialLr).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Factor per step.
    pub gamma: f64,
}

impl ExponentialLr {
    /// Multiplies the rate by `gamma` at each step.
    pub fn new(lr: f64, gamma: f64) -> Self {
        ExponentialLr {
            lr: Some(lr),
            gamma,
        }
    }
}

impl Resolve for ExponentialLr {
    fn check(&self) -> Result<(), PolicyError> {
        check_lr(self.lr)?;
        self.check_arguments()
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        Ok(run("torch_exponential", self, self.lr, extent.steps)?.into())
    }
}

impl ExponentialLr {
    pub(super) fn check_arguments(&self) -> Result<(), PolicyError> {
        check::rate("gamma", self.gamma)
    }
}

impl Recursion for ExponentialLr {
    fn next(&self, epoch: u64, lr: f64, _: f64) -> f64 {
        if epoch == 0 { lr } else { lr * self.gamma }
    }

    fn jump(&self, epoch: u64, base: f64) -> f64 {
        base * math::pow(self.gamma, epoch as f64)
    }
}
