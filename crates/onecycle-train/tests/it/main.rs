//! All integration tests of this crate in one binary: each further binary would link Burn again.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod assessment;
mod averaging;
mod common;
mod configuration;
mod diagnose;
mod divergence;
mod eval_every;
mod figures;
mod init;
mod keep;
mod options;
mod plan_view;
mod presets;
mod processes;
mod records;
mod report;
mod runs;
mod trained;
mod training;
