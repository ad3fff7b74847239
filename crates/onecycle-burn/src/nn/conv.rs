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
/// `[batch, out, height', width']` with `height' = (height + 2 padding - kernel) / stride + 1`,
/// rounded down.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[out, in / groups, kernel, kernel]`.
    pub weight: Param<Tensor<4>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
    stride: usize,
    padding: usize,
    groups: usize,
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
    /// Rows and columns of zeros on each side.
    pub padding: usize,
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
            padding: kernel / 2,
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
    pub fn with_padding(self, padding: usize) -> Self {
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

    /// Weight and window; `None` if there is a bias or no kernel for the groups.
    pub(super) fn kernel(&self) -> Option<(Tensor<4>, cpu::Window)> {
        (self.bias.is_none() && self.has_kernel()).then(|| (self.weight.val(), self.window()))
    }

    fn window(&self) -> cpu::Window {
        cpu::Window {
            stride: self.stride,
            padding: self.padding,
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
        let weight = self.weight.val() * scale.reshape([-1, 1, 1, 1]);
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
        if self.has_kernel() && cpu::supports(&input) {
            return cpu::conv2d(input, weight, bias, self.window(), activation);
        }
        let options = ConvOptions::new(
            [self.stride, self.stride],
            [self.padding, self.padding],
            [1, 1],
            self.groups,
        );
        activate(activation, conv2d(input, weight, bias, options))
    }
}
