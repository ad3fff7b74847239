//! One update from several shards of a batch, computed one after another or by several processes.
//!
//! Each shard runs its own forward and backward pass on a fork of the module, so batch norm
//! normalises the images of a shard together: the ghost batch norm of Goyal et al. 2017 (section
//! 2.3) and Hoffer et al. 2017. What a shard contributes to the update is one vector, its
//! [`contribution`]. Contributions are added, weighted by their images, and [`combined`] turns their
//! mean back into gradients and running statistics.
//!
//! ```
//! use burn::{optim::GradientsParams, tensor::{Device, Tensor}};
//! use onecycle_burn::{nn::Linear, shards, state};
//!
//! let device = Device::flex().autodiff();
//! let model = Linear::new(1, 1, &mut onecycle_burn::rng(1), &device);
//! let mut sum = Vec::new();
//! for x in [1.0_f32, 3.0] {
//!     let fork = state::fork(&model);
//!     let x = Tensor::<2>::from_data([[x]], &device);
//!     let gradients = GradientsParams::from_grads(fork.forward(x).mean().backward(), &fork);
//!     shards::add(&mut sum, &shards::contribution(&fork, &gradients), 1.0);
//! }
//! shards::scale(&mut sum, 0.5);
//! let (model, gradients) = shards::combined(model, &sum)?;
//! let gradient = gradients.get::<2>(model.weight.id).expect("a gradient");
//! assert_eq!(gradient.into_scalar::<f32>(), 2.0);
//! # Ok::<(), onecycle_burn::BurnError>(())
//! ```

use std::collections::BTreeMap;

use burn::{
    module::{Module, ModuleVisitor, Param},
    optim::GradientsParams,
    tensor::{Device, Tensor, TensorData},
};

use crate::{BurnError, average::WeightAverage, batch_statistics::statistics};

/// Gradients of all trained parameters in the order of the module, then all running statistics in the
/// order of their names. Parameters that the loss does not depend on have the gradient 0.
///
/// `model` is a fork on which one shard has run, in single precision. The length depends on the module
/// alone.
pub fn contribution<M: Module>(model: &M, gradients: &GradientsParams) -> Vec<f32> {
    let mut reader = Reader {
        gradients,
        values: Vec::new(),
    };
    model.visit(&mut reader);
    let mut values = reader.values;
    for tensor in statistics(model).into_values() {
        values.extend(tensor.into_data().iter::<f32>());
    }
    values
}

/// `sum += weight · values`, elementwise. An empty `sum` counts as 0.
pub fn add(sum: &mut Vec<f32>, values: &[f32], weight: f32) {
    sum.resize(values.len(), 0.0);
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += weight * value;
    }
}

/// `values *= factor`, elementwise.
pub fn scale(values: &mut [f32], factor: f32) {
    values.iter_mut().for_each(|value| *value *= factor);
}

/// Takes a mean of [`contribution`]s apart: the module with their running statistics, and the
/// gradients.
///
/// # Errors
/// [`BurnError::ShapeMismatch`] if the vector is not as long as a contribution of `model`.
pub fn combined<M: Module>(model: M, mean: &[f32]) -> Result<(M, GradientsParams), BurnError> {
    let mut writer = Writer {
        values: mean,
        gradients: GradientsParams::new(),
        complete: true,
    };
    model.visit(&mut writer);
    let Writer {
        mut values,
        gradients,
        mut complete,
    } = writer;
    let mut tensors = BTreeMap::new();
    for (name, old) in statistics(&model) {
        match take(&mut values, old.dims()[0], &old.device()) {
            Some(new) => tensors.insert(name, new),
            None => {
                complete = false;
                break;
            }
        };
    }
    if !(complete && values.is_empty()) {
        return Err(BurnError::ShapeMismatch {
            name: "the sum of the shards".to_owned(),
            found: vec![mean.len()],
            expected: vec![contribution(&model, &GradientsParams::new()).len()],
        });
    }
    let model = match tensors.is_empty() {
        true => model,
        false => WeightAverage::of_tensors(tensors).apply(model),
    };
    Ok((model, gradients))
}

/// Takes the first `len` values off a vector, as a flat tensor without autodiff.
fn take(values: &mut &[f32], len: usize, device: &Device) -> Option<Tensor<1>> {
    let (first, rest) = values.split_at_checked(len)?;
    *values = rest;
    let device = device.clone().without_autodiff();
    Some(Tensor::from_data(
        TensorData::new(first.to_vec(), [len]),
        &device,
    ))
}

/// Collects gradients.
struct Reader<'a> {
    gradients: &'a GradientsParams,
    values: Vec<f32>,
}

impl ModuleVisitor for Reader<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !param.is_require_grad() {
            return;
        }
        match self.gradients.get::<D>(param.id) {
            Some(gradient) => {
                let data = gradient.without_autodiff().into_data();
                self.values.extend(data.iter::<f32>());
            }
            None => {
                let len = self.values.len() + param.lazy_shape().num_elements();
                self.values.resize(len, 0.0);
            }
        }
    }
}

/// Distributes gradients.
struct Writer<'a> {
    /// Values not used yet.
    values: &'a [f32],
    gradients: GradientsParams,
    complete: bool,
}

impl ModuleVisitor for Writer<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !param.is_require_grad() {
            return;
        }
        let old = param.val();
        let shape = old.shape();
        match take(&mut self.values, shape.num_elements(), &old.device()) {
            Some(flat) => self.gradients.register::<D>(param.id, flat.reshape(shape)),
            None => self.complete = false,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;
    use crate::{
        nn::{BatchNorm2d, Linear},
        state,
    };

    /// Two images of one channel with one pixel each per shard: 0 and 2, 4 and 10. Their means are 1
    /// and 7, their unbiased variances 2 and 18; momentum is 0.1.
    #[test]
    fn running_statistics_are_means_of_the_shards() {
        let device = Device::flex().autodiff();
        let model = BatchNorm2d::new(1, &device);
        let mut sum = Vec::new();
        for values in [[0.0_f32, 2.0], [4.0, 10.0]] {
            let fork = state::fork(&model);
            let data = TensorData::new(values.to_vec(), [2, 1, 1, 1]);
            let loss = fork.forward(Tensor::<4>::from_data(data, &device)).sum();
            let gradients = GradientsParams::from_grads(loss.backward(), &fork);
            add(&mut sum, &contribution(&fork, &gradients), 2.0);
        }
        scale(&mut sum, 0.25);
        let (model, gradients) = combined(model, &sum).unwrap();
        let tensors = state::weights(&model);
        for (name, expected) in [("running_mean", 0.4), ("running_var", 0.9 + 0.1 * 10.0)] {
            let found: Vec<f32> = tensors[name].iter::<f32>().collect();
            assert!((found[0] - expected).abs() < 1e-6, "{name}: {found:?}");
        }
        // The sum of normalised values does not depend on the weight.
        assert_eq!(gradients.len(), 2);
    }

    #[test]
    fn another_length_is_an_error() {
        let device = Device::flex().autodiff();
        let model = Linear::new(2, 1, &mut crate::rng(1), &device);
        for len in [0, 2, 4] {
            let error = combined(model.clone(), &vec![0.0; len]).unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains(&len.to_string()) && text.contains('3'),
                "{text}"
            );
        }
    }

    #[test]
    fn a_frozen_parameter_contributes_nothing() {
        let device = Device::flex().autodiff();
        let model = Linear::new(2, 1, &mut crate::rng(1), &device);
        let model = state::freeze(model, |path, _| path == "weight");
        let none = GradientsParams::new();
        assert_eq!(contribution(&model, &none), [0.0]);
        let (_, gradients) = combined(model, &[5.0]).unwrap();
        assert_eq!(gradients.len(), 1);
    }
}
