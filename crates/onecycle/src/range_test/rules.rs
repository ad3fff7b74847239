//! Rules by name: what to read off a [`LossCurve`].
//!
//! | rule | names | reads |
//! |---|---|---|
//! | [`OneCycleMax`](Rule::OneCycleMax) | the maximum for one cycle | half of the smoothed curve's right wall |
//! | [`Constant`](Rule::Constant) | a good constant rate | its steepest descent |
//! | [`Valley`](Rule::Valley), [`Slide`](Rule::Slide), [`Minimum`](Rule::Minimum), [`Steep`](Rule::Steep) | a constant rate, or the maximum | fastai's running mean |
//! | [`TorchLrFinder`](Rule::TorchLrFinder) | | torch-lr-finder's running mean |
//! | [`Ignite`](Rule::Ignite) | | Ignite's running mean |
//! | [`Lightning`](Rule::Lightning) | | Lightning's running mean |
//!
//! The originals' rules are bit for bit what their originals answer, failings included; their formulas are public
//! functions that take any losses, for comparison.

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
use crate::PolicyError;

/// What a rule says of a curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Suggestion {
    /// The learning rate. This crate's own rules give none unless the verdict is [`Verdict::Ok`]; the originals' rules
    /// give what their original gives, on any curve.
    pub lr: Option<f64>,
    /// What the answer is worth. For the originals' rules, by this crate's measure.
    pub verdict: Verdict,
}

/// A rule by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A rate that can be the peak of one cycle.
    ///
    /// Half of the rate at the wall: from the lowest level on that the smoothed loss has reached, the first rate at which it
    /// has clearly risen, by a tenth of the descent so far and by four standard errors, for more than a few updates. What
    /// rises before half of the whole descent is a bump.
    ///
    /// The test's network meets each rate for a single update, which shows an instability late: without batch norm, cycles up
    /// to the wall itself diverge. "The optimum is usually within a factor of two of the largest learning rate that does not
    /// cause divergence" (Bengio 2012, arXiv:1206.5533, section 3.1.1). With batch norm, twice the answer may do as well.
    /// [`CycleSearch`](super::CycleSearch) costs more and is the better answer.
    OneCycleMax,
    /// A good rate for a training in which it stays constant.
    ///
    /// Where the smoothed loss falls fastest on log-lr, but at most [`Rule::OneCycleMax`].
    Constant,
    /// fastai: two thirds into the longest valley. Its default.
    Valley,
    /// fastai: an interval slid from the right until the slopes at its ends agree.
    Slide,
    /// fastai: a tenth of the rate of the smallest loss.
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

    /// Its name, as in files and on the command line.
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

    /// What it says of this curve's losses. For another signal, see [`LossCurve::seen_by`].
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
        f.write_str(self.name())
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
