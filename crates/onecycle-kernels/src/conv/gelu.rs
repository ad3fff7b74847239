//! Backward pass of a GELU after a convolution.

use super::data::{DataArguments, Groups};
use super::geometry::Geometry;
use super::{Conv2d, Epilogue, depthwise};
use crate::activation::Activation;
use crate::channels::{Pixels, add_sums};
use crate::elementwise::multiply_by_derivative;
use crate::error::{KernelError, check_len};
use crate::kernels::Kernels;
use crate::parallel::for_chunk_pairs;

/// # Convolution followed by GELU
impl Kernels {
    /// Multiplies `gradient`, that of [`Kernels::conv2d_forward`] with [`Activation::Gelu`], by the
    /// derivative of the activation. This makes it the gradient of the convolution's own output.
    /// Returns its sum over all pixels, `[out_channels]`, the gradient of the bias.
    ///
    /// The derivative needs the argument of the activation, which is not stored: each group of
    /// images is convolved again while its gradient is in cache. This suits small convolutions.
    ///
    /// # Errors
    /// The shape is impossible, or the length of a slice differs from it.
    pub fn conv2d_gelu_backward(
        &self,
        shape: &Conv2d,
        input: &[f32],
        weights: &[f32],
        bias: Option<&[f32]>,
        gradient: &mut [f32],
    ) -> Result<Vec<f32>, KernelError> {
        check_len("gradient", gradient, shape.output_len()?)?;
        check_len("input", input, shape.input_len())?;
        check_len("weights", weights, shape.weight_len())?;
        if let Some(bias) = bias {
            check_len("bias", bias, shape.out_channels)?;
        }
        if shape.is_depthwise() {
            let geometry = depthwise::Geometry::forward(shape)?;
            let inputs = [input, weights];
            return Ok(depthwise::gelu_backward(
                self, &geometry, inputs, bias, gradient,
            ));
        }
        let epilogue = Epilogue {
            bias,
            activation: Activation::Identity,
        };
        let arguments = DataArguments {
            source: input,
            weights,
            epilogue,
        };
        let geometry = Geometry::forward(shape)?;
        let groups = Groups::new(self, &geometry, arguments).in_cache();
        let channels = shape.out_channels;
        let pixels = Pixels {
            count: gradient.len() / channels,
            channels,
        };
        let chunks = gradient.len().div_ceil(groups.chunk());
        let mut partial = vec![0.0; chunks * 2 * channels];
        for_chunk_pairs(
            (gradient, &mut partial),
            [groups.chunk(), 2 * channels],
            |index, gradient, sums| {
                let mut argument = self.workspace.take(gradient.len());
                groups.compute(index, &mut argument);
                multiply_by_derivative(self.isa, Activation::Gelu, &argument, gradient);
                add_sums(self.isa, &pixels, gradient, sums);
            },
        );
        let [sums, _] = pixels.total(&partial);
        Ok(sums.into_iter().map(|sum| sum as f32).collect())
    }
}
