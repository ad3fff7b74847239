//! Decodes image files to bytes of one size.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::imageops;
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits, RgbImage};
use rayon::prelude::*;

use super::scale::{Area, scale};
use super::scan::ImageFile;
use super::{Decoded, FileFacts, Resize, formats};
use crate::dataset::ImageShape;
use crate::error::DataError;
use crate::files::Sha256Writer;

/// Longest side of an image that is accepted.
const LONGEST_SIDE: u32 = 16_384;
/// Memory limit for one decoded image, in bytes.
const LARGEST_IMAGE: u64 = 512 << 20;

/// The images that the network takes, and how others become such images.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    /// Height and width in pixels.
    pub(super) height: u32,
    pub(super) width: u32,
    pub(super) resize: Resize,
    /// Colour behind transparent pixels and around padded images: red, green, blue.
    pub(super) background: [u8; 3],
}

/// An image file that cannot be read.
#[derive(Debug)]
pub(super) struct Failure {
    /// Index in the list of files.
    pub(super) index: usize,
    pub(super) reason: String,
}

/// Decodes files in parallel. Pixels and facts of a file that fails are zeros.
pub(super) fn decode_all(files: &[ImageFile], target: Target) -> (Decoded, Vec<Failure>) {
    let length = 3 * (target.height * target.width) as usize;
    let mut images = vec![0; files.len() * length];
    let mut facts = vec![FileFacts::default(); files.len()];
    let mut failures: Vec<Failure> = images
        .par_chunks_exact_mut(length)
        .zip(&mut facts)
        .zip(files)
        .enumerate()
        .filter_map(
            |(index, ((out, facts), file))| match decode(&file.path, target) {
                Ok((image, found)) => {
                    write_planes(&image, out);
                    *facts = found;
                    None
                }
                Err(reason) => Some(Failure { index, reason }),
            },
        )
        .collect();
    failures.sort_by_key(|failure| failure.index);
    let labels = files.iter().map(|file| file.label).collect();
    let decoded = Decoded {
        labels,
        images,
        facts,
    };
    (decoded, failures)
}

/// Decodes one image file to bytes `[channel, row, column]` of `shape`. With one channel, the grey
/// value has the weights of ITU-R BT.601.
pub(super) fn decode_one(
    path: &Path,
    shape: ImageShape,
    target: Target,
) -> Result<Vec<u8>, DataError> {
    let (image, _) = decode(path, target).map_err(|reason| DataError::Image {
        path: path.to_path_buf(),
        reason,
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

/// Decodes a file and resizes it. The error is a reason in a few words.
fn decode(path: &Path, target: Target) -> Result<(RgbImage, FileFacts), String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    if bytes.is_empty() {
        return Err("empty".to_owned());
    }
    // The contents decide the format, because the name may be wrong.
    let format = formats::name(&bytes).ok_or("of another format")?;
    if format == "JPEG" && !formats::jpeg_is_complete(&bytes) {
        return Err("cut off".to_owned());
    }
    let image = decode_bytes(&bytes, target.background).map_err(|error| reason(&error))?;
    let facts = FileFacts {
        width: image.width(),
        height: image.height(),
        format,
        checksum: checksum(&bytes),
    };
    Ok((resize(image, target), facts))
}

/// The first 16 bytes of the SHA-256 of a file.
fn checksum(bytes: &[u8]) -> [u8; 16] {
    let mut hash = Sha256Writer::default();
    hash.update(bytes);
    let digits = hash.finish();
    let byte = |index: usize| u8::from_str_radix(&digits[2 * index..2 * index + 2], 16);
    std::array::from_fn(|index| byte(index).unwrap_or_default())
}

/// Decodes an image and turns it upright.
fn decode_bytes(bytes: &[u8], background: [u8; 3]) -> Result<RgbImage, ImageError> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
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
    if !image.color().has_alpha() {
        return Ok(image.into_rgb8());
    }
    let image = image.into_rgba8();
    let over = |value: u8, behind: u8, alpha: u8| {
        let (value, behind, alpha) = (u32::from(value), u32::from(behind), u32::from(alpha));
        // The rounded mean of two bytes is a byte.
        ((value * alpha + behind * (255 - alpha) + 127) / 255) as u8
    };
    Ok(RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [r, g, b, alpha] = image.get_pixel(x, y).0;
        let colour = [r, g, b];
        image::Rgb(std::array::from_fn(|channel| {
            over(colour[channel], background[channel], alpha)
        }))
    }))
}

/// Makes an image of the target's size.
fn resize(image: RgbImage, target: Target) -> RgbImage {
    let (width, height) = (target.width, target.height);
    match target.resize {
        Resize::Squish => scale(&image, Area::whole(&image), width, height),
        Resize::Crop => {
            let [inner_width, inner_height] = fitting(&image, target);
            let area = Area {
                left: (image.width() - inner_width) / 2,
                top: (image.height() - inner_height) / 2,
                width: inner_width,
                height: inner_height,
            };
            scale(&image, area, width, height)
        }
        Resize::Pad => {
            let share = (f64::from(width) / f64::from(image.width()))
                .min(f64::from(height) / f64::from(image.height()));
            let scaled =
                |side: u32, most: u32| ((f64::from(side) * share).round() as u32).clamp(1, most);
            let inner = scale(
                &image,
                Area::whole(&image),
                scaled(image.width(), width),
                scaled(image.height(), height),
            );
            let mut padded = RgbImage::from_pixel(width, height, image::Rgb(target.background));
            let (left, top) = ((width - inner.width()) / 2, (height - inner.height()) / 2);
            imageops::replace(&mut padded, &inner, left.into(), top.into());
            padded
        }
    }
}

/// Width and height of the largest part of an image with the target's ratio of sides, at least one
/// pixel each.
fn fitting(image: &RgbImage, target: Target) -> [u32; 2] {
    let (width, height) = (u64::from(image.width()), u64::from(image.height()));
    let (wide, high) = (u64::from(target.width), u64::from(target.height));
    // Rounded down, so that the part is within the image.
    match width * high > height * wide {
        true => [(height * wide / high).max(1) as u32, image.height()],
        false => [image.width(), (width * high / wide).max(1) as u32],
    }
}

/// The share of the area of a `width` x `height` image that cropping to the target removes.
pub(super) fn cropped_share(width: u32, height: u32, target: Target) -> f64 {
    let ratio = f64::from(width) / f64::from(height);
    let wanted = f64::from(target.width) / f64::from(target.height);
    1.0 - (ratio / wanted).min(wanted / ratio)
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
