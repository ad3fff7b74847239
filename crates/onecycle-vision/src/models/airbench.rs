use crate::random::Rng;
use burn::{
    module::Module,
    tensor::{Device, Tensor, TensorData},
};
use onecycle_burn::nn::{
    BatchNorm2d, Conv2d, Conv2dShape, ConvNorm, Init, Linear, NormShape, Padding,
    global_max_pool2d, max_pool2d,
};

use super::whitening::whitening_filters;
use crate::ImageShape;

/// Side of the whitened patches.
const PATCH: usize = 2;
/// Channels of the three groups.
const CHANNELS: [usize; 3] = [64, 256, 256];
/// Weight of a new batch in the running statistics.
const NORM_MOMENTUM: f64 = 0.4;

/// The network that reaches 94 % on CIFAR-10 after 9.9 epochs in its paper (Jordan 2024, "94% on
/// CIFAR-10 in 3.29 seconds on a single GPU", arXiv:2404.00498, section 3 and appendix A).
///
/// | layer | output for 3 × 32 × 32 |
/// |---|---|
/// | `whiten`: convolution 2 × 2 without padding, GELU | 24 × 31 × 31 |
/// | `group1` | 64 × 15 × 15 |
/// | `group2` | 256 × 7 × 7 |
/// | `group3` | 256 × 3 × 3 |
/// | global maximum | 256 |
/// | `fc` without bias, times 1/9 | classes |
///
/// A group is a convolution 3 × 3, max pool 2 × 2, batch norm, GELU, and a convolution 3 × 3, batch
/// norm, GELU. Batch norms have a bias, but no scale. The filters of `whiten` decorrelate the
/// patches of the training images ([`whiten`](Self::whiten)) and stay fixed; its bias is trained.
/// The other convolutions start with [`Init::PartialIdentity`].
///
/// For three channels and 10 classes it has 1 971 352 trained parameters. The last pool takes the
/// maximum of all that is left, so that images of other sizes fit, too.
#[derive(Module, Debug)]
pub struct Airbench94 {
    whiten: Conv2d,
    group1: Group,
    group2: Group,
    group3: Group,
    fc: Linear,
}

impl Airbench94 {
    /// Factor on the logits.
    pub const LOGIT_SCALE: f64 = 1.0 / 9.0;

    /// Added to the variance by its batch norms.
    pub const EPSILON: f64 = 1e-12;

    /// Smallest side of an image, in pixels, that leaves at least one value per channel after the
    /// first layer and three pools.
    pub const MIN_SIDE: usize = 9;

    /// Builds a network with weights drawn from `rng` in the order of the layers. The first layer is
    /// random until [`whiten`](Self::whiten) sets it.
    pub fn new(channels_in: usize, classes: usize, rng: &mut impl Rng, device: &Device) -> Self {
        let filters = 2 * channels_in * PATCH * PATCH;
        let whiten = Conv2dShape {
            channels_in,
            channels_out: filters,
            kernel: PATCH,
            stride: 1,
            padding: Padding::Equal(0),
            groups: 1,
            bias: true,
        };
        // An initialisation with a bias of 0, as in the original.
        let mut whiten = Conv2d::new(whiten, Init::KaimingFanOut, rng, device);
        whiten.weight = whiten.weight.set_require_grad(false);
        let [c1, c2, c3] = CHANNELS;
        Airbench94 {
            whiten,
            group1: Group::new(filters, c1, rng, device),
            group2: Group::new(c1, c2, rng, device),
            group3: Group::new(c2, c3, rng, device),
            fc: Linear::without_bias(c3, classes, rng, device),
        }
    }

    /// Sets the filters of the first layer so that they whiten the patches of these images
    /// (section 3.2). `images` are normalised, `[image, channel, row, column]` of `shape`; the
    /// original uses 5000 training images.
    #[must_use]
    pub fn whiten(mut self, images: &[f32], shape: ImageShape) -> Self {
        let filters = whitening_filters(images, shape, PATCH);
        let dims = self.whiten.weight.dims();
        self.whiten.weight = self.whiten.weight.map(|weight| {
            let device = weight.device().without_autodiff();
            let filters = Tensor::from_data(TensorData::new(filters, dims), &device);
            match weight.is_autodiff() {
                true => filters.autodiff(),
                false => filters,
            }
        });
        self
    }

    /// Its batch norms.
    pub(super) fn norms(&mut self) -> Vec<&mut BatchNorm2d> {
        let groups = [&mut self.group1, &mut self.group2, &mut self.group3];
        groups
            .into_iter()
            .flat_map(|group| [&mut group.norm1, &mut group.norm2])
            .collect()
    }

    /// Maps `[batch, channels, height, width]` to the features before `fc`, `[batch, 256]`.
    pub fn features(&self, images: Tensor<4>) -> Tensor<2> {
        let x = self.whiten.forward_gelu(images);
        let x = self.group1.forward(x);
        let x = self.group2.forward(x);
        let x = self.group3.forward(x);
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

/// Two convolutions 3 × 3; a max pool follows the first.
#[derive(Module, Debug)]
struct Group {
    conv1: Conv2d,
    norm1: BatchNorm2d,
    conv2: Conv2d,
    norm2: BatchNorm2d,
}

impl Group {
    fn new(channels_in: usize, channels: usize, rng: &mut impl Rng, device: &Device) -> Self {
        let mut conv = |from| {
            let shape = Conv2dShape::same(from, channels, 3);
            Conv2d::new(shape, Init::PartialIdentity, rng, device)
        };
        let norm = || {
            let shape = NormShape {
                channels,
                epsilon: Airbench94::EPSILON,
                momentum: NORM_MOMENTUM,
                scale: false,
            };
            BatchNorm2d::with(shape, device)
        };
        Group {
            conv1: conv(channels_in),
            norm1: norm(),
            conv2: conv(channels),
            norm2: norm(),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = max_pool2d(self.conv1.forward(x), 2);
        let x = self.norm1.forward_gelu(x);
        let second = ConvNorm {
            conv: &self.conv2,
            norm: &self.norm2,
        };
        second.forward_gelu(x)
    }
}
