//! Append-only files with one JSON value per line. They survive being cut off within a line.

use std::fs::{File, OpenOptions};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fail_point;
use crate::FileError;

/// Appends values of type `T` to a file, one JSON value per line.
///
/// Each line is one write call, so a killed process loses no pushed line and truncates at most the
/// one being written. [`sync`](Self::sync) makes the lines survive a power cut too; call it before
/// a checkpoint that counts them.
#[derive(Debug)]
pub struct JsonLines<T> {
    path: PathBuf,
    file: File,
    line: Vec<u8>,
    values: PhantomData<fn(&T)>,
}

impl<T: Serialize> JsonLines<T> {
    /// Opens `path` for appending. Creates it if it does not exist.
    ///
    /// Call [`keep_lines`] first if a process may have been killed while writing: a value appended
    /// to an incomplete line would be lost with it.
    ///
    /// # Errors
    /// [`FileError::Io`] with the file.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(FileError::io("open", path))?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
            line: Vec::new(),
            values: PhantomData,
        })
    }

    /// Appends one line.
    ///
    /// # Errors
    /// [`FileError::ToJson`] if `value` cannot be JSON (nothing is written then); [`FileError::Io`]
    /// if the file cannot be written.
    pub fn push(&mut self, value: &T) -> Result<(), FileError> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, value).map_err(|source| FileError::ToJson {
            what: format!("a line of {}", self.path.display()),
            source,
        })?;
        self.line.push(b'\n');
        fail_point::write(&mut self.file, &self.line, &self.path)
            .map_err(FileError::io("write", &self.path))
    }

    /// Waits until the lines pushed so far are on disk.
    ///
    /// # Errors
    /// [`FileError::Io`] with the file.
    pub fn sync(&self) -> Result<(), FileError> {
        self.file
            .sync_data()
            .map_err(FileError::io("sync", &self.path))
    }
}

/// The complete lines of a JSON-lines file.
#[derive(Clone, Debug, PartialEq)]
pub struct Lines<T> {
    /// The value of each complete line, in the order of the file.
    pub values: Vec<T>,
    /// `ends[i]` is the byte offset after line `i` and its line feed.
    pub ends: Vec<u64>,
    /// Whether an incomplete line, without a line feed, follows the complete ones.
    pub cut: bool,
}

impl<T> Lines<T> {
    /// The byte offset after the last complete line.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }
}

/// Reads the complete lines of a JSON-lines file. A last line without a line feed is ignored.
///
/// # Errors
/// [`FileError::Io`] if the file cannot be read; [`FileError::JsonLine`] if a complete line is not
/// a `T`.
pub fn read_json_lines<T: DeserializeOwned>(path: &Path) -> Result<Lines<T>, FileError> {
    let bytes = std::fs::read(path).map_err(FileError::io("read", path))?;
    let mut lines = Lines {
        values: Vec::new(),
        ends: Vec::new(),
        cut: false,
    };
    let mut end = 0_u64;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let Some((b'\n', json)) = line.split_last() else {
            lines.cut = true;
            break;
        };
        let value = serde_json::from_slice(json).map_err(|source| FileError::JsonLine {
            path: path.to_path_buf(),
            line: lines.values.len() + 1,
            source,
        })?;
        end += line.len() as u64;
        lines.values.push(value);
        lines.ends.push(end);
    }
    Ok(lines)
}

/// Truncates a JSON-lines file after its first `count` lines and syncs it, as a resumed run does to
/// continue from its checkpoint. The later lines need not be valid. A missing file counts as empty
/// and is not created.
///
/// # Errors
/// [`FileError::TooFewLines`] if the file has fewer complete lines (it is then unchanged);
/// [`FileError::Io`] if it cannot be read or truncated.
pub fn keep_lines(path: &Path, count: usize) -> Result<(), FileError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return if count == 0 {
                Ok(())
            } else {
                Err(FileError::TooFewLines {
                    path: path.to_path_buf(),
                    found: 0,
                    wanted: count,
                })
            };
        }
        Err(error) => return Err(FileError::io("read", path)(error)),
    };
    let mut ends = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(at, _)| at + 1);
    let end = match count.checked_sub(1) {
        None => 0,
        Some(last) => ends.nth(last).ok_or_else(|| FileError::TooFewLines {
            path: path.to_path_buf(),
            found: bytes.iter().filter(|&&byte| byte == b'\n').count(),
            wanted: count,
        })?,
    };
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|file| {
            file.set_len(end as u64)?;
            file.sync_all()
        })
        .map_err(FileError::io("truncate", path))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a failed unwrap is a failed test
mod tests {
    use super::*;

    fn folder_with(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("steps.jsonl");
        std::fs::write(&path, bytes).unwrap();
        (dir, path)
    }

    #[test]
    fn reopening_appends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("steps.jsonl");
        for part in [[1, 2], [3, 4]] {
            let mut lines = JsonLines::open(&path).unwrap();
            for value in part {
                lines.push(&value).unwrap();
            }
            lines.sync().unwrap();
        }
        let lines = read_json_lines::<i32>(&path).unwrap();
        assert_eq!(
            lines,
            Lines {
                values: vec![1, 2, 3, 4],
                ends: vec![2, 4, 6, 8],
                cut: false
            }
        );
    }

    #[test]
    fn an_incomplete_last_line_is_ignored() {
        let whole = b"{\"step\":0}\n{\"step\":1}\n";
        let next = b"{\"step\":2}";
        for cut in 1..=next.len() {
            let (_dir, path) = folder_with(&[&whole[..], &next[..cut]].concat());
            let lines = read_json_lines::<serde_json::Value>(&path).unwrap();
            assert_eq!(lines.values.len(), 2, "truncated after {cut} bytes");
            assert!(lines.cut);
            assert_eq!(lines.end(), whole.len() as u64);
        }
    }

    #[test]
    fn continuing_after_an_incomplete_line() {
        let (_dir, path) = folder_with(b"10\n20\n30\n4");
        keep_lines(&path, 2).unwrap();
        JsonLines::open(&path).unwrap().push(&31).unwrap();
        assert_eq!(read_json_lines::<i32>(&path).unwrap().values, [10, 20, 31]);
        keep_lines(&path, 0).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn too_few_lines_leave_the_file_unchanged() {
        let (_dir, path) = folder_with(b"10\n20\n3");
        let error = keep_lines(&path, 3).unwrap_err();
        assert!(
            matches!(
                error,
                FileError::TooFewLines {
                    found: 2,
                    wanted: 3,
                    ..
                }
            ),
            "{error}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"10\n20\n3");
        let absent = path.with_file_name("absent.jsonl");
        keep_lines(&absent, 0).unwrap();
        assert!(keep_lines(&absent, 1).is_err());
        assert!(!absent.exists());
    }

    #[test]
    fn the_error_names_an_invalid_line() {
        let (_dir, path) = folder_with(b"10\nten\n");
        let text = read_json_lines::<i32>(&path).unwrap_err().to_string();
        assert!(text.contains("steps.jsonl, line 2"), "{text}");
    }
}
