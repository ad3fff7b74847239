//! Products of small depth with many rows, as the points of Winograd's algorithm have.
//!
//! A [`Tile`](super::Tile) would take as long to set up as to compute such a product. A panel of
//! `C` (one or two vectors of columns, any number of rows) is computed by one call instead.
#![allow(clippy::needless_range_loop)] // Loops over indices keep arrays in registers.

use super::{Strides, accumulate, max_rows};
use crate::simd::{Simd, WithSimd};

/// Vectors of `C` that a [`Panel`] keeps in registers at most: twice what two multiply-add units
/// with a latency of four cycles have in flight.
const MAX_SUMS: usize = 16;

/// Rows that are computed at a time. Thirty-two registers hold [`MAX_SUMS`] vectors beside the
/// operands; sixteen registers do not.
const fn rows_at_a_time(registers: usize, vectors: usize) -> usize {
    if registers >= 2 * MAX_SUMS {
        MAX_SUMS / vectors
    } else {
        max_rows(registers, vectors)
    }
}

/// `C = A B` with few columns, any number of rows, and `A` contiguous along the depth.
///
/// Running it is sound if `rows` rows of `A` and `depth` rows of `B` are readable, and `C` is
/// writable for `columns` floats in each row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panel {
    pub rows: usize,
    /// One or two whole vectors.
    pub columns: usize,
    pub a: *const f32,
    /// Distance between the rows of `A`.
    pub a_stride: usize,
    pub b: *const f32,
    /// Distance between the rows of `B`.
    pub b_stride: usize,
    pub c: *mut f32,
    /// Distance between the rows of `C`.
    pub c_stride: usize,
    pub depth: usize,
}

impl Panel {
    /// Computes the product.
    ///
    /// # Safety
    /// The machine has the instructions of `S`; see [`Panel`] for the pointers.
    ///
    /// # Panics
    /// `columns` is neither one nor two vectors.
    #[inline(always)]
    pub(crate) unsafe fn run<S: Simd>(self) {
        // SAFETY: the caller's guarantees.
        unsafe {
            match self.columns / S::LANES {
                1 => self.known_depth::<S, 1>(),
                2 => self.known_depth::<S, 2>(),
                vectors => unreachable!("a panel of {vectors} vectors"),
            }
        }
    }

    /// Compiles common depths as constants if rows are contiguous: all addresses of a step are then
    /// constant offsets from one register.
    #[inline(always)]
    unsafe fn known_depth<S: Simd, const V: usize>(self) {
        // SAFETY: the caller's guarantees.
        unsafe {
            match self.depth {
                16 if self.a_stride == 16 => S::call(Columns::<V, 16>(self)),
                32 if self.a_stride == 32 => S::call(Columns::<V, 32>(self)),
                64 if self.a_stride == 64 => S::call(Columns::<V, 64>(self)),
                _ => S::call(Columns::<V, ANY>(self)),
            }
        }
    }
}

/// Stands for a depth that is not a compile-time constant.
const ANY: usize = 0;

/// A panel of `V` vectors. `DEPTH` is both the depth and the distance between the rows of `A`, or
/// [`ANY`].
struct Columns<const V: usize, const DEPTH: usize>(Panel);

impl<const V: usize, const DEPTH: usize> Columns<V, DEPTH> {
    /// Computes `count` rows from `first` on.
    ///
    /// # Panics
    /// `count` exceeds [`rows_at_a_time`], which [`Columns::run`] never asks for.
    #[inline(always)]
    unsafe fn block<S: Simd>(&self, first: usize, count: usize) {
        macro_rules! shapes {
            ($($p:literal)*) => {
                match count {
                    0 => {}
                    $($p if const { $p <= rows_at_a_time(S::REGISTERS, V) } => self.rows::<S, $p>(first),)*
                    _ => unreachable!("{count} rows of a panel"),
                }
            };
        }
        // SAFETY: the caller's guarantees.
        unsafe { shapes!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16) }
    }

    /// Computes `P` rows from `first` on.
    #[inline(always)]
    unsafe fn rows<S: Simd, const P: usize>(&self, first: usize) {
        let Panel {
            a,
            a_stride,
            b,
            b_stride,
            c,
            c_stride,
            depth,
            ..
        } = self.0;
        let (a_row, depth) = if DEPTH == ANY {
            (a_stride, depth)
        } else {
            (DEPTH, DEPTH)
        };
        let strides = Strides {
            a_row,
            a_step: 1,
            b: b_stride,
        };
        // SAFETY: the caller guarantees what `Panel` requires; the rows are among the panel's.
        unsafe {
            let mut sums = [[S::splat(0.0); V]; P];
            accumulate::<S, P, V>(&mut sums, a.add(first * a_row), b, strides, depth);
            for p in 0..P {
                for v in 0..V {
                    let at = c.add((first + p) * c_stride + v * S::LANES);
                    S::store(at, sums[p][v]);
                }
            }
        }
    }
}

impl<const V: usize, const DEPTH: usize> WithSimd for Columns<V, DEPTH> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Panel { rows, .. } = self.0;
        let at_a_time = rows_at_a_time(S::REGISTERS, V);
        let whole = rows / at_a_time * at_a_time;
        // SAFETY: the caller's guarantees; no row is beyond the last.
        unsafe {
            for first in (0..whole).step_by(at_a_time) {
                self.block::<S>(first, at_a_time);
            }
            self.block::<S>(whole, rows - whole);
        }
    }
}
