//! Tests of all kernels against double-precision references, on every instruction set of the
//! machine.
#![allow(unreachable_pub, clippy::unwrap_used)] // One binary; a failed call fails the test.

mod common;

mod activated;
mod conv;
mod depthwise;
mod elementwise;
mod errors;
mod gelu;
mod linear;
mod loss;
mod norm;
mod pool;
mod relu6;
mod rows;
mod threads;
mod update;
mod weighted_loss;
mod winograd;
