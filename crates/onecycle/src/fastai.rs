//! The schedules of fastai, reproduced to the last bit, with its argument names.
//!
//! fastai evaluates a schedule at a position between 0 and 1, not at a step. During a fit the
//! position is `epoch / epochs` at the first batch of an epoch and grows by `1 / (batches *
//! epochs)` per batch, with rounding. A fit never reaches position 1, so the final value of its
//! schedule is never used. Combined schedules first round the position to float32. This module does
//! the same. `n_epoch`, 1 by default, is the number of epochs; it must divide the number of steps.

mod annealer;
mod combined;
mod fit;
mod v1;

pub use annealer::Annealer;
pub use combined::{CombineScheds, CombinedCos};
pub use fit::{FlatCos, OneCycle, Sgdr};
pub use v1::V1OneCycle;
