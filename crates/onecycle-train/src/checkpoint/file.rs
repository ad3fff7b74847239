//! Names of checkpoint files, and the files in a folder.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::FileError;

/// File extension of checkpoints.
const EXTENSION: &str = ".ckpt";

/// Why a checkpoint is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckpointKind {
    /// At a step that the configuration sets: the start, the end of an epoch, every
    /// `checkpoint_steps`.
    Regular,
    /// The run was asked to stop.
    Stop,
}

impl CheckpointKind {
    fn prefix(self) -> &'static str {
        match self {
            CheckpointKind::Stop => "stop-",
            CheckpointKind::Regular => "step-",
        }
    }

    /// Name of the checkpoint of this kind after `step` updates.
    pub(super) fn file_name(self, step: u64) -> String {
        format!("{}{step:09}{EXTENSION}", self.prefix())
    }
}

/// A checkpoint file, described by its name. Ordered by step. At the same step `Stop` comes after
/// `Regular`, because it may be in the middle of an evaluation; the next regular one removes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CheckpointFile {
    pub(crate) step: u64,
    pub(crate) kind: CheckpointKind,
    pub(crate) path: PathBuf,
}

impl CheckpointFile {
    /// Parses the name of the file; `None` if it is not a checkpoint.
    pub(crate) fn parse(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(EXTENSION)?;
        let (kind, step) = [CheckpointKind::Regular, CheckpointKind::Stop]
            .into_iter()
            .find_map(|kind| Some((kind, name.strip_prefix(kind.prefix())?)))?;
        Some(CheckpointFile {
            step: step.parse().ok()?,
            kind,
            path,
        })
    }
}

/// Lists all checkpoints in `folder`, oldest first.
pub(crate) fn list(folder: &Path) -> Result<Vec<CheckpointFile>, FileError> {
    let entries = fs::read_dir(folder).map_err(FileError::io("read the folder", folder))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(FileError::io("read the folder", folder))?;
        found.extend(CheckpointFile::parse(entry.path()));
    }
    found.sort();
    Ok(found)
}

/// Removes the checkpoint of a manual stop from `folder`, if there is one.
///
/// # Errors
/// The file cannot be removed.
pub(crate) fn remove_stop(folder: &Path) -> Result<(), FileError> {
    for saved in list(folder)? {
        if saved.kind == CheckpointKind::Stop {
            remove(&saved.path)?;
        }
    }
    Ok(())
}

/// Removes a checkpoint.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    fs::remove_file(path).map_err(FileError::io("remove", path))
}
