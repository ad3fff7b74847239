//! CPU kernels for training convolutional networks, on plain `f32` slices.

mod conv;
mod error;
mod parallel;
mod product;
mod simd;
mod workspace;

pub use conv::{Conv2d, Epilogue, conv2d_backward_data, conv2d_backward_weights, conv2d_forward};
pub use error::KernelError;
pub use simd::Path;
pub use workspace::Workspace;
