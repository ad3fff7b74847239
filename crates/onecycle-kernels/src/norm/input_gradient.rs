//! Second half of the backward pass: the gradient of the input.
//!
//! `dx = a (g - dbias/n - x̂ dweight/n)` is evaluated lazily: the backward pass of a preceding
//! convolution computes it range by range and consumes it from cache. As `a g + b x + c` it would be
//! two multiply-adds, but lose digits where a channel's mean is large against its deviation.

use std::ops::Range;

use super::{AffineGradient, BatchNorm, Derivative};
use crate::activation::{ActivatedLoops, Activation, Function, activated};
use crate::channels::{Pixels, Rows, for_rows};
use crate::error::KernelError;
use crate::kernels::Kernels;
use crate::parallel::for_chunks;
use crate::simd::Isa;

/// The gradient of a batch norm's input, evaluated lazily.
#[derive(Debug)]
pub struct InputGradient<'a> {
    pixels: Pixels,
    input: &'a [f32],
    gradient: IncomingGradient<'a>,
    factors: Factors,
    /// The gradient counts times the derivative of this function at `scale x + shift`.
    activation: Activation,
}

/// The gradient of a layer's output.
#[derive(Debug)]
pub enum IncomingGradient<'a> {
    /// Needed afterwards, for example as the gradient of a residual.
    Kept(&'a [f32]),
    /// Not needed afterwards, so it may be overwritten.
    Spent(&'a mut [f32]),
}

impl<'a> From<&'a [f32]> for IncomingGradient<'a> {
    fn from(gradient: &'a [f32]) -> Self {
        IncomingGradient::Kept(gradient)
    }
}

impl<'a> From<&'a mut [f32]> for IncomingGradient<'a> {
    fn from(gradient: &'a mut [f32]) -> Self {
        IncomingGradient::Spent(gradient)
    }
}

impl IncomingGradient<'_> {
    pub(crate) fn values(&self) -> &[f32] {
        match self {
            IncomingGradient::Kept(gradient) => gradient,
            IncomingGradient::Spent(gradient) => gradient,
        }
    }
}

impl<'a> InputGradient<'a> {
    /// Takes the results of [`Kernels::batch_norm_backward_sums`]: `sums`, and `gradient` as that
    /// call left it. `norm`, `input` and `derivative` must be the same as in that call. A
    /// mutable `gradient` may be overwritten, see [`IncomingGradient::Spent`].
    ///
    /// # Errors
    /// The length of a slice differs from the shape.
    pub fn new(
        norm: &BatchNorm,
        sums: &AffineGradient,
        input: &'a [f32],
        derivative: Derivative,
        gradient: impl Into<IncomingGradient<'a>>,
    ) -> Result<Self, KernelError> {
        let gradient = gradient.into();
        norm.pixels.check("input", input)?;
        norm.pixels.check("gradient", gradient.values())?;
        Ok(InputGradient {
            pixels: norm.pixels,
            input,
            gradient,
            activation: derivative.recomputed(),
            factors: Factors::new(norm, sums)?,
        })
    }

    /// Number of elements.
    pub(crate) fn elements(&self) -> usize {
        self.input.len()
    }

    /// The memory that [`InputGradient::compute`] reads for a range.
    pub(crate) fn sources(&self, range: Range<usize>) -> [&[f32]; 2] {
        [&self.input[range.clone()], &self.gradient.values()[range]]
    }

    /// Writes the elements of a range, which must start at a pixel.
    pub(crate) fn compute(&self, isa: Isa, range: Range<usize>, target: &mut [f32]) {
        activated(
            isa,
            self.activation,
            Separate {
                factors: &self.factors,
                input: &self.input[range.clone()],
                gradient: &self.gradient.values()[range],
                target,
            },
        );
    }

    /// Overwrites the incoming gradient with the whole result, and returns it. Returns `None` and
    /// writes nothing if the incoming gradient is [`Kept`](IncomingGradient::Kept).
    pub fn overwrite(&mut self, kernels: &Kernels) -> Option<&mut [f32]> {
        let IncomingGradient::Spent(gradient) = &mut self.gradient else {
            return None;
        };
        for_chunks(gradient, self.pixels.chunk(), |index, gradient| {
            activated(
                kernels.isa,
                self.activation,
                InPlace {
                    factors: &self.factors,
                    input: &self.input[index * self.pixels.chunk()..],
                    gradient,
                },
            );
        });
        Some(gradient)
    }

    /// Writes the whole result to `target`.
    ///
    /// # Errors
    /// The length of `target` differs from the shape.
    pub fn write(&self, kernels: &Kernels, target: &mut [f32]) -> Result<(), KernelError> {
        self.pixels.check("input_gradient", target)?;
        for_chunks(target, self.pixels.chunk(), |index, target| {
            let start = index * self.pixels.chunk();
            self.compute(kernels.isa, start..start + target.len(), target);
        });
        Ok(())
    }
}

/// Factors of `dx = a (g - dbias/n - slope (x - mean))` and of the activation's argument
/// `scale x + shift`, repeated for every pixel of a row.
#[derive(Clone, Debug)]
struct Factors {
    row: usize,
    a: Vec<f32>,
    /// `dbias/n`, less what the rounding of `mean` adds to the last term.
    gradient: Vec<f32>,
    /// `dweight/n / √(variance + ε)`.
    slope: Vec<f32>,
    mean: Vec<f32>,
    scales: Vec<f32>,
    shifts: Vec<f32>,
}

impl Factors {
    fn new(norm: &BatchNorm, sums: &AffineGradient) -> Result<Self, KernelError> {
        let pixels = norm.pixels;
        norm.check()?;
        pixels.check_channels("sums", &sums.weight)?;
        pixels.check_channels("sums", &sums.bias)?;
        let n = pixels.count as f64;
        let (mean, lost) = norm.rounded_means();
        let [mut a, mut gradient, mut slope] = [const { Vec::new() }; 3];
        for (c, lost) in lost.into_iter().enumerate() {
            let root = norm.inverse_root(c);
            let on_input = root * f64::from(sums.weight[c]) / n;
            a.push((f64::from(norm.weight[c]) * root) as f32);
            gradient.push((f64::from(sums.bias[c]) / n - on_input * lost) as f32);
            slope.push(on_input as f32);
        }
        let (scales, shifts) = norm.scales_and_shifts();
        Ok(Factors {
            row: pixels.row(),
            a: pixels.repeated(&a),
            gradient: pixels.repeated(&gradient),
            slope: pixels.repeated(&slope),
            mean: pixels.repeated(&mean),
            scales,
            shifts,
        })
    }
}

/// Part of a row of [`Factors`].
struct FactorsPart<'a> {
    a: &'a [f32],
    gradient: &'a [f32],
    slope: &'a [f32],
    mean: &'a [f32],
    scales: &'a [f32],
    shifts: &'a [f32],
}

impl Factors {
    #[inline(always)]
    fn part(&self, column: usize, len: usize) -> FactorsPart<'_> {
        FactorsPart {
            a: &self.a[column..][..len],
            gradient: &self.gradient[column..][..len],
            slope: &self.slope[column..][..len],
            mean: &self.mean[column..][..len],
            scales: &self.scales[column..][..len],
            shifts: &self.shifts[column..][..len],
        }
    }
}

impl FactorsPart<'_> {
    /// `dx` of an element in column `i` of the part.
    #[inline(always)]
    fn element(&self, i: usize, g: f32, x: f32, function: impl Function) -> f32 {
        let g = function.backward(g, self.scales[i] * x + self.shifts[i]);
        self.a[i] * ((g - self.gradient[i]) - self.slope[i] * (x - self.mean[i]))
    }

    #[inline(always)]
    fn apply(&self, g: &[f32], x: &[f32], dx: &mut [f32], function: impl Function) {
        for (i, ((dx, g), x)) in dx.iter_mut().zip(g).zip(x).enumerate() {
            *dx = self.element(i, *g, *x, function);
        }
    }

    #[inline(always)]
    fn apply_in_place(&self, x: &[f32], g: &mut [f32], function: impl Function) {
        for (i, (g, x)) in g.iter_mut().zip(x).enumerate() {
            *g = self.element(i, *g, *x, function);
        }
    }
}

/// A chunk of work, and the activation of the forward pass.
struct WithFunction<W, F>(W, F);

/// A chunk of [`InputGradient::overwrite`].
struct InPlace<'a> {
    factors: &'a Factors,
    input: &'a [f32],
    gradient: &'a mut [f32],
}

impl ActivatedLoops for InPlace<'_> {
    #[inline(always)]
    fn run<F: Function>(self, function: F) {
        let (len, row) = (self.gradient.len(), self.factors.row);
        for_rows(len, row, WithFunction(self, function));
    }
}

impl<F: Function> Rows for WithFunction<InPlace<'_>, F> {
    #[inline(always)]
    fn part(&mut self, at: usize, column: usize, len: usize) {
        let WithFunction(chunk, function) = self;
        let (g, x) = (&mut chunk.gradient[at..][..len], &chunk.input[at..][..len]);
        let factors = chunk.factors.part(column, len);
        factors.apply_in_place(x, g, *function);
    }
}

/// A chunk that is written to separate memory.
struct Separate<'a> {
    factors: &'a Factors,
    input: &'a [f32],
    gradient: &'a [f32],
    target: &'a mut [f32],
}

impl ActivatedLoops for Separate<'_> {
    #[inline(always)]
    fn run<F: Function>(self, function: F) {
        let (len, row) = (self.target.len(), self.factors.row);
        for_rows(len, row, WithFunction(self, function));
    }
}

impl<F: Function> Rows for WithFunction<Separate<'_>, F> {
    #[inline(always)]
    fn part(&mut self, at: usize, column: usize, len: usize) {
        let WithFunction(chunk, function) = self;
        let (g, x) = (&chunk.gradient[at..][..len], &chunk.input[at..][..len]);
        let factors = chunk.factors.part(column, len);
        factors.apply(g, x, &mut chunk.target[at..][..len], *function);
    }
}
