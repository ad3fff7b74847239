use alloc::{string::ToString, sync::Arc, vec::Vec};
use core::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::{
    PolicyError, check,
    clock::Extent,
    math,
    resolve::{Resolve, Tracks},
    table::{Formula, Law, Mark, Table},
};

/// `anneal_strategy` of [`OneCycleLr`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnnealStrategy {
    /// Half a cosine wave.
    #[default]
    Cos,
    /// A straight line.
    Linear,
}

impl AnnealStrategy {
    fn value(self, start: f64, end: f64, t: f64) -> f64 {
        match self {
            AnnealStrategy::Cos => end + (start - end) / 2.0 * (math::cos(PI * t) + 1.0),
            AnnealStrategy::Linear => (end - start) * t + start,
        }
    }
}

/// `OneCycleLR`, PyTorch's variant of the 1cycle policy.
///
/// With `T = total_steps`, `p = pct_start`, `initial = max_lr / div_factor`, `min = initial /
/// final_div_factor`:
///
/// | two phases | up to step | lr | momentum |
/// |---|---|---|---|
/// | up | `p T - 1` | initial to max | max to base |
/// | annihilation | `T - 1` | max to min | base to max |
///
/// | three phases | up to step | lr | momentum |
/// |---|---|---|---|
/// | up | `p T - 1` | initial to max | max to base |
/// | down | `2 p T - 2` | max to initial | base to max |
/// | annihilation | `T - 1` | initial to min | max to max |
///
/// **Where it misses the peak:** phases end at fractions of a step, and a step belongs to the first
/// phase whose end is not before it. Unless `p T` is a whole number, no step falls on the peak, and
/// the rate turns below `max_lr` (by up to 12 % in runs of ten steps). With `p T` between 0 and 1
/// the run starts on the way down. With three phases and `p` above 0.5 it never reaches `min`.
/// [`OneCycle`](crate::OneCycle) always reaches peak and final value.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `max_lr` | | peak | at least 0 |
/// | `total_steps` | | length; or set `epochs` and `steps_per_epoch` | at least 1 |
/// | `pct_start` | 0.3 | fraction of the run until the peak | 0 to 1 |
/// | `anneal_strategy` | cos | shape of all phases | cos, linear |
/// | `cycle_momentum` | true | whether to set momentum (or beta1) | |
/// | `base_momentum`, `max_momentum` | 0.85, 0.95 | bounds of momentum | 0 to 1 |
/// | `div_factor` | 25 | `max_lr` / initial rate | above 0 |
/// | `final_div_factor` | 1e4 | initial rate / last rate | above 0 |
/// | `three_phase` | false | whether to fall as slowly as it rose, then annihilate | |
///
/// The preset defines its own length. Past `total_steps`, PyTorch first extrapolates (upwards, or
/// below 0) and then raises an exception; here [`AtEnd`](crate::AtEnd) decides. A phase without
/// length, where PyTorch divides by zero (`p T = 1`), is an error. Source: PyTorch 2.15,
/// `torch.optim.lr_scheduler.OneCycleLR`.
///
/// ```
/// use onecycle::{Run, torch::OneCycleLr};
/// let plan = OneCycleLr::new(0.1, 10).policy()?.resolve(&Run::steps(10))?;
/// let lr = [0, 2, 9].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.6?}"), "[0.004000, 0.100000, 0.000000]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneCycleLr {
    /// Peak learning rate.
    pub max_lr: f64,
    /// Total number of steps. Set this, or `epochs` and `steps_per_epoch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_steps: Option<u64>,
    /// Number of epochs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// Number of steps per epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps_per_epoch: Option<u64>,
    /// Fraction of the run until the peak.
    #[serde(default = "crate::defaults::three_tenths")]
    pub pct_start: f64,
    /// Shape of all phases.
    #[serde(default)]
    pub anneal_strategy: AnnealStrategy,
    /// Whether to set momentum (or beta1).
    #[serde(default = "crate::defaults::yes")]
    pub cycle_momentum: bool,
    /// Momentum at the peak.
    #[serde(default = "crate::defaults::base_momentum")]
    pub base_momentum: f64,
    /// Momentum at both ends.
    #[serde(default = "crate::defaults::max_momentum")]
    pub max_momentum: f64,
    /// Ratio of the peak to the initial rate.
    #[serde(default = "crate::defaults::div_factor")]
    pub div_factor: f64,
    /// Ratio of the initial to the last rate.
    #[serde(default = "crate::defaults::final_div_factor")]
    pub final_div_factor: f64,
    /// Whether the fall takes as long as the rise and an annihilation follows.
    #[serde(default)]
    pub three_phase: bool,
}

impl OneCycleLr {
    /// PyTorch's defaults.
    pub fn new(max_lr: f64, total_steps: u64) -> Self {
        OneCycleLr {
            max_lr,
            total_steps: Some(total_steps),
            epochs: None,
            steps_per_epoch: None,
            pct_start: 0.3,
            anneal_strategy: AnnealStrategy::Cos,
            cycle_momentum: true,
            base_momentum: 0.85,
            max_momentum: 0.95,
            div_factor: 25.0,
            final_div_factor: 1e4,
            three_phase: false,
        }
    }

    fn steps(&self) -> Option<u64> {
        match (self.total_steps, self.epochs, self.steps_per_epoch) {
            (Some(steps), _, _) => Some(steps),
            (None, Some(epochs), Some(steps)) => epochs.checked_mul(steps),
            _ => None,
        }
    }

    fn course(&self, steps: u64, up: [f64; 3], last: f64) -> Course {
        let [start, peak, back] = up;
        let peak_at = self.pct_start * steps as f64 - 1.0;
        let end = steps as f64 - 1.0;
        let phase = |name, end, from, to| Leg {
            name,
            end,
            from,
            to,
        };
        let mut legs = alloc::vec![phase("up", peak_at, start, peak)];
        if self.three_phase {
            let back_at = 2.0 * self.pct_start * steps as f64 - 2.0;
            legs.push(phase("down", back_at, peak, back));
            legs.push(phase("annihilation", end, back, last));
        } else {
            legs.push(phase("annihilation", end, peak, last));
        }
        Course {
            strategy: self.anneal_strategy,
            legs,
        }
    }
}

impl Resolve for OneCycleLr {
    fn check(&self) -> Result<(), PolicyError> {
        check::rate("max_lr", self.max_lr)?;
        if self.total_steps.is_none() && (self.epochs.is_none() || self.steps_per_epoch.is_none()) {
            return Err(PolicyError::Missing {
                name: "total_steps",
                hint: "give it, or both `epochs` and `steps_per_epoch`",
            });
        }
        match self.steps() {
            None => {
                return Err(PolicyError::Unsupported {
                    name: "epochs",
                    value: self.epochs.unwrap_or(0).to_string(),
                    hint: "the product with `steps_per_epoch` is too large",
                });
            }
            Some(steps) => check::ensure(steps > 0, "total_steps", 0.0, "at least 1")?,
        }
        check::share("pct_start", self.pct_start)?;
        check::momentum("base_momentum", self.base_momentum)?;
        check::momentum("max_momentum", self.max_momentum)?;
        check::positive("div_factor", self.div_factor)?;
        check::positive("final_div_factor", self.final_div_factor)?;
        check::finite("max_lr / div_factor", self.max_lr / self.div_factor)?;
        let course = self.course(self.steps().unwrap_or(1), [0.0; 3], 0.0);
        course.check(self.pct_start)
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        let steps = self.steps().unwrap_or(extent.steps);
        let initial = self.max_lr / self.div_factor;
        let min = initial / self.final_div_factor;
        let lr = self.course(steps, [initial, self.max_lr, initial], min);
        let (base, max) = (self.base_momentum, self.max_momentum);
        let momentum = self.course(steps, [max, base, max], max);
        let table = |course| Table::new("torch_one_cycle", Law::Formula(Arc::new(course)));
        Ok(Tracks {
            lr: table(lr),
            momentum: self.cycle_momentum.then(|| table(momentum)),
        })
    }

    fn length(&self) -> Option<u64> {
        self.steps()
    }

    fn continues(&self) -> bool {
        false
    }
}

/// One track of the policy: legs that end at fractions of a step.
#[derive(Debug)]
struct Course {
    strategy: AnnealStrategy,
    legs: Vec<Leg>,
}

#[derive(Debug, Clone, Copy)]
struct Leg {
    name: &'static str,
    end: f64,
    from: f64,
    to: f64,
}

impl Course {
    /// The leg of step `n`, and its start.
    fn leg(&self, n: f64) -> Option<(Leg, f64)> {
        let last = self.legs.len().checked_sub(1)?;
        let i = self
            .legs
            .iter()
            .position(|leg| n <= leg.end)
            .unwrap_or(last);
        let begin = if i == 0 { 0.0 } else { self.legs[i - 1].end };
        Some((self.legs[i], begin))
    }

    /// Checks that PyTorch would not divide by the zero length of a leg. Of the legs without
    /// length, only the first can contain a step, because later steps lie behind the end of the
    /// preceding leg.
    fn check(&self, pct_start: f64) -> Result<(), PolicyError> {
        match self.leg(0.0) {
            Some((leg, begin)) if leg.end == begin => Err(PolicyError::PhaseWithoutLength {
                phase: leg.name,
                step: begin,
                name: "pct_start",
                value: pct_start,
            }),
            _ => Ok(()),
        }
    }
}

impl Formula for Course {
    fn value(&self, n: u64) -> f64 {
        // PyTorch would continue past the end and turn back.
        let n = (n as f64).min(self.legs.last().map_or(0.0, |leg| leg.end));
        match self.leg(n) {
            Some((leg, begin)) => {
                let t = (n - begin) / (leg.end - begin);
                self.strategy.value(leg.from, leg.to, t)
            }
            None => 0.0,
        }
    }

    fn marks(&self) -> Vec<Mark> {
        let mut first = 0;
        let mut marks: Vec<Mark> = Vec::new();
        for leg in &self.legs {
            marks.push(Mark {
                name: leg.name,
                first,
                from: leg.from,
                to: leg.to,
            });
            // A step exactly on the end still belongs to the leg.
            first = first.max((math::floor(leg.end) + 1.0).max(0.0) as u64);
        }
        // Of several legs with the same start, only the last contains a step.
        let starts: Vec<u64> = marks.iter().skip(1).map(|mark| mark.first).collect();
        let mut i = 0;
        marks.retain(|mark| {
            i += 1;
            starts.get(i - 1) != Some(&mark.first)
        });
        marks
    }
}
