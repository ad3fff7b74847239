//! First half of the backward pass: gradients of weight and bias.
//!
//! ```text
//! g = dy times the derivative of the activation       dbias = Σg      dweight = Σ g x̂
//! ```

use super::BatchNorm;
use crate::activation::{ActivatedLoops, Activation, Floor, Function, activated};
use crate::channels::{Pixels, Term};
use crate::error::KernelError;
use crate::kernels::Kernels;
use crate::parallel::for_chunk_pairs;
use crate::simd::read_ahead;

/// The derivative of the activation that the forward pass applied, and how the backward pass finds
/// it.
#[derive(Clone, Copy, Debug)]
pub enum Derivative<'a> {
    /// 1: there was no activation.
    One,
    /// 1 where this output of the forward pass is positive, else 0: a ReLU after a residual.
    OfReluOutput(&'a [f32]),
    /// Of a ReLU without a residual. The activation's argument is computed again from the input,
    /// which saves reading the output.
    OfRelu,
    /// Of a ReLU6 without a residual, computed in the same way.
    OfRelu6,
    /// Of a GELU without a residual, computed in the same way.
    OfGelu,
}

impl<'a> Derivative<'a> {
    /// The activation whose argument is computed again.
    pub(super) fn recomputed(self) -> Activation {
        match self {
            Derivative::One | Derivative::OfReluOutput(_) => Activation::Identity,
            Derivative::OfRelu => Activation::Relu,
            Derivative::OfRelu6 => Activation::Relu6,
            Derivative::OfGelu => Activation::Gelu,
        }
    }

    fn output(self) -> Option<&'a [f32]> {
        match self {
            Derivative::OfReluOutput(output) => Some(output),
            _ => None,
        }
    }
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
    /// With [`Derivative::OfReluOutput`], `gradient` is also multiplied by the derivative in place,
    /// which makes it the gradient of the residual. Otherwise it is not changed.
    ///
    /// # Errors
    /// The length of a slice differs from the shape.
    pub fn batch_norm_backward_sums(
        &self,
        norm: &BatchNorm,
        input: &[f32],
        derivative: Derivative,
        gradient: &mut [f32],
    ) -> Result<AffineGradient, KernelError> {
        let pixels = &norm.pixels;
        pixels.check("input", input)?;
        pixels.check("gradient", gradient)?;
        let (output, activation) = (derivative.output(), derivative.recomputed());
        if let Some(output) = output {
            pixels.check("output", output)?;
        }
        norm.check()?;
        let (scales, shifts) = norm.scales_and_shifts();
        let recompute = activation != Activation::Identity;
        let recompute = recompute.then_some((&scales[..], &shifts[..]));
        let (mean, lost) = norm.rounded_means();
        let mean = pixels.repeated(&mean);
        let mut partial = pixels.partial_sums();
        for_chunk_pairs(
            (gradient, &mut partial),
            [pixels.chunk(), 2 * pixels.channels],
            |index, gradient, sums| {
                let start = index * pixels.chunk();
                let input = &input[start..][..gradient.len()];
                let output = output.map(|output| &output[start..][..gradient.len()]);
                activated(
                    self.isa,
                    activation,
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
                .map(|c| ((product[c] - lost[c] * bias[c]) * norm.inverse_root(c)) as f32)
                .collect(),
            bias: bias.into_iter().map(|sum| sum as f32).collect(),
        })
    }
}

/// A chunk of [`Kernels::batch_norm_backward_sums`].
struct BackwardSums<'a> {
    pixels: &'a Pixels,
    mean: &'a [f32],
    /// Scales and shifts, if the activation's argument is computed again.
    recompute: Option<(&'a [f32], &'a [f32])>,
    input: &'a [f32],
    output: Option<&'a [f32]>,
    gradient: &'a mut [f32],
    sums: &'a mut [f64],
}

impl ActivatedLoops for BackwardSums<'_> {
    #[inline(always)]
    fn run<F: Function>(self, function: F) {
        if let Some(output) = self.output {
            let row = self.pixels.row();
            for (gradient, output) in self.gradient.chunks_mut(row).zip(output.chunks(row)) {
                read_ahead(gradient);
                read_ahead(output);
                for (g, y) in gradient.iter_mut().zip(output) {
                    *g = Floor(0.0).backward(*g, *y);
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
                    function,
                };
                pixels.add_chunk(self.gradient, self.input, self.sums, term);
            }
        }
    }
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

/// The same terms with `g` times the derivative of the activation at `scale x + shift`.
struct CentredRecomputed<'a, F> {
    mean: &'a [f32],
    scales: &'a [f32],
    shifts: &'a [f32],
    function: F,
}

impl<F: Function> Term for CentredRecomputed<'_, F> {
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
            let g = self.function.backward(*g, a * x + b);
            *sum += g;
            *product += g * (x - mean);
        }
    }
}
