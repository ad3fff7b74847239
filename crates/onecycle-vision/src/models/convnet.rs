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

/// Three 3 × 3 convolutions with 16, 32 and 64 channels, ReLU after each and a pool between them, global average,
/// linear layer. With or without batch norm; without, the convolutions have a bias.
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
    /// Weights drawn from `rng` in the order of the layers.
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

    /// `[batch, channels, height, width]` to logits `[batch, classes]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = max_pool2d(layer(&self.conv1, self.bn1.as_ref(), images), 2);
        let x = max_pool2d(layer(&self.conv2, self.bn2.as_ref(), x), 2);
        let x = layer(&self.conv3, self.bn3.as_ref(), x);
        self.fc.forward(global_average_pool2d(x))
    }
}

fn layer(conv: &Conv2d, norm: Option<&BatchNorm2d>, x: Tensor<4>) -> Tensor<4> {
    match norm {
        None => conv.forward_relu(x),
        Some(norm) => ConvNorm { conv, norm }.forward_relu(x),
    }
}
