//! Batch normalisation of channels-last feature maps, fused with a residual connection and an
//! activation (Ioffe & Szegedy 2015; He et al. 2016).
//!
//! Per channel, both passes are a few operations per element, so each takes one pass over memory:
//!
//! ```text
//! statistics  mean = Σx/n                     variance = Σ(x - mean)²/n     (biased, n pixels)
//! forward     y = f(a x + b + residual)       a = weight / √(variance + ε)  b = bias - a mean
//! backward    g = dy f'(a x + b + residual)   x̂ = (x - mean) / √(variance + ε)
//!             dbias = Σg                      dweight = Σ g x̂               dresidual = g
//!             dx = a (g - dbias/n - x̂ dweight/n)
//! ```
//!
//! with the identity, ReLU or GELU as `f`. The backward pass computes `a x + b` again, which costs
//! less than to read it from memory.
//!
//! Ghost batch normalisation (Hoffer et al. 2017) calls these kernels once per ghost batch.

mod backward;
mod input_gradient;
mod statistics;

pub use backward::{AffineGradient, Derivative};
pub use input_gradient::{IncomingGradient, InputGradient};
pub use statistics::Statistics;
pub(crate) use statistics::{Moments, add_moments};

use crate::activation::{ActivatedLoops, Activation, Function, activated};
use crate::channels::Pixels;
use crate::error::KernelError;
use crate::kernels::Kernels;
use crate::parallel::for_chunks;
use crate::simd::{read_ahead, write_ahead};

/// A batch norm with the statistics to normalise by: those of the batch in training, running
/// averages in evaluation.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm<'a> {
    /// Shape of the feature map.
    pub pixels: Pixels,
    /// Mean and variance of each channel.
    pub statistics: &'a Statistics,
    /// Scale (gamma), `[channels]`.
    pub weight: &'a [f32],
    /// Shift (beta), `[channels]`.
    pub bias: &'a [f32],
    /// Added to the variance; above 0.
    pub epsilon: f64,
}

/// Operations that are fused into [`Kernels::batch_norm_forward`].
#[derive(Clone, Copy, Debug, Default)]
pub struct NormEpilogue<'a> {
    /// Added after scale and shift; has the shape of the input.
    pub residual: Option<&'a [f32]>,
    /// Applied after the residual.
    pub activation: Activation,
}

/// # Batch normalisation
///
/// A backward pass takes two calls: [`Kernels::batch_norm_backward_sums`], then [`InputGradient`]
/// or [`Kernels::conv2d_backward_normalised`].
impl Kernels {
    /// Normalises `input`, applies scale, shift and the epilogue:
    /// `output = activation(a x + b + residual)`.
    ///
    /// # Errors
    /// The length of a slice differs from the shape.
    pub fn batch_norm_forward(
        &self,
        norm: &BatchNorm,
        input: &[f32],
        epilogue: NormEpilogue,
        output: &mut [f32],
    ) -> Result<(), KernelError> {
        let pixels = norm.pixels;
        pixels.check("input", input)?;
        pixels.check("output", output)?;
        if let Some(residual) = epilogue.residual {
            pixels.check("residual", residual)?;
        }
        norm.check()?;
        let (scales, shifts) = norm.scales_and_shifts();
        for_chunks(output, pixels.chunk(), |index, output| {
            let start = index * pixels.chunk();
            let input = &input[start..][..output.len()];
            let residual = epilogue.residual.map(|r| &r[start..][..output.len()]);
            activated(
                self.isa,
                epilogue.activation,
                Forward {
                    row: pixels.row(),
                    scales: &scales,
                    shifts: &shifts,
                    input,
                    residual,
                    output,
                },
            );
        });
        Ok(())
    }
}

/// A chunk of [`Kernels::batch_norm_forward`].
struct Forward<'a> {
    row: usize,
    scales: &'a [f32],
    shifts: &'a [f32],
    input: &'a [f32],
    residual: Option<&'a [f32]>,
    output: &'a mut [f32],
}

impl ActivatedLoops for Forward<'_> {
    #[inline(always)]
    fn run<F: Function>(self, function: F) {
        let rows = self
            .output
            .chunks_mut(self.row)
            .zip(self.input.chunks(self.row));
        match self.residual {
            None => {
                for (y, x) in rows {
                    read_ahead(x);
                    write_ahead(y);
                    for (((y, x), a), b) in y.iter_mut().zip(x).zip(self.scales).zip(self.shifts) {
                        *y = function.value(a * x + b);
                    }
                }
            }
            Some(residual) => {
                for ((y, x), r) in rows.zip(residual.chunks(self.row)) {
                    read_ahead(x);
                    read_ahead(r);
                    write_ahead(y);
                    let pixels = y.iter_mut().zip(x).zip(r);
                    for (((y, x), r), (a, b)) in pixels.zip(self.scales.iter().zip(self.shifts)) {
                        *y = function.value(a * x + b + r);
                    }
                }
            }
        }
    }
}

impl BatchNorm<'_> {
    /// The factors of the forward pass `scale * x + shift`, repeated for every pixel of a row.
    fn scales_and_shifts(&self) -> (Vec<f32>, Vec<f32>) {
        let (scales, shifts): (Vec<f32>, Vec<f32>) = (0..self.pixels.channels)
            .map(|c| {
                let scale = f64::from(self.weight[c]) * self.inverse_root(c);
                let shift = f64::from(self.bias[c]) - scale * self.statistics.mean[c];
                (scale as f32, shift as f32)
            })
            .unzip();
        (self.pixels.repeated(&scales), self.pixels.repeated(&shifts))
    }

    /// `1 / √(variance + ε)` of a channel.
    fn inverse_root(&self, channel: usize) -> f64 {
        1.0 / (self.statistics.variance[channel] + self.epsilon).sqrt()
    }

    /// The means in single precision, which the loops subtract, and what rounding has taken from them.
    fn rounded_means(&self) -> (Vec<f32>, Vec<f64>) {
        let means = self.statistics.mean.iter();
        means
            .map(|&mean| (mean as f32, mean - f64::from(mean as f32)))
            .unzip()
    }

    /// Returns an error if the length of a slice differs from the number of channels.
    fn check(&self) -> Result<(), KernelError> {
        let pixels = self.pixels;
        pixels.check_channels("mean", &self.statistics.mean)?;
        pixels.check_channels("variance", &self.statistics.variance)?;
        pixels.check_channels("weight", self.weight)?;
        pixels.check_channels("bias", self.bias)
    }
}
