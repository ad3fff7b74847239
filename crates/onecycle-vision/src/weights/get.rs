//! Downloads published weights.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, tensor::TensorView};

use super::catalogue::{self, Archived, KnownWeights};
use super::pickle::{self, Tensor};
use super::resolve::identify;
use crate::download::{self, Progress, Published};
use crate::error::DataError;
use crate::files::{self, sha256};
use crate::locate;

/// Name of the environment variable for the address of a mirror: of a folder that has the files under
/// the names of [`KnownWeights::file`].
pub const MIRROR: &str = "ONECYCLE_WEIGHTS_URL";

/// Metadata key of a converted file: the name of the known weights.
pub(super) const NAME: &str = "onecycle.weights";

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
    if target.is_file() && identify(&target)? == Some(known) && is_whole(&target, known)? {
        report(known.size, true);
        return Ok(target);
    }
    let variable = std::env::var(MIRROR).ok().filter(|base| !base.is_empty());
    let url = match base.or(variable.as_deref()) {
        Some(base) => format!("{}/{}", base.trim_end_matches('/'), known.file),
        None => known.url.to_owned(),
    };
    let published = Published {
        size: known.size,
        algorithm: "sha256",
        checksum: known.sha256,
    };
    let fetched = match known.archived {
        None => target.clone(),
        Some(_) => folder.join(known.file),
    };
    if !download::is_published(&fetched, published)? {
        download::fetch(known.name, &url, published, &fetched, &mut |bytes| {
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

/// Whether the file is complete. A published file was compared by its checksum; a converted one is
/// written at once, so that it is whole if its tensors end where it ends.
fn is_whole(path: &Path, known: &KnownWeights) -> Result<bool, DataError> {
    if known.archived.is_none() {
        return Ok(true);
    }
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
