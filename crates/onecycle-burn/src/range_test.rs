//! The LR range test (Smith 2017, section 3.3) of any Burn module, with the optimizers of this
//! crate.
//!
//! [`range_test`] trains a fork of the module by a copy of the optimizer while the learning rate
//! rises, and drops both. Weights, running statistics and optimizer state of the originals stay
//! bit-identical, however the test ends.
//!
//! Two things are outside its control. The [`Feed`] restores its own state if it has any; a loader
//! that is a pure function of seed and position has none. Burn draws random numbers (for dropout)
//! from one stream per process that cannot be saved, so a module that uses it continues at another
//! position of that stream after the test.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use onecycle::range_test::{LrSweep, RangeTest, Rule};
//! use onecycle_burn::{BurnError, nn::Linear, optim::{Optimizer, OptimizerConfig}, range_test, state};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let device = Device::flex().autodiff();
//! let model = Linear::new(2, 1, &mut onecycle_burn::rng(1), &device);
//! let optimizer = Optimizer::new(OptimizerConfig::sgd())?;
//! let before = state::weights(&model);
//!
//! let x = Tensor::<2>::from_data([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], &device);
//! let y = Tensor::<2>::from_data([[2.0], [1.0], [3.0]], &device);
//! let mut loss = |model: &Linear| -> Result<_, BurnError> {
//!     Ok(Some((model.forward(x.clone()) - y.clone()).square().mean()))
//! };
//! let test = RangeTest::new(LrSweep::exponential(1e-4, 10.0, 150)?);
//! let tested = range_test(&model, &optimizer, test, &mut loss)?;
//! let lr_max = Rule::OneCycleMax.apply(&tested.curve).lr;
//! assert!(lr_max.is_some());
//! assert_eq!(state::weights(&model), before);
//! # Ok(())
//! # }
//! ```

use std::time::{Duration, Instant};

use burn::{module::Module, tensor::Tensor};
use onecycle::range_test::{LossCurve, RangeTest, StopReason};

use crate::{
    BurnError,
    optim::{Ignorable, Optimizer},
    state,
    step::{TrainingStep, loss_value},
};

/// Supplies the losses of a range test: batches, forward pass and loss, exactly as in training.
///
/// A closure `FnMut(&M) -> Result<Option<Tensor<1>>, E>` is a feed without validation.
pub trait Feed<M> {
    /// Error of the source of batches.
    type Error: From<BurnError>;

    /// Returns the loss of `model` on the next micro-batch, shape `[1]`. `None` ends the test.
    ///
    /// # Errors
    /// Those of the source of batches. They end the test.
    fn loss(&mut self, model: &M) -> Result<Option<Tensor<1>>, Self::Error>;

    /// Returns loss and accuracy (0 to 1) of `model` on a validation set. Called after each
    /// recorded update with the number of recorded updates. Measures nothing by default.
    ///
    /// # Errors
    /// Those of the validation. They end the test.
    fn validate(&mut self, _model: &M, _updates: usize) -> Result<ValidationScore, Self::Error> {
        Ok(ValidationScore::default())
    }
}

impl<M, E, F> Feed<M> for F
where
    E: From<BurnError>,
    F: FnMut(&M) -> Result<Option<Tensor<1>>, E>,
{
    type Error = E;

    fn loss(&mut self, model: &M) -> Result<Option<Tensor<1>>, E> {
        self(model)
    }
}

/// Result of a validation during a range test.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ValidationScore {
    /// Loss on the validation set.
    pub loss: Option<f64>,
    /// Accuracy on the validation set, 0 to 1.
    pub accuracy: Option<f64>,
}

/// Result of a range test.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeTestOutcome {
    /// The recorded losses.
    pub curve: LossCurve,
    /// Why it ended; `None` if the feed ended it.
    pub stop: Option<StopReason>,
    /// Time that it took.
    pub timing: Timing,
}

/// Time of a range test.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Timing {
    /// Updates made, including the warm-up.
    pub updates: u64,
    /// Time of the work that a training of the same length does: batches, losses, gradients,
    /// updates.
    pub training: Duration,
    /// Time of the validations.
    pub validation: Duration,
    /// Remaining time: the fork, and the arithmetic of the test itself.
    pub overhead: Duration,
}

impl Timing {
    /// Overhead per update, as a fraction of the time that an update takes in a training. NaN if no
    /// update was made.
    pub fn overhead_share(&self) -> f64 {
        self.overhead.as_secs_f64() / self.training.as_secs_f64()
    }
}

/// Runs a range test that starts from the present state of `model` and `optimizer`, on copies of
/// both.
///
/// The parameter groups and the clipping of the optimizer apply. The feed is assumed to apply the
/// batch size of the test's base hyper-parameters.
///
/// # Errors
/// Those of the feed, of [`Optimizer::step`] and of [`RangeTest::next_hyper`].
pub fn range_test<M: Module, F: Feed<M>>(
    model: &M,
    optimizer: &Optimizer,
    mut test: RangeTest,
    feed: &mut F,
) -> Result<RangeTestOutcome, F::Error> {
    let start = Instant::now();
    let mut timing = Timing::default();
    let mut model = state::fork(model);
    let mut optimizer = optimizer.clone().ignore(Ignorable::BatchSize);
    'test: while let Some(hyper) = test.next_hyper().map_err(BurnError::from)? {
        let mut step = TrainingStep::accumulating(test.accumulation());
        for _ in 0..test.accumulation() {
            let timer = Instant::now();
            let Some(loss) = feed.loss(&model)? else {
                break 'test;
            };
            let value = loss_value(&loss);
            timing.training += timer.elapsed();
            if test.record(value).is_break() {
                break 'test;
            }
            let timer = Instant::now();
            step.backward(&loss, &model);
            timing.training += timer.elapsed();
        }
        let timer = Instant::now();
        (model, _) = step.update(model, &mut optimizer, &hyper)?;
        timing.updates += 1;
        timing.training += timer.elapsed();
        if test.recorded() > 0 {
            let timer = Instant::now();
            let measured = feed.validate(&model, test.recorded())?;
            if measured != ValidationScore::default() {
                test.record_validation(measured.loss, measured.accuracy);
                timing.validation += timer.elapsed();
            }
        }
    }
    let stop = test.stop_reason();
    let curve = test.into_curve();
    timing.overhead = start
        .elapsed()
        .saturating_sub(timing.training)
        .saturating_sub(timing.validation);
    Ok(RangeTestOutcome {
        curve,
        stop,
        timing,
    })
}
