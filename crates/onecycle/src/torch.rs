//! The schedulers of `torch.optim.lr_scheduler`, to the last bit, under their own names and argument names.
//!
//! `lr` is the optimizer's own learning rate, where the scheduler starts from it. Value `n` is what PyTorch's optimizer
//! has in force in its update `n`, with `scheduler.step()` called after each update.
//!
//! Most of PyTorch's schedulers compute each value from the one before, so that rounding adds up. To have the same bits
//! those are run through once, when the policy is resolved, and kept as a list (8 bytes a step); the presets of this
//! crate's own, `step` or `cosine` say, need none.
//!
//! What is not followed: past its last step OneCycleLR extrapolates (the rate turns back up, or goes negative) and then
//! raises; here the plan holds, or does what [`AtEnd`](crate::AtEnd) says. Where rounding carries a rate below 0
//! (CosineAnnealingLR does, by some 1e-17), it is 0. There is no `last_epoch`: a plan resumes at whatever step it is asked for.

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
