use std::{
    io,
    path::{Path, PathBuf},
};

/// A file cannot be read, written or understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// A file or folder could not be read, written, renamed or synced.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The attempted action: "read", "write", "create the folder", ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Error of the operating system.
        #[source]
        source: io::Error,
    },

    /// A complete line of a JSON-lines file cannot be parsed.
    #[error(
        "{}, line {line}: {source}; repair or remove that line (only an incomplete last line is ignored)",
        path.display()
    )]
    JsonLine {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// Error of the parser.
        #[source]
        source: serde_json::Error,
    },

    /// A JSON-lines file has fewer complete lines than its checkpoint needs.
    #[error(
        "{} has {found} complete lines, but the checkpoint needs {wanted}: they do not belong to the same run; \
         start a new run",
        path.display()
    )]
    TooFewLines {
        /// The file.
        path: PathBuf,
        /// Complete lines found.
        found: usize,
        /// Lines needed.
        wanted: usize,
    },

    /// A value cannot be written as JSON.
    #[error("cannot write {what} as JSON: {source}")]
    ToJson {
        /// Name of the value.
        what: String,
        /// Error of the serializer.
        #[source]
        source: serde_json::Error,
    },

    /// The configuration cannot be written as TOML.
    #[error("cannot write the configuration as TOML: {source}")]
    ToToml {
        /// Error of the serializer.
        #[source]
        source: Box<toml::ser::Error>,
    },

    /// Tensors cannot be written as a safetensors file.
    #[error("cannot write the tensors: {why}")]
    Tensors {
        /// Error of the serializer.
        why: String,
    },

    /// A file does not contain the loss curve of a range test.
    #[error("{}{}: {why}", path.display(), line.map_or(String::new(), |line| format!(", line {line}")))]
    CurveFile {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1, if known.
        line: Option<usize>,
        /// What is wrong, and what was expected.
        why: String,
    },

    /// A file does not contain a diagnosis of this version.
    #[error(
        "{} is not a diagnosis of this version: {source}; run `onecycle diagnose` again",
        path.display()
    )]
    DiagnosisFile {
        /// The file.
        path: PathBuf,
        /// Error of the parser.
        #[source]
        source: serde_json::Error,
    },

    /// A file is not a model written by this program.
    #[error("{} is not a model written by `onecycle train`: {why}", path.display())]
    NotAModel {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },

    /// A checkpoint is incomplete or altered.
    #[error("checkpoint {} is damaged: {why}", path.display())]
    DamagedCheckpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl FileError {
    /// Adds the action and the file to an [`io::Error`].
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// Adds the name of the value to the error of a serializer.
    pub(crate) fn to_json(what: &str) -> impl FnOnce(serde_json::Error) -> Self {
        let what = what.to_owned();
        move |source| Self::ToJson { what, source }
    }

    /// Reports a configuration that cannot be written as TOML.
    pub(crate) fn to_toml(source: toml::ser::Error) -> Self {
        Self::ToToml {
            source: Box::new(source),
        }
    }
}
