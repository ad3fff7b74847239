//! Batch normalisation of channels-last pixels, with what usually follows it: a residual and the ReLU (Ioffe & Szegedy
//! 2015; He et al. 2016).
//!
//! Per channel both passes are a multiply-add, so each is one walk over memory:
//!
//! ```text
//! statistics  mean = Σx/n                     variance = Σ(x - mean)²/n              (biased, n = pixels)
//! forward     y = relu(a x + b + residual)    a = weight / √(variance + ε)           b = bias - a mean
//! backward    g = 0 where y <= 0, else dy      x̂ = (x - mean) / √(variance + ε)
//!             dbias = Σg                      dweight = Σ g x̂                        dresidual = g
//!             dx = a (g - dbias/n - x̂ dweight/n)
//! ```

mod backward;
mod input_gradient;
mod statistics;

pub use backward::{AffineGradient, ReluMask, batch_norm_backward_sums};
pub use input_gradient::{IncomingGradient, InputGradient};
pub(crate) use statistics::{Moments, add_moments};
pub use statistics::{Statistics, batch_norm_statistics};

use crate::channels::Pixels;
use crate::error::KernelError;
use crate::parallel::for_chunks;
use crate::simd::{Loops, Path, read_ahead, vectorised, write_ahead};

/// Scale and shift that follow the normalisation, and what is added to the variance under the root.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a> {
    /// `[channels]`.
    pub weight: &'a [f32],
    /// `[channels]`.
    pub bias: &'a [f32],
    /// Above 0.
    pub epsilon: f64,
}

/// `output = relu(affine(normalised input) + residual)`, each of the two where asked for.
///
/// # Errors
/// A slice does not fit the shape.
#[allow(clippy::too_many_arguments)]
pub fn batch_norm_forward(
    path: Path,
    shape: &Pixels,
    statistics: &Statistics,
    affine: Affine,
    input: &[f32],
    residual: Option<&[f32]>,
    relu: bool,
    output: &mut [f32],
) -> Result<(), KernelError> {
    shape.check("input", input)?;
    shape.check("output", output)?;
    if let Some(residual) = residual {
        shape.check("residual", residual)?;
    }
    check_statistics(shape, statistics, affine.weight)?;
    shape.check_channels("bias", affine.bias)?;
    let (scales, shifts) = scale_and_shift(shape, statistics, affine);
    let row = shape.row();
    let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
    for_chunks(output, shape.piece(), |index, output| {
        let start = index * shape.piece();
        let input = &input[start..][..output.len()];
        let residual = residual.map(|r| &r[start..][..output.len()]);
        vectorised(
            path,
            Forward {
                row,
                scales: &scales,
                shifts: &shifts,
                floor,
                input,
                residual,
                output,
            },
        );
    });
    Ok(())
}

/// A piece of [`batch_norm_forward`].
struct Forward<'a> {
    row: usize,
    scales: &'a [f32],
    shifts: &'a [f32],
    floor: f32,
    input: &'a [f32],
    residual: Option<&'a [f32]>,
    output: &'a mut [f32],
}

impl Loops for Forward<'_> {
    #[inline(always)]
    fn run(self) {
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
                        *y = at_least(self.floor, a * x + b);
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
                        *y = at_least(self.floor, a * x + b + r);
                    }
                }
            }
        }
    }
}

/// `x`, or `floor` where that is larger; NaN stays NaN.
#[inline(always)]
fn at_least(floor: f32, x: f32) -> f32 {
    if floor > x { floor } else { x }
}

/// The forward pass as `scale * x + shift`, for a row of pixels each.
fn scale_and_shift(
    shape: &Pixels,
    statistics: &Statistics,
    affine: Affine,
) -> (Vec<f32>, Vec<f32>) {
    let (scales, shifts): (Vec<f32>, Vec<f32>) = (0..shape.channels)
        .map(|c| {
            let scale = f64::from(affine.weight[c]) * inverse_root(statistics, c, affine.epsilon);
            let shift = f64::from(affine.bias[c]) - scale * f64::from(statistics.mean[c]);
            (scale as f32, shift as f32)
        })
        .unzip();
    (shape.repeated(&scales), shape.repeated(&shifts))
}

/// `1 / √(variance + ε)` of a channel.
fn inverse_root(statistics: &Statistics, channel: usize, epsilon: f64) -> f64 {
    1.0 / (f64::from(statistics.variance[channel]) + epsilon).sqrt()
}

fn check_statistics(
    shape: &Pixels,
    statistics: &Statistics,
    weight: &[f32],
) -> Result<(), KernelError> {
    shape.check_channels("mean", &statistics.mean)?;
    shape.check_channels("variance", &statistics.variance)?;
    shape.check_channels("weight", weight)
}
