//! Small pictures of images.

use onecycle_vision::{DataError, ImageShape, picture};

/// Longest side of a thumbnail, in pixels.
const LONGEST: usize = 128;

/// An image as a PNG of at most [`LONGEST`] pixels in both directions, or as it is if it has other
/// channels than a picture.
///
/// Larger images are reduced by a whole factor; each pixel is the mean of a square. Columns and rows
/// that do not fill a square are left out.
pub(super) fn png(image: &[u8], shape: ImageShape) -> Result<Vec<u8>, DataError> {
    let factor = shape.height.max(shape.width).div_ceil(LONGEST).max(1);
    // A long, narrow image keeps at least one row or column.
    let [down, across] = [shape.height, shape.width].map(|side| factor.min(side.max(1)));
    let small = ImageShape::new(shape.channels, shape.height / down, shape.width / across);
    if (down, across) == (1, 1) {
        return picture::png(image, shape);
    }
    let mut pixels = Vec::with_capacity(small.len());
    for plane in image.chunks_exact(shape.plane()) {
        for row in 0..small.height {
            for column in 0..small.width {
                let rows = plane.chunks_exact(shape.width).skip(row * down).take(down);
                let square = rows.flat_map(|row| &row[column * across..(column + 1) * across]);
                let sum: usize = square.map(|value| usize::from(*value)).sum();
                let count = down * across;
                pixels.push(((sum + count / 2) / count) as u8);
            }
        }
    }
    picture::png(&pixels, small)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn large_images_are_averaged() {
        // 2 rows of 300 columns, factor 3: the rows are fewer than the factor.
        let shape = ImageShape::new(1, 2, 300);
        let row: Vec<u8> = (0..300).map(|i| (i / 3) as u8).collect();
        let image = [row.clone(), row.iter().map(|value| value + 2).collect()].concat();
        let expected: Vec<u8> = (0..100).map(|value| value + 1).collect();
        let small = ImageShape::new(1, 1, 100);
        assert_eq!(
            png(&image, shape).unwrap(),
            picture::png(&expected, small).unwrap()
        );
    }

    #[test]
    fn small_images_are_kept() {
        let shape = ImageShape::new(3, 2, 2);
        let image: Vec<u8> = (0..12).collect();
        assert_eq!(
            png(&image, shape).unwrap(),
            picture::png(&image, shape).unwrap()
        );
    }
}
