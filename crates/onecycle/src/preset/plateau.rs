use serde::{Deserialize, Serialize};

use crate::{
    PolicyError, Shape, Span, check,
    clock::Extent,
    resolve::{Resolve, Tracks},
    table::Table,
};

/// Shape of the final decay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecayShape {
    /// A straight line.
    #[default]
    Linear,
    /// Half a cosine wave.
    Cosine,
    /// `1 - sqrt(t)`: steep at first.
    Sqrt,
}

impl DecayShape {
    fn shape(self) -> Shape {
        match self {
            DecayShape::Linear => Shape::Linear,
            DecayShape::Cosine => Shape::Cosine,
            DecayShape::Sqrt => Shape::Sqrt,
        }
    }
}

/// Warm-up from `start` to `lr`, plateau, decay to `end`: the common part of this file's presets.
struct Plateau {
    start: f64,
    lr: f64,
    end: f64,
    warmup: Option<Span>,
    decay: Span,
    shape: Shape,
}

impl Plateau {
    fn check(&self) -> Result<(), PolicyError> {
        check::rate("lr", self.lr)?;
        check::rate("lr_start", self.start)?;
        check::rate("lr_final", self.end)?;
        check::order("lr_start", self.start, "lr", self.lr)?;
        check::order("lr_final", self.end, "lr", self.lr)?;
        check::span("decay", self.decay)?;
        let warmup = self.warmup.unwrap_or(Span::Steps(0));
        check::span("warmup", warmup)?;
        check::fractions("warmup and decay", &[warmup, self.decay])
    }

    /// The decay takes the last steps and ends exactly. The warm-up takes the first steps, as far
    /// as there is room.
    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        let reach = extent.reach;
        let wanted = libm::round(extent.last_steps("decay", self.decay)?) as u64;
        let least = u64::from(!self.decay.is_zero());
        let decay = wanted.max(least).min(reach);
        let warmup = match self.warmup {
            Some(span) => extent.whole_steps("warmup", 0, span)?,
            None => 0,
        };
        let both_fit = warmup + wanted <= extent.steps;
        if let (false, Some(span)) = (both_fit, self.warmup) {
            // Fractions exceed the run only by rounding.
            if !matches!((span, self.decay), (Span::Fraction(_), Span::Fraction(_))) {
                return Err(PolicyError::SpanLongerThanRun {
                    name: "warmup",
                    span,
                    steps: warmup as f64,
                    available: extent.steps - wanted.min(extent.steps),
                });
            }
        }
        let warmup = warmup.min(reach - decay);
        let mut table = Table::constant("stable", self.lr);
        if warmup > 0 {
            table = Table::ramp("warmup", Shape::Linear, self.start, self.lr, warmup)
                .then(warmup, table);
        }
        if decay > 0 {
            let ramp = Table::ramp("decay", self.shape, self.lr, self.end, decay);
            table = table.then(reach - decay, ramp);
        }
        Ok(table.into())
    }
}

/// Warm-up, plateau, decay (WSD). The plateau can be prolonged at will, and a short decay at the
/// end brings the gain.
///
/// With `W` steps of warm-up, `D` steps of decay, and `B = T - 1 - D`:
///
/// ```text
/// lr(n) = lr_start + (lr - lr_start) n / W             0 <= n <= W
///         lr                                           W <= n <= B
///         lr + (lr_final - lr) g((n - B) / D)          B <= n <= T - 1
/// g(t)  = t (linear), (1 - cos(pi t)) / 2 (cosine), sqrt(t) (sqrt)
/// ```
///
/// | parameter | default | purpose | range |
/// |---|---|---|---|
/// | `lr` | | rate of the plateau | at least 0 |
/// | `warmup` | `Span::Fraction(0.05)` | length of the warm-up | 0 for none |
/// | `decay` | `Span::Fraction(0.2)` | length of the decay | 0 for none; 10 % to 20 % in the papers |
/// | `lr_start` | 0.0 | first rate | 0 to `lr` |
/// | `lr_final` | 0.0 | last rate, reached exactly | 0 to `lr` |
/// | `shape` | `DecayShape::Linear` | shape of the decay | `Linear`, `Cosine`, `Sqrt` |
///
/// In runs of a few steps the decay keeps its last step and the warm-up is shortened. A run of one
/// step uses `lr`. Source: Hu et al., "MiniCPM" (2024, arXiv:2404.06395), section 4; `sqrt`:
/// Haegele et al. (2024, arXiv:2405.18392), section 3.
///
/// ```
/// use onecycle::{Run, Span, WarmupStableDecay};
/// let wsd = WarmupStableDecay {
///     warmup: Span::Steps(2),
///     decay: Span::Steps(4),
///     ..WarmupStableDecay::new(0.4)
/// };
/// let plan = wsd.policy()?.resolve(&Run::steps(10))?;
/// let lr: Vec<f64> = (0..10).map(|n| plan.at(n).lr).collect();
/// assert_eq!(format!("{lr:.1?}"), "[0.0, 0.2, 0.4, 0.4, 0.4, 0.4, 0.3, 0.2, 0.1, 0.0]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmupStableDecay {
    /// Learning rate of the plateau.
    pub lr: f64,
    /// Length of the warm-up.
    #[serde(default = "defaults::warmup")]
    pub warmup: Span,
    /// Length of the decay.
    #[serde(default = "defaults::decay")]
    pub decay: Span,
    /// Learning rate of the first step.
    #[serde(default)]
    pub lr_start: f64,
    /// Learning rate of the last step.
    #[serde(default)]
    pub lr_final: f64,
    /// Shape of the decay.
    #[serde(default)]
    pub shape: DecayShape,
}

impl WarmupStableDecay {
    /// 5 % warm-up and 20 % linear decay around a plateau at `lr`.
    pub fn new(lr: f64) -> Self {
        WarmupStableDecay {
            lr,
            warmup: defaults::warmup(),
            decay: defaults::decay(),
            lr_start: 0.0,
            lr_final: 0.0,
            shape: DecayShape::Linear,
        }
    }

    fn plateau(&self) -> Plateau {
        Plateau {
            start: self.lr_start,
            lr: self.lr,
            end: self.lr_final,
            warmup: Some(self.warmup),
            decay: self.decay,
            shape: self.shape.shape(),
        }
    }
}

impl Resolve for WarmupStableDecay {
    fn check(&self) -> Result<(), PolicyError> {
        self.plateau().check()
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        self.plateau().resolve(extent)
    }
}

/// A plateau, then half a cosine wave. With a plateau of `F` steps, `lr(n) = lr` up to `F`, then
/// `lr + (lr_final - lr) (1 - cos(pi (n - F) / (T - 1 - F))) / 2`.
///
/// | parameter | default | purpose | range |
/// |---|---|---|---|
/// | `lr` | | rate of the plateau | at least 0 |
/// | `flat` | `Span::Fraction(0.75)` | length of the plateau | shorter than the run |
/// | `lr_final` | 0.0 | last rate, reached exactly | 0 to `lr` |
///
/// A run of one step uses `lr`. Made for optimizers that need no warm-up. Source: fastai's
/// `fit_flat_cos`; [`fastai::FlatCos`](crate::fastai::FlatCos) reproduces it to the bit.
///
/// ```
/// use onecycle::{FlatCosine, Run, Span};
/// let flat_cosine = FlatCosine { flat: Span::Steps(4), ..FlatCosine::new(0.4) };
/// let plan = flat_cosine.policy()?.resolve(&Run::steps(9))?;
/// let lr = [0, 4, 6, 8].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.400, 0.400, 0.200, 0.000]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlatCosine {
    /// Learning rate of the plateau.
    pub lr: f64,
    /// Length of the plateau.
    #[serde(default = "defaults::flat")]
    pub flat: Span,
    /// Learning rate of the last step.
    #[serde(default)]
    pub lr_final: f64,
}

impl FlatCosine {
    /// A plateau at `lr` for 75 % of the run, then decay to 0.
    pub fn new(lr: f64) -> Self {
        FlatCosine {
            lr,
            flat: defaults::flat(),
            lr_final: 0.0,
        }
    }
}

impl Resolve for FlatCosine {
    fn check(&self) -> Result<(), PolicyError> {
        check::rate("lr", self.lr)?;
        check::rate("lr_final", self.lr_final)?;
        check::order("lr_final", self.lr_final, "lr", self.lr)?;
        check::span("flat", self.flat)?;
        if let Span::Fraction(flat) = self.flat {
            check::ensure(flat < 1.0, "flat", flat, "less than the whole run")?;
        }
        Ok(())
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        let steps = extent.whole_steps("flat", 0, self.flat)?;
        let flat = steps.min(extent.reach.saturating_sub(1));
        let ramp = Table::ramp(
            "decay",
            Shape::Cosine,
            self.lr,
            self.lr_final,
            extent.reach - flat,
        );
        Ok(match flat {
            0 => ramp.into(),
            _ => Table::constant("flat", self.lr).then(flat, ramp).into(),
        })
    }
}

/// Linear warm-up, plateau, linear decay. Without a plateau it is a triangle.
///
/// ```text
/// lr(n) = lr_start + (lr - lr_start) n / W             0 <= n <= W
///         lr                                           W <= n <= B = T - 1 - D
///         lr + (lr_final - lr) (n - B) / D             B <= n <= T - 1
/// ```
///
/// | parameter | default | purpose | range |
/// |---|---|---|---|
/// | `lr` | | rate of the plateau | at least 0 |
/// | `warmup` | `Span::Fraction(0.1)` | length of the warm-up | |
/// | `decay` | `Span::Fraction(0.3)` | length of the decay | |
/// | `lr_start` | 0.0 | first rate | 0 to `lr` |
/// | `lr_final` | 0.0 | last rate, reached exactly | 0 to `lr` |
///
/// In runs of a few steps the decay keeps its last step and the warm-up is shortened. A run of one
/// step uses `lr`. Source: Xing et al., "A Walk with SGD" (2018, arXiv:1802.08770), section 5; the
/// triangle: airbench (Jordan, 2024, arXiv:2404.00498).
///
/// ```
/// use onecycle::{Run, Span, Trapezoid};
/// let trapezoid = Trapezoid {
///     warmup: Span::Steps(2),
///     decay: Span::Steps(2),
///     ..Trapezoid::new(0.4)
/// };
/// let plan = trapezoid.policy()?.resolve(&Run::steps(7))?;
/// let lr: Vec<f64> = (0..7).map(|n| plan.at(n).lr).collect();
/// assert_eq!(format!("{lr:.3?}"), "[0.000, 0.200, 0.400, 0.400, 0.400, 0.200, 0.000]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trapezoid {
    /// Learning rate of the plateau.
    pub lr: f64,
    /// Length of the warm-up.
    #[serde(default = "defaults::up")]
    pub warmup: Span,
    /// Length of the decay.
    #[serde(default = "defaults::down")]
    pub decay: Span,
    /// Learning rate of the first step.
    #[serde(default)]
    pub lr_start: f64,
    /// Learning rate of the last step.
    #[serde(default)]
    pub lr_final: f64,
}

impl Trapezoid {
    /// 10 % warm-up and 30 % decay around a plateau at `lr`.
    pub fn new(lr: f64) -> Self {
        Trapezoid {
            lr,
            warmup: defaults::up(),
            decay: defaults::down(),
            lr_start: 0.0,
            lr_final: 0.0,
        }
    }

    fn plateau(&self) -> Plateau {
        Plateau {
            start: self.lr_start,
            lr: self.lr,
            end: self.lr_final,
            warmup: Some(self.warmup),
            decay: self.decay,
            shape: Shape::Linear,
        }
    }
}

impl Resolve for Trapezoid {
    fn check(&self) -> Result<(), PolicyError> {
        self.plateau().check()
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        self.plateau().resolve(extent)
    }
}

mod defaults {
    use crate::Span;

    pub(super) fn warmup() -> Span {
        Span::Fraction(0.05)
    }

    pub(super) fn decay() -> Span {
        Span::Fraction(0.2)
    }

    pub(super) fn flat() -> Span {
        Span::Fraction(0.75)
    }

    pub(super) fn up() -> Span {
        Span::Fraction(0.1)
    }

    pub(super) fn down() -> Span {
        Span::Fraction(0.3)
    }
}
