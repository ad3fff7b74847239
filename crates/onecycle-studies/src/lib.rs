//! Many training runs as one study.
//!
//! A [`Study`](study::Study) trains a list of cells (label, configuration, seed), each in a run folder
//! of its own, and returns their results; stopped at any time, the same call continues. [`compare`]
//! compares configurations over seeds, [`reproduce`] checks published claims, [`suggestions`] measures
//! how good the suggested learning rates are.

pub mod compare;
mod error;
pub mod reproduce;
pub mod study;
pub mod suggestions;

pub use error::StudyError;
