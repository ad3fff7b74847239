//! 2-D convolution: output, gradient of the input, gradient of the weights.
//!
//! ```text
//! y[n, i, j, o]  = b[o] + sum over r, s, c of x[n, i t - p + r, j t - p + s, c] w[o, c, r, s]
//! dx[n, h, l, c] = sum over i, j, o, r, s with h = i t - p + r, l = j t - p + s
//!                  of dy[n, i, j, o] w[o, c, r, s]
//! dw[o, c, r, s] = sum over n, i, j of dy[n, i, j, o] x[n, i t - p + r, j t - p + s, c]
//! ```
//!
//! with stride `t` and padding `p`. Images are channels-last, so a row of a window is contiguous
//! and its product with the weights is a matrix product that reads the image in place ([`direct`]).
//! There is no im2col copy; only zero padding is copied ([`padding`]), and strips of channels for some
//! gradients of weights ([`weight_gradient`]). The gradient of the input is
//! the transposed convolution; its stride is split into phases ([`axis`]), so that no zeros are
//! inserted. 3 x 3 windows with stride 1 use Winograd's algorithm, which needs a quarter of the
//! multiplications ([`winograd`]). Windows of one pixel are plain matrix products over all pixels, whose
//! gradients are computed in one pass over the output gradient. All of this runs on the micro-kernels of
//! [`crate::gemm`]. Depthwise convolutions have kernels of their own ([`depthwise`]).

mod axis;
mod backward;
mod data;
mod depthwise;
mod direct;
mod gelu;
mod geometry;
mod output_gradient;
mod padding;
mod shape;
mod weight_gradient;
mod winograd;

pub use backward::{ActivatedGradient, Conv2dGradients};
pub use output_gradient::Mask;
pub use shape::Conv2d;

use crate::activation::Activation;
use crate::error::{KernelError, check_len};
use crate::kernels::Kernels;
use crate::norm::Statistics;
use data::DataArguments;
use geometry::Geometry;
use output_gradient::OutputGradient;
use weight_gradient::Plan;
use winograd::Gradients;

/// Operations that are fused into a convolution, applied to each output before it is stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Added to each output channel, `[out_channels]`.
    pub bias: Option<&'a [f32]>,
    /// Applied after the bias.
    pub activation: Activation,
}

/// # Convolution and linear layers
///
/// Forward and backward passes of a [`Conv2d`]. A linear layer is a convolution of images of one
/// pixel with a 1 x 1 kernel.
impl Kernels {
    /// Computes the convolution of `input` with `weights`, then the epilogue:
    /// `output` is `[batch, output height, output width, out_channels]`, see [`Conv2d`].
    ///
    /// # Errors
    /// The shape is impossible, or the length of a slice differs from it.
    pub fn conv2d_forward(
        &self,
        shape: &Conv2d,
        input: &[f32],
        weights: &[f32],
        epilogue: Epilogue,
        output: &mut [f32],
    ) -> Result<(), KernelError> {
        check_len("output", output, shape.output_len()?)?;
        check_len("input", input, shape.input_len())?;
        check_len("weights", weights, shape.weight_len())?;
        if let Some(bias) = epilogue.bias {
            check_len("bias", bias, shape.out_channels)?;
        }
        if shape.is_depthwise() {
            let geometry = depthwise::Geometry::forward(shape)?;
            depthwise::run(self, &geometry, [input, weights], epilogue, output);
            return Ok(());
        }
        let arguments = DataArguments {
            source: input,
            weights,
            epilogue,
        };
        let geometry = Geometry::forward(&shape.flattened(shape.cached_pixels()))?;
        data::run(self, &geometry, arguments, output);
        Ok(())
    }

    /// Computes [`Kernels::conv2d_forward`] without an epilogue, and the statistics of its output.
    ///
    /// The statistics are accumulated while the output is in cache. They equal those of
    /// [`Kernels::batch_norm_statistics`] up to rounding.
    ///
    /// # Errors
    /// The shape is impossible, or the length of a slice differs from it.
    pub fn conv2d_forward_statistics(
        &self,
        shape: &Conv2d,
        input: &[f32],
        weights: &[f32],
        output: &mut [f32],
    ) -> Result<Statistics, KernelError> {
        check_len("output", output, shape.output_len()?)?;
        check_len("input", input, shape.input_len())?;
        check_len("weights", weights, shape.weight_len())?;
        if shape.is_depthwise() {
            let geometry = depthwise::Geometry::forward(shape)?;
            let inputs = [input, weights];
            return Ok(depthwise::run_with_statistics(
                self, &geometry, inputs, output,
            ));
        }
        let arguments = DataArguments {
            source: input,
            weights,
            epilogue: Epilogue::default(),
        };
        let geometry = Geometry::forward(&shape.flattened(shape.cached_pixels()))?;
        Ok(data::run_with_statistics(
            self, &geometry, arguments, output,
        ))
    }

    /// Computes the gradient of the input, `[batch, height, width, in_channels]`, from the gradient
    /// of the output.
    ///
    /// # Errors
    /// The shape is impossible, or the length of a slice differs from it.
    pub fn conv2d_backward_data(
        &self,
        shape: &Conv2d,
        output_gradient: &[f32],
        weights: &[f32],
        input_gradient: &mut [f32],
    ) -> Result<(), KernelError> {
        check_len("output_gradient", output_gradient, shape.output_len()?)?;
        check_len("weights", weights, shape.weight_len())?;
        check_len("input_gradient", input_gradient, shape.input_len())?;
        if shape.is_depthwise() {
            let geometry = depthwise::Geometry::backward(shape)?;
            let inputs = [output_gradient, weights];
            depthwise::run(self, &geometry, inputs, Epilogue::default(), input_gradient);
            return Ok(());
        }
        let arguments = DataArguments {
            source: output_gradient,
            weights,
            epilogue: Epilogue::default(),
        };
        let geometry = Geometry::backward(&shape.flattened(shape.cached_pixels()))?;
        data::run(self, &geometry, arguments, input_gradient);
        Ok(())
    }

    /// Computes the gradient of the weights, `[out_channels, in_channels / groups, kernel height, kernel
    /// width]`, summed over the batch, from the input and the gradient of the output.
    ///
    /// # Errors
    /// The shape is impossible, or the length of a slice differs from it.
    pub fn conv2d_backward_weights(
        &self,
        shape: &Conv2d,
        input: &[f32],
        output_gradient: &[f32],
        weight_gradient: &mut [f32],
    ) -> Result<(), KernelError> {
        check_len("output_gradient", output_gradient, shape.output_len()?)?;
        check_len("input", input, shape.input_len())?;
        check_len("weight_gradient", weight_gradient, shape.weight_len())?;
        if shape.is_depthwise() {
            let geometry = depthwise::Geometry::forward(shape)?;
            depthwise::run_weights(self, &geometry, [input, output_gradient], weight_gradient);
            Ok(())
        } else if winograd::applies_to_weights(self.isa, shape)? {
            let gradient = OutputGradient::Given(output_gradient);
            let targets = Gradients {
                weights: weight_gradient,
                data: None,
            };
            winograd::run_weights(self, shape, input, &gradient, targets)
        } else if winograd::applies_to_large_channels(self.isa, shape)? {
            winograd::run_large_channels(self, shape, input, output_gradient, weight_gradient)
        } else {
            let gradients = weight_gradient::Gradients {
                weights: weight_gradient,
                bias: None,
                data: None,
            };
            let gradient = OutputGradient::Given(output_gradient);
            let plan = Plan::new(shape, self.isa)?;
            weight_gradient::run(self, &plan, input, &gradient, gradients)
        }
    }
}
