//! SHA-256 and MD5 checksums in lower-case hexadecimal.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use md5::Md5;
use sha2::{Digest, Sha256};

use crate::error::DataError;

/// SHA-256 of `bytes`: 64 hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// MD5 of `bytes`: 32 hexadecimal digits. Only for comparison with published checksums.
#[must_use]
pub fn md5(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

/// SHA-256 of a file's contents, read in pieces of constant size.
///
/// # Errors
/// [`DataError::Io`] with the path.
pub fn sha256_of_file(path: &Path) -> Result<String, DataError> {
    let file = File::open(path).map_err(|error| DataError::io(path, "open it", error))?;
    (HashingReader::new(file).finish()).map_err(|error| DataError::io(path, "read it", error))
}

/// SHA-256 and MD5 of the bytes passed to it.
#[derive(Clone, Default)]
pub(crate) struct Checksums {
    sha256: Sha256,
    md5: Md5,
}

impl Checksums {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.md5.update(bytes);
    }

    /// (SHA-256, MD5).
    pub(crate) fn finish(self) -> (String, String) {
        (hex(&self.sha256.finalize()), hex(&self.md5.finalize()))
    }
}

/// SHA-256 of the bytes passed to it.
#[derive(Clone, Default)]
pub(crate) struct Sha256Writer(Sha256);

impl Sha256Writer {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

/// A reader that computes the SHA-256 of everything read through it.
pub(crate) struct HashingReader<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> HashingReader<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
        }
    }

    /// Reads to the end and returns the SHA-256 of all bytes.
    pub(crate) fn finish(mut self) -> io::Result<String> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(hex(&self.hash.finalize()))
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

fn hex(digest: &[u8]) -> String {
    let mut text = String::with_capacity(2 * digest.len());
    for byte in digest {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;

    #[test]
    fn checksums_of_known_texts() {
        let mut sums = Checksums::default();
        sums.update(b"a");
        sums.update(b"bc");
        let (sha, md) = sums.finish();
        assert_eq!(
            sha,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(md, "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!((sha256(b"abc"), md5(b"abc")), (sha, md));
        let mut reader = HashingReader::new(&b"abc"[..]);
        reader.read_exact(&mut [0]).unwrap();
        assert_eq!(reader.finish().unwrap(), sha256(b"abc"));
    }
}
