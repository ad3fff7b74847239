//! One training run, from its configuration to its report.
//!
//! A [`Config`] is the configuration of a run. An [`Experiment`] holds what it needs: data, plan
//! and device. A [`Training`](training::Training) runs it in a folder, and [`finish`] writes the
//! model, the summary, the figures and the report. [`trainer`] has the training step itself, in
//! memory; start reading there.
//!
//! | module | contents |
//! |---|---|
//! | [`config`] | configuration of a run: TOML file, defaults, single settings |
//! | [`data_report`] | images of a run: classes, parts, files that are not used |
//! | [`experiment`] | data, plan and device of a configuration |
//! | [`trainer`] | training step, in memory |
//! | [`training`] | training loop with records and checkpoints |
//! | [`observer`] | receives the events of running work |
//! | [`checkpoint`] | complete state of a run in one checksummed file |
//! | [`run_folder`] | folder of a run: paths, lock, `run.toml` |
//! | [`record`] | lines of `steps.jsonl` and `epochs.jsonl` |
//! | [`metrics`] | loss and accuracy from logits |
//! | [`lr_search`] | range tests, short cycles, suggestions |
//! | [`diagnose`], [`diagnose_run`] | gradient noise, sharpness and generalisation gap of a network, of a run |
//! | [`finish`], [`model_file`] | files of a finished run |
//! | [`figures`], [`report`], [`plan_view`] | figures and report of a run; a plan before training |
//! | [`predict`], [`mod@evaluate`], [`tta`] | a trained model on images; test-time augmentation |
//! | [`mod@bench`] | training speed of this machine |
//! | [`device`] | devices by name, number of threads |
//! | [`files`], [`tensors`] | atomic writes, JSON lines, safetensors |
//!
//! ```no_run
//! use std::path::Path;
//! use onecycle_train::{
//!     Config, Experiment, observer::Silent, run_folder::RunFolder, training::{Outcome, Training},
//! };
//!
//! let config = Config::read(Path::new("run.toml"))?;
//! let folder = RunFolder::create(Path::new("runs/first"))?;
//! let training = Training::start(Experiment::prepare(config)?, folder)?;
//! if let Outcome::Finished(summary) = training.run(&mut Silent)? {
//!     println!("{:.2} %", 100.0 * summary.test_accuracy);
//! }
//! # Ok::<(), onecycle_train::TrainError>(())
//! ```

pub mod bench;
pub mod checkpoint;
pub mod config;
pub mod data_report;
pub mod device;
pub mod diagnose;
pub mod diagnose_run;
mod error;
pub mod evaluate;
pub mod experiment;
pub mod figures;
pub mod files;
pub mod finish;
mod logits;
pub mod lr_search;
pub mod metrics;
pub mod model_file;
pub mod observer;
pub mod plan_view;
pub mod predict;
pub mod record;
pub mod report;
pub mod run_folder;
pub mod tensors;
pub mod trainer;
pub mod training;
pub mod tta;

pub use config::Config;
pub use error::{ConfigError, FileError, RunError, TrainError};
pub use experiment::Experiment;
