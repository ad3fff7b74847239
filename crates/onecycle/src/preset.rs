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
    fastai, optax,
    policy::{Resolve, Tracks},
    torch,
};

macro_rules! presets {
    ($($(#[$doc:meta])* $kind:literal => $name:ident($parameters:ty),)*) => {
        /// Any preset, tagged by its kind.
        ///
        /// In a configuration file a table with the key `kind` and the preset's own parameters:
        /// `{ kind = "one_cycle", lr_max = 0.8, annihilation = "13ep" }`. Unknown keys are errors.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        #[allow(clippy::large_enum_variant, reason = "presets are few and live in a box inside a policy")]
        pub enum Preset {
            $($(#[$doc])* #[serde(rename = $kind)] $name($parameters),)*
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

            pub(crate) fn parameters(&self) -> &dyn Resolve {
                match self {
                    $(Preset::$name(parameters) => parameters,)*
                }
            }
        }

        $(
            impl From<$parameters> for Preset {
                fn from(parameters: $parameters) -> Self {
                    Preset::$name(parameters)
                }
            }

            impl $parameters {
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
    "one_cycle" => OneCycle(OneCycle),
    /// Cyclical learning rates.
    "clr" => Clr(Clr),
    /// Given values from given points on.
    "piecewise_constant" => PiecewiseConstant(PiecewiseConstant),
    /// One value.
    "constant" => Constant(Constant),
    /// A factor every so often.
    "step" => Step(Step),
    /// The same factor at every step.
    "exponential" => Exponential(Exponential),
    /// A power of what is left of the run.
    "polynomial" => Polynomial(Polynomial),
    /// Half a wave of the cosine.
    "cosine" => Cosine(Cosine),
    /// Cosine annealing with warm restarts.
    "cosine_restarts" => CosineRestarts(CosineRestarts),
    /// A straight line.
    "linear" => Linear(Linear),
    /// Gradual warm-up before another policy, with scaling by batch size.
    "warmup" => Warmup(Warmup),
    /// Warm-up, plateau, decay.
    "warmup_stable_decay" => WarmupStableDecay(WarmupStableDecay),
    /// Plateau, then cosine.
    "flat_cosine" => FlatCosine(FlatCosine),
    /// Linear up, plateau, linear down.
    "trapezoid" => Trapezoid(Trapezoid),
    /// Policies one after the other.
    "sequence" => Sequence(Sequence),
    /// The product of policies.
    "product" => Product(Product),
    /// `torch.optim.lr_scheduler.OneCycleLR`.
    "torch_one_cycle" => TorchOneCycle(torch::OneCycleLr),
    /// `torch.optim.lr_scheduler.CyclicLR`.
    "torch_cyclic" => TorchCyclic(torch::CyclicLr),
    /// `torch.optim.lr_scheduler.MultiStepLR`.
    "torch_multi_step" => TorchMultiStep(torch::MultiStepLr),
    /// `torch.optim.lr_scheduler.StepLR`.
    "torch_step" => TorchStep(torch::StepLr),
    /// `torch.optim.lr_scheduler.ExponentialLR`.
    "torch_exponential" => TorchExponential(torch::ExponentialLr),
    /// `torch.optim.lr_scheduler.CosineAnnealingLR`.
    "torch_cosine_annealing" => TorchCosineAnnealing(torch::CosineAnnealingLr),
    /// `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`.
    "torch_cosine_annealing_warm_restarts" => TorchCosineAnnealingWarmRestarts(torch::CosineAnnealingWarmRestarts),
    /// `torch.optim.lr_scheduler.LinearLR`.
    "torch_linear" => TorchLinear(torch::LinearLr),
    /// `torch.optim.lr_scheduler.PolynomialLR`.
    "torch_polynomial" => TorchPolynomial(torch::PolynomialLr),
    /// `torch.optim.lr_scheduler.ConstantLR`.
    "torch_constant" => TorchConstant(torch::ConstantLr),
    /// `torch.optim.lr_scheduler.SequentialLR`.
    "torch_sequential" => TorchSequential(torch::SequentialLr),
    /// `torch.optim.lr_scheduler.LambdaLR` with the common warm-up, plateau and decay function.
    "torch_trapezoid" => TorchTrapezoid(torch::Trapezoid),
    /// `optax.cosine_onecycle_schedule`.
    "optax_cosine_onecycle" => OptaxCosineOnecycle(optax::CosineOnecycle),
    /// `optax.linear_onecycle_schedule`.
    "optax_linear_onecycle" => OptaxLinearOnecycle(optax::LinearOnecycle),
    /// `optax.warmup_cosine_decay_schedule`.
    "optax_warmup_cosine_decay" => OptaxWarmupCosineDecay(optax::WarmupCosineDecay),
    /// `optax.cosine_decay_schedule`.
    "optax_cosine_decay" => OptaxCosineDecay(optax::CosineDecay),
    /// `optax.sgdr_schedule`.
    "optax_sgdr" => OptaxSgdr(optax::Sgdr),
    /// `optax.piecewise_constant_schedule`.
    "optax_piecewise_constant" => OptaxPiecewiseConstant(optax::PiecewiseConstant),
    /// `optax.piecewise_interpolate_schedule`.
    "optax_piecewise_interpolate" => OptaxPiecewiseInterpolate(optax::PiecewiseInterpolate),
    /// `optax.polynomial_schedule`.
    "optax_polynomial" => OptaxPolynomial(optax::Polynomial),
    /// `optax.linear_schedule`.
    "optax_linear" => OptaxLinear(optax::Linear),
    /// `optax.exponential_decay`.
    "optax_exponential_decay" => OptaxExponentialDecay(optax::ExponentialDecay),
    /// `optax.join_schedules`.
    "optax_join" => OptaxJoin(optax::Join),
    /// `optax.constant_schedule`.
    "optax_constant" => OptaxConstant(optax::Constant),
    /// fastai v2's `fit_one_cycle`.
    "fastai_one_cycle" => FastaiOneCycle(fastai::OneCycle),
    /// fastai v1's `fit_one_cycle`.
    "fastai_v1_one_cycle" => FastaiV1OneCycle(fastai::V1OneCycle),
    /// fastai's `fit_flat_cos`.
    "fastai_flat_cos" => FastaiFlatCos(fastai::FlatCos),
    /// fastai's `fit_sgdr`.
    "fastai_sgdr" => FastaiSgdr(fastai::Sgdr),
    /// fastai's `combined_cos`.
    "fastai_combined_cos" => FastaiCombinedCos(fastai::CombinedCos),
    /// fastai's `combine_scheds`.
    "fastai_combine_scheds" => FastaiCombineScheds(fastai::CombineScheds),
}

impl Preset {
    /// Resolves it over a run or a part of one, which must be long enough for a preset that says its own length.
    pub(crate) fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        match self.parameters().length() {
            Some(policy) if policy > extent.steps => Err(PolicyError::LongerThanRun {
                policy,
                run: extent.steps,
            }),
            _ => self.parameters().resolve(extent),
        }
    }
}
