//! Random resized crop: a part of random size and shape is enlarged to the whole image.

use super::Rectangle;
use super::resample::{Axis, resize, to_byte};
use crate::dataset::ImageShape;
use crate::random::{Rng, below, between};

/// Maximum number of draws for a part that fits, as in torchvision.
const ATTEMPTS: usize = 10;

/// Draws the part as torchvision's `RandomResizedCrop` does: its area is uniform, the logarithm of
/// its width over its height is uniform, its place is uniform. If no part fits, it is the largest
/// one in the centre whose aspect is in the range.
///
/// Szegedy et al., "Going Deeper with Convolutions", arXiv:1409.4842, section 6.
pub(super) fn draw(
    rng: &mut impl Rng,
    shape: ImageShape,
    area: [f64; 2],
    aspect: [f64; 2],
) -> Rectangle {
    let (height, width) = (shape.height as f64, shape.width as f64);
    let logarithm = aspect.map(libm::log);
    for _ in 0..ATTEMPTS {
        let target = between(rng, area[0], area[1]) * height * width;
        let ratio = libm::exp(between(rng, logarithm[0], logarithm[1]));
        let w = (target * ratio).sqrt().round_ties_even() as usize;
        let h = (target / ratio).sqrt().round_ties_even() as usize;
        if (1..=shape.width).contains(&w) && (1..=shape.height).contains(&h) {
            let top = below(rng, (shape.height - h) as u32 + 1) as usize;
            let left = below(rng, (shape.width - w) as u32 + 1) as usize;
            return part(top, left, h, w);
        }
    }
    let whole = width / height;
    let (h, w) = if whole < aspect[0] {
        ((width / aspect[0]).round_ties_even(), width)
    } else if whole > aspect[1] {
        (height, (height * aspect[1]).round_ties_even())
    } else {
        (height, width)
    };
    let (h, w) = (
        (h as usize).clamp(1, shape.height),
        (w as usize).clamp(1, shape.width),
    );
    part((shape.height - h) / 2, (shape.width - w) / 2, h, w)
}

fn part(top: usize, left: usize, height: usize, width: usize) -> Rectangle {
    Rectangle {
        top,
        left,
        bottom: top + height,
        right: left + width,
    }
}

/// Enlarges a part to the size of the image, by bilinear interpolation within the part.
pub(super) fn apply(image: &[u8], shape: ImageShape, part: Rectangle) -> Vec<u8> {
    let rows = Axis::new(part.top, part.bottom - part.top, shape.height);
    let columns = Axis::new(part.left, part.right - part.left, shape.width);
    let plane = shape.plane();
    let (mut between, mut floats) = (Vec::new(), vec![0.0; plane]);
    let mut out = Vec::with_capacity(shape.len());
    for channel in image.chunks_exact(plane) {
        resize(
            channel,
            shape.width,
            [&rows, &columns],
            &mut between,
            &mut floats,
        );
        out.extend(floats.iter().map(|&value| to_byte(value)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    #[test]
    fn parts_have_areas_and_aspects_in_their_ranges() {
        let shape = ImageShape::new(3, 120, 160);
        let mut rng = stream(1, "test", 0);
        let (mut areas, mut logarithms) = (Vec::new(), Vec::new());
        for _ in 0..20_000 {
            let r = draw(&mut rng, shape, [0.1, 0.4], [0.5, 2.0]);
            assert!(r.bottom <= 120 && r.right <= 160);
            let (h, w) = ((r.bottom - r.top) as f64, (r.right - r.left) as f64);
            areas.push(h * w / 19_200.0);
            logarithms.push((w / h).ln());
        }
        let range = |values: &[f64]| {
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            (low, high)
        };
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        // Rounding a side of at least 31 pixels changes the area by at most 3 %.
        let (low, high) = range(&areas);
        assert!(
            low > 0.096 && low < 0.104 && high > 0.39 && high < 0.41,
            "{low} {high}"
        );
        // Every part fits, so both are uniform: six standard deviations of the mean.
        assert!((mean(&areas) - 0.25).abs() < 6.0 * 0.3 / 12_f64.sqrt() / 20_000_f64.sqrt());
        let (low, high) = range(&logarithms);
        let edge = 2_f64.ln();
        assert!(low > -edge - 0.03 && high < edge + 0.03, "{low} {high}");
        let deviation = 2.0 * edge / 12_f64.sqrt() / 20_000_f64.sqrt();
        assert!(mean(&logarithms).abs() < 6.0 * deviation + 0.001);
    }

    /// As torchvision: with these ranges nothing fits a wide image, and its centre is taken.
    #[test]
    fn without_a_part_that_fits_it_is_the_centre() {
        let mut rng = stream(1, "test", 1);
        let wide = draw(
            &mut rng,
            ImageShape::new(3, 10, 40),
            [1.0, 1.0],
            [0.75, 1.5],
        );
        assert_eq!(wide, part(0, 12, 10, 15));
        let high = draw(
            &mut rng,
            ImageShape::new(3, 40, 12),
            [1.0, 1.0],
            [0.75, 1.5],
        );
        assert_eq!(high, part(12, 0, 16, 12));
        let square = draw(&mut rng, ImageShape::new(3, 9, 9), [1.0, 1.0], [1.0, 1.0]);
        assert_eq!(square, part(0, 0, 9, 9));
    }

    #[test]
    fn the_part_fills_the_image() {
        let shape = ImageShape::new(1, 2, 4);
        let image = [1, 10, 20, 4, 5, 30, 40, 8];
        assert_eq!(apply(&image, shape, part(0, 0, 2, 4)), image);
        // Columns 10, 20 and 30, 40 become 10, 12.5, 17.5, 20 and so on, rounded.
        let out = apply(&image, shape, part(0, 1, 2, 2));
        assert_eq!(out, [10, 13, 18, 20, 30, 33, 38, 40]);
    }
}
