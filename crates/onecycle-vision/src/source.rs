//! Reads a data set by its name, its path, or both.

use std::path::{Path, PathBuf};

use crate::catalog::{self, Format, KnownSet};
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::folder::{self, FolderOptions};
use crate::formats::{cifar, mnist};
use crate::locate::Places;

/// Name of the data set that is read if neither a name nor a path is given.
pub const DEFAULT: &str = "fashion-mnist";

/// The supported layouts, for error messages.
const LAYOUTS: &str = "a folder with a folder of images for each class (or train/CLASS/ and val/CLASS/) or a zip or tar archive of it, the four IDX files of an MNIST-like set, or the binary version of CIFAR-10 or CIFAR-100";

/// Where a data set comes from.
///
/// A name alone is searched for in the known places ([`locate`](crate::locate)). With a path alone,
/// the contents at that path decide which set it is. With both, the path must contain the set of
/// that name.
///
/// ```no_run
/// use onecycle_vision::Source;
///
/// let fashion = Source::named("fashion-mnist").load()?;
/// let pets = Source::at("photos/pets").load()?;
/// # Ok::<(), onecycle_vision::DataError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// Name of a known set.
    pub name: Option<String>,
    /// Folder or archive.
    pub path: Option<PathBuf>,
    /// How a folder of images is read; the known sets ignore it.
    pub folder: FolderOptions,
}

/// The kind of data set found at a path.
enum Kind {
    Idx(Option<&'static KnownSet>),
    Cifar(&'static KnownSet),
    Images,
}

impl Source {
    /// A known set, from the first known place that has it.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..Self::default()
        }
    }

    /// The data set at this path, whichever it is.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: Some(path.into()),
            ..Self::default()
        }
    }

    /// Reads and checks the data set: [`DEFAULT`] if neither name nor path is given.
    ///
    /// # Errors
    /// A [`DataError`] that names the missing or wrong file and the remedy.
    pub fn load(&self) -> Result<Dataset, DataError> {
        self.load_from(&Places::of_process())
    }

    /// Like [`load`](Self::load), but searches these places.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    pub fn load_from(&self, places: &Places) -> Result<Dataset, DataError> {
        let name = match (&self.name, &self.path) {
            (None, Some(path)) => return self.load_path(path),
            (name, _) => name.as_deref().unwrap_or(DEFAULT),
        };
        let set = catalog::find(name)?;
        let place = match &self.path {
            Some(path) => within(path, set)?,
            None => places.find(set)?,
        };
        load_known(&place, set)
    }

    fn load_path(&self, path: &Path) -> Result<Dataset, DataError> {
        match detect(path)? {
            Kind::Idx(set) => mnist::load(path, set),
            Kind::Cifar(set) => {
                cifar::load(&cifar::locate(path, set).unwrap_or(path.to_path_buf()), set)
            }
            Kind::Images => folder::load(path, &self.folder),
        }
    }
}

/// Reads a known set from its folder or archive.
pub(crate) fn load_known(path: &Path, set: &'static KnownSet) -> Result<Dataset, DataError> {
    match set.format {
        Format::Idx => mnist::load(path, Some(set)),
        Format::Cifar { .. } => cifar::load(path, set),
    }
}

/// Finds a known set at a path given by the user: the set itself, or a folder of data sets.
pub(crate) fn within(path: &Path, set: &'static KnownSet) -> Result<PathBuf, DataError> {
    exists(path, &format!("the files of {}", set.title))?;
    let candidates: Vec<PathBuf> = [path.to_path_buf()]
        .into_iter()
        .chain(set.folders.iter().map(|name| path.join(name)))
        .collect();
    let found = candidates.iter().find_map(|path| match set.format {
        Format::Idx => mnist::looks_like(path).then(|| path.clone()),
        Format::Cifar { .. } => cifar::locate(path, set),
    });
    let Some(found) = found else {
        let found = match detect(path) {
            Ok(Kind::Idx(_)) => "IDX files",
            Ok(Kind::Cifar(other)) => other.title,
            Ok(Kind::Images) => "a folder of images",
            Err(_) => "none of its files",
        };
        return Err(other_set(path, found, set));
    };
    let other = match set.format {
        Format::Idx => mnist::identify(&found),
        Format::Cifar { .. } if found.is_file() => cifar::identify(&found),
        Format::Cifar { .. } => None,
    };
    match other {
        Some(other) if other.name != set.name => Err(other_set(&found, other.title, set)),
        _ => Ok(found),
    }
}

fn other_set(path: &Path, found: &str, set: &KnownSet) -> DataError {
    DataError::Layout {
        path: path.to_path_buf(),
        found: format!("{found} in it, but `{}` was asked for", set.name),
        expected: format!("the files of {}; change the name or the path", set.title),
    }
}

fn detect(path: &Path) -> Result<Kind, DataError> {
    exists(path, LAYOUTS)?;
    if path.is_dir() && mnist::looks_like(path) {
        return Ok(Kind::Idx(mnist::identify(path)));
    }
    if let Some(set) = cifar::identify(path) {
        return Ok(Kind::Cifar(set));
    }
    if path.is_dir() || folder::is_archive(path) {
        return Ok(Kind::Images);
    }
    Err(DataError::Layout {
        path: path.to_path_buf(),
        found: "a file that is not an archive".to_owned(),
        expected: LAYOUTS.to_owned(),
    })
}

fn exists(path: &Path, expected: &str) -> Result<(), DataError> {
    match path.try_exists() {
        Ok(true) => Ok(()),
        Ok(false) => Err(DataError::Missing {
            path: path.to_path_buf(),
            expected: expected.to_owned(),
        }),
        Err(error) => Err(DataError::io(path, "look at it", error)),
    }
}
