use std::{
    io,
    path::{Path, PathBuf},
};

/// A file that cannot be read, written or understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// A file or folder could not be read, written, renamed or synced.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: "read", "write", "create the folder", ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// A whole line of a JSON-lines file is not what it should be.
    #[error(
        "{}, line {line}: {source}; repair or remove that line (only a cut last line is passed over)",
        path.display()
    )]
    JsonLine {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1 as editors do.
        line: usize,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },

    /// A JSON-lines file holds fewer whole lines than were asked to be kept.
    #[error(
        "{} holds {found} whole lines, {wanted} are needed; the record and the checkpoint are not of the same run",
        path.display()
    )]
    TooFewLines {
        /// The file.
        path: PathBuf,
        /// Whole lines found.
        found: usize,
        /// Lines asked for.
        wanted: usize,
    },

    /// A value could not be turned into JSON.
    #[error("cannot turn {what} into JSON: {source}")]
    ToJson {
        /// What the value was.
        what: String,
        /// What the serializer said.
        #[source]
        source: serde_json::Error,
    },

    /// A value could not be turned into TOML.
    #[error("cannot turn the configuration into TOML: {source}")]
    ToToml {
        /// What the serializer said.
        #[source]
        source: Box<toml::ser::Error>,
    },

    /// Tensors could not be turned into a safetensors file.
    #[error("cannot write the tensors: {why}")]
    Tensors {
        /// What the serializer said.
        why: String,
    },

    /// A file is no curve of a range test.
    #[error("{}{}: {why}", path.display(), line.map_or(String::new(), |line| format!(", line {line}")))]
    CurveFile {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1, where it is known.
        line: Option<usize>,
        /// What is wrong, and what was expected.
        why: String,
    },

    /// A file is no diagnosis.
    #[error("{} is no diagnosis of this version: {source}; run `onecycle diagnose` again", path.display())]
    DiagnosisFile {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },

    /// A file is not a model that this program wrote.
    #[error("{} is not a model written by `onecycle train`: {why}", path.display())]
    NotAModel {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },

    /// A checkpoint is not whole.
    #[error("checkpoint {} is damaged: {why}", path.display())]
    DamagedCheckpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl FileError {
    /// Turns an [`io::Error`] into one that names the file.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// Turns a serializer's error into one that names what was to be written.
    pub(crate) fn to_json(what: &str) -> impl FnOnce(serde_json::Error) -> Self {
        let what = what.to_owned();
        move |source| Self::ToJson { what, source }
    }

    /// A configuration that cannot be written as TOML.
    pub(crate) fn to_toml(source: toml::ser::Error) -> Self {
        Self::ToToml {
            source: Box::new(source),
        }
    }
}
