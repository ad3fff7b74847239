//! Noise scale, curvature, sharpness and loss slices of any Burn module.
//!
//! This module computes the gradients. The mathematics, with formulas and sources, is in
//! [`onecycle_stats`].
//!
//! A [`Subject`] is a fork of the module whose weights are one flat vector. The original is never
//! changed: weights, running statistics and training flags stay bit-identical. Burn's random stream
//! is not used.
//!
//! **The fork is in evaluation mode.** Its training flags are off, as after [`Module::freeze`], but
//! its weights still have gradients. Batch norm normalises by its running statistics, and dropout
//! does nothing. The loss is then a mean over independent images, however they are divided into
//! batches. The formulas of the noise scale and the notion of a loss surface require this. It is
//! the loss surface of validation; that of training, where batch norm normalises by the batch,
//! differs.
//!
//! **Products with the Hessian** are finite differences of gradients, because Burn has no second
//! derivatives:
//!
//! ```text
//! H v ≈ (g(x + h v) - g(x - h v)) / (2 h),   h ‖v‖ = r (1 + ‖x‖)
//! ```
//!
//! with `r` = 1e-3 in single precision and `r` = 6e-6, the cube root of the unit roundoff, in
//! double precision (Nocedal & Wright, "Numerical Optimization", section 8.1). The truncation error
//! is of order h², the rounding error of order 1e-7 ‖g‖ / h in single precision. With ReLU, the
//! product measures the mean curvature over the step. [`Hessian::step_error`] is the measured
//! error.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use onecycle_stats::Spectrum;
//! use onecycle_burn::{BurnError, diagnose::Subject, nn::Linear};
//!
//! # fn main() -> Result<(), BurnError> {
//! let device = Device::flex().autodiff();
//! let mut rng = onecycle_burn::rng(1);
//! let model = Linear::new(1, 1, &mut rng, &device);
//! // Inputs 3 and -3: the loss is 9 (w - 2)² + b², with curvatures 18 and 2.
//! let x = Tensor::<2>::from_data([[3.0], [-3.0]], &device);
//! let mut loss = |model: &Linear| -> Result<Tensor<1>, BurnError> {
//!     Ok((model.forward(x.clone()) - x.clone() * 2.0).square().mean())
//! };
//! let subject = Subject::new(&model)?;
//! let hessian = subject.hessian(&Spectrum::largest(2), &mut rng, &mut loss)?;
//! let [top, second] = [0, 1].map(|i| hessian.curvature.eigenvalues[i].value);
//! assert!((top - 18.0).abs() < 0.01 && (second - 2.0).abs() < 0.01);
//! # Ok(())
//! # }
//! ```
//!
//! [`Module::freeze`]: burn::module::Module::freeze

mod hessian;
mod subject;

pub use hessian::{Hessian, HessianVerdict};
pub use subject::Subject;

use burn::{module::Module, tensor::Tensor};
use onecycle_stats::{
    Ascent, EpsilonSharpness, GradientNoise, StatsError, epsilon_sharpness, filter_normalise, moved,
};
use rand_core::Rng;

use crate::{BurnError, nn::normal};

/// A loss as a mean over micro-batches, which are always the same and of equal size.
///
/// A closure `FnMut(&M) -> Result<Tensor<1>, E>` is an objective with one micro-batch.
pub trait Objective<M> {
    /// Error of the source of batches.
    type Error: From<BurnError>;

    /// Number of micro-batches, at least 1.
    fn batches(&self) -> usize {
        1
    }

    /// Returns the loss of `model` on micro-batch `batch` (counted from 0): the mean over its
    /// images, shape `[1]`.
    ///
    /// # Errors
    /// Those of the source of batches. They end the diagnosis.
    fn loss(&mut self, model: &M, batch: usize) -> Result<Tensor<1>, Self::Error>;
}

impl<M, E, F> Objective<M> for F
where
    E: From<BurnError>,
    F: FnMut(&M) -> Result<Tensor<1>, E>,
{
    type Error = E;

    fn loss(&mut self, model: &M, _batch: usize) -> Result<Tensor<1>, E> {
        self(model)
    }
}

impl<M: Module> Subject<M> {
    /// Collects the gradients of all micro-batches, of `batch_size` images each, in `groups` groups
    /// of equal size. Each group serves as a big batch; micro-batches left over at the end are
    /// ignored.
    ///
    /// Cost: one gradient per micro-batch.
    ///
    /// # Errors
    /// - Those of the objective.
    /// - [`BurnError::Diagnosis`] if `groups` is 0 or more than the number of micro-batches, or if
    ///   a gradient is not finite.
    pub fn noise<O: Objective<M>>(
        &self,
        batch_size: u64,
        groups: usize,
        objective: &mut O,
    ) -> Result<GradientNoise, O::Error> {
        let failed = |error: StatsError| O::Error::from(BurnError::from(error));
        let batches = objective.batches();
        if groups == 0 || batches < groups {
            return Err(failed(StatsError::OutOfRange {
                name: "groups",
                value: groups as f64,
                expected: "at least 1 and at most the number of micro-batches",
            }));
        }
        let mut noise = GradientNoise::new(batch_size).map_err(failed)?;
        let model = self.at(self.weights());
        let size = batches / groups;
        for batch in 0..size * groups {
            if batch.is_multiple_of(size) {
                noise.begin_group();
            }
            let (_, gradient) = self.batch_gradient(&model, batch, objective)?;
            noise.push(&gradient).map_err(failed)?;
        }
        Ok(noise)
    }

    /// Keskar's ε-sharpness, see [`epsilon_sharpness`]. If a gradient is exactly 0, the sign of the
    /// first step is random.
    ///
    /// Cost: `ascent.steps + 1` gradient evaluations.
    ///
    /// # Errors
    /// Those of the objective and of [`epsilon_sharpness`].
    pub fn sharpness<O: Objective<M>>(
        &self,
        ascent: &Ascent,
        rng: &mut impl Rng,
        objective: &mut O,
    ) -> Result<EpsilonSharpness, O::Error> {
        let start = random(self.weights().len(), rng);
        let found = epsilon_sharpness(self.weights(), &start, ascent, |x| {
            self.gradient(x, objective).map_err(Failure::Objective)
        });
        found.map_err(Failure::into_error)
    }

    /// Draws a random direction, normal in each weight, and normalises it by filters (see
    /// [`filter_normalise`]).
    ///
    /// Filters are the slices of a tensor along its first dimension, as in PyTorch and in the
    /// layers of this crate. Tensors of one dimension (biases, and the weights of batch norm) get
    /// 0. Burn's own `Linear` has weights `[in, out]`, so its filters are its inputs.
    ///
    /// # Errors
    /// [`BurnError::Diagnosis`] for weights that are not finite.
    pub fn direction(&self, rng: &mut impl Rng) -> Result<Vec<f64>, BurnError> {
        let mut direction = random(self.weights().len(), rng);
        filter_normalise(&mut direction, self.weights(), &self.blocks())?;
        Ok(direction)
    }

    /// Returns the losses at `weights + alpha · direction` for each of `alphas`.
    ///
    /// Cost: one forward pass per point and micro-batch.
    ///
    /// # Errors
    /// - Those of the objective.
    /// - [`BurnError::Diagnosis`] if `direction` has another length than the weights.
    pub fn slice<O: Objective<M>>(
        &self,
        direction: &[f64],
        alphas: &[f64],
        objective: &mut O,
    ) -> Result<Vec<f64>, O::Error> {
        if direction.len() != self.weights().len() {
            return Err(O::Error::from(BurnError::from(StatsError::Count {
                name: "direction",
                found: direction.len(),
                expected: self.weights().len(),
            })));
        }
        let point = |alpha: &f64| self.loss(&moved(self.weights(), direction, *alpha), objective);
        alphas.iter().map(point).collect()
    }
}

/// A vector of `len` standard normal numbers.
fn random(len: usize, rng: &mut impl Rng) -> Vec<f64> {
    (0..len).map(|_| normal(rng)).collect()
}

/// An error of the objective, or of the mathematics.
enum Failure<E> {
    Objective(E),
    Mathematics(StatsError),
}

impl<E> From<StatsError> for Failure<E> {
    fn from(error: StatsError) -> Self {
        Failure::Mathematics(error)
    }
}

impl<E: From<BurnError>> Failure<E> {
    fn into_error(self) -> E {
        match self {
            Failure::Objective(error) => error,
            Failure::Mathematics(error) => E::from(BurnError::from(error)),
        }
    }
}
