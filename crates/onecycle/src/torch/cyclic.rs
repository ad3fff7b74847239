use alloc::{string::String, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    PolicyError, check,
    clock::Extent,
    math,
    resolve::{Resolve, Tracks},
    table::{Formula, Law, Table},
};

/// `mode` of [`CyclicLr`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CyclicMode {
    /// All cycles are equal.
    #[default]
    Triangular,
    /// Each cycle is half as high as the one before.
    Triangular2,
    /// The amplitude shrinks by `gamma` per step.
    ExpRange,
}

/// `CyclicLR`, PyTorch's cyclical learning rates.
///
/// With `total = up + down`, `r = up / total`, `c = floor(1 + n / total)` and `x = 1 + n / total -
/// c`:
///
/// ```text
/// s           = x / r                      x <= r
///               (x - 1) / (r - 1)          else
/// lr(n)       = base_lr + (max_lr - base_lr) s d
/// momentum(n) = max_momentum - (max_momentum - base_momentum) s d
/// d           = 1 (triangular), 2^-(c - 1) (triangular2), gamma^n (exp_range)
/// ```
///
/// Because `n / total` is rounded, peaks are reached only to within a few units in the last place.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `base_lr`, `max_lr` | | bounds | at least 0 |
/// | `step_size_up` | 2000 | steps of the rise | at least 1 |
/// | `step_size_down` | `step_size_up` | steps of the fall | at least 1 |
/// | `mode` | triangular | how the amplitude changes | triangular, triangular2, exp_range |
/// | `gamma` | 1 | factor per step for exp_range | above 0, at most 1 |
/// | `cycle_momentum` | true | whether to set momentum (or beta1) | |
/// | `base_momentum`, `max_momentum` | 0.8, 0.9 | bounds of momentum | 0 to 1 |
///
/// `scale_fn` is not supported; without it, `scale_mode` has no effect. Source: PyTorch 2.15,
/// `torch.optim.lr_scheduler.CyclicLR`.
///
/// ```
/// use onecycle::{Run, torch::CyclicLr};
/// let cyclic = CyclicLr { step_size_up: 4, ..CyclicLr::new(0.1, 0.5) };
/// let plan = cyclic.policy()?.resolve(&Run::steps(9))?;
/// let lr = [0, 4, 8].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.100, 0.500, 0.100]");
/// let momentum = [0, 4, 8].map(|n| plan.at(n).momentum.unwrap_or_default());
/// assert_eq!(format!("{momentum:.3?}"), "[0.900, 0.800, 0.900]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CyclicLr {
    /// Lower bound.
    pub base_lr: f64,
    /// Upper bound.
    pub max_lr: f64,
    /// Steps of the rise.
    #[serde(default = "defaults::step_size")]
    pub step_size_up: u64,
    /// Steps of the fall. Default: `step_size_up`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_size_down: Option<u64>,
    /// How the amplitude changes.
    #[serde(default)]
    pub mode: CyclicMode,
    /// Factor per step for [`CyclicMode::ExpRange`].
    #[serde(default = "crate::defaults::one")]
    pub gamma: f64,
    /// A function in PyTorch. Not supported: must be omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_fn: Option<String>,
    /// Argument of `scale_fn` in PyTorch. Has no effect here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_mode: Option<String>,
    /// Whether to set momentum (or beta1).
    #[serde(default = "crate::defaults::yes")]
    pub cycle_momentum: bool,
    /// Momentum at the peaks.
    #[serde(default = "defaults::base_momentum")]
    pub base_momentum: f64,
    /// Momentum at the minima of the learning rate.
    #[serde(default = "defaults::max_momentum")]
    pub max_momentum: f64,
}

mod defaults {
    pub(super) fn step_size() -> u64 {
        2000
    }

    pub(super) fn base_momentum() -> f64 {
        0.8
    }

    pub(super) fn max_momentum() -> f64 {
        0.9
    }
}

impl CyclicLr {
    /// PyTorch's defaults.
    pub fn new(base_lr: f64, max_lr: f64) -> Self {
        CyclicLr {
            base_lr,
            max_lr,
            step_size_up: defaults::step_size(),
            step_size_down: None,
            mode: CyclicMode::Triangular,
            gamma: 1.0,
            scale_fn: None,
            scale_mode: None,
            cycle_momentum: true,
            base_momentum: defaults::base_momentum(),
            max_momentum: defaults::max_momentum(),
        }
    }
}

impl Resolve for CyclicLr {
    fn check(&self) -> Result<(), PolicyError> {
        check::rate("base_lr", self.base_lr)?;
        check::rate("max_lr", self.max_lr)?;
        check::order("base_lr", self.base_lr, "max_lr", self.max_lr)?;
        check::ensure(self.step_size_up > 0, "step_size_up", 0.0, "at least 1")?;
        check::ensure(
            self.step_size_down != Some(0),
            "step_size_down",
            0.0,
            "at least 1",
        )?;
        check::decay("gamma", self.gamma)?;
        check::momentum("base_momentum", self.base_momentum)?;
        check::momentum("max_momentum", self.max_momentum)?;
        if let Some(function) = &self.scale_fn {
            return Err(PolicyError::Unsupported {
                name: "scale_fn",
                value: function.clone(),
                hint: "choose a `mode`, or build the policy from curves",
            });
        }
        Ok(())
    }

    fn resolve(&self, _: &Extent<'_>) -> Result<Tracks, PolicyError> {
        let up = self.step_size_up as f64;
        let total = up + self.step_size_down.unwrap_or(self.step_size_up) as f64;
        let track = |from: f64, height: f64| {
            let law = Law::Formula(Arc::new(Triangle {
                from,
                height,
                total,
                ratio: up / total,
                mode: self.mode,
                gamma: self.gamma,
            }));
            Table::new("torch_cyclic", law)
        };
        Ok(Tracks {
            lr: track(self.base_lr, self.max_lr - self.base_lr),
            momentum: self
                .cycle_momentum
                // PyTorch subtracts (max - base) s d; this adds its negative.
                .then(|| track(self.max_momentum, -(self.max_momentum - self.base_momentum))),
        })
    }
}

#[derive(Debug)]
struct Triangle {
    from: f64,
    height: f64,
    total: f64,
    ratio: f64,
    mode: CyclicMode,
    gamma: f64,
}

impl Formula for Triangle {
    fn value(&self, n: u64) -> f64 {
        let n = n as f64;
        let cycle = math::floor(1.0 + n / self.total);
        let x = 1.0 + n / self.total - cycle;
        let share = if x <= self.ratio {
            x / self.ratio
        } else {
            (x - 1.0) / (self.ratio - 1.0)
        };
        let factor = match self.mode {
            CyclicMode::Triangular => 1.0,
            CyclicMode::Triangular2 => 1.0 / math::pow(2.0, cycle - 1.0),
            CyclicMode::ExpRange => math::pow(self.gamma, n),
        };
        self.from + self.height * share * factor
    }
}
