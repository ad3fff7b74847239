//! Short products over many rows: the points of Winograd's algorithm.
#![allow(clippy::needless_range_loop)] // Index loops of constant length are what the compiler turns into registers.

use super::{add_terms, most_rows};
use crate::simd::{Kernel, Simd};

/// Rows of a [`Panel`] that are worked on at a time, at most and where the registers hold them: more bring nothing, since
/// that many sums already keep the arithmetic busy.
const MOST_ROWS: usize = 8;

/// A product of few columns and any number of rows, whose terms are next to each other in `a`. Short products would spend
/// as long on the way into a [`Tile`] as within.
///
/// Running it is sound where `rows` rows of `a` and all terms of `b` are readable, and the result is writable for `columns`
/// floats in each row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panel {
    pub rows: usize,
    /// One or two whole vectors.
    pub columns: usize,
    pub a: *const f32,
    /// Distance between rows of `a`.
    pub a_row: usize,
    pub b: *const f32,
    /// Distance between terms of `b`.
    pub b_step: usize,
    pub result: *mut f32,
    /// Distance between rows of the result.
    pub result_row: usize,
    pub terms: usize,
}

impl Panel {
    /// Computes the product.
    ///
    /// # Safety
    /// The machine has the instructions of `S`, and see [`Panel`].
    ///
    /// # Panics
    /// A number of columns other than one or two vectors.
    #[inline(always)]
    pub(crate) unsafe fn run<S: Simd>(self) {
        // SAFETY: the caller's guarantees.
        unsafe {
            match self.columns / S::LANES {
                1 => S::call(Columns::<1>(self)),
                2 => S::call(Columns::<2>(self)),
                vectors => unreachable!("a panel of {vectors} vectors"),
            }
        }
    }
}

/// A panel of `V` vectors.
struct Columns<const V: usize>(Panel);

impl<const V: usize> Columns<V> {
    /// `count` rows from `first` on.
    ///
    /// # Panics
    /// More rows than [`MOST_ROWS`] or than the registers hold. [`Columns::run`] asks for no more, and to leave rows out
    /// silently would be worse.
    #[inline(always)]
    unsafe fn block<S: Simd>(&self, first: usize, count: usize) {
        macro_rules! shapes {
            ($($p:literal)*) => {
                match count {
                    0 => {}
                    $($p if const { $p <= most_rows(S::REGISTERS, V) } => self.rows::<S, $p>(first),)*
                    _ => unreachable!("{count} rows of a panel"),
                }
            };
        }
        // SAFETY: the caller's guarantees.
        unsafe { shapes!(1 2 3 4 5 6 7 8) }
    }

    /// `P` rows from `first` on.
    #[inline(always)]
    unsafe fn rows<S: Simd, const P: usize>(&self, first: usize) {
        let Panel {
            a,
            a_row,
            b,
            b_step,
            result,
            result_row,
            terms,
            ..
        } = self.0;
        // SAFETY: `Panel` says what must be readable and writable; the rows are among its own.
        unsafe {
            let mut sums = [[S::splat(0.0); V]; P];
            add_terms::<S, P, V>(
                &mut sums,
                a.add(first * a_row),
                [a_row, 1],
                b,
                b_step,
                terms,
            );
            for p in 0..P {
                for v in 0..V {
                    let at = result.add((first + p) * result_row + v * S::LANES);
                    S::store(at, sums[p][v]);
                }
            }
        }
    }
}

impl<const V: usize> Kernel for Columns<V> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Panel { rows, .. } = self.0;
        let most = MOST_ROWS.min(most_rows(S::REGISTERS, V));
        let whole = rows / most * most;
        // SAFETY: the caller's guarantees; no row is beyond the last.
        unsafe {
            for first in (0..whole).step_by(most) {
                self.block::<S>(first, most);
            }
            self.block::<S>(whole, rows - whole);
        }
    }
}
