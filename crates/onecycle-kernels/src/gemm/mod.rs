//! Register-tile matrix multiplication, the only place where the crate multiplies matrices.
//!
//! ```text
//! C[p][j] = init[p][j] + sum over k of A[p][k] B[k][j]       p < P rows, j < V vectors of columns
//! ```
//!
//! The micro-kernel accumulates outer products (Goto & van de Geijn 2008, "Anatomy of
//! high-performance matrix multiplication"; Van Zee & van de Geijn 2015, BLIS). Each step along the
//! depth `k` takes `V` loads of `B`, `P` broadcasts of `A` and `P * V` multiply-adds into `C`,
//! which stays in registers.
//!
//! The depth consists of up to three nested loops, each with its own strides. So the rows of a
//! convolution window, the rows of an image and the images of a group are read in place, without an
//! im2col copy. `A` is contiguous in one direction: along the depth for outputs and gradients of
//! inputs ([`AOrder::RowMajor`]), along the rows for gradients of weights
//! ([`AOrder::ColumnMajor`]).
//!
//! [`Panel`] is a variant for products of small depth and many rows.
#![allow(clippy::needless_range_loop)] // Loops over indices keep arrays in registers.

mod panel;

pub(crate) use panel::Panel;

use crate::simd::{Simd, WithSimd};

/// The most rows of a tile of one or two vectors for this number of registers: they hold the tile
/// of `C`, the vectors of `B` and one broadcast of `A`.
pub(crate) const fn max_rows(registers: usize, vectors: usize) -> usize {
    let rows = (registers - 1) / vectors - 1;
    let max = if registers <= 16 {
        MAX_ROWS_16_REGISTERS
    } else {
        MAX_ROWS
    };
    if rows > max { max } else { rows }
}

/// Rows of the largest tile with sixteen registers (AVX2). A broadcast costs as much as a
/// multiply-add there, and with more rows the compiler would reload their addresses from the stack
/// in every step.
const MAX_ROWS_16_REGISTERS: usize = 8;

/// Rows of the largest tile that is compiled.
const MAX_ROWS: usize = 14;

/// The direction in which `A` is contiguous in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AOrder {
    /// `A[p][k + 1]` follows `A[p][k]`; rows are `a_stride` apart. The tile is repeated along an
    /// image row (first) and down the image (second).
    RowMajor([Repeat; 2]),
    /// `A[p + 1][k]` follows `A[p][k]`; steps along the depth are `a_stride` apart.
    ColumnMajor,
}

/// A loop along the depth: its count, and the distances of consecutive iterations in `A` and `B`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DepthLoop {
    pub count: usize,
    pub a: usize,
    pub b: usize,
}

impl DepthLoop {
    /// A single iteration.
    pub(crate) const ONCE: DepthLoop = DepthLoop {
        count: 1,
        a: 0,
        b: 0,
    };
}

/// Repetition of a tile: the count, and the distances of consecutive tiles in `A` and `C`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeat {
    pub count: usize,
    pub a: usize,
    pub c: usize,
}

impl Repeat {
    /// A single tile.
    pub(crate) const ONCE: Repeat = Repeat {
        count: 1,
        a: 0,
        c: 0,
    };
}

/// Initial value of the tile of `C`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Init {
    /// 0.
    Zero,
    /// A bias for each column; readable for whole vectors.
    Bias(*const f32),
    /// The present content of `C`, to which the product is added.
    Accumulate,
}

/// One register tile of `C`.
///
/// Running it is sound if all of `A` and `B` along the depth is readable (`B` for whole vectors),
/// `C` is writable for `columns` floats in each row, and `Init::Bias` is readable for whole
/// vectors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile {
    pub rows: usize,
    /// Columns of `C`, at most two vectors; the last vector may be partial.
    pub columns: usize,
    pub a: *const f32,
    pub a_order: AOrder,
    /// Distance in the direction in which `A` is not contiguous.
    pub a_stride: usize,
    pub b: *const f32,
    /// Distance between the rows of `B`.
    pub b_stride: usize,
    pub c: *mut f32,
    /// Distance between the rows of `C`.
    pub c_stride: usize,
    /// Steps of the innermost loop along the depth.
    pub depth: usize,
    pub middle: DepthLoop,
    pub outer: DepthLoop,
    pub init: Init,
    /// Smallest and largest result, to which others are clamped. NaN stays NaN.
    pub limits: Option<[f32; 2]>,
}

impl Tile {
    /// Computes the tile, and its repetitions.
    ///
    /// # Safety
    /// The machine has the instructions of `S`; see [`Tile`] for the pointers.
    ///
    /// # Panics
    /// The shape is not compiled: 0 rows, or more than [`max_rows`] allows.
    #[inline(always)]
    pub(crate) unsafe fn run<S: Simd>(self) {
        let vectors = self.columns.div_ceil(S::LANES);
        macro_rules! shapes {
            ($($p:literal)*) => {
                match (self.rows, vectors, self.a_order) {
                    $(
                        ($p, 1, AOrder::RowMajor(_)) => call::<S, $p, 1, true>(self),
                        ($p, 1, AOrder::ColumnMajor) => call::<S, $p, 1, false>(self),
                        ($p, 2, AOrder::RowMajor(_)) => call::<S, $p, 2, true>(self),
                        ($p, 2, AOrder::ColumnMajor) => call::<S, $p, 2, false>(self),
                    )*
                    _ => unreachable!("a tile of {} rows and {vectors} vectors", self.rows),
                }
            };
        }
        // SAFETY: the caller's guarantees.
        unsafe { shapes!(1 2 3 4 5 6 7 8 9 10 11 12 13 14) }
    }
}

/// Compiles only the shapes that fit into the registers.
#[inline(always)]
unsafe fn call<S: Simd, const P: usize, const V: usize, const ROW_MAJOR: bool>(tile: Tile) {
    assert!(
        P <= max_rows(S::REGISTERS, V),
        "a tile of {P} rows and {V} vectors"
    );
    if const { P <= max_rows(S::REGISTERS, V) } {
        // SAFETY: the caller's guarantees.
        unsafe { S::call(Shaped::<P, V, ROW_MAJOR>(tile)) }
    }
}

/// A tile whose shape and order of `A` are constants.
struct Shaped<const P: usize, const V: usize, const ROW_MAJOR: bool>(Tile);

impl<const P: usize, const V: usize, const ROW_MAJOR: bool> WithSimd for Shaped<P, V, ROW_MAJOR> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let tile = self.0;
        let [along, down] = match tile.a_order {
            AOrder::RowMajor(repeat) if ROW_MAJOR => repeat,
            _ => [Repeat::ONCE; 2],
        };
        // SAFETY: the caller's guarantees hold for every repetition of the tile.
        unsafe {
            for y in 0..down.count {
                let mut a = tile.a.add(y * down.a);
                let mut c = tile.c.add(y * down.c);
                for _ in 0..along.count {
                    self.once::<S>(a, c);
                    (a, c) = (a.wrapping_add(along.a), c.wrapping_add(along.c));
                }
            }
        }
    }
}

impl<const P: usize, const V: usize, const ROW_MAJOR: bool> Shaped<P, V, ROW_MAJOR> {
    /// One tile.
    ///
    /// # Safety
    /// As [`Tile`].
    #[inline(always)]
    unsafe fn once<S: Simd>(&self, a: *const f32, c: *mut f32) {
        let tile = &self.0;
        // `ROW_MAJOR` is a constant, so the compiler knows which stride is 1.
        let (a_row, a_step) = if ROW_MAJOR {
            (tile.a_stride, 1)
        } else {
            (1, tile.a_stride)
        };
        let strides = Strides {
            a_row,
            a_step,
            b: tile.b_stride,
        };
        // Lanes of the last vector that belong to `C`.
        let tail = tile.columns - (V - 1) * S::LANES;
        // SAFETY: the caller guarantees what `Tile` requires.
        unsafe {
            let mut sums = [[S::splat(0.0); V]; P];
            match tile.init {
                Init::Zero => {}
                Init::Bias(bias) => {
                    for v in 0..V {
                        let value = S::load(bias.add(v * S::LANES));
                        for p in 0..P {
                            sums[p][v] = value;
                        }
                    }
                }
                Init::Accumulate => {
                    for p in 0..P {
                        for v in 0..V {
                            let at = c.add(p * tile.c_stride + v * S::LANES);
                            sums[p][v] = if v + 1 < V || tail == S::LANES {
                                S::load(at)
                            } else {
                                S::load_first(at, tail)
                            };
                        }
                    }
                }
            }
            for o in 0..tile.outer.count {
                let (a, b) = (a.add(o * tile.outer.a), tile.b.add(o * tile.outer.b));
                for m in 0..tile.middle.count {
                    let a = a.add(m * tile.middle.a);
                    let b = b.add(m * tile.middle.b);
                    accumulate::<S, P, V>(&mut sums, a, b, strides, tile.depth);
                }
            }
            if let Some(limits) = tile.limits {
                let [least, most] = limits.map(|limit| S::splat(limit));
                for p in 0..P {
                    for v in 0..V {
                        sums[p][v] = S::min(most, S::max(least, sums[p][v]));
                    }
                }
            }
            for p in 0..P {
                for v in 0..V {
                    let at = c.add(p * tile.c_stride + v * S::LANES);
                    if v + 1 < V || tail == S::LANES {
                        S::store(at, sums[p][v]);
                    } else {
                        S::store_first(at, sums[p][v], tail);
                    }
                }
            }
        }
    }
}

/// Distances in the operands of [`accumulate`].
#[derive(Clone, Copy)]
struct Strides {
    /// Between rows of `A`.
    a_row: usize,
    /// Between steps along the depth in `A`.
    a_step: usize,
    /// Between rows of `B`.
    b: usize,
}

/// The micro-kernel's loop: adds `depth` outer products to `sums`.
///
/// # Safety
/// As [`Tile`].
#[inline(always)]
unsafe fn accumulate<S: Simd, const P: usize, const V: usize>(
    sums: &mut [[S::V; V]; P],
    mut a: *const f32,
    mut b: *const f32,
    strides: Strides,
    depth: usize,
) {
    // SAFETY: the caller's guarantee.
    unsafe {
        for _ in 0..depth {
            let mut right = [S::splat(0.0); V];
            for v in 0..V {
                right[v] = S::load(b.add(v * S::LANES));
            }
            for p in 0..P {
                let left = S::splat(*a.add(p * strides.a_row));
                for v in 0..V {
                    sums[p][v] = S::fma(left, right[v], sums[p][v]);
                }
            }
            a = a.add(strides.a_step);
            b = b.add(strides.b);
        }
    }
}

/// Splits `length` into parts of at most `max` whose lengths differ by at most 1:
/// `(first, length)`.
pub(crate) fn split_evenly(
    length: usize,
    max: usize,
) -> impl Iterator<Item = (usize, usize)> + Clone {
    let count = length.div_ceil(max);
    (0..count).map(move |i| {
        let (from, to) = (length * i / count, length * (i + 1) / count);
        (from, to - from)
    })
}

/// [`split_evenly`] with consecutive parts of equal length grouped: `(first, length, count)`.
pub(crate) fn split_into_runs(
    length: usize,
    max: usize,
) -> impl Iterator<Item = (usize, usize, usize)> {
    let count = length.div_ceil(max);
    let short = length.checked_div(count).unwrap_or(0);
    let longer = length - short * count;
    [
        (0, short + 1, longer),
        (longer * (short + 1), short, count - longer),
    ]
    .into_iter()
    .filter(|(_, _, count)| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, MAX_LANES};

    /// A tile that writes into `out`; does nothing if the tile is too large for the registers.
    struct Product<'a> {
        tile: Tile,
        out: &'a mut [f32],
    }

    impl WithSimd for Product<'_> {
        type Output = ();

        #[inline(always)]
        unsafe fn run<S: Simd>(self) {
            let mut tile = self.tile;
            if tile.columns > 2 * S::LANES || tile.rows > max_rows(S::REGISTERS, 2) {
                return;
            }
            tile.c = self.out.as_mut_ptr();
            // SAFETY: the test's buffers are large enough for whole vectors.
            unsafe { tile.run::<S>() }
        }
    }

    #[test]
    fn every_shape_on_every_instruction_set() {
        let (depth, wide) = (5, 2 * MAX_LANES);
        // Small integers, whose sums are exact in any order.
        let a: Vec<f32> = (0..20 * 20).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
        let b: Vec<f32> = (0..depth * wide)
            .map(|i| (i * 5 % 13) as f32 - 6.0)
            .collect();
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let lanes = isa.lanes();
            for rows in 1..=5 {
                for columns in [1, lanes - 1, lanes, lanes + 1, 2 * lanes] {
                    for a_order in [AOrder::RowMajor([Repeat::ONCE; 2]), AOrder::ColumnMajor] {
                        for limits in [None, Some([0.0, f32::INFINITY]), Some([0.0, 6.0])] {
                            let mut out = vec![0.5; rows * wide + MAX_LANES];
                            let tile = Tile {
                                rows,
                                columns,
                                a: a.as_ptr(),
                                a_order,
                                a_stride: 20,
                                b: b.as_ptr(),
                                b_stride: wide,
                                c: std::ptr::null_mut(),
                                c_stride: wide,
                                depth,
                                middle: DepthLoop::ONCE,
                                outer: DepthLoop::ONCE,
                                init: Init::Accumulate,
                                limits,
                            };
                            isa.run(Product {
                                tile,
                                out: &mut out,
                            });
                            for p in 0..rows {
                                for j in 0..wide {
                                    let sum: f32 = (0..depth)
                                        .map(|k| {
                                            let at = match a_order {
                                                AOrder::RowMajor(_) => p * 20 + k,
                                                AOrder::ColumnMajor => k * 20 + p,
                                            };
                                            a[at] * b[k * wide + j]
                                        })
                                        .sum();
                                    let want = match j < columns {
                                        true => match limits {
                                            None => 0.5 + sum,
                                            Some([least, most]) => (0.5 + sum).clamp(least, most),
                                        },
                                        false => 0.5,
                                    };
                                    assert_eq!(out[p * wide + j], want, "{isa:?} {tile:?}");
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_repeated_tile_equals_separate_tiles() {
        let (depth, rows, columns) = (3, 2, 4);
        let a: Vec<f32> = (0..200).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
        let b: Vec<f32> = (0..depth * MAX_LANES)
            .map(|i| (i * 5 % 13) as f32 - 6.0)
            .collect();
        // Three tiles of two rows each along, two rows of tiles down. Rows of `A` overlap, as the
        // windows of a convolution do.
        let along = Repeat {
            count: 3,
            a: rows * 2,
            c: rows * columns,
        };
        let down = Repeat {
            count: 2,
            a: 17,
            c: 3 * rows * columns,
        };
        let tile = |repeat| Tile {
            rows,
            columns,
            a: a.as_ptr(),
            a_order: AOrder::RowMajor(repeat),
            a_stride: 2,
            b: b.as_ptr(),
            b_stride: MAX_LANES,
            c: std::ptr::null_mut(),
            c_stride: columns,
            depth,
            middle: DepthLoop::ONCE,
            outer: DepthLoop::ONCE,
            init: Init::Zero,
            limits: None,
        };
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let mut out = vec![0.5; 60];
            isa.run(Product {
                tile: tile([along, down]),
                out: &mut out,
            });
            let mut want = vec![0.5; 60];
            for y in 0..down.count {
                for x in 0..along.count {
                    let mut one = tile([Repeat::ONCE; 2]);
                    one.a = a[y * down.a + x * along.a..].as_ptr();
                    isa.run(Product {
                        tile: one,
                        out: &mut want[y * down.c + x * along.c..],
                    });
                }
            }
            assert_eq!(out, want, "{isa:?}");
            let written = down.count * along.count * rows * columns;
            assert!(out[..written].iter().any(|x| *x != 0.5) && out[written..] == [0.5; 12]);
        }
    }

    #[test]
    fn splits_cover_the_length() {
        for length in 0..40 {
            for max in 1..15 {
                let mut next = 0;
                for (first, count) in split_evenly(length, max) {
                    assert_eq!(first, next);
                    assert!((1..=max).contains(&count));
                    next += count;
                }
                assert_eq!(next, length);
                let mut next = 0;
                for (first, count, parts) in split_into_runs(length, max) {
                    assert_eq!(first, next);
                    assert!((1..=max).contains(&count) && parts > 0);
                    next += count * parts;
                }
                assert_eq!(next, length);
            }
        }
    }
}
