use crate::random::Rng;
use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use onecycle_burn::nn::{
    BatchNorm2d, Conv2d, Conv2dShape, Init, Linear, add, branch, global_max_pool2d, max_pool2d,
};

/// Factor on the logits, from the original.
const LOGIT_SCALE: f64 = 0.125;

/// A wide residual network of nine weight layers that trains in few epochs (Page 2018, "How to train your ResNet").
///
/// `prep` 64 channels; `layer1` 128, pool, residual; `layer2` 256, pool; `layer3` 512, pool, residual; global
/// maximum; `fc` without bias in the original, here with one; logits times 0.125.
#[derive(Module, Debug)]
pub struct ResNet9 {
    prep: ConvNormRelu,
    layer1: ConvNormRelu,
    residual1: Vec<ConvNormRelu>,
    layer2: ConvNormRelu,
    layer3: ConvNormRelu,
    residual3: Vec<ConvNormRelu>,
    fc: Linear,
}

/// `relu(bn(conv(x)))` with a 3 × 3 convolution.
#[derive(Module, Debug)]
pub struct ConvNormRelu {
    conv: Conv2d,
    bn: BatchNorm2d,
}

impl ConvNormRelu {
    fn new(from: usize, to: usize, rng: &mut impl Rng, device: &Device) -> Self {
        ConvNormRelu {
            conv: Conv2d::new(
                Conv2dShape::same(from, to, 3),
                Init::KaimingFanOut,
                rng,
                device,
            ),
            bn: BatchNorm2d::new(to, device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.bn.forward_after(&self.conv, x, None, true)
    }
}

impl ResNet9 {
    /// Smallest side of an image that survives three pools.
    pub const MIN_SIDE: usize = 8;

    /// Weights drawn from `rng` in the order of the layers.
    pub fn new(channels_in: usize, classes: usize, rng: &mut impl Rng, device: &Device) -> Self {
        let mut layer = |from, to| ConvNormRelu::new(from, to, rng, device);
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
        layers.map(|layer| &mut layer.bn).collect()
    }

    /// `[batch, channels, height, width]` to logits `[batch, classes]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = max_pool2d(self.layer1.forward(self.prep.forward(images)), 2);
        let x = add_residual(&self.residual1, x);
        let x = max_pool2d(self.layer2.forward(x), 2);
        let x = max_pool2d(self.layer3.forward(x), 2);
        let x = add_residual(&self.residual3, x);
        self.fc.forward(global_max_pool2d(x)) * LOGIT_SCALE
    }
}

fn add_residual(layers: &[ConvNormRelu], x: Tensor<4>) -> Tensor<4> {
    let [x, shortcut] = branch(x);
    let y = layers.iter().fold(x, |y, layer| layer.forward(y));
    add(y, shortcut)
}
