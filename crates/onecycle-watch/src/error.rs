use std::{io, path::PathBuf};

use onecycle_train::{FileError, RunError, TrainError};

/// Any error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The address is taken.
    #[error(
        "port {port} of {host} is in use: choose another --port, or leave it out for a free one"
    )]
    PortInUse {
        /// The host as given.
        host: String,
        /// The port as given.
        port: u16,
    },

    /// The address cannot be served.
    #[error("cannot serve {host}, port {port}: {reason}; use an address of this machine as --host")]
    Address {
        /// The host as given.
        host: String,
        /// The port as given.
        port: u16,
        /// The reason, from the operating system.
        reason: String,
    },

    /// A path to watch that is no folder.
    #[error("{} is no folder: name the folder of a run, of a study, or one that contains some", path.display())]
    NoFolder {
        /// The path.
        path: PathBuf,
    },

    /// The system gives no random numbers for a token.
    #[error("no random numbers for a token: {reason}; serve 127.0.0.1, which needs none")]
    NoRandomness {
        /// The reason, from the operating system.
        reason: String,
    },

    /// The listener failed.
    #[error("cannot accept connections any more: {0}; start the command again")]
    Accept(#[source] io::Error),

    /// A run that no process seems to train cannot be stopped.
    #[error("{run} is not training: only a run that is can be stopped")]
    NotTraining {
        /// Name of the run.
        run: String,
    },

    /// A file of a run.
    #[error(transparent)]
    File(#[from] FileError),

    /// A run.
    #[error(transparent)]
    Train(#[from] TrainError),
}

impl From<RunError> for WatchError {
    fn from(error: RunError) -> Self {
        WatchError::Train(error.into())
    }
}
