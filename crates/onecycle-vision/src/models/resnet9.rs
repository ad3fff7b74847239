use crate::random::Rng;
use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use onecycle_burn::nn::{
    BatchNorm2d, Conv2dShape, Linear, add, branch, global_max_pool2d, max_pool2d,
};

use super::ConvBn;

/// A wide residual network with nine weight layers that trains in few epochs (Page 2018, "How to
/// train your ResNet", part 4: "Architecture").
///
/// | layer, each 3 × 3, batch norm, ReLU | output for 3 × 32 × 32 |
/// |---|---|
/// | `prep` | 64 × 32 × 32 |
/// | `layer1`, max pool 2 × 2 | 128 × 16 × 16 |
/// | `residual1`: two layers, added to their input | 128 × 16 × 16 |
/// | `layer2`, max pool 2 × 2 | 256 × 8 × 8 |
/// | `layer3`, max pool 2 × 2 | 512 × 4 × 4 |
/// | `residual3`: two layers, added to their input | 512 × 4 × 4 |
/// | global maximum | 512 |
/// | `fc`, times 0.125 | classes |
///
/// For three channels and 10 classes it has 6 573 130 parameters. Differs from the original, where
/// `fc` has no bias. Convolutions start with
/// [`Init::KaimingFanOut`](onecycle_burn::nn::Init::KaimingFanOut).
#[derive(Module, Debug)]
pub struct ResNet9 {
    prep: ConvBn,
    layer1: ConvBn,
    residual1: Vec<ConvBn>,
    layer2: ConvBn,
    layer3: ConvBn,
    residual3: Vec<ConvBn>,
    fc: Linear,
}

impl ResNet9 {
    /// Factor on the logits, as in the original.
    pub const LOGIT_SCALE: f64 = 0.125;

    /// Smallest side of an image, in pixels, that leaves at least one value per channel after three
    /// pools.
    pub const MIN_SIDE: usize = 8;

    /// Builds a network with weights drawn from `rng` in the order of the layers.
    pub fn new(channels_in: usize, classes: usize, rng: &mut impl Rng, device: &Device) -> Self {
        let mut layer = |from, to| ConvBn::new(Conv2dShape::same(from, to, 3), rng, device);
        let (prep, layer1) = (layer(channels_in, 64), layer(64, 128));
        let residual1 = vec![layer(128, 128), layer(128, 128)];
        let (layer2, layer3) = (layer(128, 256), layer(256, 512));
        let residual3 = vec![layer(512, 512), layer(512, 512)];
        ResNet9 {
            prep,
            layer1,
            residual1,
            layer2,
            layer3,
            residual3,
            fc: Linear::new(512, classes, rng, device),
        }
    }

    /// Its batch norms.
    pub(super) fn norms(&mut self) -> Vec<&mut BatchNorm2d> {
        let single = [
            &mut self.prep,
            &mut self.layer1,
            &mut self.layer2,
            &mut self.layer3,
        ];
        let residual = self.residual1.iter_mut().chain(&mut self.residual3);
        let layers = single.into_iter().chain(residual);
        layers.map(ConvBn::norm).collect()
    }

    /// Maps `[batch, channels, height, width]` to the features before `fc`, `[batch, 512]`.
    pub fn features(&self, images: Tensor<4>) -> Tensor<2> {
        let x = self.prep.layer().forward_relu(images);
        let x = max_pool2d(self.layer1.layer().forward_relu(x), 2);
        let x = add_residual(&self.residual1, x);
        let x = max_pool2d(self.layer2.layer().forward_relu(x), 2);
        let x = max_pool2d(self.layer3.layer().forward_relu(x), 2);
        let x = add_residual(&self.residual3, x);
        global_max_pool2d(x)
    }

    /// Maps features to logits `[batch, classes]`.
    pub fn classify(&self, features: Tensor<2>) -> Tensor<2> {
        self.fc.forward(features) * Self::LOGIT_SCALE
    }

    /// The layer after the features.
    pub(super) fn head(&self) -> &Linear {
        &self.fc
    }
}

/// `x` plus the output of `layers`, each a convolution, batch norm and ReLU.
fn add_residual(layers: &[ConvBn], x: Tensor<4>) -> Tensor<4> {
    let [x, shortcut] = branch(x);
    let y = layers
        .iter()
        .fold(x, |y, layer| layer.layer().forward_relu(y));
    add(y, shortcut)
}
