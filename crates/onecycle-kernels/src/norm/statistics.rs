//! Mean and variance of each channel.

use crate::channels::{Pixels, Term};
use crate::error::KernelError;
use crate::parallel::for_chunks;
use crate::simd::{Loops, Path, vectorised};

/// Mean and biased variance of each channel, `[channels]` each.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Mean.
    pub mean: Vec<f32>,
    /// `Σ(x - mean)²/n`.
    pub variance: Vec<f32>,
}

/// Mean and variance of each channel.
///
/// # Errors
/// A slice does not fit the shape.
pub fn batch_norm_statistics(
    path: Path,
    shape: &Pixels,
    input: &[f32],
) -> Result<Statistics, KernelError> {
    shape.check("input", input)?;
    let mut moments = Moments::new(shape, shape.piece());
    for_chunks(
        &mut moments.partial,
        2 * shape.channels,
        |index, moments| {
            let start = index * shape.piece();
            let piece = &input[start..input.len().min(start + shape.piece())];
            add_moments(path, shape.channels, piece, moments);
        },
    );
    Ok(moments.total())
}

/// Moments of the pieces of an input, to be put together.
///
/// Sums are taken of `x - k`, with `k` the channel's first value in the piece, so that a mean far from 0 costs no digits.
pub(crate) struct Moments {
    shape: Pixels,
    /// Elements of a piece but the last, which may be shorter.
    piece: usize,
    /// For each piece mean and `Σ(x - mean)²`, `[pieces, 2, channels]`.
    pub partial: Vec<f64>,
}

impl Moments {
    pub(crate) fn new(shape: &Pixels, piece: usize) -> Self {
        let pieces = (shape.count * shape.channels).div_ceil(piece);
        Moments {
            shape: *shape,
            piece,
            partial: vec![0.0; pieces * 2 * shape.channels],
        }
    }

    /// Mean and variance over all pieces (Chan, Golub & LeVeque 1983), in their order.
    pub(crate) fn total(&self) -> Statistics {
        let channels = self.shape.channels;
        let (mut mean, mut squares) = (vec![0.0; channels], vec![0.0; channels]);
        let mut count = 0.0;
        for (index, piece) in self.partial.chunks_exact(2 * channels).enumerate() {
            let pixels = self.piece / channels;
            let more = pixels.min(self.shape.count - index * pixels) as f64;
            let all = count + more;
            for c in 0..channels {
                let difference = piece[c] - mean[c];
                mean[c] += difference * more / all;
                squares[c] += piece[channels + c] + difference * difference * count * more / all;
            }
            count = all;
        }
        Statistics {
            mean: mean.into_iter().map(|mean| mean as f32).collect(),
            variance: squares
                .into_iter()
                .map(|square| (square / count).max(0.0) as f32)
                .collect(),
        }
    }
}

/// Mean and `Σ(x - mean)²` of a piece, `[2, channels]`; `moments` holds zeros before.
pub(crate) fn add_moments(path: Path, channels: usize, piece: &[f32], moments: &mut [f64]) {
    vectorised(
        path,
        PieceMoments {
            shape: Pixels {
                count: piece.len() / channels,
                channels,
            },
            piece,
            moments,
        },
    );
}

/// See [`add_moments`].
struct PieceMoments<'a> {
    shape: Pixels,
    piece: &'a [f32],
    moments: &'a mut [f64],
}

impl Loops for PieceMoments<'_> {
    #[inline(always)]
    fn run(self) {
        let channels = self.shape.channels;
        let first = &self.piece[..channels];
        let shifts = self.shape.repeated(first);
        self.shape
            .add_piece(self.piece, self.piece, self.moments, Shifted(&shifts));
        let n = self.shape.count as f64;
        let (sums, squares) = self.moments.split_at_mut(channels);
        for ((sum, square), k) in sums.iter_mut().zip(squares).zip(first) {
            *square -= *sum * *sum / n;
            *sum = f64::from(*k) + *sum / n;
        }
    }
}

/// `x - k` and its square.
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
