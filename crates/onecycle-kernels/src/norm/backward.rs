//! First half of the backward pass: gradients of scale and shift.

use super::{Affine, Statistics, check_statistics, inverse_root, scale_and_shift};
use crate::channels::{Pixels, Term};
use crate::error::KernelError;
use crate::parallel::for_chunk_pairs;
use crate::simd::{Loops, Path, read_ahead, vectorised};

/// Where the mask of the ReLU comes from that followed in the forward pass.
#[derive(Clone, Copy, Debug)]
pub enum ReluMask<'a> {
    /// There was no ReLU.
    Absent,
    /// From the forward pass's output: needed where a residual was added.
    Output(&'a [f32]),
    /// From the input again, which spares reading the output. Without a residual only.
    Recomputed,
}

/// Gradients of scale and shift, `[channels]` each.
#[derive(Clone, Debug, PartialEq)]
pub struct AffineGradient {
    /// `Σ g x̂`.
    pub weight: Vec<f32>,
    /// `Σ g`.
    pub bias: Vec<f32>,
}

/// First half of the backward pass: sums up the gradients of scale and shift. With [`ReluMask::Output`] the mask is applied
/// to `gradient` in place, after which it is the residual's gradient.
///
/// # Errors
/// A slice does not fit the shape.
pub fn batch_norm_backward_sums(
    path: Path,
    shape: &Pixels,
    statistics: &Statistics,
    affine: Affine,
    input: &[f32],
    relu: ReluMask,
    gradient: &mut [f32],
) -> Result<AffineGradient, KernelError> {
    shape.check("input", input)?;
    shape.check("gradient", gradient)?;
    let (output, recomputed) = match relu {
        ReluMask::Absent => (None, false),
        ReluMask::Output(output) => (Some(output), false),
        ReluMask::Recomputed => (None, true),
    };
    if let Some(output) = output {
        shape.check("output", output)?;
    }
    check_statistics(shape, statistics, affine.weight)?;
    shape.check_channels("bias", affine.bias)?;
    let (scales, shifts) = scale_and_shift(shape, statistics, affine);
    let live = recomputed.then_some((&scales[..], &shifts[..]));
    let mean = shape.repeated(&statistics.mean);
    let mut partial = shape.partial_sums();
    for_chunk_pairs(
        (gradient, &mut partial),
        [shape.piece(), 2 * shape.channels],
        |index, gradient, sums| {
            let start = index * shape.piece();
            let input = &input[start..][..gradient.len()];
            let output = output.map(|output| &output[start..][..gradient.len()]);
            vectorised(
                path,
                BackwardSums {
                    shape,
                    mean: &mean,
                    live,
                    input,
                    output,
                    gradient,
                    sums,
                },
            );
        },
    );
    let [bias, product] = shape.total(&partial);
    Ok(AffineGradient {
        weight: (0..shape.channels)
            .map(|c| (product[c] * inverse_root(statistics, c, affine.epsilon)) as f32)
            .collect(),
        bias: bias.into_iter().map(|sum| sum as f32).collect(),
    })
}

/// A piece of [`batch_norm_backward_sums`].
struct BackwardSums<'a> {
    shape: &'a Pixels,
    mean: &'a [f32],
    /// Scales and shifts, where the mask is computed again.
    live: Option<(&'a [f32], &'a [f32])>,
    input: &'a [f32],
    output: Option<&'a [f32]>,
    gradient: &'a mut [f32],
    sums: &'a mut [f64],
}

impl Loops for BackwardSums<'_> {
    #[inline(always)]
    fn run(self) {
        if let Some(output) = self.output {
            let row = self.shape.row();
            for (gradient, output) in self.gradient.chunks_mut(row).zip(output.chunks(row)) {
                read_ahead(gradient);
                read_ahead(output);
                for (g, y) in gradient.iter_mut().zip(output) {
                    *g = masked(*g, *y, 0.0);
                }
            }
        }
        let (shape, mean) = (self.shape, self.mean);
        match self.live {
            None => shape.add_piece(self.gradient, self.input, self.sums, Centred(mean)),
            Some((scales, shifts)) => {
                let term = CentredLive {
                    mean,
                    scales,
                    shifts,
                };
                shape.add_piece(self.gradient, self.input, self.sums, term);
            }
        }
    }
}

/// The gradient where the ReLU let its input `y` pass: above `floor`.
#[inline(always)]
pub(super) fn masked(g: f32, y: f32, floor: f32) -> f32 {
    if y <= floor { 0.0 } else { g }
}

/// `g` and `g (x - mean)`.
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

/// The same, with the mask of the ReLU.
struct CentredLive<'a> {
    mean: &'a [f32],
    scales: &'a [f32],
    shifts: &'a [f32],
}

impl Term for CentredLive<'_> {
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
