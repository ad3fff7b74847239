use burn::{
    module::{Module, Param},
    tensor::{Device, Tensor, module::conv2d, ops::ConvOptions},
};
use rand_core::Rng;

use super::{Init, activation::activate};
use crate::cpu::{self, Activation};

/// Two-dimensional convolution with a square kernel, like PyTorch's `Conv2d`.
///
/// Input `[batch, in, height, width]`, weight `[out, in / groups, kernel, kernel]`, output
/// `[batch, out, height', width']` with `height' = (height + zeros - kernel) / stride + 1`,
/// rounded down, where `zeros` are the rows of the [`Padding`] above and below.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[out, in / groups, kernel, kernel]`.
    pub weight: Param<Tensor<4>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
    stride: usize,
    #[module(skip)]
    padding: Padding,
    groups: usize,
}

/// Zeros around the input of a [`Conv2d`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// This many rows of zeros above and below, and columns left and right.
    Equal(usize),
    /// The padding `SAME` of TensorFlow (`tf.nn.convolution`, "Notes on padding"): the output has `side /
    /// stride` rows and columns, rounded up. An odd number of zeros has one more below and right than above
    /// and left.
    TensorFlowSame,
}

impl Padding {
    /// Zeros `[in front of, behind]` a side of `side` pixels.
    fn zeros(self, side: usize, kernel: usize, stride: usize) -> [usize; 2] {
        match self {
            Padding::Equal(zeros) => [zeros; 2],
            Padding::TensorFlowSame => {
                let last = side.div_ceil(stride).saturating_sub(1) * stride;
                let zeros = (last + kernel).saturating_sub(side);
                [zeros / 2, zeros.div_ceil(2)]
            }
        }
    }
}

/// Shape of a [`Conv2d`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dShape {
    /// Channels of the input.
    pub channels_in: usize,
    /// Channels of the output.
    pub channels_out: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Pixels from one window to the next.
    pub stride: usize,
    /// Zeros around the input.
    pub padding: Padding,
    /// Number of groups of channels. Each group of outputs depends on the inputs of its own group;
    /// the number divides both `channels_in` and `channels_out`. 1 for a full convolution,
    /// `channels_in` for a depthwise one; others take Burn's operations on the CPU, too, which are
    /// slower.
    pub groups: usize,
    /// Whether there is a bias.
    pub bias: bool,
}

impl Conv2dShape {
    /// A kernel of odd size with the padding that preserves height and width, stride 1 and no bias.
    pub fn same(channels_in: usize, channels_out: usize, kernel: usize) -> Self {
        Conv2dShape {
            channels_in,
            channels_out,
            kernel,
            stride: 1,
            padding: Padding::Equal(kernel / 2),
            groups: 1,
            bias: false,
        }
    }

    /// [`same`](Self::same) with one window per channel (Sifre 2014; Howard et al. 2017,
    /// "MobileNets", section 3.1).
    pub fn depthwise(channels: usize, kernel: usize) -> Self {
        Conv2dShape {
            groups: channels,
            ..Conv2dShape::same(channels, channels, kernel)
        }
    }

    /// Replaces the stride.
    pub fn with_stride(self, stride: usize) -> Self {
        Conv2dShape { stride, ..self }
    }

    /// Replaces the padding.
    pub fn with_padding(self, padding: Padding) -> Self {
        Conv2dShape { padding, ..self }
    }

    /// Adds a bias.
    pub fn with_bias(self) -> Self {
        Conv2dShape { bias: true, ..self }
    }
}

impl Conv2d {
    /// Creates a convolution with weights drawn from `rng`. A bias is drawn after them with
    /// [`Init::Uniform`], else it is 0.
    ///
    /// # Panics
    /// `groups` does not divide the channels.
    pub fn new(shape: Conv2dShape, init: Init, rng: &mut impl Rng, device: &Device) -> Self {
        let Conv2dShape {
            channels_in,
            channels_out,
            groups,
            ..
        } = shape;
        assert!(
            channels_in.is_multiple_of(groups) && channels_out.is_multiple_of(groups),
            "{groups} groups must divide {channels_in} and {channels_out} channels"
        );
        let area = shape.kernel * shape.kernel;
        let (fan_in, fan_out) = (channels_in / groups * area, channels_out / groups * area);
        let dims = [
            channels_out,
            channels_in / groups,
            shape.kernel,
            shape.kernel,
        ];
        Conv2d {
            weight: init.draw(dims, fan_in, fan_out, rng, device),
            bias: shape
                .bias
                .then(|| init.bias(shape.channels_out, fan_in, rng, device)),
            stride: shape.stride,
            padding: shape.padding,
            groups,
        }
    }

    /// Convolves `[batch, in, height, width]`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.apply(input, Activation::Identity)
    }

    /// [`Conv2d::forward`], then ReLU.
    pub fn forward_relu(&self, input: Tensor<4>) -> Tensor<4> {
        self.apply(input, Activation::Relu)
    }

    /// [`Conv2d::forward`], then [`relu6`](super::relu6).
    pub fn forward_relu6(&self, input: Tensor<4>) -> Tensor<4> {
        self.apply(input, Activation::Relu6)
    }

    /// [`Conv2d::forward`], then [`gelu`](super::gelu). On the CPU the backward pass convolves again
    /// instead of storing the argument of GELU, which suits small convolutions.
    pub fn forward_gelu(&self, input: Tensor<4>) -> Tensor<4> {
        self.apply(input, Activation::Gelu)
    }

    /// Weight, and window over `input`; `None` if there is a bias or no kernel for the groups.
    pub(super) fn kernel(&self, input: &Tensor<4>) -> Option<(Tensor<4>, cpu::Window)> {
        (self.bias.is_none() && self.has_kernel()).then(|| (self.weight.val(), self.window(input)))
    }

    fn window(&self, input: &Tensor<4>) -> cpu::Window {
        let [_, _, height, width] = input.dims();
        let [_, _, kernel, _] = self.weight.lazy_shape().dims();
        cpu::Window {
            stride: self.stride,
            padding: [height, width].map(|side| self.padding.zeros(side, kernel, self.stride)),
            groups: self.groups,
        }
    }

    /// Whether the CPU kernels support the groups: none, or one per channel.
    fn has_kernel(&self) -> bool {
        let [channels_out, of_group, _, _] = self.weight.lazy_shape().dims();
        self.groups == 1 || (of_group == 1 && channels_out == self.groups)
    }

    /// `scale · conv(input) + shift` per channel, then `activation`. `scale` and `shift` have shape
    /// `[out]`.
    pub(super) fn forward_scaled(
        &self,
        input: Tensor<4>,
        scale: Tensor<1>,
        shift: Tensor<1>,
        activation: Activation,
    ) -> Tensor<4> {
        let bias = match &self.bias {
            Some(bias) => bias.val() * scale.clone() + shift,
            None => shift,
        };
        let weight = match cpu::supports(&input) {
            true => cpu::scale_channels(self.weight.val(), scale),
            false => self.weight.val() * scale.reshape([-1, 1, 1, 1]),
        };
        self.convolve(input, weight, Some(bias), activation)
    }

    fn apply(&self, input: Tensor<4>, activation: Activation) -> Tensor<4> {
        let bias = self.bias.as_ref().map(|bias| bias.val());
        self.convolve(input, self.weight.val(), bias, activation)
    }

    fn convolve(
        &self,
        input: Tensor<4>,
        weight: Tensor<4>,
        bias: Option<Tensor<1>>,
        activation: Activation,
    ) -> Tensor<4> {
        let window = self.window(&input);
        if self.has_kernel() && cpu::supports(&input) {
            return cpu::conv2d(input, weight, bias, window, activation);
        }
        // Burn's convolutions have the same padding on both sides.
        let [vertical, horizontal] = window.padding;
        let (input, padding) = if [vertical, horizontal].iter().all(|[a, b]| a == b) {
            (input, [vertical[0], horizontal[0]])
        } else {
            let zeros = [vertical, horizontal].map(|[before, after]| (before, after));
            (input.pad(zeros, 0.0), [0, 0])
        };
        let options = ConvOptions::new([self.stride; 2], padding, [1, 1], self.groups);
        activate(activation, conv2d(input, weight, bias, options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, TensorData};
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    /// TensorFlow's documentation of `SAME`: the sides of the output are rounded up, and of an odd
    /// number of zeros one more is behind.
    #[test]
    fn same_padding_is_that_of_tensorflow() {
        let of = |kernel, side| Padding::TensorFlowSame.zeros(side, kernel, 2);
        assert_eq!((of(3, 224), of(3, 7)), ([0, 1], [1, 1]));
        assert_eq!((of(5, 56), of(5, 7)), ([1, 2], [2, 2]));
    }

    /// With the padding `SAME`, outputs and gradients of the kernels are those of Burn's operations
    /// on a padded image, in double precision.
    #[test]
    fn same_padding_agrees_with_operations_of_burn() {
        let run = |shape: Conv2dShape, sides: [usize; 2], dtype| -> [Vec<f64>; 3] {
            let device = Device::flex().autodiff();
            let mut rng = ChaCha8Rng::seed_from_u64(3);
            let mut conv = Conv2d::new(shape, Init::KaimingFanOut, &mut rng, &device);
            conv.weight = conv
                .weight
                .map(|weight| weight.cast(dtype).detach().require_grad());
            let dims = [2, shape.channels_in, sides[0], sides[1]];
            let values: Vec<f32> = (0..dims.iter().product())
                .map(|i: usize| ((i * 37 % 101) as f32 - 50.0) / 25.0)
                .collect();
            let x = Tensor::<4>::from_data(TensorData::new(values, dims), (&device, dtype));
            let x = x.require_grad();
            let y = conv.forward(x.clone());
            let grads = (y.clone() * y.clone()).sum().backward();
            let read = |tensor: Tensor<4>| tensor.into_data().iter::<f64>().collect();
            let weight = conv.weight.val().grad(&grads).expect("a gradient");
            [
                read(y),
                read(x.grad(&grads).expect("a gradient")),
                read(weight),
            ]
        };
        for (kernel, stride, sides) in [
            (3, 2, [8, 7]),
            (5, 2, [8, 6]),
            (5, 2, [9, 4]),
            (3, 1, [6, 5]),
            (5, 3, [7, 8]),
        ] {
            for shape in [
                Conv2dShape::same(3, 5, kernel),
                Conv2dShape::same(16, 16, kernel),
                Conv2dShape::depthwise(9, kernel),
                // The kernels have no groups, so both are Burn's operations.
                Conv2dShape {
                    groups: 2,
                    ..Conv2dShape::same(4, 6, kernel)
                },
            ] {
                let shape = shape
                    .with_stride(stride)
                    .with_padding(Padding::TensorFlowSame);
                let single = run(shape, sides, DType::F32);
                let double = run(shape, sides, DType::F64);
                for (single, double) in single.iter().zip(&double) {
                    assert_eq!(single.len(), double.len());
                    let largest = double.iter().fold(0f64, |most, v| most.max(v.abs()));
                    for (got, known) in single.iter().zip(double) {
                        assert!((got - known).abs() < 1e-5 * largest, "{got} for {known}");
                    }
                }
            }
        }
    }
}
