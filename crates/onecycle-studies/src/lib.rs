//! Many training runs as one study.
//!
//! The principal type is [`Study`](study::Study): a list of runs, each given by a label, a
//! configuration and a seed. It trains every run in a folder of its own and returns the results.
//! After a stop or a crash, the same call continues where the last one ended.
//!
//! ```toml
//! [dependencies]
//! onecycle = { path = "../onecycle/crates/onecycle" }
//! onecycle-studies = { path = "../onecycle/crates/onecycle-studies" }
//! onecycle-train = { path = "../onecycle/crates/onecycle-train" }
//!
//! # Otherwise `cargo run` without `--release` computes more than a hundred times slower.
//! [profile.dev.package."*"]
//! opt-level = 3
//! ```
//!
//! ```
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! use onecycle::{Constant, OneCycle};
//! use onecycle_studies::compare::Comparison;
//! use onecycle_train::{Config, config::DataConfig, observer::Silent};
//!
//! let base = Config {
//!     model: "mlp".to_owned(),
//!     epochs: Some(2.0),
//!     data: DataConfig::named("fashion-mnist").limited(1000, 500),
//!     ..Config::default()
//! };
//! let one_cycle = Config { policy: OneCycle::new(0.1).into(), ..base.clone() };
//! let constant = Config { policy: Constant::new(0.02).into(), ..base };
//!
//! let comparison = Comparison::new([("1cycle", one_cycle), ("constant", constant)], 2)?;
//! if let Some(result) = comparison.run(folder, &mut Silent)? {
//!     println!("{result}"); // tables, then the difference with its confidence interval
//!     assert!(result.variants[0].final_accuracy.mean > 0.4);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`study`] trains a list of runs, resumes it, and groups the results by label.
//! - [`compare`] compares configurations over several seeds.
//! - [`reproduce`] repeats experiments of the 1cycle literature and tests the published claims.
//! - [`suggestions`] measures how good the suggested learning rates are.
//! - [`event_logs`] writes event files for TensorBoard from the records of runs and studies.
//!
//! All functions return [`StudyError`]. Every error of the crates below converts into it by `?`.
//!
//! The feature `png` (default) writes figures as PNG besides SVG and CSV, and embeds a font.

pub mod compare;
mod error;
pub mod event_logs;
pub mod reproduce;
pub mod study;
pub mod suggestions;

pub use error::StudyError;

/// Runs the example of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
