//! The 1cycle policy for [Burn](burn): optimizers that take every hyper-parameter at each step.
//!
//! Burn's optimizers accept a learning rate per step. Their momentum is fixed when they are built.
//! The 1cycle policy moves momentum *against* the learning rate, so this crate has optimizers of
//! its own.
//!
//! The principal type is [`Optimizer`]. It updates a Burn [`Module`](burn::module::Module) under
//! the [`Hyper`](onecycle::Hyper) that a [`Plan`](onecycle::Plan) returns for that step, and
//! follows PyTorch's arithmetic to the last bits. [`training_step`] is one step of a training loop:
//! loss, gradients, update.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use onecycle::{OneCycle, Run};
//! use onecycle_burn::{BurnError, Optimizer, OptimizerConfig, nn::Linear, training_step};
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let device = Device::flex().autodiff();
//! let mut model = Linear::new(2, 1, &mut ChaCha8Rng::seed_from_u64(1), &device);
//! let mut optimizer = Optimizer::new(OptimizerConfig::sgd())?;
//! let plan = OneCycle::new(0.5).policy()?.resolve(&Run::steps(100))?;
//!
//! let x = Tensor::<2>::from_data([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], &device);
//! let y = Tensor::<2>::from_data([[2.0], [1.0], [3.0]], &device);
//! let mut last = f64::INFINITY;
//! for step in 0..plan.steps() {
//!     let outcome;
//!     (model, outcome) = training_step(model, &mut optimizer, &plan.at(step), |model| {
//!         Ok::<_, BurnError>((model.forward(x.clone()) - y.clone()).square().mean())
//!     })?;
//!     last = outcome.loss;
//! }
//! assert!(last < 1e-2);
//! # Ok(())
//! # }
//! ```
//!
//! | module | contents |
//! |---|---|
//! | [`optim`] | SGD, Adam, AdamW and RMSprop; parameter groups; gradient clipping by global norm |
//! | [`step`] | one training step, as one function or as backward pass and update |
//! | [`range_test`](mod@range_test) | the LR range test of any module, which leaves module and optimizer unchanged |
//! | [`diagnose`] | noise scale, Hessian, sharpness and loss slices of any module, which is left unchanged |
//! | [`learner`] | an adaptor by which a plan drives Burn's own `Learner`, momentum included |
//! | [`nn`] | convolution, batch norm and linear layers with PyTorch's names, shapes, initialisation and statistics |
//! | [`state`] | weights and optimizer state as named tensors: save, restore, compare |

mod cpu;
pub mod diagnose;
mod error;
pub mod learner;
pub mod nn;
pub mod optim;
pub mod range_test;
pub mod state;
pub mod step;

pub use error::BurnError;
pub use learner::PlanDriver;
pub use optim::{Optimizer, OptimizerConfig};
pub use range_test::range_test;
pub use step::{StepOutcome, TrainingStep, training_step};
