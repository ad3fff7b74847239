use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{
    Constant, CosineDecay, CosineOnecycle, ExponentialDecay, Linear, LinearOnecycle,
    PiecewiseConstant, PiecewiseInterpolate, Polynomial, Sgdr, WarmupCosineDecay,
};
use crate::{
    PolicyError, Span, check,
    clock::Extent,
    resolve::{Resolve, Tracks},
};

macro_rules! schedules {
    ($($(#[$doc:meta])* $kind:literal => $variant:ident($name:ident),)*) => {
        /// A schedule that [`Join`] can hold.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        pub enum Schedule {
            $($(#[$doc])* #[serde(rename = $kind)] $variant($name),)*
        }

        impl Schedule {
            fn parameters(&self) -> &dyn Resolve {
                match self {
                    $(Schedule::$variant(arguments) => arguments,)*
                }
            }
        }

        $(
            impl From<$name> for Schedule {
                fn from(arguments: $name) -> Self {
                    Schedule::$variant(arguments)
                }
            }
        )*
    };
}

schedules! {
    /// `constant_schedule`.
    "optax_constant" => Constant(Constant),
    /// `linear_schedule`.
    "optax_linear" => Linear(Linear),
    /// `polynomial_schedule`.
    "optax_polynomial" => Polynomial(Polynomial),
    /// `exponential_decay`.
    "optax_exponential_decay" => ExponentialDecay(ExponentialDecay),
    /// `cosine_decay_schedule`.
    "optax_cosine_decay" => CosineDecay(CosineDecay),
    /// `warmup_cosine_decay_schedule`.
    "optax_warmup_cosine_decay" => WarmupCosineDecay(WarmupCosineDecay),
    /// `sgdr_schedule`.
    "optax_sgdr" => Sgdr(Sgdr),
    /// `piecewise_constant_schedule`.
    "optax_piecewise_constant" => PiecewiseConstant(PiecewiseConstant),
    /// `piecewise_interpolate_schedule`.
    "optax_piecewise_interpolate" => PiecewiseInterpolate(PiecewiseInterpolate),
    /// `cosine_onecycle_schedule`.
    "optax_cosine_onecycle" => CosineOnecycle(CosineOnecycle),
    /// `linear_onecycle_schedule`.
    "optax_linear_onecycle" => LinearOnecycle(LinearOnecycle),
}

/// `join_schedules`: `lr(n) = s_i(n - boundaries[i - 1])`, each schedule from its boundary on.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `schedules` | | schedules, tagged by `kind` | at least one |
/// | `boundaries` | | steps at which the next schedule takes over | increasing; one fewer than schedules |
///
/// Source: optax 0.2.8, `optax.join_schedules`.
///
/// ```
/// use onecycle::{Run, optax::{Constant, Join, Linear}};
/// let join = Join::new([Linear::new(0.0, 0.4, 4).into(), Constant { value: 0.4 }.into()], [4]);
/// let plan = join.policy()?.resolve(&Run::steps(6))?;
/// let lr = [0, 2, 5].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.000, 0.200, 0.400]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The schedules in order.
    pub schedules: Vec<Schedule>,
    /// The steps at which the second and later schedules take over.
    pub boundaries: Vec<u64>,
}

impl Join {
    /// Schedules, and the steps at which the second and later ones take over.
    pub fn new(
        schedules: impl IntoIterator<Item = Schedule>,
        boundaries: impl IntoIterator<Item = u64>,
    ) -> Self {
        Join {
            schedules: schedules.into_iter().collect(),
            boundaries: boundaries.into_iter().collect(),
        }
    }
}

impl Resolve for Join {
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
            .try_for_each(|schedule| schedule.parameters().check())
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        let mut joined: Option<Tracks> = None;
        for (i, schedule) in self.schedules.iter().enumerate() {
            // The values of an optax schedule do not depend on the length of the run.
            let next = schedule.parameters().resolve(extent)?;
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
