//! Policies of the literature, and [`Preset`], which selects one by name.
//!
//! Each preset is a plain struct of parameters; its method `policy()` checks them. Phases start and
//! end on whole steps, so peak and final value are reached exactly, and no rate is ever negative.
//! The clones in [`torch`], [`optax`] and [`fastai`] follow their originals to the last bit
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
    PolicyError,
    clock::Extent,
    fastai, optax, preset,
    resolve::{Resolve, Tracks},
    torch,
};

/// Calls a macro with every preset: its documentation, `kind`, variant of [`Preset`] and struct.
macro_rules! for_each_preset {
    ($callback:ident) => {
        $callback! {
            /// The paper's 1cycle policy.
            "one_cycle" => OneCycle(preset::OneCycle),
            /// Cyclical learning rates.
            "clr" => Clr(preset::Clr),
            /// A learning rate for each of several intervals.
            "piecewise_constant" => PiecewiseConstant(preset::PiecewiseConstant),
            /// A constant learning rate.
            "constant" => Constant(preset::Constant),
            /// A drop by a factor at regular intervals.
            "step" => Step(preset::Step),
            /// Exponential decay: the same factor at every step.
            "exponential" => Exponential(preset::Exponential),
            /// Polynomial decay: a power of the remaining fraction of the run.
            "polynomial" => Polynomial(preset::Polynomial),
            /// Half a cosine wave.
            "cosine" => Cosine(preset::Cosine),
            /// Cosine annealing with warm restarts.
            "cosine_restarts" => CosineRestarts(preset::CosineRestarts),
            /// A straight line.
            "linear" => Linear(preset::Linear),
            /// Gradual warm-up before another policy, with scaling by batch size.
            "warmup" => Warmup(preset::Warmup),
            /// Warm-up, plateau, then decay.
            "warmup_stable_decay" => WarmupStableDecay(preset::WarmupStableDecay),
            /// Plateau, then half a cosine wave.
            "flat_cosine" => FlatCosine(preset::FlatCosine),
            /// Linear warm-up, plateau, linear decay.
            "trapezoid" => Trapezoid(preset::Trapezoid),
            /// Policies one after the other.
            "sequence" => Sequence(preset::Sequence),
            /// The product of several policies.
            "product" => Product(preset::Product),
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
            /// `torch.optim.lr_scheduler.LambdaLR` with the common warm-up, plateau and decay
            /// function.
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
    };
}
pub(crate) use for_each_preset;

macro_rules! preset_enum {
    ($($(#[$doc:meta])* $kind:literal => $name:ident($parameters:ty),)*) => {
        /// Any preset, tagged by its kind.
        ///
        /// In a configuration file this is a table with the key `kind` and the preset's own
        /// parameters: `{ kind = "one_cycle", lr_max = 0.8, annihilation = "13ep" }`. Unknown keys
        /// are errors.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        #[allow(clippy::large_enum_variant, reason = "presets are few and live in a box inside a policy")]
        pub enum Preset {
            $($(#[$doc])* #[serde(rename = $kind)] $name($parameters),)*
        }

        impl Preset {
            /// All kinds, as named by the key `kind`.
            pub const KINDS: &[&str] = &[$($kind),*];

            /// The kind, as named in a configuration file.
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
        )*
    };
}

for_each_preset!(preset_enum);

impl Preset {
    /// Resolves the preset over a run or a part of one. A preset with a length of its own must fit
    /// into it.
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
