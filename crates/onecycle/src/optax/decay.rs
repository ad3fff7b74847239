use core::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::formula_schedule;
use crate::{PolicyError, check, math, resolve::Resolve, table::Formula};

/// `constant_schedule`: `lr(n) = value`.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `value` | | learning rate | at least 0 |
///
/// Source: optax 0.2.8, `optax.constant_schedule`.
///
/// ```
/// use onecycle::{Run, optax::Constant};
/// let plan = Constant { value: 0.1 }.policy()?.resolve(&Run::steps(3))?;
/// let lr = [2].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.100]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// The learning rate.
    pub value: f64,
}

impl Resolve for Constant {
    fn check(&self) -> Result<(), PolicyError> {
        check::rate("value", self.value)
    }

    formula_schedule!("optax_constant");
}

impl Formula for Constant {
    fn value(&self, _: u64) -> f64 {
        self.value
    }
}

/// `polynomial_schedule`: `(init - end) (1 - k / transition_steps)^power + end`, with `k` the steps
/// since `transition_begin`, at most `transition_steps`.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `init_value`, `end_value` | | first and last rate | at least 0 |
/// | `power` | | exponent | above 0 |
/// | `transition_steps` | | steps of the transition; with 0 the rate stays at `init_value`, as in optax | |
/// | `transition_begin` | 0 | first step of the transition; a negative value counts as 0, as in optax | |
///
/// Source: optax 0.2.8, `optax.polynomial_schedule`.
///
/// ```
/// use onecycle::{Run, optax::Polynomial};
/// let polynomial = Polynomial {
///     init_value: 0.4,
///     end_value: 0.0,
///     power: 2.0,
///     transition_steps: 4,
///     transition_begin: 0,
/// };
/// let plan = polynomial.policy()?.resolve(&Run::steps(6))?;
/// let lr = [0, 2, 5].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.400, 0.100, 0.000]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Polynomial {
    /// Rate of the first step.
    pub init_value: f64,
    /// Rate after the transition.
    pub end_value: f64,
    /// The exponent.
    pub power: f64,
    /// Steps of the transition.
    pub transition_steps: u64,
    /// First step of the transition.
    #[serde(default)]
    pub transition_begin: i64,
}

fn polynomial(init: f64, end: f64, power: f64, steps: u64, begin: i64, n: u64) -> f64 {
    if steps == 0 {
        return init;
    }
    let begin = u64::try_from(begin).unwrap_or(0);
    let passed = n.saturating_sub(begin).min(steps);
    let left = 1.0 - passed as f64 / steps as f64;
    (init - end) * integer_pow(left, power) + end
}

/// jax computes whole powers (written in Python as `3`) by repeated squaring.
fn integer_pow(x: f64, power: f64) -> f64 {
    let mut left = power as u32;
    if f64::from(left) != power {
        return math::pow(x, power);
    }
    let (mut square, mut product) = (x, 1.0);
    while left > 0 {
        if left & 1 == 1 {
            product *= square;
        }
        left >>= 1;
        square *= square;
    }
    product
}

impl Resolve for Polynomial {
    fn check(&self) -> Result<(), PolicyError> {
        check::rate("init_value", self.init_value)?;
        check::rate("end_value", self.end_value)?;
        check::positive("power", self.power)
    }

    formula_schedule!("optax_polynomial");

    fn length(&self) -> Option<u64> {
        length_of(self.transition_steps, self.transition_begin)
    }
}

/// The step at which a transition is over; `None` for a transition without steps.
fn length_of(transition_steps: u64, transition_begin: i64) -> Option<u64> {
    let begin = u64::try_from(transition_begin).unwrap_or(0);
    (transition_steps > 0).then(|| transition_steps.saturating_add(begin))
}

impl Formula for Polynomial {
    fn value(&self, n: u64) -> f64 {
        let (init, end) = (self.init_value, self.end_value);
        polynomial(
            init,
            end,
            self.power,
            self.transition_steps,
            self.transition_begin,
            n,
        )
    }
}

/// `linear_schedule`: [`Polynomial`] with power 1.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `init_value`, `end_value` | | first and last rate | at least 0 |
/// | `transition_steps` | | steps of the transition; with 0 the rate stays at `init_value`, as in optax | |
/// | `transition_begin` | 0 | first step of the transition; a negative value counts as 0, as in optax | |
///
/// Source: optax 0.2.8, `optax.linear_schedule`.
///
/// ```
/// use onecycle::{Run, optax::Linear};
/// let plan = Linear::new(0.0, 0.4, 4).policy()?.resolve(&Run::steps(6))?;
/// let lr = [0, 2, 5].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.000, 0.200, 0.400]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// Rate of the first step.
    pub init_value: f64,
    /// Rate after the transition.
    pub end_value: f64,
    /// Steps of the transition.
    pub transition_steps: u64,
    /// First step of the transition.
    #[serde(default)]
    pub transition_begin: i64,
}

impl Linear {
    /// A transition that starts at the first step.
    pub fn new(init_value: f64, end_value: f64, transition_steps: u64) -> Self {
        Linear {
            init_value,
            end_value,
            transition_steps,
            transition_begin: 0,
        }
    }
}

impl Resolve for Linear {
    fn check(&self) -> Result<(), PolicyError> {
        check::rate("init_value", self.init_value)?;
        check::rate("end_value", self.end_value)
    }

    formula_schedule!("optax_linear");

    fn length(&self) -> Option<u64> {
        length_of(self.transition_steps, self.transition_begin)
    }
}

impl Formula for Linear {
    fn value(&self, n: u64) -> f64 {
        let (init, end) = (self.init_value, self.end_value);
        polynomial(
            init,
            end,
            1.0,
            self.transition_steps,
            self.transition_begin,
            n,
        )
    }
}

/// `exponential_decay`: `init decay_rate^(k / transition_steps)`, with `k` the steps since
/// `transition_begin`.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `init_value` | | first rate | at least 0 |
/// | `transition_steps` | | steps over which the rate falls by `decay_rate` | at least 1 |
/// | `decay_rate` | | factor | above 0 |
/// | `transition_begin` | 0 | first step of the decay; a negative value counts as 0, as in optax | |
/// | `staircase` | false | whether to fall at once after every `transition_steps` | |
/// | `end_value` | none | lower bound if `decay_rate` is below 1, otherwise upper bound | at least 0 |
///
/// A `decay_rate` or a number of steps of 0, for which optax returns a constant, is an error.
/// Source: optax 0.2.8, `optax.exponential_decay`.
///
/// ```
/// use onecycle::{Run, optax::ExponentialDecay};
/// let plan = ExponentialDecay::new(0.4, 2, 0.25).policy()?.resolve(&Run::steps(5))?;
/// let lr = [0, 1, 4].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.400, 0.200, 0.025]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExponentialDecay {
    /// Rate of the first step.
    pub init_value: f64,
    /// Steps over which the rate falls by `decay_rate`.
    pub transition_steps: u64,
    /// Factor per `transition_steps`.
    pub decay_rate: f64,
    /// First step of the decay.
    #[serde(default)]
    pub transition_begin: i64,
    /// Whether to fall at once after every `transition_steps`.
    #[serde(default)]
    pub staircase: bool,
    /// Bound of the rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_value: Option<f64>,
}

impl ExponentialDecay {
    /// Smooth decay from the first step on, without a bound.
    pub fn new(init_value: f64, transition_steps: u64, decay_rate: f64) -> Self {
        ExponentialDecay {
            init_value,
            transition_steps,
            decay_rate,
            transition_begin: 0,
            staircase: false,
            end_value: None,
        }
    }
}

impl Resolve for ExponentialDecay {
    fn check(&self) -> Result<(), PolicyError> {
        check::rate("init_value", self.init_value)?;
        check::ensure(
            self.transition_steps > 0,
            "transition_steps",
            0.0,
            "at least 1",
        )?;
        check::positive("decay_rate", self.decay_rate)?;
        check::rate("end_value", self.end_value.unwrap_or(0.0))
    }

    formula_schedule!("optax_exponential_decay");
}

impl Formula for ExponentialDecay {
    fn value(&self, n: u64) -> f64 {
        let begin = u64::try_from(self.transition_begin).unwrap_or(0);
        let value = if n <= begin {
            self.init_value
        } else {
            let times = (n - begin) as f64 / self.transition_steps as f64;
            let times = if self.staircase {
                math::floor(times)
            } else {
                times
            };
            self.init_value * math::pow(self.decay_rate, times)
        };
        match self.end_value {
            Some(end) if self.decay_rate < 1.0 => value.max(end),
            Some(end) => value.min(end),
            None => value,
        }
    }
}

/// `cosine_decay_schedule`: `init ((1 - alpha) ((1 + cos(pi n / decay_steps)) / 2)^exponent +
/// alpha)`, then constant.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `init_value` | | first rate | at least 0 |
/// | `decay_steps` | | steps of the decay | at least 1 |
/// | `alpha` | 0 | last rate, relative to the first | at least 0 |
/// | `exponent` | 1 | exponent of the cosine wave | above 0 |
///
/// Source: optax 0.2.8, `optax.cosine_decay_schedule`.
///
/// ```
/// use onecycle::{Run, optax::CosineDecay};
/// let plan = CosineDecay::new(0.4, 4).policy()?.resolve(&Run::steps(6))?;
/// let lr = [0, 2, 5].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.400, 0.200, 0.000]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CosineDecay {
    /// Rate of the first step.
    pub init_value: f64,
    /// Steps of the decay.
    pub decay_steps: u64,
    /// Last rate, relative to the first.
    #[serde(default)]
    pub alpha: f64,
    /// Exponent of the cosine wave.
    #[serde(default = "crate::defaults::one")]
    pub exponent: f64,
}

impl CosineDecay {
    /// Decays to 0.
    pub fn new(init_value: f64, decay_steps: u64) -> Self {
        CosineDecay {
            init_value,
            decay_steps,
            alpha: 0.0,
            exponent: 1.0,
        }
    }
}

impl Resolve for CosineDecay {
    fn check(&self) -> Result<(), PolicyError> {
        check::rate("init_value", self.init_value)?;
        check::ensure(self.decay_steps > 0, "decay_steps", 0.0, "at least 1")?;
        check::rate("alpha", self.alpha)?;
        check::positive("exponent", self.exponent)
    }

    formula_schedule!("optax_cosine_decay");

    fn length(&self) -> Option<u64> {
        Some(self.decay_steps)
    }
}

impl Formula for CosineDecay {
    fn value(&self, n: u64) -> f64 {
        let n = n.min(self.decay_steps) as f64;
        let wave = 0.5 * (1.0 + math::cos(PI * n / self.decay_steps as f64));
        let decayed = (1.0 - self.alpha) * math::pow(wave, self.exponent) + self.alpha;
        self.init_value * decayed
    }
}
