//! The cache file of decoded images.
//!
//! It has a header (magic number, key of the image files, number and size of the images), the
//! labels, the pixels, and the SHA-256 of labels and pixels. A file with any deviation is ignored.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use super::Decoded;
use super::scan::Tree;
use crate::dataset::ImageShape;
use crate::error::DataError;
use crate::files::AtomicFile;

const MAGIC: &[u8; 8] = b"1CYCIMG1";

/// Number of hexadecimal digits of a SHA-256.
const SUM: usize = 64;

fn header(tree: &Tree, shape: ImageShape) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(tree.key(shape.height).as_bytes());
    header.extend_from_slice(&(tree.files.len() as u64).to_le_bytes());
    header.extend_from_slice(&(shape.len() as u64).to_le_bytes());
    header
}

/// Reads the images of this tree; `None` unless the file holds exactly them.
pub(super) fn read(file: &Path, tree: &Tree, shape: ImageShape) -> Option<Decoded> {
    let header = header(tree, shape);
    let count = tree.files.len();
    let expected = header.len() + count * (4 + shape.len()) + SUM;
    let file = File::open(file).ok()?;
    if file.metadata().ok()?.len() != expected as u64 {
        return None;
    }
    let mut file = BufReader::new(file);
    let mut bytes = |length: usize| -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    if bytes(header.len()).ok()? != header {
        return None;
    }
    let labels = bytes(4 * count).ok()?;
    let labels = labels
        .chunks_exact(4)
        .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    let decoded = Decoded {
        labels,
        images: bytes(count * shape.len()).ok()?,
    };
    let sum = bytes(SUM).ok()?;
    (decoded.checksum().as_bytes() == sum).then_some(decoded)
}

/// Writes the images of this tree.
pub(super) fn write(
    path: &Path,
    tree: &Tree,
    shape: ImageShape,
    decoded: &Decoded,
) -> Result<(), DataError> {
    let mut file = BufWriter::new(AtomicFile::create(path)?);
    let failed = |error| DataError::io(path, "write it", error);
    file.write_all(&header(tree, shape)).map_err(failed)?;
    for label in &decoded.labels {
        file.write_all(&label.to_le_bytes()).map_err(failed)?;
    }
    file.write_all(&decoded.images).map_err(failed)?;
    file.write_all(decoded.checksum().as_bytes())
        .map_err(failed)?;
    file.into_inner()
        .map_err(|error| failed(error.into_error()))?
        .commit()
}
