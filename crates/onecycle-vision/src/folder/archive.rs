//! Archives of images: zip, tar and tar.gz, extracted once into the cache folder.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek};
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

use flate2::read::GzDecoder;

use super::scan::identity;
use crate::error::DataError;
use crate::files::Sha256Writer;

/// Largest size of all extracted files together, in bytes.
const LARGEST: u64 = 64 << 30;
/// Largest number of entries.
const MOST_ENTRIES: usize = 10_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Zip,
    Tar,
    TarGz,
}

/// Recognises an archive by its first bytes.
fn format(path: &Path) -> Option<Format> {
    let mut start = Vec::new();
    let file = File::open(path).ok()?;
    file.take(512).read_to_end(&mut start).ok()?;
    if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        Some(Format::Zip)
    } else if start.starts_with(&[0x1f, 0x8b]) {
        Some(Format::TarGz)
    } else {
        (start.get(257..262) == Some(b"ustar")).then_some(Format::Tar)
    }
}

/// Whether a file is a zip or tar archive, or compressed like a tar.gz.
pub(crate) fn is_archive(path: &Path) -> bool {
    path.is_file() && format(path).is_some()
}

/// The folder with the extracted files of an archive, below `cache`. A complete extraction of the
/// same file is used again.
///
/// # Errors
/// [`DataError::Archive`] if the archive cannot be read; [`DataError::ArchivePath`] for an entry
/// that points outside of it.
pub(super) fn extract(path: &Path, cache: &Path) -> Result<PathBuf, DataError> {
    let Some(format) = format(path) else {
        return Err(archive_error(path, "it is neither zip nor tar"));
    };
    let target = cache.join(key(path)?);
    if target.is_dir() {
        return Ok(target);
    }
    let io = |action| move |error| DataError::io(path, action, error);
    fs::create_dir_all(cache).map_err(io("create the folder for its files"))?;
    // Extracted beside the target, so that a killed extraction is not mistaken for a complete one.
    let partial = cache.join(format!(
        "{}.{}.partial",
        target.file_name().unwrap_or_default().to_string_lossy(),
        std::process::id()
    ));
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&partial).map_err(io("create the folder for its files"))?;
    let file = BufReader::new(File::open(path).map_err(io("read it"))?);
    let extracted = match format {
        Format::Zip => extract_zip(path, file, &partial),
        Format::Tar => extract_tar(path, file, &partial),
        Format::TarGz => extract_tar(path, GzDecoder::new(file), &partial),
    };
    if let Err(error) = extracted {
        let _ = fs::remove_dir_all(&partial);
        return Err(error);
    }
    match fs::rename(&partial, &target) {
        // Another process was faster.
        Err(_) if target.is_dir() => {
            let _ = fs::remove_dir_all(&partial);
            Ok(target)
        }
        Err(error) => Err(DataError::io(&target, "create the folder", error)),
        Ok(()) => Ok(target),
    }
}

/// Name of the extracted folder: SHA-256 of path, size, modification time and identity of the
/// archive.
fn key(path: &Path) -> Result<String, DataError> {
    let data = fs::metadata(path).map_err(|error| DataError::io(path, "read its size", error))?;
    let modified = data
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let real = path.canonicalize().unwrap_or(path.to_path_buf());
    let mut hash = Sha256Writer::default();
    hash.update(real.to_string_lossy().as_bytes());
    hash.update(&data.len().to_le_bytes());
    hash.update(&modified.map_or(0, |time| time.as_nanos()).to_le_bytes());
    for number in identity(&data) {
        hash.update(&number.to_le_bytes());
    }
    let stem = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = stem.split('.').next().unwrap_or_default();
    Ok(format!("{stem}-{}", &hash.finish()[..16]))
}

fn extract_zip(path: &Path, file: impl Read + Seek, target: &Path) -> Result<(), DataError> {
    let broken = |error: zip::result::ZipError| archive_error(path, &error.to_string());
    let mut archive = zip::ZipArchive::new(file).map_err(broken)?;
    let mut left = LARGEST;
    for index in 0..archive.len().min(MOST_ENTRIES) {
        let mut entry = archive.by_index(index).map_err(broken)?;
        if entry.is_dir() || entry.is_symlink() {
            continue;
        }
        let name = PathBuf::from(entry.name().map_err(broken)?.into_owned());
        write_entry(path, &name, &mut entry, target, &mut left)?;
    }
    Ok(())
}

fn extract_tar(path: &Path, contents: impl Read, target: &Path) -> Result<(), DataError> {
    let broken = |error: io::Error| archive_error(path, &error.to_string());
    let mut archive = tar::Archive::new(contents);
    let mut left = LARGEST;
    // The name of the next entry, if an extended header gives it.
    let mut long_name = None;
    // Raw entries, because the library reads long names into memory whatever their length.
    for entry in archive
        .entries()
        .map_err(broken)?
        .raw(true)
        .take(MOST_ENTRIES)
    {
        let mut entry = entry.map_err(broken)?;
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() || kind.is_pax_local_extensions() {
            let mut header = Vec::new();
            let mut limited = entry.by_ref().take(LONGEST_HEADER + 1);
            limited.read_to_end(&mut header).map_err(broken)?;
            if header.len() as u64 > LONGEST_HEADER {
                return Err(archive_error(path, "the name of an entry is too long"));
            }
            long_name = match kind.is_gnu_longname() {
                true => Some(
                    header
                        .split(|byte| *byte == 0)
                        .next()
                        .unwrap_or_default()
                        .to_vec(),
                ),
                false => pax_path(&header).or(long_name),
            };
            continue;
        }
        let name = match long_name.take() {
            Some(name) => PathBuf::from(String::from_utf8_lossy(&name).into_owned()),
            None => entry.path().map_err(broken)?.into_owned(),
        };
        if kind.is_file() {
            write_entry(path, &name, &mut entry, target, &mut left)?;
        }
    }
    Ok(())
}

/// Longest extended header that is read, in bytes.
const LONGEST_HEADER: u64 = 1 << 20;

/// The value of `path` in an extended header of POSIX: lines `LENGTH KEY=VALUE`.
fn pax_path(header: &[u8]) -> Option<Vec<u8>> {
    let mut rest = header;
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
        let record = rest.get(space + 1..length.checked_sub(1)?)?;
        if let Some(path) = record.strip_prefix(b"path=") {
            return Some(path.to_vec());
        }
        rest = rest.get(length..)?;
    }
    None
}

fn write_entry(
    archive: &Path,
    name: &Path,
    contents: &mut impl Read,
    target: &Path,
    left: &mut u64,
) -> Result<(), DataError> {
    let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if !name.components().all(inside) {
        return Err(DataError::ArchivePath {
            path: archive.to_path_buf(),
            entry: name.display().to_string(),
        });
    }
    let path = target.join(name);
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput => {
            archive_error(archive, &error.to_string())
        }
        _ => DataError::io(&path, "extract it", error),
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = File::create(&path).map_err(failed)?;
    // One byte more than allowed, to notice that there is one.
    let written = io::copy(&mut contents.take(*left + 1), &mut file).map_err(failed)?;
    if written > *left {
        let limit = LARGEST >> 30;
        return Err(archive_error(
            archive,
            &format!("it has more than {limit} GiB"),
        ));
    }
    *left -= written;
    Ok(())
}

fn archive_error(path: &Path, reason: &str) -> DataError {
    DataError::Archive {
        path: path.to_path_buf(),
        reason: reason.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}
