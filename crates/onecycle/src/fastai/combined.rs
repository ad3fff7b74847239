use alloc::{sync::Arc, vec::Vec};

use serde::{Deserialize, Serialize};

use super::Annealer;
use crate::{
    PolicyError, check,
    clock::Extent,
    resolve::{Resolve, Tracks},
    table::{Formula, Law, Table},
};

/// Annealers one after the other, at float32 positions as in fastai.
#[derive(Debug, Clone)]
pub(super) struct Combined {
    edges: Vec<f32>,
    annealers: Vec<Annealer>,
}

impl Combined {
    /// Annealers, each with its fraction of the run.
    pub(super) fn new(parts: impl IntoIterator<Item = (f64, Annealer)>) -> Self {
        let mut edges: Vec<f32> = alloc::vec![0.0];
        let mut annealers = Vec::new();
        let mut edge = 0.0_f32;
        for (share, annealer) in parts {
            edge += share as f32;
            edges.push(edge);
            annealers.push(annealer);
        }
        Combined { edges, annealers }
    }

    /// fastai's `combined_cos`.
    pub(super) fn cos(pct: f64, start: f64, middle: f64, end: f64) -> Self {
        let up = Annealer::SchedCos { start, end: middle };
        let down = Annealer::SchedCos { start: middle, end };
        Combined::new([(pct, up), (1.0 - pct, down)])
    }

    /// The value at a position between 0 and 1.
    pub(super) fn value(&self, position: f64) -> f64 {
        let p = position as f32;
        // The last phase whose start is not beyond the position.
        let phases = self.edges.iter().take(self.annealers.len());
        let i = phases.filter(|edge| p >= **edge).count().saturating_sub(1);
        let (Some(annealer), Some(begin), Some(end)) = (
            self.annealers.get(i),
            self.edges.get(i),
            self.edges.get(i + 1),
        ) else {
            return 0.0; // without phases: refused by the checks
        };
        // fastai returns NaN in a last phase without length.
        let share = if end > begin {
            (p - begin) / (end - begin)
        } else {
            1.0
        };
        annealer.value(f64::from(share))
    }
}

/// A schedule sampled at `n / T`.
#[derive(Debug)]
struct Sampled {
    combined: Combined,
    steps: f64,
}

impl Formula for Sampled {
    fn value(&self, n: u64) -> f64 {
        self.combined.value((n as f64 / self.steps).min(1.0))
    }
}

fn sampled(kind: &'static str, combined: Combined, extent: &Extent<'_>) -> Tracks {
    let steps = extent.steps as f64;
    let law = Law::Formula(Arc::new(Sampled { combined, steps }));
    Table::new(kind, law).into()
}

/// `combined_cos`: half a cosine wave from `start` to `middle` over the first `pct` of the run,
/// then another one to `end`.
///
/// `lr(n)` is the value at position `n / T`, so the last step of a run does not reach `end`.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `pct` | | fraction of the first half wave | 0 to 1 |
/// | `start`, `middle`, `end` | | values | at least 0 |
///
/// With `pct` 1, fastai returns NaN at position 1; here the value is `end`. Source: fastai 2.8.12,
/// `fastai.callback.schedule.combined_cos`.
///
/// ```
/// use onecycle::{Run, fastai::CombinedCos};
/// let cos = CombinedCos { pct: 0.5, start: 0.1, middle: 0.5, end: 0.0 };
/// let plan = cos.policy()?.resolve(&Run::steps(8))?;
/// let lr = [0, 4, 6].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.100, 0.500, 0.250]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CombinedCos {
    /// Fraction of the first half wave.
    pub pct: f64,
    /// First value.
    pub start: f64,
    /// Value between the half waves.
    pub middle: f64,
    /// Last value.
    pub end: f64,
}

impl CombinedCos {
    fn combined(&self) -> Combined {
        Combined::cos(self.pct, self.start, self.middle, self.end)
    }

    /// The value at a position between 0 and 1, computed as in fastai.
    pub fn at_position(&self, position: f64) -> f64 {
        self.combined().value(position)
    }
}

impl Resolve for CombinedCos {
    fn check(&self) -> Result<(), PolicyError> {
        check::share("pct", self.pct)?;
        check::rate("start", self.start)?;
        check::rate("middle", self.middle)?;
        check::rate("end", self.end)
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        Ok(sampled("fastai_combined_cos", self.combined(), extent))
    }
}

/// `combine_scheds`: annealers one after the other, each for its fraction of the run.
///
/// `lr(n)` is the value at position `n / T`.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `pcts` | | fractions of the run | at least 0; their sum is 1 |
/// | `scheds` | | one [`Annealer`] per fraction: `{ func = "SchedLin", args = { start = 0.1, end = 0.5 } }` | |
///
/// fastai requires a sum of exactly 1.0 and so rejects ten times 0.1; here the sum may differ from
/// 1 by rounding. Source: fastai 2.8.12, `fastai.callback.schedule.combine_scheds`.
///
/// ```
/// use onecycle::{Run, fastai::{Annealer, CombineScheds}};
/// let up = Annealer::SchedLin { start: 0.0, end: 0.4 };
/// let down = Annealer::SchedLin { start: 0.4, end: 0.0 };
/// let scheds = CombineScheds { pcts: vec![0.25, 0.75], scheds: vec![up, down] };
/// let plan = scheds.policy()?.resolve(&Run::steps(16))?;
/// let lr = [0, 4, 10].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.000, 0.400, 0.200]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CombineScheds {
    /// Fractions of the run.
    pub pcts: Vec<f64>,
    /// The annealers.
    pub scheds: Vec<Annealer>,
}

impl CombineScheds {
    fn combined(&self) -> Combined {
        Combined::new(self.pcts.iter().copied().zip(self.scheds.iter().copied()))
    }

    /// The value at a position between 0 and 1, computed as in fastai.
    ///
    /// # Errors
    /// Returns an error if a fraction is negative, the sum is not 1, or the number of annealers
    /// differs.
    pub fn at_position(&self, position: f64) -> Result<f64, PolicyError> {
        self.check_shares()?;
        Ok(self.combined().value(position))
    }

    fn check_shares(&self) -> Result<(), PolicyError> {
        check::count("scheds", self.scheds.len(), self.pcts.len().max(1))?;
        self.pcts
            .iter()
            .try_for_each(|pct| check::rate("pcts", *pct))?;
        let sum: f64 = self.pcts.iter().sum();
        check::ensure(
            (sum - 1.0).abs() < 1e-9,
            "pcts",
            sum,
            "shares that add up to 1",
        )
    }
}

impl Resolve for CombineScheds {
    fn check(&self) -> Result<(), PolicyError> {
        self.check_shares()?;
        self.scheds.iter().try_for_each(Annealer::check)
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        Ok(sampled("fastai_combine_scheds", self.combined(), extent))
    }
}
