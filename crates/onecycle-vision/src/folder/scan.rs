//! Lists the image files in a folder, with their classes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::error::DataError;
use crate::files::Sha256Writer;

/// An image file.
pub(super) struct ImageFile {
    pub(super) path: PathBuf,
    /// Path relative to the root, with slashes.
    name: String,
    pub(super) label: u32,
    /// Bytes.
    size: u64,
    /// Nanoseconds since 1970.
    modified: u128,
    /// Number of the file and time of its last change on the file system; see [`identity`].
    identity: [u64; 3],
}

/// The contents of a folder of images.
pub(super) struct Tree {
    /// Sorted.
    pub(super) classes: Vec<String>,
    /// Sorted by part, class and name.
    pub(super) files: Vec<ImageFile>,
    /// Number of training files, which come first. All files if there is no validation folder.
    pub(super) train: usize,
}

const VALIDATION: [&str; 4] = ["val", "valid", "validation", "test"];

const LAYOUT: &str =
    "a folder for each class with .png, .jpg or .jpeg images, or such folders in train/ and val/";

/// Lists the images in `root`, without opening them.
pub(super) fn scan(root: &Path) -> Result<Tree, DataError> {
    let folders = folders(root)?;
    let part = |names: &[&str]| {
        folders
            .iter()
            .find(|(name, _)| names.contains(&name.to_lowercase().as_str()))
    };
    let train = part(&["train"]);
    let train_root = train.map_or(root, |(_, path)| path);
    let class_folders = match train {
        Some(_) => self::folders(train_root)?,
        None => folders.clone(),
    };
    let classes: Vec<String> = class_folders.iter().map(|(name, _)| name.clone()).collect();
    let mut files = Vec::new();
    for (label, (class, path)) in class_folders.iter().enumerate() {
        images(root, path, class, label as u32, &mut files)?;
    }
    match classes.as_slice() {
        [] => {
            return Err(DataError::NoImages {
                path: train_root.to_path_buf(),
                expected: LAYOUT.to_owned(),
            });
        }
        [class] => {
            return Err(DataError::OneClass {
                path: train_root.to_path_buf(),
                class: class.clone(),
            });
        }
        _ => {}
    }
    let train_count = files.len();
    if train.is_some()
        && let Some((_, validation)) = part(&VALIDATION)
    {
        for (class, path) in self::folders(validation)? {
            let label = classes.iter().position(|known| *known == class);
            let Some(label) = label else {
                return Err(DataError::UnknownClass { path, class });
            };
            images(root, &path, &class, label as u32, &mut files)?;
        }
        if files.len() == train_count {
            return Err(DataError::NoImages {
                path: validation.clone(),
                expected: LAYOUT.to_owned(),
            });
        }
    }
    Ok(Tree {
        classes,
        files,
        train: train_count,
    })
}

impl Tree {
    /// Key of the cache file: SHA-256 of the image size and of all names, lengths, modification times
    /// and identities.
    pub(super) fn key(&self, size: usize) -> String {
        let mut hash = Sha256Writer::default();
        hash.update(b"onecycle image folder 2");
        hash.update(&(size as u64).to_le_bytes());
        hash.update(&(self.train as u64).to_le_bytes());
        for file in &self.files {
            hash.update(&(file.name.len() as u64).to_le_bytes());
            hash.update(file.name.as_bytes());
            hash.update(&file.size.to_le_bytes());
            hash.update(&file.modified.to_le_bytes());
            for number in file.identity {
                hash.update(&number.to_le_bytes());
            }
        }
        hash.finish()
    }
}

/// Numbers that change when a file is replaced, even by one of the same size and modification time,
/// as reproducible archives have them: the inode, and seconds and nanoseconds of the last change of
/// the inode, which no program can set.
#[cfg(unix)]
fn identity(data: &fs::Metadata) -> [u64; 3] {
    use std::os::unix::fs::MetadataExt;
    [data.ino(), data.ctime() as u64, data.ctime_nsec() as u64]
}

/// Numbers that change when a file is replaced: seconds and nanoseconds of its creation.
#[cfg(not(unix))]
fn identity(data: &fs::Metadata) -> [u64; 3] {
    let created = data.created().ok();
    let created = created.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    created.map_or([0; 3], |time| {
        [0, time.as_secs(), time.subsec_nanos().into()]
    })
}

/// (name, path) of the visible subfolders of `root`, sorted by name.
fn folders(root: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let mut folders: Vec<_> = list(root)?
        .into_iter()
        .filter(|(_, path)| path.is_dir())
        .collect();
    if let Some((_, path)) = folders
        .iter()
        .find(|(_, path)| path.file_name().is_some_and(|name| name.to_str().is_none()))
    {
        return Err(DataError::NotText { path: path.clone() });
    }
    folders.sort();
    Ok(folders)
}

/// Adds the images that are directly in `folder`, sorted by name.
fn images(
    root: &Path,
    folder: &Path,
    class: &str,
    label: u32,
    files: &mut Vec<ImageFile>,
) -> Result<(), DataError> {
    let mut found = Vec::new();
    for (_, path) in list(folder)? {
        let extension = path
            .extension()
            .map(|extension| extension.to_string_lossy().to_lowercase());
        if !matches!(extension.as_deref(), Some("png" | "jpg" | "jpeg")) || path.is_dir() {
            continue;
        }
        let data =
            fs::metadata(&path).map_err(|error| DataError::io(&path, "read its size", error))?;
        if !data.is_file() {
            // Opening a pipe could block forever.
            return Err(DataError::NotAFile { path });
        }
        let modified = data
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let name = path.strip_prefix(root).unwrap_or(&path);
        let name = name
            .iter()
            .map(|part| part.to_string_lossy())
            .collect::<Vec<_>>()
            .join("/");
        let modified = modified.map_or(0, |time| time.as_nanos());
        found.push(ImageFile {
            path,
            name,
            label,
            size: data.len(),
            modified,
            identity: identity(&data),
        });
    }
    if found.is_empty() {
        return Err(DataError::EmptyClass {
            path: folder.to_path_buf(),
            class: class.to_owned(),
        });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    files.append(&mut found);
    Ok(())
}

/// (name, path) of the visible entries of a folder.
fn list(folder: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let failed = |error| DataError::io(folder, "list the folder", error);
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            entries.push((name, entry.path()));
        }
    }
    Ok(entries)
}
