//! Forward pass and gradient of the input.
//!
//! Work is divided into groups of output rows of all images, whose output stays in cache for the pass
//! that follows.

use std::ops::Range;

use super::super::Epilogue;
use super::super::axis::Axis;
use super::tile::{Pixels as TilePixels, Tile};
use super::{Geometry, MAX_COLUMNS, MAX_TAPS, TILE, pack};
use crate::activation::Activation;
use crate::channels::{Pixels, add_sums};
use crate::elementwise::{gelu_in_place, multiply_by_derivative};
use crate::kernels::Kernels;
use crate::norm::{Moments, Statistics, add_moments};
use crate::parallel::{for_chunk_pairs, for_chunks};
use crate::simd::{MAX_LANES, Simd, WithSimd};
use crate::workspace::Buffer;

/// Most bytes of a group's output.
const GROUP_BYTES: usize = 192 << 10;

/// Computes all output images. Weights are in the order of the tensor.
pub(in crate::conv) fn run(
    kernels: &Kernels,
    geometry: &Geometry,
    [source, weights]: [&[f32]; 2],
    epilogue: Epilogue,
    output: &mut [f32],
) {
    let conv = Conv::new(kernels, geometry, [source, weights], epilogue);
    for_chunks(output, conv.chunk(), |index, output| {
        conv.group(index, output);
        if epilogue.activation == Activation::Gelu {
            gelu_in_place(kernels.isa, output);
        }
    });
}

/// Computes all output images, and their statistics while each group is in cache.
pub(in crate::conv) fn run_with_statistics(
    kernels: &Kernels,
    geometry: &Geometry,
    inputs: [&[f32]; 2],
    output: &mut [f32],
) -> Statistics {
    let conv = Conv::new(kernels, geometry, inputs, Epilogue::default());
    let channels = geometry.channels;
    let pixels = Pixels {
        count: output.len() / channels,
        channels,
    };
    let mut moments = Moments::new(&pixels, conv.chunk());
    for_chunk_pairs(
        (output, &mut moments.partial),
        [conv.chunk(), 2 * channels],
        |index, output, moments| {
            conv.group(index, output);
            add_moments(kernels.isa, channels, output, moments);
        },
    );
    moments.total()
}

/// Multiplies `gradient` by the derivative of the GELU after a convolution, whose output is computed
/// again. Returns the sum of the result over all pixels.
pub(in crate::conv) fn gelu_backward(
    kernels: &Kernels,
    geometry: &Geometry,
    inputs: [&[f32]; 2],
    bias: Option<&[f32]>,
    gradient: &mut [f32],
) -> Vec<f32> {
    let epilogue = Epilogue {
        bias,
        activation: Activation::Identity,
    };
    let conv = Conv::new(kernels, geometry, inputs, epilogue);
    let channels = geometry.channels;
    let pixels = Pixels {
        count: gradient.len() / channels,
        channels,
    };
    let mut partial = vec![0.0; gradient.len().div_ceil(conv.chunk()) * 2 * channels];
    for_chunk_pairs(
        (gradient, &mut partial),
        [conv.chunk(), 2 * channels],
        |index, gradient, sums| {
            let mut argument = kernels.workspace.take(gradient.len());
            conv.group(index, &mut argument);
            multiply_by_derivative(kernels.isa, Activation::Gelu, &argument, gradient);
            add_sums(kernels.isa, &pixels, gradient, sums);
        },
    );
    let [sums, _] = pixels.total(&partial);
    sums.into_iter().map(|sum| sum as f32).collect()
}

/// A convolution with packed weights.
struct Conv<'a> {
    kernels: &'a Kernels,
    geometry: &'a Geometry,
    source: &'a [f32],
    /// `[window row, window column, channel]`, and a vector more.
    weights: Buffer<'a>,
    /// `[channel]`, and a vector more.
    bias: Buffer<'a>,
    /// A pixel of zeros.
    zeros: Buffer<'a>,
    limits: Option<[f32; 2]>,
}

impl<'a> Conv<'a> {
    fn new(
        kernels: &'a Kernels,
        geometry: &'a Geometry,
        [source, weights]: [&'a [f32]; 2],
        epilogue: Epilogue,
    ) -> Self {
        let channels = geometry.channels;
        let mut packed = kernels.workspace.take(weights.len() + MAX_LANES);
        pack(weights, channels, &mut packed);
        let mut bias = kernels.workspace.take(channels + MAX_LANES);
        bias.fill(0.0);
        if let Some(values) = epilogue.bias {
            bias[..channels].copy_from_slice(values);
        }
        let mut zeros = kernels.workspace.take(channels + MAX_LANES);
        zeros.fill(0.0);
        Conv {
            kernels,
            geometry,
            source,
            weights: packed,
            bias,
            zeros,
            limits: epilogue.activation.limits(),
        }
    }

    /// Floats of a group's output: whole rows, perhaps of several images.
    fn chunk(&self) -> usize {
        let row = self.geometry.row();
        row * (GROUP_BYTES / size_of::<f32>() / row).max(1)
    }

    /// Computes group `index`. GELU is left to the caller.
    fn group(&self, index: usize, output: &mut [f32]) {
        self.kernels.isa.run(Group {
            conv: self,
            first: index * (self.chunk() / self.geometry.row()),
            output,
        });
    }
}

/// Output rows from `first` on, counted over all images.
struct Group<'a> {
    conv: &'a Conv<'a>,
    first: usize,
    output: &'a mut [f32],
}

impl WithSimd for Group<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let geometry = self.conv.geometry;
        let [height, width] = geometry.source;
        let image = height * width * geometry.channels;
        let rows = self.output.chunks_exact_mut(geometry.row()).enumerate();
        for (row, output) in rows {
            let row = self.first + row;
            let (n, y) = (row / geometry.output[0], row % geometry.output[0]);
            let (vertical, i) = geometry.vertical(y);
            let taps = vertical.inner_taps(height, i);
            let first_row = vertical.start(i).saturating_add_unsigned(taps.start);
            let source = match taps.is_empty() {
                true => &[],
                false => {
                    &self.conv.source[n * image..][..image]
                        [first_row as usize * width * geometry.channels..]
                }
            };
            for horizontal in &geometry.axes[1] {
                let row = Row {
                    conv: self.conv,
                    axes: [vertical, horizontal],
                    taps: taps.clone(),
                    source,
                };
                // SAFETY: the caller has the instructions.
                unsafe { row.run::<S>(output) }
            }
        }
    }
}

/// The outputs of a horizontal phase in an output row.
struct Row<'a> {
    conv: &'a Conv<'a>,
    axes: [&'a Axis; 2],
    /// Window rows that lie inside of the image.
    taps: Range<usize>,
    /// The image from the first of them on.
    source: &'a [f32],
}

impl Row<'_> {
    /// # Safety
    /// The machine has the instructions of `S`.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, output: &mut [f32]) {
        let channels = self.conv.geometry.channels;
        let horizontal = self.axes[1];
        let compiled =
            Tile::is_compiled(horizontal.taps, horizontal.step) && self.taps.len() <= MAX_TAPS;
        let vectors = if compiled { channels / S::LANES } else { 0 };
        if vectors > 0 {
            let mut x = 0;
            while x < horizontal.outputs {
                let valid = TILE.min(horizontal.outputs - x);
                // SAFETY: the caller's guarantee; `valid` outputs from `x` on exist.
                unsafe { self.tile::<S>(x, valid, vectors, output) }
                x += valid;
            }
        }
        if vectors * S::LANES < channels {
            self.plain::<S>(vectors * S::LANES, output);
        }
    }

    /// Outputs `x..x + valid` of the phase, for the first `vectors` vectors of channels.
    ///
    /// # Safety
    /// The machine has the instructions of `S`; the outputs and channels exist.
    #[inline(always)]
    unsafe fn tile<S: Simd>(&self, x: usize, valid: usize, vectors: usize, output: &mut [f32]) {
        let geometry = self.conv.geometry;
        let (channels, width) = (geometry.channels, geometry.source[1]);
        let [vertical, horizontal] = self.axes;
        let first = horizontal.start(x);
        let columns = (TILE - 1) * horizontal.step + horizontal.taps;
        let inside = first >= 0 && first as usize + columns <= width && valid == TILE;
        let pitch = width * channels;
        let padded;
        let pixels = if inside {
            let at = if self.taps.is_empty() {
                0
            } else {
                first as usize * channels
            };
            TilePixels::Inside(self.source[at..].as_ptr(), pitch)
        } else {
            padded = self.padded(first, columns);
            TilePixels::Padded(&padded)
        };
        let [kernel_row, kernel_column] = [vertical.kernel_step, horizontal.kernel_step];
        let window = geometry.kernel[1] * channels;
        // Without window rows there are no weights to read.
        let weights = match self.taps.is_empty() {
            true => 0,
            false => vertical.kernel(self.taps.start) * window + horizontal.kernel(0) * channels,
        };
        let place = horizontal.place_first + x * horizontal.place_step;
        let last = place + (valid - 1) * horizontal.place_step;
        debug_assert!((last + 1) * channels <= output.len());
        let tile = Tile {
            pixels,
            pixel: channels,
            rows: self.taps.len(),
            // SAFETY: the tap is one of the window's.
            weights: unsafe { self.conv.weights.as_ptr().add(weights) },
            weight_strides: [
                kernel_row * window as isize,
                kernel_column * channels as isize,
            ],
            bias: self.conv.bias.as_ptr(),
            limits: self.conv.limits,
            to: output[place * channels..].as_mut_ptr(),
            to_step: horizontal.place_step * channels,
            valid,
            vectors,
        };
        // SAFETY: pixels inside of the image have all channels, as has the pixel of zeros; weights
        // and bias have all channels of each tap; the outputs exist.
        unsafe { tile.run::<S>(horizontal.taps, horizontal.step) }
    }

    /// The pixels of `columns` columns from `first` on, of which some are in the padding.
    #[inline(always)]
    fn padded(&self, first: isize, columns: usize) -> [[*const f32; MAX_COLUMNS]; MAX_TAPS] {
        let Geometry {
            channels,
            source: [_, width],
            ..
        } = *self.conv.geometry;
        let mut pixels = [[self.conv.zeros.as_ptr(); MAX_COLUMNS]; MAX_TAPS];
        for (r, row) in pixels.iter_mut().enumerate().take(self.taps.len()) {
            for (k, pixel) in row.iter_mut().enumerate().take(columns) {
                let column = first + k as isize;
                if (0..width as isize).contains(&column) {
                    *pixel = self.source[(r * width + column as usize) * channels..].as_ptr();
                }
            }
        }
        pixels
    }

    /// All outputs of the phase, for the channels from `from` on, by plain loops.
    #[inline(always)]
    fn plain<S: Simd>(&self, from: usize, output: &mut [f32]) {
        let geometry = self.conv.geometry;
        let (channels, width) = (geometry.channels, geometry.source[1]);
        let [vertical, horizontal] = self.axes;
        for x in 0..horizontal.outputs {
            let place = horizontal.place_first + x * horizontal.place_step;
            let sums = &mut output[place * channels..][from..channels];
            sums.copy_from_slice(&self.conv.bias[from..channels]);
            for (r, row) in self.taps.clone().enumerate() {
                for column in horizontal.inner_taps(width, x) {
                    let at = horizontal.start(x).saturating_add_unsigned(column) as usize;
                    let pixel = &self.source[(r * width + at) * channels..][from..channels];
                    let tap = vertical.kernel(row) * geometry.kernel[1] + horizontal.kernel(column);
                    let weights = &self.conv.weights[tap * channels..][from..channels];
                    for ((sum, x), w) in sums.iter_mut().zip(pixel).zip(weights) {
                        *sum = S::mul_add(*x, *w, *sum);
                    }
                }
            }
            if let Some([least, most]) = self.conv.limits {
                for sum in sums {
                    let bounded = if least > *sum { least } else { *sum };
                    *sum = if most < bounded { most } else { bounded };
                }
            }
        }
    }
}
