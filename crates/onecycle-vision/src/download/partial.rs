//! A file that is downloaded in several attempts.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::CHUNK;
use crate::error::DataError;
use crate::files::Checksums;

/// The beginning of a file, in `NAME.partial` next to it. It stays when the program ends, and the
/// next attempt continues it.
///
/// The file is locked, so that no other process writes to it.
pub(super) struct PartialFile {
    target: PathBuf,
    path: PathBuf,
    file: File,
    bytes: u64,
    sums: Checksums,
}

impl PartialFile {
    /// Opens the beginning of `target` and reads what is there. Creates the folder if it does not
    /// exist. `None` if another process writes to the file.
    ///
    /// # Errors
    /// [`DataError::Io`] with the folder or the file.
    pub(super) fn open(target: &Path) -> Result<Option<Self>, DataError> {
        let folder = target.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)
            .map_err(|error| DataError::io(folder, "make the folder", error))?;
        let mut name = target.as_os_str().to_owned();
        name.push(".partial");
        let path = PathBuf::from(name);
        let failed = |error| DataError::io(&path, "open it", error);
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false);
        let file = file.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut partial = Self {
            target: target.to_path_buf(),
            path: path.clone(),
            file,
            bytes: 0,
            sums: Checksums::default(),
        };
        partial.read().map_err(failed)?;
        Ok(Some(partial))
    }

    fn read(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        loop {
            match self.file.read(&mut buffer)? {
                0 => return Ok(()),
                count => {
                    self.sums.update(&buffer[..count]);
                    self.bytes += count as u64;
                }
            }
        }
    }

    /// Number of bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Checksums of the bytes.
    pub(super) fn sums(&self) -> Checksums {
        self.sums.clone()
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// [`DataError::Io`] with the file.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        self.file
            .write_all(bytes)
            .map_err(|error| DataError::io(&self.path, "write it", error))?;
        self.sums.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Removes all bytes.
    ///
    /// # Errors
    /// [`DataError::Io`] with the file.
    pub(super) fn clear(&mut self) -> Result<(), DataError> {
        let emptied = self.file.set_len(0);
        emptied
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map_err(|error| DataError::io(&self.path, "empty it", error))?;
        (self.bytes, self.sums) = (0, Checksums::default());
        Ok(())
    }

    /// Syncs the file and gives it its name.
    ///
    /// # Errors
    /// [`DataError::Io`] with the file.
    pub(super) fn commit(self) -> Result<(), DataError> {
        self.file
            .sync_all()
            .map_err(|error| DataError::io(&self.path, "sync it", error))?;
        fs::rename(&self.path, &self.target)
            .map_err(|error| DataError::io(&self.target, "give the finished file its name", error))
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if self.bytes == 0 {
            // There is nothing to continue.
            let _ = fs::remove_file(&self.path);
        }
    }
}
