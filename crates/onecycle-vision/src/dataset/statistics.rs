//! Mean and standard deviation per channel, and the normalisation of pixels with them.

use serde::{Deserialize, Serialize};

use super::{ImageShape, Split};
use crate::error::DataError;

/// Mean and standard deviation of each channel, in units of 0 (black) to 1 (full intensity).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Mean of each channel.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel over all `n` pixels, divided by `n`. 0 for a constant
    /// channel.
    pub std: Vec<f32>,
}

impl Statistics {
    /// Statistics of all pixels of a split.
    ///
    /// The sums are integers, so the result depends neither on the order of the images nor on the
    /// machine. An empty split has mean 0 and standard deviation 1.
    pub fn of(split: &Split) -> Self {
        let shape = split.shape();
        let pixels = (split.len() * shape.plane()) as u128;
        if pixels == 0 {
            return Self {
                mean: vec![0.0; shape.channels],
                std: vec![1.0; shape.channels],
            };
        }
        let mut sums = vec![0_u64; shape.channels];
        let mut squares = vec![0_u64; shape.channels];
        for image in split.images() {
            for (channel, plane) in image.chunks_exact(shape.plane()).enumerate() {
                for row in plane.chunks(ROW) {
                    // The sums of a row fit into 32 bits, which is several times faster than 64.
                    let (mut sum, mut square) = (0_u32, 0_u32);
                    for &value in row {
                        sum += u32::from(value);
                        square += u32::from(value) * u32::from(value);
                    }
                    sums[channel] += u64::from(sum);
                    squares[channel] += u64::from(square);
                }
            }
        }
        let scale = 1.0 / (pixels as f64 * 255.0);
        let deviation = |(&sum, &square): (&u64, &u64)| {
            let (sum, square) = (u128::from(sum), u128::from(square));
            ((pixels * square - sum * sum) as f64).sqrt() * scale
        };
        Self {
            mean: sums
                .iter()
                .map(|&sum| (sum as f64 * scale) as f32)
                .collect(),
            std: sums
                .iter()
                .zip(&squares)
                .map(|pair| deviation(pair) as f32)
                .collect(),
        }
    }

    /// One table per channel: the normalised value of each of the 256 pixel values,
    /// `(value / 255 - mean) / std`, computed in f64 and rounded once.
    ///
    /// In a constant channel (standard deviation 0) only the mean is subtracted, to avoid a
    /// division by 0.
    ///
    /// # Errors
    /// [`DataError::Setting`] if the number of channels differs from that of `shape`, if a value is
    /// infinite or NaN, or if a standard deviation is negative.
    pub fn tables(&self, shape: ImageShape) -> Result<Vec<[f32; 256]>, DataError> {
        if self.mean.len() != shape.channels || self.std.len() != shape.channels {
            return Err(DataError::Setting {
                key: "statistics",
                value: format!(
                    "{} means and {} deviations",
                    self.mean.len(),
                    self.std.len()
                ),
                expected: format!(
                    "one of each for the {} channels of the images",
                    shape.channels
                ),
            });
        }
        let table = |(&mean, &std): (&f32, &f32)| {
            for (key, value, valid) in [
                ("mean", mean, mean.is_finite()),
                ("std", std, std.is_finite() && std >= 0.0),
            ] {
                if !valid {
                    let expected = "a finite number, and 0 or above for a deviation".to_owned();
                    return Err(DataError::Setting {
                        key,
                        value: value.to_string(),
                        expected,
                    });
                }
            }
            let (mean, std) = (
                f64::from(mean),
                if std > 0.0 { f64::from(std) } else { 1.0 },
            );
            Ok(std::array::from_fn(|value| {
                ((value as f64 / 255.0 - mean) / std) as f32
            }))
        };
        self.mean.iter().zip(&self.std).map(table).collect()
    }
}

/// Number of values whose squares can be summed in 32 bits: 2¹⁵ · 255² < 2³².
const ROW: usize = 1 << 15;

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;

    #[test]
    fn agree_with_the_definition() {
        let shape = ImageShape::new(2, 1, 2);
        // Channel 0: 0 255 51 102; channel 1: 7 7 7 7.
        let split = Split::new(shape, vec![0, 255, 7, 7, 51, 102, 7, 7], vec![0, 1]).unwrap();
        let statistics = Statistics::of(&split);
        let values = [0.0, 1.0, 0.2, 0.4_f64];
        let mean = values.iter().sum::<f64>() / 4.0;
        let std = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 4.0).sqrt();
        assert_eq!(statistics.mean, [mean as f32, (7.0 / 255.0) as f32]);
        assert_eq!(statistics.std, [std as f32, 0.0]);
    }

    #[test]
    fn large_planes_do_not_overflow() {
        let shape = ImageShape::new(1, 300, 300);
        let split = Split::new(shape, vec![255; 2 * shape.len()], vec![0, 1]).unwrap();
        assert_eq!(
            Statistics::of(&split),
            Statistics {
                mean: vec![1.0],
                std: vec![0.0]
            }
        );
    }

    #[test]
    fn tables_normalise() {
        let shape = ImageShape::new(2, 1, 1);
        let statistics = Statistics {
            mean: vec![0.5, 0.2],
            std: vec![0.25, 0.0],
        };
        let tables = statistics.tables(shape).unwrap();
        assert_eq!((tables[0][0], tables[0][255]), (-2.0, 2.0));
        assert_eq!(
            tables[1][51],
            ((51.0 / 255.0) - f64::from(0.2_f32)) as f32,
            "shifted only"
        );
        assert!(statistics.tables(ImageShape::new(3, 1, 1)).is_err());
        for bad in [f32::NAN, -1.0, f32::INFINITY] {
            let statistics = Statistics {
                mean: vec![0.0],
                std: vec![bad],
            };
            assert!(
                statistics.tables(ImageShape::new(1, 1, 1)).is_err(),
                "{bad}"
            );
        }
    }
}
