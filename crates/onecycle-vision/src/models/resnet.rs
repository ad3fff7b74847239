//! Residual networks for small images (He et al. 2016, "Deep residual learning for image
//! recognition", section 4.2).

use crate::random::Rng;
use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use onecycle_burn::nn::{
    BatchNorm2d, Conv2d, Conv2dShape, ConvNorm, Init, Linear, branch, global_average_pool2d,
};

use super::ConvBn;

/// A residual block: `relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))` with two 3 × 3
/// convolutions.
#[derive(Module, Debug)]
pub struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    /// Projection to another number of channels or half the side: a 1 × 1 convolution and batch
    /// norm (option B of section 3.3). `None` for the identity.
    shortcut: Option<ConvBn>,
}

impl BasicBlock {
    /// Builds a block from `channels_in` to `channels_out` channels. A `stride` of 2 halves height
    /// and width.
    pub fn new(
        channels_in: usize,
        channels_out: usize,
        stride: usize,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Self {
        let conv1 = Conv2dShape::same(channels_in, channels_out, 3).with_stride(stride);
        let conv2 = Conv2dShape::same(channels_out, channels_out, 3);
        let projects = stride != 1 || channels_in != channels_out;
        BasicBlock {
            conv1: Conv2d::new(conv1, Init::KaimingFanOut, rng, device),
            bn1: BatchNorm2d::new(channels_out, device),
            conv2: Conv2d::new(conv2, Init::KaimingFanOut, rng, device),
            bn2: BatchNorm2d::new(channels_out, device),
            shortcut: projects.then(|| {
                let shape = Conv2dShape::same(channels_in, channels_out, 1).with_stride(stride);
                ConvBn::new(shape, rng, device)
            }),
        }
    }

    fn norms(&mut self) -> impl Iterator<Item = &mut BatchNorm2d> {
        let shortcut = self.shortcut.as_mut().map(ConvBn::norm);
        [&mut self.bn1, &mut self.bn2].into_iter().chain(shortcut)
    }

    /// Maps `[batch, in, height, width]` to `[batch, out, height / stride, width / stride]`, sides
    /// rounded up.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let first = ConvNorm {
            conv: &self.conv1,
            norm: &self.bn1,
        };
        let second = ConvNorm {
            conv: &self.conv2,
            norm: &self.bn2,
        };
        let [x, shortcut] = branch(x);
        let y = first.forward_relu(x);
        let shortcut = match &self.shortcut {
            None => shortcut,
            Some(projection) => projection.layer().forward(shortcut),
        };
        second.forward_residual(y, shortcut)
    }
}

/// Depth, width and stem of a [`ResNet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResNetShape {
    /// Blocks per stage.
    pub blocks: usize,
    /// Channels of the three stages. The first is also that of the stem.
    pub channels: [usize; 3],
    /// Stride of the 3 × 3 convolution of the stem.
    pub stem_stride: usize,
}

impl ResNetShape {
    /// The network of He et al. with depth `6 blocks + 2` and 16, 32 and 64 channels. It differs
    /// from theirs in the projection of the two blocks that change the number of channels (option
    /// B; they use A on CIFAR-10).
    pub fn he(blocks: usize) -> Self {
        ResNetShape {
            blocks,
            channels: [16, 32, 64],
            stem_stride: 1,
        }
    }

    /// A network that trains fast on a laptop's CPU with images of 28 × 28 pixels: one block per
    /// stage with 32, 64 and 128 channels, and a stem of stride 2 that leaves a quarter of the
    /// pixels.
    pub fn small() -> Self {
        ResNetShape {
            blocks: 1,
            channels: [32, 64, 128],
            stem_stride: 2,
        }
    }
}

/// Three stages of residual blocks after a convolution.
///
/// | layer | output with [`ResNetShape::he`] | with [`ResNetShape::small`] |
/// |---|---|---|
/// | images | 3 × 32 × 32 | 1 × 28 × 28 |
/// | `conv1` 3 × 3, `bn1`, ReLU | 16 × 32 × 32 | 32 × 14 × 14 |
/// | `stage1`: [`BasicBlock`]s | 16 × 32 × 32 | 32 × 14 × 14 |
/// | `stage2`: the first halves the side | 32 × 16 × 16 | 64 × 7 × 7 |
/// | `stage3`: the first halves the side | 64 × 8 × 8 | 128 × 4 × 4 |
/// | global average, `fc` | classes | classes |
///
/// With `n` blocks per stage, three channels and 10 classes, the former has
/// `78 042 + 97 216 (n - 1)` parameters: 272 474 for ResNet-20. The latter has 308 074 parameters
/// for one channel and 10 classes. Convolutions start with [`Init::KaimingFanOut`].
#[derive(Module, Debug)]
pub struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    stage1: Vec<BasicBlock>,
    stage2: Vec<BasicBlock>,
    stage3: Vec<BasicBlock>,
    fc: Linear,
}

impl ResNet {
    /// Builds a network with weights drawn from `rng` in the order of the layers.
    pub fn new(
        shape: ResNetShape,
        channels_in: usize,
        classes: usize,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Self {
        let [c1, c2, c3] = shape.channels;
        let stem = Conv2dShape::same(channels_in, c1, 3).with_stride(shape.stem_stride);
        ResNet {
            conv1: Conv2d::new(stem, Init::KaimingFanOut, rng, device),
            bn1: BatchNorm2d::new(c1, device),
            stage1: stage(shape.blocks, c1, c1, 1, rng, device),
            stage2: stage(shape.blocks, c1, c2, 2, rng, device),
            stage3: stage(shape.blocks, c2, c3, 2, rng, device),
            fc: Linear::new(c3, classes, rng, device),
        }
    }

    /// Its batch norms.
    pub(super) fn norms(&mut self) -> Vec<&mut BatchNorm2d> {
        let stages = [&mut self.stage1, &mut self.stage2, &mut self.stage3];
        let blocks = stages.into_iter().flatten();
        let of_blocks = blocks.flat_map(|block| block.norms());
        [&mut self.bn1].into_iter().chain(of_blocks).collect()
    }

    /// Maps `[batch, channels, height, width]` to the features before `fc`, `[batch, features]`.
    pub fn features(&self, images: Tensor<4>) -> Tensor<2> {
        let stem = ConvNorm {
            conv: &self.conv1,
            norm: &self.bn1,
        };
        let mut x = stem.forward_relu(images);
        for block in self.stage1.iter().chain(&self.stage2).chain(&self.stage3) {
            x = block.forward(x);
        }
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

/// A stage of `blocks` blocks. The first one changes channels and side.
fn stage(
    blocks: usize,
    channels_in: usize,
    channels_out: usize,
    stride: usize,
    rng: &mut impl Rng,
    device: &Device,
) -> Vec<BasicBlock> {
    (0..blocks)
        .map(|index| match index {
            0 => BasicBlock::new(channels_in, channels_out, stride, rng, device),
            _ => BasicBlock::new(channels_out, channels_out, 1, rng, device),
        })
        .collect()
}
