//! Images of a data set as PNG, for reports.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use crate::dataset::ImageShape;
use crate::error::DataError;

/// Returns an image as a PNG file: grey for 1 channel, red, green and blue for 3.
///
/// `image` is `[channel, row, column]` of `shape`, as [`Split::image`](crate::Split::image) returns
/// it. The picture has one pixel per pixel of the image. Equal images give equal bytes.
///
/// # Errors
/// [`DataError::Picture`] if `image` does not fit `shape`, or if the image has no pixel or neither 1
/// nor 3 channels.
pub fn png(image: &[u8], shape: ImageShape) -> Result<Vec<u8>, DataError> {
    grid(&[image], shape, 1)
}

/// Returns images side by side as one PNG file, `columns` per row and without gaps.
///
/// Image `i` is in row `i / columns` and column `i % columns`. Each is `[channel, row, column]` of
/// `shape`. Cells of the last row without an image are white.
///
/// # Errors
/// [`DataError::Picture`] if there is no image or no column, if an image does not fit `shape`, or if
/// the images have no pixel or neither 1 nor 3 channels.
pub fn grid(images: &[&[u8]], shape: ImageShape, columns: usize) -> Result<Vec<u8>, DataError> {
    let failed = |reason: String| DataError::Picture {
        shape: shape.to_string(),
        reason,
    };
    let colour = match shape.channels {
        1 => ExtendedColorType::L8,
        3 => ExtendedColorType::Rgb8,
        channels => {
            return Err(failed(format!(
                "{channels} channels; a picture has 1 (grey) or 3 (red, green, blue)"
            )));
        }
    };
    if shape.is_empty() || images.is_empty() || columns == 0 {
        return Err(failed("it would have no pixel".to_owned()));
    }
    if let Some(image) = images.iter().find(|image| image.len() != shape.len()) {
        return Err(failed(format!(
            "an image of {} bytes instead of {}",
            image.len(),
            shape.len()
        )));
    }
    let columns = columns.min(images.len());
    let width = columns * shape.width;
    let height = images.len().div_ceil(columns) * shape.height;
    let mut pixels = vec![255_u8; width * height * shape.channels];
    for (index, image) in images.iter().enumerate() {
        let (top, left) = (
            index / columns * shape.height,
            index % columns * shape.width,
        );
        for row in 0..shape.height {
            let start = ((top + row) * width + left) * shape.channels;
            let out = &mut pixels[start..start + shape.width * shape.channels];
            interleave(image, shape, row, out);
        }
    }
    let size = |side: usize| u32::try_from(side).map_err(|_| failed("too large".to_owned()));
    let mut file = Vec::new();
    PngEncoder::new_with_quality(&mut file, CompressionType::Default, FilterType::Adaptive)
        .write_image(&pixels, size(width)?, size(height)?, colour)
        .map_err(|error| failed(error.to_string()))?;
    Ok(file)
}

/// Writes one row of an image `[channel, row, column]` as `[column, channel]`.
fn interleave(image: &[u8], shape: ImageShape, row: usize, out: &mut [u8]) {
    for channel in 0..shape.channels {
        let values = &image[channel * shape.plane() + row * shape.width..][..shape.width];
        for (&value, pixel) in values.iter().zip(out.chunks_exact_mut(shape.channels)) {
            pixel[channel] = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(file: &[u8]) -> image::DynamicImage {
        image::load_from_memory_with_format(file, image::ImageFormat::Png).unwrap()
    }

    #[test]
    fn a_colour_image_keeps_its_pixels() {
        // 1 row, 2 columns: red planes 1 2, green 3 4, blue 5 6.
        let file = png(&[1, 2, 3, 4, 5, 6], ImageShape::new(3, 1, 2)).unwrap();
        let picture = decode(&file);
        assert_eq!((picture.width(), picture.height()), (2, 1));
        assert!(matches!(picture, image::DynamicImage::ImageRgb8(_)));
        assert_eq!(picture.into_rgb8().into_raw(), [1, 3, 5, 2, 4, 6]);
    }

    #[test]
    fn a_grey_image_stays_grey() {
        let file = png(&[7, 8, 9, 10, 11, 12], ImageShape::new(1, 3, 2)).unwrap();
        let picture = decode(&file);
        assert_eq!((picture.width(), picture.height()), (2, 3));
        assert!(matches!(picture, image::DynamicImage::ImageLuma8(_)));
        assert_eq!(picture.into_luma8().into_raw(), [7, 8, 9, 10, 11, 12]);
    }

    #[test]
    fn a_grid_fills_rows_first_and_leaves_the_rest_white() {
        let shape = ImageShape::new(1, 1, 2);
        let images: [&[u8]; 3] = [&[1, 2], &[3, 4], &[5, 6]];
        let picture = decode(&grid(&images, shape, 2).unwrap()).into_luma8();
        assert_eq!((picture.width(), picture.height()), (4, 2));
        assert_eq!(picture.into_raw(), [1, 2, 3, 4, 5, 6, 255, 255]);
        // No more columns than images.
        assert_eq!(decode(&grid(&images, shape, 9).unwrap()).width(), 6);
    }

    #[test]
    fn images_that_are_no_picture_are_refused() {
        let message = |image: &[u8], shape| png(image, shape).unwrap_err().to_string();
        let two = message(&[0; 8], ImageShape::new(2, 2, 2));
        assert!(two.contains("2 channels"), "{two}");
        let short = message(&[0; 3], ImageShape::new(1, 2, 2));
        assert!(short.contains("3 bytes instead of 4"), "{short}");
        let empty = message(&[], ImageShape::new(1, 0, 2));
        assert!(empty.contains("no pixel"), "{empty}");
        assert!(grid(&[], ImageShape::new(1, 1, 1), 3).is_err());
        assert!(grid(&[&[0]], ImageShape::new(1, 1, 1), 0).is_err());
    }
}
