//! Image data sets, augmentation, loaders and networks for training.
//!
//! A [`Source`] reads a [`Dataset`] from a name or a path. The dataset has two [`Split`]s, `train`
//! and `test`: images of one [`ImageShape`] as bytes, and their labels. A [`Loader`] turns a split
//! into normalised [`Batch`]es of floats and applies [`Augment`] to the training images. The networks
//! in [`models`] are Burn modules; everything else works on plain bytes and slices.
//!
//! ```no_run
//! use std::sync::Arc;
//! use onecycle_vision::{Augment, Border, Loader, Source};
//!
//! let data = Source::named("fashion-mnist").load()?;
//! let statistics = data.statistics();
//! let augment = Augment::crop_and_flip(2, Border::Zero);
//! let train = Loader::new(Arc::new(data.train), data.shape, &statistics, augment, 0)?;
//! for epoch in 0..10 {
//!     for batch in train.epoch(epoch).batch_size(128) {
//!         let batch = batch?;
//!         // batch.images: [batch.len, channels, height, width], batch.labels: [batch.len]
//!     }
//! }
//! # Ok::<(), onecycle_vision::DataError>(())
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
//! | [`models`] | networks with PyTorch's parameter names |
//! | [`random`] | named random streams |
//! | [`files`] | complete files and checksums |
//!
//! All randomness is derived from a seed: the same seed gives the same bits for any batch size, on
//! any machine. Every error is a [`DataError`], which names the file or setting and the remedy.

pub mod augment;
pub mod catalog;
pub mod dataset;
pub mod download;
mod error;
pub mod files;
pub mod folder;
mod formats;
pub mod integrity;
pub mod loader;
pub mod locate;
pub mod models;
pub mod random;
pub mod source;

pub use augment::{Augment, Border};
pub use dataset::{Dataset, ImageShape, ImageSize, Split, Statistics, TestOrigin};
pub use error::DataError;
pub use folder::{Contents, FolderOptions, Resize};
pub use loader::{Batch, Batches, Curriculum, Loader, Pass};
pub use source::Source;
