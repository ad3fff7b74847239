//! The 1cycle policy and its relatives as pure functions of the step.
//!
//! A [`Policy`] says what learning rate, momentum, weight decay and batch size shall do over a training run, in the
//! user's units. Resolved against a [`Run`] of known length it becomes a [`Plan`], and [`Plan::at`] gives the
//! [`Hyper`]-parameters of any update. There is no state: to resume is to keep one integer. There are no tensors, files,
//! clocks or random numbers either, so any framework and any hand-written loop can use it.
//!
//! ```
//! use onecycle::{OneCycle, Run, Span};
//!
//! // Gugger's ResNet-56 on CIFAR-10: 95 epochs of 98 steps, the last 13 epochs annihilation.
//! let one_cycle = OneCycle { annihilation: Span::Epochs(13.0), ..OneCycle::new(0.8) };
//! let plan = one_cycle.policy()?.resolve(&Run::epochs(95.0, 50_000, 512))?;
//!
//! assert_eq!(plan.steps(), 9310);
//! assert_eq!((plan.at(0).lr, plan.at(0).momentum), (0.08, Some(0.95)));
//! assert_eq!((plan.at(4018).lr, plan.at(4018).momentum), (0.8, Some(0.85)));
//! assert_eq!(plan.at(8036).lr, 0.08);
//! assert_eq!(plan.at(9309).lr, 0.0008);
//! # Ok::<(), onecycle::PolicyError>(())
//! ```
//!
//! # Map
//!
//! | what | where |
//! |---|---|
//! | policies of the literature | [`OneCycle`], [`Clr`], [`Cosine`], [`WarmupStableDecay`], ...: see [`preset`] |
//! | PyTorch's, optax's and fastai's own, to the last bit | [`torch`], [`optax`], [`fastai`] |
//! | any of them by name, as in a configuration file | [`Preset`] |
//! | policies by hand | [`Curve`], [`BatchSizes`], [`Policy::from_curve`] |
//! | length of a run, and lengths within it | [`Run`], [`Span`] |
//! | the function of the step, its phases | [`Plan`], [`Hyper`], [`Phase`] |
//! | the LR range test, its curve, and what rules make of it | [`range_test`] |
//! | parameter groups, discriminative rates | [`GroupScale`], [`Plan::groups`] |
//! | what goes past the end | [`AtEnd`], [`PastEnd`] |
//! | what can be wrong | [`PolicyError`] |
//!
//! # Promises
//!
//! - Phases begin and end on whole steps, so peak and final value are reached exactly (the presets named after an
//!   original follow that one instead, and say where it misses).
//! - Learning rates are finite and never negative, and there is no upper limit.
//! - Wrong parameters are errors that carry the value, when the policy is made; nothing panics.
//! - A plan equals itself after being written and read.
//!
//! # Features
//!
//! - `std` (default): `cos` and `pow` from the system's C library, which the originals use too. Without it the crate is
//!   `no_std` with `alloc`, and takes them from libm; then the presets named after an original, and powers, may differ in
//!   the last place.
//!
//! All types implement serde's traits, without `std` too.

#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod batch;
mod check;
mod clock;
mod curve;
mod defaults;
mod error;
pub mod fastai;
mod hyper;
mod math;
pub mod optax;
mod plan;
mod policy;
pub mod preset;
pub mod range_test;
mod run;
mod shape;
mod span;
mod table;
pub mod torch;

pub use batch::BatchSizes;
pub use curve::Curve;
pub use error::{PastEnd, PolicyError};
pub use hyper::{GroupScale, Hyper};
pub use plan::{Parameter, Plan, PlanIter};
pub use policy::{AtEnd, Policy};
pub use preset::{
    Clr, ClrMode, Constant, Cosine, CosineRestarts, DecayShape, Exponential, FlatCosine, LegShape,
    Linear, Momentum, OneCycle, Part, PiecewiseConstant, Polynomial, Preset, Product, Scaling,
    Sequence, Step, Trapezoid, Warmup, WarmupStableDecay,
};
pub use run::Run;
pub use shape::Shape;
pub use span::Span;
pub use table::Phase;
