//! Compares the files of a data set with the published ones.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::catalog::{Format, KnownFile, KnownSet};
use crate::error::DataError;
use crate::files;
use crate::formats::{cifar, mnist};
use crate::source;

/// Result of comparing a file with the published one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileStatus {
    /// Identical to the published file.
    Published,
    /// Compressed differently, with the published contents.
    SameContents,
    /// The contents differ.
    Differs,
    /// No published checksum is known.
    Unknown,
}

/// The comparison of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// Name of the file. A file within an archive is `ARCHIVE/NAME`.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// MD5, hexadecimal.
    pub md5: String,
    /// Result of the comparison.
    pub status: FileStatus,
}

/// Result of [`verify`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Canonical name of the set.
    pub name: &'static str,
    /// Folder or archive.
    pub path: PathBuf,
    /// One report per file; an archive comes before the files in it.
    pub files: Vec<FileReport>,
    /// Number of training images per class.
    pub train_counts: Vec<usize>,
    /// Number of test images per class.
    pub test_counts: Vec<usize>,
    /// Whether the image shape and the numbers of images are the published ones.
    pub counts_match: bool,
}

impl Verification {
    /// Whether all images and labels are identical to the published data set.
    ///
    /// Compression does not matter: a file with another checksum passes if its decompressed contents
    /// match. An archive passes if its checksum matches or if every file in it passes. The shape and
    /// the number of the images must match too.
    pub fn is_published(&self) -> bool {
        let good = |file: &FileReport| {
            matches!(
                file.status,
                FileStatus::Published | FileStatus::SameContents
            )
        };
        let inner = |file: &&FileReport| file.name.contains('/');
        let archive = self
            .files
            .iter()
            .find(|file| file.name.ends_with(".tar.gz"));
        let contents = match archive {
            Some(archive) if archive.status == FileStatus::Published => true,
            Some(_) => {
                self.files.iter().any(|file| inner(&file))
                    && self.files.iter().filter(inner).all(good)
            }
            None => self.files.iter().all(good),
        };
        contents && self.counts_match
    }
}

/// Reads the complete set at `path`, checks its structure, and compares every file with the
/// published one.
///
/// # Errors
/// A [`DataError`] if the set cannot be read. A readable file that is not the published one is not
/// an error but is reported as [`FileStatus::Differs`].
pub fn verify(set: &'static KnownSet, path: &Path) -> Result<Verification, DataError> {
    let path = source::within(path, set)?;
    let files = match set.format {
        Format::Idx => idx_files(set, &path)?,
        Format::Cifar { .. } => cifar_files(set, &path)?,
    };
    let data = source::load_known(&path, set)?;
    let (train_counts, test_counts) = (
        data.train.class_counts(set.classes.len()),
        data.test.class_counts(set.classes.len()),
    );
    let counts_match =
        (data.train.len(), data.test.len()) == (set.train, set.test) && data.shape == set.shape;
    Ok(Verification {
        name: set.name,
        path,
        files,
        train_counts,
        test_counts,
        counts_match,
    })
}

fn report(name: String, bytes: &[u8], status: impl FnOnce(&str, &str) -> FileStatus) -> FileReport {
    let (sha256, md5) = (files::sha256(bytes), files::md5(bytes));
    let status = status(&sha256, &md5);
    FileReport {
        name,
        bytes: bytes.len() as u64,
        sha256,
        md5,
        status,
    }
}

fn is_published(file: &KnownFile, sha256: &str, md5: &str) -> bool {
    file.sha256
        .map_or(file.md5 == md5, |expected| expected == sha256)
}

fn idx_files(set: &KnownSet, folder: &Path) -> Result<Vec<FileReport>, DataError> {
    let mut reports = Vec::new();
    for file in set.files {
        let Some(path) = mnist::file(folder, file.name.trim_end_matches(".gz")) else {
            continue;
        };
        let bytes = files::read(&path, "an IDX file")?;
        let contents = || mnist::contents_md5(&path, &bytes);
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        reports.push(report(name, &bytes, |sha256, md5| {
            if is_published(file, sha256, md5) {
                FileStatus::Published
            } else if contents().ok().as_deref() == file.content_md5 {
                FileStatus::SameContents
            } else {
                FileStatus::Differs
            }
        }));
    }
    Ok(reports)
}

fn cifar_files(set: &KnownSet, path: &Path) -> Result<Vec<FileReport>, DataError> {
    let Format::Cifar { members, .. } = set.format else {
        return Ok(Vec::new());
    };
    let mut reports = Vec::new();
    let mut prefix = String::new();
    if path.is_file() {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        prefix = format!("{name}/");
        let bytes = files::read(path, "an archive")?;
        reports.push(report(name, &bytes, |sha256, md5| {
            match set.files.iter().any(|file| is_published(file, sha256, md5)) {
                true => FileStatus::Published,
                false => FileStatus::Differs,
            }
        }));
    }
    let records = cifar::read(path, set)?;
    for member in members {
        let Some(bytes) = records.members.get(member.name) else {
            continue;
        };
        reports.push(report(
            format!("{prefix}{}", member.name),
            bytes,
            |_, md5| match member.md5 {
                Some(expected) if expected == md5 => FileStatus::Published,
                Some(_) => FileStatus::Differs,
                None => FileStatus::Unknown,
            },
        ));
    }
    Ok(reports)
}
