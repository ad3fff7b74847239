//! The schedules of fastai, to the last bit, under their own argument names.
//!
//! fastai asks a schedule for its value at a position between 0 and 1, not at a step. In a fit the position is
//! `epoch / epochs` at the first batch of an epoch, and `1 / (batches * epochs)` is added for each batch, rounding
//! included; a fit never gets to position 1, so the final value of its schedule is never used. Combined schedules round
//! the position to float32 first. All of that is followed here; a run's number of epochs is `n_epoch`, which defaults to
//! 1, and its steps must be a multiple of it.

mod annealer;
mod combined;
mod fit;
mod v1;

pub use annealer::Annealer;
pub use combined::{CombineScheds, CombinedCos};
pub use fit::{FlatCos, OneCycle, Sgdr};
pub use v1::V1OneCycle;
