//! The LR range test: a curve of the loss over the learning rate, and what to make of it.
//!
//! Train for a few hundred steps while the learning rate climbs a [`LrSweep`] from far too small to far too large, and
//! look where the loss falls and where it rises again. Smith, "Cyclical Learning Rates for Training Neural Networks"
//! (2015, arXiv:1506.01186), section 3.3; what fastai, Lightning and others call the learning-rate finder.
//!
//! [`RangeTest`] is pulled: it hands out the next [`Hyper`](crate::Hyper), is told the loss, and says whether to go on. It
//! knows no model, no loader and no optimizer, so it fits any loop. What it leaves is a [`LossCurve`] with every raw loss.
//!
//! ```
//! use onecycle::range_test::{Suggestion, LrSweep, RangeTest, Rule, Verdict};
//!
//! // Gradient descent on x² / 2 with a little noise diverges above lr = 2.
//! let mut x: f64 = 10.0;
//! let mut noise = 0.1;
//! let mut test = RangeTest::new(LrSweep::exponential(1e-4, 10.0, 200)?);
//! while let Some(hyper) = test.next_hyper() {
//!     if test.record(x * x / 2.0).is_break() {
//!         break;
//!     }
//!     noise = -noise;
//!     x -= hyper.lr * (x + noise);
//! }
//! let Suggestion { lr, verdict } = Rule::OneCycleMax.apply(&test.into_curve());
//! assert_eq!(verdict, Verdict::Ok);
//! assert!((1.0..6.0).contains(&lr.unwrap()));
//! # Ok::<(), onecycle::PolicyError>(())
//! ```
//!
//! # From a curve to a rate
//!
//! [`Rule`] has this crate's two rules, [`Rule::OneCycleMax`] and [`Rule::Constant`], and those of fastai,
//! torch-lr-finder, Ignite and Lightning, each with its original's own smoothing, stop and trimming. Every [`Suggestion`]
//! has a [`Verdict`]: a curve that never falls, or never rises, or is mostly noise, says so instead of naming a rate.
//! [`over_seeds`] puts the answers of several curves together, with an interval.
//!
//! # From a few short cycles to a better one
//!
//! [`CycleSearch`] begins at the rate that a curve names and asks for short cycles around it, judged by held-out loss.
//!
//! | module | what it holds |
//! |---|---|
//! | [`smooth`] | smoothing without lag, its derivative on log-lr; the running means of the originals |
//! | [`rules`] | the rules' formulas, one file a family |

mod assess;
mod loss_curve;
mod lr_sweep;
mod not_finite;
pub mod rules;
mod search;
mod seeds;
pub mod smooth;
mod test;

pub use assess::Verdict;
pub use loss_curve::{Conditions, LossCurve, Signal, Validation};
pub use lr_sweep::{LrSweep, Spacing};
pub use rules::{Rule, Suggestion};
pub use search::{CycleSearch, Tried};
pub use seeds::{OverSeeds, over_seeds};
pub use test::{RangeTest, StopReason};
