use alloc::{sync::Arc, vec::Vec};
use core::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::{
    PolicyError, check,
    clock::Extent,
    math,
    resolve::{Resolve, Tracks},
    table::{Formula, Law, Mark, Table},
};

/// `fit_one_cycle` of fastai v1: half a cosine wave up over `a = int(T pct_start)` steps, then
/// another one down over the rest.
///
/// ```text
/// lr(n) = cos(lr_max / div_factor, lr_max, n / a)                   n <= a
///         cos(lr_max, lr_max / final_div, (n - a) / (T - a))        n >  a
/// cos(s, e, t) = e + (s - e) / 2 (cos(pi t) + 1)
/// ```
///
/// Momentum moves the opposite way. The last rate belongs to step `T`, which a run of `T` steps
/// does not reach.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `lr_max` | | peak | at least 0 |
/// | `moms` | `[0.95, 0.85]` | momentum at the ends and at the peak | 0 to 1 |
/// | `div_factor` | 25 | peak / first rate | above 0 |
/// | `pct_start` | 0.3 | fraction of the run until the peak | 0 to 1 |
/// | `final_div` | `div_factor * 1e4` | peak / last rate | above 0 |
///
/// A run so short that `a` is 0, where fastai divides by zero, is an error. Source: fastai 1.0.61,
/// `fastai.callbacks.one_cycle.OneCycleScheduler`. The tests check the formula by hand; they have
/// no recorded values of fastai v1.
///
/// ```
/// use onecycle::{Run, fastai::V1OneCycle};
/// let plan = V1OneCycle::new(0.5).policy()?.resolve(&Run::steps(100))?;
/// let lr = [0, 30, 65].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.020, 0.500, 0.250]");
/// let momentum = [0, 30, 65].map(|n| plan.at(n).momentum.unwrap_or_default());
/// assert_eq!(format!("{momentum:.3?}"), "[0.950, 0.850, 0.900]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct V1OneCycle {
    /// Peak learning rate.
    pub lr_max: f64,
    /// Momentum at the ends and at the peak.
    #[serde(default = "moms")]
    pub moms: [f64; 2],
    /// Ratio of the peak to the first rate.
    #[serde(default = "crate::defaults::div_factor")]
    pub div_factor: f64,
    /// Fraction of the run until the peak.
    #[serde(default = "crate::defaults::three_tenths")]
    pub pct_start: f64,
    /// Ratio of the peak to the last rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_div: Option<f64>,
}

fn moms() -> [f64; 2] {
    [0.95, 0.85]
}

impl V1OneCycle {
    /// fastai's defaults.
    pub fn new(lr_max: f64) -> Self {
        V1OneCycle {
            lr_max,
            moms: moms(),
            div_factor: 25.0,
            pct_start: 0.3,
            final_div: None,
        }
    }

    fn final_div(&self) -> f64 {
        self.final_div.unwrap_or(self.div_factor * 1e4)
    }
}

impl Resolve for V1OneCycle {
    fn check(&self) -> Result<(), PolicyError> {
        check::rate("lr_max", self.lr_max)?;
        self.moms
            .iter()
            .try_for_each(|momentum| check::momentum("moms", *momentum))?;
        check::positive("div_factor", self.div_factor)?;
        check::rate("lr_max / div_factor", self.lr_max / self.div_factor)?;
        check::share("pct_start", self.pct_start)?;
        check::positive("final_div", self.final_div())?;
        check::rate("lr_max / final_div", self.lr_max / self.final_div())
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        let steps = extent.steps;
        let up = (steps as f64 * self.pct_start) as u64;
        if up == 0 {
            return Err(PolicyError::PhaseWithoutLength {
                phase: "up",
                step: 0.0,
                name: "pct_start",
                value: self.pct_start,
            });
        }
        let track = |start, peak, end| {
            let waves = Waves {
                values: [start, peak, end],
                up,
                down: steps - up,
            };
            Table::new("fastai_v1_one_cycle", Law::Formula(Arc::new(waves)))
        };
        let (max, [high, low]) = (self.lr_max, self.moms);
        Ok(Tracks {
            lr: track(max / self.div_factor, max, max / self.final_div()),
            momentum: Some(track(high, low, high)),
        })
    }
}

#[derive(Debug)]
struct Waves {
    values: [f64; 3],
    up: u64,
    down: u64,
}

impl Formula for Waves {
    fn value(&self, n: u64) -> f64 {
        let [start, peak, end] = self.values;
        let wave = |start: f64, end: f64, passed: u64, steps: u64| {
            let t = passed as f64 / steps as f64;
            end + (start - end) / 2.0 * (math::cos(PI * t) + 1.0)
        };
        match n.checked_sub(self.up) {
            None | Some(0) => wave(start, peak, n, self.up),
            Some(passed) => wave(peak, end, passed.min(self.down), self.down.max(1)),
        }
    }

    fn marks(&self) -> Vec<Mark> {
        let [start, peak, end] = self.values;
        let mark = |name, first, from, to| Mark {
            name,
            first,
            from,
            to,
        };
        alloc::vec![
            mark("up", 0, start, peak),
            mark("annihilation", self.up, peak, end)
        ]
    }
}
