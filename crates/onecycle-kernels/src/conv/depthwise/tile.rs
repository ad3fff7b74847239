//! The register tiles of forward pass and gradient of the input.
#![allow(clippy::needless_range_loop)] // Loops over indices keep arrays in registers.

use super::{MAX_COLUMNS, MAX_TAPS, TILE};
use crate::simd::{Simd, WithSimd};

/// Where a tile finds the pixels of its window rows.
#[derive(Clone, Copy)]
pub(super) enum Pixels<'a> {
    /// All inside of the image: the first pixel, and the distance of rows.
    Inside(*const f32, usize),
    /// Some in the padding: each pixel, by window row and column.
    Padded(&'a [[*const f32; MAX_COLUMNS]; MAX_TAPS]),
}

/// Neighbouring outputs of a row, for all whole vectors of channels.
///
/// Running it is sound if all pixels of the windows are readable for `vectors` vectors, as are bias
/// and weights, and `to` is writable for `vectors` vectors at each of the `valid` outputs.
#[derive(Clone, Copy)]
pub(super) struct Tile<'a> {
    pub pixels: Pixels<'a>,
    /// Distance of neighbouring source pixels: the number of channels.
    pub pixel: usize,
    /// Window rows.
    pub rows: usize,
    /// The weights of the first window row and column.
    pub weights: *const f32,
    /// Distances of window rows and columns in the weights.
    pub weight_strides: [isize; 2],
    pub bias: *const f32,
    pub limits: Option<[f32; 2]>,
    pub to: *mut f32,
    /// Distance of neighbouring outputs.
    pub to_step: usize,
    /// Outputs to store, at most the width of the tile.
    pub valid: usize,
    /// Whole vectors of channels.
    pub vectors: usize,
}

impl Tile<'_> {
    /// Whether windows of `taps` columns, `step` apart, are compiled.
    pub(super) fn is_compiled(taps: usize, step: usize) -> bool {
        matches!((taps, step), (1 | 2 | 3 | 5, 1) | (3 | 5, 2))
    }

    /// Computes the tile for windows of `taps` columns, `step` apart.
    ///
    /// # Safety
    /// The machine has the instructions of `S`; see [`Tile`] for the pointers.
    ///
    /// # Panics
    /// The window is not [compiled](Self::is_compiled).
    #[inline(always)]
    pub(super) unsafe fn run<S: Simd>(self, taps: usize, step: usize) {
        // SAFETY: the caller's guarantees.
        unsafe {
            match (taps, step) {
                (1, 1) => self.sized::<S, 1, 1>(),
                (2, 1) => self.sized::<S, 2, 1>(),
                (3, 1) => self.sized::<S, 3, 1>(),
                (5, 1) => self.sized::<S, 5, 1>(),
                (3, 2) => self.sized::<S, 3, 2>(),
                (5, 2) => self.sized::<S, 5, 2>(),
                _ => unreachable!("a window of {taps} columns, {step} apart"),
            }
        }
    }

    #[inline(always)]
    unsafe fn sized<S: Simd, const TAPS: usize, const STEP: usize>(self) {
        // SAFETY: the caller's guarantees.
        unsafe {
            match self.pixels {
                Pixels::Inside(..) => S::call(Shaped::<TILE, TAPS, STEP, true>(self)),
                Pixels::Padded(_) if self.valid * 2 <= TILE => {
                    S::call(Shaped::<{ TILE / 2 }, TAPS, STEP, false>(self));
                }
                Pixels::Padded(_) => S::call(Shaped::<TILE, TAPS, STEP, false>(self)),
            }
        }
    }
}

/// A tile of `T` outputs whose window is a constant.
struct Shaped<'a, const T: usize, const TAPS: usize, const STEP: usize, const INSIDE: bool>(
    Tile<'a>,
);

impl<const T: usize, const TAPS: usize, const STEP: usize, const INSIDE: bool> WithSimd
    for Shaped<'_, T, TAPS, STEP, INSIDE>
{
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let tile = self.0;
        // SAFETY: the caller guarantees what `Tile` requires.
        unsafe {
            for v in 0..tile.vectors {
                let c = v * S::LANES;
                let mut sums = [S::load(tile.bias.add(c)); T];
                for r in 0..tile.rows {
                    let row = tile
                        .weights
                        .offset(r as isize * tile.weight_strides[0])
                        .add(c);
                    let mut weights = [S::splat(0.0); TAPS];
                    for s in 0..TAPS {
                        weights[s] = S::load(row.offset(s as isize * tile.weight_strides[1]));
                    }
                    for t in 0..T {
                        for s in 0..TAPS {
                            let column = t * STEP + s;
                            let x = match tile.pixels {
                                Pixels::Inside(first, pitch) if INSIDE => {
                                    first.add(r * pitch + column * tile.pixel)
                                }
                                Pixels::Padded(pixels) if !INSIDE => pixels[r][column],
                                _ => std::hint::unreachable_unchecked(),
                            };
                            sums[t] = S::fma(S::load(x.add(c)), weights[s], sums[t]);
                        }
                    }
                }
                if let Some(limits) = tile.limits {
                    let [least, most] = limits.map(|limit| S::splat(limit));
                    for t in 0..T {
                        sums[t] = S::min(most, S::max(least, sums[t]));
                    }
                }
                for t in 0..T {
                    if t < tile.valid {
                        S::store(tile.to.add(t * tile.to_step + c), sums[t]);
                    }
                }
            }
        }
    }
}
