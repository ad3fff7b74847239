//! EfficientNet-Lite0 (Tan & Le 2019, "EfficientNet: Rethinking model scaling for convolutional
//! neural networks", table 1), as in timm.

use crate::random::Rng;
use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use onecycle_burn::nn::{
    BatchNorm2d, Conv2d, Conv2dShape, ConvNorm, Init, Linear, NormShape, Padding, branch,
    global_average_pool2d,
};

/// Channels of the stem.
const STEM: usize = 32;
/// Channels of the last convolution, and so the number of features.
const FEATURES: usize = 1280;
/// Channels of the depthwise convolution per input channel, except in the first stage.
const EXPANSION: usize = 6;

/// A row of table 1 of the paper.
struct Stage {
    blocks: usize,
    channels: usize,
    /// Side of the depthwise windows.
    kernel: usize,
    /// Stride of the first block.
    stride: usize,
}

const fn stage(blocks: usize, channels: usize, kernel: usize, stride: usize) -> Stage {
    Stage {
        blocks,
        channels,
        kernel,
        stride,
    }
}

/// Stages 2 to 8 of table 1.
const STAGES: [Stage; 7] = [
    stage(1, 16, 3, 1),
    stage(2, 24, 3, 2),
    stage(2, 40, 5, 2),
    stage(3, 80, 3, 2),
    stage(3, 112, 5, 1),
    stage(4, 192, 5, 2),
    stage(1, 320, 3, 1),
];

/// EfficientNet-B0 without squeeze-and-excitation and with ReLU6 instead of SiLU: the lite variant for
/// devices on which both are slow. Parameters have timm's names (`efficientnet_lite0`).
///
/// | layer | output for 3 × 224 × 224 |
/// |---|---|
/// | `conv_stem` 3 × 3, stride 2, `bn1`, ReLU6 | 32 × 112 × 112 |
/// | `blocks.0`: 1 block, 3 × 3 | 16 × 112 × 112 |
/// | `blocks.1`: 2 blocks, 3 × 3, stride 2 | 24 × 56 × 56 |
/// | `blocks.2`: 2 blocks, 5 × 5, stride 2 | 40 × 28 × 28 |
/// | `blocks.3`: 3 blocks, 3 × 3, stride 2 | 80 × 14 × 14 |
/// | `blocks.4`: 3 blocks, 5 × 5 | 112 × 14 × 14 |
/// | `blocks.5`: 4 blocks, 5 × 5, stride 2 | 192 × 7 × 7 |
/// | `blocks.6`: 1 block, 3 × 3 | 320 × 7 × 7 |
/// | `conv_head` 1 × 1, `bn2`, ReLU6 | 1280 × 7 × 7 |
/// | global average | 1280 |
/// | `classifier` | classes |
///
/// The block of `blocks.0` is a [`SeparableBlock`], the others are [`InvertedBlock`]s. For three
/// channels and 10 classes the network has 3 383 818 parameters.
///
/// Padding is symmetric and batch norm has PyTorch's constants, as in timm's `efficientnet_lite0`.
/// [`tensorflow`](Self::tensorflow) has those of TensorFlow, as in `tf_efficientnet_lite0`.
/// Convolutions start with [`Init::KaimingFanOut`], as in timm, the classifier with
/// [`Init::Uniform`]. There is no dropout.
#[derive(Module, Debug)]
pub struct EfficientNetLite0 {
    conv_stem: Conv2d,
    bn1: BatchNorm2d,
    blocks: Vec<Vec<MobileBlock>>,
    conv_head: Conv2d,
    bn2: BatchNorm2d,
    classifier: Linear,
}

impl EfficientNetLite0 {
    /// Smallest side of an image, in pixels: the network halves it five times.
    pub const MIN_SIDE: usize = 32;

    /// Added to the variance by the batch norms of [`tensorflow`](Self::tensorflow).
    pub const TENSORFLOW_EPSILON: f64 = 1e-3;

    /// Builds a network with weights drawn from `rng` in the order of the layers.
    pub fn new(channels_in: usize, classes: usize, rng: &mut impl Rng, device: &Device) -> Self {
        EfficientNetLite0::with(Constants::Torch, channels_in, classes, rng, device)
    }

    /// Builds a network for the weights of the authors, which were trained in TensorFlow. Its
    /// convolutions of stride 2 have `SAME` padding: an even side has one row or column less in front
    /// than behind. Its batch norms have [`TENSORFLOW_EPSILON`](Self::TENSORFLOW_EPSILON).
    pub fn tensorflow(
        channels_in: usize,
        classes: usize,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Self {
        EfficientNetLite0::with(Constants::TensorFlow, channels_in, classes, rng, device)
    }

    fn with(
        constants: Constants,
        channels_in: usize,
        classes: usize,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Self {
        let stem = Conv2dShape::same(channels_in, STEM, 3).with_stride(2);
        let conv_stem = Conv2d::new(constants.padded(stem), Init::KaimingFanOut, rng, device);
        let mut channels = STEM;
        let mut blocks = Vec::with_capacity(STAGES.len());
        for (index, stage) in STAGES.iter().enumerate() {
            let mut of_stage = Vec::with_capacity(stage.blocks);
            for block in 0..stage.blocks {
                let shape = BlockShape {
                    constants,
                    channels_in: channels,
                    channels_out: stage.channels,
                    kernel: stage.kernel,
                    stride: if block == 0 { stage.stride } else { 1 },
                };
                of_stage.push(match index {
                    0 => MobileBlock::Separable(SeparableBlock::new(shape, rng, device)),
                    _ => MobileBlock::Inverted(InvertedBlock::new(shape, rng, device)),
                });
                channels = stage.channels;
            }
            blocks.push(of_stage);
        }
        let head = Conv2dShape::same(channels, FEATURES, 1);
        EfficientNetLite0 {
            conv_stem,
            bn1: constants.norm(STEM, device),
            blocks,
            conv_head: Conv2d::new(head, Init::KaimingFanOut, rng, device),
            bn2: constants.norm(FEATURES, device),
            classifier: Linear::new(FEATURES, classes, rng, device),
        }
    }

    /// Its batch norms.
    pub(super) fn norms(&mut self) -> Vec<&mut BatchNorm2d> {
        let blocks = self.blocks.iter_mut().flatten();
        let of_blocks = blocks.flat_map(MobileBlock::norms);
        let stem = [&mut self.bn1].into_iter();
        stem.chain(of_blocks).chain([&mut self.bn2]).collect()
    }

    /// Maps `[batch, channels, height, width]` to the features before `classifier`,
    /// `[batch, 1280]`.
    pub fn features(&self, images: Tensor<4>) -> Tensor<2> {
        let mut x = layer(&self.conv_stem, &self.bn1).forward_relu6(images);
        for block in self.blocks.iter().flatten() {
            x = block.forward(x);
        }
        let x = layer(&self.conv_head, &self.bn2).forward_relu6(x);
        global_average_pool2d(x)
    }

    /// Maps features to logits `[batch, classes]`.
    pub fn classify(&self, features: Tensor<2>) -> Tensor<2> {
        self.classifier.forward(features)
    }

    /// The layer after the features.
    pub(super) fn head(&self) -> &Linear {
        &self.classifier
    }
}

/// The library whose padding and constants of batch norm a network has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Constants {
    Torch,
    TensorFlow,
}

impl Constants {
    /// The convolution with the library's padding.
    fn padded(self, shape: Conv2dShape) -> Conv2dShape {
        match self {
            Constants::TensorFlow if shape.stride > 1 => {
                shape.with_padding(Padding::TensorFlowSame)
            }
            _ => shape,
        }
    }

    fn norm(self, channels: usize, device: &Device) -> BatchNorm2d {
        let shape = NormShape::new(channels);
        let epsilon = match self {
            Constants::Torch => shape.epsilon,
            Constants::TensorFlow => EfficientNetLite0::TENSORFLOW_EPSILON,
        };
        BatchNorm2d::with(NormShape { epsilon, ..shape }, device)
    }
}

/// Channels, window and stride of a block.
#[derive(Debug, Clone, Copy)]
struct BlockShape {
    constants: Constants,
    channels_in: usize,
    channels_out: usize,
    kernel: usize,
    stride: usize,
}

impl BlockShape {
    /// Whether the output is added to the input.
    fn is_residual(self) -> bool {
        self.stride == 1 && self.channels_in == self.channels_out
    }

    /// The depthwise convolution.
    fn depthwise(self, channels: usize) -> Conv2dShape {
        let shape = Conv2dShape::depthwise(channels, self.kernel).with_stride(self.stride);
        self.constants.padded(shape)
    }
}

/// A block of an [`EfficientNetLite0`]. Nothing follows its last batch norm.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // A network has sixteen blocks.
pub enum MobileBlock {
    /// Without expansion.
    Separable(SeparableBlock),
    /// With expansion.
    Inverted(InvertedBlock),
}

impl MobileBlock {
    fn norms(&mut self) -> Vec<&mut BatchNorm2d> {
        match self {
            MobileBlock::Separable(block) => vec![&mut block.bn1, &mut block.bn2],
            MobileBlock::Inverted(block) => vec![&mut block.bn1, &mut block.bn2, &mut block.bn3],
        }
    }

    /// Maps `[batch, in, height, width]` to `[batch, out, height / stride, width / stride]`, sides
    /// rounded up.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            MobileBlock::Separable(block) => block.forward(x),
            MobileBlock::Inverted(block) => block.forward(x),
        }
    }
}

/// `bn2(conv_pw(relu6(bn1(conv_dw(x)))))`, plus `x` if it has the same shape: a depthwise convolution
/// and one of 1 × 1 (Howard et al. 2017, "MobileNets", section 3.1).
#[derive(Module, Debug)]
pub struct SeparableBlock {
    conv_dw: Conv2d,
    bn1: BatchNorm2d,
    conv_pw: Conv2d,
    bn2: BatchNorm2d,
    residual: bool,
}

impl SeparableBlock {
    fn new(shape: BlockShape, rng: &mut impl Rng, device: &Device) -> Self {
        let BlockShape {
            channels_in,
            channels_out,
            ..
        } = shape;
        let mut conv = |shape| Conv2d::new(shape, Init::KaimingFanOut, rng, device);
        let norm = |channels| shape.constants.norm(channels, device);
        // The only block without expansion has stride 1.
        SeparableBlock {
            conv_dw: conv(shape.depthwise(channels_in)),
            bn1: norm(channels_in),
            conv_pw: conv(Conv2dShape::same(channels_in, channels_out, 1)),
            bn2: norm(channels_out),
            residual: shape.is_residual(),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let (x, residual) = residual_of(self.residual, x);
        let y = layer(&self.conv_dw, &self.bn1).forward_relu6(x);
        last(layer(&self.conv_pw, &self.bn2), y, residual)
    }
}

/// `bn3(conv_pwl(relu6(bn2(conv_dw(relu6(bn1(conv_pw(x))))))))`, plus `x` if it has the same shape: a
/// depthwise convolution between two of 1 × 1, which multiply the channels by six and reduce them
/// again (Sandler et al. 2018, "MobileNetV2", section 3.3).
#[derive(Module, Debug)]
pub struct InvertedBlock {
    conv_pw: Conv2d,
    bn1: BatchNorm2d,
    conv_dw: Conv2d,
    bn2: BatchNorm2d,
    conv_pwl: Conv2d,
    bn3: BatchNorm2d,
    residual: bool,
}

impl InvertedBlock {
    fn new(shape: BlockShape, rng: &mut impl Rng, device: &Device) -> Self {
        let BlockShape {
            channels_in,
            channels_out,
            ..
        } = shape;
        let width = EXPANSION * channels_in;
        let mut conv = |shape| Conv2d::new(shape, Init::KaimingFanOut, rng, device);
        let norm = |channels| shape.constants.norm(channels, device);
        InvertedBlock {
            conv_pw: conv(Conv2dShape::same(channels_in, width, 1)),
            bn1: norm(width),
            conv_dw: conv(shape.depthwise(width)),
            bn2: norm(width),
            conv_pwl: conv(Conv2dShape::same(width, channels_out, 1)),
            bn3: norm(channels_out),
            residual: shape.is_residual(),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let (x, residual) = residual_of(self.residual, x);
        let y = layer(&self.conv_pw, &self.bn1).forward_relu6(x);
        let y = layer(&self.conv_dw, &self.bn2).forward_relu6(y);
        last(layer(&self.conv_pwl, &self.bn3), y, residual)
    }
}

/// The input of a block, and the residual to add to its output if any.
fn residual_of(residual: bool, x: Tensor<4>) -> (Tensor<4>, Option<Tensor<4>>) {
    match residual {
        false => (x, None),
        true => {
            let [x, shortcut] = branch(x);
            (x, Some(shortcut))
        }
    }
}

/// The last layer of a block.
fn last(layer: ConvNorm, x: Tensor<4>, residual: Option<Tensor<4>>) -> Tensor<4> {
    match residual {
        None => layer.forward(x),
        Some(residual) => layer.forward_add(x, residual),
    }
}

fn layer<'a>(conv: &'a Conv2d, norm: &'a BatchNorm2d) -> ConvNorm<'a> {
    ConvNorm { conv, norm }
}
