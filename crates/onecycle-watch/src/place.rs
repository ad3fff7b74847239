//! Files of the watched folders, and nothing else: [`Place`].

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A watched folder, with its real path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The path as given.
    pub(crate) given: PathBuf,
    /// Without symbolic links and `..`.
    real: PathBuf,
}

impl Place {
    /// A folder to watch; `None` if it does not exist.
    pub(crate) fn new(given: &Path) -> Option<Self> {
        let real = fs::canonicalize(given).ok()?;
        real.is_dir().then(|| Place {
            given: given.to_path_buf(),
            real,
        })
    }

    /// Path of the folder without symbolic links.
    pub(crate) fn root(&self) -> &Path {
        &self.real
    }

    /// Whether `path` exists and lies in the folder after all symbolic links are resolved.
    pub(crate) fn contains(&self, path: &Path) -> bool {
        fs::canonicalize(path).is_ok_and(|path| path.starts_with(&self.real))
    }

    /// Whether `path` is a regular file in the folder. A pipe would block its reader.
    pub(crate) fn has_file(&self, path: &Path) -> bool {
        self.contains(path) && path.is_file()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn links_that_lead_out_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
        for (root, file) in [(&inside, "a"), (&outside, "b")] {
            fs::create_dir(root).unwrap();
            fs::write(root.join(file), "x").unwrap();
        }
        let link = |to: PathBuf, at: PathBuf| std::os::unix::fs::symlink(to, at);
        link(outside.join("b"), inside.join("leads-out")).unwrap();
        link(outside.clone(), inside.join("folder")).unwrap();
        link(inside.join("a"), inside.join("stays")).unwrap();
        let place = Place::new(&inside).unwrap();
        for (path, inside) in [
            ("a", true),
            ("stays", true),
            ("leads-out", false),
            ("folder/b", false),
            ("../out/b", false),
            ("missing", false),
        ] {
            assert_eq!(place.has_file(&place.root().join(path)), inside, "{path}");
        }
        assert!(!place.has_file(place.root()));
    }
}
