//! The binary versions of CIFAR-10 and CIFAR-100, as an archive or extracted.
//!
//! Each record is the label (CIFAR-100: the coarse one, then the fine one) and 3072 pixel values:
//! 1024 of red, then green, then blue, each row by row (Krizhevsky, "Learning Multiple Layers of
//! Features from Tiny Images", 2009). The archive is read in memory, entry by entry, and never
//! extracted to the disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;

use super::idx::gzip_error;
use crate::catalog::{self, Format, KnownSet, Member};
use crate::dataset::{Dataset, ImageShape, Split, TestOrigin};
use crate::error::DataError;
use crate::files::{self, HashingReader};

const SHAPE: ImageShape = ImageShape::new(3, 32, 32);

/// Size limit for the headers, padding and other entries of an archive, besides the records.
const ARCHIVE_SLACK: u64 = 64 << 20;

/// The files of records, and checksums of the files on the disk.
pub(crate) struct Records {
    /// Contents by the name of the member.
    pub(crate) members: BTreeMap<&'static str, Vec<u8>>,
    /// SHA-256 by name of the file on the disk.
    pub(crate) checksums: BTreeMap<String, String>,
}

/// The archive or folder of records: `path` itself, or directly in it.
pub(crate) fn locate(path: &Path, set: &KnownSet) -> Option<PathBuf> {
    let Format::Cifar {
        members, folder, ..
    } = set.format
    else {
        return None;
    };
    if path.is_file() {
        return path
            .to_string_lossy()
            .ends_with(".tar.gz")
            .then(|| path.to_path_buf());
    }
    let has_records = |folder: &Path| {
        members
            .iter()
            .any(|member| folder.join(member.name).is_file())
    };
    [path.to_path_buf(), path.join(folder)]
        .into_iter()
        .find(|folder| has_records(folder))
        .or_else(|| {
            set.files
                .iter()
                .map(|file| path.join(file.name))
                .find(|path| path.is_file())
        })
}

/// Recognises the CIFAR set at `path`.
pub(crate) fn identify(path: &Path) -> Option<&'static KnownSet> {
    let mut sets = catalog::all().iter();
    if path.is_file() {
        // The published file name decides; otherwise the names of the entries do.
        let name = path.file_name()?.to_string_lossy();
        return sets
            .find(|set| set.files.iter().any(|file| file.name == name))
            .or_else(|| identify_archive(path));
    }
    sets.find(|set| locate(path, set).is_some())
}

/// Recognises the set of an archive by the name of any entry, in one pass that decompresses no more
/// than the largest set has.
fn identify_archive(path: &Path) -> Option<&'static KnownSet> {
    let limit = catalog::all().iter().map(size_limit).max()?;
    let file = File::open(path).ok()?;
    let contents = GzDecoder::new(BufReader::new(file)).take(limit);
    let mut archive = tar::Archive::new(contents);
    // Raw entries: the names of others may be read into memory from entries of any length.
    for entry in archive.entries().ok()?.raw(true) {
        let name = entry.ok()?.path().ok()?.file_name()?.to_os_string();
        let has = |set: &&KnownSet| members(set).iter().any(|member| name == member.name);
        if let Some(set) = catalog::all().iter().find(has) {
            return Some(set);
        }
    }
    None
}

/// The files of records of a set; none for a set of another format.
fn members(set: &KnownSet) -> &'static [Member] {
    match set.format {
        Format::Cifar { members, .. } => members,
        Format::Idx => &[],
    }
}

/// Largest number of bytes that an archive of the set may decompress to.
fn size_limit(set: &KnownSet) -> u64 {
    let Format::Cifar { label_bytes, .. } = set.format else {
        return 0;
    };
    let records: usize = members(set).iter().map(|member| member.records).sum();
    (records * (label_bytes + SHAPE.len())) as u64 + ARCHIVE_SLACK
}

/// Reads the set at `path`, an archive or folder returned by [`locate`].
pub(crate) fn load(path: &Path, set: &KnownSet) -> Result<Dataset, DataError> {
    let Format::Cifar {
        label_bytes,
        members,
        ..
    } = set.format
    else {
        return Err(layout_error(path, set));
    };
    let mut records = read(path, set)?;
    let mut splits = Vec::new();
    let (train, test) = members.split_at(members.len().saturating_sub(1));
    for part in [train, test] {
        let count: usize = part.iter().map(|member| member.records).sum();
        let mut images = Vec::with_capacity(count * SHAPE.len());
        let mut labels = Vec::with_capacity(count);
        for member in part {
            // Removing one file at a time keeps at most one of them in memory twice.
            let bytes = records.members.remove(member.name).unwrap_or_default();
            for record in bytes.chunks_exact(label_bytes + SHAPE.len()) {
                let label = u32::from(record[label_bytes - 1]);
                if label as usize >= set.classes.len() {
                    let index = labels.len();
                    let path = path.join(member.name);
                    return Err(DataError::Label {
                        path,
                        index,
                        label,
                        classes: set.classes.len(),
                    });
                }
                labels.push(label);
                images.extend_from_slice(&record[label_bytes..]);
            }
        }
        splits.push(Split::new(SHAPE, images, labels)?);
    }
    let (Some(test), Some(train)) = (splits.pop(), splits.pop()) else {
        return Err(layout_error(path, set));
    };
    Ok(Dataset {
        name: set.name.to_owned(),
        classes: set.classes.iter().map(|&class| class.to_owned()).collect(),
        shape: SHAPE,
        train,
        test,
        test_origin: TestOrigin::Test,
        validation: None,
        contents: None,
        source: path.to_path_buf(),
        checksums: records.checksums,
        notes: Vec::new(),
    })
}

/// Reads the files of records and checks their lengths.
pub(crate) fn read(path: &Path, set: &KnownSet) -> Result<Records, DataError> {
    let Format::Cifar {
        label_bytes,
        members,
        ..
    } = set.format
    else {
        return Err(layout_error(path, set));
    };
    let size = |member: &Member| (member.records * (label_bytes + SHAPE.len())) as u64;
    let records = match path.is_file() {
        true => read_archive(path, set, members, size)?,
        false => read_folder(path, members, size)?,
    };
    for member in members {
        if !records.members.contains_key(member.name) {
            return Err(DataError::MissingFile {
                path: path.to_path_buf(),
                file: member.name.to_owned(),
                expected: format!("the binary version of {}, {}", set.title, names(members)),
            });
        }
    }
    Ok(records)
}

fn read_folder(
    path: &Path,
    members: &'static [Member],
    size: impl Fn(&Member) -> u64,
) -> Result<Records, DataError> {
    let mut records = Records {
        members: BTreeMap::new(),
        checksums: BTreeMap::new(),
    };
    for member in members {
        let path = path.join(member.name);
        if !path.is_file() {
            continue;
        }
        let file = files::open(&path, "records of labels and pixels")?;
        let length = file
            .metadata()
            .map_err(|error| DataError::io(&path, "read its size", error))?
            .len();
        exact(&path, length, size(member))?;
        let bytes = files::read(&path, "records of labels and pixels")?;
        exact(&path, bytes.len() as u64, size(member))?;
        records
            .checksums
            .insert(member.name.to_owned(), files::sha256(&bytes));
        records.members.insert(member.name, bytes);
    }
    Ok(records)
}

fn read_archive(
    path: &Path,
    set: &KnownSet,
    members: &'static [Member],
    size: impl Fn(&Member) -> u64,
) -> Result<Records, DataError> {
    let file = HashingReader::new(files::open(path, &format!("the archive of {}", set.title))?);
    let mut contents =
        GzDecoder::new(BufReader::with_capacity(1 << 16, file)).take(size_limit(set));
    let mut found = BTreeMap::new();
    read_entries(path, &mut contents, members, &size, &mut found)?;
    // Read to the end, so that the gzip checksum and the SHA-256 cover the whole file.
    io::copy(&mut contents, &mut io::sink()).map_err(|error| gzip_error(path, &error))?;
    let hashing = contents.into_inner().into_inner().into_inner();
    let sha256 = hashing
        .finish()
        .map_err(|error| DataError::io(path, "read it", error))?;
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok(Records {
        members: found,
        checksums: BTreeMap::from([(name, sha256)]),
    })
}

fn read_entries(
    path: &Path,
    contents: &mut impl Read,
    members: &'static [Member],
    size: &impl Fn(&Member) -> u64,
    found: &mut BTreeMap<&'static str, Vec<u8>>,
) -> Result<(), DataError> {
    let broken = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => gzip_error(path, &error),
        _ => {
            // Keep only the first clause of the message: the rest quotes raw bytes.
            let reason = error
                .to_string()
                .split(':')
                .next()
                .unwrap_or_default()
                .to_owned();
            DataError::Archive {
                path: path.to_path_buf(),
                reason,
            }
        }
    };
    let mut archive = tar::Archive::new(contents);
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = entry.path().map_err(broken)?.into_owned();
        let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if !name.components().all(inside) {
            let entry = name.display().to_string();
            return Err(DataError::ArchivePath {
                path: path.to_path_buf(),
                entry,
            });
        }
        let Some(member) = members.iter().find(|member| name.ends_with(member.name)) else {
            continue;
        };
        if !entry.header().entry_type().is_file() {
            let reason = format!(
                "its entry `{}` is a link or folder, expected a file",
                name.display()
            );
            return Err(DataError::Archive {
                path: path.to_path_buf(),
                reason,
            });
        }
        exact(&path.join(&name), entry.size(), size(member))?;
        let mut bytes = Vec::with_capacity(entry.size() as usize);
        entry.read_to_end(&mut bytes).map_err(broken)?;
        exact(&path.join(&name), bytes.len() as u64, size(member))?;
        if found.insert(member.name, bytes).is_some() {
            let reason = format!("`{}` is in it twice", member.name);
            return Err(DataError::Archive {
                path: path.to_path_buf(),
                reason,
            });
        }
    }
    Ok(())
}

/// Checks the length of a file of records.
fn exact(path: &Path, found: u64, expected: u64) -> Result<(), DataError> {
    let (path, what) = (path.to_path_buf(), "records of labels and pixels");
    match found {
        0 => Err(DataError::Empty {
            path,
            expected: format!("{expected} bytes of {what}"),
        }),
        n if n < expected => Err(DataError::Truncated {
            path,
            what,
            expected,
            found,
        }),
        n if n > expected => Err(DataError::Excess {
            path,
            what,
            expected,
        }),
        _ => Ok(()),
    }
}

fn names(members: &[Member]) -> String {
    members
        .iter()
        .map(|member| member.name)
        .collect::<Vec<_>>()
        .join(", ")
}

fn layout_error(path: &Path, set: &KnownSet) -> DataError {
    DataError::Layout {
        path: path.to_path_buf(),
        found: "no CIFAR records".to_owned(),
        expected: format!("the files of {}", set.title),
    }
}
