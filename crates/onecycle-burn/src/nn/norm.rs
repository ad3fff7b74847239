use burn::{
    module::{Flag, Module, Param, RunningState},
    tensor::{
        Device, Tensor,
        activation::relu,
        module::{batch_norm, batch_norm_train},
    },
};

use super::{Conv2d, add, init::filled};
use crate::cpu;

/// Added to the variance under the root.
const EPSILON: f64 = 1e-5;
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
        let on_the_cpu = input.device().is_autodiff() && cpu::runs(&input);
        if on_the_cpu && !self.trains(&input) {
            return self.folded(conv, input, residual, with_relu);
        }
        let fused = on_the_cpu && !self.has_ghosts(&input);
        if let (true, Some((kernel, window))) = (fused, conv.kernel()) {
            let (output, mean, variance) = cpu::conv_norm_train(
                input,
                kernel,
                window,
                [self.weight.val(), self.bias.val()],
                residual,
                EPSILON,
                with_relu,
            );
            self.advance(&output, mean, variance);
            return output;
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

    /// Evaluation with gradients on the CPU: normalising by fixed statistics is a scale and a shift of each channel, which
    /// the convolution takes into its weights and its bias.
    fn folded(
        &self,
        conv: &Conv2d,
        input: Tensor<4>,
        residual: Option<Tensor<4>>,
        with_relu: bool,
    ) -> Tensor<4> {
        let [mean, variance] = self.running(true);
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
            if !autodiff && cpu::runs(&input) {
                return cpu::batch_norm(input, affine, running, residual, EPSILON, with_relu);
            }
            let ([weight, bias], [mean, variance]) = (affine, running);
            let output = batch_norm(input, weight, bias, mean, variance, EPSILON);
            return finish(output, residual, with_relu);
        }
        if self.has_ghosts(&input) {
            return self.apply_to_ghosts(input, residual, with_relu);
        }
        let (output, mean, variance) = self.normalise(input, residual, with_relu);
        self.advance(&output, mean, variance);
        output
    }

    /// Normalises `[batch, channels, height, width]` by its own statistics. With them, `[channels]`; the variance is the
    /// biased one.
    fn normalise(
        &self,
        input: Tensor<4>,
        residual: Option<Tensor<4>>,
        with_relu: bool,
    ) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
        let [weight, bias] = [self.weight.val(), self.bias.val()];
        if cpu::runs(&input) {
            return cpu::batch_norm_train(input, [weight, bias], residual, EPSILON, with_relu);
        }
        let result = batch_norm_train(input, weight, bias, EPSILON);
        let output = finish(result.output, residual, with_relu);
        (output, result.mean, result.variance)
    }

    /// Whether a training batch is divided.
    fn has_ghosts(&self, input: &Tensor<4>) -> bool {
        self.ghost_batch > 0 && input.dims()[0] > self.ghost_batch
    }

    /// Normalises each run of [`ghost_batch`](Self::ghost_batch) images by itself.
    fn apply_to_ghosts(
        &self,
        input: Tensor<4>,
        residual: Option<Tensor<4>>,
        with_relu: bool,
    ) -> Tensor<4> {
        let [batch, _, height, width] = input.dims();
        let runs = input.split(self.ghost_batch, 0);
        let residuals: Vec<Option<Tensor<4>>> = match residual {
            None => vec![None; runs.len()],
            Some(residual) => {
                let parts = residual.split(self.ghost_batch, 0);
                parts.into_iter().map(Some).collect()
            }
        };
        let (mut outputs, mut sums) = (Vec::with_capacity(runs.len()), None);
        for (run, residual) in runs.into_iter().zip(residuals) {
            let images = run.dims()[0];
            let count = (images * height * width) as f64;
            let (output, mean, variance) = self.normalise(run, residual, with_relu);
            let share = images as f64 / batch as f64;
            let mean = mean.detach() * share;
            let variance = variance.detach() * (share * unbiased(count).unwrap_or(1.0));
            sums = Some(match sums {
                None => (mean, variance),
                Some((means, variances)) => (means + mean, variances + variance),
            });
            outputs.push(output);
        }
        if let Some((mean, variance)) = sums {
            advance(&self.running_mean, mean);
            advance(&self.running_var, variance);
        }
        Tensor::cat(outputs, 0)
    }

    /// Takes a batch's mean and biased variance into the running statistics.
    fn advance(&self, output: &Tensor<4>, mean: Tensor<1>, variance: Tensor<1>) {
        let [batch, _, height, width] = output.dims();
        advance(&self.running_mean, mean.detach());
        // One value a channel has no spread; PyTorch refuses it, here the running variance keeps its value.
        if let Some(factor) = unbiased((batch * height * width) as f64) {
            advance(&self.running_var, variance.detach() * factor);
        }
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
    use burn::tensor::TensorData;
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

        for with_relu in [false, true] {
            let mut ghosts = BatchNorm2d::new(2, &device);
            ghosts.ghost_batch = 2;
            let whole = images(0..5);
            let output = ghosts.apply(whole.clone(), Some(whole.clone()), with_relu);
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
                    assert!((got - known).abs() < 1e-5, "{got} for {known}");
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
