//! Downloads the published files of a known data set. Those of [`weights`](crate::weights) are
//! downloaded in the same way.
//!
//! A file is checked while it is written as `NAME.partial`, and gets its own name only if its
//! checksum is the published one. If the connection breaks or the program ends, the part stays, and
//! the next attempt asks the server for the rest only.

#[cfg(feature = "download")]
mod certificates;
#[cfg(feature = "download")]
mod partial;

use std::path::{Path, PathBuf};

use crate::catalog::{self, KnownFile};
use crate::error::DataError;
use crate::files::Checksums;
use crate::locate;

/// Progress of a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Name of the current file.
    pub file: &'static str,
    /// Index of the current file among the files of the set, from 0.
    pub index: usize,
    /// Number of files of the set.
    pub files: usize,
    /// Bytes of this file downloaded so far.
    pub bytes: u64,
    /// Size of this file in bytes.
    pub total: u64,
    /// Whether the published file already existed, so that nothing is downloaded.
    pub present: bool,
}

/// Downloads the missing files of the set `name` and returns the folder that has them.
///
/// `destination` is that folder; by default it is the set's folder in the user's cache. `base` is
/// the address of a folder with the files, such as a mirror, and replaces the addresses in the
/// catalogue. `progress` is called at the start and end of each file, and about every 64 KiB; a
/// download that continues begins with the bytes of the earlier attempts.
///
/// # Errors
/// [`DataError::UnknownSet`]; [`DataError::Download`] or [`DataError::Checksum`] for the last
/// address that was tried; [`DataError::Io`] if a file cannot be written; [`DataError::NoDownload`]
/// if the crate was built without the feature `download`.
pub fn get(
    name: &str,
    destination: Option<&Path>,
    base: Option<&str>,
    progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf, DataError> {
    let set = catalog::find(name)?;
    let folder = match destination {
        Some(folder) => folder.to_path_buf(),
        None => locate::cache_folder()
            .map(|cache| cache.join(set.name))
            .ok_or_else(|| DataError::Setting {
                key: "destination",
                value: "not given".to_owned(),
                expected: "a folder, since no home folder is known".to_owned(),
            })?,
    };
    for (index, file) in set.files.iter().enumerate() {
        let files = set.files.len();
        let mut report = |bytes, present| {
            progress(Progress {
                file: file.name,
                index,
                files,
                bytes,
                total: file.size,
                present,
            });
        };
        let target = folder.join(file.name);
        let published = Published::of(file);
        if is_published(&target, published)? {
            report(file.size, true);
            continue;
        }
        let bases = base.map_or_else(|| set.urls.to_vec(), |base| vec![base]);
        let mut outcome = Ok(());
        for base in bases {
            let url = format!("{}/{}", base.trim_end_matches('/'), file.name);
            outcome = fetch(set.name, &url, published, &target, &mut |bytes| {
                report(bytes, false)
            });
            // Another address helps if this one failed, but not if the disk did.
            if !matches!(
                outcome,
                Err(DataError::Download { .. } | DataError::Checksum { .. })
            ) {
                break;
            }
        }
        outcome?;
    }
    Ok(folder)
}

/// Size and checksum of a published file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Published {
    /// Size in bytes.
    pub(crate) size: u64,
    /// Name of the checksum: `sha256` or `md5`.
    pub(crate) algorithm: &'static str,
    /// The checksum in hexadecimal digits.
    pub(crate) checksum: &'static str,
}

impl Published {
    /// SHA-256 if it is known, otherwise MD5.
    fn of(file: &KnownFile) -> Self {
        let (algorithm, checksum) = match file.sha256 {
            Some(sha256) => ("sha256", sha256),
            None => ("md5", file.md5),
        };
        Published {
            size: file.size,
            algorithm,
            checksum,
        }
    }
}

/// Whether the file exists with the published contents.
pub(crate) fn is_published(path: &Path, file: Published) -> Result<bool, DataError> {
    use std::io::Read;
    if path.metadata().map_or(true, |data| data.len() != file.size) {
        return Ok(false);
    }
    let mut reader = crate::files::open(path, "a published file")?;
    let mut sums = Checksums::default();
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = reader
            .read(&mut buffer)
            .map_err(|error| DataError::io(path, "read it", error))?;
        if count == 0 {
            break;
        }
        sums.update(&buffer[..count]);
    }
    Ok(check(sums, file, "").is_ok())
}

/// Compares with the published checksum.
fn check(sums: Checksums, file: Published, origin: &str) -> Result<(), DataError> {
    let (sha256, md5) = sums.finish();
    let found = match file.algorithm {
        "sha256" => sha256,
        _ => md5,
    };
    if file.checksum == found {
        return Ok(());
    }
    Err(DataError::Checksum {
        origin: origin.to_owned(),
        algorithm: file.algorithm,
        expected: file.checksum.to_owned(),
        found,
    })
}

const CHUNK: usize = 1 << 16;

#[cfg(not(feature = "download"))]
pub(crate) fn fetch(
    name: &str,
    url: &str,
    _file: Published,
    _target: &Path,
    _progress: &mut dyn FnMut(u64),
) -> Result<(), DataError> {
    Err(DataError::NoDownload {
        name: name.to_owned(),
        url: url.to_owned(),
    })
}

/// Downloads a file and compares its checksum. `progress` is called with the bytes so far.
#[cfg(feature = "download")]
pub(crate) fn fetch(
    _name: &str,
    url: &str,
    file: Published,
    target: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<(), DataError> {
    let Some(mut part) = partial::PartialFile::open(target)? else {
        return Err(DataError::Download {
            url: url.to_owned(),
            reason: "another process is downloading it; wait until it has finished".to_owned(),
        });
    };
    if part.bytes() >= file.size {
        part.clear()?;
    }
    let continued = part.bytes() > 0;
    progress(part.bytes());
    let mut outcome = fetch_rest(url, file, &mut part, progress);
    if continued && matches!(outcome, Err(Failure::WrongFile(_))) {
        // The earlier part may have been damaged, or may be from another version of the file.
        outcome = fetch_rest(url, file, &mut part, progress);
    }
    match outcome {
        Ok(()) => part.commit(),
        Err(Failure::WrongFile(error) | Failure::Other(error)) => Err(error),
    }
}

/// Why a download failed.
#[cfg(feature = "download")]
enum Failure {
    /// The server's file is not the published one. No bytes are kept.
    WrongFile(DataError),
    /// Anything else. The bytes that arrived are kept.
    Other(DataError),
}

#[cfg(feature = "download")]
impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Failure::Other(error)
    }
}

/// Downloads the rest of a file and compares the checksum.
#[cfg(feature = "download")]
fn fetch_rest(
    url: &str,
    file: Published,
    part: &mut partial::PartialFile,
    progress: &mut dyn FnMut(u64),
) -> Result<(), Failure> {
    use std::io::Read;
    use std::time::Duration;

    use ureq::tls::TlsConfig;

    let failed = |reason: String| DataError::Download {
        url: url.to_owned(),
        reason,
    };
    if !["http://", "https://"]
        .iter()
        .any(|scheme| url.starts_with(scheme))
    {
        let reason = "only addresses that begin with http:// or https:// can be downloaded; copy a file that is \
            on this machine to where it is expected";
        return Err(Failure::Other(failed(reason.to_owned())));
    }
    let agent = ureq::Agent::new_with_config(
        ureq::Agent::config_builder()
            .timeout_resolve(Some(Duration::from_secs(30)))
            .timeout_connect(Some(Duration::from_secs(30)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            // Do not wait forever for a server that stops sending.
            .timeout_recv_body(Some(Duration::from_secs(2 * 3600)))
            .tls_config(
                TlsConfig::builder()
                    .root_certs(certificates::roots(url).map_err(failed)?)
                    .build(),
            )
            .user_agent(concat!("onecycle/", env!("CARGO_PKG_VERSION")))
            .build(),
    );
    // With compression in transit, the bytes would not be the published ones.
    let mut request = agent.get(url).header("Accept-Encoding", "identity");
    if part.bytes() > 0 {
        request = request.header("Range", format!("bytes={}-", part.bytes()));
    }
    let response = request.call().map_err(|error| {
        let error = error.to_string();
        failed(format!("{error}{}", certificates::remedy(&error)))
    })?;
    if !continues(&response, part.bytes()) {
        part.clear()?;
        progress(0);
    }
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0; CHUNK];
    loop {
        let (bytes, size) = (part.bytes(), file.size);
        let count = body.read(&mut buffer).map_err(|error| {
            failed(format!(
                "after {bytes} of {size} bytes, which are kept: {error}"
            ))
        })?;
        if count == 0 {
            break;
        }
        if bytes + count as u64 > size {
            part.clear()?;
            let reason = format!("the file is longer than the {size} bytes published");
            return Err(Failure::WrongFile(failed(reason)));
        }
        part.append(&buffer[..count])?;
        progress(part.bytes());
    }
    if part.bytes() < file.size {
        let (bytes, size) = (part.bytes(), file.size);
        part.clear()?;
        let reason = format!("the file ended after {bytes} of {size} bytes");
        return Err(Failure::WrongFile(failed(reason)));
    }
    check(part.sums(), file, url).or_else(|error| {
        part.clear()?;
        Err(Failure::WrongFile(error))
    })
}

/// Whether the response begins at byte `from`. A server that cannot send a part of a file sends all
/// of it.
#[cfg(feature = "download")]
fn continues(response: &ureq::http::Response<ureq::Body>, from: u64) -> bool {
    let range = response.headers().get("Content-Range");
    let range = range.and_then(|range| range.to_str().ok());
    let begins = format!("bytes {from}-");
    from == 0 || response.status() == 206 && range.is_some_and(|range| range.starts_with(&begins))
}
