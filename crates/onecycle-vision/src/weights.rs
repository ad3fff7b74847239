//! Pretrained weights: published files, their names of parameters, and what belongs to them.
//!
//! [`get`] downloads the published weights of a name. [`resolve`] finds a file by name or path.
//! [`Naming`] translates the names of parameters in a file, as timm, torchvision or EfficientNet-PyTorch
//! write them, into those of the networks in [`models`](crate::models). [`KnownWeights`] has the
//! normalisation with which the weights were trained.
//!
//! ```
//! use onecycle_vision::weights;
//!
//! let known = weights::find("resnet18")?;
//! assert_eq!((known.network, known.image_size), ("resnet18", 224));
//! # Ok::<(), onecycle_vision::DataError>(())
//! ```

mod catalogue;
mod get;
mod imagenet;
mod names;
mod pickle;
mod resolve;

pub use catalogue::{Archived, KnownWeights, all, find};
pub use get::{MIRROR, get};
pub use imagenet::{imagenet_classes, imagenet_statistics};
pub use names::Naming;
pub use resolve::{FOLDER, Resolved, check_format, identify, installed, resolve};
