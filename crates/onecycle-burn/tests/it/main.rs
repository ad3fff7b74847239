//! Integration tests. They are one binary because linking Burn takes longer than running them.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod diagnose;
mod fit;
mod freezing;
mod learner;
mod muon;
mod optimizer;
mod optimizers_torch;
mod range_test;
