use crate::random::Rng;
use burn::{module::Module, tensor::Device};
use onecycle_burn::nn::{BatchNorm2d, Conv2d, Conv2dShape, ConvNorm, Init};

/// A convolution without bias and the batch norm after it, named `conv` and `bn`.
#[derive(Module, Debug)]
pub struct ConvBn {
    conv: Conv2d,
    bn: BatchNorm2d,
}

impl ConvBn {
    /// Builds the two layers. The weights of the convolution are drawn from `rng`
    /// ([`Init::KaimingFanOut`]).
    pub(super) fn new(shape: Conv2dShape, rng: &mut impl Rng, device: &Device) -> Self {
        ConvBn {
            conv: Conv2d::new(shape, Init::KaimingFanOut, rng, device),
            bn: BatchNorm2d::new(shape.channels_out, device),
        }
    }

    /// The two as one layer.
    pub(super) fn layer(&self) -> ConvNorm<'_> {
        ConvNorm {
            conv: &self.conv,
            norm: &self.bn,
        }
    }

    /// Its batch norm.
    pub(super) fn norm(&mut self) -> &mut BatchNorm2d {
        &mut self.bn
    }
}
