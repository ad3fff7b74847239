use crate::random::Rng;
use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use onecycle_burn::nn::Linear;

/// Units of the hidden layers.
const UNITS: [usize; 2] = [256, 128];

/// A multi-layer perceptron on the pixels, without convolution or batch norm.
///
/// | layer | output |
/// |---|---|
/// | `fc1`, ReLU | 256 |
/// | `fc2`, ReLU | 128 |
/// | `fc3` | classes |
///
/// For 1 × 28 × 28 and 10 classes it has 235 146 parameters. Weights start with
/// [`Init::Uniform`](onecycle_burn::nn::Init::Uniform).
#[derive(Module, Debug)]
pub struct Mlp {
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}

impl Mlp {
    /// Builds a network for images of `pixels` values (channels · height · width), with weights
    /// drawn from `rng` in the order of the layers.
    pub fn new(pixels: usize, classes: usize, rng: &mut impl Rng, device: &Device) -> Self {
        let [first, second] = UNITS;
        Mlp {
            fc1: Linear::new(pixels, first, rng, device),
            fc2: Linear::new(first, second, rng, device),
            fc3: Linear::new(second, classes, rng, device),
        }
    }

    /// Maps `[batch, channels, height, width]` to the features before `fc3`, `[batch, 128]`.
    pub fn features(&self, images: Tensor<4>) -> Tensor<2> {
        let x = self.fc1.forward_relu(images.flatten(1, 3));
        self.fc2.forward_relu(x)
    }

    /// Maps features to logits `[batch, classes]`.
    pub fn classify(&self, features: Tensor<2>) -> Tensor<2> {
        self.fc3.forward(features)
    }

    /// The layer after the features.
    pub(super) fn head(&self) -> &Linear {
        &self.fc3
    }
}
