//! The schedulers of `torch.optim.lr_scheduler`, reproduced to the last bit, with PyTorch's names
//! and argument names.
//!
//! `lr` is the optimizer's initial learning rate, for schedulers that start from it. `plan.at(n)`
//! is the value that PyTorch's optimizer uses in update `n` if `scheduler.step()` is called after
//! each update.
//!
//! Most of PyTorch's schedulers compute each value from the one before, so rounding accumulates. To
//! give the same bits, resolving such a policy runs the recursion once and stores the values (8
//! bytes per step). This crate's own presets, such as `step` or `cosine`, need no such list.
//!
//! Deviations: past its last step, OneCycleLR first extrapolates (the rate rises again, or becomes
//! negative) and then raises an exception; here [`AtEnd`](crate::AtEnd) decides. A rate that
//! rounding carries below 0 (by about 1e-17 in CosineAnnealingLR) is 0. There is no `last_epoch`,
//! because a plan can be evaluated at any step.

mod annealing;
mod cyclic;
mod one_cycle;
mod ramp;
mod recursion;
mod sequential;
mod step;
mod trapezoid;

pub use annealing::{CosineAnnealingLr, CosineAnnealingWarmRestarts};
pub use cyclic::{CyclicLr, CyclicMode};
pub use one_cycle::{AnnealStrategy, OneCycleLr};
pub use ramp::{ConstantLr, LinearLr, PolynomialLr};
pub use sequential::{Scheduler, SequentialLr};
pub use step::{ExponentialLr, MultiStepLr, StepLr};
pub use trapezoid::{Trapezoid, TrapezoidDecay};

use crate::{PolicyError, check};

fn check_lr(lr: Option<f64>) -> Result<(), PolicyError> {
    match lr {
        Some(lr) => check::rate("lr", lr),
        None => Err(PolicyError::Missing {
            name: "lr",
            hint: "give the optimizer's learning rate, from which the scheduler starts",
        }),
    }
}
