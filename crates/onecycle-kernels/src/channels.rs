//! Sums over pixels, channel by channel: the same whatever the number of threads.

use crate::error::{KernelError, check_len, check_positive, checked_size};
use crate::parallel::for_chunks;
use crate::simd::{Loops, Path, vectorised};

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
/// Floats of a row at least.
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
        let (mut left, mut right) = (vec![0.0f32; row], vec![0.0f32; row]);
        let (left_sums, right_sums) = sums.split_at_mut(self.channels);
        for (first, second) in first.chunks(RUN * row).zip(second.chunks(RUN * row)) {
            left.fill(0.0);
            right.fill(0.0);
            for (first, second) in first.chunks(row).zip(second.chunks(row)) {
                term.add(first, second, &mut left, &mut right);
            }
            fold(&left, left_sums);
            fold(&right, right_sums);
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

/// What is summed up: a row of two inputs adds to a row of each of two sums.
pub(crate) trait Term {
    /// Must be `#[inline(always)]`, see [`Loops`].
    fn add(&self, first: &[f32], second: &[f32], left: &mut [f32], right: &mut [f32]);
}

/// Adds the pixels of a row to their channels.
#[inline(always)]
fn fold(row: &[f32], sums: &mut [f64]) {
    for pixel in row.chunks_exact(sums.len()) {
        for (sum, value) in sums.iter_mut().zip(pixel) {
            *sum += f64::from(*value);
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
    fn add(&self, first: &[f32], _: &[f32], left: &mut [f32], _: &mut [f32]) {
        for (sum, x) in left.iter_mut().zip(first) {
            *sum += x;
        }
    }
}
