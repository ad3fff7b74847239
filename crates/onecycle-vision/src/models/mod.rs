//! Networks whose weights pass to PyTorch and back unchanged.
//!
//! | name | network | smallest side |
//! |---|---|---|
//! | `lenet5` | [`LeNet5`]: LeCun et al. 1998, with ReLU and max pooling | 12 |
//! | `lenet-caffe` | [`CaffeLeNet`]: Caffe's example for MNIST, 20 and 50 channels | 16 |
//! | `convnet`, `convnet-plain` | [`ConvNet`]: three convolutions, with and without batch norm | 4 |
//! | `mlp` | [`Mlp`]: a multi-layer perceptron with two hidden layers | 1 |
//! | `resnet-small` | [`ResNet`] with a stem of stride 2 and one block a stage, for 28 × 28 | 4 |
//! | `resnet8`, `resnet20`, `32`, `44`, `56`, `110` | [`ResNet`]: He et al. 2016, section 4.2, projection shortcuts | 4 |
//! | `resnet9` | [`ResNet9`]: Page 2018, the wide network of the DAWNBench entries | 8 |
//!
//! [`Model`] holds any of them by name.

mod conv_bn;
mod convnet;
mod error;
mod lenet;
mod mlp;
mod resnet;
mod resnet9;

use std::{fmt, str::FromStr};

use crate::random::Rng;
use burn::{
    module::Module,
    tensor::{Device, Tensor},
};

pub use conv_bn::ConvBn;
pub use convnet::ConvNet;
pub use error::ModelError;
pub use lenet::{CaffeLeNet, LeNet5};
pub use mlp::Mlp;
pub use resnet::{BasicBlock, ResNet, ResNetShape};
pub use resnet9::ResNet9;

use crate::ImageShape;

/// A network of the zoo, by name.
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
    /// He's [`ResNet`] of depth `6 blocks + 2`.
    ResNet {
        /// Blocks a stage.
        blocks: usize,
    },
    /// [`ResNet9`].
    ResNet9,
}

/// All networks with their names.
const ARCHITECTURES: [(&str, Architecture); 13] = [
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
];

impl Architecture {
    /// Names of all networks.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ARCHITECTURES.iter().map(|(name, _)| *name)
    }

    /// Smallest height and width of an image that the network can take.
    pub fn min_side(self) -> usize {
        match self {
            Architecture::LeNet5 => LeNet5::MIN_SIDE,
            Architecture::CaffeLeNet => CaffeLeNet::MIN_SIDE,
            Architecture::ResNet9 => ResNet9::MIN_SIDE,
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

/// Any network of the zoo: images `[batch, channels, height, width]` to logits `[batch, classes]`.
#[derive(Module, Debug)]
// Networks are built once and moved seldom; boxing the larger ones would put a pointer into every path of the module.
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
}

impl Model {
    /// Builds a network for images of `shape`; weights are drawn from `rng` in the order of the layers.
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
        })
    }

    /// Sets [`ghost_batch`](onecycle_burn::nn::BatchNorm2d::ghost_batch) of every batch norm; a network without any stays as it is.
    #[must_use]
    pub fn with_ghost_batch(mut self, images: usize) -> Self {
        let norms = match &mut self {
            Model::LeNet5(_) | Model::CaffeLeNet(_) | Model::Mlp(_) => Vec::new(),
            Model::ConvNet(model) => model.norms(),
            Model::ResNet(model) => model.norms(),
            Model::ResNet9(model) => model.norms(),
        };
        for norm in norms {
            norm.ghost_batch = images;
        }
        self
    }

    /// Logits `[batch, classes]` of normalised images `[batch, channels, height, width]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        match self {
            Model::LeNet5(model) => model.forward(images),
            Model::CaffeLeNet(model) => model.forward(images),
            Model::ConvNet(model) => model.forward(images),
            Model::Mlp(model) => model.forward(images),
            Model::ResNet(model) => model.forward(images),
            Model::ResNet9(model) => model.forward(images),
        }
    }
}
