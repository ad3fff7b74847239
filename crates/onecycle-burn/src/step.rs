//! One training step: loss, gradients, update.
//!
//! [`training_step`] is the whole step as one function. [`TrainingStep`] is the same step in two
//! halves, backward pass and update, for loops that check or measure something in between, or that
//! accumulate gradients over micro-batches.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use onecycle::{OneCycle, Run};
//! use onecycle_burn::{BurnError, nn::Linear, optim::{Optimizer, OptimizerConfig}, training_step};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let device = Device::flex().autodiff();
//! let mut model = Linear::new(2, 1, &mut onecycle_burn::rng(1), &device);
//! let mut optimizer = Optimizer::new(OptimizerConfig::sgd())?;
//! let x = Tensor::<2>::from_data([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], &device);
//! let y = Tensor::<2>::from_data([[2.0], [1.0], [3.0]], &device);
//!
//! let plan = OneCycle::new(0.5).plan(&Run::steps(100))?;
//! let mut losses = Vec::new();
//! for (_, hyper) in plan.iter() {
//!     let outcome;
//!     (model, outcome) = training_step(model, &mut optimizer, &hyper, |model| {
//!         Ok::<_, BurnError>((model.forward(x.clone()) - y.clone()).square().mean())
//!     })?;
//!     losses.push(outcome.loss);
//! }
//! assert!(losses[99] < 0.01 * losses[0]);
//! # Ok(())
//! # }
//! ```

use burn::{
    module::Module,
    optim::{GradientsAccumulator, GradientsParams},
    tensor::Tensor,
};
use onecycle::Hyper;

use crate::{
    BurnError,
    optim::{Optimizer, StepReport},
};

/// Result of [`training_step`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepOutcome {
    /// The loss before the update.
    pub loss: f64,
    /// The optimizer's report, with the gradient norm if gradients are clipped. `None` if the loss
    /// was not finite: then weights and optimizer state are unchanged. Running statistics of batch
    /// norm are not, because the forward pass has updated them.
    pub update: Option<StepReport>,
}

/// Makes one training step: computes the loss, its gradients, and one update of `model` by
/// `optimizer` under `hyper`.
///
/// `loss` runs the forward pass and returns the loss, shape `[1]`. A loss that is NaN or infinite
/// skips the update; see [`StepOutcome::update`].
///
/// # Errors
/// Those of `loss` and of [`Optimizer::step`]. The model is then lost; clone it first if it is
/// needed afterwards.
pub fn training_step<M, E, F>(
    model: M,
    optimizer: &mut Optimizer,
    hyper: &Hyper,
    loss: F,
) -> Result<(M, StepOutcome), E>
where
    M: Module,
    E: From<BurnError>,
    F: FnOnce(&M) -> Result<Tensor<1>, E>,
{
    let loss = loss(&model)?;
    let mut step = TrainingStep::new();
    step.backward(&loss, &model);
    // Read after the backward pass was started: an accelerator then computes gradients while this
    // thread waits.
    let loss = loss_value(&loss);
    if !loss.is_finite() {
        return Ok((model, StepOutcome { loss, update: None }));
    }
    let (model, report) = step.update(model, optimizer, hyper)?;
    let update = Some(report);
    Ok((model, StepOutcome { loss, update }))
}

/// The gradients of one training step, between backward pass and update.
///
/// Dropping it skips the update, for instance after a loss that is not finite.
///
/// ```
/// # use burn::tensor::{Device, Tensor};
/// # use onecycle::Hyper;
/// # use onecycle_burn::{BurnError, TrainingStep, nn::Linear, optim::{Optimizer, OptimizerConfig}, step::loss_value};
/// # fn main() -> Result<(), BurnError> {
/// # let device = Device::flex().autodiff();
/// # let mut model = Linear::new(2, 1, &mut onecycle_burn::rng(1), &device);
/// # let mut optimizer = Optimizer::new(OptimizerConfig::sgd())?;
/// # let hyper = Hyper { lr: 0.1, momentum: None, weight_decay: None, batch_size: None };
/// # let x = Tensor::<2>::from_data([[0.0, 1.0], [1.0, 0.0]], &device);
/// let output = model.forward(x);
/// let loss = output.clone().square().mean();
/// let mut step = TrainingStep::new();
/// step.backward(&loss, &model);
/// // Here the outputs can be read back and checked.
/// if loss_value(&loss).is_finite() {
///     (model, _) = step.update(model, &mut optimizer, &hyper)?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct TrainingStep<M: Module> {
    /// Factor on each loss: 1 over the number of micro-batches.
    share: f64,
    sum: GradientsAccumulator<M>,
}

impl<M: Module> TrainingStep<M> {
    /// A step over one batch.
    pub fn new() -> Self {
        TrainingStep::accumulating(1)
    }

    /// A step over `micro_batches` micro-batches, at least 1: its gradient is the mean of theirs.
    /// Call [`backward`](Self::backward) once per micro-batch.
    pub fn accumulating(micro_batches: u32) -> Self {
        TrainingStep {
            share: 1.0 / f64::from(micro_batches.max(1)),
            sum: GradientsAccumulator::new(),
        }
    }

    /// Runs the backward pass from `loss`, shape `[1]`, and keeps the gradients of the parameters
    /// of `model`.
    pub fn backward(&mut self, loss: &Tensor<1>, model: &M) {
        let gradients = if self.share < 1.0 {
            gradients(&(loss.clone() * self.share), model)
        } else {
            gradients(loss, model)
        };
        self.sum.accumulate(model, gradients);
    }

    /// Updates `model`; see [`Optimizer::step`].
    ///
    /// # Errors
    /// Those of [`Optimizer::step`].
    pub fn update(
        mut self,
        model: M,
        optimizer: &mut Optimizer,
        hyper: &Hyper,
    ) -> Result<(M, StepReport), BurnError> {
        optimizer.step(hyper, model, self.sum.grads())
    }
}

impl<M: Module> Default for TrainingStep<M> {
    fn default() -> Self {
        TrainingStep::new()
    }
}

/// Reads a loss back as a number, whatever its element type. NaN for an empty tensor.
pub fn loss_value(loss: &Tensor<1>) -> f64 {
    let data = loss.clone().without_autodiff().into_data();
    data.iter::<f64>().next().unwrap_or(f64::NAN)
}

/// Gradients of `loss` with respect to the parameters of `model`.
pub(crate) fn gradients<M: Module>(loss: &Tensor<1>, model: &M) -> GradientsParams {
    GradientsParams::from_grads(loss.backward(), model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OptimizerConfig, nn::Linear, state};
    use burn::tensor::Device;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    const HYPER: Hyper = Hyper {
        lr: 0.1,
        momentum: Some(0.9),
        weight_decay: None,
        batch_size: None,
    };

    fn model() -> (Linear, Optimizer) {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let model = Linear::new(2, 1, &mut rng, &Device::flex().autodiff());
        let optimizer = Optimizer::new(OptimizerConfig::sgd()).expect("default options");
        (model, optimizer)
    }

    fn loss(model: &Linear, inputs: [[f32; 2]; 2]) -> Tensor<1> {
        let x = Tensor::<2>::from_data(inputs, &Device::flex().autodiff());
        model.forward(x).square().mean()
    }

    #[test]
    fn one_call_does_what_its_parts_do() {
        let inputs = [[1.0, -2.0], [0.5, 3.0]];
        let (model, mut optimizer) = model();
        let before = loss_value(&loss(&model, inputs));
        let grads = GradientsParams::from_grads(loss(&model, inputs).backward(), &model);
        let mut other = optimizer.clone();
        let (expected, report) = other.step(&HYPER, model.clone(), grads).expect("a step");
        let (model, outcome) = training_step(model, &mut optimizer, &HYPER, |model| {
            Ok::<_, BurnError>(loss(model, inputs))
        })
        .expect("a step");
        assert_eq!(outcome.loss, before);
        assert_eq!(outcome.update, Some(report));
        assert_eq!(state::weights(&model), state::weights(&expected));
        assert_eq!(optimizer.state(), other.state());
    }

    #[test]
    fn a_loss_that_is_not_finite_changes_nothing() {
        let (model, mut optimizer) = model();
        let before = state::weights(&model);
        let (model, outcome) = training_step(model, &mut optimizer, &HYPER, |model| {
            Ok::<_, BurnError>(loss(model, [[f32::INFINITY, 0.0], [0.0, 0.0]]))
        })
        .expect("no error");
        assert!(!outcome.loss.is_finite());
        assert_eq!(outcome.update, None);
        assert_eq!(state::weights(&model), before);
        assert!(optimizer.state().is_empty());
    }

    #[test]
    fn micro_batches_give_the_mean_gradient() {
        let (model, optimizer) = model();
        let parts = [[[1.0, -2.0], [0.5, 3.0]], [[0.0, 1.0], [2.0, 2.0]]];
        let mut step = TrainingStep::accumulating(2);
        for part in parts {
            step.backward(&loss(&model, part), &model);
        }
        let (accumulated, _) = step
            .update(model.clone(), &mut optimizer.clone(), &HYPER)
            .expect("a step");
        let mut step = TrainingStep::new();
        let mean = (loss(&model, parts[0]) + loss(&model, parts[1])) * 0.5;
        step.backward(&mean, &model);
        let (whole, _) = step
            .update(model, &mut optimizer.clone(), &HYPER)
            .expect("a step");
        let (accumulated, whole) = (state::weights(&accumulated), state::weights(&whole));
        for (name, values) in &whole {
            let pairs = accumulated[name].iter::<f32>().zip(values.iter::<f32>());
            for (one, other) in pairs {
                assert!((one - other).abs() < 1e-6, "{name}: {one} and {other}");
            }
        }
    }
}
