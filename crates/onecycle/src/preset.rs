//! The policies of the literature and of this crate, by name.
//!
//! Each is a plain struct of parameters; `policy()` checks it. All of them start and end their phases on whole steps,
//! so that peak and final value are reached exactly, and none of them ever gives a negative rate. The presets named
//! after an original ([`torch`](crate::torch), [`optax`](crate::optax), [`fastai`](crate::fastai)) follow that one
//! instead.

use serde::{Deserialize, Serialize};

mod clr;
mod combine;
mod constant;
mod decay;
mod momentum;
mod one_cycle;
mod plateau;
mod restarts;
mod warmup;

pub use clr::{Clr, ClrMode};
pub use combine::{Part, Product, Sequence};
pub use constant::{Constant, PiecewiseConstant};
pub use decay::{Cosine, Exponential, Linear, Polynomial, Step};
pub use momentum::Momentum;
pub use one_cycle::{LegShape, OneCycle};
pub use plateau::{DecayShape, FlatCosine, Trapezoid, WarmupStableDecay};
pub use restarts::CosineRestarts;
pub use warmup::{Scaling, Warmup};

use crate::{
    Policy, PolicyError,
    clock::Extent,
    fastai::*,
    optax::*,
    policy::{Schedule, Tracks},
    torch::*,
};

macro_rules! presets {
    ($($(#[$doc:meta])* $kind:literal => $name:ident,)*) => {
        /// Any preset, tagged by its kind.
        ///
        /// In a configuration file a table with the key `kind` and the preset's own parameters:
        /// `{ kind = "one_cycle", lr_max = 0.8, annihilation = "13ep" }`. Unknown keys are errors.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        #[allow(clippy::large_enum_variant, reason = "presets are few and live in a box inside a policy")]
        pub enum Preset {
            $($(#[$doc])* #[serde(rename = $kind)] $name($name),)*
        }

        impl Preset {
            /// Every kind there is, as `kind` names it.
            pub const KINDS: &[&str] = &[$($kind),*];

            /// Its kind, as a configuration file names it.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Preset::$name(_) => $kind,)*
                }
            }

            pub(crate) fn schedule(&self) -> &dyn Schedule {
                match self {
                    $(Preset::$name(parameters) => parameters,)*
                }
            }
        }

        $(
            impl From<$name> for Preset {
                fn from(parameters: $name) -> Self {
                    Preset::$name(parameters)
                }
            }

            impl $name {
                /// Checks the parameters and makes a policy of them.
                ///
                /// # Errors
                /// A [`PolicyError`] that names the first parameter that is wrong, and its value.
                pub fn policy(self) -> Result<Policy, PolicyError> {
                    Policy::from_preset(self.into())
                }
            }
        )*
    };
}

presets! {
    /// The paper's 1cycle policy.
    "one_cycle" => OneCycle,
    /// Cyclical learning rates.
    "clr" => Clr,
    /// Given values from given points on.
    "piecewise_constant" => PiecewiseConstant,
    /// One value.
    "constant" => Constant,
    /// A factor every so often.
    "step" => Step,
    /// The same factor at every step.
    "exponential" => Exponential,
    /// A power of what is left of the run.
    "polynomial" => Polynomial,
    /// Half a wave of the cosine.
    "cosine" => Cosine,
    /// Cosine annealing with warm restarts.
    "cosine_restarts" => CosineRestarts,
    /// A straight line.
    "linear" => Linear,
    /// Gradual warm-up before another policy, with scaling by batch size.
    "warmup" => Warmup,
    /// Warm-up, plateau, decay.
    "warmup_stable_decay" => WarmupStableDecay,
    /// Plateau, then cosine.
    "flat_cosine" => FlatCosine,
    /// Linear up, plateau, linear down.
    "trapezoid" => Trapezoid,
    /// Policies one after the other.
    "sequence" => Sequence,
    /// The product of policies.
    "product" => Product,
    /// `torch.optim.lr_scheduler.OneCycleLR`.
    "torch_one_cycle" => TorchOneCycle,
    /// `torch.optim.lr_scheduler.CyclicLR`.
    "torch_cyclic" => TorchCyclic,
    /// `torch.optim.lr_scheduler.MultiStepLR`.
    "torch_multi_step" => TorchMultiStep,
    /// `torch.optim.lr_scheduler.StepLR`.
    "torch_step" => TorchStep,
    /// `torch.optim.lr_scheduler.ExponentialLR`.
    "torch_exponential" => TorchExponential,
    /// `torch.optim.lr_scheduler.CosineAnnealingLR`.
    "torch_cosine_annealing" => TorchCosineAnnealing,
    /// `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`.
    "torch_cosine_annealing_warm_restarts" => TorchCosineAnnealingWarmRestarts,
    /// `torch.optim.lr_scheduler.LinearLR`.
    "torch_linear" => TorchLinear,
    /// `torch.optim.lr_scheduler.PolynomialLR`.
    "torch_polynomial" => TorchPolynomial,
    /// `torch.optim.lr_scheduler.ConstantLR`.
    "torch_constant" => TorchConstant,
    /// `torch.optim.lr_scheduler.SequentialLR`.
    "torch_sequential" => TorchSequential,
    /// `torch.optim.lr_scheduler.LambdaLR` with the common warm-up, plateau and decay function.
    "torch_trapezoid" => TorchTrapezoid,
    /// `optax.cosine_onecycle_schedule`.
    "optax_cosine_onecycle" => OptaxCosineOnecycle,
    /// `optax.linear_onecycle_schedule`.
    "optax_linear_onecycle" => OptaxLinearOnecycle,
    /// `optax.warmup_cosine_decay_schedule`.
    "optax_warmup_cosine_decay" => OptaxWarmupCosineDecay,
    /// `optax.cosine_decay_schedule`.
    "optax_cosine_decay" => OptaxCosineDecay,
    /// `optax.sgdr_schedule`.
    "optax_sgdr" => OptaxSgdr,
    /// `optax.piecewise_constant_schedule`.
    "optax_piecewise_constant" => OptaxPiecewiseConstant,
    /// `optax.piecewise_interpolate_schedule`.
    "optax_piecewise_interpolate" => OptaxPiecewiseInterpolate,
    /// `optax.polynomial_schedule`.
    "optax_polynomial" => OptaxPolynomial,
    /// `optax.linear_schedule`.
    "optax_linear" => OptaxLinear,
    /// `optax.exponential_decay`.
    "optax_exponential_decay" => OptaxExponentialDecay,
    /// `optax.join_schedules`.
    "optax_join" => OptaxJoin,
    /// `optax.constant_schedule`.
    "optax_constant" => OptaxConstant,
    /// fastai v2's `fit_one_cycle`.
    "fastai_one_cycle" => FastaiOneCycle,
    /// fastai v1's `fit_one_cycle`.
    "fastai_v1_one_cycle" => FastaiV1OneCycle,
    /// fastai's `fit_flat_cos`.
    "fastai_flat_cos" => FastaiFlatCos,
    /// fastai's `fit_sgdr`.
    "fastai_sgdr" => FastaiSgdr,
    /// fastai's `combined_cos`.
    "fastai_combined_cos" => FastaiCombinedCos,
    /// fastai's `combine_scheds`.
    "fastai_combine_scheds" => FastaiCombineScheds,
}

impl Preset {
    /// Resolves it over a run or a part of one, which must be long enough for a preset that says its own length.
    pub(crate) fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        match self.schedule().length() {
            Some(policy) if policy > extent.steps => Err(PolicyError::LongerThanRun {
                policy,
                run: extent.steps,
            }),
            _ => self.schedule().resolve(extent),
        }
    }
}
