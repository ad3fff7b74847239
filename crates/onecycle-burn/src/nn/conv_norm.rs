use burn::tensor::Tensor;

use super::{
    BatchNorm2d, Conv2d,
    epilogue::Epilogue,
    norm::{EPSILON, options},
};
use crate::cpu;

/// A convolution and the batch norm after it, computed as one layer.
///
/// It borrows the two modules, so that a network keeps them in fields of its own, with PyTorch's
/// names:
///
/// ```
/// use burn::{module::Module, tensor::{Device, Tensor}};
/// use onecycle_burn::{nn::{BatchNorm2d, Conv2d, Conv2dShape, ConvNorm, Init}, state};
///
/// #[derive(Module, Debug)]
/// struct Stem {
///     conv1: Conv2d,
///     bn1: BatchNorm2d,
/// }
///
/// impl Stem {
///     /// `[batch, 3, height, width]` to `[batch, 16, height, width]`.
///     fn forward(&self, x: Tensor<4>) -> Tensor<4> {
///         ConvNorm { conv: &self.conv1, norm: &self.bn1 }.forward_relu(x)
///     }
/// }
///
/// let device = Device::flex().autodiff();
/// let mut rng = onecycle_burn::rng(1);
/// let stem = Stem {
///     conv1: Conv2d::new(Conv2dShape::same(3, 16, 3), Init::KaimingFanOut, &mut rng, &device),
///     bn1: BatchNorm2d::new(16, &device),
/// };
/// assert_eq!(stem.forward(Tensor::ones([2, 3, 8, 8], &device)).dims(), [2, 16, 8, 8]);
/// assert!(state::weights(&stem).contains_key("conv1.weight"));
/// ```
///
/// On the CPU the two share their passes over memory. In training, the convolution sums up the
/// statistics while its output is in cache. In evaluation, the normalisation is folded into weights
/// and bias of the convolution.
#[derive(Debug, Clone, Copy)]
pub struct ConvNorm<'a> {
    /// Applied first.
    pub conv: &'a Conv2d,
    /// Applied to the output of `conv`.
    pub norm: &'a BatchNorm2d,
}

impl ConvNorm<'_> {
    /// `norm(conv(x))`: `[batch, in, height, width]` to `[batch, out, height', width']`, see
    /// [`Conv2d`].
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.apply(x, Epilogue::none())
    }

    /// `relu(norm(conv(x)))`.
    pub fn forward_relu(&self, x: Tensor<4>) -> Tensor<4> {
        self.apply(x, Epilogue::relu())
    }

    /// `relu(norm(conv(x)) + residual)`, the end of a residual block (He et al. 2016). `residual`
    /// has the shape of the output.
    pub fn forward_residual(&self, x: Tensor<4>, residual: Tensor<4>) -> Tensor<4> {
        self.apply(x, Epilogue::residual_relu(residual))
    }

    fn apply(&self, x: Tensor<4>, epilogue: Epilogue) -> Tensor<4> {
        let on_cpu = cpu::supports(&x);
        if self.norm.trains(&x) {
            if let (true, Some((kernel, window))) = (on_cpu, self.conv.kernel()) {
                let Epilogue { residual, relu } = epilogue;
                return self.norm.track(cpu::conv_norm_train(
                    x,
                    kernel,
                    self.norm.affine(),
                    residual,
                    cpu::ConvNormOptions {
                        window,
                        ghost: self.norm.ghost_batch,
                        norm: options(relu),
                    },
                ));
            }
        } else if on_cpu && (epilogue.residual.is_none() || x.device().is_autodiff()) {
            // After a folded layer, adding a residual takes a pass of its own. The kernel that
            // normalises without gradients adds it in the same pass.
            return self.folded(x, epilogue);
        }
        self.norm.apply(self.conv.forward(x), epilogue)
    }

    /// Evaluation on the CPU. Normalising by fixed statistics scales and shifts each channel, so
    /// weights and bias of the convolution can do it.
    fn folded(&self, x: Tensor<4>, epilogue: Epilogue) -> Tensor<4> {
        let [mean, variance] = self.norm.running(x.device().is_autodiff());
        let [weight, bias] = self.norm.affine();
        let scale = weight / (variance + EPSILON).sqrt();
        let shift = bias - mean * scale.clone();
        if epilogue.residual.is_none() {
            return self.conv.forward_scaled(x, scale, shift, epilogue.relu);
        }
        epilogue.apply(self.conv.forward_scaled(x, scale, shift, false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Conv2dShape, Init};
    use burn::{
        module::Module,
        tensor::{Device, TensorData},
    };
    use rand_chacha::rand_core::SeedableRng;

    /// The fused layer agrees with Burn's operations, for whole batches and ghost batches.
    #[test]
    fn agrees_with_operations_of_burn() {
        let device = Device::flex().autodiff();
        let read = |tensor: Tensor<4>| tensor.into_data().iter::<f64>().collect::<Vec<_>>();
        // Direct convolution, Winograd's algorithm, and a stride of 2.
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
                    let layer = ConvNorm {
                        conv: &conv,
                        norm: &norm,
                    };
                    let output = match (fused, residual) {
                        (true, None) => layer.forward_relu(x.clone()),
                        (true, Some(residual)) => layer.forward_residual(x.clone(), residual),
                        (false, residual) => {
                            let epilogue = Epilogue {
                                residual,
                                relu: true,
                            };
                            let x = conv.forward(x.clone());
                            norm.track(norm.normalise_by_burn(x, epilogue))
                        }
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

    /// A frozen layer computes the same as an evaluated one, folded into the convolution or not,
    /// and changes no statistics.
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
            // Statistics that differ from the initial ones and from those of the batch.
            norm.forward(conv.forward(input.clone()) * 3.0 + 1.0);
            let (frozen, plain) = (norm.clone().freeze(), norm.valid());
            let plain_input = Tensor::<4>::from_data(data, &Device::flex());
            let expected = plain.forward_relu(conv.valid().forward(plain_input));
            let read = |t: Tensor<4>| t.into_data().iter::<f64>().collect::<Vec<f64>>();
            let expected = read(expected);
            let residual = conv.forward(input.clone()) * 0.0;
            let layer = ConvNorm {
                conv: &conv,
                norm: &frozen,
            };
            for output in [
                layer.forward_relu(input.clone()),
                layer.forward_residual(input.clone(), residual),
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
}
