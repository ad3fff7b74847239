//! The cache of image folders: decoded images and extracted archives.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::FolderOptions;
use crate::error::DataError;

/// What an entry of the cache is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CachedKind {
    /// The decoded images of a folder, a file `KEY.images`.
    Images,
    /// The extracted files of an archive, a folder.
    Archive,
}

/// An entry of the cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cached {
    /// What it is.
    pub kind: CachedKind,
    /// The file or folder.
    pub path: PathBuf,
    /// Size of its files together, in bytes.
    pub bytes: u64,
}

/// Lists the cache of image folders in `folder`, by default `folders` in the user's cache folder:
/// decoded images first, each kind in the order of the names. A cache that does not exist is empty.
///
/// # Errors
/// [`DataError::Io`] if a folder cannot be read.
pub fn cached(folder: Option<&Path>) -> Result<Vec<Cached>, DataError> {
    let options = FolderOptions {
        cache_folder: folder.map(Path::to_path_buf),
        ..FolderOptions::default()
    };
    let mut found = Vec::new();
    if let Some(place) = options.cache_place() {
        for path in entries(&place)? {
            let of_images = path.extension().is_some_and(|ending| ending == "images");
            if of_images && path.is_file() {
                found.push(Cached::new(CachedKind::Images, path)?);
            }
        }
    }
    for path in entries(&super::extraction_place(&options))? {
        if path.is_dir() {
            found.push(Cached::new(CachedKind::Archive, path)?);
        }
    }
    Ok(found)
}

impl Cached {
    fn new(kind: CachedKind, path: PathBuf) -> Result<Self, DataError> {
        let bytes = size(&path)?;
        Ok(Cached { kind, path, bytes })
    }

    /// Removes the entry. The images are decoded, or the archive is extracted, when it is needed
    /// again; a process that reads it now may fail.
    ///
    /// # Errors
    /// [`DataError::Io`] if it cannot be removed.
    pub fn remove(&self) -> Result<(), DataError> {
        let removed = match self.kind {
            CachedKind::Images => fs::remove_file(&self.path),
            CachedKind::Archive => fs::remove_dir_all(&self.path),
        };
        removed.map_err(|error| DataError::io(&self.path, "remove it", error))
    }
}

/// The entries of a folder by name; none if it does not exist.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let failed = |error| DataError::io(folder, "list it", error);
    let entries = fs::read_dir(folder).map_err(failed)?;
    let paths: Result<Vec<PathBuf>, _> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_, std::io::Error>>();
    let mut paths = paths.map_err(failed)?;
    paths.sort();
    Ok(paths)
}

/// Size of a file, or of all files in a folder. Links are not followed.
fn size(path: &Path) -> Result<u64, DataError> {
    let data =
        fs::symlink_metadata(path).map_err(|error| DataError::io(path, "read its size", error))?;
    if !data.is_dir() {
        return Ok(data.len());
    }
    entries(path)?.iter().map(|entry| size(entry)).sum()
}
