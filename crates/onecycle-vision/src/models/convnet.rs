use crate::random::Rng;
use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use onecycle_burn::nn::{
    BatchNorm2d, Conv2d, Conv2dShape, ConvNorm, Init, Linear, global_average_pool2d, max_pool2d,
};

/// Channels of the three convolutions.
const CHANNELS: [usize; 3] = [16, 32, 64];

/// A small convolutional network, with or without batch norm. Without it, the convolutions have a
/// bias.
///
/// | layer | output for 3 × 32 × 32 |
/// |---|---|
/// | `conv1` 3 × 3, `bn1`, ReLU | 16 × 32 × 32 |
/// | max pool 2 × 2 | 16 × 16 × 16 |
/// | `conv2` 3 × 3, `bn2`, ReLU | 32 × 16 × 16 |
/// | max pool 2 × 2 | 32 × 8 × 8 |
/// | `conv3` 3 × 3, `bn3`, ReLU | 64 × 8 × 8 |
/// | global average, `fc` | classes |
///
/// For three channels and 10 classes it has 24 346 parameters with batch norm, 24 234 without.
/// Weights start with [`Init::Uniform`]. Not from a paper: a network that trains in seconds on a
/// CPU.
#[derive(Module, Debug)]
pub struct ConvNet {
    conv1: Conv2d,
    bn1: Option<BatchNorm2d>,
    conv2: Conv2d,
    bn2: Option<BatchNorm2d>,
    conv3: Conv2d,
    bn3: Option<BatchNorm2d>,
    fc: Linear,
}

impl ConvNet {
    /// Builds a network with weights drawn from `rng` in the order of the layers.
    pub fn new(
        batch_norm: bool,
        channels_in: usize,
        classes: usize,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Self {
        let [c1, c2, c3] = CHANNELS;
        let mut conv = |from, to| {
            let shape = Conv2dShape {
                bias: !batch_norm,
                ..Conv2dShape::same(from, to, 3)
            };
            Conv2d::new(shape, Init::Uniform, rng, device)
        };
        let norm = |channels| batch_norm.then(|| BatchNorm2d::new(channels, device));
        ConvNet {
            conv1: conv(channels_in, c1),
            bn1: norm(c1),
            conv2: conv(c1, c2),
            bn2: norm(c2),
            conv3: conv(c2, c3),
            bn3: norm(c3),
            fc: Linear::new(c3, classes, rng, device),
        }
    }

    /// Its batch norms.
    pub(super) fn norms(&mut self) -> Vec<&mut BatchNorm2d> {
        let norms = [&mut self.bn1, &mut self.bn2, &mut self.bn3];
        norms.into_iter().flatten().collect()
    }

    /// Maps `[batch, channels, height, width]` to the features before `fc`, `[batch, 64]`.
    pub fn features(&self, images: Tensor<4>) -> Tensor<2> {
        let x = max_pool2d(layer(&self.conv1, self.bn1.as_ref(), images), 2);
        let x = max_pool2d(layer(&self.conv2, self.bn2.as_ref(), x), 2);
        let x = layer(&self.conv3, self.bn3.as_ref(), x);
        global_average_pool2d(x)
    }

    /// Maps features to logits `[batch, classes]`.
    pub fn classify(&self, features: Tensor<2>) -> Tensor<2> {
        self.fc.forward(features)
    }

    /// The layer after the features.
    pub(super) fn head(&self) -> &Linear {
        &self.fc
    }
}

/// Convolution, batch norm if any, ReLU.
fn layer(conv: &Conv2d, norm: Option<&BatchNorm2d>, x: Tensor<4>) -> Tensor<4> {
    match norm {
        None => conv.forward_relu(x),
        Some(norm) => ConvNorm { conv, norm }.forward_relu(x),
    }
}
