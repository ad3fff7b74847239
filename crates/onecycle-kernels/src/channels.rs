//! Per-channel sums over pixels, and the shape `[pixels, channels]` that batch norm uses.
//!
//! Sums must be accurate, fast and independent of the number of threads. Up to 64 values are added
//! in single precision, in vectors over the channels; these short sums are added in double
//! precision. Chunks of fixed size are summed separately, and their sums are added in order.

use crate::error::{KernelError, check_len, check_positive, checked_size};
use crate::kernels::Kernels;
use crate::parallel::for_chunks;
use crate::simd::{Isa, PlainLoops, read_ahead, vectorised};

/// Shape of channels-last feature maps whose pixels are all treated alike: `[count, channels]`, for
/// example `[batch * height * width, channels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pixels {
    /// Number of pixels: batch times height times width.
    pub count: usize,
    /// Number of channels.
    pub channels: usize,
}

/// Floats per chunk of work.
const CHUNK: usize = 1 << 14;
/// Values that are added in single precision before they join a sum in double precision.
const SHORT_SUM: usize = 64;
/// Length of the inner loops in floats: a constant, so that sums stay in registers.
const ROW: usize = 64;

impl Pixels {
    /// Number of elements.
    ///
    /// # Errors
    /// There are no pixels or no channels, or more elements than fit into memory.
    pub fn elements(&self) -> Result<usize, KernelError> {
        check_positive("count", self.count)?;
        check_positive("channels", self.channels)?;
        checked_size("count", &[self.count, self.channels])
    }

    /// Floats per chunk of work: whole pixels.
    pub(crate) fn chunk(&self) -> usize {
        (CHUNK / self.channels).max(1) * self.channels
    }

    /// Floats per row: one pixel, or several if there are few channels, so that inner loops are
    /// long enough to be vectorised.
    pub(crate) fn row(&self) -> usize {
        ROW.div_ceil(self.channels) * self.channels
    }

    /// Repeats `[channels]` values for every pixel of a row.
    pub(crate) fn repeated(&self, values: &[f32]) -> Vec<f32> {
        values.repeat(self.row() / self.channels)
    }

    pub(crate) fn check(&self, name: &'static str, slice: &[f32]) -> Result<(), KernelError> {
        check_len(name, slice, self.elements()?)
    }

    pub(crate) fn check_channels<T>(
        &self,
        name: &'static str,
        slice: &[T],
    ) -> Result<(), KernelError> {
        check_len(name, slice, self.channels)
    }

    /// Zeros for two sums per channel and chunk, `[chunks, 2, channels]`.
    pub(crate) fn partial_sums(&self) -> Vec<f64> {
        let chunks = (self.count * self.channels).div_ceil(self.chunk());
        vec![0.0; chunks * 2 * self.channels]
    }

    /// Adds the two values that `term` computes from each pair of elements of a chunk to two sums
    /// per channel, `[2, channels]`.
    #[inline(always)]
    pub(crate) fn add_chunk(
        &self,
        first: &[f32],
        second: &[f32],
        sums: &mut [f64],
        term: impl Term,
    ) {
        let row = self.row();
        for (first, second) in first
            .chunks(SHORT_SUM * row)
            .zip(second.chunks(SHORT_SUM * row))
        {
            for column in (0..row).step_by(ROW) {
                let len = ROW.min(row - column);
                let inputs = [first, second];
                let [left, right] = if len == ROW {
                    add_columns(inputs, row, column, ROW, &term)
                } else {
                    add_columns(inputs, row, column, len, &term)
                };
                for i in 0..len {
                    let channel = (column + i) % self.channels;
                    sums[channel] += f64::from(left[i]);
                    sums[self.channels + channel] += f64::from(right[i]);
                }
            }
        }
    }

    /// Adds the sums of all chunks in order.
    pub(crate) fn total(&self, partial: &[f64]) -> [Vec<f64>; 2] {
        let mut total = [vec![0.0; self.channels], vec![0.0; self.channels]];
        for chunk in partial.chunks_exact(2 * self.channels) {
            for (total, chunk) in total.iter_mut().zip(chunk.chunks_exact(self.channels)) {
                for (total, value) in total.iter_mut().zip(chunk) {
                    *total += value;
                }
            }
        }
        total
    }
}

/// The terms of two sums, computed from two inputs.
pub(crate) trait Term {
    /// Adds the terms of part of a row, from `column` on, to the same part of the sums `left` and
    /// `right`. Must be `#[inline(always)]`, see [`PlainLoops`].
    fn add(
        &self,
        column: usize,
        first: &[f32],
        second: &[f32],
        left: &mut [f32],
        right: &mut [f32],
    );
}

/// The inner loop of [`Pixels::add_chunk`]: sums `len` columns of all rows, from `column` on. The
/// sums stay in registers.
#[inline(always)]
fn add_columns(
    [first, second]: [&[f32]; 2],
    row: usize,
    column: usize,
    len: usize,
    term: &impl Term,
) -> [[f32; ROW]; 2] {
    let (mut left, mut right) = ([0.0; ROW], [0.0; ROW]);
    let whole = first.len() / row * row;
    for start in (column..whole).step_by(row) {
        let (first, second) = (&first[start..][..len], &second[start..][..len]);
        read_ahead(first);
        read_ahead(second);
        term.add(column, first, second, &mut left[..len], &mut right[..len]);
    }
    let start = (whole + column).min(first.len());
    let rest = len.min(first.len() - start);
    if rest > 0 {
        let (mut more, mut others) = ([0.0; ROW], [0.0; ROW]);
        let (first, second) = (&first[start..][..rest], &second[start..][..rest]);
        term.add(
            column,
            first,
            second,
            &mut more[..rest],
            &mut others[..rest],
        );
        for i in 0..ROW {
            left[i] += more[i];
            right[i] += others[i];
        }
    }
    [left, right]
}

/// A loop body over rows with factors for each column.
pub(crate) trait Rows {
    /// Processes `len` elements from `at` on, which start at `column` of their row. Must be
    /// `#[inline(always)]`, see [`PlainLoops`].
    fn part(&mut self, at: usize, column: usize, len: usize);
}

/// Calls `work` for all rows of `len` elements, in parts of constant length where possible: the
/// compiler unrolls those into vectors.
#[inline(always)]
pub(crate) fn for_rows(len: usize, row: usize, mut work: impl Rows) {
    for start in (0..len).step_by(row) {
        let here = row.min(len - start);
        let mut column = 0;
        while column + ROW <= here {
            work.part(start + column, column, ROW);
            column += ROW;
        }
        if column < here {
            work.part(start + column, column, here - column);
        }
    }
}

/// # Sums over pixels
impl Kernels {
    /// Sums each channel over all pixels, `[channels]`: the gradient of a bias.
    ///
    /// # Errors
    /// The length of `input` differs from the shape.
    pub fn channel_sums(&self, pixels: &Pixels, input: &[f32]) -> Result<Vec<f32>, KernelError> {
        pixels.check("input", input)?;
        let mut partial = pixels.partial_sums();
        for_chunks(&mut partial, 2 * pixels.channels, |index, sums| {
            let start = index * pixels.chunk();
            let input = &input[start..input.len().min(start + pixels.chunk())];
            add_sums(self.isa, pixels, input, sums);
        });
        let [sums, _] = pixels.total(&partial);
        Ok(sums.into_iter().map(|sum| sum as f32).collect())
    }
}

/// Adds the sums of each channel over the pixels of `input` to the first half of `sums`,
/// `[2, channels]`.
pub(crate) fn add_sums(isa: Isa, pixels: &Pixels, input: &[f32], sums: &mut [f64]) {
    vectorised(
        isa,
        ChunkSums {
            pixels,
            input,
            sums,
        },
    );
}

/// A chunk of [`Kernels::channel_sums`].
struct ChunkSums<'a> {
    pixels: &'a Pixels,
    input: &'a [f32],
    sums: &'a mut [f64],
}

impl PlainLoops for ChunkSums<'_> {
    #[inline(always)]
    fn run(self) {
        self.pixels
            .add_chunk(self.input, self.input, self.sums, Value);
    }
}

/// Sums the first input; the second sum is unused.
struct Value;

impl Term for Value {
    #[inline(always)]
    fn add(&self, _: usize, first: &[f32], _: &[f32], left: &mut [f32], _: &mut [f32]) {
        for (sum, x) in left.iter_mut().zip(first) {
            *sum += x;
        }
    }
}
