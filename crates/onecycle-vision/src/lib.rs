//! Image data sets, augmentation, loaders and networks for training with Burn.
//!
//! A [`Source`] reads a [`Dataset`] from a name or a path; [`Dataset::new`] makes one of images in
//! memory. The dataset has two [`Split`]s, `train` and `test`: images of one [`ImageShape`] as bytes,
//! and their labels. [`Dataset::loaders`] returns a [`Loader`] for each, which makes normalised
//! batches and applies [`Augment`] to the training images. [`Batch::tensors`] copies a batch to a
//! device; its fields are plain slices for other frameworks. The networks in [`models`] are Burn
//! modules. [`accuracy`] measures them, and any other [`Network`].
//!
//! ```toml
//! [dependencies]
//! burn = { version = "=0.22.1", default-features = false, features = ["std", "autodiff", "flex"] }
//! onecycle = { path = "../onecycle/crates/onecycle" }
//! onecycle-burn = { path = "../onecycle/crates/onecycle-burn" }
//! onecycle-vision = { path = "../onecycle/crates/onecycle-vision" }
//!
//! # Otherwise `cargo run` without `--release` computes more than a hundred times slower.
//! [profile.dev.package."*"]
//! opt-level = 3
//! ```
//!
//! ```
//! use burn::tensor::Device;
//! use onecycle::{OneCycle, Run};
//! use onecycle_burn::{BurnError, Optimizer, OptimizerConfig, nn::cross_entropy, training_step};
//! use onecycle_vision::{
//!     Augment, Border, Source, accuracy,
//!     models::{Architecture, Model},
//!     random,
//! };
//!
//! const BATCH: usize = 32;
//!
//! // A sample of Fashion-MNIST: 2000 training and 500 test images.
//! let data = Source::named("fashion-mnist").load()?.limit(2000, 1).limit_test(500, 1);
//! let (train, test) = data.loaders(Augment::crop_and_flip(2, Border::Zero), 1)?;
//!
//! let device = Device::flex().autodiff();
//! let mut rng = random::stream(1, "initialisation", 0);
//! let (shape, classes) = (data.shape, data.classes.len());
//! let mut model = Model::new(Architecture::LeNet5, shape, classes, &mut rng, &device)?;
//!
//! let mut optimizer = Optimizer::new(OptimizerConfig::sgd())?;
//! let run = Run::epochs(3.0, train.len() as u64, BATCH as u64);
//! let plan = OneCycle::new(0.03).policy()?.resolve(&run)?;
//! let mut step = 0;
//! for epoch in 0..3 {
//!     for batch in train.epoch(epoch, BATCH) {
//!         let (images, labels) = batch?.tensors(&device); // [batch, 1, 28, 28], [batch]
//!         (model, _) = training_step(model, &mut optimizer, &plan.at(step), |model| {
//!             Ok::<_, BurnError>(cross_entropy(model.forward(images), labels, 0.0))
//!         })?;
//!         step += 1;
//!     }
//! }
//! let accuracy = accuracy(&model, test.evaluation(500))?;
//! println!("{:.1} % of the test images", 100.0 * accuracy);
//! assert!(accuracy > 0.6);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | subject |
//! |---|---|
//! | [`source`], [`locate`] | reading a data set by name or path; the places searched for a name |
//! | [`folder`] | data sets from a folder of images |
//! | [`catalog`], [`integrity`] | the known data sets; comparing files with the published ones |
//! | [`download`] | downloading the published files |
//! | [`dataset`] | images and labels in memory; mean and standard deviation per channel |
//! | [`augment`], [`loader`] | random transforms of training images; batches |
//! | [`picture`] | images as PNG |
//! | [`weights`] | pretrained weights: published files, names of other libraries |
//! | [`models`] | networks with PyTorch's parameter names |
//! | [`random`] | named random streams |
//! | [`files`] | complete files and checksums |
//!
//! All randomness is derived from a seed: the same seed gives the same bits for any batch size, on
//! any machine. Every error is a [`DataError`], which names the file or setting and the remedy.
//! Functions that also call other crates of the workspace can return `Box<dyn std::error::Error>`.

pub mod augment;
pub mod catalog;
pub mod dataset;
pub mod download;
mod error;
mod evaluation;
pub mod files;
pub mod folder;
mod formats;
pub mod integrity;
pub mod loader;
pub mod locate;
pub mod models;
pub mod picture;
pub mod random;
pub mod source;
pub mod weights;

pub use augment::{Augment, Border, Fill, Flip};
pub use dataset::{Dataset, ImageShape, ImageSize, Split, Statistics, TestOrigin};
pub use error::DataError;
pub use evaluation::{accuracy, argmax};
pub use folder::{Contents, FolderOptions, Resize};
pub use loader::{Batch, Batches, Curriculum, Features, Loader, MixedLabels, Pass};
pub use models::Network;
pub use source::Source;

/// Runs the example of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
