use burn::tensor::Tensor;

use super::{BatchNorm2d, Conv2d, epilogue::Epilogue};
use crate::cpu::{self, Activation};

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
        self.apply(x, Epilogue::activation(Activation::Identity))
    }

    /// `relu(norm(conv(x)))`.
    pub fn forward_relu(&self, x: Tensor<4>) -> Tensor<4> {
        self.apply(x, Epilogue::activation(Activation::Relu))
    }

    /// `relu6(norm(conv(x)))`, see [`relu6`](super::relu6).
    pub fn forward_relu6(&self, x: Tensor<4>) -> Tensor<4> {
        self.apply(x, Epilogue::activation(Activation::Relu6))
    }

    /// `gelu(norm(conv(x)))`, see [`gelu`](super::gelu).
    pub fn forward_gelu(&self, x: Tensor<4>) -> Tensor<4> {
        self.apply(x, Epilogue::activation(Activation::Gelu))
    }

    /// `relu(norm(conv(x)) + residual)`, the end of a residual block (He et al. 2016). `residual`
    /// has the shape of the output.
    pub fn forward_residual(&self, x: Tensor<4>, residual: Tensor<4>) -> Tensor<4> {
        self.apply(x, Epilogue::residual_relu(residual))
    }

    /// `norm(conv(x)) + residual`, the end of an inverted residual block (Sandler et al. 2018).
    /// `residual` has the shape of the output.
    pub fn forward_add(&self, x: Tensor<4>, residual: Tensor<4>) -> Tensor<4> {
        self.apply(x, Epilogue::residual(residual))
    }

    fn apply(&self, x: Tensor<4>, epilogue: Epilogue) -> Tensor<4> {
        let on_cpu = cpu::supports(&x);
        if self.norm.trains(&x) {
            if let (true, Some((kernel, window))) = (on_cpu, self.conv.kernel(&x)) {
                return self.norm.track(cpu::conv_norm_train(
                    x,
                    kernel,
                    self.norm.affine(),
                    epilogue.residual,
                    cpu::ConvNormOptions {
                        window,
                        ghost: self.norm.ghost_batch,
                        norm: self.norm.options(epilogue.activation),
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
        let scale = weight / (variance + self.norm.epsilon()).sqrt();
        let shift = bias - mean * scale.clone();
        if epilogue.residual.is_none() {
            let activation = epilogue.activation;
            return self.conv.forward_scaled(x, scale, shift, activation);
        }
        let plain = Activation::Identity;
        epilogue.apply(self.conv.forward_scaled(x, scale, shift, plain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Conv2dShape, Init, Padding, activation::gelu_by_burn};
    use burn::{
        module::{Module, Param},
        tensor::{Device, TensorData, module::conv2d, ops::ConvOptions},
    };
    use rand_chacha::rand_core::SeedableRng;

    fn read(tensor: Tensor<4>) -> Vec<f64> {
        tensor.into_data().iter::<f64>().collect()
    }

    fn values(len: usize) -> Vec<f32> {
        (0..len)
            .map(|i| ((i * 37 % 101) as f32 - 50.0) / 25.0)
            .collect()
    }

    /// What follows the normalisation.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum End {
        Relu,
        Residual,
        Gelu,
        Relu6,
        Add,
    }

    /// A convolution and a norm on a batch of five, with the settings of a test.
    struct Case {
        channels: usize,
        size: usize,
        stride: usize,
        depthwise: bool,
        ghost: usize,
        end: End,
    }

    impl Case {
        /// Output, gradients and running statistics of the fused layer, or of Burn's operations.
        fn run(&self, fused: bool) -> Vec<f64> {
            let device = Device::flex().autodiff();
            let &Case {
                channels,
                size,
                stride,
                depthwise,
                ghost,
                end,
            } = self;
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
            let shape = match depthwise {
                true => Conv2dShape::depthwise(channels, 3),
                false => Conv2dShape::same(channels, channels, 3),
            };
            let shape = shape.with_stride(stride);
            let conv = Conv2d::new(shape, Init::KaimingFanOut, &mut rng, &device);
            let mut norm = BatchNorm2d::new(channels, &device);
            norm.ghost_batch = ghost;
            let dims = [5, channels, size, size];
            let data = TensorData::new(values(dims.iter().product()), dims);
            let x = Tensor::<4>::from_data(data, &device).require_grad();
            let residual = || conv.forward(x.clone()).detach() * 0.5;
            let layer = ConvNorm {
                conv: &conv,
                norm: &norm,
            };
            let output = match (fused, end) {
                (true, End::Relu) => layer.forward_relu(x.clone()),
                (true, End::Residual) => layer.forward_residual(x.clone(), residual()),
                (true, End::Gelu) => layer.forward_gelu(x.clone()),
                (true, End::Relu6) => layer.forward_relu6(x.clone()),
                (true, End::Add) => layer.forward_add(x.clone(), residual()),
                (false, end) => {
                    let epilogue = match end {
                        End::Relu => Epilogue::activation(Activation::Relu),
                        End::Residual => Epilogue::residual_relu(residual()),
                        End::Relu6 => Epilogue::activation(Activation::Relu6),
                        End::Add => Epilogue::residual(residual()),
                        End::Gelu => Epilogue::activation(Activation::Identity),
                    };
                    let options = ConvOptions::new(
                        [stride; 2],
                        [1, 1],
                        [1, 1],
                        if depthwise { channels } else { 1 },
                    );
                    let x = conv2d(x.clone(), conv.weight.val(), None, options);
                    let output = norm.track(norm.normalise_by_burn(x, epilogue));
                    match end {
                        End::Gelu => gelu_by_burn(output),
                        _ => output,
                    }
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
        }
    }

    /// The fused layer agrees with Burn's operations, for whole batches and ghost batches.
    #[test]
    fn agrees_with_operations_of_burn() {
        // Direct convolution, Winograd's algorithm, a stride of 2, and depthwise.
        for (channels, size, stride, depthwise) in [
            (3, 5, 1, false),
            (16, 8, 1, false),
            (16, 8, 2, false),
            (16, 8, 1, true),
            (17, 9, 2, true),
        ] {
            for (ghost, end) in [
                (0, End::Residual),
                (2, End::Relu),
                (2, End::Residual),
                (7, End::Relu),
                (0, End::Gelu),
                (2, End::Gelu),
                (0, End::Relu6),
                (0, End::Add),
                (2, End::Add),
            ] {
                let case = Case {
                    channels,
                    size,
                    stride,
                    depthwise,
                    ghost,
                    end,
                };
                let (got, known) = (case.run(true), case.run(false));
                assert_eq!(got.len(), known.len());
                let largest = known.iter().fold(0f64, |largest, v| largest.max(v.abs()));
                for (got, known) in got.iter().zip(&known) {
                    let what =
                        format!("{channels} channels, {stride}, {depthwise}, {ghost}, {end:?}");
                    assert!(
                        (got - known).abs() < 1e-5 * largest,
                        "{what}: {got} for {known}"
                    );
                }
            }
        }
    }

    /// A frozen convolution gets no gradient; those of its input and of the norm stay the same.
    #[test]
    fn a_frozen_convolution_changes_no_other_gradient() {
        let device = Device::flex().autodiff();
        // Winograd's algorithm and the direct one.
        for channels in [16, 3] {
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
            let shape = Conv2dShape::same(channels, channels, 3);
            let mut conv = Conv2d::new(shape, Init::KaimingFanOut, &mut rng, &device);
            let norm = BatchNorm2d::new(channels, &device);
            let dims = [3, channels, 8, 8];
            let data = TensorData::new(values(dims.iter().product()), dims);
            let run = |conv: &Conv2d, needed: bool| {
                let x = Tensor::<4>::from_data(data.clone(), &device);
                let x = if needed { x.require_grad() } else { x };
                let layer = ConvNorm { conv, norm: &norm };
                let output = layer.forward_gelu(x.clone());
                let grads = (output.clone() * output.clone()).sum().backward();
                let bias = norm.bias.val().grad(&grads).expect("a gradient");
                (
                    x.grad(&grads).map(read),
                    bias.into_data(),
                    conv.weight.val().grad(&grads).is_some(),
                )
            };
            let (dx, bias, has_gradient) = run(&conv, true);
            assert!(dx.is_some() && has_gradient);
            conv.weight = conv.weight.set_require_grad(false);
            assert_eq!(run(&conv, true), (dx, bias.clone(), false));
            assert_eq!(run(&conv, false), (None, bias, false));
        }
    }

    /// A 2 x 2 convolution with bias and GELU, as in front of a network: all gradients agree with
    /// Burn's operations. With frozen weights and an input without gradient, that of the bias stays
    /// the same and the others are absent.
    #[test]
    fn conv_with_gelu_agrees_with_operations_of_burn() {
        let device = Device::flex().autodiff();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        let shape = Conv2dShape {
            channels_in: 3,
            channels_out: 24,
            kernel: 2,
            stride: 1,
            padding: Padding::Equal(0),
            groups: 1,
            bias: true,
        };
        let mut conv = Conv2d::new(shape, Init::Uniform, &mut rng, &device);
        let data = TensorData::new(values(5 * 3 * 9 * 8), [5, 3, 9, 8]);
        let run = |conv: &Conv2d, fused: bool, needed: bool| {
            let x = Tensor::<4>::from_data(data.clone(), &device);
            let x = if needed { x.require_grad() } else { x };
            let (weight, bias) = (conv.weight.val(), conv.bias.as_ref().expect("a bias").val());
            let output = if fused {
                conv.forward_gelu(x.clone())
            } else {
                let options = ConvOptions::new([1, 1], [0, 0], [1, 1], 1);
                let output = conv2d(x.clone(), weight.clone(), Some(bias.clone()), options);
                gelu_by_burn(output)
            };
            assert_eq!(output.dims(), [5, 24, 8, 7]);
            let grads = (output.clone() * output.clone()).sum().backward();
            let bias = bias.grad(&grads).expect("a gradient").into_data();
            [
                Some(read(output)),
                Some(bias.iter::<f64>().collect()),
                weight.grad(&grads).map(read),
                x.grad(&grads).map(read),
            ]
        };
        let (got, known) = (run(&conv, true, true), run(&conv, false, true));
        for (got, known) in got.iter().zip(&known) {
            let (Some(got), Some(known)) = (got, known) else {
                panic!("a gradient is missing")
            };
            let largest = known.iter().fold(0f64, |largest, v| largest.max(v.abs()));
            assert_eq!(got.len(), known.len());
            for (got, known) in got.iter().zip(known) {
                assert!((got - known).abs() < 1e-5 * largest, "{got} for {known}");
            }
        }
        conv.weight = conv.weight.set_require_grad(false);
        let [output, bias, ..] = got;
        assert_eq!(run(&conv, true, false), [output, bias, None, None]);
    }

    /// The gradients through a norm that is folded into a convolution are those through the two layers.
    #[test]
    fn a_folded_norm_has_the_gradients_of_two_layers() {
        let device = Device::flex().autodiff();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        for shape in [
            Conv2dShape::same(3, 5, 3).with_bias(),
            Conv2dShape::same(6, 24, 1),
            Conv2dShape::depthwise(7, 3),
        ] {
            let conv = Conv2d::new(shape, Init::KaimingFanOut, &mut rng, &device);
            let mut norm = BatchNorm2d::new(shape.channels_out, &device);
            let numbers = |len, scale: f64| -> Tensor<1> {
                let data = TensorData::new(values(len), [len]);
                Tensor::from_data(data, &device) * scale
            };
            norm.weight = norm.weight.map(|w| {
                (w + numbers(shape.channels_out, 0.2))
                    .detach()
                    .require_grad()
            });
            norm.bias = norm
                .bias
                .map(|_| numbers(shape.channels_out, 0.3).require_grad());
            let dims = [4, shape.channels_in, 6, 5];
            let data = TensorData::new(values(dims.iter().product()), dims);
            let x = Tensor::<4>::from_data(data, &device).require_grad();
            // Statistics that differ from the initial ones and from those of the batch.
            norm.forward(conv.forward(x.clone()) * 3.0 + 1.0);
            norm.training = Param::from_bool(false);
            let gradients = |y: Tensor<4>| -> Vec<Vec<f64>> {
                let grads = (y.clone() * y).sum().backward();
                let of = |param: &Param<Tensor<1>>| -> Vec<f64> {
                    let gradient = param.val().grad(&grads).expect("a gradient");
                    gradient.into_data().iter::<f64>().collect()
                };
                vec![
                    read(x.grad(&grads).expect("a gradient")),
                    read(conv.weight.val().grad(&grads).expect("a gradient")),
                    of(&norm.weight),
                    of(&norm.bias),
                ]
            };
            let layer = ConvNorm {
                conv: &conv,
                norm: &norm,
            };
            let folded = gradients(layer.forward_relu6(x.clone()));
            let known = gradients(norm.forward_relu6(conv.forward(x.clone())));
            for (folded, known) in folded.iter().zip(&known) {
                assert_eq!(folded.len(), known.len());
                let largest = known.iter().fold(0f64, |most, v| most.max(v.abs()));
                assert!(largest > 0.0);
                for (got, known) in folded.iter().zip(known) {
                    assert!(
                        (got - known).abs() < 1e-5 * largest,
                        "{got} for {known}, {shape:?}"
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
            let expected = plain.forward_relu(conv.valid().forward(plain_input.clone()));
            let expected = read(expected);
            let plain_conv = conv.valid();
            let plain_layer = ConvNorm {
                conv: &plain_conv,
                norm: &plain,
            };
            let with_gelu = read(plain_layer.forward_gelu(plain_input.clone()));
            let known = gelu_by_burn(plain.forward(plain_conv.forward(plain_input.clone())));
            for (got, known) in with_gelu.iter().zip(read(known)) {
                assert!((got - known).abs() < 1e-5, "{got} for {known}");
            }
            let residual = conv.forward(input.clone()) * 0.0;
            let layer = ConvNorm {
                conv: &conv,
                norm: &frozen,
            };
            for (output, expected) in [
                (layer.forward_relu(input.clone()), &expected),
                (layer.forward_residual(input.clone(), residual), &expected),
                (frozen.forward_relu(conv.forward(input.clone())), &expected),
                (layer.forward_gelu(input.clone()), &with_gelu),
                (frozen.forward_gelu(conv.forward(input.clone())), &with_gelu),
            ] {
                for (got, expected) in read(output.clone()).iter().zip(expected) {
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
