//! Resizes parts of images with a triangular filter.
//!
//! A new pixel is a weighted mean. Its weights fall linearly from its centre: to zero at a distance
//! of one old pixel when enlarging (bilinear interpolation), and of one new pixel when shrinking.
//! PIL, and with it torchvision, call this `BILINEAR`. The arithmetic is in single precision and in
//! the order of `image::imageops::resize`, so the pixels are equal to the ones it returns, but only
//! the rows and columns of the part are read, and a row is processed at once.

use image::RgbImage;

/// A rectangle in an image, in pixels; it must be within the image and not be empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Area {
    /// All of an image.
    pub(super) fn whole(image: &RgbImage) -> Self {
        Self {
            left: 0,
            top: 0,
            width: image.width(),
            height: image.height(),
        }
    }
}

/// Resizes a part of an image to `width` x `height` pixels.
pub(super) fn scale(image: &RgbImage, area: Area, width: u32, height: u32) -> RgbImage {
    let (old_width, new_width) = (area.width as usize, width as usize);
    let stride = CHANNELS * image.width() as usize;
    let first_row = area.top as usize * stride + CHANNELS * area.left as usize;
    let row = |index: usize| &image.as_raw()[first_row + index * stride..][..CHANNELS * old_width];
    let mut pixels = Vec::with_capacity(CHANNELS * new_width * height as usize);
    if (area.width, area.height) == (width, height) {
        (0..height as usize).for_each(|index| pixels.extend_from_slice(row(index)));
    } else {
        let columns = axis(area.width, width);
        let mut sums = vec![0.0_f32; CHANNELS * old_width];
        for rows in axis(area.height, height) {
            sums.fill(0.0);
            for (index, weight) in (rows.first..).zip(&rows.weights) {
                for (sum, &value) in sums.iter_mut().zip(row(index)) {
                    *sum += f32::from(value) * weight;
                }
            }
            let (sums, _) = sums.as_chunks::<CHANNELS>();
            for taps in &columns {
                pixels.extend_from_slice(&taps.mean(sums));
            }
        }
    }
    RgbImage::from_raw(width, height, pixels).unwrap_or_default()
}

const CHANNELS: usize = 3;

/// The old pixels of one axis in a new one.
struct Taps {
    first: usize,
    /// They add up to one.
    weights: Vec<f32>,
}

impl Taps {
    /// The new pixel of a row.
    fn mean(&self, row: &[[f32; CHANNELS]]) -> [u8; CHANNELS] {
        let [mut r, mut g, mut b] = [0.0_f32; CHANNELS];
        for (pixel, weight) in row[self.first..].iter().zip(&self.weights) {
            r += pixel[0] * weight;
            g += pixel[1] * weight;
            b += pixel[2] * weight;
        }
        // The conversion limits to 0 and 255.
        [r, g, b].map(|sum| sum.round() as u8)
    }
}

/// The weights of an axis of `old` pixels that gets `new` ones.
fn axis(old: u32, new: u32) -> Vec<Taps> {
    let ratio = old as f32 / new as f32;
    let radius = ratio.max(1.0);
    let taps = |index: u32| {
        let centre = (index as f32 + 0.5) * ratio;
        let first = ((centre - radius).floor() as i64).clamp(0, i64::from(old) - 1);
        let end = ((centre + radius).ceil() as i64).clamp(first + 1, i64::from(old));
        let triangle = |pixel: i64| {
            let distance = ((pixel as f32 - (centre - 0.5)) / radius).abs();
            (1.0 - distance).max(0.0)
        };
        let mut weights: Vec<f32> = (first..end).map(triangle).collect();
        let sum: f32 = weights.iter().fold(0.0, |sum, weight| sum + weight);
        weights.iter_mut().for_each(|weight| *weight /= sum);
        Taps {
            first: first as usize,
            weights,
        }
    };
    (0..new).map(taps).collect()
}

#[cfg(test)]
mod tests {
    use image::imageops::{self, FilterType};
    use proptest::prelude::*;

    use super::*;

    /// An image with all values, large steps between neighbours and flat parts.
    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let mixed = (x / 3 * 7919 + y * 104_729) ^ (x * y);
            image::Rgb([mixed as u8, (mixed >> 5) as u8, if x > y { 255 } else { 0 }])
        })
    }

    proptest! {
        #[test]
        fn the_pixels_are_those_of_the_image_crate(
            (width, height) in (1_u32..90, 1_u32..90),
            (left, top) in (0_u32..20, 0_u32..20),
            (new_width, new_height) in (1_u32..70, 1_u32..70),
        ) {
            let image = picture(width + left + 3, height + top + 2);
            let part = imageops::crop_imm(&image, left, top, width, height).to_image();
            let expected = imageops::resize(&part, new_width, new_height, FilterType::Triangle);
            let area = Area { left, top, width, height };
            prop_assert_eq!(scale(&image, area, new_width, new_height), expected);
        }
    }

    #[test]
    fn photos_shrink_to_the_pixels_of_the_image_crate() {
        let image = picture(400, 300);
        let part = imageops::crop_imm(&image, 50, 0, 300, 300).to_image();
        let area = Area {
            left: 50,
            top: 0,
            width: 300,
            height: 300,
        };
        let expected = imageops::resize(&part, 64, 64, FilterType::Triangle);
        assert_eq!(scale(&image, area, 64, 64), expected);
    }
}
