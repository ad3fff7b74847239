//! Writes trained image classifiers as [ONNX](https://onnx.ai) files.
//!
//! [`classifier`] takes a [`Description`] and the weights of a network of
//! [`onecycle_vision::models`], and returns an [`OnnxModel`]. [`OnnxModel::to_bytes`] makes the
//! file. The graph contains the normalisation and the softmax, and the file has the class names, so
//! a program that runs it needs no other description.
//!
//! ```
//! use burn::tensor::Device;
//! use onecycle_burn::state;
//! use onecycle_onnx::{Description, classifier};
//! use onecycle_vision::{ImageShape, Statistics, models::{Architecture, Model}, random};
//!
//! let description = Description {
//!     architecture: Architecture::LeNet5,
//!     shape: ImageShape::new(1, 28, 28),
//!     classes: vec!["cat".to_owned(), "dog".to_owned()],
//!     statistics: Statistics { mean: vec![0.3], std: vec![0.35] },
//!     metadata: Vec::new(),
//! };
//! let mut rng = random::stream(1, "initialisation", 0);
//! let Description { architecture, shape, .. } = description;
//! let model = Model::new(architecture, shape, 2, &mut rng, &Device::flex())?;
//!
//! let onnx = classifier(&description, state::weights(&model))?;
//! assert_eq!(onnx.input().shape, [28, 28, 1]);
//! let bytes = onnx.to_bytes()?; // the contents of a .onnx file
//! assert!(bytes.len() > 4 * 61_000);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! All operators are in ONNX since 2020 (operator set 13), so any current runtime executes them.

mod classifier;
mod error;
mod graph;
mod layers;
mod networks;
#[cfg(test)]
mod tests;

pub use classifier::{Description, IMAGES, LOGITS, PROBABILITIES, classifier};
pub use error::OnnxError;
pub use graph::{BATCH, ElementType, OnnxModel, Port};

/// Runs the example of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
