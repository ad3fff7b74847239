//! Resizing: bilinear interpolation when enlarging, averages of areas when shrinking.

/// Weights of one axis: output `i` is the weighted sum of `taps` source values from `first[i]` on.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    first: Vec<usize>,
    taps: usize,
    /// `taps` weights per output.
    weights: Vec<f32>,
    /// Source values from `start` on that are used.
    start: usize,
    length: usize,
}

impl Axis {
    /// Resizes the `length` source values from `start` on to `to` values. Both lengths must be at
    /// least 1.
    ///
    /// If `to` is at least `length`: linear interpolation between the centres of the pixels, which
    /// are at half-integers, and the last value beyond them (PyTorch's `bilinear` with
    /// `align_corners=False`). Otherwise: the mean over the interval that an output covers, as
    /// PyTorch's `area`, but with partly covered pixels weighted by their covered part.
    pub(crate) fn new(start: usize, length: usize, to: usize) -> Self {
        let scale = length as f64 / to as f64;
        let taps = match to >= length {
            true => 2.min(length),
            false => (scale.ceil() as usize + 1).min(length),
        };
        let mut axis = Self {
            first: Vec::with_capacity(to),
            taps,
            weights: vec![0.0; to * taps],
            start,
            length,
        };
        for (out, weights) in axis.weights.chunks_exact_mut(taps).enumerate() {
            let first = if to >= length {
                let place = ((out as f64 + 0.5) * scale - 0.5).clamp(0.0, (length - 1) as f64);
                let first = (place as usize).min(length - taps);
                let share = place - first as f64;
                weights[0] = (1.0 - share) as f32;
                if let Some(second) = weights.get_mut(1) {
                    *second = share as f32;
                }
                first
            } else {
                let (from, end) = (out as f64 * scale, (out + 1) as f64 * scale);
                let first = (from as usize).min(length - taps);
                for (tap, weight) in weights.iter_mut().enumerate() {
                    let pixel = (first + tap) as f64;
                    let covered = (pixel + 1.0).min(end) - pixel.max(from);
                    *weight = (covered.max(0.0) / scale) as f32;
                }
                first
            };
            axis.first.push(start + first);
        }
        axis
    }

    /// Number of outputs.
    pub(crate) fn len(&self) -> usize {
        self.first.len()
    }

    fn taps(&self) -> impl Iterator<Item = (usize, &[f32])> {
        self.first
            .iter()
            .copied()
            .zip(self.weights.chunks_exact(self.taps))
    }
}

/// Resizes one channel, first its rows, then its columns. `width` is the length of a source row.
/// `out` has `rows.len() * columns.len()` values. `between` is memory to reuse.
pub(crate) fn resize<S: Copy + Into<f32>>(
    source: &[S],
    width: usize,
    [rows, columns]: [&Axis; 2],
    between: &mut Vec<f32>,
    out: &mut [f32],
) {
    between.clear();
    for line in source[rows.start * width..(rows.start + rows.length) * width].chunks_exact(width) {
        between.extend(columns.taps().map(|(first, weights)| {
            let values = &line[first..first + weights.len()];
            let products = values.iter().zip(weights).map(|(&x, w)| x.into() * w);
            products.sum::<f32>()
        }));
    }
    let width = columns.len();
    for (line, (first, weights)) in out.chunks_exact_mut(width).zip(rows.taps()) {
        line.fill(0.0);
        for (tap, &weight) in weights.iter().enumerate() {
            let from = &between[(first - rows.start + tap) * width..][..width];
            for (out, &value) in line.iter_mut().zip(from) {
                *out += value * weight;
            }
        }
    }
}

/// Rounds to the nearest pixel value.
pub(crate) fn to_byte(value: f32) -> u8 {
    // The conversion cuts off the fraction and limits to 0 and 255.
    (value + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resized(source: &[f32], axis: &Axis) -> Vec<f32> {
        let one = Axis::new(0, 1, 1);
        let mut out = vec![f32::NAN; axis.len()];
        resize(
            source,
            source.len(),
            [&one, axis],
            &mut Vec::new(),
            &mut out,
        );
        out
    }

    /// `torch.nn.functional.interpolate(torch.tensor([[[1., 3., 9.]]]), 6, mode="linear")`.
    #[test]
    fn enlarging_interpolates_between_the_centres() {
        let out = resized(&[1.0, 3.0, 9.0], &Axis::new(0, 3, 6));
        assert_eq!(out, [1.0, 1.5, 2.5, 4.5, 7.5, 9.0]);
        assert_eq!(resized(&[5.0], &Axis::new(0, 1, 3)), [5.0; 3]);
        // Only the part from 1 on; what is beyond its edge is not seen.
        assert_eq!(
            resized(&[100.0, 1.0, 3.0, 100.0], &Axis::new(1, 2, 4)),
            [1.0, 1.5, 2.5, 3.0]
        );
    }

    #[test]
    fn shrinking_averages_what_an_output_covers() {
        assert_eq!(
            resized(&[1.0, 3.0, 5.0, 7.0], &Axis::new(0, 4, 2)),
            [2.0, 6.0]
        );
        // Each output covers one and a half pixels: (1 + 0.5 * 4) / 1.5 and (0.5 * 4 + 7) / 1.5.
        let out = resized(&[1.0, 4.0, 7.0], &Axis::new(0, 3, 2));
        assert!(
            (out[0] - 2.0).abs() < 1e-5 && (out[1] - 6.0).abs() < 1e-5,
            "{out:?}"
        );
    }

    #[test]
    fn the_same_size_changes_nothing_and_weights_sum_to_one() {
        let values = [4.0, 8.0, 15.0, 16.0, 23.0];
        assert_eq!(resized(&values, &Axis::new(0, 5, 5)), values);
        for (length, to) in [(32, 24), (32, 31), (128, 17), (7, 32), (1, 9), (9, 1)] {
            let axis = Axis::new(0, length, to);
            for (first, weights) in axis.taps() {
                let sum: f32 = weights.iter().sum();
                assert!((sum - 1.0).abs() < 1e-6, "{length} to {to}: {sum}");
                assert!(first + weights.len() <= length);
            }
        }
    }

    #[test]
    fn rows_and_columns_are_resized_independently() {
        // A plane x + 10 y stays one under averaging: 4 x 4 to 2 x 2.
        let source: Vec<u8> = (0..16).map(|i| i % 4 + 10 * (i / 4)).collect();
        let axis = Axis::new(0, 4, 2);
        let mut out = [0.0; 4];
        resize(&source, 4, [&axis, &axis], &mut Vec::new(), &mut out);
        assert_eq!(out, [5.5, 7.5, 25.5, 27.5]);
        assert_eq!(
            [0.4, 0.5, 254.6, 300.0, -3.0].map(to_byte),
            [0, 1, 255, 255, 0]
        );
    }
}
