use burn::{
    module::{Flag, Module, Param, RunningState},
    tensor::{
        Device, Tensor, TensorData,
        module::{batch_norm, batch_norm_train},
    },
};

use super::{epilogue::Epilogue, init::filled};
use crate::cpu::{self, GhostBatches, Normalised};

/// Added to the variance before the square root.
pub(super) const EPSILON: f64 = 1e-5;
/// Weight of a new batch in the running statistics.
const MOMENTUM: f64 = 0.1;

/// Settings of the CPU kernels.
pub(super) fn options(relu: bool) -> cpu::NormOptions {
    cpu::NormOptions {
        epsilon: EPSILON,
        relu,
    }
}

/// Batch normalisation over `[batch, channels, height, width]` (Ioffe & Szegedy 2015), like
/// PyTorch's `BatchNorm2d`.
///
/// **Training** (on a device with autodiff, not frozen): each channel is normalised by its mean and
/// *biased* variance over batch, height and width. The running statistics advance by
/// `running = 0.9 running + 0.1 batch`, where `running_var` takes the *unbiased* variance (divided
/// by count - 1). Epsilon is 1e-5.
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
    /// Scale, `[channels]`.
    pub weight: Param<Tensor<1>>,
    /// Shift, `[channels]`.
    pub bias: Param<Tensor<1>>,
    /// Running mean, `[channels]`.
    pub running_mean: RunningState<Tensor<1>>,
    /// Running unbiased variance, `[channels]`.
    pub running_var: RunningState<Tensor<1>>,
    /// Number of images that are normalised together in training; 0 for the whole batch.
    pub ghost_batch: usize,
    /// Whether the layer can train. A frozen layer evaluates on any device.
    pub training: Param<Flag>,
}

impl BatchNorm2d {
    /// Creates a layer with scale 1, shift 0, running mean 0 and running variance 1.
    pub fn new(channels: usize, device: &Device) -> Self {
        let plain = device.clone().without_autodiff();
        let state = |tensor: Tensor<1>| {
            RunningState::new(if device.is_autodiff() {
                tensor.autodiff()
            } else {
                tensor
            })
        };
        BatchNorm2d {
            weight: filled(1.0, channels, device),
            bias: filled(0.0, channels, device),
            running_mean: state(Tensor::zeros([channels], &plain)),
            running_var: state(Tensor::ones([channels], &plain)),
            ghost_batch: 0,
            training: Param::from_bool(true),
        }
    }

    /// Normalises `[batch, channels, height, width]`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.apply(input, Epilogue::none())
    }

    /// [`BatchNorm2d::forward`], then ReLU.
    pub fn forward_relu(&self, input: Tensor<4>) -> Tensor<4> {
        self.apply(input, Epilogue::relu())
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

    /// Scale and shift.
    pub(super) fn affine(&self) -> [Tensor<1>; 2] {
        [self.weight.val(), self.bias.val()]
    }

    /// Normalises `[batch, channels, height, width]`, then adds and activates as `epilogue` says.
    pub(super) fn apply(&self, input: Tensor<4>, epilogue: Epilogue) -> Tensor<4> {
        if self.trains(&input) {
            return self.track(self.normalise(input, epilogue));
        }
        let autodiff = input.device().is_autodiff();
        let (affine, running) = (self.affine(), self.running(autodiff));
        if !autodiff && cpu::supports(&input) {
            let Epilogue { residual, relu } = epilogue;
            return cpu::batch_norm(input, affine, running, residual, options(relu));
        }
        let ([weight, bias], [mean, variance]) = (affine, running);
        epilogue.apply(batch_norm(input, weight, bias, mean, variance, EPSILON))
    }

    /// Normalises each ghost batch by its own statistics.
    fn normalise(&self, input: Tensor<4>, epilogue: Epilogue) -> Normalised {
        if cpu::supports(&input) {
            let Epilogue { residual, relu } = epilogue;
            let ghost = self.ghost_batch;
            return cpu::batch_norm_train(input, self.affine(), residual, ghost, options(relu));
        }
        self.normalise_by_burn(input, epilogue)
    }

    /// [`normalise`](Self::normalise) by Burn's operations.
    pub(super) fn normalise_by_burn(&self, input: Tensor<4>, epilogue: Epilogue) -> Normalised {
        let sizes = self.ghost_sizes(input.dims()[0]);
        if let [_] = sizes[..] {
            let [weight, bias] = self.affine();
            let result = batch_norm_train(input, weight, bias, EPSILON);
            return Normalised {
                output: epilogue.apply(result.output),
                mean: result.mean.unsqueeze(),
                variance: result.variance.unsqueeze(),
            };
        }
        let Epilogue { residual, relu } = epilogue;
        let residuals: Vec<Option<Tensor<4>>> = match residual {
            None => vec![None; sizes.len()],
            Some(residual) => {
                let parts = residual.split(self.ghost_batch, 0);
                parts.into_iter().map(Some).collect()
            }
        };
        let parts = input.split(self.ghost_batch, 0).into_iter().zip(residuals);
        let parts: Vec<Normalised> = parts
            .map(|(input, residual)| self.normalise_by_burn(input, Epilogue { residual, relu }))
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
            advance(&self.running_mean, mean.reshape([channels]));
            // The unbiased variance of a single value per channel is undefined. PyTorch raises an
            // error; here the running variance keeps its value.
            if let Some(factor) = unbiased((images * height * width) as f64) {
                advance(&self.running_var, variance.reshape([channels]) * factor);
            }
            return output;
        }
        let weighted_sum = |values: Tensor<2>, weights: Vec<f64>| {
            let data = TensorData::new(weights, [sizes.len(), 1]);
            let weights = Tensor::<2>::from_data(data, (&values.device(), values.dtype()));
            (values * weights).sum_dim(0).reshape([channels])
        };
        let weights = sizes.iter().map(|images| *images as f64 / batch as f64);
        advance(&self.running_mean, weighted_sum(mean, weights.collect()));
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
            advance(&self.running_var, variance);
        }
        output
    }
}

/// Bessel's correction `n / (n - 1)` for `n = count`; `None` for a single value.
fn unbiased(count: f64) -> Option<f64> {
    (count > 1.0).then(|| count / (count - 1.0))
}

/// `running = 0.9 running + 0.1 batch`.
fn advance(running: &RunningState<Tensor<1>>, batch: Tensor<1>) {
    let old = running.value_sync();
    running.update((old * (1.0 - MOMENTUM) + batch * MOMENTUM).detach());
    // Burn applies an update only when the state is read or updated next. Read it now, so that no
    // copy is stale.
    running.value_sync();
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::DType;

    /// The channel holds 1, 2, 3, 6: mean 3, biased variance 3.5, unbiased variance 14/3.
    #[test]
    fn statistics_are_those_of_pytorch() {
        let device = Device::flex().autodiff();
        let norm = BatchNorm2d::new(1, &device);
        let input = Tensor::<4>::from_data([[[[1.0, 2.0], [3.0, 6.0]]]], &device);
        let output = norm.forward(input).into_data();
        let root = (3.5f64 + 1e-5).sqrt();
        for (got, value) in output.iter::<f64>().zip([1.0, 2.0, 3.0, 6.0]) {
            assert!((got - (value - 3.0) / root).abs() < 1e-6);
        }
        let read = |state: &RunningState<Tensor<1>>| -> f64 {
            state.value().into_data().iter::<f64>().sum()
        };
        assert!((read(&norm.running_mean) - 0.3).abs() < 1e-6);
        assert!((read(&norm.running_var) - (0.9 + 0.1 * 14.0 / 3.0)).abs() < 1e-6);
    }

    #[test]
    fn evaluation_uses_running_statistics() {
        let norm = BatchNorm2d::new(2, &Device::flex());
        let values = vec![0.5f32, -1.0, 2.0, 4.0];
        let input = Tensor::<4>::from_data(
            TensorData::new(values.clone(), [1, 2, 1, 2]),
            &Device::flex(),
        );
        // Mean 0 and variance 1: only epsilon has an effect.
        for (got, value) in norm.forward(input).into_data().iter::<f64>().zip(values) {
            assert!((got - f64::from(value) / (1.0f64 + 1e-5).sqrt()).abs() < 1e-6);
        }
    }

    /// Five images in ghost batches of two: outputs and gradients equal those of three layers that
    /// get two, two and one of the images. The running statistics are the weighted mean of theirs.
    #[test]
    fn ghost_batches_are_normalised_separately() {
        let device = Device::flex().autodiff();
        let values: Vec<f32> = (0..5 * 2 * 3 * 3)
            .map(|i| ((i * 37 % 101) as f32 - 50.0) / 25.0)
            .collect();
        let images = |range: std::ops::Range<usize>| {
            let part = values[range.start * 18..range.end * 18].to_vec();
            let data = TensorData::new(part, [range.len(), 2, 3, 3]);
            Tensor::<4>::from_data(data, &device).require_grad()
        };
        // Weights that differ, so that gradients do not cancel.
        let loss = |output: Tensor<4>| (output.clone() * output.clone() * output).sum();
        let read = |tensor: Tensor<4>| tensor.into_data().iter::<f64>().collect::<Vec<_>>();
        let state = |state: &RunningState<Tensor<1>>| {
            let data = state.value().into_data();
            data.iter::<f64>().collect::<Vec<_>>()
        };

        for (with_relu, by_burn) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut ghosts = BatchNorm2d::new(2, &device);
            ghosts.ghost_batch = 2;
            let whole = images(0..5);
            let epilogue = |residual: &Tensor<4>| Epilogue {
                residual: Some(residual.clone()),
                relu: with_relu,
            };
            let output = match by_burn {
                false => ghosts.apply(whole.clone(), epilogue(&whole)),
                true => ghosts.track(ghosts.normalise_by_burn(whole.clone(), epilogue(&whole))),
            };
            let grads = loss(output.clone()).backward();
            let (got, got_grad) = (read(output), read(whole.grad(&grads).expect("a gradient")));

            let (mut known, mut known_grad) = (vec![], vec![]);
            let (mut mean, mut variance) = ([0.0; 2], [0.0; 2]);
            for range in [0..2, 2..4, 4..5] {
                let norm = BatchNorm2d::new(2, &device);
                let share = range.len() as f64 / 5.0;
                let part = images(range);
                let output = norm.apply(part.clone(), epilogue(&part));
                let grads = loss(output.clone()).backward();
                known.extend(read(output));
                known_grad.extend(read(part.grad(&grads).expect("a gradient")));
                for c in 0..2 {
                    mean[c] += share * state(&norm.running_mean)[c];
                    variance[c] += share * state(&norm.running_var)[c];
                }
            }
            let pairs = [
                (got, known),
                (got_grad, known_grad),
                (state(&ghosts.running_mean), mean.to_vec()),
                (state(&ghosts.running_var), variance.to_vec()),
            ];
            for (got, known) in pairs {
                assert_eq!(got.len(), known.len());
                for (got, known) in got.iter().zip(&known) {
                    // Burn's operations round differently from the kernels, which compute the
                    // expected values.
                    let most = if by_burn {
                        1e-5 * known.abs().max(1.0)
                    } else {
                        1e-5
                    };
                    assert!((got - known).abs() < most, "{got} for {known}");
                }
            }
        }
    }

    /// Three images of one pixel in ghost batches of two, in single and double precision. The last
    /// ghost batch has one value, so the running variance takes only that of the first: 8.
    #[test]
    fn a_ghost_batch_of_one_value_is_left_out_of_the_running_variance() {
        let device = Device::flex().autodiff();
        for dtype in [DType::F32, DType::F64] {
            let one =
                |value: f64| Tensor::<1>::from_data(TensorData::from([value]), (&device, dtype));
            let norm = BatchNorm2d {
                weight: Param::from_tensor(one(1.0)),
                bias: Param::from_tensor(one(0.0)),
                running_mean: RunningState::new(one(0.0)),
                running_var: RunningState::new(one(1.0)),
                ghost_batch: 2,
                training: Param::from_bool(true),
            };
            let data = TensorData::from([[[[1.0f64]]], [[[5.0]]], [[[9.0]]]]);
            let output = norm.forward(Tensor::from_data(data, (&device, dtype)));
            assert_eq!(output.dtype(), dtype);
            let read = |state: &RunningState<Tensor<1>>| -> f64 {
                state.value().into_data().iter::<f64>().sum()
            };
            // Mean (2 · 3 + 9) / 3 = 5.
            assert!((read(&norm.running_mean) - 0.5).abs() < 1e-6);
            let variance = read(&norm.running_var);
            assert!((variance - (0.9 + 0.1 * 8.0)).abs() < 1e-6, "{variance}");
        }
    }

    #[test]
    fn ghost_batches_of_one_value_keep_the_running_variance() {
        let device = Device::flex().autodiff();
        let mut norm = BatchNorm2d::new(1, &device);
        norm.ghost_batch = 1;
        norm.forward(Tensor::<4>::from_data([[[[5.0]]], [[[7.0]]]], &device));
        let variance: Vec<f64> = norm.running_var.value().into_data().iter::<f64>().collect();
        assert_eq!(variance, [1.0]);
    }

    #[test]
    fn a_single_value_per_channel_keeps_the_running_variance() {
        let device = Device::flex().autodiff();
        let norm = BatchNorm2d::new(1, &device);
        norm.forward(Tensor::<4>::from_data([[[[5.0]]]], &device));
        let variance: Vec<f64> = norm.running_var.value().into_data().iter::<f64>().collect();
        assert_eq!(variance, [1.0]);
    }
}
