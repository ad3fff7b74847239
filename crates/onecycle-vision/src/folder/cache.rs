//! The cache file of decoded images.
//!
//! It has a header (magic number, key of the image files, number and size of the images), the
//! unreadable files as JSON, the labels, the facts of the files, the pixels, and the SHA-256 of
//! everything after the header. A file with any deviation is ignored.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use super::decode::Failure;
use super::{Decoded, FileFacts, formats};
use crate::error::DataError;
use crate::files::{AtomicFile, Sha256Writer};

const MAGIC: &[u8; 8] = b"1CYCIMG3";

/// Number of hexadecimal digits of a SHA-256.
const SUM: usize = 64;
/// Bytes of the facts of one file: width, height, format, checksum.
const FACTS: usize = 4 + 4 + 1 + 16;

/// What a cache file is for.
pub(super) struct Header<'a> {
    /// Key of the image files, a SHA-256.
    pub(super) key: &'a str,
    /// Number of files.
    pub(super) files: usize,
    /// Bytes of an image.
    pub(super) length: usize,
}

impl Header<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(self.key.as_bytes());
        bytes.extend_from_slice(&(self.files as u64).to_le_bytes());
        bytes.extend_from_slice(&(self.length as u64).to_le_bytes());
        bytes
    }
}

/// Reads the images of these files; `None` unless the cache file holds exactly them.
pub(super) fn read(file: &Path, header: &Header) -> Option<(Decoded, Vec<Failure>)> {
    let start = header.bytes();
    let count = header.files;
    let file = File::open(file).ok()?;
    let size = file.metadata().ok()?.len() as usize;
    let fixed = start.len() + 8 + count * (4 + FACTS + header.length) + SUM;
    let mut file = BufReader::new(file);
    let mut bytes = |length: usize| -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    if size < fixed || bytes(start.len()).ok()? != start {
        return None;
    }
    let json_length = bytes(8).ok()?;
    let length = u64::from_le_bytes(json_length.as_slice().try_into().ok()?);
    if length != (size - fixed) as u64 {
        return None;
    }
    let json = bytes(length as usize).ok()?;
    let labels = bytes(4 * count).ok()?;
    let facts = bytes(FACTS * count).ok()?;
    let images = bytes(count * header.length).ok()?;
    let mut sum = Sha256Writer::default();
    for part in [&json_length, &json, &labels, &facts, &images] {
        sum.update(part);
    }
    if bytes(SUM).ok()? != sum.finish().as_bytes() {
        return None;
    }
    let failures: Vec<(usize, String)> = serde_json::from_slice(&json).ok()?;
    let failures = failures
        .into_iter()
        .map(|(index, reason)| Failure { index, reason });
    let decoded = Decoded {
        labels: labels.chunks_exact(4).map(number).collect(),
        facts: facts.chunks_exact(FACTS).map(facts_of).collect(),
        images,
    };
    Some((decoded, failures.collect()))
}

/// Writes the images of these files.
pub(super) fn write(
    path: &Path,
    header: &Header,
    decoded: &Decoded,
    failures: &[Failure],
) -> Result<(), DataError> {
    let failed = |error| DataError::io(path, "write it", error);
    let failures: Vec<(usize, &str)> = failures
        .iter()
        .map(|failure| (failure.index, failure.reason.as_str()))
        .collect();
    let json = serde_json::to_vec(&failures).map_err(|error| failed(error.into()))?;
    let mut labels = Vec::with_capacity(4 * decoded.labels.len());
    for label in &decoded.labels {
        labels.extend_from_slice(&label.to_le_bytes());
    }
    let mut facts = Vec::with_capacity(FACTS * decoded.facts.len());
    for one in &decoded.facts {
        facts.extend_from_slice(&one.width.to_le_bytes());
        facts.extend_from_slice(&one.height.to_le_bytes());
        let format = formats::NAMES.iter().position(|name| *name == one.format);
        facts.push(format.map_or(u8::MAX, |index| index as u8));
        facts.extend_from_slice(&one.checksum);
    }
    let mut file = BufWriter::new(AtomicFile::create(path)?);
    file.write_all(&header.bytes()).map_err(failed)?;
    let mut sum = Sha256Writer::default();
    let json_length = (json.len() as u64).to_le_bytes();
    for part in [&json_length[..], &json, &labels, &facts, &decoded.images] {
        sum.update(part);
        file.write_all(part).map_err(failed)?;
    }
    file.write_all(sum.finish().as_bytes()).map_err(failed)?;
    file.into_inner()
        .map_err(|error| failed(error.into_error()))?
        .commit()
}

/// A little-endian number of four bytes.
fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .rev()
        .fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

fn facts_of(bytes: &[u8]) -> FileFacts {
    let mut checksum = [0; 16];
    checksum.copy_from_slice(&bytes[9..]);
    FileFacts {
        width: number(&bytes[..4]),
        height: number(&bytes[4..8]),
        format: formats::NAMES
            .get(usize::from(bytes[8]))
            .copied()
            .unwrap_or_default(),
        checksum,
    }
}
