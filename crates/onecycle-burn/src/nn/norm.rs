use burn::{
    module::{Flag, Module, Param, RunningState},
    tensor::{
        Device, Tensor, TensorData,
        activation::relu,
        module::{batch_norm, batch_norm_train},
    },
};

use super::{Conv2d, add, init::filled};
use crate::cpu::{self, GhostBatches, Normalised};

/// Added to the variance under the root.
const EPSILON: f64 = 1e-5;

fn options(relu: bool) -> cpu::NormOptions {
    cpu::NormOptions {
        epsilon: EPSILON,
        relu,
    }
}
/// Weight of a new batch in the running statistics.
const MOMENTUM: f64 = 0.1;

/// Batch normalisation over `[batch, channels, height, width]` (Ioffe & Szegedy 2015), as PyTorch's `BatchNorm2d`.
///
/// In training (on a device with autodiff, and not frozen) each channel is normalised by the mean and the *biased* variance of the
/// batch over batch, height and width; `running = 0.9 running + 0.1 batch`, where the *unbiased* variance
/// (divided by count - 1) enters `running_var`. In evaluation the running statistics normalise; so they do in a frozen
/// module ([`Module::freeze`](burn::module::Module::freeze)), through which gradients still pass. Epsilon is 1e-5.
///
/// **Ghost batches.** With [`ghost_batch`](Self::ghost_batch) above 0, each run of so many images of a batch is normalised by
/// its own statistics in training, as the workers of Goyal et al. do ("Accurate, Large Minibatch SGD", 2017, section 4; the
/// name is Hoffer et al.'s, "Train longer, generalize better", 2017, section 4): a large batch then has the noise of a small
/// one in its normalisation. Its last run may be shorter. The means over the runs, weighted by their images, enter the
/// running statistics.
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
    /// Images that are normalised together in training, 0 for the whole batch.
    pub ghost_batch: usize,
    /// Whether it may train at all; a frozen one evaluates on any device.
    pub training: Param<Flag>,
}

impl BatchNorm2d {
    /// Scale 1, shift 0, running mean 0 and variance 1.
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
        self.apply(input, None, false)
    }

    /// [`BatchNorm2d::forward`], then ReLU.
    pub fn forward_relu(&self, input: Tensor<4>) -> Tensor<4> {
        self.apply(input, None, true)
    }

    /// `forward(conv.forward(input))`, and ReLU where asked for, after adding `residual` where there is one: the layers of a
    /// residual network (He et al. 2016). On the CPU the two layers share their walks over memory.
    pub fn forward_after(
        &self,
        conv: &Conv2d,
        input: Tensor<4>,
        residual: Option<Tensor<4>>,
        with_relu: bool,
    ) -> Tensor<4> {
        let on_the_cpu = cpu::supports(&input);
        if self.trains(&input) {
            if let (true, Some((kernel, window))) = (on_the_cpu, conv.kernel()) {
                return self.take_in(cpu::conv_norm_train(
                    input,
                    kernel,
                    [self.weight.val(), self.bias.val()],
                    residual,
                    cpu::ConvNormOptions {
                        window,
                        ghost: self.ghost_batch,
                        norm: options(with_relu),
                    },
                ));
            }
        } else if on_the_cpu && (residual.is_none() || input.device().is_autodiff()) {
            // A residual would cost walks of its own, which the kernel without gradients spares.
            return self.folded(conv, input, residual, with_relu);
        }
        self.apply(conv.forward(input), residual, with_relu)
    }

    /// Whether the batch's own statistics normalise this input.
    fn trains(&self, input: &Tensor<4>) -> bool {
        input.device().is_autodiff() && self.training.is_enabled()
    }

    /// Running mean and variance, on the device of a gradient or on the plain one.
    fn running(&self, autodiff: bool) -> [Tensor<1>; 2] {
        [&self.running_mean, &self.running_var].map(|state| {
            let plain = state.value_sync().without_autodiff();
            if autodiff { plain.autodiff() } else { plain }
        })
    }

    /// Evaluation on the CPU: normalising by fixed statistics is a scale and a shift of each channel, which
    /// the convolution takes into its weights and its bias.
    fn folded(
        &self,
        conv: &Conv2d,
        input: Tensor<4>,
        residual: Option<Tensor<4>>,
        with_relu: bool,
    ) -> Tensor<4> {
        let [mean, variance] = self.running(input.device().is_autodiff());
        let scale = self.weight.val() / (variance + EPSILON).sqrt();
        let shift = self.bias.val() - mean * scale.clone();
        match residual {
            None => conv.forward_scaled(input, scale, shift, with_relu),
            Some(residual) => {
                let sum = add(conv.forward_scaled(input, scale, shift, false), residual);
                if with_relu { relu(sum) } else { sum }
            }
        }
    }

    fn apply(&self, input: Tensor<4>, residual: Option<Tensor<4>>, with_relu: bool) -> Tensor<4> {
        let affine = [self.weight.val(), self.bias.val()];
        if !self.trains(&input) {
            let autodiff = input.device().is_autodiff();
            let running = self.running(autodiff);
            if !autodiff && cpu::supports(&input) {
                return cpu::batch_norm(input, affine, running, residual, options(with_relu));
            }
            let ([weight, bias], [mean, variance]) = (affine, running);
            let output = batch_norm(input, weight, bias, mean, variance, EPSILON);
            return finish(output, residual, with_relu);
        }
        self.take_in(self.normalise(input, residual, with_relu))
    }

    /// Normalises `[batch, channels, height, width]`, each run of images by its own statistics.
    fn normalise(
        &self,
        input: Tensor<4>,
        residual: Option<Tensor<4>>,
        with_relu: bool,
    ) -> Normalised {
        if cpu::supports(&input) {
            let affine = [self.weight.val(), self.bias.val()];
            let ghost = self.ghost_batch;
            return cpu::batch_norm_train(input, affine, residual, ghost, options(with_relu));
        }
        self.normalise_by_burn(input, residual, with_relu)
    }

    /// The same by Burn's operations.
    fn normalise_by_burn(
        &self,
        input: Tensor<4>,
        residual: Option<Tensor<4>>,
        with_relu: bool,
    ) -> Normalised {
        let runs = self.runs(input.dims()[0]);
        if let [_] = runs[..] {
            let [weight, bias] = [self.weight.val(), self.bias.val()];
            let result = batch_norm_train(input, weight, bias, EPSILON);
            return Normalised {
                output: finish(result.output, residual, with_relu),
                mean: result.mean.unsqueeze(),
                variance: result.variance.unsqueeze(),
            };
        }
        let residuals: Vec<Option<Tensor<4>>> = match residual {
            None => vec![None; runs.len()],
            Some(residual) => {
                let parts = residual.split(self.ghost_batch, 0);
                parts.into_iter().map(Some).collect()
            }
        };
        let parts = input.split(self.ghost_batch, 0).into_iter().zip(residuals);
        let parts: Vec<Normalised> = parts
            .map(|(run, residual)| self.normalise_by_burn(run, residual, with_relu))
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

    /// Images of each run of a training batch.
    fn runs(&self, batch: usize) -> Vec<usize> {
        let runs = GhostBatches::new(batch, self.ghost_batch);
        runs.iter().map(|images| images.len()).collect()
    }

    /// Takes the means and the unbiased variances, of several runs their means weighted by images, into the running
    /// statistics, and hands the output on.
    fn take_in(&self, normalised: Normalised) -> Tensor<4> {
        let Normalised {
            output,
            mean,
            variance,
        } = normalised;
        let [batch, channels, height, width] = output.dims();
        let (mean, variance) = (mean.detach(), variance.detach());
        let runs = self.runs(batch);
        if let [images] = runs[..] {
            advance(&self.running_mean, mean.reshape([channels]));
            // One value a channel has no spread; PyTorch refuses it, here the running variance keeps its value.
            if let Some(factor) = unbiased((images * height * width) as f64) {
                advance(&self.running_var, variance.reshape([channels]) * factor);
            }
            return output;
        }
        let mean_over_runs = |values: Tensor<2>, factor: &dyn Fn(f64) -> f64| {
            let factors = runs.iter().map(|images| {
                let count = (images * height * width) as f64;
                (*images as f64 / batch as f64 * factor(count)) as f32
            });
            let data = TensorData::new(factors.collect::<Vec<_>>(), [runs.len(), 1]);
            let factors = Tensor::<2>::from_data(data, &values.device());
            (values * factors).sum_dim(0).reshape([channels])
        };
        advance(&self.running_mean, mean_over_runs(mean, &|_| 1.0));
        let variance = mean_over_runs(variance, &|count| unbiased(count).unwrap_or(1.0));
        advance(&self.running_var, variance);
        output
    }
}

/// What makes the biased variance of `count` values the unbiased one; none of a single value.
fn unbiased(count: f64) -> Option<f64> {
    (count > 1.0).then(|| count / (count - 1.0))
}

/// What follows the normalisation.
fn finish(output: Tensor<4>, residual: Option<Tensor<4>>, with_relu: bool) -> Tensor<4> {
    let output = match residual {
        Some(residual) => output + residual,
        None => output,
    };
    if with_relu { relu(output) } else { output }
}

/// `running = 0.9 running + 0.1 batch`.
fn advance(running: &RunningState<Tensor<1>>, batch: Tensor<1>) {
    let old = running.value_sync();
    running.update((old * (1.0 - MOMENTUM) + batch * MOMENTUM).detach());
    // Burn takes an update over at the next one; taken over at once, no reader sees a stale value.
    running.value_sync();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Conv2dShape, Init};
    use rand_chacha::rand_core::SeedableRng;

    /// Channel 0 holds 1, 2, 3, 6: mean 3, biased variance 3.5, unbiased 14/3.
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
        // Mean 0 and variance 1: only epsilon changes anything.
        for (got, value) in norm.forward(input).into_data().iter::<f64>().zip(values) {
            assert!((got - f64::from(value) / (1.0f64 + 1e-5).sqrt()).abs() < 1e-6);
        }
    }

    /// Five images in runs of two: outputs and gradients are those of three layers that see two, two and one of them, the
    /// running statistics their weighted mean.
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
            let output = match by_burn {
                false => ghosts.apply(whole.clone(), Some(whole.clone()), with_relu),
                true => ghosts.take_in(ghosts.normalise_by_burn(
                    whole.clone(),
                    Some(whole.clone()),
                    with_relu,
                )),
            };
            let grads = loss(output.clone()).backward();
            let (got, got_grad) = (read(output), read(whole.grad(&grads).expect("a gradient")));

            let (mut known, mut known_grad) = (vec![], vec![]);
            let (mut mean, mut variance) = ([0.0; 2], [0.0; 2]);
            for range in [0..2, 2..4, 4..5] {
                let norm = BatchNorm2d::new(2, &device);
                let share = range.len() as f64 / 5.0;
                let part = images(range);
                let output = norm.apply(part.clone(), Some(part.clone()), with_relu);
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
                    // Burn's operations round otherwise than the kernels that the parts run through.
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

    /// Convolution and batch norm in one, over whole batches and ghosts, are what Burn's own operations make of them.
    #[test]
    fn behind_a_convolution_ghosts_are_those_of_burn() {
        let device = Device::flex().autodiff();
        let read = |tensor: Tensor<4>| tensor.into_data().iter::<f64>().collect::<Vec<_>>();
        // Direct, by Winograd's algorithm, and with a stride.
        for (channels, size, stride) in [(3, 5, 1), (16, 8, 1), (16, 8, 2)] {
            for (ghost, with_residual) in [(0, true), (2, false), (2, true), (7, false)] {
                let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
                let shape = Conv2dShape {
                    stride,
                    ..Conv2dShape::same(channels, channels, 3)
                };
                let conv = Conv2d::new(shape, Init::KaimingFanOut, &mut rng, &device);
                let values: Vec<f32> = (0..5 * channels * size * size)
                    .map(|i| ((i * 37 % 101) as f32 - 50.0) / 25.0)
                    .collect();
                let run = |fused: bool| {
                    let mut norm = BatchNorm2d::new(channels, &device);
                    norm.ghost_batch = ghost;
                    let data = TensorData::new(values.clone(), [5, channels, size, size]);
                    let x = Tensor::<4>::from_data(data, &device).require_grad();
                    let residual = with_residual.then(|| conv.forward(x.clone()).detach() * 0.5);
                    let output = if fused {
                        norm.forward_after(&conv, x.clone(), residual, true)
                    } else {
                        norm.take_in(norm.normalise_by_burn(
                            conv.forward(x.clone()),
                            residual,
                            true,
                        ))
                    };
                    let grads = (output.clone() * output.clone()).sum().backward();
                    let mut numbers = read(output);
                    numbers.extend(read(x.grad(&grads).expect("a gradient")));
                    numbers.extend(read(conv.weight.val().grad(&grads).expect("a gradient")));
                    for values in [&norm.weight, &norm.bias] {
                        let gradient = values.val().grad(&grads).expect("a gradient");
                        numbers.extend(gradient.into_data().iter::<f64>());
                    }
                    for state in [&norm.running_mean, &norm.running_var] {
                        numbers.extend(state.value().into_data().iter::<f64>());
                    }
                    numbers
                };
                let (got, known) = (run(true), run(false));
                assert_eq!(got.len(), known.len());
                let largest = known.iter().fold(0f64, |largest, v| largest.max(v.abs()));
                for (got, known) in got.iter().zip(&known) {
                    let what = format!("{channels} channels, stride {stride}, ghost {ghost}");
                    assert!(
                        (got - known).abs() < 1e-5 * largest,
                        "{what}: {got} for {known}"
                    );
                }
            }
        }
    }

    /// A frozen layer computes what an evaluated one does, folded into the convolution or not, and changes no statistics.
    #[test]
    fn frozen_evaluates_with_gradients() {
        let device = Device::flex().autodiff();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let shape = Conv2dShape::same(2, 3, 3).with_bias();
        for shape in [
            shape,
            Conv2dShape {
                bias: false,
                ..shape
            },
        ] {
            let conv = Conv2d::new(shape, Init::KaimingFanOut, &mut rng, &device);
            let norm = BatchNorm2d::new(3, &device);
            let values: Vec<f32> = (0..2 * 2 * 25).map(|i| (i as f32 * 0.7).sin()).collect();
            let data = TensorData::new(values, [2, 2, 5, 5]);
            let input = Tensor::<4>::from_data(data.clone(), &device);
            // Statistics that are neither the first ones nor the batch's.
            norm.forward(conv.forward(input.clone()) * 3.0 + 1.0);
            let (frozen, plain) = (norm.clone().freeze(), norm.valid());
            let plain_input = Tensor::<4>::from_data(data, &Device::flex());
            let expected = plain.forward_relu(conv.valid().forward(plain_input));
            let read = |t: Tensor<4>| t.into_data().iter::<f64>().collect::<Vec<f64>>();
            let expected = read(expected);
            let residual = conv.forward(input.clone()) * 0.0;
            for output in [
                frozen.forward_after(&conv, input.clone(), None, true),
                frozen.forward_after(&conv, input.clone(), Some(residual), true),
                frozen.forward_relu(conv.forward(input.clone())),
            ] {
                for (got, expected) in read(output.clone()).iter().zip(&expected) {
                    assert!((got - expected).abs() < 1e-5, "{got} for {expected}");
                }
                let grads = output.sum().backward();
                assert!(conv.weight.val().grad(&grads).is_some());
            }
            let variance = |norm: &BatchNorm2d| norm.running_var.value_sync().into_data();
            assert_eq!(variance(&frozen), variance(&plain));
        }
    }

    #[test]
    fn a_single_value_a_channel_leaves_the_variance() {
        let device = Device::flex().autodiff();
        let norm = BatchNorm2d::new(1, &device);
        norm.forward(Tensor::<4>::from_data([[[[5.0]]]], &device));
        let variance: Vec<f64> = norm.running_var.value().into_data().iter::<f64>().collect();
        assert_eq!(variance, [1.0]);
    }
}
