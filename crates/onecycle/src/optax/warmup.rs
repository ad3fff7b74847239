use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{CosineDecay, Linear, formula_schedule};
use crate::{
    PolicyError, check,
    resolve::Resolve,
    table::{Formula, Mark},
};

/// `warmup_cosine_decay_schedule`: a straight line from `init_value` to `peak_value`, then
/// [`CosineDecay`] to `end_value`.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `init_value`, `peak_value` | | first and highest rate | at least 0 |
/// | `warmup_steps` | | steps of the warm-up | fewer than `decay_steps` |
/// | `decay_steps` | | total number of steps, including the warm-up | |
/// | `end_value` | 0 | last rate | at least 0 |
/// | `exponent` | 1 | exponent of the cosine wave | above 0 |
///
/// Source: optax 0.2.8, `optax.warmup_cosine_decay_schedule`.
///
/// ```
/// use onecycle::{Run, optax::WarmupCosineDecay};
/// let plan = WarmupCosineDecay::new(0.0, 0.4, 2, 6).policy()?.resolve(&Run::steps(8))?;
/// let lr = [0, 2, 4, 7].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.000, 0.400, 0.200, 0.000]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmupCosineDecay {
    /// Rate of the first step.
    pub init_value: f64,
    /// Rate after the warm-up.
    pub peak_value: f64,
    /// Steps of the warm-up.
    pub warmup_steps: u64,
    /// Total number of steps.
    pub decay_steps: u64,
    /// Rate after the decay.
    #[serde(default)]
    pub end_value: f64,
    /// Exponent of the cosine wave.
    #[serde(default = "crate::defaults::one")]
    pub exponent: f64,
}

impl WarmupCosineDecay {
    /// Decays to 0.
    pub fn new(init_value: f64, peak_value: f64, warmup_steps: u64, decay_steps: u64) -> Self {
        WarmupCosineDecay {
            init_value,
            peak_value,
            warmup_steps,
            decay_steps,
            end_value: 0.0,
            exponent: 1.0,
        }
    }
}

impl Resolve for WarmupCosineDecay {
    fn check(&self) -> Result<(), PolicyError> {
        check::rate("init_value", self.init_value)?;
        check::rate("peak_value", self.peak_value)?;
        check::rate("end_value", self.end_value)?;
        check::positive("exponent", self.exponent)?;
        check::ensure(
            self.warmup_steps < self.decay_steps,
            "warmup_steps",
            self.warmup_steps as f64,
            "fewer than `decay_steps`, which are all steps",
        )
    }

    formula_schedule!("optax_warmup_cosine_decay");

    fn length(&self) -> Option<u64> {
        Some(self.decay_steps)
    }
}

impl Formula for WarmupCosineDecay {
    fn value(&self, n: u64) -> f64 {
        let Some(passed) = n.checked_sub(self.warmup_steps) else {
            return Linear::new(self.init_value, self.peak_value, self.warmup_steps).value(n);
        };
        let cosine = CosineDecay {
            init_value: self.peak_value,
            decay_steps: self.decay_steps.saturating_sub(self.warmup_steps).max(1),
            alpha: if self.peak_value == 0.0 {
                0.0
            } else {
                self.end_value / self.peak_value
            },
            exponent: self.exponent,
        };
        cosine.value(passed)
    }

    fn marks(&self) -> Vec<Mark> {
        let (init, peak, end) = (self.init_value, self.peak_value, self.end_value);
        let mark = |name, first, from, to| Mark {
            name,
            first,
            from,
            to,
        };
        let mut marks = alloc::vec![
            mark("decay", self.warmup_steps, peak, end),
            mark("end", self.decay_steps, end, end),
        ];
        if self.warmup_steps > 0 {
            marks.insert(0, mark("warmup", 0, init, peak));
        }
        marks
    }
}

/// `sgdr_schedule`: several [`WarmupCosineDecay`]s one after the other, each for its `decay_steps`.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `cosine_kwargs` | | the arguments of each cycle | at least one |
///
/// Source: optax 0.2.8, `optax.sgdr_schedule`.
///
/// ```
/// use onecycle::{Run, optax::{Sgdr, WarmupCosineDecay}};
/// let cycle = |peak, steps| WarmupCosineDecay::new(0.0, peak, 0, steps);
/// let sgdr = Sgdr { cosine_kwargs: vec![cycle(0.4, 4), cycle(0.2, 8)] };
/// let plan = sgdr.policy()?.resolve(&Run::steps(12))?;
/// let lr = [0, 2, 4, 8].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.400, 0.200, 0.200, 0.100]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sgdr {
    /// The arguments of each cycle.
    pub cosine_kwargs: Vec<WarmupCosineDecay>,
}

impl Resolve for Sgdr {
    fn check(&self) -> Result<(), PolicyError> {
        check::count("cosine_kwargs", self.cosine_kwargs.len().min(1), 1)?;
        self.cosine_kwargs.iter().try_for_each(Resolve::check)
    }

    formula_schedule!("optax_sgdr");

    fn length(&self) -> Option<u64> {
        let mut steps = self.cosine_kwargs.iter().map(|cycle| cycle.decay_steps);
        steps.try_fold(0_u64, u64::checked_add)
    }
}

impl Sgdr {
    /// The cycles, each with its first step.
    fn cycles(&self) -> impl Iterator<Item = (u64, &WarmupCosineDecay)> {
        self.cosine_kwargs.iter().scan(0_u64, |next, cycle| {
            let first = *next;
            *next = first.saturating_add(cycle.decay_steps);
            Some((first, cycle))
        })
    }
}

impl Formula for Sgdr {
    fn value(&self, n: u64) -> f64 {
        let cycle = self.cycles().take_while(|(first, _)| *first <= n).last();
        cycle.map_or(0.0, |(first, cycle)| cycle.value(n - first))
    }

    fn marks(&self) -> Vec<Mark> {
        let mut marks: Vec<Mark> = Vec::new();
        for (first, cycle) in self.cycles() {
            marks.retain(|mark| mark.first < first);
            marks.extend(cycle.marks().into_iter().map(|mark| Mark {
                first: mark.first.saturating_add(first),
                ..mark
            }));
        }
        marks
    }
}
