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
//! There is no im2col copy; only zero padding is copied ([`padding`]). The gradient of the input is
//! the transposed convolution; its stride is split into phases ([`axis`]), so that no zeros are
//! inserted. 3 x 3 windows with stride 1 use Winograd's algorithm, which needs a quarter of the
//! multiplications ([`winograd`]). Windows of one pixel are plain matrix products over all pixels, whose
//! gradients are computed in one pass over the output gradient. All of this runs on the micro-kernels of
//! [`crate::gemm`]. Depthwise convolutions have kernels of their own ([`depthwise`]).

mod axis;
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

pub use output_gradient::Mask;
pub use shape::Conv2d;

use crate::activation::Activation;
use crate::channels::{Pixels, add_sums};
use crate::error::{KernelError, check_len};
use crate::kernels::Kernels;
use crate::norm::{IncomingGradient, InputGradient, Statistics};
use crate::parallel::{for_chunk_pairs, for_chunks};
use data::DataArguments;
use direct::DirectConv;
use geometry::Geometry;
use output_gradient::OutputGradient;
use winograd::{Gradients, WinogradConv};

/// Operations that are fused into a convolution, applied to each output before it is stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Added to each output channel, `[out_channels]`.
    pub bias: Option<&'a [f32]>,
    /// Applied after the bias.
    pub activation: Activation,
}

/// Where [`Kernels::conv2d_backward_normalised`] and [`Kernels::conv2d_backward_activated`] write their
/// results.
#[derive(Debug)]
pub struct Conv2dGradients<'a> {
    /// Gradient of the weights, `[out_channels, in_channels / groups, kernel height, kernel width]`; `None`
    /// skips it.
    pub weights: Option<&'a mut [f32]>,
    /// Gradient of the input, `[batch, height, width, in_channels]`; `None` skips it.
    pub input: Option<&'a mut [f32]>,
}

impl Conv2dGradients<'_> {
    fn check(&self, shape: &Conv2d) -> Result<(), KernelError> {
        if let Some(weights) = &self.weights {
            check_len("weight_gradient", weights, shape.weight_len())?;
        }
        match &self.input {
            None => Ok(()),
            Some(input) => check_len("input_gradient", input, shape.input_len()),
        }
    }
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
            let shape = weight_gradient::in_rows(shape);
            weight_gradient::run(self, &shape, input, &gradient, gradients)
        }
    }

    /// Computes the gradients of a convolution without bias that is followed by batch norm, from
    /// the gradient of the batch norm's output.
    ///
    /// If Winograd's algorithm applies to both gradients, or the window is a single pixel, the gradient
    /// of the convolution's own output is computed chunk by chunk and never stored as a whole. Otherwise
    /// it overwrites the
    /// incoming gradient if that is [`Spent`](crate::IncomingGradient::Spent), or goes into scratch
    /// memory.
    ///
    /// # Errors
    /// The shape is impossible, or the length of a slice differs from it.
    pub fn conv2d_backward_normalised(
        &self,
        shape: &Conv2d,
        input: &[f32],
        weights: &[f32],
        mut output_gradient: InputGradient,
        targets: Conv2dGradients,
    ) -> Result<(), KernelError> {
        let len = shape.output_len()?;
        if output_gradient.elements() != len {
            return Err(KernelError::Length {
                name: "output_gradient",
                expected: len,
                actual: output_gradient.elements(),
            });
        }
        check_len("input", input, shape.input_len())?;
        check_len("weights", weights, shape.weight_len())?;
        targets.check(shape)?;
        let Conv2dGradients {
            weights: weight_gradient,
            input: input_gradient,
        } = targets;
        let geometry = Geometry::backward(shape)?;
        let weight_gradient = match weight_gradient {
            Some(target)
                if !shape.is_depthwise()
                    && winograd::applies_to_weights(self.isa, shape)?
                    && winograd::applies_to_data(self.isa, &geometry) =>
            {
                let conv = WinogradConv::new(self, &geometry, weights, Epilogue::default());
                let gradient = OutputGradient::Normalised(&output_gradient);
                let targets = Gradients {
                    weights: target,
                    data: input_gradient.map(|target| (&conv, target)),
                };
                return winograd::run_weights(self, shape, input, &gradient, targets);
            }
            Some(target) if self.is_one_pass(shape)? => {
                let gradient = OutputGradient::Normalised(&output_gradient);
                let targets = Gradients1x1 {
                    weights: target,
                    bias: None,
                    input: input_gradient,
                };
                return self.one_pass(shape, [input, weights], &gradient, targets);
            }
            other => other,
        };
        if weight_gradient.is_none() && input_gradient.is_none() {
            return Ok(());
        }
        let mut scratch = None;
        let gradient = match output_gradient.overwrite(self) {
            Some(gradient) => gradient,
            None => {
                let scratch = scratch.insert(self.workspace.take(len));
                output_gradient.write(self, scratch)?;
                scratch
            }
        };
        if let Some(target) = weight_gradient {
            self.conv2d_backward_weights(shape, input, gradient, target)?;
        }
        match input_gradient {
            None => Ok(()),
            Some(target) => self.conv2d_backward_data(shape, gradient, weights, target),
        }
    }

    /// Computes the gradients of a convolution that is followed by an activation, from the gradient of
    /// the activation's output. `bias` receives the gradient of the bias, `[out_channels]`.
    ///
    /// A [`Spent`](IncomingGradient::Spent) gradient has unspecified values afterwards. If the window is a
    /// single pixel, the gradient is read only once for all results.
    ///
    /// # Errors
    /// The shape is impossible, or the length of a slice differs from it.
    pub fn conv2d_backward_activated(
        &self,
        shape: &Conv2d,
        input: &[f32],
        weights: &[f32],
        (gradient, mask): (IncomingGradient, Mask),
        (targets, bias): (Conv2dGradients, Option<&mut [f32]>),
    ) -> Result<(), KernelError> {
        let len = shape.output_len()?;
        check_len("gradient", gradient.values(), len)?;
        mask.check(len)?;
        check_len("input", input, shape.input_len())?;
        check_len("weights", weights, shape.weight_len())?;
        targets.check(shape)?;
        if let Some(bias) = &bias {
            check_len("bias", bias, shape.out_channels)?;
        }
        let Conv2dGradients {
            weights: weight_gradient,
            input: input_gradient,
        } = targets;
        let weight_gradient = match weight_gradient {
            Some(target) if self.is_one_pass(shape)? => {
                let gradient = OutputGradient::Activated(gradient.values(), mask);
                let targets = Gradients1x1 {
                    weights: target,
                    bias,
                    input: input_gradient,
                };
                return self.one_pass(shape, [input, weights], &gradient, targets);
            }
            other => other,
        };
        let mut scratch;
        let gradient: &[f32] = match (gradient, mask) {
            (IncomingGradient::Spent(gradient), _) => {
                self.mask_and_sum(shape.out_channels, mask, gradient, bias);
                gradient
            }
            (IncomingGradient::Kept(gradient), Mask::One) => {
                if let Some(bias) = bias {
                    let (count, channels) = (len / shape.out_channels, shape.out_channels);
                    bias.copy_from_slice(
                        &self.channel_sums(&Pixels { count, channels }, gradient)?,
                    );
                }
                gradient
            }
            (IncomingGradient::Kept(gradient), _) => {
                scratch = self.workspace.take(len);
                scratch.copy_from_slice(gradient);
                self.mask_and_sum(shape.out_channels, mask, &mut scratch, bias);
                &scratch
            }
        };
        if let Some(target) = weight_gradient {
            self.conv2d_backward_weights(shape, input, gradient, target)?;
        }
        match input_gradient {
            None => Ok(()),
            Some(target) => self.conv2d_backward_data(shape, gradient, weights, target),
        }
    }

    /// Multiplies a gradient by the derivative of the activation and, if asked for, sums it up for each
    /// channel, in one pass.
    fn mask_and_sum(
        &self,
        channels: usize,
        mask: Mask,
        gradient: &mut [f32],
        bias: Option<&mut [f32]>,
    ) {
        let pixels = Pixels {
            count: gradient.len() / channels,
            channels,
        };
        let chunk = pixels.chunk();
        let at = |index: usize, len: usize| index * chunk..index * chunk + len;
        let Some(bias) = bias else {
            for_chunks(gradient, chunk, |index, gradient| {
                mask.apply(self.isa, at(index, gradient.len()), gradient);
            });
            return;
        };
        let mut partial = pixels.partial_sums();
        for_chunk_pairs(
            (gradient, &mut partial),
            [chunk, 2 * channels],
            |index, gradient, sums| {
                mask.apply(self.isa, at(index, gradient.len()), gradient);
                add_sums(self.isa, &pixels, gradient, sums);
            },
        );
        let [sums, _] = pixels.total(&partial);
        for (target, sum) in bias.iter_mut().zip(sums) {
            *target = sum as f32;
        }
    }

    /// Whether [`one_pass`](Self::one_pass) applies.
    fn is_one_pass(&self, shape: &Conv2d) -> Result<bool, KernelError> {
        Ok(!shape.is_depthwise()
            && weight_gradient::is_one_pass(self.isa, &weight_gradient::in_rows(shape))?)
    }

    /// All gradients of a convolution with a window of one pixel. Each chunk of the output gradient is
    /// read, or computed, once, and used while it is in cache.
    fn one_pass(
        &self,
        shape: &Conv2d,
        [input, weights]: [&[f32]; 2],
        gradient: &OutputGradient,
        targets: Gradients1x1,
    ) -> Result<(), KernelError> {
        let shape = weight_gradient::in_rows(shape);
        let geometry = Geometry::backward(&shape)?;
        let conv = targets
            .input
            .is_some()
            .then(|| DirectConv::new(self, &geometry, weights, Epilogue::default()));
        let gradients = weight_gradient::Gradients {
            weights: targets.weights,
            bias: targets.bias,
            data: conv.as_ref().zip(targets.input),
        };
        weight_gradient::run(self, &shape, input, gradient, gradients)
    }
}

/// Where the gradients of a convolution with a window of one pixel go.
struct Gradients1x1<'a> {
    weights: &'a mut [f32],
    bias: Option<&'a mut [f32]>,
    input: Option<&'a mut [f32]>,
}
