use burn::{
    module::{Flag, Module, Param, RunningState},
    tensor::{
        Device, Tensor, TensorData,
        module::{batch_norm, batch_norm_train},
    },
};

use super::{epilogue::Epilogue, init::filled};
use crate::cpu::{self, Activation, GhostBatches, Normalised};

/// Batch normalisation over `[batch, channels, height, width]` (Ioffe & Szegedy 2015), like
/// PyTorch's `BatchNorm2d`.
///
/// **Training** (on a device with autodiff, not frozen): each channel is normalised by its mean and
/// *biased* variance over batch, height and width. The running statistics advance by
/// `running = 0.9 running + 0.1 batch`, where `running_var` takes the *unbiased* variance (divided
/// by count - 1). Epsilon is 1e-5. [`NormShape`] has other values.
///
/// **Evaluation**: the running statistics normalise. The same holds for a frozen module
/// ([`Module::freeze`](burn::module::Module::freeze)), through which gradients still pass.
///
/// **Ghost batches**: with [`ghost_batch`](Self::ghost_batch) above 0, training normalises each
/// group of that many consecutive images by its own statistics; the last group may be smaller. A
/// large batch then has the normalisation noise of a small one, as on the workers of Goyal et al.
/// ("Accurate, Large Minibatch SGD", 2017, section 4). The name is from Hoffer et al. ("Train
/// longer, generalize better", 2017, section 4). The running statistics take the mean over the
/// ghost batches, weighted by their number of images. A ghost batch with a single value per channel
/// has no unbiased variance and is left out of that of the running variance.
#[derive(Module, Debug)]
pub struct BatchNorm2d {
    /// Scale, `[channels]`. It stays 1 in a layer without scale, see [`NormShape::scale`].
    pub weight: Param<Tensor<1>>,
    /// Shift, `[channels]`.
    pub bias: Param<Tensor<1>>,
    /// Running mean, `[channels]`.
    pub running_mean: RunningState<Tensor<1>>,
    /// Running unbiased variance, `[channels]`.
    pub running_var: RunningState<Tensor<1>>,
    /// Number of images that are normalised together in training; 0 for the whole batch.
    pub ghost_batch: usize,
    /// Added to the variance before the square root.
    epsilon: f64,
    /// Weight of a new batch in the running statistics.
    momentum: f64,
    /// Whether the scale is trained.
    scale: bool,
    /// Whether the layer can train. A frozen layer evaluates on any device.
    pub training: Param<Flag>,
}

/// Shape and constants of a [`BatchNorm2d`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormShape {
    /// Number of channels.
    pub channels: usize,
    /// Added to the variance before the square root; above 0. PyTorch's `eps`, 1e-5 by default.
    pub epsilon: f64,
    /// Weight of a new batch in the running statistics, from 0 to 1. PyTorch's `momentum`, 0.1 by
    /// default.
    pub momentum: f64,
    /// Whether the scale is a trained parameter. Otherwise it is 1, has no gradient and no weight
    /// decay, and does not count as a parameter. It remains among the stored tensors, like a
    /// `weight` of PyTorch whose `requires_grad` is `False`.
    pub scale: bool,
}

impl NormShape {
    /// [`epsilon`](Self::epsilon) by default, as in PyTorch.
    pub const EPSILON: f64 = 1e-5;

    /// PyTorch's defaults.
    pub fn new(channels: usize) -> Self {
        NormShape {
            channels,
            epsilon: Self::EPSILON,
            momentum: 0.1,
            scale: true,
        }
    }
}

impl BatchNorm2d {
    /// Creates a layer with PyTorch's defaults: scale 1, shift 0, running mean 0 and running
    /// variance 1.
    pub fn new(channels: usize, device: &Device) -> Self {
        BatchNorm2d::with(NormShape::new(channels), device)
    }

    /// Creates a layer with other constants, or without scale.
    pub fn with(shape: NormShape, device: &Device) -> Self {
        let NormShape {
            channels,
            epsilon,
            momentum,
            scale,
        } = shape;
        let plain = device.clone().without_autodiff();
        let state = |tensor: Tensor<1>| {
            RunningState::new(if device.is_autodiff() {
                tensor.autodiff()
            } else {
                tensor
            })
        };
        BatchNorm2d {
            weight: filled(1.0, channels, device).set_require_grad(scale),
            bias: filled(0.0, channels, device),
            running_mean: state(Tensor::zeros([channels], &plain)),
            running_var: state(Tensor::ones([channels], &plain)),
            ghost_batch: 0,
            epsilon,
            momentum,
            scale,
            training: Param::from_bool(true),
        }
    }

    /// Normalises `[batch, channels, height, width]`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.apply(input, Epilogue::activation(Activation::Identity))
    }

    /// [`BatchNorm2d::forward`], then ReLU.
    pub fn forward_relu(&self, input: Tensor<4>) -> Tensor<4> {
        self.apply(input, Epilogue::activation(Activation::Relu))
    }

    /// [`BatchNorm2d::forward`], then [`relu6`](super::relu6).
    pub fn forward_relu6(&self, input: Tensor<4>) -> Tensor<4> {
        self.apply(input, Epilogue::activation(Activation::Relu6))
    }

    /// [`BatchNorm2d::forward`], then [`gelu`](super::gelu).
    pub fn forward_gelu(&self, input: Tensor<4>) -> Tensor<4> {
        self.apply(input, Epilogue::activation(Activation::Gelu))
    }

    /// Whether `input` is normalised by its own statistics.
    pub(super) fn trains(&self, input: &Tensor<4>) -> bool {
        input.device().is_autodiff() && self.training.is_enabled()
    }

    /// Running mean and variance, on the device with or without autodiff.
    pub(super) fn running(&self, autodiff: bool) -> [Tensor<1>; 2] {
        [&self.running_mean, &self.running_var].map(|state| {
            let plain = state.value_sync().without_autodiff();
            if autodiff { plain.autodiff() } else { plain }
        })
    }

    /// Scale and shift. A scale that is not trained has no gradient, even if
    /// [`Module::unfreeze`](burn::module::Module::unfreeze) has made it require one.
    pub(super) fn affine(&self) -> [Tensor<1>; 2] {
        let weight = self.weight.val();
        let weight = if self.scale { weight } else { weight.detach() };
        [weight, self.bias.val()]
    }

    /// Added to the variance before the square root.
    pub(super) fn epsilon(&self) -> f64 {
        self.epsilon
    }

    /// Settings of the CPU kernels.
    pub(super) fn options(&self, activation: Activation) -> cpu::NormOptions {
        cpu::NormOptions {
            epsilon: self.epsilon,
            activation,
        }
    }

    /// Normalises `[batch, channels, height, width]`, then adds and activates as `epilogue` says.
    pub(super) fn apply(&self, input: Tensor<4>, epilogue: Epilogue) -> Tensor<4> {
        if self.trains(&input) {
            return self.track(self.normalise(input, epilogue));
        }
        let autodiff = input.device().is_autodiff();
        let (affine, running) = (self.affine(), self.running(autodiff));
        if !autodiff && cpu::supports(&input) {
            let options = self.options(epilogue.activation);
            return cpu::batch_norm(input, affine, running, epilogue.residual, options);
        }
        let ([weight, bias], [mean, variance]) = (affine, running);
        epilogue.apply(batch_norm(
            input,
            weight,
            bias,
            mean,
            variance,
            self.epsilon,
        ))
    }

    /// Normalises each ghost batch by its own statistics.
    fn normalise(&self, input: Tensor<4>, epilogue: Epilogue) -> Normalised {
        if cpu::supports(&input) {
            let (ghost, options) = (self.ghost_batch, self.options(epilogue.activation));
            return cpu::batch_norm_train(input, self.affine(), epilogue.residual, ghost, options);
        }
        self.normalise_by_burn(input, epilogue)
    }

    /// [`normalise`](Self::normalise) by Burn's operations.
    pub(super) fn normalise_by_burn(&self, input: Tensor<4>, epilogue: Epilogue) -> Normalised {
        let sizes = self.ghost_sizes(input.dims()[0]);
        if let [_] = sizes[..] {
            let [weight, bias] = self.affine();
            let result = batch_norm_train(input, weight, bias, self.epsilon);
            return Normalised {
                output: epilogue.apply(result.output),
                mean: result.mean.unsqueeze(),
                variance: result.variance.unsqueeze(),
            };
        }
        let Epilogue {
            residual,
            activation,
        } = epilogue;
        let residuals: Vec<Option<Tensor<4>>> = match residual {
            None => vec![None; sizes.len()],
            Some(residual) => {
                let parts = residual.split(self.ghost_batch, 0);
                parts.into_iter().map(Some).collect()
            }
        };
        let parts = input.split(self.ghost_batch, 0).into_iter().zip(residuals);
        let parts: Vec<Normalised> = parts
            .map(|(input, residual)| {
                let epilogue = Epilogue {
                    residual,
                    activation,
                };
                self.normalise_by_burn(input, epilogue)
            })
            .collect();
        let (mut outputs, mut means, mut variances) = (vec![], vec![], vec![]);
        for part in parts {
            outputs.push(part.output);
            means.push(part.mean);
            variances.push(part.variance);
        }
        Normalised {
            output: Tensor::cat(outputs, 0),
            mean: Tensor::cat(means, 0),
            variance: Tensor::cat(variances, 0),
        }
    }

    /// Number of images of each ghost batch of a training batch.
    fn ghost_sizes(&self, batch: usize) -> Vec<usize> {
        let ghosts = GhostBatches::new(batch, self.ghost_batch);
        ghosts.iter().map(|images| images.len()).collect()
    }

    /// Advances the running statistics by means and unbiased variances, averaged over the ghost
    /// batches with their images as weights. Returns the output.
    pub(super) fn track(&self, normalised: Normalised) -> Tensor<4> {
        let Normalised {
            output,
            mean,
            variance,
        } = normalised;
        let [batch, channels, height, width] = output.dims();
        let (mean, variance) = (mean.detach(), variance.detach());
        let sizes = self.ghost_sizes(batch);
        if let [images] = sizes[..] {
            self.advance(&self.running_mean, mean.reshape([channels]));
            // The unbiased variance of a single value per channel is undefined. PyTorch raises an
            // error; here the running variance keeps its value.
            if let Some(factor) = unbiased((images * height * width) as f64) {
                self.advance(&self.running_var, variance.reshape([channels]) * factor);
            }
            return output;
        }
        let weighted_sum = |values: Tensor<2>, weights: Vec<f64>| {
            let data = TensorData::new(weights, [sizes.len(), 1]);
            let weights = Tensor::<2>::from_data(data, (&values.device(), values.dtype()));
            (values * weights).sum_dim(0).reshape([channels])
        };
        let weights = sizes.iter().map(|images| *images as f64 / batch as f64);
        self.advance(&self.running_mean, weighted_sum(mean, weights.collect()));
        // A single value per channel, only possible in the last ghost batch, has no unbiased
        // variance. The mean is then over the other ghost batches.
        let correction = |images: &usize| unbiased((images * height * width) as f64);
        let with_variance: usize = sizes.iter().filter(|size| correction(size).is_some()).sum();
        if with_variance > 0 {
            let weights = sizes.iter().map(|images| {
                let weight = *images as f64 / with_variance as f64;
                correction(images).map_or(0.0, |factor| weight * factor)
            });
            let variance = weighted_sum(variance, weights.collect());
            self.advance(&self.running_var, variance);
        }
        output
    }

    /// `running = (1 - momentum) running + momentum batch`.
    fn advance(&self, running: &RunningState<Tensor<1>>, batch: Tensor<1>) {
        let old = running.value_sync();
        let new = old * (1.0 - self.momentum) + batch * self.momentum;
        running.update(new.detach());
        // Burn applies an update only when the state is read or updated next. Read it now, so that
        // no copy is stale.
        running.value_sync();
    }
}

/// Bessel's correction `n / (n - 1)` for `n = count`; `None` for a single value.
fn unbiased(count: f64) -> Option<f64> {
    (count > 1.0).then(|| count / (count - 1.0))
}

#[cfg(test)]
mod tests;
