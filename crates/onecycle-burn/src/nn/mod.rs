//! Layers with PyTorch's names, shapes, initialisation and statistics.
//!
//! Burn's own layers keep a linear weight as `[in, out]`, put the biased variance into the running statistics and
//! initialise lazily from one global random stream. These here match PyTorch, so that weights pass between the two
//! unchanged, and draw from a stream that the caller names. On the CPU they run on the kernels of [`onecycle_kernels`],
//! elsewhere on Burn's operations; what follows a layer at once (`forward_relu`, [`ConvNorm`]) costs no further
//! walk over memory there.

mod branch;
mod conv;
mod conv_norm;
mod epilogue;
mod init;
mod linear;
mod loss;
mod norm;
mod pool;

pub use branch::{add, branch};
pub use conv::{Conv2d, Conv2dShape};
pub use conv_norm::ConvNorm;
pub use init::Init;
pub(crate) use init::normal;
pub use linear::Linear;
pub use loss::cross_entropy;
pub use norm::BatchNorm2d;
pub use pool::{global_average_pool2d, global_max_pool2d, max_pool2d};
