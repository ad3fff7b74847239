//! Second half of the backward pass: the gradient of the input.

use std::ops::Range;

use super::backward::masked;
use super::{
    Affine, AffineGradient, ReluMask, Statistics, check_statistics, inverse_root, scale_and_shift,
};
use crate::channels::{Pixels, Rows, for_rows};
use crate::error::KernelError;
use crate::parallel::for_chunks;
use crate::simd::{Loops, Path, vectorised};

/// Second half of the backward pass: the input's gradient, `dx = a g + b x + c` with factors for each channel.
#[derive(Debug)]
pub struct InputGradient<'a> {
    shape: Pixels,
    input: &'a [f32],
    gradient: IncomingGradient<'a>,
    factors: Factors,
}

/// The gradient of a batch norm's output, as its backward pass gets it.
#[derive(Debug)]
pub enum IncomingGradient<'a> {
    /// Someone else needs it.
    Kept(&'a [f32]),
    /// Nobody does: what has to stand in memory as a whole is written over it.
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
    fn values(&self) -> &[f32] {
        match self {
            IncomingGradient::Kept(gradient) => gradient,
            IncomingGradient::Spent(gradient) => gradient,
        }
    }
}

impl<'a> InputGradient<'a> {
    /// From what [`batch_norm_backward_sums`](super::batch_norm_backward_sums) left in `gradient` and returned, with the same
    /// `relu`. A mutable `gradient` is of no further use: see [`IncomingGradient::Spent`].
    ///
    /// # Errors
    /// A slice does not fit the shape.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        shape: &Pixels,
        statistics: &Statistics,
        affine: Affine,
        sums: &AffineGradient,
        input: &'a [f32],
        relu: ReluMask,
        gradient: impl Into<IncomingGradient<'a>>,
    ) -> Result<Self, KernelError> {
        let gradient = gradient.into();
        shape.check("input", input)?;
        shape.check("gradient", gradient.values())?;
        Ok(InputGradient {
            shape: *shape,
            input,
            gradient,
            factors: Factors::new(shape, statistics, affine, sums, relu)?,
        })
    }

    /// Elements, as many as the input has.
    pub(crate) fn elements(&self) -> usize {
        self.input.len()
    }

    /// What [`InputGradient::compute`] reads for a range.
    pub(crate) fn sources(&self, range: Range<usize>) -> [&[f32]; 2] {
        [&self.input[range.clone()], &self.gradient.values()[range]]
    }

    /// Writes the elements of a range, which begins at a pixel.
    pub(crate) fn compute(&self, path: Path, range: Range<usize>, target: &mut [f32]) {
        vectorised(
            path,
            Beside {
                factors: &self.factors,
                input: &self.input[range.clone()],
                gradient: &self.gradient.values()[range],
                target,
            },
        );
    }

    /// Writes all of it over the gradient that came in, and hands that out; `None`, and nothing is written, where it
    /// is to be [kept](IncomingGradient::Kept).
    pub fn overwrite(&mut self, path: Path) -> Option<&mut [f32]> {
        let IncomingGradient::Spent(gradient) = &mut self.gradient else {
            return None;
        };
        for_chunks(gradient, self.shape.piece(), |index, gradient| {
            vectorised(
                path,
                InPlace {
                    factors: &self.factors,
                    input: &self.input[index * self.shape.piece()..],
                    gradient,
                },
            );
        });
        Some(gradient)
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// `target` does not fit the shape.
    pub fn write(&self, path: Path, target: &mut [f32]) -> Result<(), KernelError> {
        self.shape.check("input_gradient", target)?;
        for_chunks(target, self.shape.piece(), |index, target| {
            let start = index * self.shape.piece();
            self.compute(path, start..start + target.len(), target);
        });
        Ok(())
    }
}

/// What [`InputGradient`] does to each channel, a row of pixels each: `dx = a g + b x + c`, where `g` counts only if
/// `scale * x + shift` lies above `floor`.
#[derive(Clone, Debug)]
struct Factors {
    row: usize,
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
    scales: Vec<f32>,
    shifts: Vec<f32>,
    floor: f32,
}

impl Factors {
    fn new(
        shape: &Pixels,
        statistics: &Statistics,
        affine: Affine,
        sums: &AffineGradient,
        relu: ReluMask,
    ) -> Result<Self, KernelError> {
        check_statistics(shape, statistics, affine.weight)?;
        shape.check_channels("bias", affine.bias)?;
        shape.check_channels("sums", &sums.weight)?;
        shape.check_channels("sums", &sums.bias)?;
        let n = shape.count as f64;
        let [mut on_gradient, mut on_input, mut constant] = [const { Vec::new() }; 3];
        for c in 0..shape.channels {
            let root = inverse_root(statistics, c, affine.epsilon);
            let a = f64::from(affine.weight[c]) * root;
            let b = -a * root * f64::from(sums.weight[c]) / n;
            let rest = -a * f64::from(sums.bias[c]) / n - b * f64::from(statistics.mean[c]);
            on_gradient.push(a as f32);
            on_input.push(b as f32);
            constant.push(rest as f32);
        }
        let (scales, shifts) = scale_and_shift(shape, statistics, affine);
        Ok(Factors {
            row: shape.row(),
            a: shape.repeated(&on_gradient),
            b: shape.repeated(&on_input),
            c: shape.repeated(&constant),
            scales,
            shifts,
            floor: match relu {
                ReluMask::Recomputed => 0.0,
                _ => f32::NEG_INFINITY,
            },
        })
    }
}

/// Part of a row of [`Factors`].
struct FactorsPart<'a> {
    a: &'a [f32],
    b: &'a [f32],
    c: &'a [f32],
    scales: &'a [f32],
    shifts: &'a [f32],
    floor: f32,
}

impl Factors {
    #[inline(always)]
    fn part(&self, column: usize, len: usize) -> FactorsPart<'_> {
        FactorsPart {
            a: &self.a[column..][..len],
            b: &self.b[column..][..len],
            c: &self.c[column..][..len],
            scales: &self.scales[column..][..len],
            shifts: &self.shifts[column..][..len],
            floor: self.floor,
        }
    }
}

impl FactorsPart<'_> {
    /// `dx` of an element in column `i` of the part.
    #[inline(always)]
    fn element(&self, i: usize, g: f32, x: f32) -> f32 {
        let g = masked(g, self.scales[i] * x + self.shifts[i], self.floor);
        self.a[i] * g + (self.b[i] * x + self.c[i])
    }

    #[inline(always)]
    fn apply(&self, g: &[f32], x: &[f32], dx: &mut [f32]) {
        for (i, ((dx, g), x)) in dx.iter_mut().zip(g).zip(x).enumerate() {
            *dx = self.element(i, *g, *x);
        }
    }

    #[inline(always)]
    fn apply_in_place(&self, x: &[f32], g: &mut [f32]) {
        for (i, (g, x)) in g.iter_mut().zip(x).enumerate() {
            *g = self.element(i, *g, *x);
        }
    }
}

/// A piece of [`InputGradient::overwrite`].
struct InPlace<'a> {
    factors: &'a Factors,
    input: &'a [f32],
    gradient: &'a mut [f32],
}

impl Loops for InPlace<'_> {
    #[inline(always)]
    fn run(self) {
        for_rows(self.gradient.len(), self.factors.row, self);
    }
}

impl Rows for InPlace<'_> {
    #[inline(always)]
    fn part(&mut self, at: usize, column: usize, len: usize) {
        let (g, x) = (&mut self.gradient[at..][..len], &self.input[at..][..len]);
        self.factors.part(column, len).apply_in_place(x, g);
    }
}

/// A piece of [`InputGradient`].
struct Beside<'a> {
    factors: &'a Factors,
    input: &'a [f32],
    gradient: &'a [f32],
    target: &'a mut [f32],
}

impl Loops for Beside<'_> {
    #[inline(always)]
    fn run(self) {
        for_rows(self.target.len(), self.factors.row, self);
    }
}

impl Rows for Beside<'_> {
    #[inline(always)]
    fn part(&mut self, at: usize, column: usize, len: usize) {
        let (g, x) = (&self.gradient[at..][..len], &self.input[at..][..len]);
        let dx = &mut self.target[at..][..len];
        self.factors.part(column, len).apply(g, x, dx);
    }
}
