#![doc = include_str!("../README.md")]

pub mod average;
pub mod batch_statistics;
mod cpu;
pub mod diagnose;
mod error;
pub mod fit;
pub mod freeze;
pub mod layer_groups;
pub mod learner;
pub mod nn;
pub mod optim;
pub mod range_test;
pub mod shards;
pub mod state;
pub mod step;
pub mod unfreezing;
mod untracked;

pub use burn;
pub use onecycle;
pub use rand_chacha::ChaCha8Rng;

pub use error::BurnError;
pub use fit::{fit_one_cycle, lr_find, try_fit_one_cycle};
pub use learner::PlanDriver;
pub use optim::{Optimizer, OptimizerConfig};
pub use range_test::range_test;
pub use step::{StepOutcome, TrainingStep, training_step};

/// A generator of random numbers for the initialisation of layers and for [`diagnose`], seeded by a
/// number.
///
/// Any generator of `rand_core` 0.10 works instead.
///
/// ```
/// use onecycle_burn::{burn::tensor::Device, nn::Linear, state};
/// let layer = |seed| Linear::new(3, 2, &mut onecycle_burn::rng(seed), &Device::flex());
/// assert_eq!(state::weights(&layer(1)), state::weights(&layer(1)));
/// assert_ne!(state::weights(&layer(1)), state::weights(&layer(2)));
/// ```
pub fn rng(seed: u64) -> ChaCha8Rng {
    rand_chacha::rand_core::SeedableRng::seed_from_u64(seed)
}
