//! Downloads published weights.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, tensor::TensorView};

use super::catalogue::{self, Archived, KnownWeights};
use super::pickle::{self, Tensor};
use super::resolve::{NAME, name_in};
use crate::download::{self, Progress, Published};
use crate::error::DataError;
use crate::files::{self, sha256};
use crate::locate;

/// Name of the environment variable for the address of a mirror: of a folder that has the files under
/// the names of [`KnownWeights::file`].
pub const MIRROR: &str = "ONECYCLE_WEIGHTS_URL";

/// Downloads the weights `name`, unless they are there already, and returns their safetensors file.
///
/// `destination` is the folder of the file; by default `weights` in the user's cache folder. `base`
/// is the address of a mirror and replaces the published one; by default it is the value of
/// [`MIRROR`]. `progress` is called as in [`download::get`].
///
/// A download that was interrupted continues. A file has its name only if its checksum is the
/// published one. Weights in an archive are converted to safetensors.
///
/// # Errors
/// [`DataError::UnknownWeights`]; [`DataError::Download`] or [`DataError::Checksum`];
/// [`DataError::Io`] if a file cannot be written; [`DataError::NoDownload`] if the crate was built
/// without the feature `download`.
pub fn get(
    name: &str,
    destination: Option<&Path>,
    base: Option<&str>,
    progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf, DataError> {
    let known = catalogue::find(name)?;
    let folder = match destination {
        Some(folder) => folder.to_path_buf(),
        None => locate::cache_folder()
            .map(|cache| cache.join("weights"))
            .ok_or_else(|| DataError::Setting {
                key: "destination",
                value: "not given".to_owned(),
                expected: "a folder, since no home folder is known".to_owned(),
            })?,
    };
    let variable = std::env::var(MIRROR).ok().filter(|base| !base.is_empty());
    let url = match base.or(variable.as_deref()) {
        Some(base) => format!("{}/{}", base.trim_end_matches('/'), known.file),
        None => known.url.to_owned(),
    };
    get_known(known, &folder, &url, progress)
}

/// Downloads weights from `url` into `folder`, unless they are there already.
fn get_known(
    known: &KnownWeights,
    folder: &Path,
    url: &str,
    progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf, DataError> {
    let mut report = |bytes, present| {
        progress(Progress {
            file: known.file,
            index: 0,
            files: 1,
            bytes,
            total: known.size,
            present,
        });
    };
    let target = folder.join(known.file_name());
    let published = Published {
        size: known.size,
        algorithm: "sha256",
        checksum: known.sha256,
    };
    let present = match known.archived {
        None => download::is_published(&target, published)?,
        Some(_) => target.is_file() && is_converted(&target, known)?,
    };
    if present {
        report(known.size, true);
        return Ok(target);
    }
    let fetched = match known.archived {
        None => target.clone(),
        Some(_) => folder.join(known.file),
    };
    if !download::is_published(&fetched, published)? {
        download::fetch(known.name, url, published, &fetched, &mut |bytes| {
            report(bytes, false);
        })?;
    }
    if let Some(archived) = known.archived {
        let tensors = unpack(&fetched, archived)?;
        let bytes = to_safetensors(known, &tensors, &fetched)?;
        files::write(&target, &bytes)?;
        fs::remove_file(&fetched).map_err(|error| DataError::io(&fetched, "remove it", error))?;
    }
    Ok(target)
}

/// Whether a file was converted from these weights and is complete.
fn is_converted(path: &Path, known: &KnownWeights) -> Result<bool, DataError> {
    if name_in(path)?.as_deref() != Some(known.name) {
        return Ok(false);
    }
    // It was written at once, so that it is whole if its tensors end where it ends.
    let bytes = fs::read(path).map_err(|error| DataError::io(path, "read it", error))?;
    Ok(safetensors::SafeTensors::deserialize(&bytes).is_ok())
}

/// The tensors of the weights in an archive.
fn unpack(archive: &Path, archived: Archived) -> Result<Vec<(String, Tensor)>, DataError> {
    let wrong = |why: String| DataError::BadWeights {
        path: archive.to_path_buf(),
        why,
    };
    let file = File::open(archive).map_err(|error| DataError::io(archive, "read it", error))?;
    let mut zip = zip::ZipArchive::new(file).map_err(|error| wrong(error.to_string()))?;
    let mut member = zip
        .by_name(archived.member)
        .map_err(|error| wrong(format!("{}: {error}", archived.member)))?;
    let mut bytes = Vec::new();
    member
        .read_to_end(&mut bytes)
        .map_err(|error| wrong(format!("{}: {error}", archived.member)))?;
    let found = sha256(&bytes);
    if found != archived.sha256 {
        return Err(DataError::Checksum {
            origin: format!("{}: {}", archive.display(), archived.member),
            algorithm: "sha256",
            expected: archived.sha256.to_owned(),
            found,
        });
    }
    pickle::read(&bytes).map_err(|why| wrong(format!("{}: {why}", archived.member)))
}

/// A safetensors file with these tensors, in single precision. The same tensors give the same bytes.
fn to_safetensors(
    known: &KnownWeights,
    tensors: &[(String, Tensor)],
    origin: &Path,
) -> Result<Vec<u8>, DataError> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, tensor)| {
            tensor
                .values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect()
        })
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, tensor), bytes)| {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)?;
        Ok((name.as_str(), view))
    });
    let views: Result<Vec<_>, safetensors::SafeTensorError> = views.collect();
    let metadata = HashMap::from([(NAME.to_owned(), known.name.to_owned())]);
    views
        .and_then(|views| safetensors::serialize(views, Some(metadata)))
        .map_err(|error| DataError::BadWeights {
            path: origin.to_path_buf(),
            why: error.to_string(),
        })
}

#[cfg(all(test, feature = "download"))]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::weights::find;

    const MEMBER: &str = "package/weights.pth";

    /// An archive of a small file of PyTorch.
    fn archive() -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        zip.start_file(MEMBER, zip::write::SimpleFileOptions::default())
            .unwrap();
        zip.write_all(include_bytes!("../../tests/data/state_dict.pth"))
            .unwrap();
        zip.finish().unwrap().into_inner()
    }

    fn leaked(text: String) -> &'static str {
        Box::leak(text.into_boxed_str())
    }

    /// Known weights with these contents.
    fn known(contents: &[u8], archived: bool) -> KnownWeights {
        let member = include_bytes!("../../tests/data/state_dict.pth");
        let archived = archived.then(|| Archived {
            member: MEMBER,
            sha256: leaked(sha256(member)),
        });
        KnownWeights {
            size: contents.len() as u64,
            sha256: leaked(sha256(contents)),
            archived,
            ..*find("efficientnet-lite0").unwrap()
        }
    }

    /// Serves the contents, and the rest of them if that is asked for. The first answer ends after
    /// `first` bytes. Returns an address.
    fn serve(contents: Vec<u8>, first: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/file", listener.local_addr().unwrap());
        // The thread ends with the test's process.
        std::thread::spawn(move || {
            let mut end = first;
            for stream in listener.incoming().map_while(Result::ok) {
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let lines = lines
                    .map_while(Result::ok)
                    .take_while(|line| !line.is_empty());
                let from: usize = lines
                    .filter_map(|line| {
                        line.to_lowercase()
                            .strip_prefix("range: bytes=")
                            .map(str::to_owned)
                    })
                    .map(|range| range.trim_end_matches('-').parse::<usize>().unwrap())
                    .sum();
                let (length, all) = (contents.len() - from, contents.len());
                let status = match from {
                    0 => "200 OK".to_owned(),
                    _ => format!(
                        "206 Partial Content\r\nContent-Range: bytes {from}-{}/{all}",
                        all - 1
                    ),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                let body = &contents[from..end.max(from)];
                // The client may have closed the connection.
                let _ = (&stream).write_all(&[head.as_bytes(), body].concat());
                end = all;
            }
        });
        address
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// A download that breaks off continues, is converted, and is not repeated.
    #[test]
    fn an_archive_becomes_a_safetensors_file() {
        let folder = tempfile::tempdir().unwrap();
        let contents = archive();
        let known = known(&contents, true);
        let url = serve(contents.clone(), 100);
        let seen = std::cell::RefCell::new(Vec::new());
        let get = |url: &str| {
            get_known(&known, folder.path(), url, &mut |p| {
                seen.borrow_mut().push((p.bytes, p.present));
            })
        };
        let broken = get(&url).unwrap_err();
        assert!(broken.to_string().contains("after 100 of"), "{broken}");
        let path = get(&url).unwrap();
        assert_eq!(get("http://127.0.0.1:9/nobody").unwrap(), path);
        assert!(seen.borrow().contains(&(100, false)), "{seen:?}");
        assert_eq!(seen.borrow().last(), Some(&(known.size, true)));
        assert_eq!(names(folder.path()), ["efficientnet-lite0.safetensors"]);
        let bytes = fs::read(&path).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.tensor("matrix").unwrap().shape(), [3, 2]);
        assert!(file.tensor("num_batches_tracked").is_err());
        let identified = crate::weights::identify(&path).unwrap().unwrap();
        assert_eq!(identified.name, "efficientnet-lite0");
        // A damaged file is downloaded again.
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(fs::read(get(&url).unwrap()).unwrap(), bytes);
    }

    #[test]
    fn other_contents_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let contents = archive();
        let mut other = contents.clone();
        other[60] ^= 1;
        let url = serve(other.clone(), other.len());
        let get = |known: &KnownWeights| get_known(known, folder.path(), &url, &mut |_| {});
        let error = get(&known(&contents, false)).unwrap_err();
        assert!(matches!(error, DataError::Checksum { .. }), "{error}");
        assert!(names(folder.path()).is_empty());
        // The archive is as published, but not what is in it.
        let wrong = KnownWeights {
            archived: Some(Archived {
                member: MEMBER,
                sha256: known(&contents, false).sha256,
            }),
            ..known(&other, false)
        };
        assert!(get(&wrong).is_err());
        assert!(
            !folder
                .path()
                .join("efficientnet-lite0.safetensors")
                .exists()
        );
        assert!(get(&known(&other, false)).is_ok());
    }
}
