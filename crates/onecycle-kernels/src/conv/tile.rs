//! The register tiles: where the time goes.
#![allow(clippy::needless_range_loop)] // Index loops of constant length are what the compiler turns into registers.

use crate::simd::{Kernel, Simd, taps};

/// `O` output channels times `V` vectors of places, all taps.
///
/// Running it is sound where `source + offset` is readable for `V * LANES` floats for each offset, `weights` for `O *
/// offsets.len()`, `bias` for `O`, and `output` writable for `V * LANES` floats per channel.
pub(crate) struct ForwardTile<'a, const O: usize, const V: usize> {
    pub source: *const f32,
    pub offsets: &'a [u32],
    /// `O` weights per tap.
    pub weights: *const f32,
    pub bias: *const f32,
    pub output: *mut f32,
    /// Distance between output channels.
    pub channel_stride: usize,
}

impl<const O: usize, const V: usize> Kernel for ForwardTile<'_, O, V> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: as the type's documentation asks.
        unsafe {
            let mut sums = [[S::splat(0.0); V]; O];
            for o in 0..O {
                sums[o] = [S::splat(*self.bias.add(o)); V];
            }
            let (source, offsets, weights) = (self.source, self.offsets, self.weights);
            if O == 4 && V == 3 {
                // The same type, which the compiler cannot see.
                let sums = &mut *(&raw mut sums).cast::<[[S::V; 3]; 4]>();
                S::taps_4x3(sums, source, offsets, weights);
            } else {
                taps::<S, O, V>(&mut sums, source, offsets, weights);
            }
            for o in 0..O {
                for v in 0..V {
                    S::store(
                        self.output.add(o * self.channel_stride + v * S::LANES),
                        sums[o][v],
                    );
                }
            }
        }
    }
}

/// Runs of vectors that a sum of products goes over: `rows` runs of `vectors`, `row_stride` floats apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Runs {
    pub rows: usize,
    pub vectors: usize,
    pub row_stride: usize,
}

/// Sums of `T` taps times `O` gradients over all runs: `sums[o][t] = sum over q of gradient[o][q] * source[q + offset[t]]`.
///
/// Running it is sound where all runs are readable from `source + offset` and `gradient + o * channel_stride`.
pub(crate) struct WeightTile<const T: usize, const O: usize> {
    pub source: *const f32,
    pub offsets: [usize; T],
    pub gradient: *const f32,
    /// Distance between output channels of the gradient.
    pub channel_stride: usize,
    pub runs: Runs,
}

impl<const T: usize, const O: usize> Kernel for WeightTile<T, O> {
    type Output = [[f32; T]; O];

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> [[f32; T]; O] {
        // SAFETY: as the type's documentation asks.
        unsafe {
            let mut sums = [[S::splat(0.0); T]; O];
            for row in 0..self.runs.rows {
                let mut q = row * self.runs.row_stride;
                for _ in 0..self.runs.vectors {
                    // The shorter side stays in registers while the longer streams through one.
                    if T < O {
                        let mut x = [S::splat(0.0); T];
                        for t in 0..T {
                            x[t] = S::load(self.source.add(self.offsets[t] + q));
                        }
                        for o in 0..O {
                            let g = S::load(self.gradient.add(o * self.channel_stride + q));
                            for t in 0..T {
                                sums[o][t] = S::fma(x[t], g, sums[o][t]);
                            }
                        }
                    } else {
                        let mut g = [S::splat(0.0); O];
                        for o in 0..O {
                            g[o] = S::load(self.gradient.add(o * self.channel_stride + q));
                        }
                        for t in 0..T {
                            let x = S::load(self.source.add(self.offsets[t] + q));
                            for o in 0..O {
                                sums[o][t] = S::fma(x, g[o], sums[o][t]);
                            }
                        }
                    }
                    q += S::LANES;
                }
            }
            let mut totals = [[0.0; T]; O];
            for o in 0..O {
                for t in 0..T {
                    totals[o][t] = S::sum(sums[o][t]);
                }
            }
            totals
        }
    }
}
