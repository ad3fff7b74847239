//! All integration tests of this crate in one binary, because each binary links Burn.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod reproduce;
#[path = "../../../onecycle-train/tests/it/runs/mod.rs"]
mod runs;
mod study;
mod suggestions;
