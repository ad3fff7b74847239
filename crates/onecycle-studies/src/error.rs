use std::path::PathBuf;

use onecycle_train::{ConfigError, FileError, RunError, TrainError};

/// Any error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// A run of the study failed.
    #[error(transparent)]
    Train(#[from] TrainError),

    /// The runs of a study were trained on different data.
    #[error(
        "the data have changed since the run in {} was trained: {}; restore them, or choose another \
         --out to train all runs on the changed data",
        run.display(), differences.join(", ")
    )]
    OtherData {
        /// Folder of the run with the earlier data.
        run: PathBuf,
        /// The differences, in words.
        differences: Vec<String>,
    },

    /// Configurations whose accuracies cannot be compared.
    #[error(
        "{key} differs ({}): only runs of the same network on the same images can be compared; give all files the same `{key}`",
        values.join(", ")
    )]
    NotComparable {
        /// The differing key, with its tables.
        key: String,
        /// Each variant with its value of the key.
        values: Vec<String>,
    },
}

macro_rules! from_parts_of_train {
    ($($error:ty),*) => {
        $(impl From<$error> for StudyError {
            fn from(error: $error) -> Self {
                StudyError::Train(error.into())
            }
        })*
    };
}

from_parts_of_train!(
    ConfigError,
    FileError,
    RunError,
    onecycle::PastEnd,
    onecycle::PolicyError,
    onecycle_burn::BurnError,
    onecycle_plot::PlotError,
    onecycle_stats::StatsError,
    onecycle_vision::DataError,
    onecycle_vision::models::ModelError
);
