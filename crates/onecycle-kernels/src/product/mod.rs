//! The register tile that every product of matrices here runs through.
//!
//! ```text
//! c[p][k] = start[p][k] + sum over terms t of a[p, t] * b[t][k]        p < P rows, k < V vectors of columns
//! ```
//!
//! A term costs `V` loads of `b`, `P` broadcasts of `a` and `P * V` multiply-adds on sums that stay in registers. The
//! terms form up to three nested loops, each with its own distances, so that a window of an image, the rows of an image
//! and a group of images are walked in place. In one direction `a` is contiguous: along the terms for outputs and
//! gradients of inputs, along the rows for gradients of weights.
#![allow(clippy::needless_range_loop)] // Index loops of constant length are what the compiler turns into registers.

mod panel;

pub(crate) use panel::Panel;

use crate::simd::{Kernel, Simd};

/// The most rows that a tile of one and of two vectors can have, for the registers that there are: the sums, the vectors
/// of `b` and one broadcast.
pub(crate) const fn most_rows(registers: usize, vectors: usize) -> usize {
    let rows = (registers - 1) / vectors - 1;
    let most = if registers <= 16 {
        MAX_ROWS_SHORT
    } else {
        MAX_ROWS
    };
    if rows > most { most } else { rows }
}

/// Rows of the largest tile of short vectors (AVX2): a row's broadcast comes as fast as its multiply-add there, and the
/// addresses of more rows would be reloaded from the stack before each.
const MAX_ROWS_SHORT: usize = 8;

/// Rows of the largest tile that is compiled.
const MAX_ROWS: usize = 14;

/// In which direction neighbours of `a` are neighbours in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Adjacent {
    /// Term `t + 1` stands one float behind term `t`; rows are `stride` apart. Tiles are computed along a row of tiles and
    /// down such rows.
    Terms([Walk; 2]),
    /// Row `p + 1` stands one float behind row `p`; terms are `stride` apart.
    Rows,
}

/// A loop over terms: how often, and how far `a` and `b` move.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loop {
    pub count: usize,
    pub a: usize,
    pub b: usize,
}

impl Loop {
    /// No repetition.
    pub(crate) const ONCE: Loop = Loop {
        count: 1,
        a: 0,
        b: 0,
    };
}

/// Tiles next to each other: how many, and how far `a` and the result move from one to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    pub count: usize,
    pub a: usize,
    pub result: usize,
}

impl Walk {
    /// A single tile.
    pub(crate) const ONCE: Walk = Walk {
        count: 1,
        a: 0,
        result: 0,
    };
}

/// Where the sums begin.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// At 0.
    Zero,
    /// At a value for each column; as many floats as the tile's vectors have lanes.
    Columns(*const f32),
    /// At what the result holds.
    Result,
}

/// One tile of a product.
///
/// Running it is sound where all terms are readable (`b` for whole vectors), the result is writable for `columns` floats
/// in each row, and `Start::Columns` is readable for whole vectors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile {
    pub rows: usize,
    /// Columns of the result: in the last vector of the tile, or a multiple of the lanes.
    pub columns: usize,
    pub a: *const f32,
    pub adjacent: Adjacent,
    /// Distance of neighbours in the direction in which `a` is not contiguous.
    pub stride: usize,
    pub b: *const f32,
    /// Distance between terms of `b`.
    pub b_step: usize,
    pub result: *mut f32,
    /// Distance between rows of the result.
    pub result_row: usize,
    /// Terms next to each other.
    pub terms: usize,
    pub middle: Loop,
    pub outer: Loop,
    pub start: Start,
    /// Whether results below 0 become 0.
    pub relu: bool,
}

impl Tile {
    /// Computes the tile.
    ///
    /// # Safety
    /// The machine has the instructions of `S`, and see [`Tile`].
    ///
    /// # Panics
    /// A shape that is not compiled: 0 rows, or more than [`most_rows`] allows.
    #[inline(always)]
    pub(crate) unsafe fn run<S: Simd>(self) {
        let vectors = self.columns.div_ceil(S::LANES);
        macro_rules! shapes {
            ($($p:literal)*) => {
                match (self.rows, vectors, self.adjacent) {
                    $(
                        ($p, 1, Adjacent::Terms(_)) => call::<S, $p, 1, true>(self),
                        ($p, 1, Adjacent::Rows) => call::<S, $p, 1, false>(self),
                        ($p, 2, Adjacent::Terms(_)) => call::<S, $p, 2, true>(self),
                        ($p, 2, Adjacent::Rows) => call::<S, $p, 2, false>(self),
                    )*
                    _ => unreachable!("a tile of {} rows and {vectors} vectors", self.rows),
                }
            };
        }
        // SAFETY: the caller's guarantees.
        unsafe { shapes!(1 2 3 4 5 6 7 8 9 10 11 12 13 14) }
    }
}

/// Instantiates only the shapes that the registers can hold.
#[inline(always)]
unsafe fn call<S: Simd, const P: usize, const V: usize, const TERMS: bool>(tile: Tile) {
    assert!(
        P <= most_rows(S::REGISTERS, V),
        "a tile of {P} rows and {V} vectors"
    );
    if const { P <= most_rows(S::REGISTERS, V) } {
        // SAFETY: the caller's guarantees.
        unsafe { S::call(Shaped::<P, V, TERMS>(tile)) }
    }
}

/// A tile of constant shape: `TERMS` where [`Adjacent::Terms`].
struct Shaped<const P: usize, const V: usize, const TERMS: bool>(Tile);

impl<const P: usize, const V: usize, const TERMS: bool> Kernel for Shaped<P, V, TERMS> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let tile = self.0;
        let [along, down] = match tile.adjacent {
            Adjacent::Terms(walk) if TERMS => walk,
            _ => [Walk::ONCE; 2],
        };
        // SAFETY: the caller's guarantees, which hold for each tile of the walk.
        unsafe {
            for y in 0..down.count {
                let mut a = tile.a.add(y * down.a);
                let mut result = tile.result.add(y * down.result);
                for _ in 0..along.count {
                    self.once::<S>(a, result);
                    (a, result) = (a.wrapping_add(along.a), result.wrapping_add(along.result));
                }
            }
        }
    }
}

impl<const P: usize, const V: usize, const TERMS: bool> Shaped<P, V, TERMS> {
    /// One tile.
    ///
    /// # Safety
    /// As [`Tile`].
    #[inline(always)]
    unsafe fn once<S: Simd>(&self, a: *const f32, result: *mut f32) {
        let tile = &self.0;
        // The compiler sees which of the two is 1.
        let (row, step) = if TERMS {
            (tile.stride, 1)
        } else {
            (1, tile.stride)
        };
        // Lanes of the last vector that belong to the result.
        let tail = tile.columns - (V - 1) * S::LANES;
        // SAFETY: `Tile` says what must be readable and writable, and the caller vouches for it.
        unsafe {
            let mut sums = [[S::splat(0.0); V]; P];
            match tile.start {
                Start::Zero => {}
                Start::Columns(columns) => {
                    for v in 0..V {
                        let value = S::load(columns.add(v * S::LANES));
                        for p in 0..P {
                            sums[p][v] = value;
                        }
                    }
                }
                Start::Result => {
                    for p in 0..P {
                        for v in 0..V {
                            let at = result.add(p * tile.result_row + v * S::LANES);
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
                    add_terms::<S, P, V>(&mut sums, a, [row, step], b, tile.b_step, tile.terms);
                }
            }
            if tile.relu {
                for p in 0..P {
                    for v in 0..V {
                        sums[p][v] = S::max(S::splat(0.0), sums[p][v]);
                    }
                }
            }
            for p in 0..P {
                for v in 0..V {
                    let at = result.add(p * tile.result_row + v * S::LANES);
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

/// Adds `terms` products to each sum; `[row, step]` are the distances in `a` between rows and between terms.
///
/// # Safety
/// As [`Tile`].
#[inline(always)]
unsafe fn add_terms<S: Simd, const P: usize, const V: usize>(
    sums: &mut [[S::V; V]; P],
    mut a: *const f32,
    [row, step]: [usize; 2],
    mut b: *const f32,
    b_step: usize,
    terms: usize,
) {
    // SAFETY: the caller's guarantee.
    unsafe {
        for _ in 0..terms {
            let mut right = [S::splat(0.0); V];
            for v in 0..V {
                right[v] = S::load(b.add(v * S::LANES));
            }
            for p in 0..P {
                let left = S::splat(*a.add(p * row));
                for v in 0..V {
                    sums[p][v] = S::fma(left, right[v], sums[p][v]);
                }
            }
            a = a.add(step);
            b = b.add(b_step);
        }
    }
}

/// Cuts `length` into pieces of at most `most`, as equal as can be: `(first, length)` each.
pub(crate) fn pieces(length: usize, most: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    let count = length.div_ceil(most);
    (0..count).map(move |i| {
        let (from, to) = (length * i / count, length * (i + 1) / count);
        (from, to - from)
    })
}

/// [`pieces`] by their size: `(first, length, count)`, `count` pieces of `length` in a row.
pub(crate) fn runs_of_pieces(
    length: usize,
    most: usize,
) -> impl Iterator<Item = (usize, usize, usize)> {
    let count = length.div_ceil(most);
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
    use crate::simd::{MAX_LANES, Path};

    /// Computes a product of `rows x terms` and `terms x columns` on every path that the machine has.
    struct Product<'a> {
        tile: Tile,
        out: &'a mut [f32],
    }

    impl Kernel for Product<'_> {
        type Output = ();

        #[inline(always)]
        unsafe fn run<S: Simd>(self) {
            let mut tile = self.tile;
            if tile.columns > 2 * S::LANES || tile.rows > most_rows(S::REGISTERS, 2) {
                return;
            }
            tile.result = self.out.as_mut_ptr();
            // SAFETY: the test's buffers are large enough for whole vectors.
            unsafe { tile.run::<S>() }
        }
    }

    #[test]
    fn every_shape_on_every_path() {
        let (terms, wide) = (5, 2 * MAX_LANES);
        // Small whole numbers: sums are exact in any order.
        let a: Vec<f32> = (0..20 * 20).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
        let b: Vec<f32> = (0..terms * wide)
            .map(|i| (i * 5 % 13) as f32 - 6.0)
            .collect();
        for path in Path::ALL.into_iter().filter(|path| path.is_available()) {
            let lanes = path.lanes();
            for rows in 1..=5 {
                for columns in [1, lanes - 1, lanes, lanes + 1, 2 * lanes] {
                    for adjacent in [Adjacent::Terms([Walk::ONCE; 2]), Adjacent::Rows] {
                        for relu in [false, true] {
                            let mut out = vec![0.5; rows * wide + MAX_LANES];
                            let tile = Tile {
                                rows,
                                columns,
                                a: a.as_ptr(),
                                adjacent,
                                stride: 20,
                                b: b.as_ptr(),
                                b_step: wide,
                                result: std::ptr::null_mut(),
                                result_row: wide,
                                terms,
                                middle: Loop::ONCE,
                                outer: Loop::ONCE,
                                start: Start::Result,
                                relu,
                            };
                            path.run(Product {
                                tile,
                                out: &mut out,
                            });
                            for p in 0..rows {
                                for k in 0..wide {
                                    let sum: f32 = (0..terms)
                                        .map(|t| {
                                            let at = match adjacent {
                                                Adjacent::Terms(_) => p * 20 + t,
                                                Adjacent::Rows => t * 20 + p,
                                            };
                                            a[at] * b[t * wide + k]
                                        })
                                        .sum();
                                    let want = match k < columns {
                                        true if relu => (0.5 + sum).max(0.0),
                                        true => 0.5 + sum,
                                        false => 0.5,
                                    };
                                    assert_eq!(out[p * wide + k], want, "{path:?} {tile:?}");
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_walk_is_its_tiles() {
        let (terms, rows, columns) = (3, 2, 4);
        let a: Vec<f32> = (0..200).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
        let b: Vec<f32> = (0..terms * MAX_LANES)
            .map(|i| (i * 5 % 13) as f32 - 6.0)
            .collect();
        // Three tiles of two rows along, two rows of tiles down; windows overlap as those of an image do.
        let along = Walk {
            count: 3,
            a: rows * 2,
            result: rows * columns,
        };
        let down = Walk {
            count: 2,
            a: 17,
            result: 3 * rows * columns,
        };
        let tile = |walk| Tile {
            rows,
            columns,
            a: a.as_ptr(),
            adjacent: Adjacent::Terms(walk),
            stride: 2,
            b: b.as_ptr(),
            b_step: MAX_LANES,
            result: std::ptr::null_mut(),
            result_row: columns,
            terms,
            middle: Loop::ONCE,
            outer: Loop::ONCE,
            start: Start::Zero,
            relu: false,
        };
        for path in Path::ALL.into_iter().filter(|path| path.is_available()) {
            let mut out = vec![0.5; 60];
            path.run(Product {
                tile: tile([along, down]),
                out: &mut out,
            });
            let mut want = vec![0.5; 60];
            for y in 0..down.count {
                for x in 0..along.count {
                    let mut one = tile([Walk::ONCE; 2]);
                    one.a = a[y * down.a + x * along.a..].as_ptr();
                    path.run(Product {
                        tile: one,
                        out: &mut want[y * down.result + x * along.result..],
                    });
                }
            }
            assert_eq!(out, want, "{path:?}");
            let written = down.count * along.count * rows * columns;
            assert!(out[..written].iter().any(|x| *x != 0.5) && out[written..] == [0.5; 12]);
        }
    }

    #[test]
    fn pieces_tile_the_length() {
        for length in 0..40 {
            for most in 1..15 {
                let mut next = 0;
                for (first, count) in pieces(length, most) {
                    assert_eq!(first, next);
                    assert!((1..=most).contains(&count));
                    next += count;
                }
                assert_eq!(next, length);
                let mut next = 0;
                for (first, count, pieces) in runs_of_pieces(length, most) {
                    assert_eq!(first, next);
                    assert!((1..=most).contains(&count) && pieces > 0);
                    next += count * pieces;
                }
                assert_eq!(next, length);
            }
        }
    }
}
