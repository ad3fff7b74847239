//! Integration tests of the crate, in one binary: each binary links Burn, which takes time.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

mod accuracy;
mod airbench_parity;
mod augment_torch;
mod augmentation;
#[path = "../bad_data/mod.rs"]
mod bad_data;
mod bad_input;
mod datasets;
#[cfg(feature = "download")]
mod download;
mod image_folder;
mod imagenet_parity;
mod in_memory;
mod loader;
mod models;
mod parity;
mod random_numbers;
mod train_parity;
