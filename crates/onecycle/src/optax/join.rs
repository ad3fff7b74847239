use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{
    OptaxConstant, OptaxCosineDecay, OptaxCosineOnecycle, OptaxExponentialDecay, OptaxLinear,
    OptaxLinearOnecycle, OptaxPiecewiseConstant, OptaxPiecewiseInterpolate, OptaxPolynomial,
    OptaxSgdr, OptaxWarmupCosineDecay,
};
use crate::{
    PolicyError, Span, check,
    clock::Extent,
    policy::{Schedule, Tracks},
};

macro_rules! schedules {
    ($($(#[$doc:meta])* $kind:literal => $variant:ident($name:ident),)*) => {
        /// A schedule that [`OptaxJoin`] can hold.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        pub enum OptaxSchedule {
            $($(#[$doc])* #[serde(rename = $kind)] $variant($name),)*
        }

        impl OptaxSchedule {
            fn schedule(&self) -> &dyn Schedule {
                match self {
                    $(OptaxSchedule::$variant(arguments) => arguments,)*
                }
            }
        }

        $(
            impl From<$name> for OptaxSchedule {
                fn from(arguments: $name) -> Self {
                    OptaxSchedule::$variant(arguments)
                }
            }
        )*
    };
}

schedules! {
    /// `constant_schedule`.
    "optax_constant" => Constant(OptaxConstant),
    /// `linear_schedule`.
    "optax_linear" => Linear(OptaxLinear),
    /// `polynomial_schedule`.
    "optax_polynomial" => Polynomial(OptaxPolynomial),
    /// `exponential_decay`.
    "optax_exponential_decay" => ExponentialDecay(OptaxExponentialDecay),
    /// `cosine_decay_schedule`.
    "optax_cosine_decay" => CosineDecay(OptaxCosineDecay),
    /// `warmup_cosine_decay_schedule`.
    "optax_warmup_cosine_decay" => WarmupCosineDecay(OptaxWarmupCosineDecay),
    /// `sgdr_schedule`.
    "optax_sgdr" => Sgdr(OptaxSgdr),
    /// `piecewise_constant_schedule`.
    "optax_piecewise_constant" => PiecewiseConstant(OptaxPiecewiseConstant),
    /// `piecewise_interpolate_schedule`.
    "optax_piecewise_interpolate" => PiecewiseInterpolate(OptaxPiecewiseInterpolate),
    /// `cosine_onecycle_schedule`.
    "optax_cosine_onecycle" => CosineOnecycle(OptaxCosineOnecycle),
    /// `linear_onecycle_schedule`.
    "optax_linear_onecycle" => LinearOnecycle(OptaxLinearOnecycle),
}

/// `join_schedules`: `lr(n) = s_i(n - boundaries[i - 1])`, each schedule from its boundary on.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `schedules` | | schedules, tagged by `kind` | at least one |
/// | `boundaries` | | steps of the takeovers | increasing; one fewer than schedules |
///
/// Source: optax 0.2.8, `optax.join_schedules`.
///
/// ```
/// use onecycle::{OptaxConstant, OptaxJoin, OptaxLinear, Run};
/// let join = OptaxJoin::new([OptaxLinear::new(0.0, 0.4, 4).into(), OptaxConstant { value: 0.4 }.into()], [4]);
/// let plan = join.policy()?.resolve(&Run::steps(6))?;
/// let lr = [0, 2, 5].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.000, 0.200, 0.400]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptaxJoin {
    /// The schedules in order.
    pub schedules: Vec<OptaxSchedule>,
    /// The steps at which the second and later ones take over.
    pub boundaries: Vec<u64>,
}

impl OptaxJoin {
    /// Schedules, and the steps at which the second and later ones take over.
    pub fn new(
        schedules: impl IntoIterator<Item = OptaxSchedule>,
        boundaries: impl IntoIterator<Item = u64>,
    ) -> Self {
        OptaxJoin {
            schedules: schedules.into_iter().collect(),
            boundaries: boundaries.into_iter().collect(),
        }
    }
}

impl Schedule for OptaxJoin {
    fn check(&self) -> Result<(), PolicyError> {
        check::count("schedules", self.schedules.len().min(1), 1)?;
        check::count(
            "boundaries",
            self.boundaries.len(),
            self.schedules.len() - 1,
        )?;
        for pair in self.boundaries.windows(2) {
            if pair[0] >= pair[1] {
                return Err(PolicyError::NotIncreasing {
                    name: "boundaries",
                    earlier: Span::Steps(pair[0]),
                    later: Span::Steps(pair[1]),
                });
            }
        }
        self.schedules
            .iter()
            .try_for_each(|schedule| schedule.schedule().check())
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        let mut joined: Option<Tracks> = None;
        for (i, schedule) in self.schedules.iter().enumerate() {
            // What optax computes does not depend on the length of the run.
            let next = schedule.schedule().resolve(extent)?;
            let first = i
                .checked_sub(1)
                .and_then(|i| self.boundaries.get(i))
                .copied();
            joined = Some(match (joined, first) {
                (Some(tracks), Some(first)) if first > 0 => tracks.lr.then(first, next.lr).into(),
                _ => next,
            });
        }
        joined.ok_or(PolicyError::Count {
            name: "schedules",
            found: 0,
            expected: 1,
        })
    }
}
