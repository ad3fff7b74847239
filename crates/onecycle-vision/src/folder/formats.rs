//! Which files are images, by name and by their first bytes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use image::ImageFormat;

/// Extensions of the formats that are read, in lower case. The contents decide which format a file
/// has; the extension only says that it is an image.
const READ: [&str; 20] = [
    "png", "apng", "jpg", "jpeg", "jpe", "jfif", "webp", "gif", "bmp", "dib", "tif", "tiff", "ppm",
    "pgm", "pbm", "pnm", "pam", "qoi", "pjpeg", "pjp",
];

/// Extensions of image formats that are not read.
const NOT_READ: [&str; 26] = [
    "heic", "heif", "avif", "jxl", "jp2", "j2k", "svg", "psd", "ico", "tga", "exr", "hdr", "dds",
    "raw", "dng", "cr2", "cr3", "crw", "nef", "arw", "orf", "rw2", "raf", "pef", "srw", "dcm",
];

/// What a file is, judged by its name and, without an extension, by its first bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An image of a format that is read.
    Image,
    /// An image of another format, with its extension.
    OtherFormat(String),
    /// Not an image.
    Other,
}

/// Judges a file.
pub(super) fn kind(path: &Path) -> Kind {
    let Some(extension) = path.extension() else {
        return match begins_like_an_image(path) {
            true => Kind::Image,
            false => Kind::Other,
        };
    };
    let extension = extension.to_string_lossy().to_lowercase();
    if READ.contains(&extension.as_str()) {
        Kind::Image
    } else if NOT_READ.contains(&extension.as_str()) {
        Kind::OtherFormat(extension)
    } else {
        Kind::Other
    }
}

fn begins_like_an_image(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(32).read_to_end(&mut start));
    read.is_ok() && name(&start).is_some()
}

/// The name of the format of an image with these first bytes; `None` if it is not one that is read.
pub(super) fn name(bytes: &[u8]) -> Option<&'static str> {
    match image::guess_format(bytes).ok()? {
        ImageFormat::Png => Some("PNG"),
        ImageFormat::Jpeg => Some("JPEG"),
        ImageFormat::WebP => Some("WebP"),
        ImageFormat::Gif => Some("GIF"),
        ImageFormat::Bmp => Some("BMP"),
        ImageFormat::Tiff => Some("TIFF"),
        ImageFormat::Pnm => Some("PNM"),
        ImageFormat::Qoi => Some("QOI"),
        _ => None,
    }
}

/// All names that [`name`] returns. Cache files store a name as its index.
pub(super) const NAMES: [&str; 8] = ["PNG", "JPEG", "WebP", "GIF", "BMP", "TIFF", "PNM", "QOI"];

/// Whether a JPEG file has its end: some decoders fill the missing part of a truncated one with grey
/// and report no error.
///
/// Walks over the segments (ITU-T T.81, annex B) up to the end-of-image marker. Bytes after it, such
/// as a second image, are ignored.
pub(super) fn jpeg_is_complete(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[first, marker]) = bytes.get(at..at + 2) {
        match (first, marker) {
            // Fill bytes may precede a marker.
            (0xff, 0xff) => at += 1,
            (0xff, END) => return true,
            // Markers without a length.
            (0xff, 0x01 | 0xd0..=0xd8) => at += 2,
            (0xff, _) => {
                let Some(&[high, low]) = bytes.get(at + 2..at + 4) else {
                    return false;
                };
                at += 2 + usize::from(u16::from_be_bytes([high, low]));
                if marker == SCAN {
                    at = end_of_scan(bytes, at);
                }
            }
            // Not at a marker: the decoder will judge.
            _ => at = end_of_scan(bytes, at),
        }
    }
    false
}

/// End of image.
const END: u8 = 0xd9;
/// Start of scan: compressed data follow the segment.
const SCAN: u8 = 0xda;

/// The position of the marker that ends the compressed data at `start`. In the data, `ff` is
/// followed by `00`, or by one of eight restart markers.
fn end_of_scan(bytes: &[u8], start: usize) -> usize {
    let pairs = bytes.get(start..).unwrap_or_default().windows(2);
    let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7 | 0xff);
    pairs
        .into_iter()
        .position(is_marker)
        .map_or(bytes.len(), |found| start + found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_jpeg_is_found() {
        // Start, a comment that contains an end marker, a scan with a stuffed ff, a restart marker,
        // the end, and bytes after it.
        let whole = [
            0xff, 0xd8, 0xff, 0xfe, 0, 4, 0xff, END, 0xff, SCAN, 0, 3, 1, 7, 0xff, 0, 0xff, 0xd0,
            8, 0xff, END, 1, 2,
        ];
        assert!(jpeg_is_complete(&whole));
        for length in 0..whole.len() - 2 {
            assert!(!jpeg_is_complete(&whole[..length]), "{length}");
        }
    }

    #[test]
    fn names_decide() {
        for (name, kind_of) in [
            ("a.JPG", Kind::Image),
            ("a.jfif", Kind::Image),
            ("a.b.webp", Kind::Image),
            ("a.heic", Kind::OtherFormat("heic".to_owned())),
            ("a.txt", Kind::Other),
        ] {
            assert_eq!(kind(Path::new(name)), kind_of, "{name}");
        }
        assert!(NAMES.contains(&name(b"\x89PNG\r\n\x1a\n").unwrap_or_default()));
    }
}
