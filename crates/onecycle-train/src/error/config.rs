use std::path::{Path, PathBuf};

use super::FileError;

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A configuration file is not TOML, or not a configuration of this program.
    #[error("{}, line {line}: {why}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// Message of the parser.
        why: String,
    },

    /// A value of the configuration has the wrong form.
    #[error("configuration: {why}")]
    Value {
        /// Message of the parser, with the key.
        why: String,
    },

    /// A key of the configuration does not exist.
    #[error("unknown key `{key}`: {hint}")]
    UnknownKey {
        /// The key with its tables.
        key: String,
        /// The most similar known key, or the list of known keys.
        hint: String,
    },

    /// A required key of the configuration is missing.
    #[error("{key} is missing: {why}")]
    MissingKey {
        /// The key with its tables.
        key: String,
        /// Why it is required, and what to do.
        why: String,
    },

    /// A value of the configuration is out of range.
    #[error("{key} = {value}: expected {expected}")]
    Setting {
        /// The key with its tables.
        key: String,
        /// The value as given.
        value: String,
        /// The possible values.
        expected: String,
    },

    /// This build does not support the device.
    #[error(
        "this build does not support device `{device}`: build with `--features {device}`, or set `device = \"cpu\"`"
    )]
    DeviceNotBuilt {
        /// Name of the device.
        device: String,
    },

    /// The machine has no such device, or no driver for it.
    #[error("no device `{device}` was found: {remedy}, or set `device = \"cpu\"`")]
    NoDevice {
        /// Name of the device.
        device: &'static str,
        /// What the device needs.
        remedy: &'static str,
    },

    /// The thread pool already exists with another number of threads.
    #[error(
        "threads = {wanted}: this process already computes with {found} threads; set the number before the first \
         computation"
    )]
    Threads {
        /// The configured number.
        wanted: usize,
        /// The number in use.
        found: usize,
    },

    /// The policy has impossible parameters, or does not fit the length of the run.
    #[error("policy: {source}")]
    Policy {
        /// The error of the policy.
        #[from]
        source: onecycle::PolicyError,
    },

    /// The optimizer has impossible options.
    #[error(transparent)]
    Optimizer(#[from] onecycle_burn::BurnError),

    /// The network is unknown or does not fit the images.
    #[error(transparent)]
    Model(#[from] onecycle_vision::models::ModelError),

    /// Pretrained weights cannot be found or used.
    #[error("pretrained weights: {source}")]
    Weights {
        /// The error of the search.
        source: Box<onecycle_vision::DataError>,
    },

    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl From<onecycle_vision::DataError> for ConfigError {
    fn from(source: onecycle_vision::DataError) -> Self {
        ConfigError::Weights {
            source: Box::new(source),
        }
    }
}

impl ConfigError {
    /// Reports a value that is out of range.
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

    /// Reports an error in a TOML file in one line: the message of the parser spans several.
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
