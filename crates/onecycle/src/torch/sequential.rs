use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{
    ConstantLr, CosineAnnealingLr, CosineAnnealingWarmRestarts, ExponentialLr, LinearLr,
    MultiStepLr, PolynomialLr, StepLr,
    recursion::{Recursion, series},
};
use crate::{
    PolicyError, Span, check,
    clock::Extent,
    resolve::{Resolve, Tracks},
};

/// A scheduler that [`SequentialLr`] can hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum Scheduler {
    /// `MultiStepLR`.
    #[serde(rename = "torch_multi_step")]
    MultiStep(MultiStepLr),
    /// `StepLR`.
    #[serde(rename = "torch_step")]
    Step(StepLr),
    /// `ExponentialLR`.
    #[serde(rename = "torch_exponential")]
    Exponential(ExponentialLr),
    /// `CosineAnnealingLR`.
    #[serde(rename = "torch_cosine_annealing")]
    CosineAnnealing(CosineAnnealingLr),
    /// `CosineAnnealingWarmRestarts`.
    #[serde(rename = "torch_cosine_annealing_warm_restarts")]
    CosineAnnealingWarmRestarts(CosineAnnealingWarmRestarts),
    /// `LinearLR`.
    #[serde(rename = "torch_linear")]
    Linear(LinearLr),
    /// `PolynomialLR`.
    #[serde(rename = "torch_polynomial")]
    Polynomial(PolynomialLr),
    /// `ConstantLR`.
    #[serde(rename = "torch_constant")]
    Constant(ConstantLr),
}

macro_rules! each {
    ($scheduler:expr, $inner:ident => $body:expr) => {
        match $scheduler {
            Scheduler::MultiStep($inner) => $body,
            Scheduler::Step($inner) => $body,
            Scheduler::Exponential($inner) => $body,
            Scheduler::CosineAnnealing($inner) => $body,
            Scheduler::CosineAnnealingWarmRestarts($inner) => $body,
            Scheduler::Linear($inner) => $body,
            Scheduler::Polynomial($inner) => $body,
            Scheduler::Constant($inner) => $body,
        }
    };
}

impl Scheduler {
    fn recursion(&self) -> &dyn Recursion {
        each!(self, inner => inner)
    }

    fn lr(&self) -> Option<f64> {
        each!(self, inner => inner.lr)
    }

    fn check(&self) -> Result<(), PolicyError> {
        each!(self, inner => inner.check_arguments())
    }
}

/// `SequentialLR`: several schedulers of one optimizer, one after the other.
///
/// Scheduler `i` takes over at `milestones[i - 1]`. There it jumps to its own step 0 in closed
/// form; after that it follows its own recursion.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `lr` | | the optimizer's learning rate | at least 0 |
/// | `schedulers` | | schedulers, tagged by `kind`; their own `lr` is omitted or equal | at least one |
/// | `milestones` | | steps at which the next scheduler takes over | increasing; one fewer than schedulers |
///
/// Source: PyTorch 2.15, `torch.optim.lr_scheduler.SequentialLR`.
///
/// ```
/// use onecycle::{Run, torch::{CosineAnnealingLr, LinearLr, Scheduler, SequentialLr}};
/// let warmup = LinearLr { start_factor: 0.5, total_iters: 2, ..LinearLr::new(0.4) };
/// let sequential = SequentialLr::new(
///     0.4,
///     [Scheduler::Linear(warmup), Scheduler::CosineAnnealing(CosineAnnealingLr::new(0.4, 4))],
///     [2],
/// );
/// let plan = sequential.policy()?.resolve(&Run::steps(6))?;
/// let lr = [0, 1, 2].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.200, 0.300, 0.400]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SequentialLr {
    /// The optimizer's learning rate.
    pub lr: f64,
    /// The schedulers in order.
    pub schedulers: Vec<Scheduler>,
    /// The steps at which the second and later schedulers take over.
    pub milestones: Vec<u64>,
}

impl SequentialLr {
    /// Schedulers, and the steps at which the second and later ones take over.
    pub fn new(
        lr: f64,
        schedulers: impl IntoIterator<Item = Scheduler>,
        milestones: impl IntoIterator<Item = u64>,
    ) -> Self {
        SequentialLr {
            lr,
            schedulers: schedulers.into_iter().collect(),
            milestones: milestones.into_iter().collect(),
        }
    }
}

impl Resolve for SequentialLr {
    fn check(&self) -> Result<(), PolicyError> {
        check::rate("lr", self.lr)?;
        check::count("schedulers", self.schedulers.len().min(1), 1)?;
        check::count(
            "milestones",
            self.milestones.len(),
            self.schedulers.len() - 1,
        )?;
        for pair in self.milestones.windows(2) {
            if pair[0] >= pair[1] {
                return Err(PolicyError::NotIncreasing {
                    name: "milestones",
                    earlier: Span::Steps(pair[0]),
                    later: Span::Steps(pair[1]),
                });
            }
        }
        check::ensure(
            self.milestones.first() != Some(&0),
            "milestones",
            0.0,
            "steps above 0",
        )?;
        for scheduler in &self.schedulers {
            if scheduler.lr().is_some_and(|lr| lr != self.lr) {
                return Err(PolicyError::Conflict {
                    first: "lr",
                    second: "another `lr` inside of `schedulers`",
                });
            }
            scheduler.check()?;
        }
        Ok(())
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        let base = self.lr;
        let lr = series("torch_sequential", extent.steps, base, |n, lr| {
            let active = self
                .milestones
                .iter()
                .filter(|milestone| **milestone <= n)
                .count();
            let Some(scheduler) = self.schedulers.get(active) else {
                return lr; // as many schedulers as milestones and one: checked
            };
            let begun = active
                .checked_sub(1)
                .and_then(|i| self.milestones.get(i))
                .copied();
            match begun {
                Some(milestone) if milestone == n => scheduler.recursion().jump(0, base),
                begun => scheduler.recursion().next(n - begun.unwrap_or(0), lr, base),
            }
        })?;
        Ok(lr.into())
    }
}
