//! Complete files: checked reading, checksums, and writing that never leaves part of a file.
//!
//! A file is written under a temporary name in the same folder, synced to the disk, and renamed. A
//! reader finds either the old file or the complete new one, even if the writing process is killed.
//!
//! ```
//! use onecycle_vision::files;
//!
//! # let folder = tempfile::tempdir()?;
//! let path = folder.path().join("labels.txt");
//! files::write(&path, b"cat\ndog\n")?;
//! assert_eq!(files::sha256_of_file(&path)?, files::sha256(b"cat\ndog\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod atomic;
mod checksum;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use crate::error::DataError;

pub use atomic::AtomicFile;
pub(crate) use checksum::{Checksums, HashingReader, Sha256Writer};
pub use checksum::{md5, sha256, sha256_of_file};

/// Writes a complete file.
///
/// # Errors
/// [`DataError::Io`] with the path. The old file is then unchanged, if there was one.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes)
        .map_err(|error| DataError::io(path, "write it", error))?;
    file.commit()
}

/// Opens a file that should hold `expected`; the text is for the error message.
pub(crate) fn open(path: &Path, expected: &str) -> Result<File, DataError> {
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => DataError::Missing {
            path: path.to_path_buf(),
            expected: expected.to_owned(),
        },
        _ => DataError::io(path, "open it", error),
    })?;
    let length = file
        .metadata()
        .map_err(|error| DataError::io(path, "read its size", error))?;
    if length.is_file() && length.len() == 0 {
        return Err(DataError::Empty {
            path: path.to_path_buf(),
            expected: expected.to_owned(),
        });
    }
    Ok(file)
}

/// Reads a complete file that should hold `expected`; the text is for the error message.
pub(crate) fn read(path: &Path, expected: &str) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    open(path, expected)?
        .read_to_end(&mut bytes)
        .map_err(|error| DataError::io(path, "read it", error))?;
    Ok(bytes)
}
