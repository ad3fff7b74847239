//! The places in which a known data set is searched for.
//!
//! In this order:
//!
//! 1. the folder named by `ONECYCLE_DATA` (a folder of data sets, or the set itself);
//! 2. `data` in the current folder and in the folders above it;
//! 3. `data` in the folders above this crate, so that a checkout works from any current folder;
//! 4. the user's cache folder, which also receives downloads.

use std::env;
use std::path::{Path, PathBuf};

use crate::catalog::{self, Format, KnownSet};
use crate::error::DataError;
use crate::formats::{cifar, mnist};

/// Name of the environment variable for a folder of data sets.
pub const VARIABLE: &str = "ONECYCLE_DATA";

/// The places to search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Value of `ONECYCLE_DATA`.
    pub variable: Option<PathBuf>,
    /// Folders to start from: `data` in each of them and in every folder above it is searched.
    pub checkouts: Vec<PathBuf>,
    /// The user's cache folder of this program.
    pub cache: Option<PathBuf>,
}

impl Places {
    /// The places of this process.
    pub fn of_process() -> Self {
        let crate_folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        Self {
            variable: env::var_os(VARIABLE)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from),
            checkouts: env::current_dir()
                .into_iter()
                .chain([crate_folder])
                .collect(),
            cache: cache_folder(),
        }
    }

    /// The folder or archive of a known set.
    ///
    /// # Errors
    /// [`DataError::NotFound`] with the folders that were searched.
    pub fn find(&self, set: &KnownSet) -> Result<PathBuf, DataError> {
        let mut looked_in = Vec::new();
        let mut look = |folder: &Path| {
            if looked_in.iter().all(|seen| seen != folder) {
                looked_in.push(folder.to_path_buf());
            }
            find_below(folder, set)
        };
        if let Some(folder) = &self.variable
            && let Some(found) = find_at(folder, set).or_else(|| look(folder))
        {
            return Ok(found);
        }
        for checkout in &self.checkouts {
            for folder in checkout.ancestors().map(|folder| folder.join("data")) {
                if folder.is_dir()
                    && let Some(found) = look(&folder)
                {
                    return Ok(found);
                }
            }
        }
        if let Some(found) = self.cache.as_deref().and_then(look) {
            return Ok(found);
        }
        Err(DataError::NotFound {
            name: set.name.to_owned(),
            looked_in,
        })
    }
}

/// The user's cache folder of this program: `$XDG_CACHE_HOME/onecycle` or `~/.cache/onecycle`, on
/// Windows `%LOCALAPPDATA%\onecycle`. `None` if no home folder is known.
pub fn cache_folder() -> Option<PathBuf> {
    let variable = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else {
        variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))
    };
    Some(base?.join("onecycle"))
}

/// Searches a folder of data sets for the set's own folder, and for its archive.
fn find_below(folder: &Path, set: &KnownSet) -> Option<PathBuf> {
    let own = set.folders.iter().map(|name| folder.join(name));
    // The names of CIFAR's archives and of their folders are unambiguous.
    let shared = matches!(set.format, Format::Cifar { .. }).then(|| folder.to_path_buf());
    own.chain(shared).find_map(|folder| find_at(&folder, set))
}

/// The set at exactly this path, if it is complete and not recognised as another set.
pub(crate) fn find_at(path: &Path, set: &KnownSet) -> Option<PathBuf> {
    match set.format {
        Format::Idx => {
            let other = |found: &KnownSet| found.name != set.name;
            (mnist::is_whole(path) && !mnist::identify(path).is_some_and(other))
                .then(|| path.to_path_buf())
        }
        Format::Cifar { .. } if path.is_file() => (cifar::identify(path)
            .is_some_and(|found| found.name == set.name))
        .then(|| path.to_path_buf()),
        Format::Cifar { .. } => cifar::locate(path, set),
    }
}

/// All known sets, each with the path at which it was found.
pub fn installed(places: &Places) -> Vec<(&'static KnownSet, Option<PathBuf>)> {
    catalog::all()
        .iter()
        .map(|set| (set, places.find(set).ok()))
        .collect()
}
