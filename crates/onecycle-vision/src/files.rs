//! Whole files: reading with checks, checksums, and writing so that a file is whole or not there.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use md5::Md5;
use sha2::{Digest, Sha256};

use crate::error::DataError;

/// Opens a file that should hold `expected`.
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

/// Reads a whole file that should hold `expected`.
pub(crate) fn read(path: &Path, expected: &str) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    open(path, expected)?
        .read_to_end(&mut bytes)
        .map_err(|error| DataError::io(path, "read it", error))?;
    Ok(bytes)
}

/// SHA-256 and MD5 of what was read or written.
///
/// MD5 is only there to compare with checksums that were published as such.
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

    /// (SHA-256, MD5), hexadecimal.
    pub(crate) fn finish(self) -> (String, String) {
        (hex(&self.sha256.finalize()), hex(&self.md5.finalize()))
    }
}

/// SHA-256 of what is passed to it.
#[derive(Clone, Default)]
pub(crate) struct Sha256Writer(Sha256);

impl Sha256Writer {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Hexadecimal.
    pub(crate) fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn md5(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    bytes
        .iter()
        .flat_map(|byte| {
            [
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ]
        })
        .collect()
}

/// Passes on what it reads, and keeps its SHA-256.
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

    /// Reads on to the end, and gives the SHA-256 of everything, hexadecimal.
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

/// A file that appears under its name only when it is whole: written beside it, synced, renamed.
/// Dropped before [`commit`](Self::commit), it leaves nothing.
pub(crate) struct AtomicFile {
    target: PathBuf,
    temporary: PathBuf,
    file: Option<File>,
}

impl AtomicFile {
    /// Begins to write `target`; makes its folder where that is missing.
    pub(crate) fn create(target: &Path) -> Result<Self, DataError> {
        let folder = target.parent().unwrap_or_else(|| Path::new("."));
        fs::create_dir_all(folder)
            .map_err(|error| DataError::io(folder, "make the folder", error))?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        remove_leftovers(folder, &name);
        let temporary = folder.join(format!(".{name}.{}{PART}", std::process::id()));
        let file = File::create(&temporary)
            .map_err(|error| DataError::io(&temporary, "create it", error))?;
        Ok(Self {
            target: target.to_path_buf(),
            temporary,
            file: Some(file),
        })
    }

    /// Syncs the contents to the disk and gives the file its name.
    pub(crate) fn commit(mut self) -> Result<(), DataError> {
        if let Some(file) = self.file.take() {
            file.sync_all()
                .map_err(|error| DataError::io(&self.temporary, "sync it", error))?;
        }
        let renamed = fs::rename(&self.temporary, &self.target);
        renamed.map_err(|error| {
            DataError::io(&self.target, "give the finished file its name", error)
        })?;
        // The new name is only safe once the folder is synced; not every system can do that.
        if let Some(folder) = self
            .target
            .parent()
            .and_then(|folder| File::open(folder).ok())
        {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => Err(io::Error::other("the file is finished")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), File::flush)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        drop(self.file.take());
        // After a commit there is nothing of this name, which is as well.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// End of the names of unfinished files.
const PART: &str = ".part";

/// Unfinished files of killed processes go after this time; younger ones may be in use.
const STALE: Duration = Duration::from_secs(3600);

fn remove_leftovers(folder: &Path, name: &str) {
    let prefix = format!(".{name}.");
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let file = entry.file_name();
        let file = file.to_string_lossy();
        let age = entry.metadata().and_then(|data| data.modified()).ok();
        let age = age.and_then(|time| SystemTime::now().duration_since(time).ok());
        if file.starts_with(&prefix) && file.ends_with(PART) && age.is_some_and(|age| age > STALE) {
            let _ = fs::remove_file(entry.path());
        }
    }
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

    #[test]
    fn a_file_is_whole_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("new/file.bin");
        let mut file = AtomicFile::create(&target).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_dir(folder.path().join("new")).unwrap().count(), 0);

        let mut file = AtomicFile::create(&target).unwrap();
        file.write_all(b"whole").unwrap();
        assert!(!target.exists());
        file.commit().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"whole");
        assert_eq!(fs::read_dir(folder.path().join("new")).unwrap().count(), 1);
    }

    #[test]
    fn leftovers_of_killed_processes_go() {
        let folder = tempfile::tempdir().unwrap();
        let old = folder.path().join(".x.bin.999999.part");
        let young = folder.path().join(".x.bin.999998.part");
        for path in [&old, &young] {
            fs::write(path, "half").unwrap();
        }
        let past = SystemTime::now() - 2 * STALE;
        File::options()
            .write(true)
            .open(&old)
            .unwrap()
            .set_modified(past)
            .unwrap();
        AtomicFile::create(&folder.path().join("x.bin"))
            .unwrap()
            .commit()
            .unwrap();
        assert!(!old.exists() && young.exists());
    }
}
