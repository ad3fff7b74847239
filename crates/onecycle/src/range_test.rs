//! The LR range test (learning-rate finder): record the loss while the learning rate grows, then
//! suggest a rate from that curve.
//!
//! Train for a few hundred steps while the learning rate follows an [`LrSweep`] from far too small
//! to far too large. The loss falls, then rises again; a good rate lies in between. Source: Smith,
//! "Cyclical Learning Rates for Training Neural Networks" (2015, arXiv:1506.01186), section 3.3.
//! fastai, Lightning and others call it the learning-rate finder.
//!
//! [`RangeTest`] is a state machine: it returns the next [`Hyper`](crate::Hyper)-parameters, takes
//! the loss, and says when to stop. It drives a closure, or your loop drives it. It knows no model,
//! data loader or optimizer, so it fits any loop. Its result is a [`LossCurve`] with every raw
//! loss.
//!
//! ```
//! use onecycle::range_test::{Suggestion, LrSweep, RangeTest, Rule, Verdict};
//!
//! // Gradient descent on x² / 2 with a little noise diverges above lr = 2.
//! let mut x: f64 = 10.0;
//! let mut noise = 0.1;
//! let curve = RangeTest::new(LrSweep::exponential(1e-4, 10.0, 200)?).run(|hyper| {
//!     let loss = x * x / 2.0;
//!     noise = -noise;
//!     x -= hyper.lr * (x + noise);
//!     loss
//! });
//! let Suggestion { lr, verdict } = Rule::OneCycleMax.apply(&curve);
//! assert_eq!(verdict, Verdict::Ok);
//! assert!((1.0..6.0).contains(&lr.unwrap()));
//! # Ok::<(), onecycle::PolicyError>(())
//! ```
//!
//! # From a curve to a learning rate
//!
//! [`Rule`] offers this crate's two rules, [`Rule::OneCycleMax`] and [`Rule::Constant`], and the
//! rules of fastai, torch-lr-finder, Ignite and Lightning, each with the smoothing, stopping and
//! trimming of its original. Every [`Suggestion`] has a [`Verdict`]: if the curve never falls,
//! never rises, or is mostly noise, the verdict says so and the rule gives no rate. [`over_seeds`]
//! combines the suggestions for several seeds, with their range, and says whether they agree.
//!
//! # Better: a few short cycles
//!
//! [`CycleSearch`] starts at the rate that a curve suggests and compares short cycles around it by
//! their held-out loss. It costs more than a range test.
//!
//! | module | contents |
//! |---|---|
//! | [`smooth`] | smoothing without lag, with its derivative on log-lr; the running means of the other tools |
//! | [`rules`] | the formulas of the rules, one file per tool |

mod assess;
mod loss_curve;
mod lr_sweep;
pub mod rules;
mod search;
mod seeds;
pub mod smooth;
mod test;

pub use assess::Verdict;
pub use loss_curve::{Conditions, LossCurve, Signal, Validation};
pub use lr_sweep::{LrSweep, Spacing};
pub use rules::{Rule, Suggestion};
pub use search::{CycleSearch, SearchReason, Tried};
pub use seeds::{OverSeeds, over_seeds};
pub use test::{RangeTest, StopReason};
