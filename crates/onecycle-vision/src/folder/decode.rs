//! Decodes image files to bytes of one size.

use std::path::Path;

use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits, RgbImage};
use rayon::prelude::*;

use super::Decoded;
use super::scan::Tree;
use crate::dataset::ImageShape;
use crate::error::DataError;

/// Longest side of an image that is accepted.
const LONGEST_SIDE: u32 = 16_384;
/// Memory limit for one decoded image, in bytes.
const LARGEST_IMAGE: u64 = 512 << 20;

/// Decodes all images of a tree in parallel. The error names the first unreadable file.
pub(super) fn decode_all(tree: &Tree, shape: ImageShape) -> Result<Decoded, DataError> {
    let mut images = vec![0; tree.files.len() * shape.len()];
    let failures: Vec<(&Path, String)> = images
        .par_chunks_exact_mut(shape.len())
        .zip(&tree.files)
        .filter_map(|(out, file)| match decode(&file.path, shape.height) {
            Ok(image) => {
                write_planes(&image, out);
                None
            }
            Err(error) => Some((file.path.as_path(), reason(&error))),
        })
        .collect();
    if let Some((path, reason)) = failures.first() {
        return Err(DataError::Image {
            path: path.to_path_buf(),
            reason: reason.clone(),
            others: failures.len() - 1,
        });
    }
    Ok(Decoded {
        labels: tree.files.iter().map(|file| file.label).collect(),
        images,
    })
}

/// Decodes one image file to bytes `[channel, row, column]`: its central square, resized to
/// `shape`, which must be square. With one channel, the grey value has the weights of ITU-R BT.601.
pub(super) fn decode_one(path: &Path, shape: ImageShape) -> Result<Vec<u8>, DataError> {
    let image = decode(path, shape.height).map_err(|error| DataError::Image {
        path: path.to_path_buf(),
        reason: reason(&error),
        others: 0,
    })?;
    if shape.channels == 1 {
        let weigh = |[r, g, b]: [u8; 3]| {
            let sum = 299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b);
            // The weights add up to 1000, so the rounded mean is at most 255.
            ((sum + 500) / 1000) as u8
        };
        return Ok(image.pixels().map(|pixel| weigh(pixel.0)).collect());
    }
    let mut planes = vec![0; shape.len()];
    write_planes(&image, &mut planes);
    Ok(planes)
}

/// The central square of an image, resized to `size` x `size` pixels.
fn decode(path: &Path, size: usize) -> Result<RgbImage, ImageError> {
    // The contents decide the format, because the name may be wrong.
    let mut reader = ImageReader::open(path)?.with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(LONGEST_SIDE);
    limits.max_image_height = Some(LONGEST_SIDE);
    limits.max_alloc = Some(LARGEST_IMAGE);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    limits.reserve(decoder.total_bytes())?;
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    let image = image.into_rgb8();
    let side = image.width().min(image.height());
    let (left, top) = ((image.width() - side) / 2, (image.height() - side) / 2);
    // Crop before resizing: a very long image would become enormous otherwise.
    let square = imageops::crop_imm(&image, left, top, side, side);
    if side as usize == size {
        return Ok(square.to_image());
    }
    // Linear interpolation over the area of each new pixel, as in PIL and torchvision.
    Ok(imageops::resize(
        &*square,
        size as u32,
        size as u32,
        FilterType::Triangle,
    ))
}

/// `[row, column, channel]` to `[channel, row, column]`.
fn write_planes(image: &RgbImage, out: &mut [u8]) {
    let plane = out.len() / 3;
    for (index, pixel) in image.pixels().enumerate() {
        for (channel, &value) in pixel.0.iter().enumerate() {
            out[channel * plane + index] = value;
        }
    }
}

/// A short reason for the error message.
fn reason(error: &ImageError) -> String {
    match error {
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "cut off".to_owned()
        }
        ImageError::Unsupported(_) => "of another format".to_owned(),
        // The messages of some decoders have several lines.
        error => error
            .to_string()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" "),
    }
}
