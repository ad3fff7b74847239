//! Many training runs as one study.
//!
//! The principal type is [`Study`](study::Study): a list of runs, each given by a label, a
//! configuration and a seed. It trains every run in a folder of its own and returns the results.
//! After a stop or a crash, the same call continues where the last one ended.
//!
//! - [`compare`] compares configurations over several seeds.
//! - [`reproduce`] repeats experiments of the 1cycle literature and tests the published claims.
//! - [`suggestions`] measures how good the suggested learning rates are.

pub mod compare;
mod error;
pub mod reproduce;
pub mod study;
pub mod suggestions;

pub use error::StudyError;

/// Runs the example of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
