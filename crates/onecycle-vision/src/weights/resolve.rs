//! Finds weights by name or path.

use std::env;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::catalogue::{self, KnownWeights};
use crate::error::DataError;
use crate::files::sha256_of_file;
use crate::locate;

/// Name of the environment variable for a folder of weights, searched before the cache.
pub const FOLDER: &str = "ONECYCLE_WEIGHTS";

/// Metadata key of a converted file: the name of the known weights.
pub(super) const NAME: &str = "onecycle.weights";

/// Largest header of a safetensors file that is read.
const LARGEST_HEADER: u64 = 100 << 20;

/// A file of weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The file.
    pub path: PathBuf,
    /// The known weights that it has; `None` for any other file.
    pub known: Option<&'static KnownWeights>,
}

/// Finds weights: `text` is the path of a file, or the name of known weights that were downloaded.
///
/// A name is searched as `NAME.safetensors` in the folder of the variable `ONECYCLE_WEIGHTS`, then in
/// `weights` in the user's cache folder.
///
/// # Errors
/// [`DataError::UnknownWeights`] for a name that is unknown; [`DataError::WeightsNotFound`] if its
/// file was not downloaded; [`DataError::Missing`] for a path that does not exist;
/// [`DataError::PickledWeights`] for a file of PyTorch.
pub fn resolve(text: &str) -> Result<Resolved, DataError> {
    let path = Path::new(text);
    if path.is_file() {
        check_format(path)?;
        return Ok(Resolved {
            path: path.to_path_buf(),
            known: identify(path)?,
        });
    }
    if path.components().count() > 1 || path.extension().is_some() {
        return Err(DataError::Missing {
            path: path.to_path_buf(),
            expected: "a safetensors file, or a name that `onecycle weights list` shows".to_owned(),
        });
    }
    let known = catalogue::find(text)?;
    match installed(known) {
        Some(path) => Ok(Resolved {
            path,
            known: Some(known),
        }),
        None => Err(DataError::WeightsNotFound {
            name: known.name,
            looked_in: folders(),
        }),
    }
}

/// The file of known weights that were downloaded.
pub fn installed(known: &KnownWeights) -> Option<PathBuf> {
    let files = folders()
        .into_iter()
        .map(|folder| folder.join(known.file_name()));
    files.into_iter().find(|path| path.is_file())
}

/// The known weights that a file has: it is a published file, or was converted from one. `None` for
/// any other file, also for one that is no safetensors file.
///
/// # Errors
/// [`DataError::Io`] if the file cannot be read.
pub fn identify(path: &Path) -> Result<Option<&'static KnownWeights>, DataError> {
    let failed = |error| DataError::io(path, "read it", error);
    let size = path.metadata().map_err(failed)?.len();
    let same_size = catalogue::all().iter().find(|known| known.size == size);
    if let Some(known) = same_size
        && sha256_of_file(path)? == known.sha256
    {
        return Ok(Some(known));
    }
    let name = name_in(path)?;
    Ok(name.and_then(|name| catalogue::all().iter().find(|known| known.name == name)))
}

/// The name of the known weights that a file was converted from, as its metadata say.
pub(super) fn name_in(path: &Path) -> Result<Option<String>, DataError> {
    let failed = |error| DataError::io(path, "read it", error);
    let mut file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size < 8 {
        return Ok(None);
    }
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(failed)?;
    let header = u64::from_le_bytes(length);
    if header > LARGEST_HEADER || header > size - 8 {
        return Ok(None);
    }
    // safetensors only reads the metadata of a whole file.
    let mut bytes = Vec::new();
    file.take(header).read_to_end(&mut bytes).map_err(failed)?;
    let header: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
    let name = header
        .as_ref()
        .and_then(|header| header.get("__metadata__")?.get(NAME)?.as_str());
    Ok(name.map(str::to_owned))
}

/// Refuses a file that `torch.save` wrote. Such files can run any program when they are read, so
/// they must be converted.
///
/// # Errors
/// [`DataError::PickledWeights`] with the lines of Python that convert it.
pub fn check_format(path: &Path) -> Result<(), DataError> {
    let mut start = [0; 2];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    let extension = path.extension().and_then(|extension| extension.to_str());
    let named = matches!(extension, Some("pth" | "pt" | "bin" | "ckpt"));
    // A zip archive, which is no safetensors file: its header would be too long. A pickle could be one,
    // so its name decides.
    if read.is_ok() && (&start == b"PK" || named) {
        return Err(DataError::PickledWeights {
            converted: path.with_extension("safetensors"),
            path: path.to_path_buf(),
        });
    }
    Ok(())
}

/// The folders that are searched for weights, without duplicates.
fn folders() -> Vec<PathBuf> {
    let variable = env::var_os(FOLDER).filter(|folder| !folder.is_empty());
    let cache = locate::cache_folder().map(|cache| cache.join("weights"));
    let mut folders: Vec<PathBuf> = variable
        .map(PathBuf::from)
        .into_iter()
        .chain(cache)
        .collect();
    folders.dedup();
    folders
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_of_pytorch_are_refused_with_a_command_that_converts_them() {
        let folder = tempfile::tempdir().unwrap();
        for (name, contents) in [
            ("a.pth", &b"\x80\x02"[..]),
            ("b", b"PK\x03\x04"),
            ("c.bin", b"PK"),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, contents).unwrap();
            let message = resolve(path.to_str().unwrap()).unwrap_err().to_string();
            assert_eq!(message.lines().count(), 1, "{message}");
            assert!(message.contains("python3 -c 'import torch"), "{message}");
            assert!(
                message.contains(&format!("torch.load({path:?}")),
                "{message}"
            );
            let converted = path.with_extension("safetensors");
            assert!(message.ends_with(&format!("{converted:?})'")), "{message}");
        }
    }

    #[test]
    fn paths_and_names_are_told_apart() {
        let error = |text: &str| resolve(text).unwrap_err();
        for path in ["none/resnet18", "resnet18.safetensors"] {
            assert!(matches!(error(path), DataError::Missing { .. }), "{path}");
        }
        let unknown = error("resnet19").to_string();
        assert!(unknown.contains("did you mean `resnet18`?"), "{unknown}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.safetensors");
        for contents in [
            &b""[..],
            b"text",
            &[0xff; 20],
            &[4, 0, 0, 0, 0, 0, 0, 0, b'{', b'}', b' ', b' '],
        ] {
            fs::write(&path, contents).unwrap();
            let resolved = resolve(path.to_str().unwrap()).unwrap();
            assert_eq!((resolved.path, resolved.known), (path.clone(), None));
        }
    }
}
