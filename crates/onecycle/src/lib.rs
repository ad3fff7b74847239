//! The 1cycle policy and other learning-rate schedules as pure functions of the step, and the LR
//! range test.
//!
//! The principal type is [`Plan`]: it takes the number of a step and gives the [`Hyper`]-parameters
//! of that update (learning rate, momentum, weight decay, batch size). A plan comes from a
//! [`Policy`], which states these values over a training run in the user's units, resolved for a
//! [`Run`] of known length. The crate contains no tensors, files, clocks or random numbers, so it
//! works with any framework and any hand-written training loop. A plan has no state either: to
//! resume a training, only the step number is needed.
//!
//! ```toml
//! [dependencies]
//! onecycle = { path = "../onecycle/crates/onecycle" }
//!
//! # Cargo's default profile does not optimise. This optimises all dependencies.
//! [profile.dev.package."*"]
//! opt-level = 3
//! ```
//!
//! ```
//! use onecycle::{OneCycle, Run, Span};
//!
//! // ResNet-56 on CIFAR-10 (S. Gugger): 95 epochs of 98 steps, the last 13 epochs annihilation.
//! let plan = OneCycle::new(0.8)
//!     .annihilation(Span::Epochs(13.0))
//!     .weight_decay(1e-4)
//!     .plan(&Run::epochs(95, 50_000, 512))?;
//!
//! for (step, hyper) in plan.iter() {
//!     // Set hyper.lr, hyper.momentum and hyper.weight_decay in the optimizer, make the update.
//!     if step % 1000 == 0 {
//!         println!("step {step}: {hyper}");
//!     }
//! }
//! assert_eq!(plan.steps(), 9310);
//! assert_eq!(plan.at(0).to_string(), "lr 0.08, momentum 0.95, weight decay 0.0001");
//! assert_eq!(plan.at(4018).to_string(), "lr 0.8, momentum 0.85, weight decay 0.0001");
//! assert_eq!((plan.at(8036).lr, plan.at(9309).lr), (0.08, 0.0008));
//! # Ok::<(), onecycle::PolicyError>(())
//! ```
//!
//! The peak learning rate, here 0.8, comes from a [range test](range_test).
//!
//! # Policies
//!
//! | preset | learning rate | source |
//! |---|---|---|
//! | [`OneCycle`] | up, down, then far below the start | Smith 2018 |
//! | [`Clr`] | triangles between two bounds | Smith 2017 |
//! | [`Warmup`] | linear warm-up before any policy, with scaling by batch size | Goyal et al. 2017 |
//! | [`WarmupStableDecay`] | warm-up, plateau, decay | Hu et al. 2024 |
//! | [`FlatCosine`], [`Trapezoid`] | plateau, then decay |  |
//! | [`Cosine`], [`CosineRestarts`] | half cosine waves | Loshchilov & Hutter 2017 |
//! | [`Linear`], [`Polynomial`], [`Exponential`], [`Step`] | decay by a formula |  |
//! | [`Constant`], [`PiecewiseConstant`] | given rates |  |
//! | [`Sequence`], [`Product`] | policies one after the other, or multiplied |  |
//! | [`torch`], [`optax`], [`fastai`] | the schedules of these libraries, to the last bit |  |
//!
//! Every preset has the methods `plan` and `policy`, and adds weight decay, a momentum curve, a
//! batch size and a behaviour at the end by the methods of [`PolicyBuilder`].
//!
//! # Contents
//!
//! | subject | items |
//! |---|---|
//! | policies of the literature, their formulas and parameters | [`preset`], [`PolicyBuilder`] |
//! | a policy selected by name, as in a configuration file | [`Preset`] |
//! | custom policies | [`Curve`], [`BatchSizes`], [`Policy::from_curve`] |
//! | length of a run, and lengths within it | [`Run`], [`Span`] |
//! | the function of the step, and its phases | [`Plan`], [`Hyper`], [`Phase`] |
//! | the LR range test, its loss curve, and the rules that suggest a rate | [`range_test`] |
//! | parameter groups, discriminative learning rates | [`GroupScale`], [`Plan::groups`] |
//! | behaviour after the last step | [`AtEnd`], [`PastEnd`] |
//! | errors | [`PolicyError`] |
//!
//! # Guarantees
//!
//! - Phases begin and end on whole steps, so peak and final value are reached exactly. (The clones
//!   follow their originals instead; their documentation says where those miss the peak.)
//! - Learning rates are finite and never negative. They have no upper limit.
//! - Wrong parameters give an error with the offending value when the policy is built. Nothing
//!   panics.
//! - A plan compares equal after it was written and read. Every type implements serde's traits.
//!
//! # Features
//!
//! `std` (default) takes `cos` and `pow` from the system's C library, as the originals do. Without
//! it the crate is `no_std` with `alloc` and uses libm; the clones, and powers, may then differ in
//! the last place.

#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

/// Runs the example of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod batch;
mod builder;
mod check;
mod clock;
mod count;
mod curve;
mod defaults;
mod error;
pub mod fastai;
mod hyper;
mod math;
pub mod not_finite;
pub mod optax;
mod plan;
mod policy;
pub mod preset;
pub mod range_test;
mod resolve;
mod run;
mod shape;
mod span;
mod table;
mod text;
pub mod torch;

pub use batch::BatchSizes;
pub use builder::PolicyBuilder;
pub use count::{Count, EpochCount};
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
pub use span::{ParseSpanError, Span};
pub use table::Phase;
