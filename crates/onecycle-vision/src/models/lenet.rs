use crate::random::Rng;
use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use onecycle_burn::nn::{Conv2d, Conv2dShape, Init, Linear, max_pool2d};

/// LeNet-5 (LeCun et al. 1998) in its present-day form: ReLU and max pooling.
///
/// `conv1` 5 × 5 with 6 channels and padding 2, pool, `conv2` 5 × 5 with 16 channels, pool, then 120, 84 and
/// `classes` units.
#[derive(Module, Debug)]
pub struct LeNet5 {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}

impl LeNet5 {
    /// Smallest side of an image that leaves at least one value a channel after both pools.
    pub const MIN_SIDE: usize = 12;

    /// A network for images of `height × width`, both at least [`LeNet5::MIN_SIDE`], weights drawn from `rng`.
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
        let conv2 = Conv2dShape::same(6, 16, 5).with_padding(0).with_bias();
        LeNet5 {
            conv1: Conv2d::new(conv1, Init::Uniform, rng, device),
            conv2: Conv2d::new(conv2, Init::Uniform, rng, device),
            fc1: Linear::new(features, 120, rng, device),
            fc2: Linear::new(120, 84, rng, device),
            fc3: Linear::new(84, classes, rng, device),
        }
    }

    /// `[batch, channels, height, width]` to logits `[batch, classes]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = max_pool2d(self.conv1.forward_relu(images), 2);
        let x = max_pool2d(self.conv2.forward_relu(x), 2);
        let x = self.fc1.forward_relu(x.flatten(1, 3));
        self.fc3.forward(self.fc2.forward_relu(x))
    }
}

/// Caffe's LeNet for MNIST (`examples/mnist/lenet_train_test.prototxt`): no activation between convolution and pool, and
/// a bias that starts at 0.
///
/// `conv1` 5 × 5 with 20 channels, pool, `conv2` 5 × 5 with 50 channels, pool, both without padding, then 500 units with
/// ReLU and `classes` units. Weights start uniform with variance `1/fan_in` ([`Init::XavierFanIn`]).
#[derive(Module, Debug)]
pub struct CaffeLeNet {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
}

impl CaffeLeNet {
    /// Smallest side of an image that leaves at least one value a channel after both pools.
    pub const MIN_SIDE: usize = 16;

    /// A network for images of `height × width`, both at least [`CaffeLeNet::MIN_SIDE`], weights drawn from `rng`.
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
        let conv = |from, to| Conv2dShape::same(from, to, 5).with_padding(0).with_bias();
        CaffeLeNet {
            conv1: Conv2d::new(conv(channels_in, 20), init, rng, device),
            conv2: Conv2d::new(conv(20, 50), init, rng, device),
            fc1: Linear::with_init(features, 500, init, rng, device),
            fc2: Linear::with_init(500, classes, init, rng, device),
        }
    }

    /// `[batch, channels, height, width]` to logits `[batch, classes]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = max_pool2d(self.conv1.forward(images), 2);
        let x = max_pool2d(self.conv2.forward(x), 2);
        self.fc2.forward(self.fc1.forward_relu(x.flatten(1, 3)))
    }
}
