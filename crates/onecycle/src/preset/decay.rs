use alloc::boxed::Box;

use serde::{Deserialize, Serialize};

use crate::{
    PolicyError, Shape, Span, check,
    clock::Extent,
    resolve::{Resolve, Tracks},
    table::{Law, Repeat, Table},
};

/// Linear decay (or warm-up) over the whole run: `lr(n) = lr + (lr_final - lr) n / (T - 1)`.
///
/// | parameter | default | purpose | range |
/// |---|---|---|---|
/// | `lr` | | first rate | at least 0 |
/// | `lr_final` | 0.0 | last rate, reached exactly | at least 0; above `lr` for a warm-up |
///
/// A run of one step uses `lr`. Source: the linear decay of Goyal et al. (2017) and Devlin et al.
/// (2019); compared with others by Defazio et al., "When, why and how much?" (2023).
///
/// ```
/// use onecycle::{Linear, Run};
/// let plan = Linear::new(0.4).policy()?.resolve(&Run::steps(5))?;
/// let lr: Vec<f64> = (0..5).map(|n| plan.at(n).lr).collect();
/// assert_eq!(format!("{lr:.3?}"), "[0.400, 0.300, 0.200, 0.100, 0.000]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// Learning rate of the first step.
    pub lr: f64,
    /// Learning rate of the last step.
    #[serde(default)]
    pub lr_final: f64,
}

impl Linear {
    /// Decays from `lr` to 0.
    pub fn new(lr: f64) -> Self {
        Linear { lr, lr_final: 0.0 }
    }
}

impl Resolve for Linear {
    fn check(&self) -> Result<(), PolicyError> {
        check::rate("lr", self.lr)?;
        check::rate("lr_final", self.lr_final)
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        Ok(Table::ramp(
            "linear",
            Shape::Linear,
            self.lr,
            self.lr_final,
            extent.reach,
        )
        .into())
    }
}

/// Half a cosine wave over the whole run: `lr(n) = lr + (lr_final - lr) (1 - cos(pi n / (T - 1))) /
/// 2`.
///
/// | parameter | default | purpose | range |
/// |---|---|---|---|
/// | `lr` | | first rate | at least 0 |
/// | `lr_final` | 0.0 | last rate, reached exactly | at least 0 |
///
/// A run of one step uses `lr`. Source: Loshchilov & Hutter, "SGDR" (2017, arXiv:1608.03983),
/// equation 5, without restarts.
///
/// ```
/// use onecycle::{Cosine, Run};
/// let plan = Cosine::new(0.4).policy()?.resolve(&Run::steps(5))?;
/// let lr: Vec<f64> = (0..5).map(|n| plan.at(n).lr).collect();
/// assert_eq!(format!("{lr:.3?}"), "[0.400, 0.341, 0.200, 0.059, 0.000]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cosine {
    /// Learning rate of the first step.
    pub lr: f64,
    /// Learning rate of the last step.
    #[serde(default)]
    pub lr_final: f64,
}

impl Cosine {
    /// Decays from `lr` to 0.
    pub fn new(lr: f64) -> Self {
        Cosine { lr, lr_final: 0.0 }
    }
}

impl Resolve for Cosine {
    fn check(&self) -> Result<(), PolicyError> {
        check::rate("lr", self.lr)?;
        check::rate("lr_final", self.lr_final)
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        Ok(Table::ramp(
            "cosine",
            Shape::Cosine,
            self.lr,
            self.lr_final,
            extent.reach,
        )
        .into())
    }
}

/// Polynomial decay, a power of the remaining fraction of the run: `lr(n) = lr_final + (lr -
/// lr_final) (1 - n / (T - 1))^power`.
///
/// | parameter | default | purpose | range |
/// |---|---|---|---|
/// | `lr` | | first rate | at least 0 |
/// | `lr_final` | 0.0 | last rate, reached exactly | at least 0 |
/// | `power` | 1.0 | 1 is linear, 2 ends flat, 0.9 is common for segmentation | above 0 |
///
/// A run of one step uses `lr`. Source: Caffe's `poly`; Chen et al., "DeepLab" (2017), section 4.1.
///
/// ```
/// use onecycle::{Polynomial, Run};
/// let plan = Polynomial { power: 2.0, ..Polynomial::new(0.4) }.policy()?.resolve(&Run::steps(5))?;
/// let lr: Vec<f64> = (0..5).map(|n| plan.at(n).lr).collect();
/// assert_eq!(format!("{lr:.3?}"), "[0.400, 0.225, 0.100, 0.025, 0.000]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Polynomial {
    /// Learning rate of the first step.
    pub lr: f64,
    /// Learning rate of the last step.
    #[serde(default)]
    pub lr_final: f64,
    /// The power.
    #[serde(default = "crate::defaults::one")]
    pub power: f64,
}

impl Polynomial {
    /// Decays from `lr` to 0, linearly unless another power is set.
    pub fn new(lr: f64) -> Self {
        Polynomial {
            lr,
            lr_final: 0.0,
            power: 1.0,
        }
    }
}

impl Resolve for Polynomial {
    fn check(&self) -> Result<(), PolicyError> {
        check::rate("lr", self.lr)?;
        check::rate("lr_final", self.lr_final)?;
        check::positive("power", self.power)
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        let shape = Shape::Polynomial(self.power);
        Ok(Table::ramp("polynomial", shape, self.lr, self.lr_final, extent.reach).into())
    }
}

/// Exponential decay: the same factor at every step, given by the last rate or by the factor.
///
/// ```text
/// lr(n) = lr (lr_final / lr)^(n / (T - 1))      with lr_final
///         lr gamma^(n / every)                  with gamma
/// ```
///
/// | parameter | default | purpose | range |
/// |---|---|---|---|
/// | `lr` | | first rate | above 0 |
/// | `lr_final` | | last rate, reached exactly; alternative to `gamma` | above 0 |
/// | `gamma` | | factor per `every`; alternative to `lr_final` | above 0, at most 1 |
/// | `every` | `Span::Steps(1)` | span over which the rate changes by `gamma` | above 0 |
///
/// Source: the exponential schedules of Senior et al. (2013), section 3. With `lr_final` above `lr`
/// it is the sweep of a range test.
///
/// ```
/// use onecycle::{Exponential, Run};
/// let plan = Exponential::to(0.1, 0.001).policy()?.resolve(&Run::steps(3))?;
/// let lr = [0, 1, 2].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.100, 0.010, 0.001]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exponential {
    /// Learning rate of the first step.
    pub lr: f64,
    /// Learning rate of the last step. Give this or `gamma`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr_final: Option<f64>,
    /// Factor per `every`. Give this or `lr_final`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gamma: Option<f64>,
    /// Span over which the rate falls by `gamma`.
    #[serde(default = "crate::defaults::one_step")]
    pub every: Span,
}

impl Exponential {
    /// Changes from `lr` in the first step to `lr_final` in the last.
    pub fn to(lr: f64, lr_final: f64) -> Self {
        Exponential {
            lr,
            lr_final: Some(lr_final),
            gamma: None,
            every: Span::Steps(1),
        }
    }

    /// Falls smoothly by `gamma` per `every`.
    pub fn by(lr: f64, gamma: f64, every: Span) -> Self {
        Exponential {
            lr,
            lr_final: None,
            gamma: Some(gamma),
            every,
        }
    }
}

impl Resolve for Exponential {
    fn check(&self) -> Result<(), PolicyError> {
        check::positive("lr", self.lr)?;
        check::phase("decay", "every", self.every)?;
        match (self.lr_final, self.gamma) {
            (Some(lr_final), None) => check::positive("lr_final", lr_final),
            (None, Some(gamma)) => check::decay("gamma", gamma),
            (Some(_), Some(_)) => Err(PolicyError::Conflict {
                first: "lr_final",
                second: "gamma",
            }),
            (None, None) => Err(PolicyError::Missing {
                name: "gamma",
                hint: "give the last rate `lr_final`, or a factor `gamma`",
            }),
        }
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        let Some(gamma) = self.gamma else {
            let lr_final = self.lr_final.unwrap_or(self.lr);
            let table = Table::ramp(
                "exponential",
                Shape::Exponential,
                self.lr,
                lr_final,
                extent.reach,
            );
            return Ok(table.into());
        };
        let every = extent.period("decay", "every", self.every)? as f64;
        let law = Law::Decay {
            from: self.lr,
            gamma,
            every,
        };
        Ok(Table::new("exponential", law).into())
    }
}

/// A drop by a factor at regular intervals: `lr(n) = lr gamma^floor(n / every)`.
///
/// | parameter | default | purpose | range |
/// |---|---|---|---|
/// | `lr` | | first rate | at least 0 |
/// | `every` | | span between drops | at least one step |
/// | `gamma` | 0.1 | factor per drop | above 0, at most 1 |
///
/// Source: Caffe's `step`, used in the papers before CLR.
///
/// ```
/// use onecycle::{Run, Span, Step};
/// let step = Step { gamma: 0.5, ..Step::new(0.4, Span::Steps(2)) };
/// let plan = step.policy()?.resolve(&Run::steps(6))?;
/// let lr: Vec<f64> = (0..6).map(|n| plan.at(n).lr).collect();
/// assert_eq!(format!("{lr:.3?}"), "[0.400, 0.400, 0.200, 0.200, 0.100, 0.100]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Learning rate of the first step.
    pub lr: f64,
    /// Span between drops.
    pub every: Span,
    /// Factor per drop.
    #[serde(default = "crate::defaults::tenth")]
    pub gamma: f64,
}

impl Step {
    /// Divides the rate by 10 after each `every`.
    pub fn new(lr: f64, every: Span) -> Self {
        Step {
            lr,
            every,
            gamma: 0.1,
        }
    }
}

impl Resolve for Step {
    fn check(&self) -> Result<(), PolicyError> {
        check::rate("lr", self.lr)?;
        check::phase("plateau", "every", self.every)?;
        check::decay("gamma", self.gamma)
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        let law = Law::Repeat(Box::new(Repeat {
            cycle: Table::constant("plateau", self.lr),
            period: extent.period("plateau", "every", self.every)?,
            decay: self.gamma,
            gamma: 1.0,
            floor: 0.0,
        }));
        Ok(Table::new("step", law).into())
    }
}
