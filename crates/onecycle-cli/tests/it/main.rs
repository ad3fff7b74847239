//! All integration tests of this crate in one binary, because each binary links Burn again.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod assessment;
mod augment;
#[path = "../../../onecycle-vision/tests/bad_data/mod.rs"]
mod bad_data;
mod browser;
mod changed_data;
mod cli;
mod common;
mod compare;
#[cfg(unix)]
mod continued;
mod diagnose;
mod disk;
mod event_files;
mod export;
mod find;
mod finetune;
mod from_weights;
mod image_cache;
mod killed;
mod load;
mod messy_folders;
#[cfg(unix)]
mod on_finish;
#[cfg(unix)]
mod pages;
mod plan;
#[path = "../../../onecycle-train/tests/it/presets/mod.rs"]
mod presets;
#[cfg(unix)]
mod processes;
#[cfg(target_os = "linux")]
mod reading;
mod recipes;
#[cfg(unix)]
mod slurm;
#[cfg(unix)]
mod stopped;
#[cfg(unix)]
mod studies;
mod suggest;
mod train;
mod trial;
#[cfg(unix)]
mod watch;
#[cfg(unix)]
mod watching;
mod weights;
#[cfg(unix)]
mod workers;
mod wrong_data;
mod wrong_input;
mod wrong_policy;
