//! Writing a file so that it is complete or absent.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::DataError;

/// A file that appears under its name only when it is complete.
///
/// The bytes go to a temporary file in the same folder, `.NAME.PROCESS.part`.
/// [`commit`](Self::commit) syncs and renames it. If the value is dropped without a commit, the
/// temporary file is removed and an existing file of that name stays as it is.
#[derive(Debug)]
pub struct AtomicFile {
    target: PathBuf,
    temporary: PathBuf,
    file: File,
}

impl AtomicFile {
    /// Starts to write `target`. Creates its folder if it does not exist, and removes temporary
    /// files of the same target that are older than an hour: a killed process left them.
    ///
    /// # Errors
    /// [`DataError::Io`] with the folder or the temporary file.
    pub fn create(target: &Path) -> Result<Self, DataError> {
        let folder = folder_of(target);
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
            file,
        })
    }

    /// Syncs the contents to the disk. [`commit`](Self::commit) does this too.
    ///
    /// # Errors
    /// [`DataError::Io`] with the temporary file.
    pub fn sync(&self) -> Result<(), DataError> {
        (self.file.sync_all()).map_err(|error| DataError::io(&self.temporary, "sync it", error))
    }

    /// Syncs the contents and gives the file its name, replacing an existing file.
    ///
    /// # Errors
    /// [`DataError::Io`] with the file; an existing file is then unchanged.
    pub fn commit(self) -> Result<(), DataError> {
        self.sync()?;
        fs::rename(&self.temporary, &self.target).map_err(|error| {
            DataError::io(&self.target, "give the finished file its name", error)
        })?;
        // The rename is only durable once the folder is synced. Not every system can do that.
        if let Ok(folder) = File::open(folder_of(&self.target)) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // After a commit there is no file of this name, and the error is ignored.
        let _ = fs::remove_file(&self.temporary);
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// End of the names of temporary files.
const PART: &str = ".part";

/// Age from which a temporary file counts as left by a killed process; a younger one may be in use.
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
    fn a_file_is_complete_or_absent() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("new/file.bin");
        let mut file = AtomicFile::create(&target).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_dir(folder.path().join("new")).unwrap().count(), 0);

        let mut file = AtomicFile::create(&target).unwrap();
        file.write_all(b"complete").unwrap();
        assert!(!target.exists());
        file.commit().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"complete");
        assert_eq!(fs::read_dir(folder.path().join("new")).unwrap().count(), 1);

        let mut file = AtomicFile::create(&target).unwrap();
        file.write_all(b"other").unwrap();
        drop(file);
        assert_eq!(fs::read(&target).unwrap(), b"complete", "left as it was");
    }

    #[test]
    fn leftovers_of_killed_processes_are_removed() {
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
