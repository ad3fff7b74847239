//! Tests of the public interface. `tests/goldens` compares the clones with their originals.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod batches;
mod configuration;
mod cycle_search;
mod properties;
mod range_test;
mod strategies;
