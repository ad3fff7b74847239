//! CPU kernels for training convolutional networks, on plain `f32` slices.
//!
//! Every function takes a [`Path`] (the instructions to use, usually [`Path::detect`]), a shape and slices of exactly the
//! lengths that the shape says; a wrong length or an impossible shape is a [`KernelError`], before anything is written.
//! Images are channels-last, `[batch, height, width, channels]`. Work is divided over the threads of rayon's current pool
//! in pieces that depend on the shape alone, so results do not depend on the number of threads.
//!
//! | what | functions |
//! |---|---|
//! | convolution, linear layer | [`conv2d_forward`], [`conv2d_backward_data`], [`conv2d_backward_weights`], [`channel_sums`] |
//! | convolution with a batch norm behind it | [`conv2d_forward_statistics`], [`conv2d_backward_normalised`] |
//! | batch norm with residual and ReLU | [`batch_norm_statistics`], [`batch_norm_forward`], [`batch_norm_backward_sums`], [`InputGradient`] |
//! | pooling | [`max_pool2d_forward`], [`max_pool2d_backward`], [`average_pool2d_forward`], [`average_pool2d_backward`] |
//! | ReLU, sum | [`relu_forward`], [`relu_backward`], [`add`] |
//! | loss | [`cross_entropy`] |
//! | updates | [`sgd`], [`adam`] |
//!
//! All functions are tested against double-precision references on every path of the machine. The tests also run under
//! AddressSanitizer (`scripts/sanitize_kernels.sh`), and `fuzz/` tries arbitrary shapes and slice lengths: a call answers
//! or refuses.
//!
//! ```
//! use onecycle_kernels::{Conv2d, Epilogue, Path, Workspace, conv2d_forward};
//!
//! // One image of 3 x 3 pixels and one channel; a window of 2 x 2 that adds up what it sees.
//! let shape = Conv2d {
//!     batch: 1,
//!     in_channels: 1,
//!     out_channels: 1,
//!     height: 3,
//!     width: 3,
//!     kernel: [2, 2],
//!     stride: [1, 1],
//!     padding: [0, 0],
//! };
//! let image = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
//! let mut output = [0.0; 4];
//! conv2d_forward(
//!     &Workspace::new(),
//!     Path::detect(),
//!     &shape,
//!     &image,
//!     &[1.0; 4],
//!     Epilogue::default(),
//!     &mut output,
//! )?;
//! assert_eq!(output, [12.0, 16.0, 24.0, 28.0]);
//! # Ok::<(), onecycle_kernels::KernelError>(())
//! ```

mod channels;
mod conv;
mod elementwise;
mod error;
mod loss;
mod norm;
mod parallel;
mod pool;
mod product;
mod simd;
mod update;
mod workspace;

pub use channels::{Pixels, channel_sums};
pub use conv::{
    Conv2d, Epilogue, conv2d_backward_data, conv2d_backward_normalised, conv2d_backward_weights,
    conv2d_forward, conv2d_forward_statistics,
};
pub use elementwise::{add, relu_backward, relu_forward};
pub use error::KernelError;
pub use loss::cross_entropy;
pub use norm::{
    Affine, AffineGradient, IncomingGradient, InputGradient, ReluMask, Statistics,
    batch_norm_backward_sums, batch_norm_forward, batch_norm_statistics,
};
pub use pool::{
    Pool2d, average_pool2d_backward, average_pool2d_forward, max_pool2d_backward,
    max_pool2d_forward,
};
pub use simd::Path;
pub use update::{Adam, Sgd, adam, sgd};
pub use workspace::Workspace;
