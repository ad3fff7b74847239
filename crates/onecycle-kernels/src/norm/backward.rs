//! First half of the backward pass: gradients of weight and bias.
//!
//! ```text
//! g = dy where the ReLU passed its input, else 0      dbias = Σg      dweight = Σ g x̂
//! ```

use super::BatchNorm;
use crate::channels::{Pixels, Term};
use crate::error::KernelError;
use crate::kernels::Kernels;
use crate::parallel::for_chunk_pairs;
use crate::simd::{PlainLoops, read_ahead, vectorised};

/// How the backward pass finds out which elements the ReLU of the forward pass set to 0.
#[derive(Clone, Copy, Debug)]
pub enum ReluMask<'a> {
    /// There was no ReLU.
    Absent,
    /// From the output of the forward pass. Required if a residual was added.
    Output(&'a [f32]),
    /// By computing the output again from the input, which saves reading the output. Only possible
    /// without a residual.
    Recomputed,
}

/// Gradients of weight and bias, `[channels]` each.
#[derive(Clone, Debug, PartialEq)]
pub struct AffineGradient {
    /// `Σ g x̂`.
    pub weight: Vec<f32>,
    /// `Σ g`.
    pub bias: Vec<f32>,
}

/// # Gradients of weight and bias
impl Kernels {
    /// Computes the gradients of weight and bias from `gradient`, the gradient of the output.
    ///
    /// With [`ReluMask::Output`], the mask is also applied to `gradient` in place, which makes it
    /// the gradient of the residual. Otherwise `gradient` is not changed.
    ///
    /// # Errors
    /// The length of a slice differs from the shape.
    pub fn batch_norm_backward_sums(
        &self,
        norm: &BatchNorm,
        input: &[f32],
        relu: ReluMask,
        gradient: &mut [f32],
    ) -> Result<AffineGradient, KernelError> {
        let pixels = &norm.pixels;
        pixels.check("input", input)?;
        pixels.check("gradient", gradient)?;
        let (output, recomputed) = match relu {
            ReluMask::Absent => (None, false),
            ReluMask::Output(output) => (Some(output), false),
            ReluMask::Recomputed => (None, true),
        };
        if let Some(output) = output {
            pixels.check("output", output)?;
        }
        norm.check()?;
        let (scales, shifts) = norm.scales_and_shifts();
        let recompute = recomputed.then_some((&scales[..], &shifts[..]));
        let mean = pixels.repeated(&norm.statistics.mean);
        let mut partial = pixels.partial_sums();
        for_chunk_pairs(
            (gradient, &mut partial),
            [pixels.chunk(), 2 * pixels.channels],
            |index, gradient, sums| {
                let start = index * pixels.chunk();
                let input = &input[start..][..gradient.len()];
                let output = output.map(|output| &output[start..][..gradient.len()]);
                vectorised(
                    self.isa,
                    BackwardSums {
                        pixels,
                        mean: &mean,
                        recompute,
                        input,
                        output,
                        gradient,
                        sums,
                    },
                );
            },
        );
        let [bias, product] = pixels.total(&partial);
        Ok(AffineGradient {
            weight: (0..pixels.channels)
                .map(|c| (product[c] * norm.inverse_root(c)) as f32)
                .collect(),
            bias: bias.into_iter().map(|sum| sum as f32).collect(),
        })
    }
}

/// A chunk of [`Kernels::batch_norm_backward_sums`].
struct BackwardSums<'a> {
    pixels: &'a Pixels,
    mean: &'a [f32],
    /// Scales and shifts, if the mask is recomputed.
    recompute: Option<(&'a [f32], &'a [f32])>,
    input: &'a [f32],
    output: Option<&'a [f32]>,
    gradient: &'a mut [f32],
    sums: &'a mut [f64],
}

impl PlainLoops for BackwardSums<'_> {
    #[inline(always)]
    fn run(self) {
        if let Some(output) = self.output {
            let row = self.pixels.row();
            for (gradient, output) in self.gradient.chunks_mut(row).zip(output.chunks(row)) {
                read_ahead(gradient);
                read_ahead(output);
                for (g, y) in gradient.iter_mut().zip(output) {
                    *g = masked(*g, *y, 0.0);
                }
            }
        }
        let (pixels, mean) = (self.pixels, self.mean);
        match self.recompute {
            None => pixels.add_chunk(self.gradient, self.input, self.sums, Centred(mean)),
            Some((scales, shifts)) => {
                let term = CentredRecomputed {
                    mean,
                    scales,
                    shifts,
                };
                pixels.add_chunk(self.gradient, self.input, self.sums, term);
            }
        }
    }
}

/// The gradient `g` where `y` is above `floor`, else 0.
#[inline(always)]
pub(super) fn masked(g: f32, y: f32, floor: f32) -> f32 {
    if y <= floor { 0.0 } else { g }
}

/// The terms `g` and `g (x - mean)`.
struct Centred<'a>(&'a [f32]);

impl Term for Centred<'_> {
    #[inline(always)]
    fn add(
        &self,
        column: usize,
        first: &[f32],
        second: &[f32],
        left: &mut [f32],
        right: &mut [f32],
    ) {
        let mean = &self.0[column..][..first.len()];
        let inputs = first.iter().zip(second).zip(mean);
        for (((g, x), mean), (sum, product)) in inputs.zip(left.iter_mut().zip(right)) {
            *sum += g;
            *product += g * (x - mean);
        }
    }
}

/// The same terms with the ReLU mask recomputed from `x`.
struct CentredRecomputed<'a> {
    mean: &'a [f32],
    scales: &'a [f32],
    shifts: &'a [f32],
}

impl Term for CentredRecomputed<'_> {
    #[inline(always)]
    fn add(
        &self,
        column: usize,
        first: &[f32],
        second: &[f32],
        left: &mut [f32],
        right: &mut [f32],
    ) {
        let [mean, scales, shifts] =
            [self.mean, self.scales, self.shifts].map(|factors| &factors[column..][..first.len()]);
        let factors = mean.iter().zip(scales).zip(shifts);
        let inputs = first.iter().zip(second).zip(factors);
        for (((g, x), ((mean, a), b)), (sum, product)) in inputs.zip(left.iter_mut().zip(right)) {
            let g = masked(*g, a * x + b, 0.0);
            *sum += g;
            *product += g * (x - mean);
        }
    }
}
