//! Short products over many rows: the points of Winograd's algorithm.
#![allow(clippy::needless_range_loop)] // Index loops of constant length are what the compiler turns into registers.

use super::{add_terms, most_rows};
use crate::simd::{Kernel, Simd};

/// Vectors of sums that a [`Panel`] has in registers at most: twice what two units for multiply-adds with a latency of
/// four cycles have under way.
const MOST_SUMS: usize = 16;

/// Rows of a panel of `vectors` that are worked on at a time: thirty-two registers hold [`MOST_SUMS`] beside what they are
/// made of, sixteen do not.
const fn rows_at_a_time(registers: usize, vectors: usize) -> usize {
    if registers >= 2 * MOST_SUMS {
        MOST_SUMS / vectors
    } else {
        most_rows(registers, vectors)
    }
}

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
                1 => self.known_terms::<S, 1>(),
                2 => self.known_terms::<S, 2>(),
                vectors => unreachable!("a panel of {vectors} vectors"),
            }
        }
    }

    /// Usual numbers of terms are compiled in where rows lie next to each other: the addresses of a term are then constant
    /// distances from one register, else each is computed.
    #[inline(always)]
    unsafe fn known_terms<S: Simd, const V: usize>(self) {
        // SAFETY: the caller's guarantees.
        unsafe {
            match self.terms {
                16 if self.a_row == 16 => S::call(Columns::<V, 16>(self)),
                32 if self.a_row == 32 => S::call(Columns::<V, 32>(self)),
                64 if self.a_row == 64 => S::call(Columns::<V, 64>(self)),
                _ => S::call(Columns::<V, ANY>(self)),
            }
        }
    }
}

/// In place of a number of terms that is not compiled in.
const ANY: usize = 0;

/// A panel of `V` vectors and `TERMS` terms, which are also the distance between rows, or [`ANY`].
struct Columns<const V: usize, const TERMS: usize>(Panel);

impl<const V: usize, const TERMS: usize> Columns<V, TERMS> {
    /// `count` rows from `first` on.
    ///
    /// # Panics
    /// More rows than [`rows_at_a_time`]. [`Columns::run`] asks for no more, and to leave rows out silently would be worse.
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
        let (a_row, terms) = if TERMS == ANY {
            (a_row, terms)
        } else {
            (TERMS, TERMS)
        };
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

impl<const V: usize, const TERMS: usize> Kernel for Columns<V, TERMS> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Panel { rows, .. } = self.0;
        let most = rows_at_a_time(S::REGISTERS, V);
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
