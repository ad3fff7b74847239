//! Errors: one enum per subject, and [`TrainError`] for functions that call several of them.
//!
//! Every variant carries the file, key or value it concerns, and its message says what to do.

mod config;
mod file;
mod run;

pub use config::ConfigError;
pub use file::FileError;
pub use run::RunError;

/// Any error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),

    /// A run cannot start, continue or be used.
    #[error(transparent)]
    Run(#[from] RunError),

    /// A file cannot be read, written or understood.
    #[error(transparent)]
    File(#[from] FileError),

    /// A figure cannot be drawn.
    #[error(transparent)]
    Plot(#[from] onecycle_plot::PlotError),

    /// The run is longer than its plan.
    #[error(transparent)]
    PastEnd(#[from] onecycle::PastEnd),

    /// The optimizer cannot use its settings, or the weights do not fit the network.
    #[error(transparent)]
    Burn(#[from] onecycle_burn::BurnError),

    /// The network cannot be written as an ONNX file.
    #[error(transparent)]
    Onnx(#[from] onecycle_onnx::OnnxError),

    /// The data are wrong or missing.
    #[error(transparent)]
    Data(#[from] onecycle_vision::DataError),
}

impl From<onecycle::PolicyError> for TrainError {
    fn from(error: onecycle::PolicyError) -> Self {
        ConfigError::from(error).into()
    }
}

impl From<onecycle_stats::StatsError> for TrainError {
    fn from(error: onecycle_stats::StatsError) -> Self {
        onecycle_burn::BurnError::from(error).into()
    }
}

impl From<onecycle_vision::models::ModelError> for TrainError {
    fn from(error: onecycle_vision::models::ModelError) -> Self {
        ConfigError::from(error).into()
    }
}
