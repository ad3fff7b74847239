//! All integration tests of this crate in one binary.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod categories;
mod figures;
#[cfg(feature = "png")]
mod png;
