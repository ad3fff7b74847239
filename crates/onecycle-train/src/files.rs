//! Files that are whole or not there: written aside, synced and renamed; checksums.

mod fail_point;
mod json_lines;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use fail_point::Stage;

pub use json_lines::{JsonLines, Lines, keep_lines, read_json_lines};

use crate::FileError;

/// Writes `bytes` to `path` so that whoever looks, at whatever instant, finds the old file or the new
/// one, never a part.
///
/// The bytes go to a file aside in the same folder, which is synced, renamed onto `path` and made
/// durable by syncing the folder. The folder must exist. A file aside that a killed process left is
/// overwritten by the next write to the same `path`; two writers of one `path` at once are not meant.
///
/// # Errors
/// [`FileError::Io`], naming the file; the old file is then untouched and the one aside is removed.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write_whole_with(path, |file| fail_point::write(file, bytes, path))
}

/// Writes `value` as indented JSON; `what` names it in an error.
///
/// # Errors
/// [`FileError::ToJson`] and [`FileError::Io`].
pub fn write_json(path: &Path, what: &str, value: &impl Serialize) -> Result<(), FileError> {
    let json = serde_json::to_string_pretty(value).map_err(FileError::to_json(what))?;
    write_whole(path, json.as_bytes())
}

/// As [`write_whole`], for contents that are better streamed than held in memory.
///
/// # Errors
/// [`FileError::Io`], naming the file, also for what `write` returns.
pub fn write_whole_with(
    path: &Path,
    write: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> Result<(), FileError> {
    let aside = aside(path);
    let written = File::create(&aside)
        .and_then(|mut file| {
            write(&mut file)?;
            file.sync_all()
        })
        .and_then(|()| fail_point::reached(Stage::Synced, path))
        .and_then(|()| fs::rename(&aside, path))
        .map_err(FileError::io("write", path));
    if written.is_err() {
        // The first error is the one to tell; this file may not even exist.
        let _ = fs::remove_file(&aside);
    }
    written?;
    fail_point::reached(Stage::Renamed, path).map_err(FileError::io("write", path))?;
    sync_folder(path)
}

/// Creates a folder and those above it where they are missing, and makes the new entry durable.
///
/// # Errors
/// [`FileError::Io`], naming the folder.
pub fn create_folder(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(FileError::io("create the folder", path))?;
    sync_folder(path)
}

/// Reads a whole file as text.
///
/// # Errors
/// [`FileError::Io`], naming the file, also where it is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(FileError::io("read", path))
}

/// SHA-256 of `bytes` as 64 lower-case hexadecimal digits.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file's contents as 64 lower-case hexadecimal digits, read piece by piece.
///
/// # Errors
/// [`FileError::Io`], naming the file.
pub fn sha256_file(path: &Path) -> Result<String, FileError> {
    let mut file = File::open(path).map_err(FileError::io("open", path))?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0_u8; 1 << 16];
    loop {
        let n = file.read(&mut piece).map_err(FileError::io("read", path))?;
        if n == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&piece[..n]);
    }
}

fn hex(digest: &[u8]) -> String {
    digest
        .iter()
        .fold(String::with_capacity(2 * digest.len()), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// How the names of files aside end.
const PART: &str = ".part";

/// The file beside `path` that its next contents are written to.
fn aside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(PART);
    path.with_file_name(name)
}

/// Removes from `folder` the files aside that a killed process left. Nobody may be writing there.
///
/// # Errors
/// [`FileError::Io`], naming the folder or the file.
pub(crate) fn remove_asides(folder: &Path) -> Result<(), FileError> {
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

/// Makes a rename or a new entry in `path`'s folder survive a power cut.
fn sync_folder(path: &Path) -> Result<(), FileError> {
    // Only Unix can open a folder to sync it; elsewhere the rename itself has to do.
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
    fn replaces_whole_and_leaves_nothing_aside() {
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
    fn only_files_aside_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        for name in [".a.ckpt.part", "a.ckpt", "b.part", ".lock"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        remove_asides(dir.path()).unwrap();
        assert!(!dir.path().join(".a.ckpt.part").exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = write_whole(&dir.path().join("absent/x"), b"").unwrap_err();
        assert!(error.to_string().contains("absent"), "{error}");
    }

    #[test]
    fn checksums_are_sha_256() {
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_hex(b"abc"), abc);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        write_whole(&path, b"abc").unwrap();
        assert_eq!(sha256_file(&path).unwrap(), abc);
        // Longer than one piece.
        let long = vec![7_u8; 100_000];
        write_whole(&path, &long).unwrap();
        assert_eq!(sha256_file(&path).unwrap(), sha256_hex(&long));
    }
}
