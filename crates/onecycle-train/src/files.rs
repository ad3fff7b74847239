//! Complete files and JSON lines. [`write_whole`] replaces a file so that it is always complete.

mod fail_point;
mod json_lines;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::{Serialize, de::DeserializeOwned};

use fail_point::Stage;

pub use json_lines::{JsonLines, Lines, keep_lines, read_json_lines};

use crate::FileError;

/// Writes `bytes` to `path`. A reader finds either the old file or the complete new one at any
/// moment.
///
/// The bytes go to a temporary file in the same folder, which is synced and renamed to `path`; then
/// the folder is synced. The folder must exist. The next write to the same `path` overwrites a
/// temporary file that a killed process left. Two processes must not write the same `path` at once.
///
/// # Errors
/// [`FileError::Io`] with the file. The old file is then unchanged and the temporary file removed.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write_whole_with(path, |file| fail_point::write(file, bytes, path))
}

/// Writes `value` as indented JSON; `what` names it in an error message.
///
/// # Errors
/// [`FileError::ToJson`] and [`FileError::Io`].
pub fn write_json(path: &Path, what: &str, value: &impl Serialize) -> Result<(), FileError> {
    let json = serde_json::to_string_pretty(value).map_err(FileError::to_json(what))?;
    write_whole(path, json.as_bytes())
}

/// Reads a JSON file.
///
/// # Errors
/// [`FileError::Io`]; [`FileError::JsonLine`] if the file does not contain a `T`.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, FileError> {
    serde_json::from_str(&read_text(path)?).map_err(|source| FileError::JsonLine {
        path: path.to_path_buf(),
        line: source.line(),
        source,
    })
}

/// Like [`write_whole`], for contents that are streamed instead of held in memory.
///
/// # Errors
/// [`FileError::Io`] with the file, also for an error of `write`.
pub fn write_whole_with(
    path: &Path,
    write: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> Result<(), FileError> {
    let temporary = temporary(path);
    let written = File::create(&temporary)
        .and_then(|mut file| {
            write(&mut file)?;
            file.sync_all()
        })
        .and_then(|()| fail_point::reached(Stage::Synced, path))
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(FileError::io("write", path));
    if written.is_err() {
        // The first error is the one to report; this file may not even exist.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    fail_point::reached(Stage::Renamed, path).map_err(FileError::io("write", path))?;
    sync_folder(path)
}

/// Creates a folder and its missing parents, and syncs the new entry to disk.
///
/// # Errors
/// [`FileError::Io`] with the folder.
pub fn create_folder(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(FileError::io("create the folder", path))?;
    sync_folder(path)
}

/// Reads a whole file as text.
///
/// # Errors
/// [`FileError::Io`] with the file, also if it is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(FileError::io("read", path))
}

/// End of the names of temporary files.
const PART: &str = ".part";

/// The temporary file for the next contents of `path`.
fn temporary(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(PART);
    path.with_file_name(name)
}

/// Removes from `folder` the temporary files that a killed process left. No other process may write
/// there.
///
/// # Errors
/// [`FileError::Io`] with the folder or the file.
pub(crate) fn remove_temporary_files(folder: &Path) -> Result<(), FileError> {
    for entry in fs::read_dir(folder).map_err(FileError::io("read the folder", folder))? {
        let entry = entry.map_err(FileError::io("read the folder", folder))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.ends_with(PART) {
            fs::remove_file(entry.path()).map_err(FileError::io("remove", &entry.path()))?;
        }
    }
    Ok(())
}

/// Syncs the folder of `path`, so that a rename or a new entry survives a power cut.
fn sync_folder(path: &Path) -> Result<(), FileError> {
    // Only Unix can open a folder to sync it; elsewhere the rename has to suffice.
    if cfg!(unix) {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(FileError::io("sync", folder))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a failed unwrap is a failed test
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_write_replaces_the_file_and_leaves_no_temporary_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.bin");
        write_whole(&path, b"first, and longer").unwrap();
        write_whole(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_keeps_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.bin");
        write_whole(&path, b"old").unwrap();
        let error = write_whole_with(&path, |file| {
            file.write_all(b"half of the ne")?;
            Err(std::io::Error::other("disk full"))
        })
        .unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let text = error.to_string();
        assert!(
            text.contains("model.bin") && text.contains("disk full"),
            "{text}"
        );
    }

    #[test]
    fn only_temporary_files_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        for name in [".a.ckpt.part", "a.ckpt", "b.part", ".lock"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        remove_temporary_files(dir.path()).unwrap();
        assert!(!dir.path().join(".a.ckpt.part").exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn the_error_names_a_missing_folder() {
        let dir = tempfile::tempdir().unwrap();
        let error = write_whole(&dir.path().join("absent/x"), b"").unwrap_err();
        assert!(error.to_string().contains("absent"), "{error}");
    }
}
