//! Runs of `onecycle`: configuration, training loop, checkpoints, records, figures and reports.
//!
//! Data flows one way: [`Config`] → [`Experiment`] (data, plan, device) → [`Training`](train::Training) (the loop)
//! → records → figures and report.
//!
//! | module | what it holds |
//! |---|---|
//! | [`config`] | what a run is told: defaults, a TOML file, single settings |
//! | [`experiment`] | a configuration brought to life: data read, plan resolved |
//! | [`train`] | the training loop, and who looks on |
//! | [`metrics`] | loss and accuracy, evaluation |
//! | [`find`] | the range test of a configuration: overlays, seeds, figure |
//! | [`fit`] | what to train with after a range test |
//! | [`search`], [`trial`] | short cycles that find the peak; one cycle in memory |
//! | [`suggestions`] | how good the suggested rates are, measured |
//! | [`mod@diagnose`] | noise scale, sharpness, loss slices and gap of a run |
//! | [`suggest`] | rules applied to any recorded curve |
//! | [`study`] | many runs as one piece of work that can be interrupted |
//! | [`compare`] | policies side by side over seeds |
//! | [`reproduce`] | the figures and tables of the literature by name |
//! | [`checkpoint`] | the whole state of a run in one checksummed file |
//! | [`run_folder`] | the folder that a run leaves |
//! | [`finish`] | model file, summary, figures and report at the end |
//! | [`record`] | the lines of `steps.jsonl` and `epochs.jsonl` |
//! | [`figure`], [`figures`] | figures as SVG, PNG and CSV from one description; those of a run |
//! | [`report`] | `report.html`, a run on one page |
//! | [`plan_view`] | a plan as table, CSV, JSON, figure and text for a terminal |
//! | [`predict`] | classes of images by a trained model |
//! | [`mod@evaluate`], [`views`] | accuracy and loss of a trained model on labelled images; the mean over mirror images |
//! | [`mod@bench`] | how fast this machine trains a network |
//! | [`device`] | devices by name, number of threads |
//! | [`files`], [`tensors`] | whole-file writes, JSON lines, safetensors |
//!
//! ```no_run
//! use std::path::Path;
//! use onecycle_lab::{Config, Experiment, run_folder::RunFolder, train::{Outcome, Silent, Training}};
//!
//! let config = Config::read(Path::new("run.toml"))?;
//! let folder = RunFolder::create(Path::new("runs/first"))?;
//! let training = Training::start(Experiment::prepare(config)?, folder)?;
//! if let Outcome::Finished(summary) = training.run(&mut Silent)? {
//!     println!("{:.2} %", 100.0 * summary.test_accuracy);
//! }
//! # Ok::<(), onecycle_lab::LabError>(())
//! ```

pub mod bench;
pub mod checkpoint;
pub mod compare;
pub mod config;
pub mod device;
pub mod diagnose;
mod error;
pub mod evaluate;
pub mod experiment;
pub mod figure;
pub mod figures;
pub mod files;
pub mod find;
pub mod finish;
pub mod fit;
pub mod metrics;
mod number;
pub mod plan_view;
pub mod predict;
pub mod record;
pub mod report;
pub mod reproduce;
pub mod run_folder;
pub mod search;
pub mod study;
pub mod suggest;
pub mod suggestions;
pub mod tensors;
pub mod train;
pub mod trial;
pub mod views;

pub use config::Config;
pub use error::LabError;
pub use experiment::Experiment;
