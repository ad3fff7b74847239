//! Rules that suggest a learning rate from a [`LossCurve`].
//!
//! | rule | suggests | from |
//! |---|---|---|
//! | [`OneCycleMax`](Rule::OneCycleMax) | the peak of one cycle | half the rate at the right wall of the smoothed curve |
//! | [`Constant`](Rule::Constant) | a good constant rate | the steepest descent of the smoothed curve |
//! | [`Valley`](Rule::Valley), [`Slide`](Rule::Slide), [`Minimum`](Rule::Minimum), [`Steep`](Rule::Steep) | a constant rate, or the peak | fastai's running mean |
//! | [`TorchLrFinder`](Rule::TorchLrFinder) | | torch-lr-finder's running mean |
//! | [`Ignite`](Rule::Ignite) | | Ignite's running mean |
//! | [`Lightning`](Rule::Lightning) | | Lightning's running mean |
//!
//! The rules of other tools return exactly what their originals return, including their failures.
//! Their formulas are public functions that take any losses.

use serde::{Deserialize, Serialize};

pub mod fastai;
pub mod ignite;
pub mod lightning;
mod own;
mod python;
pub mod torch_lr_finder;

use alloc::borrow::ToOwned;
use core::{fmt, str::FromStr};

use super::{LossCurve, Verdict, assess::Profile};
use crate::{PolicyError, text::Short};

/// The suggestion of a rule for a curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Suggestion {
    /// Learning rate. This crate's own rules return one only with [`Verdict::Ok`]. The rules of
    /// other tools return whatever the original returns, for any curve.
    pub lr: Option<f64>,
    /// Whether the suggestion can be trusted. For the rules of other tools this crate assesses the
    /// curve itself.
    pub verdict: Verdict,
}

impl fmt::Display for Suggestion {
    /// Rate and verdict: `lr 0.36 (ok)` or `no lr (too_noisy)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lr {
            Some(lr) => write!(f, "lr {} ({})", Short(lr), self.verdict),
            None => write!(f, "no lr ({})", self.verdict),
        }
    }
}

/// A rule, selected by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Half the rate at which the curve clearly rises: a peak for one cycle.
    ///
    /// The wall is the first rate at which the smoothed loss has clearly risen above its lowest
    /// value so far: by a tenth of the descent, by four standard errors, and for more than a few
    /// updates. A rise before half of the total descent is a bump and does not count.
    ///
    /// A range test spends a single update at each rate, so an instability shows late: without
    /// batch norm, cycles up to the wall itself diverge. "The optimum is usually within a factor of
    /// two of the largest learning rate that does not cause divergence" (Bengio 2012,
    /// arXiv:1206.5533, section 3.1.1). With batch norm, twice the suggestion may work as well.
    /// [`CycleSearch`](super::CycleSearch) is more accurate but costs more.
    OneCycleMax,
    /// A good rate for training with a constant rate.
    ///
    /// The rate at which the smoothed loss falls fastest on log-lr, at most [`Rule::OneCycleMax`].
    Constant,
    /// fastai's default: two thirds into the longest valley.
    Valley,
    /// fastai: an interval that slides from the right until the slopes at its ends agree.
    Slide,
    /// fastai: a tenth of the rate with the smallest loss.
    Minimum,
    /// fastai: the steepest descent on log-lr.
    Steep,
    /// torch-lr-finder: the steepest descent over the index.
    TorchLrFinder,
    /// Ignite: the steepest central difference up to the minimum.
    Ignite,
    /// Lightning: the steepest descent over the rate itself.
    Lightning,
}

impl Rule {
    /// All rules, this crate's own first.
    pub const ALL: [Rule; 9] = [
        Rule::OneCycleMax,
        Rule::Constant,
        Rule::Valley,
        Rule::Slide,
        Rule::Minimum,
        Rule::Steep,
        Rule::TorchLrFinder,
        Rule::Ignite,
        Rule::Lightning,
    ];

    /// The rules of other tools.
    pub fn of_originals() -> impl Iterator<Item = Rule> {
        Rule::ALL.into_iter().skip(2)
    }

    /// Name of the rule, as in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Rule::OneCycleMax => "one_cycle_max",
            Rule::Constant => "constant",
            Rule::Valley => "valley",
            Rule::Slide => "slide",
            Rule::Minimum => "minimum",
            Rule::Steep => "steep",
            Rule::TorchLrFinder => "torch_lr_finder",
            Rule::Ignite => "ignite",
            Rule::Lightning => "lightning",
        }
    }

    /// Applies the rule to the training losses of a curve. For another signal, see
    /// [`LossCurve::seen_by`].
    pub fn apply(self, curve: &LossCurve) -> Suggestion {
        let lr = match self {
            Rule::OneCycleMax => return own::one_cycle_max(curve),
            Rule::Constant => return own::constant(curve),
            Rule::Valley => fastai::lr_find(curve, fastai::valley),
            Rule::Slide => fastai::lr_find(curve, fastai::slide),
            Rule::Minimum => fastai::lr_find(curve, fastai::minimum).map(|lr| lr / 10.0),
            Rule::Steep => fastai::lr_find(curve, fastai::steep),
            Rule::TorchLrFinder => torch_lr_finder::suggestion(curve),
            Rule::Ignite => ignite::suggestion(curve),
            Rule::Lightning => lightning::suggestion(curve),
        };
        let verdict = match (Profile::of(curve), lr) {
            (Err(verdict), _) => verdict,
            (Ok(_), None) => Verdict::NoAnswer,
            (Ok(_), Some(_)) => Verdict::Ok,
        };
        Suggestion { lr, verdict }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Rule {
    type Err = PolicyError;

    fn from_str(name: &str) -> Result<Self, PolicyError> {
        Rule::ALL
            .into_iter()
            .find(|rule| rule.name() == name)
            .ok_or_else(|| PolicyError::UnknownRule {
                name: name.to_owned(),
                known: Rule::ALL.map(Rule::name).join(", "),
            })
    }
}
