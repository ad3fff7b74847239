use alloc::{sync::Arc, vec::Vec};

use serde::{Deserialize, Serialize};

use super::{Annealer, combined::Combined};
use crate::{
    PolicyError, check,
    clock::Extent,
    resolve::{Resolve, Tracks},
    table::{Law, Table},
};

/// The position of each batch, summed up as in fastai's loop.
fn positions(epochs: u64, batches: u64) -> impl Iterator<Item = f64> {
    let step = 1.0 / (batches as f64 * epochs as f64);
    (0..epochs).flat_map(move |epoch| {
        let start = epoch as f64 / epochs as f64;
        (0..batches).scan(start, move |position, _| {
            let now = *position;
            *position += step;
            Some(now)
        })
    })
}

/// Largest number of steps. Positions are a running sum and are stored, 8 bytes per step.
const LIMIT: u64 = 1 << 26;

fn fit(
    kind: &'static str,
    combined: &Combined,
    epochs: u64,
    extent: &Extent<'_>,
) -> Result<Table, PolicyError> {
    let steps = extent.steps;
    if steps > LIMIT {
        return Err(PolicyError::TooManySteps {
            steps,
            limit: LIMIT,
        });
    }
    if epochs == 0 || !steps.is_multiple_of(epochs) {
        return Err(PolicyError::NotDivisible { steps, epochs });
    }
    let positions = positions(epochs, steps / epochs);
    let values: Vec<f64> = positions.map(|position| combined.value(position)).collect();
    Ok(Table::new(kind, Law::Series(Arc::from(values))))
}

fn check_epochs(n_epoch: Option<u64>) -> Result<(), PolicyError> {
    check::ensure(n_epoch != Some(0), "n_epoch", 0.0, "at least 1")
}

/// `Learner.fit_one_cycle` of fastai v2: half a cosine wave from `lr_max / div` up to `lr_max`,
/// then another one down to `lr_max / div_final`. Momentum moves the opposite way.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `lr_max` | | peak | at least 0 |
/// | `div` | 25 | peak / first rate | above 0 |
/// | `div_final` | 1e5 | peak / last rate | above 0 |
/// | `pct_start` | 0.25 | fraction of the run until the peak | 0 to 1 |
/// | `moms` | `[0.95, 0.85, 0.95]` | momentum at the start, the peak and the end | 0 to 1 |
/// | `n_epoch` | 1 | epochs of the fit | divides the number of steps |
///
/// **Where it misses:** a fit ends before position 1, so its last rate is above `lr_max /
/// div_final`. The peak falls on a step only if `pct_start` times the number of steps is whole (and
/// float32 rounding agrees). Source: fastai 2.8.12, `fastai.callback.schedule.fit_one_cycle`.
///
/// ```
/// use onecycle::{Run, fastai::OneCycle};
/// let plan = OneCycle::new(0.5).policy()?.resolve(&Run::steps(100))?;
/// let lr = [0, 25, 99].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.5?}"), "[0.02000, 0.50000, 0.00022]");
/// let momentum = [0, 25, 99].map(|n| plan.at(n).momentum.unwrap_or_default());
/// assert_eq!(format!("{momentum:.3?}"), "[0.950, 0.850, 0.950]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneCycle {
    /// Peak learning rate.
    pub lr_max: f64,
    /// Ratio of the peak to the first rate.
    #[serde(default = "crate::defaults::div_factor")]
    pub div: f64,
    /// Ratio of the peak to the last rate.
    #[serde(default = "defaults::div_final")]
    pub div_final: f64,
    /// Fraction of the run until the peak.
    #[serde(default = "defaults::quarter")]
    pub pct_start: f64,
    /// Momentum at the start, the peak and the end.
    #[serde(default = "defaults::moms")]
    pub moms: [f64; 3],
    /// Epochs of the fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_epoch: Option<u64>,
}

mod defaults {
    pub(super) fn div_final() -> f64 {
        1e5
    }

    pub(super) fn quarter() -> f64 {
        0.25
    }

    pub(super) fn three_quarters() -> f64 {
        0.75
    }

    pub(super) fn moms() -> [f64; 3] {
        [0.95, 0.85, 0.95]
    }

    pub(super) fn two() -> u64 {
        2
    }
}

impl OneCycle {
    /// fastai's defaults.
    pub fn new(lr_max: f64) -> Self {
        OneCycle {
            lr_max,
            div: 25.0,
            div_final: defaults::div_final(),
            pct_start: defaults::quarter(),
            moms: defaults::moms(),
            n_epoch: None,
        }
    }
}

impl Resolve for OneCycle {
    fn check(&self) -> Result<(), PolicyError> {
        check::rate("lr_max", self.lr_max)?;
        check::positive("div", self.div)?;
        check::positive("div_final", self.div_final)?;
        check::rate("lr_max / div", self.lr_max / self.div)?;
        check::rate("lr_max / div_final", self.lr_max / self.div_final)?;
        check::share("pct_start", self.pct_start)?;
        self.moms
            .iter()
            .try_for_each(|momentum| check::momentum("moms", *momentum))?;
        check_epochs(self.n_epoch)
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        let (max, epochs) = (self.lr_max, self.n_epoch.unwrap_or(1));
        let lr = Combined::cos(self.pct_start, max / self.div, max, max / self.div_final);
        let [first, peak, last] = self.moms;
        let momentum = Combined::cos(self.pct_start, first, peak, last);
        Ok(Tracks {
            lr: fit("fastai_one_cycle", &lr, epochs, extent)?,
            momentum: Some(fit("fastai_one_cycle", &momentum, epochs, extent)?),
        })
    }
}

/// `Learner.fit_flat_cos`: `lr` for the first `pct_start` of the run, then half a cosine wave to
/// `lr / div_final`.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `lr` | | rate of the plateau | at least 0 |
/// | `div_final` | 1e5 | first / last rate | above 0 |
/// | `pct_start` | 0.75 | fraction of the plateau | 0 to 1 |
/// | `n_epoch` | 1 | epochs of the fit | divides the number of steps |
///
/// Source: fastai 2.8.12, `fastai.callback.schedule.fit_flat_cos`.
///
/// ```
/// use onecycle::{Run, fastai::FlatCos};
/// let plan = FlatCos { pct_start: 0.5, ..FlatCos::new(0.4) }.policy()?.resolve(&Run::steps(8))?;
/// let lr = [0, 4, 6].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.400, 0.400, 0.200]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlatCos {
    /// Rate of the plateau.
    pub lr: f64,
    /// Ratio of the first to the last rate.
    #[serde(default = "defaults::div_final")]
    pub div_final: f64,
    /// Fraction of the plateau.
    #[serde(default = "defaults::three_quarters")]
    pub pct_start: f64,
    /// Epochs of the fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_epoch: Option<u64>,
}

impl FlatCos {
    /// fastai's defaults.
    pub fn new(lr: f64) -> Self {
        FlatCos {
            lr,
            div_final: defaults::div_final(),
            pct_start: defaults::three_quarters(),
            n_epoch: None,
        }
    }
}

impl Resolve for FlatCos {
    fn check(&self) -> Result<(), PolicyError> {
        check::rate("lr", self.lr)?;
        check::positive("div_final", self.div_final)?;
        check::rate("lr / div_final", self.lr / self.div_final)?;
        check::share("pct_start", self.pct_start)?;
        check_epochs(self.n_epoch)
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        let (lr, last) = (self.lr, self.lr / self.div_final);
        let combined = Combined::cos(self.pct_start, lr, lr, last);
        Ok(fit(
            "fastai_flat_cos",
            &combined,
            self.n_epoch.unwrap_or(1),
            extent,
        )?
        .into())
    }
}

/// `Learner.fit_sgdr`: half cosine waves from `lr_max` to 0, each `cycle_mult` times as long as the
/// one before.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `n_cycles` | | number of cycles | at least 1 |
/// | `cycle_len` | | epochs of the first cycle | at least 1 |
/// | `lr_max` | | peak | at least 0 |
/// | `cycle_mult` | 2 | factor on the length of each next cycle | at least 2 |
///
/// The run has `cycle_len (cycle_mult^n_cycles - 1) / (cycle_mult - 1)` epochs. fastai divides by
/// zero here if `cycle_mult` is 1; this preset returns an error
/// ([`CosineRestarts`](crate::CosineRestarts) supports equal cycles). **Where it misses:** because
/// positions are float32, a restart can come one step late, with a rate of about 0. Source: fastai
/// 2.8.12, `fastai.callback.schedule.fit_sgdr`.
///
/// ```
/// use onecycle::{Run, fastai::Sgdr};
/// let sgdr = Sgdr { n_cycles: 2, cycle_len: 1, lr_max: 0.4, cycle_mult: 2 };
/// let plan = sgdr.policy()?.resolve(&Run::steps(12))?;
/// let lr = [0, 2, 4, 8].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.400, 0.200, 0.400, 0.200]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sgdr {
    /// Number of cycles.
    pub n_cycles: u64,
    /// Epochs of the first cycle.
    pub cycle_len: u64,
    /// Peak learning rate.
    pub lr_max: f64,
    /// Factor on the length of each next cycle.
    #[serde(default = "defaults::two")]
    pub cycle_mult: u64,
}

impl Sgdr {
    /// Epochs of each cycle, and their sum; `None` on overflow.
    fn cycles(&self) -> Option<(Vec<u64>, u64)> {
        let mut cycles = Vec::new();
        let mut epochs = self.cycle_len;
        let mut sum: u64 = 0;
        for _ in 0..self.n_cycles {
            cycles.push(epochs);
            sum = sum.checked_add(epochs)?;
            epochs = epochs.checked_mul(self.cycle_mult)?;
        }
        Some((cycles, sum))
    }
}

impl Resolve for Sgdr {
    fn check(&self) -> Result<(), PolicyError> {
        check::rate("lr_max", self.lr_max)?;
        check::ensure(self.n_cycles > 0, "n_cycles", 0.0, "at least 1")?;
        check::ensure(self.cycle_len > 0, "cycle_len", 0.0, "at least 1")?;
        check::ensure(
            self.cycle_mult > 1,
            "cycle_mult",
            self.cycle_mult as f64,
            "at least 2",
        )?;
        let countable = self.cycles().is_some();
        check::ensure(
            countable,
            "n_cycles",
            self.n_cycles as f64,
            "cycles that can be counted",
        )
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        let (cycles, epochs) = self.cycles().unwrap_or_default();
        let annealer = Annealer::SchedCos {
            start: self.lr_max,
            end: 0.0,
        };
        let shares = cycles.iter().map(|cycle| *cycle as f64 / epochs as f64);
        let combined = Combined::new(shares.map(|share| (share, annealer)));
        Ok(fit("fastai_sgdr", &combined, epochs, extent)?.into())
    }
}
