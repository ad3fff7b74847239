//! Mean and variance of each channel.
//!
//! Each chunk is summed on its own (see [`crate::channels`]), and the chunks' moments are merged by
//! the formula of Chan, Golub & LeVeque (1983). A chunk sums `x - k`, where `k` is the channel's
//! first value in the chunk, so that a mean far from 0 costs no precision.

use crate::channels::{Pixels, Term};
use crate::error::KernelError;
use crate::kernels::Kernels;
use crate::parallel::for_chunks;
use crate::simd::{Isa, PlainLoops, vectorised};

/// Mean and biased variance of each channel, `[channels]` each. In double precision, because the
/// backward pass subtracts the mean from every element: rounded to single precision it would move them
/// all in one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Mean.
    pub mean: Vec<f64>,
    /// Biased variance `Σ(x - mean)²/n`.
    pub variance: Vec<f64>,
}

/// # Batch statistics
impl Kernels {
    /// Computes mean and biased variance of each channel.
    ///
    /// # Errors
    /// The length of `input` differs from the shape.
    pub fn batch_norm_statistics(
        &self,
        pixels: &Pixels,
        input: &[f32],
    ) -> Result<Statistics, KernelError> {
        pixels.check("input", input)?;
        let mut moments = Moments::new(pixels, pixels.chunk());
        for_chunks(
            &mut moments.partial,
            2 * pixels.channels,
            |index, moments| {
                let start = index * pixels.chunk();
                let chunk = &input[start..input.len().min(start + pixels.chunk())];
                add_moments(self.isa, pixels.channels, chunk, moments);
            },
        );
        Ok(moments.total())
    }
}

/// Moments of the chunks of an input.
pub(crate) struct Moments {
    pixels: Pixels,
    /// Elements per chunk; the last chunk may be shorter.
    chunk: usize,
    /// Mean and `Σ(x - mean)²` of each chunk, `[chunks, 2, channels]`.
    pub partial: Vec<f64>,
}

impl Moments {
    pub(crate) fn new(pixels: &Pixels, chunk: usize) -> Self {
        let chunks = (pixels.count * pixels.channels).div_ceil(chunk);
        Moments {
            pixels: *pixels,
            chunk,
            partial: vec![0.0; chunks * 2 * pixels.channels],
        }
    }

    /// Mean and variance over all chunks, merged in order.
    pub(crate) fn total(&self) -> Statistics {
        let channels = self.pixels.channels;
        let (mut mean, mut squares) = (vec![0.0; channels], vec![0.0; channels]);
        let mut count = 0.0;
        for (index, chunk) in self.partial.chunks_exact(2 * channels).enumerate() {
            let pixels = self.chunk / channels;
            let more = pixels.min(self.pixels.count - index * pixels) as f64;
            let all = count + more;
            for c in 0..channels {
                let difference = chunk[c] - mean[c];
                mean[c] += difference * more / all;
                squares[c] += chunk[channels + c] + difference * difference * count * more / all;
            }
            count = all;
        }
        Statistics {
            mean,
            variance: squares
                .into_iter()
                .map(|square| (square / count).max(0.0))
                .collect(),
        }
    }
}

/// Computes mean and `Σ(x - mean)²` of a chunk, `[2, channels]`. `moments` must be zero before.
pub(crate) fn add_moments(isa: Isa, channels: usize, chunk: &[f32], moments: &mut [f64]) {
    vectorised(
        isa,
        ChunkMoments {
            pixels: Pixels {
                count: chunk.len() / channels,
                channels,
            },
            chunk,
            moments,
        },
    );
}

/// See [`add_moments`].
struct ChunkMoments<'a> {
    pixels: Pixels,
    chunk: &'a [f32],
    moments: &'a mut [f64],
}

impl PlainLoops for ChunkMoments<'_> {
    #[inline(always)]
    fn run(self) {
        let channels = self.pixels.channels;
        let first = &self.chunk[..channels];
        let shifts = self.pixels.repeated(first);
        self.pixels
            .add_chunk(self.chunk, self.chunk, self.moments, Shifted(&shifts));
        let n = self.pixels.count as f64;
        let (sums, squares) = self.moments.split_at_mut(channels);
        for ((sum, square), k) in sums.iter_mut().zip(squares).zip(first) {
            *square -= *sum * *sum / n;
            *sum = f64::from(*k) + *sum / n;
        }
    }
}

/// The terms `x - k` and `(x - k)²`.
struct Shifted<'a>(&'a [f32]);

impl Term for Shifted<'_> {
    #[inline(always)]
    fn add(&self, column: usize, first: &[f32], _: &[f32], left: &mut [f32], right: &mut [f32]) {
        let shifts = &self.0[column..][..first.len()];
        for (((x, k), sum), square) in first.iter().zip(shifts).zip(left).zip(right) {
            let d = x - k;
            *sum += d;
            *square += d * d;
        }
    }
}
