//! All integration tests of this crate in one binary: each further binary would link Burn once more.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod reproduce;
#[path = "../../../onecycle-train/tests/it/runs/mod.rs"]
mod runs;
mod study;
mod suggestions;
