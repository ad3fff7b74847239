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

use std::ops::Range;

use crate::channels::{Pixels, Rows, Term, for_rows};
use crate::error::KernelError;
use crate::parallel::{for_chunk_pairs, for_chunks};
use crate::simd::{Loops, Path, vectorised};

/// Mean and biased variance of each channel, `[channels]` each.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Mean.
    pub mean: Vec<f32>,
    /// `Σ(x - mean)²/n`.
    pub variance: Vec<f32>,
}

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

/// Mean and variance of each channel.
///
/// # Errors
/// A slice does not fit the shape.
pub fn batch_norm_statistics(
    path: Path,
    shape: &Pixels,
    input: &[f32],
) -> Result<Statistics, KernelError> {
    shape.check("input", input)?;
    let mut moments = Moments::new(shape, shape.piece());
    for_chunks(
        &mut moments.partial,
        2 * shape.channels,
        |index, moments| {
            let start = index * shape.piece();
            let piece = &input[start..input.len().min(start + shape.piece())];
            add_moments(path, shape.channels, piece, moments);
        },
    );
    Ok(moments.total())
}

/// Moments of the pieces of an input, to be put together.
///
/// Sums are taken of `x - k`, with `k` the channel's first value in the piece, so that a mean far from 0 costs no digits.
pub(crate) struct Moments {
    shape: Pixels,
    /// Elements of a piece but the last, which may be shorter.
    piece: usize,
    /// For each piece mean and `Σ(x - mean)²`, `[pieces, 2, channels]`.
    pub partial: Vec<f64>,
}

impl Moments {
    pub(crate) fn new(shape: &Pixels, piece: usize) -> Self {
        let pieces = (shape.count * shape.channels).div_ceil(piece);
        Moments {
            shape: *shape,
            piece,
            partial: vec![0.0; pieces * 2 * shape.channels],
        }
    }

    /// Mean and variance over all pieces (Chan, Golub & LeVeque 1983), in their order.
    pub(crate) fn total(&self) -> Statistics {
        let channels = self.shape.channels;
        let (mut mean, mut squares) = (vec![0.0; channels], vec![0.0; channels]);
        let mut count = 0.0;
        for (index, piece) in self.partial.chunks_exact(2 * channels).enumerate() {
            let pixels = self.piece / channels;
            let more = pixels.min(self.shape.count - index * pixels) as f64;
            let all = count + more;
            for c in 0..channels {
                let difference = piece[c] - mean[c];
                mean[c] += difference * more / all;
                squares[c] += piece[channels + c] + difference * difference * count * more / all;
            }
            count = all;
        }
        Statistics {
            mean: mean.into_iter().map(|mean| mean as f32).collect(),
            variance: squares
                .into_iter()
                .map(|square| (square / count).max(0.0) as f32)
                .collect(),
        }
    }
}

/// Mean and `Σ(x - mean)²` of a piece, `[2, channels]`; `moments` holds zeros before.
pub(crate) fn add_moments(path: Path, channels: usize, piece: &[f32], moments: &mut [f64]) {
    vectorised(
        path,
        PieceMoments {
            shape: Pixels {
                count: piece.len() / channels,
                channels,
            },
            piece,
            moments,
        },
    );
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

/// Second half of the backward pass: the input's gradient, `dx = a g + b x + c` with factors for each channel.
#[derive(Clone, Debug)]
pub struct InputGradient<'a> {
    shape: Pixels,
    input: &'a [f32],
    gradient: &'a [f32],
    factors: Factors,
}

impl<'a> InputGradient<'a> {
    /// From what [`batch_norm_backward_sums`] left in `gradient` and returned, with the same `relu`.
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
        gradient: &'a [f32],
    ) -> Result<Self, KernelError> {
        shape.check("input", input)?;
        shape.check("gradient", gradient)?;
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
        [&self.input[range.clone()], &self.gradient[range]]
    }

    /// Writes the elements of a range, which begins at a pixel.
    pub(crate) fn compute(&self, path: Path, range: Range<usize>, target: &mut [f32]) {
        vectorised(
            path,
            Beside {
                factors: &self.factors,
                input: &self.input[range.clone()],
                gradient: &self.gradient[range],
                target,
            },
        );
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

/// [`InputGradient`] written over `gradient` itself.
///
/// # Errors
/// A slice does not fit the shape.
#[allow(clippy::too_many_arguments)]
pub fn batch_norm_backward_in_place(
    path: Path,
    shape: &Pixels,
    statistics: &Statistics,
    affine: Affine,
    sums: &AffineGradient,
    input: &[f32],
    relu: ReluMask,
    gradient: &mut [f32],
) -> Result<(), KernelError> {
    shape.check("input", input)?;
    shape.check("gradient", gradient)?;
    let factors = Factors::new(shape, statistics, affine, sums, relu)?;
    for_chunks(gradient, shape.piece(), |index, gradient| {
        vectorised(
            path,
            InPlace {
                factors: &factors,
                input: &input[index * shape.piece()..],
                gradient,
            },
        );
    });
    Ok(())
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

/// `x`, or `floor` where that is larger; NaN stays NaN.
#[inline(always)]
fn at_least(floor: f32, x: f32) -> f32 {
    if floor > x { floor } else { x }
}

/// See [`add_moments`].
struct PieceMoments<'a> {
    shape: Pixels,
    piece: &'a [f32],
    moments: &'a mut [f64],
}

impl Loops for PieceMoments<'_> {
    #[inline(always)]
    fn run(self) {
        let channels = self.shape.channels;
        let first = &self.piece[..channels];
        let shifts = self.shape.repeated(first);
        self.shape
            .add_piece(self.piece, self.piece, self.moments, Shifted(&shifts));
        let n = self.shape.count as f64;
        let (sums, squares) = self.moments.split_at_mut(channels);
        for ((sum, square), k) in sums.iter_mut().zip(squares).zip(first) {
            *square -= *sum * *sum / n;
            *sum = f64::from(*k) + *sum / n;
        }
    }
}

/// `x - k` and its square.
struct Shifted<'a>(&'a [f32]);

impl Term for Shifted<'_> {
    #[inline(always)]
    fn add(&self, column: usize, first: &[f32], _: &[f32], left: &mut [f32], right: &mut [f32]) {
        let shifts = &self.0[column..][..first.len()];
        for (((x, k), sum), square) in first.iter().zip(shifts).zip(left).zip(right) {
            let d = x - k;
            *sum += d;
            *square += d * d;
        }
    }
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
                    for (((y, x), a), b) in y.iter_mut().zip(x).zip(self.scales).zip(self.shifts) {
                        *y = at_least(self.floor, a * x + b);
                    }
                }
            }
            Some(residual) => {
                for ((y, x), r) in rows.zip(residual.chunks(self.row)) {
                    let pixels = y.iter_mut().zip(x).zip(r);
                    for (((y, x), r), (a, b)) in pixels.zip(self.scales.iter().zip(self.shifts)) {
                        *y = at_least(self.floor, a * x + b + r);
                    }
                }
            }
        }
    }
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
            for (g, y) in self.gradient.iter_mut().zip(output) {
                *g = masked(*g, *y, 0.0);
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
fn masked(g: f32, y: f32, floor: f32) -> f32 {
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

/// A piece of [`batch_norm_backward_in_place`].
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
