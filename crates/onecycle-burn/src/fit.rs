//! The training loop and the range test of any module, from a source of batches and a loss.
//!
//! [`fit_one_cycle`] is the loop that everyone writes: for each step of the plan the next batch,
//! its loss, the backward pass and one update. [`lr_find`] runs a range test on the same batches
//! and the same loss. For another loop, see [`step`](crate::step).
//!
//! ```
//! use onecycle::{OneCycle, Run, range_test::{LrSweep, RangeTest, Rule}};
//! use onecycle_burn::{Optimizer, OptimizerConfig, fit_one_cycle, lr_find, nn::Linear};
//! use onecycle_burn::burn::tensor::{Device, Tensor};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let device = Device::flex().autodiff();
//! let mut model = Linear::new(2, 1, &mut onecycle_burn::rng(1), &device);
//! let mut optimizer = Optimizer::new(OptimizerConfig::sgd())?;
//!
//! // Each epoch has two batches of two points.
//! let x = Tensor::<2>::from_data([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [2.0, 1.0]], &device);
//! let y = Tensor::<2>::from_data([[2.0], [1.0], [3.0], [4.0]], &device);
//! let batches = |_epoch| x.clone().split(2, 0).into_iter().zip(y.clone().split(2, 0));
//! let loss = |model: &Linear, (x, y): (Tensor<2>, Tensor<2>)| {
//!     (model.forward(x) - y).square().mean()
//! };
//!
//! let one_cycle = |lr_max| OneCycle::new(lr_max).plan(&Run::epochs(100, 4, 2));
//! let test = RangeTest::for_plan(&one_cycle(1.0)?, LrSweep::exponential(1e-4, 10.0, 150)?);
//! let tested = lr_find(&model, &optimizer, test, batches, loss)?;
//! let lr_max = Rule::OneCycleMax.apply(&tested.curve).lr.ok_or("no rate")?;
//!
//! let fitted = fit_one_cycle(&mut model, &mut optimizer, &one_cycle(lr_max)?, batches, loss)?;
//! let losses = fitted.epoch_losses();
//! assert!(losses.len() == 100 && losses[99] < 0.01 * losses[0], "{losses:?}");
//! # Ok(())
//! # }
//! ```

use burn::{module::Module, tensor::Tensor};
use onecycle::{Plan, range_test::RangeTest};

use crate::{
    BurnError,
    optim::Optimizer,
    range_test::{RangeTestOutcome, range_test},
    step::{TrainingStep, loss_value},
};

/// Rounding error of a position in epochs.
const SLACK: f64 = 1e-6;

/// Result of [`fit_one_cycle`].
#[derive(Debug, Clone, PartialEq)]
pub struct FitOutcome {
    /// Training loss of each step, before its update.
    pub losses: Vec<f64>,
    /// First step of each epoch.
    pub epoch_starts: Vec<u64>,
}

impl FitOutcome {
    /// Mean training loss of each epoch.
    pub fn epoch_losses(&self) -> Vec<f64> {
        let starts = self.epoch_starts.iter().map(|start| *start as usize);
        let ends = starts.clone().skip(1).chain([self.losses.len()]);
        let means = starts.zip(ends).map(|(start, end)| {
            let losses = &self.losses[start..end];
            losses.iter().sum::<f64>() / losses.len() as f64
        });
        means.collect()
    }
}

/// Trains `model` for all steps of `plan`.
///
/// `epochs` returns the batches of an epoch, counted from 0. `loss` runs the forward pass on a
/// batch and returns the loss, shape `[1]`. A batch size in the plan is an error unless the
/// optimizer [ignores](Optimizer::ignore) it, because `epochs` decides on the batches.
///
/// # Errors
/// - [`BurnError::LossNotFinite`] if a loss is NaN or infinite.
/// - [`BurnError::EpochLength`] if an epoch has more or fewer batches than in the plan, and
///   [`BurnError::NoBatch`] if it has none.
/// - Those of [`Optimizer::step`], before the first step.
///
/// After an error, `model` has the weights after the last update.
pub fn fit_one_cycle<M: Module, B, I: IntoIterator<Item = B>>(
    model: &mut M,
    optimizer: &mut Optimizer,
    plan: &Plan,
    epochs: impl FnMut(u64) -> I,
    mut loss: impl FnMut(&M, B) -> Tensor<1>,
) -> Result<FitOutcome, BurnError> {
    try_fit_one_cycle(model, optimizer, plan, epochs, |model, batch| {
        Ok::<_, BurnError>(loss(model, batch))
    })
}

/// [`fit_one_cycle`] with a loss that can fail, for instance because its batch could not be read.
///
/// # Errors
/// Those of `loss`, and those of [`fit_one_cycle`].
pub fn try_fit_one_cycle<M: Module, B, I: IntoIterator<Item = B>, E: From<BurnError>>(
    model: &mut M,
    optimizer: &mut Optimizer,
    plan: &Plan,
    epochs: impl FnMut(u64) -> I,
    mut loss: impl FnMut(&M, B) -> Result<Tensor<1>, E>,
) -> Result<FitOutcome, E> {
    for (_, hyper) in plan.iter() {
        optimizer.check(&hyper)?;
    }
    let mut stream = Stream::new(epochs);
    let mut losses = Vec::new();
    // An update consumes the module, so a copy is trained and replaces the original at the end.
    let mut trained = model.clone();
    for (step, hyper) in plan.iter() {
        let gradients = stream
            .next_of_plan(plan, step)
            .map_err(E::from)
            .and_then(|batch| {
                let loss = loss(&trained, batch)?;
                let mut gradients = TrainingStep::new();
                gradients.backward(&loss, &trained);
                let loss = loss_value(&loss);
                if !loss.is_finite() {
                    let lr = hyper.lr;
                    return Err(E::from(BurnError::LossNotFinite { step, lr, loss }));
                }
                losses.push(loss);
                Ok(gradients)
            });
        let gradients = match gradients {
            Ok(gradients) => gradients,
            Err(error) => {
                *model = trained;
                return Err(error);
            }
        };
        (trained, _) = gradients.update(trained, optimizer, &hyper)?;
    }
    *model = trained;
    Ok(FitOutcome {
        losses,
        epoch_starts: stream.starts,
    })
}

/// Runs a [range test](mod@crate::range_test). `epochs` and `loss` are as in [`fit_one_cycle`];
/// batches are drawn from epoch 0 on. The test trains copies, so `model` and `optimizer` do not
/// change.
///
/// # Errors
/// [`BurnError::NoBatch`] if an epoch has no batch; those of
/// [`range_test`].
pub fn lr_find<M: Module, B, I: IntoIterator<Item = B>>(
    model: &M,
    optimizer: &Optimizer,
    test: RangeTest,
    epochs: impl FnMut(u64) -> I,
    mut loss: impl FnMut(&M, B) -> Tensor<1>,
) -> Result<RangeTestOutcome, BurnError> {
    let mut stream = Stream::new(epochs);
    let mut step = 0;
    let mut feed = |model: &M| -> Result<_, BurnError> {
        let batch = stream.next(step)?;
        step += 1;
        Ok(Some(loss(model, batch)))
    };
    range_test(model, optimizer, test, &mut feed)
}

/// The batches of one epoch after the other.
struct Stream<F, I: IntoIterator> {
    epochs: F,
    batches: I::IntoIter,
    /// First step of each epoch begun.
    starts: Vec<u64>,
}

impl<I: IntoIterator, F: FnMut(u64) -> I> Stream<F, I> {
    fn new(mut epochs: F) -> Self {
        Stream {
            batches: epochs(0).into_iter(),
            epochs,
            starts: vec![0],
        }
    }

    /// The current epoch, from 0.
    fn epoch(&self) -> u64 {
        self.starts.len() as u64 - 1
    }

    /// First step of the current epoch.
    fn start(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }

    /// The batch of step `step`.
    fn next(&mut self, step: u64) -> Result<I::Item, BurnError> {
        if let Some(batch) = self.batches.next() {
            return Ok(batch);
        }
        if step > self.start() {
            self.starts.push(step);
            let epoch = self.epoch();
            self.batches = (self.epochs)(epoch).into_iter();
        }
        let epoch = self.epoch();
        self.batches.next().ok_or(BurnError::NoBatch { epoch })
    }

    /// The batch of step `step`. Each epoch must end at the same step as in the plan, if the plan
    /// defines epochs.
    fn next_of_plan(&mut self, plan: &Plan, step: u64) -> Result<I::Item, BurnError> {
        let (epoch, start) = (self.epoch(), self.start());
        let batch = self.next(step)?;
        let end = (epoch + 1) as f64 - SLACK;
        let ended = |step: u64| plan.epoch_at(step).map(|at| at >= end);
        if ended(step).is_none_or(|ended| ended == (self.epoch() > epoch)) {
            return Ok(batch);
        }
        let planned = (start..=plan.steps()).find(|step| ended(*step) == Some(true));
        Err(BurnError::EpochLength {
            epoch,
            expected: planned.unwrap_or(plan.steps()) - start,
            found: step - start + u64::from(self.epoch() == epoch),
        })
    }
}
