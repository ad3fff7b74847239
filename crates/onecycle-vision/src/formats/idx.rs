//! The IDX format: a magic number, the sizes, then the values; optionally compressed with gzip.
//!
//! The layout is described on LeCun's MNIST page: two zero bytes, the type of the values (8 for
//! unsigned bytes), the number of dimensions, then each size as a big-endian 32-bit number.

use std::io::{self, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::dataset::ImageShape;
use crate::error::DataError;

/// Three dimensions of unsigned bytes.
const IMAGES: u32 = 0x0803;
/// One dimension of unsigned bytes.
const LABELS: u32 = 0x0801;

/// Upper limit on the expansion of a deflate stream (RFC 1951: 258 bytes from two bits).
const GZIP_RATIO: u64 = 1032;

/// Longest side that is accepted; a larger one means a damaged header.
const LONGEST_SIDE: u32 = 16_384;

/// Reads images: (number, shape, values `[image, row, column]`).
pub(crate) fn images(path: &Path, file: &[u8]) -> Result<(usize, ImageShape, Vec<u8>), DataError> {
    let mut reader = Idx::open(path, file, "an IDX file of images", 16)?;
    reader.magic(IMAGES)?;
    let [count, height, width] = [reader.size()?, reader.size()?, reader.size()?];
    let claim = format!("{count} images of {height}x{width}");
    if count == 0 {
        return Err(DataError::NoImages {
            path: path.to_path_buf(),
            expected: "an IDX file with at least one image; fetch it again".to_owned(),
        });
    }
    for side in [height, width] {
        if side == 0 || side > LONGEST_SIDE {
            let reason = format!("a side must be 1 to {LONGEST_SIDE}");
            return Err(DataError::Header {
                path: path.to_path_buf(),
                claim,
                reason,
            });
        }
    }
    let values = u64::from(count) * u64::from(height) * u64::from(width);
    let values = reader.values(values, "pixels", claim)?;
    Ok((
        count as usize,
        ImageShape::new(1, height as usize, width as usize),
        values,
    ))
}

/// Reads labels.
pub(crate) fn labels(path: &Path, file: &[u8]) -> Result<Vec<u8>, DataError> {
    let mut reader = Idx::open(path, file, "an IDX file of labels", 8)?;
    reader.magic(LABELS)?;
    let count = reader.size()?;
    reader.values(u64::from(count), "labels", format!("{count} labels"))
}

struct Idx<'a> {
    path: &'a Path,
    contents: Box<dyn Read + 'a>,
    /// Upper limit on the size of the contents in bytes, from the length of the file.
    limit: u64,
    packed: bool,
    /// Length of the header in bytes.
    header: u64,
    /// Bytes of the header read so far.
    read: u64,
}

impl<'a> Idx<'a> {
    fn open(
        path: &'a Path,
        file: &'a [u8],
        expected: &str,
        header: u64,
    ) -> Result<Self, DataError> {
        if file.is_empty() {
            return Err(DataError::Empty {
                path: path.to_path_buf(),
                expected: expected.to_owned(),
            });
        }
        let length = file.len() as u64;
        let packed = is_gzip(file);
        let (contents, limit): (Box<dyn Read + 'a>, _) = match packed {
            true => (Box::new(MultiGzDecoder::new(file)), length * GZIP_RATIO),
            false => (Box::new(file), length),
        };
        Ok(Self {
            path,
            contents,
            limit,
            packed,
            header,
            read: 0,
        })
    }

    fn magic(&mut self, expected: u32) -> Result<(), DataError> {
        let found = self.size()?;
        if found == expected {
            return Ok(());
        }
        let name = |magic| match magic {
            IMAGES => "IDX images (0x00000803)",
            _ => "IDX labels (0x00000801)",
        };
        let meaning = match found.to_be_bytes() {
            [0, 0, 8, 3] => {
                "a file of images: are the files of images and labels mixed up?".to_owned()
            }
            [0, 0, 8, 1] => {
                "a file of labels: are the files of images and labels mixed up?".to_owned()
            }
            [0, 0, kind @ 8..=14, dimensions] => {
                format!(
                    "an IDX file of type {kind:#04x} with {dimensions} dimensions: not part of such a set"
                )
            }
            [0x1f, 0x8b, ..] => "gzip data within gzip data: unpack it once".to_owned(),
            [b'<', ..] => "a web page rather than data: fetch the file again".to_owned(),
            _ => "not an IDX file: fetch it again".to_owned(),
        };
        Err(DataError::Magic {
            path: self.path.to_path_buf(),
            expected: name(expected).to_owned(),
            found,
            meaning,
        })
    }

    /// The next number of the header.
    fn size(&mut self) -> Result<u32, DataError> {
        let mut bytes = [0; 4];
        let mut filled = 0;
        while filled < bytes.len() {
            match self.contents.read(&mut bytes[filled..]) {
                Ok(0) => {
                    return Err(DataError::Truncated {
                        path: self.path.to_path_buf(),
                        what: "header",
                        expected: self.header,
                        found: self.read + filled as u64,
                    });
                }
                Ok(count) => filled += count,
                Err(error) => return Err(gzip_error(self.path, &error)),
            }
        }
        self.read += bytes.len() as u64;
        Ok(u32::from_be_bytes(bytes))
    }

    /// The values, exactly as many as the header announces. The memory is limited by the length of
    /// the file, so a wrong header cannot exhaust it, and reading stops at the announced number.
    fn values(
        mut self,
        expected: u64,
        what: &'static str,
        claim: String,
    ) -> Result<Vec<u8>, DataError> {
        let path = || self.path.to_path_buf();
        let too_large = usize::try_from(expected).is_err();
        if too_large || (self.packed && expected > self.limit) {
            let reason = format!("the file can hold at most {} bytes", self.limit);
            return Err(DataError::Header {
                path: path(),
                claim,
                reason,
            });
        }
        let mut values = Vec::with_capacity(expected.min(self.limit) as usize);
        let read = self
            .contents
            .by_ref()
            .take(expected)
            .read_to_end(&mut values);
        read.map_err(|error| gzip_error(self.path, &error))?;
        let found = values.len() as u64;
        if found < expected {
            return Err(DataError::Truncated {
                path: path(),
                what,
                expected,
                found,
            });
        }
        match self.contents.read(&mut [0]) {
            // At the end of the data, the decoder has also checked the gzip checksum.
            Ok(0) => Ok(values),
            Ok(_) => Err(DataError::Excess {
                path: path(),
                what,
                expected,
            }),
            Err(error) => Err(gzip_error(self.path, &error)),
        }
    }
}

/// Whether a file starts with the magic number of gzip (RFC 1952).
pub(crate) fn is_gzip(file: &[u8]) -> bool {
    file.starts_with(&[0x1f, 0x8b])
}

/// The error for a failure of the gzip decoder.
pub(crate) fn gzip_error(path: &Path, error: &io::Error) -> DataError {
    let reason = match error.kind() {
        io::ErrorKind::UnexpectedEof => "cut off".to_owned(),
        _ => format!("damaged ({error})"),
    };
    DataError::Gzip {
        path: path.to_path_buf(),
        reason,
    }
}
