//! Residual networks for photos (He et al. 2016, "Deep residual learning for image recognition",
//! section 4.1 and table 1), as in torchvision.

use crate::random::Rng;
use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use onecycle_burn::nn::{
    BatchNorm2d, Conv2d, Conv2dShape, ConvNorm, Init, Linear, PoolWindow, branch,
    global_average_pool2d, max_pool2d_with,
};

/// Channels of the stem, and of the 3 × 3 convolutions of the four layers.
const CHANNELS: [usize; 4] = [64, 128, 256, 512];
/// Output channels of a [`BottleneckBlock`] per channel of its 3 × 3 convolution.
const EXPANSION: usize = 4;
/// The max pool after the first convolution.
const STEM_POOL: PoolWindow = PoolWindow {
    side: 3,
    stride: 2,
    padding: 1,
};

/// Depth and kind of block of an [`ImageNetResNet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageNetResNetShape {
    /// Blocks of each of the four layers.
    pub blocks: [usize; 4],
    /// Whether the blocks are [`BottleneckBlock`]s, for deep networks.
    pub bottleneck: bool,
}

impl ImageNetResNetShape {
    /// 18 layers with weights.
    pub const RESNET18: Self = ImageNetResNetShape {
        blocks: [2, 2, 2, 2],
        bottleneck: false,
    };

    /// 34 layers with weights.
    pub const RESNET34: Self = ImageNetResNetShape {
        blocks: [3, 4, 6, 3],
        bottleneck: false,
    };

    /// 50 layers with weights.
    pub const RESNET50: Self = ImageNetResNetShape {
        blocks: [3, 4, 6, 3],
        bottleneck: true,
    };
}

/// A residual network for photos. Parameters have torchvision's names.
///
/// | layer | output for 3 × 224 × 224: `resnet18`, `resnet34` | `resnet50` |
/// |---|---|---|
/// | `conv1` 7 × 7, stride 2, `bn1`, ReLU | 64 × 112 × 112 | 64 × 112 × 112 |
/// | max pool 3 × 3, stride 2 | 64 × 56 × 56 | 64 × 56 × 56 |
/// | `layer1` | 64 × 56 × 56 | 256 × 56 × 56 |
/// | `layer2`: the first block halves the side | 128 × 28 × 28 | 512 × 28 × 28 |
/// | `layer3`: the first block halves the side | 256 × 14 × 14 | 1024 × 14 × 14 |
/// | `layer4`: the first block halves the side | 512 × 7 × 7 | 2048 × 7 × 7 |
/// | global average | 512 | 2048 |
/// | `fc` | classes | classes |
///
/// The layers of `resnet18` have 2, 2, 2 and 2 [`ResidualBlock`]s, those of the others 3, 4, 6 and 3.
/// Where a block changes channels or side, its shortcut is a 1 × 1 convolution with batch norm
/// (option B of the paper). For three channels and 10 classes the networks have 11 181 642,
/// 21 289 802 and 23 528 522 parameters. Convolutions start with [`Init::KaimingFanOut`].
#[derive(Module, Debug)]
pub struct ImageNetResNet {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    layer1: Vec<ResidualBlock>,
    layer2: Vec<ResidualBlock>,
    layer3: Vec<ResidualBlock>,
    layer4: Vec<ResidualBlock>,
    fc: Linear,
}

impl ImageNetResNet {
    /// Smallest side of an image, in pixels: the network halves it five times.
    pub const MIN_SIDE: usize = 32;

    /// Builds a network with weights drawn from `rng` in the order of the layers.
    pub fn new(
        shape: ImageNetResNetShape,
        channels_in: usize,
        classes: usize,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Self {
        let [c1, ..] = CHANNELS;
        let stem = Conv2dShape::same(channels_in, c1, 7).with_stride(2);
        let conv1 = Conv2d::new(stem, Init::KaimingFanOut, rng, device);
        let mut channels = c1;
        let [layer1, layer2, layer3, layer4] = [0, 1, 2, 3].map(|index| {
            let blocks = 0..shape.blocks[index];
            let blocks = blocks.map(|block| {
                let stride = if index > 0 && block == 0 { 2 } else { 1 };
                let block = BlockShape {
                    channels_in: channels,
                    width: CHANNELS[index],
                    stride,
                };
                channels = block.channels_out(shape.bottleneck);
                ResidualBlock::new(block, shape.bottleneck, rng, device)
            });
            blocks.collect()
        });
        ImageNetResNet {
            conv1,
            bn1: BatchNorm2d::new(c1, device),
            layer1,
            layer2,
            layer3,
            layer4,
            fc: Linear::new(channels, classes, rng, device),
        }
    }

    /// Its batch norms.
    pub(super) fn norms(&mut self) -> Vec<&mut BatchNorm2d> {
        let layers = [
            &mut self.layer1,
            &mut self.layer2,
            &mut self.layer3,
            &mut self.layer4,
        ];
        let blocks = layers.into_iter().flatten();
        let of_blocks = blocks.flat_map(ResidualBlock::norms);
        [&mut self.bn1].into_iter().chain(of_blocks).collect()
    }

    /// Maps `[batch, channels, height, width]` to the features before `fc`, `[batch, features]`.
    pub fn features(&self, images: Tensor<4>) -> Tensor<2> {
        let stem = ConvNorm {
            conv: &self.conv1,
            norm: &self.bn1,
        };
        let mut x = max_pool2d_with(stem.forward_relu(images), STEM_POOL);
        let layers = [&self.layer1, &self.layer2, &self.layer3, &self.layer4];
        for block in layers.into_iter().flatten() {
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

/// Channels and stride of a block.
#[derive(Debug, Clone, Copy)]
struct BlockShape {
    channels_in: usize,
    /// Channels of the 3 × 3 convolutions.
    width: usize,
    stride: usize,
}

impl BlockShape {
    fn channels_out(self, bottleneck: bool) -> usize {
        match bottleneck {
            true => EXPANSION * self.width,
            false => self.width,
        }
    }
}

/// A 1 × 1 convolution and batch norm in a shortcut. As a tuple, its layers are named 0 and 1.
type Downsample = (Conv2d, BatchNorm2d);

/// A block of an [`ImageNetResNet`], with `relu` at its end.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // All blocks of a network are of one variant.
pub enum ResidualBlock {
    /// Two 3 × 3 convolutions.
    Plain(PlainBlock),
    /// A 3 × 3 convolution between two of 1 × 1.
    Bottleneck(BottleneckBlock),
}

impl ResidualBlock {
    fn new(shape: BlockShape, bottleneck: bool, rng: &mut impl Rng, device: &Device) -> Self {
        match bottleneck {
            true => ResidualBlock::Bottleneck(BottleneckBlock::new(shape, rng, device)),
            false => ResidualBlock::Plain(PlainBlock::new(shape, rng, device)),
        }
    }

    fn norms(&mut self) -> Vec<&mut BatchNorm2d> {
        let (mut norms, downsample) = match self {
            ResidualBlock::Plain(block) => {
                (vec![&mut block.bn1, &mut block.bn2], &mut block.downsample)
            }
            ResidualBlock::Bottleneck(block) => (
                vec![&mut block.bn1, &mut block.bn2, &mut block.bn3],
                &mut block.downsample,
            ),
        };
        norms.extend(downsample.as_mut().map(|(_, norm)| norm));
        norms
    }

    /// Maps `[batch, in, height, width]` to `[batch, out, height / stride, width / stride]`, sides
    /// rounded up.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            ResidualBlock::Plain(block) => block.forward(x),
            ResidualBlock::Bottleneck(block) => block.forward(x),
        }
    }
}

/// `relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))` with two 3 × 3 convolutions, the first with
/// the stride (figure 5, left).
#[derive(Module, Debug)]
pub struct PlainBlock {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    downsample: Option<Downsample>,
}

impl PlainBlock {
    fn new(shape: BlockShape, rng: &mut impl Rng, device: &Device) -> Self {
        let BlockShape {
            channels_in,
            width,
            stride,
        } = shape;
        let conv1 = Conv2dShape::same(channels_in, width, 3).with_stride(stride);
        let conv2 = Conv2dShape::same(width, width, 3);
        PlainBlock {
            conv1: Conv2d::new(conv1, Init::KaimingFanOut, rng, device),
            bn1: BatchNorm2d::new(width, device),
            conv2: Conv2d::new(conv2, Init::KaimingFanOut, rng, device),
            bn2: BatchNorm2d::new(width, device),
            downsample: downsample(shape, false, rng, device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [x, shortcut] = branch(x);
        let y = layer(&self.conv1, &self.bn1).forward_relu(x);
        let shortcut = shortcut_of(self.downsample.as_ref(), shortcut);
        layer(&self.conv2, &self.bn2).forward_residual(y, shortcut)
    }
}

/// `relu(bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x)))))))) + shortcut(x))` with a 3 × 3 convolution
/// between two of 1 × 1, which reduce the channels to a quarter and restore them (figure 5, right).
/// As in torchvision, the 3 × 3 convolution has the stride, not the first (known as version 1.5).
#[derive(Module, Debug)]
pub struct BottleneckBlock {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    conv3: Conv2d,
    bn3: BatchNorm2d,
    downsample: Option<Downsample>,
}

impl BottleneckBlock {
    fn new(shape: BlockShape, rng: &mut impl Rng, device: &Device) -> Self {
        let BlockShape {
            channels_in,
            width,
            stride,
        } = shape;
        let channels_out = shape.channels_out(true);
        let mut conv = |shape| Conv2d::new(shape, Init::KaimingFanOut, rng, device);
        BottleneckBlock {
            conv1: conv(Conv2dShape::same(channels_in, width, 1)),
            bn1: BatchNorm2d::new(width, device),
            conv2: conv(Conv2dShape::same(width, width, 3).with_stride(stride)),
            bn2: BatchNorm2d::new(width, device),
            conv3: conv(Conv2dShape::same(width, channels_out, 1)),
            bn3: BatchNorm2d::new(channels_out, device),
            downsample: downsample(shape, true, rng, device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [x, shortcut] = branch(x);
        let y = layer(&self.conv1, &self.bn1).forward_relu(x);
        let y = layer(&self.conv2, &self.bn2).forward_relu(y);
        let shortcut = shortcut_of(self.downsample.as_ref(), shortcut);
        layer(&self.conv3, &self.bn3).forward_residual(y, shortcut)
    }
}

/// The projection of a block that changes channels or side.
fn downsample(
    shape: BlockShape,
    bottleneck: bool,
    rng: &mut impl Rng,
    device: &Device,
) -> Option<Downsample> {
    let channels_out = shape.channels_out(bottleneck);
    let projects = shape.stride != 1 || shape.channels_in != channels_out;
    projects.then(|| {
        let conv = Conv2dShape::same(shape.channels_in, channels_out, 1).with_stride(shape.stride);
        (
            Conv2d::new(conv, Init::KaimingFanOut, rng, device),
            BatchNorm2d::new(channels_out, device),
        )
    })
}

/// The shortcut of a block, projected if necessary.
fn shortcut_of(downsample: Option<&Downsample>, x: Tensor<4>) -> Tensor<4> {
    match downsample {
        None => x,
        Some((conv, norm)) => layer(conv, norm).forward(x),
    }
}

fn layer<'a>(conv: &'a Conv2d, norm: &'a BatchNorm2d) -> ConvNorm<'a> {
    ConvNorm { conv, norm }
}
