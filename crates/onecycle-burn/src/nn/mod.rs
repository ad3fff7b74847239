//! Layers with PyTorch's names, shapes, initialisation and statistics.
//!
//! Burn's own layers store a linear weight as `[in, out]`, put the biased variance into the running
//! statistics, and initialise lazily from one global random stream. The layers here match PyTorch,
//! so that weights can be exchanged unchanged, and draw from a stream that the caller provides.
//!
//! On the CPU in float32 they run on [`onecycle_kernels`], elsewhere on Burn's operations. The
//! kernels fuse what directly follows a layer (`forward_relu`, `forward_relu6`, `forward_gelu`,
//! [`ConvNorm`]) into its pass over memory.

mod activation;
mod branch;
mod conv;
mod conv_norm;
mod epilogue;
mod init;
mod linear;
mod loss;
mod norm;
mod pool;

pub use activation::{gelu, relu6};
pub use branch::{add, branch};
pub use conv::{Conv2d, Conv2dShape, Padding};
pub use conv_norm::ConvNorm;
pub use init::Init;
pub(crate) use init::normal;
pub use linear::Linear;
pub use loss::{cross_entropy, weighted_cross_entropy};
pub use norm::{BatchNorm2d, NormShape};
pub use pool::{PoolWindow, global_average_pool2d, global_max_pool2d, max_pool2d, max_pool2d_with};
