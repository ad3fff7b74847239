//! Gradient of the weights.
//!
//! Each tile of neighbouring output pixels adds its products to sums in single precision, which stay
//! in the first-level cache. After some hundred pixels they are added to those of the group of output
//! rows, so that long sums lose little to rounding. Groups are added in order, in double precision.
#![allow(clippy::needless_range_loop)] // Loops over indices keep arrays in registers.

use super::{Geometry, MAX_COLUMNS, MAX_TAPS, TILE};
use crate::kernels::Kernels;
use crate::parallel::for_chunks;
use crate::simd::{MAX_LANES, Simd, WithSimd};
use crate::workspace::Buffer;

/// Most groups that the output rows are divided into.
const MAX_GROUPS: usize = 16;
/// Minimum pixels per group; below it, adding up the groups costs more than it saves.
const MIN_PIXELS: usize = 64;
/// Pixels that are summed up before they are added to the group's sums.
const SHORT_SUM: usize = 256;

/// Computes the gradient in the order of the weights, from the input and the gradient of the output.
/// `geometry` is that of the forward pass.
pub(in crate::conv) fn run(
    kernels: &Kernels,
    geometry: &Geometry,
    [input, output_gradient]: [&[f32]; 2],
    weight_gradient: &mut [f32],
) {
    let channels = geometry.channels;
    let taps = geometry.kernel[0] * geometry.kernel[1];
    let rows = output_gradient.len() / geometry.row();
    let groups = (rows * geometry.output[1] / MIN_PIXELS).clamp(1, MAX_GROUPS);
    let rows_per_group = rows.div_ceil(groups);
    let mut zeros = kernels.workspace.take(channels + MAX_LANES);
    zeros.fill(0.0);
    let groups = rows.div_ceil(rows_per_group);
    let mut partial = kernels.workspace.take(groups * taps * channels);
    partial.fill(0.0);
    for_chunks(&mut partial, taps * channels, |index, total| {
        let first = index * rows_per_group;
        kernels.isa.run(Group {
            geometry,
            input,
            output_gradient,
            rows: first..rows.min(first + rows_per_group),
            zeros: &zeros,
            sums: kernels.workspace.take(taps * channels + MAX_LANES),
            total,
        });
    });
    let mut total = vec![0.0_f64; taps * channels];
    for group in partial.chunks_exact(taps * channels) {
        for (total, sum) in total.iter_mut().zip(group) {
            *total += f64::from(*sum);
        }
    }
    for (c, weights) in weight_gradient.chunks_exact_mut(taps).enumerate() {
        for (tap, weight) in weights.iter_mut().enumerate() {
            *weight = total[tap * channels + c] as f32;
        }
    }
}

/// A group of output rows, counted over all images.
struct Group<'a> {
    geometry: &'a Geometry,
    input: &'a [f32],
    output_gradient: &'a [f32],
    rows: std::ops::Range<usize>,
    /// A pixel of zeros.
    zeros: &'a [f32],
    /// Sums of the last pixels, `[window row, window column, channel]`.
    sums: Buffer<'a>,
    /// Sums of all pixels before, in the same order.
    total: &'a mut [f32],
}

impl WithSimd for Group<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(mut self) {
        self.sums.fill(0.0);
        let mut pixels = 0;
        for row in self.rows.clone() {
            // SAFETY: the caller has the instructions.
            unsafe { self.row::<S>(row) }
            pixels += self.geometry.output[1];
            if pixels >= SHORT_SUM {
                self.flush();
                pixels = 0;
            }
        }
        self.flush();
    }
}

impl Group<'_> {
    /// Moves the last sums to those of all pixels.
    #[inline(always)]
    fn flush(&mut self) {
        for (total, sum) in self.total.iter_mut().zip(self.sums.iter_mut()) {
            *total += *sum;
            *sum = 0.0;
        }
    }

    /// Adds an output row.
    ///
    /// # Safety
    /// The machine has the instructions of `S`.
    #[inline(always)]
    unsafe fn row<S: Simd>(&mut self, row: usize) {
        let geometry = self.geometry;
        let channels = geometry.channels;
        let step = geometry.axes[1][0].step;
        let compiled = matches!((geometry.kernel, step), ([3, 3] | [5, 5], 1 | 2));
        let vectors = if compiled { channels / S::LANES } else { 0 };
        if vectors > 0 {
            let mut x = 0;
            while x < geometry.output[1] {
                let valid = TILE.min(geometry.output[1] - x);
                // SAFETY: the caller's guarantee.
                unsafe { self.tile::<S>(row, x, valid, vectors) }
                x += valid;
            }
        }
        if vectors * S::LANES < channels {
            self.plain::<S>(row, vectors * S::LANES);
        }
    }

    /// Adds `valid` output pixels of a row from `x` on, for the first `vectors` vectors of channels.
    ///
    /// # Safety
    /// The machine has the instructions of `S`; the window is 3 x 3 or 5 x 5, and the step 1 or 2.
    #[inline(always)]
    unsafe fn tile<S: Simd>(&mut self, row: usize, x: usize, valid: usize, vectors: usize) {
        let geometry = self.geometry;
        let channels = geometry.channels;
        let [height, width] = geometry.source;
        let [vertical, horizontal] = [&geometry.axes[0][0], &geometry.axes[1][0]];
        let (n, y) = (row / geometry.output[0], row % geometry.output[0]);
        let image = &self.input[n * height * width * channels..][..height * width * channels];
        let zeros = self.zeros.as_ptr();
        let mut pixels = [[zeros; MAX_COLUMNS]; MAX_TAPS];
        let columns = (valid - 1) * horizontal.step + horizontal.taps;
        let first = horizontal.start(x);
        for (r, pixels) in pixels.iter_mut().enumerate().take(vertical.taps) {
            let from = vertical.start(y) + r as isize;
            if !(0..height as isize).contains(&from) {
                continue;
            }
            for (k, pixel) in pixels.iter_mut().enumerate().take(columns) {
                let column = first + k as isize;
                if (0..width as isize).contains(&column) {
                    let at = from as usize * width + column as usize;
                    *pixel = image[at * channels..].as_ptr();
                }
            }
        }
        let mut gradients = [zeros; TILE];
        let from = &self.output_gradient[(row * geometry.output[1] + x) * channels..];
        for (t, gradient) in gradients.iter_mut().enumerate().take(valid) {
            *gradient = from[t * channels..].as_ptr();
        }
        let tile = Tile {
            pixels: &pixels,
            gradients: &gradients,
            first_row: 0,
            sums: self.sums.as_mut_ptr(),
            channels,
            vectors,
        };
        // SAFETY: all pixels have all channels, as have the sums of each tap.
        unsafe {
            match (geometry.kernel[0], horizontal.step) {
                (3, 1) => S::call(Shaped::<3, 3, 1>(tile)),
                (3, _) => S::call(Shaped::<3, 3, 2>(tile)),
                (_, 1) => {
                    S::call(Shaped::<2, 5, 1>(tile.at_row(0)));
                    S::call(Shaped::<2, 5, 1>(tile.at_row(2)));
                    S::call(Shaped::<1, 5, 1>(tile.at_row(4)));
                }
                (..) => {
                    S::call(Shaped::<2, 5, 2>(tile.at_row(0)));
                    S::call(Shaped::<2, 5, 2>(tile.at_row(2)));
                    S::call(Shaped::<1, 5, 2>(tile.at_row(4)));
                }
            }
        }
    }

    /// Adds an output row for the channels from `from` on, by plain loops.
    #[inline(always)]
    fn plain<S: Simd>(&mut self, row: usize, from: usize) {
        let geometry = self.geometry;
        let channels = geometry.channels;
        let [height, width] = geometry.source;
        let [vertical, horizontal] = [&geometry.axes[0][0], &geometry.axes[1][0]];
        let (n, y) = (row / geometry.output[0], row % geometry.output[0]);
        let image = &self.input[n * height * width * channels..];
        for x in 0..geometry.output[1] {
            let gradient = &self.output_gradient[(row * geometry.output[1] + x) * channels..];
            let gradient = &gradient[from..channels];
            for r in vertical.inner_taps(height, y) {
                let source_row = vertical.start(y).saturating_add_unsigned(r) as usize;
                for s in horizontal.inner_taps(width, x) {
                    let column = horizontal.start(x).saturating_add_unsigned(s) as usize;
                    let pixel = &image[(source_row * width + column) * channels..][from..channels];
                    let tap = r * geometry.kernel[1] + s;
                    let sums = &mut self.sums[tap * channels..][from..channels];
                    for ((sum, x), g) in sums.iter_mut().zip(pixel).zip(gradient) {
                        *sum = S::mul_add(*x, *g, *sum);
                    }
                }
            }
        }
    }
}

/// Neighbouring output pixels, for all whole vectors of channels.
#[derive(Clone, Copy)]
struct Tile<'a> {
    /// Pixels of the input, by window row and column.
    pixels: &'a [[*const f32; MAX_COLUMNS]; MAX_TAPS],
    /// Pixels of the gradient of the output.
    gradients: &'a [*const f32; TILE],
    /// The first window row of this part.
    first_row: usize,
    sums: *mut f32,
    channels: usize,
    vectors: usize,
}

impl Tile<'_> {
    fn at_row(self, first_row: usize) -> Self {
        Tile { first_row, ..self }
    }
}

/// `ROWS` window rows of a window of `TAPS` columns.
struct Shaped<'a, const ROWS: usize, const TAPS: usize, const STEP: usize>(Tile<'a>);

impl<const ROWS: usize, const TAPS: usize, const STEP: usize> WithSimd
    for Shaped<'_, ROWS, TAPS, STEP>
{
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let tile = self.0;
        // SAFETY: the caller guarantees that all pixels and sums have `vectors` vectors of channels.
        unsafe {
            let first = tile.sums.add(tile.first_row * TAPS * tile.channels);
            for v in 0..tile.vectors {
                let c = v * S::LANES;
                let mut sums = [[S::splat(0.0); TAPS]; ROWS];
                for r in 0..ROWS {
                    for s in 0..TAPS {
                        sums[r][s] = S::load(first.add((r * TAPS + s) * tile.channels + c));
                    }
                }
                for t in 0..TILE {
                    let gradient = S::load(tile.gradients[t].add(c));
                    for r in 0..ROWS {
                        for s in 0..TAPS {
                            let pixel = tile.pixels[tile.first_row + r][t * STEP + s];
                            sums[r][s] = S::fma(S::load(pixel.add(c)), gradient, sums[r][s]);
                        }
                    }
                }
                for r in 0..ROWS {
                    for s in 0..TAPS {
                        S::store(first.add((r * TAPS + s) * tile.channels + c), sums[r][s]);
                    }
                }
            }
        }
    }
}
