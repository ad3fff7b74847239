//! Networks for images. Their weights can be exchanged with PyTorch unchanged.
//!
//! | name | network | parameters | smallest side |
//! |---|---|---|---|
//! | `lenet5` | [`LeNet5`]: LeCun et al. 1998, with ReLU and max pooling | 61 706 | 12 |
//! | `lenet-caffe` | [`CaffeLeNet`]: Caffe's example for MNIST | 431 080 | 16 |
//! | `mlp` | [`Mlp`]: a multi-layer perceptron with two hidden layers | 235 146 | 1 |
//! | `resnet-small` | [`ResNet`] for 28 × 28 pixels, stem of stride 2 | 308 074 | 4 |
//! | `convnet` | [`ConvNet`]: three convolutions with batch norm | 24 346 | 4 |
//! | `convnet-plain` | [`ConvNet`]: three convolutions without batch norm | 24 234 | 4 |
//! | `resnet8` | [`ResNet`]: He et al. 2016, section 4.2 | 78 042 | 4 |
//! | `resnet20` | the same, deeper | 272 474 | 4 |
//! | `resnet32` | | 466 906 | 4 |
//! | `resnet44` | | 661 338 | 4 |
//! | `resnet56` | | 855 770 | 4 |
//! | `resnet110` | | 1 730 714 | 4 |
//! | `resnet9` | [`ResNet9`]: Page 2018, the wide network of the DAWNBench entries | 6 573 130 | 8 |
//! | `airbench94` | [`Airbench94`]: Jordan 2024, for few epochs of CIFAR-10 | 1 971 352 | 9 |
//! | `resnet18` | [`ImageNetResNet`]: He et al. 2016, section 4.1, for photos | 11 181 642 | 32 |
//! | `resnet34` | the same, deeper | 21 289 802 | 32 |
//! | `resnet50` | the same, with bottleneck blocks | 23 528 522 | 32 |
//! | `efficientnet-lite0` | [`EfficientNetLite0`]: Tan & Le 2019, the lite variant, for photos | 3 383 818 | 32 |
//! | `tf-efficientnet-lite0` | the same with TensorFlow's padding and batch norm, for its authors' weights | 3 383 818 | 32 |
//!
//! Parameters are trainable ones, with 10 classes: the first four networks for images of 1 × 28 ×
//! 28, the others for three channels. The smallest side is in pixels.
//!
//! [`Model`] holds any of them; [`Architecture`] is its name. [`Network`] is the trait of a module of
//! your own. [`Model::features`] and [`Model::classify`] are the two parts of a network that
//! fine-tuning needs, and [`Architecture::layer_groups`] divides its parameters by depth.

mod airbench;
mod conv_bn;
mod convnet;
mod efficientnet;
mod error;
mod imagenet_resnet;
mod layer_groups;
mod lenet;
mod mlp;
mod resnet;
mod resnet9;
mod whitening;

use std::{fmt, str::FromStr};

use crate::random::Rng;
use burn::{
    module::Module,
    tensor::{Device, Tensor},
};

pub use airbench::Airbench94;
pub use conv_bn::ConvBn;
pub use convnet::ConvNet;
pub use efficientnet::{EfficientNetLite0, InvertedBlock, MobileBlock, SeparableBlock};
pub use error::ModelError;
pub use imagenet_resnet::{
    BottleneckBlock, ImageNetResNet, ImageNetResNetShape, PlainBlock, ResidualBlock,
};
pub use layer_groups::LayerGroup;
pub use lenet::{CaffeLeNet, LeNet5};
pub use mlp::Mlp;
pub use resnet::{BasicBlock, ResNet, ResNetShape};
pub use resnet9::ResNet9;
pub use whitening::whitening_filters;

use crate::ImageShape;

/// A network for images, of this crate or your own. The functions that train or evaluate a network
/// take any `Network`.
///
/// ```
/// use burn::{module::Module, tensor::Tensor};
/// use onecycle_burn::nn::Linear;
/// use onecycle_vision::models::Network;
///
/// #[derive(Module, Debug)]
/// struct Perceptron {
///     fc: Linear,
/// }
///
/// impl Network for Perceptron {
///     fn forward(&self, images: Tensor<4>) -> Tensor<2> {
///         self.fc.forward(images.flatten(1, 3))
///     }
/// }
/// ```
pub trait Network: Module {
    /// Maps normalised images `[batch, channels, height, width]` to logits `[batch, classes]`.
    fn forward(&self, images: Tensor<4>) -> Tensor<2>;

    /// Maps features `[batch, features]`, the inputs of the last layer, to logits `[batch,
    /// classes]`. By default, features are images of one pixel with a channel per feature: right
    /// for a network that is a last layer only.
    fn classify(&self, features: Tensor<2>) -> Tensor<2> {
        let [batch, width] = features.dims();
        self.forward(features.reshape([batch, width, 1, 1]))
    }
}

/// Implements [`Network`], and `forward` as its two parts.
macro_rules! networks {
    ($($network:ty),*) => {
        $(impl Network for $network {
            fn forward(&self, images: Tensor<4>) -> Tensor<2> {
                // The network's own function of this name, as below.
                <$network>::forward(self, images)
            }

            fn classify(&self, features: Tensor<2>) -> Tensor<2> {
                <$network>::classify(self, features)
            }
        }

        impl $network {
            /// Maps normalised images `[batch, channels, height, width]` to logits
            /// `[batch, classes]`: `classify(features(images))`.
            pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
                self.classify(self.features(images))
            }
        })*
    };
}

networks!(
    Model,
    LeNet5,
    CaffeLeNet,
    ConvNet,
    Mlp,
    ResNet,
    ResNet9,
    Airbench94,
    ImageNetResNet,
    EfficientNetLite0
);

/// A network, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// [`LeNet5`].
    LeNet5,
    /// [`CaffeLeNet`].
    CaffeLeNet,
    /// [`ConvNet`] with or without batch norm.
    ConvNet {
        /// Whether batch norm follows each convolution.
        batch_norm: bool,
    },
    /// [`Mlp`].
    Mlp,
    /// [`ResNet`] for 28 × 28 images.
    ResNetSmall,
    /// [`ResNet`] of He et al. with depth `6 blocks + 2`.
    ResNet {
        /// Blocks per stage.
        blocks: usize,
    },
    /// [`ResNet9`].
    ResNet9,
    /// [`Airbench94`].
    Airbench94,
    /// [`ImageNetResNet`] with 18 layers.
    ResNet18,
    /// [`ImageNetResNet`] with 34 layers.
    ResNet34,
    /// [`ImageNetResNet`] with 50 layers.
    ResNet50,
    /// [`EfficientNetLite0`].
    EfficientNetLite0,
    /// [`EfficientNetLite0::tensorflow`].
    TfEfficientNetLite0,
}

/// All networks with their names.
const ARCHITECTURES: [(&str, Architecture); 19] = [
    ("lenet5", Architecture::LeNet5),
    ("lenet-caffe", Architecture::CaffeLeNet),
    ("convnet", Architecture::ConvNet { batch_norm: true }),
    ("convnet-plain", Architecture::ConvNet { batch_norm: false }),
    ("mlp", Architecture::Mlp),
    ("resnet-small", Architecture::ResNetSmall),
    ("resnet8", Architecture::ResNet { blocks: 1 }),
    ("resnet9", Architecture::ResNet9),
    ("resnet20", Architecture::ResNet { blocks: 3 }),
    ("resnet32", Architecture::ResNet { blocks: 5 }),
    ("resnet44", Architecture::ResNet { blocks: 7 }),
    ("resnet56", Architecture::ResNet { blocks: 9 }),
    ("resnet110", Architecture::ResNet { blocks: 18 }),
    ("airbench94", Architecture::Airbench94),
    ("resnet18", Architecture::ResNet18),
    ("resnet34", Architecture::ResNet34),
    ("resnet50", Architecture::ResNet50),
    ("efficientnet-lite0", Architecture::EfficientNetLite0),
    ("tf-efficientnet-lite0", Architecture::TfEfficientNetLite0),
];

impl Architecture {
    /// The names of all networks.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ARCHITECTURES.iter().map(|(name, _)| *name)
    }

    /// Whether a network built for images of one size also takes images of other sizes, because it
    /// has only convolutions before a global pool.
    pub fn takes_any_size(self) -> bool {
        match self {
            Architecture::LeNet5 | Architecture::CaffeLeNet | Architecture::Mlp => false,
            Architecture::ConvNet { .. }
            | Architecture::ResNetSmall
            | Architecture::ResNet { .. }
            | Architecture::ResNet9
            | Architecture::Airbench94
            | Architecture::ResNet18
            | Architecture::ResNet34
            | Architecture::ResNet50
            | Architecture::EfficientNetLite0
            | Architecture::TfEfficientNetLite0 => true,
        }
    }

    /// Smallest height and width of an image that the network accepts, in pixels.
    pub fn min_side(self) -> usize {
        match self {
            Architecture::LeNet5 => LeNet5::MIN_SIDE,
            Architecture::CaffeLeNet => CaffeLeNet::MIN_SIDE,
            Architecture::ResNet9 => ResNet9::MIN_SIDE,
            Architecture::Airbench94 => Airbench94::MIN_SIDE,
            Architecture::ResNet18 | Architecture::ResNet34 | Architecture::ResNet50 => {
                ImageNetResNet::MIN_SIDE
            }
            Architecture::EfficientNetLite0 | Architecture::TfEfficientNetLite0 => {
                EfficientNetLite0::MIN_SIDE
            }
            Architecture::Mlp => 1,
            _ => 4,
        }
    }
}

impl FromStr for Architecture {
    type Err = ModelError;

    fn from_str(name: &str) -> Result<Self, ModelError> {
        ARCHITECTURES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, architecture)| *architecture)
            .ok_or_else(|| ModelError::UnknownModel {
                name: name.to_owned(),
                known: Architecture::names().collect::<Vec<_>>().join(", "),
            })
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ARCHITECTURES
            .iter()
            .find(|(_, known)| known == self)
            .map_or("resnet", |(name, _)| name);
        f.write_str(name)
    }
}

/// Any of the networks: images `[batch, channels, height, width]` to logits `[batch, classes]`.
#[derive(Module, Debug)]
// Networks are built once and rarely moved, so boxing the larger variants would only add an
// indirection.
#[allow(clippy::large_enum_variant)]
pub enum Model {
    /// A [`LeNet5`].
    LeNet5(LeNet5),
    /// A [`CaffeLeNet`].
    CaffeLeNet(CaffeLeNet),
    /// A [`ConvNet`].
    ConvNet(ConvNet),
    /// An [`Mlp`].
    Mlp(Mlp),
    /// A [`ResNet`].
    ResNet(ResNet),
    /// A [`ResNet9`].
    ResNet9(ResNet9),
    /// An [`Airbench94`].
    Airbench94(Airbench94),
    /// An [`ImageNetResNet`].
    ImageNetResNet(ImageNetResNet),
    /// An [`EfficientNetLite0`].
    EfficientNetLite0(EfficientNetLite0),
}

/// Evaluates an expression for the network that a [`Model`] holds.
macro_rules! with_network {
    ($model:expr, $network:ident => $value:expr) => {
        match $model {
            Model::LeNet5($network) => $value,
            Model::CaffeLeNet($network) => $value,
            Model::ConvNet($network) => $value,
            Model::Mlp($network) => $value,
            Model::ResNet($network) => $value,
            Model::ResNet9($network) => $value,
            Model::Airbench94($network) => $value,
            Model::ImageNetResNet($network) => $value,
            Model::EfficientNetLite0($network) => $value,
        }
    };
}

impl Model {
    /// Builds a network for images of `shape`. Weights are drawn from `rng` in the order of the
    /// layers.
    ///
    /// # Errors
    /// [`ModelError::ImageTooSmall`] if the network would pool the image away.
    pub fn new(
        architecture: Architecture,
        shape: ImageShape,
        classes: usize,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let min_side = architecture.min_side();
        if shape.height < min_side || shape.width < min_side {
            return Err(ModelError::ImageTooSmall {
                model: architecture.to_string(),
                height: shape.height,
                width: shape.width,
                min_side,
            });
        }
        let (channels, size) = (shape.channels, [shape.height, shape.width]);
        let resnet =
            |shape, rng: &mut _| Model::ResNet(ResNet::new(shape, channels, classes, rng, device));
        let imagenet = |shape, rng: &mut _| {
            Model::ImageNetResNet(ImageNetResNet::new(shape, channels, classes, rng, device))
        };
        Ok(match architecture {
            Architecture::LeNet5 => {
                Model::LeNet5(LeNet5::new(channels, size, classes, rng, device))
            }
            Architecture::CaffeLeNet => {
                Model::CaffeLeNet(CaffeLeNet::new(channels, size, classes, rng, device))
            }
            Architecture::ConvNet { batch_norm } => {
                Model::ConvNet(ConvNet::new(batch_norm, channels, classes, rng, device))
            }
            Architecture::Mlp => {
                let pixels = channels * shape.height * shape.width;
                Model::Mlp(Mlp::new(pixels, classes, rng, device))
            }
            Architecture::ResNetSmall => resnet(ResNetShape::small(), rng),
            Architecture::ResNet { blocks } => resnet(ResNetShape::he(blocks), rng),
            Architecture::ResNet9 => Model::ResNet9(ResNet9::new(channels, classes, rng, device)),
            Architecture::Airbench94 => {
                Model::Airbench94(Airbench94::new(channels, classes, rng, device))
            }
            Architecture::ResNet18 => imagenet(ImageNetResNetShape::RESNET18, rng),
            Architecture::ResNet34 => imagenet(ImageNetResNetShape::RESNET34, rng),
            Architecture::ResNet50 => imagenet(ImageNetResNetShape::RESNET50, rng),
            Architecture::EfficientNetLite0 => {
                Model::EfficientNetLite0(EfficientNetLite0::new(channels, classes, rng, device))
            }
            Architecture::TfEfficientNetLite0 => {
                let network = EfficientNetLite0::tensorflow(channels, classes, rng, device);
                Model::EfficientNetLite0(network)
            }
        })
    }

    /// Sets [`ghost_batch`](onecycle_burn::nn::BatchNorm2d::ghost_batch) of each batch norm.
    /// Networks without batch norm are unchanged.
    #[must_use]
    pub fn with_ghost_batch(mut self, images: usize) -> Self {
        let norms = match &mut self {
            Model::LeNet5(_) | Model::CaffeLeNet(_) | Model::Mlp(_) => Vec::new(),
            Model::ConvNet(model) => model.norms(),
            Model::ResNet(model) => model.norms(),
            Model::ResNet9(model) => model.norms(),
            Model::Airbench94(model) => model.norms(),
            Model::ImageNetResNet(model) => model.norms(),
            Model::EfficientNetLite0(model) => model.norms(),
        };
        for norm in norms {
            norm.ghost_batch = images;
        }
        self
    }

    /// Whether the first layer is set from training images: see [`whiten`](Self::whiten).
    pub fn whitens(&self) -> bool {
        matches!(self, Model::Airbench94(_))
    }

    /// Sets the first layer so that it whitens the patches of normalised training images `[image,
    /// channel, row, column]`; see [`Airbench94::whiten`]. Other networks are unchanged.
    #[must_use]
    pub fn whiten(self, images: &[f32], shape: ImageShape) -> Self {
        match self {
            Model::Airbench94(model) => Model::Airbench94(model.whiten(images, shape)),
            other => other,
        }
    }

    /// Maps normalised images `[batch, channels, height, width]` to the input of the last layer,
    /// `[batch, features]`.
    pub fn features(&self, images: Tensor<4>) -> Tensor<2> {
        with_network!(self, network => network.features(images))
    }

    /// Maps [`features`](Self::features) to logits `[batch, classes]`. Its parameters are those of the
    /// last group of [`Architecture::layer_groups`].
    pub fn classify(&self, features: Tensor<2>) -> Tensor<2> {
        with_network!(self, network => network.classify(features))
    }

    /// Number of features per image.
    pub fn feature_count(&self) -> usize {
        let [_classes, features] = with_network!(self, network => network.head().weight.dims());
        features
    }
}
