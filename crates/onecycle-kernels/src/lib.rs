//! CPU kernels for training convolutional networks, on plain `f32` slices.
//!
//! The principal type is [`Kernels`]: every kernel is a method of it. It holds the instruction set
//! ([`Isa`]; [`Kernels::new`] detects the machine's best) and scratch memory that repeated calls
//! reuse. A kernel takes a shape, input slices and output slices. All lengths must match the shape
//! exactly; a wrong length or an impossible shape is a [`KernelError`], returned before anything is
//! written.
//!
//! Use it to train or run small convolutional networks on a CPU without a framework, or below one:
//! it has no tensor type, no graph and no autodiff. `onecycle-burn` builds Burn layers on it.
//!
//! ```toml
//! [dependencies]
//! onecycle-kernels = { path = "../onecycle/crates/onecycle-kernels" }
//!
//! # Without optimisation, as in Cargo's default profile, the kernels are 155 times slower.
//! [profile.dev.package."*"]
//! opt-level = 3
//! ```
//!
//! # Conventions
//!
//! **Order of values.** Images are channels-last, `[batch, height, width, channels]`. Weights are
//! in PyTorch's order, `[out, in, kernel height, kernel width]`. A linear layer is a convolution of
//! images of one pixel, with weights `[out, in]`.
//!
//! **Backward pass.** Call the backward kernels from the last layer to the first. For each layer,
//! `conv2d_backward_weights` takes the layer's input and the gradient of its output and gives the
//! gradient of the weights; `conv2d_backward_data` gives the gradient of the input, which is the
//! gradient of the output of the layer before. The first layer does not need it. Keep the inputs of
//! all layers from the forward pass; `relu_backward` and `relu6_backward` need the output of the
//! activation instead. GELU after a convolution or batch norm needs nothing more, because its argument
//! is computed again. `conv2d_backward_activated` computes all gradients of a layer at once, in fewer
//! passes over memory.
//!
//! **Memory.** Keep one [`Kernels`] for the whole training: its scratch memory grows in the first
//! step and is reused in all later ones. Outputs and gradients are overwritten, so their slices can
//! be reused as well. One value serves any number of threads.
//!
//! **Threads.** Work is divided among the threads of rayon's current pool into chunks that depend
//! on the shape alone, so results are bit-identical for any number of threads.
//!
//! # Kernels
//!
//! - Convolution, linear layer: [`conv2d_forward`], [`conv2d_backward_data`],
//!   [`conv2d_backward_weights`], [`channel_sums`]
//! - Convolution followed by batch norm: [`conv2d_forward_statistics`],
//!   [`conv2d_backward_normalised`]
//! - Convolution followed by ReLU or ReLU6: [`conv2d_forward`], [`conv2d_backward_activated`]
//! - Convolution followed by GELU: [`conv2d_forward`], [`conv2d_gelu_backward`]
//! - Batch norm with residual and activation: [`batch_norm_statistics`], [`batch_norm_forward`],
//!   [`batch_norm_backward_sums`], [`InputGradient`]
//! - Pooling: [`max_pool2d_forward`], [`max_pool2d_backward`], [`average_pool2d_forward`],
//!   [`average_pool2d_backward`]
//! - ReLU, ReLU6, GELU, sum: [`relu_forward`], [`relu_backward`], [`relu6_backward`],
//!   [`gelu_forward`], [`gelu_backward`], [`add`]
//! - Factors of rows, for batch norms that are folded into weights: [`scale_rows`], [`row_products`]
//! - Loss: [`cross_entropy`], [`weighted_cross_entropy`]
//! - Optimizer updates: [`sgd`], [`adam`]
//!
//! All methods are tested against double-precision references on every instruction set of the
//! machine. The tests also run under AddressSanitizer (`scripts/sanitize_kernels.sh`). The fuzz
//! targets in `fuzz/` check that arbitrary shapes and slice lengths either succeed or return an
//! error.
//!
//! # Example
//!
//! One training step of a convolution with ReLU, on one 3 x 3 image with one channel. A complete
//! training is `examples/train.rs`.
//!
//! ```
//! use onecycle_kernels::{
//!     Activation, Conv2d, Epilogue, KernelError, Kernels, MomentumBuffer, Sgd,
//! };
//!
//! let kernels = Kernels::new();
//! let shape = Conv2d {
//!     batch: 1,
//!     in_channels: 1,
//!     out_channels: 1,
//!     height: 3,
//!     width: 3,
//!     kernel: [2, 2],
//!     stride: [1, 1],
//!     padding: [[0; 2]; 2],
//!     groups: 1,
//! };
//! let input = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
//! let mut weights = [1.0, 1.0, 1.0, 1.0];
//!
//! // Forward: the sum of each 2 x 2 window.
//! let relu = Epilogue { bias: None, activation: Activation::Relu };
//! let mut output = [0.0; 4];
//! kernels.conv2d_forward(&shape, &input, &weights, relu, &mut output)?;
//! assert_eq!(output, [12.0, 16.0, 24.0, 28.0]);
//!
//! // Backward, for the loss sum(output).
//! let mut gradient = [1.0; 4];
//! kernels.relu_backward(&output, &mut gradient)?;
//! let mut weight_gradient = [0.0; 4];
//! kernels.conv2d_backward_weights(&shape, &input, &gradient, &mut weight_gradient)?;
//! assert_eq!(weight_gradient, [12.0, 16.0, 24.0, 28.0]);
//! let mut input_gradient = [0.0; 9];
//! kernels.conv2d_backward_data(&shape, &gradient, &weights, &mut input_gradient)?;
//! assert_eq!(input_gradient, [1.0, 2.0, 1.0, 2.0, 4.0, 2.0, 1.0, 2.0, 1.0]);
//!
//! // Update: plain SGD needs no momentum buffer.
//! let step = Sgd {
//!     lr: 0.25,
//!     momentum: 0.0,
//!     dampening: 0.0,
//!     weight_decay: 0.0,
//!     decoupled: false,
//!     nesterov: false,
//!     gradient_scale: 1.0,
//! };
//! let buffer = MomentumBuffer::Uninitialised(&mut []);
//! kernels.sgd(&step, &mut weights, buffer, &weight_gradient)?;
//! assert_eq!(weights, [-2.0, -3.0, -5.0, -6.0]);
//! # Ok::<(), KernelError>(())
//! ```
//!
//! [`conv2d_forward`]: Kernels::conv2d_forward
//! [`conv2d_backward_data`]: Kernels::conv2d_backward_data
//! [`conv2d_backward_weights`]: Kernels::conv2d_backward_weights
//! [`channel_sums`]: Kernels::channel_sums
//! [`conv2d_forward_statistics`]: Kernels::conv2d_forward_statistics
//! [`conv2d_backward_normalised`]: Kernels::conv2d_backward_normalised
//! [`conv2d_backward_activated`]: Kernels::conv2d_backward_activated
//! [`conv2d_gelu_backward`]: Kernels::conv2d_gelu_backward
//! [`batch_norm_statistics`]: Kernels::batch_norm_statistics
//! [`batch_norm_forward`]: Kernels::batch_norm_forward
//! [`batch_norm_backward_sums`]: Kernels::batch_norm_backward_sums
//! [`max_pool2d_forward`]: Kernels::max_pool2d_forward
//! [`max_pool2d_backward`]: Kernels::max_pool2d_backward
//! [`average_pool2d_forward`]: Kernels::average_pool2d_forward
//! [`average_pool2d_backward`]: Kernels::average_pool2d_backward
//! [`relu_forward`]: Kernels::relu_forward
//! [`relu_backward`]: Kernels::relu_backward
//! [`relu6_backward`]: Kernels::relu6_backward
//! [`gelu_forward`]: Kernels::gelu_forward
//! [`gelu_backward`]: Kernels::gelu_backward
//! [`add`]: Kernels::add
//! [`scale_rows`]: Kernels::scale_rows
//! [`row_products`]: Kernels::row_products
//! [`cross_entropy`]: Kernels::cross_entropy
//! [`weighted_cross_entropy`]: Kernels::weighted_cross_entropy
//! [`sgd`]: Kernels::sgd
//! [`adam`]: Kernels::adam

mod activation;
mod channels;
mod conv;
mod elementwise;
mod error;
mod gemm;
mod kernels;
mod loss;
mod norm;
mod parallel;
mod pool;
mod rows;
mod simd;
mod update;
mod weighted_loss;
mod workspace;

pub use activation::Activation;
pub use channels::Pixels;
pub use conv::{ActivatedGradient, Conv2d, Conv2dGradients, Epilogue, Mask};
pub use error::KernelError;
pub use kernels::Kernels;
pub use loss::CrossEntropy;
pub use norm::{
    AffineGradient, BatchNorm, Derivative, IncomingGradient, InputGradient, NormEpilogue,
    Statistics,
};
pub use pool::Pool2d;
pub use simd::Isa;
pub use update::{Adam, AdamState, MomentumBuffer, Sgd};

/// Compiles and runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
