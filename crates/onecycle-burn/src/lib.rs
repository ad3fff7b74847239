//! The 1cycle policy for [Burn](burn): every hyper-parameter, at every step.
//!
//! Burn's optimizers take a learning rate a step and nothing else; momentum is fixed when they are
//! built. The 1cycle policy moves momentum *against* the learning rate, so this crate has optimizers of
//! its own. They take a whole [`Hyper`](onecycle::Hyper) at each step and follow PyTorch's arithmetic to
//! the last bits.
//!
//! | module | what it holds |
//! |---|---|
//! | [`optim`] | SGD, Adam, AdamW and RMSprop; parameter groups; clipping by global norm |
//! | [`learner`] | an adaptor by which a plan drives Burn's own `Learner`, momentum included |
//! | [`nn`] | convolution, batch norm and linear layers with PyTorch's names, shapes, initialisation and statistics |
//! | [`range_test`](mod@range_test) | the LR range test of any module, which leaves everything as it was |
//! | [`diagnose`] | noise scale, Hessian, sharpness and loss slices of any module, which leave everything as it was |
//! | [`state`] | weights and optimizer state as named tensors, to save, restore and compare |
//!
//! ```
//! use burn::{optim::GradientsParams, tensor::{Device, Tensor}};
//! use onecycle::{OneCycle, Run};
//! use onecycle_burn::{nn::Linear, optim::{Optimizer, OptimizerConfig}};
//! use rand_chacha::rand_core::SeedableRng;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let device = Device::flex().autodiff();
//! let mut model = Linear::new(2, 1, &mut rand_chacha::ChaCha8Rng::seed_from_u64(1), &device);
//! let plan = OneCycle::new(0.5).policy()?.resolve(&Run::steps(100))?;
//! let mut optimizer = Optimizer::new(OptimizerConfig::sgd())?;
//!
//! let x = Tensor::<2>::from_data([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], &device);
//! let y = Tensor::<2>::from_data([[2.0], [1.0], [3.0]], &device);
//! let mut last = f32::INFINITY;
//! for step in 0..plan.steps() {
//!     let loss = (model.forward(x.clone()) - y.clone()).square().mean();
//!     last = loss.clone().into_scalar();
//!     let grads = GradientsParams::from_grads(loss.backward(), &model);
//!     (model, _) = optimizer.step(&plan.at(step), model, grads)?;
//! }
//! assert!(last < 1e-2);
//! # Ok(())
//! # }
//! ```

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
