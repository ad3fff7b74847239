use std::path::{Path, PathBuf};

use super::FileError;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A configuration file is not TOML, or not this program's.
    #[error("{}, line {line}: {why}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What the parser said.
        why: String,
    },

    /// A value of the configuration is of the wrong form.
    #[error("configuration: {why}")]
    Value {
        /// What the parser said, with the key.
        why: String,
    },

    /// A key of the configuration does not exist.
    #[error("unknown key `{key}`: {hint}")]
    UnknownKey {
        /// The key with its tables.
        key: String,
        /// The key that was likely meant, or those that there are.
        hint: String,
    },

    /// A key of the configuration that has no default was not given.
    #[error("{key} is missing: {why}")]
    MissingKey {
        /// The key with its tables.
        key: String,
        /// What needs it.
        why: String,
    },

    /// A value of the configuration is impossible.
    #[error("{key} = {value}: expected {expected}")]
    Setting {
        /// The key with its tables.
        key: String,
        /// The value as given.
        value: String,
        /// What is possible.
        expected: String,
    },

    /// This build cannot compute on the device.
    #[error(
        "device `{device}` is not in this build; build with `--features {device}`, or take `device = \"cpu\"`"
    )]
    DeviceNotBuilt {
        /// Name of the device.
        device: String,
    },

    /// The pool of threads exists with another size.
    #[error("{wanted} threads were asked for, but the process already computes with {found}")]
    Threads {
        /// As configured.
        wanted: usize,
        /// As they are.
        found: usize,
    },

    /// The policy is impossible, or does not fit the run.
    #[error("policy: {source}")]
    Policy {
        /// What the policy said.
        #[from]
        source: onecycle::PolicyError,
    },

    /// The optimizer is impossible.
    #[error(transparent)]
    Optimizer(#[from] onecycle_burn::BurnError),

    /// The network is unknown or does not fit the images.
    #[error(transparent)]
    Model(#[from] onecycle_vision::models::ModelError),

    /// A file that cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl ConfigError {
    /// A value that is impossible.
    pub fn setting(
        key: impl Into<String>,
        value: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        ConfigError::Setting {
            key: key.into(),
            value: value.to_string(),
            expected: expected.into(),
        }
    }

    /// An error of a TOML file as one line: the parser's own spans several.
    pub(crate) fn toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let lines: Vec<&str> = error.message().lines().map(str::trim).collect();
        let before = error.span().and_then(|span| text.get(..span.start));
        ConfigError::Syntax {
            path: path.to_path_buf(),
            line: 1 + before.map_or(0, |before| before.matches('\n').count()),
            why: lines.join("; "),
        }
    }
}
