//! Layers with PyTorch's names, shapes, initialisation and statistics.
//!
//! Burn's own layers keep a linear weight as `[in, out]`, put the biased variance into the running statistics and
//! initialise lazily from one global random stream. These here match PyTorch, so that weights pass between the two
//! unchanged, and draw from a stream that the caller names.

mod conv;
mod init;
mod linear;
mod loss;
mod norm;

pub use conv::{Conv2d, Conv2dShape};
pub use init::Init;
pub use linear::Linear;
pub use loss::cross_entropy;
pub use norm::BatchNorm2d;
