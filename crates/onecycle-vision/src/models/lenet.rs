use crate::random::Rng;
use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use onecycle_burn::nn::{Conv2d, Conv2dShape, Init, Linear, Padding, max_pool2d};

/// LeNet-5 (LeCun et al. 1998, "Gradient-based learning applied to document recognition", section
/// II.B) in its usual modern form: ReLU instead of tanh, max pooling instead of trained
/// subsampling, full connections in `conv2`, and a linear output layer.
///
/// | layer | output for 1 × 28 × 28 |
/// |---|---|
/// | `conv1` 5 × 5, padding 2, ReLU | 6 × 28 × 28 |
/// | max pool 2 × 2 | 6 × 14 × 14 |
/// | `conv2` 5 × 5, ReLU | 16 × 10 × 10 |
/// | max pool 2 × 2 | 16 × 5 × 5 |
/// | `fc1`, ReLU | 120 |
/// | `fc2`, ReLU | 84 |
/// | `fc3` | classes |
///
/// For 1 × 28 × 28 and 10 classes it has 61 706 parameters. Weights start with [`Init::Uniform`].
#[derive(Module, Debug)]
pub struct LeNet5 {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}

impl LeNet5 {
    /// Smallest side of an image, in pixels, that leaves at least one value per channel after both
    /// pools.
    pub const MIN_SIDE: usize = 12;

    /// Builds a network for images of `height × width`, both at least [`LeNet5::MIN_SIDE`], with
    /// weights drawn from `rng` in the order of the layers.
    pub fn new(
        channels_in: usize,
        [height, width]: [usize; 2],
        classes: usize,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Self {
        let side = |side: usize| (side / 2 - 4) / 2;
        let features = 16 * side(height) * side(width);
        let conv1 = Conv2dShape::same(channels_in, 6, 5).with_bias();
        let conv2 = Conv2dShape::same(6, 16, 5)
            .with_padding(Padding::Equal(0))
            .with_bias();
        LeNet5 {
            conv1: Conv2d::new(conv1, Init::Uniform, rng, device),
            conv2: Conv2d::new(conv2, Init::Uniform, rng, device),
            fc1: Linear::new(features, 120, rng, device),
            fc2: Linear::new(120, 84, rng, device),
            fc3: Linear::new(84, classes, rng, device),
        }
    }

    /// Maps `[batch, channels, height, width]` to the features before `fc3`, `[batch, 84]`.
    pub fn features(&self, images: Tensor<4>) -> Tensor<2> {
        let x = max_pool2d(self.conv1.forward_relu(images), 2);
        let x = max_pool2d(self.conv2.forward_relu(x), 2);
        let x = self.fc1.forward_relu(x.flatten(1, 3));
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

/// Caffe's LeNet for MNIST (`examples/mnist/lenet_train_test.prototxt`). There is no activation
/// between convolution and pool.
///
/// | layer | output for 1 × 28 × 28 |
/// |---|---|
/// | `conv1` 5 × 5 | 20 × 24 × 24 |
/// | max pool 2 × 2 | 20 × 12 × 12 |
/// | `conv2` 5 × 5 | 50 × 8 × 8 |
/// | max pool 2 × 2 | 50 × 4 × 4 |
/// | `fc1`, ReLU | 500 |
/// | `fc2` | classes |
///
/// For 1 × 28 × 28 and 10 classes it has 431 080 parameters. Weights start uniform with variance
/// `1/fan_in` ([`Init::XavierFanIn`]), biases at 0.
#[derive(Module, Debug)]
pub struct CaffeLeNet {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
}

impl CaffeLeNet {
    /// Smallest side of an image, in pixels, that leaves at least one value per channel after both
    /// pools.
    pub const MIN_SIDE: usize = 16;

    /// Builds a network for images of `height × width`, both at least [`CaffeLeNet::MIN_SIDE`],
    /// with weights drawn from `rng` in the order of the layers.
    pub fn new(
        channels_in: usize,
        [height, width]: [usize; 2],
        classes: usize,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Self {
        let init = Init::XavierFanIn;
        let side = |side: usize| ((side - 4) / 2 - 4) / 2;
        let features = 50 * side(height) * side(width);
        let conv = |from, to| {
            Conv2dShape::same(from, to, 5)
                .with_padding(Padding::Equal(0))
                .with_bias()
        };
        CaffeLeNet {
            conv1: Conv2d::new(conv(channels_in, 20), init, rng, device),
            conv2: Conv2d::new(conv(20, 50), init, rng, device),
            fc1: Linear::with_init(features, 500, init, rng, device),
            fc2: Linear::with_init(500, classes, init, rng, device),
        }
    }

    /// Maps `[batch, channels, height, width]` to the features before `fc2`, `[batch, 500]`.
    pub fn features(&self, images: Tensor<4>) -> Tensor<2> {
        let x = max_pool2d(self.conv1.forward(images), 2);
        let x = max_pool2d(self.conv2.forward(x), 2);
        self.fc1.forward_relu(x.flatten(1, 3))
    }

    /// Maps features to logits `[batch, classes]`.
    pub fn classify(&self, features: Tensor<2>) -> Tensor<2> {
        self.fc2.forward(features)
    }

    /// The layer after the features.
    pub(super) fn head(&self) -> &Linear {
        &self.fc2
    }
}
