//! Image data and networks: data sets with their checks, augmentation, a deterministic loader, a model zoo.
//!
//! Data and loader work on plain bytes and slices; the networks are Burn modules.
//!
//! | module | subject |
//! |---|---|
//! | [`catalog`] | the known data sets: classes, files, checksums; verification |
//! | [`locate`] | where a data set is looked for |
//! | [`source`] | reading a data set by name or path |
//! | [`folder`] | data sets made of a folder of images |
//! | [`download`] | fetching the published files |
//! | [`dataset`], [`statistics`] | images and labels in memory; mean and deviation per channel |
//! | [`augment`], [`loader`] | random changes to training images; batches, one ahead |
//! | [`models`] | networks whose weights pass to PyTorch and back |
//! | [`random`] | named random streams |
//!
//! ```no_run
//! use std::sync::Arc;
//! use onecycle_vision::{Augment, Border, Loader, Source};
//!
//! let data = Source::named("fashion-mnist").load()?;
//! let statistics = data.statistics();
//! let augment = Augment::crop_and_flip(2, Border::Zero);
//! let train = Loader::new(Arc::new(data.train), data.shape, &statistics, augment, 0)?;
//! for batch in train.epoch(0).batch_size(128) {
//!     let batch = batch?; // batch.images: [len, channels, height, width], normalised
//! }
//! # Ok::<(), onecycle_vision::DataError>(())
//! ```

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
pub use dataset::{Dataset, ImageShape, Split, Statistics};
pub use error::DataError;
pub use folder::FolderOptions;
pub use loader::{Batch, Batches, Curriculum, Loader, Pass};
pub use source::Source;
