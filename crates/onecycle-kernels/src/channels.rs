//! Sums over pixels, channel by channel: the same whatever the number of threads.

use crate::error::{KernelError, check_len, check_positive, checked_size};
use crate::parallel::for_chunks;
use crate::simd::{Loops, Path, read_ahead, vectorised};

/// Pixels of all images, times channels: slices are `[count, channels]`, e.g. `[batch, height, width, channels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pixels {
    /// Batch times height times width.
    pub count: usize,
    /// Channels.
    pub channels: usize,
}

/// Floats of a piece of work; the pieces' sums are added in their order, whoever computed them.
const PIECE: usize = 1 << 14;
/// Values of single precision that are added before they join a sum in double precision.
const RUN: usize = 64;
/// Floats of a row at least, and of the parts that rows are worked on in.
const ROW: usize = 64;

impl Pixels {
    /// Elements of a slice.
    ///
    /// # Errors
    /// No pixels, no channels, or more than fit into memory.
    pub fn elements(&self) -> Result<usize, KernelError> {
        check_positive("count", self.count)?;
        check_positive("channels", self.channels)?;
        checked_size("count", &[self.count, self.channels])
    }

    /// Floats of a piece of work: whole pixels.
    pub(crate) fn piece(&self) -> usize {
        (PIECE / self.channels).max(1) * self.channels
    }

    /// Floats of a row of the inner loops: a few pixels where the channels are few, so that the loops are long enough to
    /// become vectors.
    pub(crate) fn row(&self) -> usize {
        ROW.div_ceil(self.channels) * self.channels
    }

    /// A value for each channel, as often as a row has pixels.
    pub(crate) fn repeated(&self, values: &[f32]) -> Vec<f32> {
        values.repeat(self.row() / self.channels)
    }

    pub(crate) fn check(&self, name: &'static str, slice: &[f32]) -> Result<(), KernelError> {
        check_len(name, slice, self.elements()?)
    }

    pub(crate) fn check_channels(
        &self,
        name: &'static str,
        slice: &[f32],
    ) -> Result<(), KernelError> {
        check_len(name, slice, self.channels)
    }

    /// Room for two sums a channel for each piece.
    pub(crate) fn partial_sums(&self) -> Vec<f64> {
        let pieces = (self.count * self.channels).div_ceil(self.piece());
        vec![0.0; pieces * 2 * self.channels]
    }

    /// Adds up what `term` gives for each pair of elements of a piece: two sums a channel, `[2, channels]`.
    #[inline(always)]
    pub(crate) fn add_piece(
        &self,
        first: &[f32],
        second: &[f32],
        sums: &mut [f64],
        term: impl Term,
    ) {
        let row = self.row();
        for (first, second) in first.chunks(RUN * row).zip(second.chunks(RUN * row)) {
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

    /// Sums of all pieces, in their order.
    pub(crate) fn total(&self, partial: &[f64]) -> [Vec<f64>; 2] {
        let mut total = [vec![0.0; self.channels], vec![0.0; self.channels]];
        for piece in partial.chunks_exact(2 * self.channels) {
            for (total, piece) in total.iter_mut().zip(piece.chunks_exact(self.channels)) {
                for (total, value) in total.iter_mut().zip(piece) {
                    *total += value;
                }
            }
        }
        total
    }
}

/// What is summed up: part of a row of two inputs, from `column` on, adds to the same part of each of two sums.
pub(crate) trait Term {
    /// Must be `#[inline(always)]`, see [`Loops`].
    fn add(
        &self,
        column: usize,
        first: &[f32],
        second: &[f32],
        left: &mut [f32],
        right: &mut [f32],
    );
}

/// The inner loop of [`Pixels::add_piece`]: `len` columns of all rows, from `column` on. The sums stay in registers.
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

/// A loop over rows with factors for each column.
pub(crate) trait Rows {
    /// Works on `len` elements from `at` on, which stand from `column` on in their row. Must be `#[inline(always)]`, see
    /// [`Loops`].
    fn part(&mut self, at: usize, column: usize, len: usize);
}

/// Calls `work` for all rows of `len` elements, in parts of a constant length as far as they go: the compiler makes straight
/// lines of vectors of those.
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

/// Sum of each channel over all pixels, `[channels]`: the gradient of a bias.
///
/// # Errors
/// `input` does not fit the shape.
pub fn channel_sums(path: Path, shape: &Pixels, input: &[f32]) -> Result<Vec<f32>, KernelError> {
    shape.check("input", input)?;
    let mut partial = shape.partial_sums();
    for_chunks(&mut partial, 2 * shape.channels, |index, sums| {
        let start = index * shape.piece();
        let piece = &input[start..input.len().min(start + shape.piece())];
        vectorised(path, Piece { shape, piece, sums });
    });
    let [sums, _] = shape.total(&partial);
    Ok(sums.into_iter().map(|sum| sum as f32).collect())
}

/// A piece of [`channel_sums`].
struct Piece<'a> {
    shape: &'a Pixels,
    piece: &'a [f32],
    sums: &'a mut [f64],
}

impl Loops for Piece<'_> {
    #[inline(always)]
    fn run(self) {
        self.shape
            .add_piece(self.piece, self.piece, self.sums, Value);
    }
}

/// The first input itself.
struct Value;

impl Term for Value {
    #[inline(always)]
    fn add(&self, _: usize, first: &[f32], _: &[f32], left: &mut [f32], _: &mut [f32]) {
        for (sum, x) in left.iter_mut().zip(first) {
            *sum += x;
        }
    }
}
