//! Trains image classifiers with the 1cycle policy: one run, from its configuration to its report.
//!
//! [`train`] trains in memory, [`train_in`] with a run folder: records, checkpoints, figures and a
//! report in one HTML file, safe to interrupt at any moment. Both read a [`Config`], report to an
//! [`Observer`](observer::Observer) and return a [`Trained`]: summary, epochs and network. The same
//! configuration, seed and machine give the same bits.
//!
//! ```toml
//! [dependencies]
//! onecycle = { path = "../onecycle/crates/onecycle" }
//! onecycle-train = { path = "../onecycle/crates/onecycle-train" }
//!
//! # Otherwise `cargo run` without `--release` computes more than a hundred times slower.
//! [profile.dev.package."*"]
//! opt-level = 3
//! ```
//!
//! ```
//! use onecycle::OneCycle;
//! use onecycle_train::{Config, config::DataConfig, observer::on_epoch, train};
//!
//! let config = Config {
//!     model: "lenet5".to_owned(),
//!     epochs: Some(3.0),
//!     batch_size: 32,
//!     data: DataConfig::named("fashion-mnist").limited(2000, 500),
//!     policy: OneCycle::new(0.1).into(),
//!     ..Config::default()
//! };
//! let trained = train(config, &mut on_epoch(|epoch| println!("{epoch}")))?;
//! println!("{}", trained.summary); // test accuracy .. %, test loss .., after 3 epochs and .. s of training
//! assert!(trained.summary.test_accuracy > 0.6);
//! # Ok::<(), onecycle_train::TrainError>(())
//! ```
//!
//! | to | use |
//! |---|---|
//! | train in memory; with a run folder | [`train`]; [`train_in`] |
//! | train on images in memory | [`Experiment::with_data`] |
//! | train a network of your own | [`Experiment::train_network`] |
//! | write the loop yourself | [`Experiment::trainer`], [`Trainer::step`](trainer::Trainer::step) |
//! | receive events, stop early | [`observer`] |
//! | find the learning rate | [`lr_search`] |
//! | read the records of a run | [`RunFolder::read_epochs`], [`RunFolder::read_steps`], [`Trained::read`] |
//! | classify images | [`predict::Classifier`], [`mod@evaluate`], [`tta`] |
//! | write a model as an ONNX file | [`export`] |
//! | measure noise scale, sharpness, generalisation gap | [`diagnose`], [`diagnose_run`] |
//! | measure the speed of this machine | [`mod@bench`] |
//!
//! All functions return [`TrainError`]. Every error of the crates below converts into it by `?`.
//!
//! # Modules
//!
//! Start reading with [`trainer`], the training step. Data flows from [`config`] to [`experiment`]
//! (data, plan, device), [`trainer`], [`training`] (the loop with records and checkpoints) and
//! [`finish`] (the files of a finished run).
//!
//! | module | contents |
//! |---|---|
//! | [`averaging`] | averages of the weights during a training |
//! | [`data_report`] | images of a run: classes, parts, files that are not used |
//! | [`best`] | the best network of a run so far |
//! | [`checkpoint`] | complete state of a run in one checksummed file |
//! | [`run_folder`], [`record`] | folder of a run; lines of `steps.jsonl` and `epochs.jsonl` |
//! | [`image_sizes`] | size of the training images over a run |
//! | [`init`] | existing weights that a run starts from |
//! | [`finetune`], [`depth`] | pretrained weights: features of the frozen network, learning rates by depth |
//! | [`metrics`] | loss and accuracy from logits |
//! | [`assessment`] | confusion matrix, scores per class, calibration, worst images of a finished run |
//! | [`model_file`] | `model.safetensors` and its description |
//! | [`export`] | a model for other programs |
//! | [`figures`], [`report`], [`plan_view`] | figures and report of a run; a plan before training |
//! | [`event_log`] | event files for TensorBoard |
//! | [`recipe`] | complete configurations of published trainings |
//! | [`device`] | devices by name, number of threads |
//! | [`files`], [`tensors`] | atomic writes, JSON lines, safetensors |
//!
//! | feature | default | effect |
//! |---|---|---|
//! | `png` | on | figures as PNG besides SVG and CSV; embeds a font |
//! | `cuda`, `wgpu` | off | NVIDIA GPUs with CUDA; any GPU with Vulkan, Metal or WebGPU |
//! | `fail-points` | off | for tests: an environment variable makes writes fail or the process die |

pub mod assessment;
pub mod averaging;
pub mod bench;
pub mod best;
pub mod checkpoint;
pub mod config;
pub mod data_report;
pub mod depth;
pub mod device;
pub mod diagnose;
pub mod diagnose_run;
mod error;
pub mod evaluate;
pub mod event_log;
pub mod experiment;
pub mod export;
pub mod figures;
pub mod files;
pub mod finetune;
pub mod finish;
pub mod follower;
pub mod image_sizes;
pub mod init;
mod leader;
mod logits;
pub mod lr_search;
pub mod metrics;
mod model_card;
pub mod model_file;
pub mod observer;
pub mod plan_view;
pub mod predict;
pub mod processes;
pub mod recipe;
pub mod record;
pub mod report;
mod rounds;
pub mod run_folder;
pub mod tensors;
mod trained;
pub mod trainer;
pub mod training;
pub mod training_images;
pub mod tta;
mod weights_file;

pub use config::Config;
pub use error::{ConfigError, FileError, RunError, TrainError};
pub use experiment::Experiment;
pub use run_folder::RunFolder;
pub use trained::{Trained, train, train_in};

/// Runs the example of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
