use std::{io, path::PathBuf};

use super::FileError;

/// A run cannot start, continue or be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// No range test suggested a learning rate.
    #[error(
        "the range test suggests no learning rate ({verdict}): {advice}; or choose one yourself: onecycle train --lr-max LR"
    )]
    NoRate {
        /// Verdict on the curve.
        verdict: String,
        /// What to do about it.
        advice: &'static str,
    },

    /// A result cannot be computed or read back from the device.
    #[error("computation failed: {why}")]
    Compute {
        /// Error of the backend.
        why: String,
    },

    /// The processes of a run cannot work together.
    #[error("the processes of this run cannot work together: {why}")]
    Processes {
        /// What went wrong, and what to do.
        why: String,
    },

    /// The test images of a folder cannot be told from those that the network was trained on.
    #[error(
        "{}: {reason}. A folder without val/ has its test images drawn at random, so some of them \
         would be training images: restore the folder, evaluate another folder with --data, or \
         train again", data.display()
    )]
    TestImagesUnknown {
        /// The folder.
        data: PathBuf,
        /// What has changed, or is not known.
        reason: String,
    },
    /// The outputs of a network are NaN or infinite.
    #[error(
        "the network's outputs are not finite for this image: its weights are damaged or have \
         diverged; train it again, with a smaller learning rate if its loss was not finite"
    )]
    PredictionNotFinite,
    /// The loss is not finite.
    #[error(
        "the loss is not finite at step {step} with lr = {lr}{}: the learning rate is too large; lower `{rate}`{}. \
         The last checkpoint is in {}",
        after(*retries), other_remedies(*retries), run.display()
    )]
    Diverged {
        /// The update that was not made. If the loss on the validation images is not finite, the
        /// last update that was made.
        step: u64,
        /// Learning rate of that update.
        lr: f64,
        /// Number of retries before.
        retries: usize,
        /// Configuration key that sets the learning rate.
        rate: String,
        /// The run's folder.
        run: PathBuf,
    },

    /// The loss of a training in memory is not finite.
    #[error(
        "the loss is not finite at step {step} with lr = {lr}: the learning rate is too large; lower `{rate}`"
    )]
    NotFinite {
        /// The update that was not made. If the loss on the validation images is not finite, the
        /// last update that was made.
        step: u64,
        /// Learning rate of that update.
        lr: f64,
        /// Configuration key that sets the learning rate.
        rate: String,
    },

    /// The observer of a run asked to stop before the end.
    #[error(
        "the run in {} was stopped after {step} steps by its observer: the same call continues it",
        run.display()
    )]
    Stopped {
        /// Updates made.
        step: u64,
        /// The run's folder.
        run: PathBuf,
    },

    /// A run could not write its files.
    #[error(
        "{source}; the run stopped, and its checkpoint of step {step} is complete: {}, then continue with \
         `onecycle train --resume {}`", remedy(source), run.display()
    )]
    Interrupted {
        /// The failed action.
        #[source]
        source: Box<FileError>,
        /// Updates made at the newest checkpoint.
        step: u64,
        /// The run's folder.
        run: PathBuf,
    },

    /// A run must start again from existing weights, and their file is gone or another one.
    #[error(
        "the run has no checkpoint to continue from, and the weights that it started from, {}, have changed: {why}; \
         restore that file, or start a new run",
        path.display()
    )]
    InitChanged {
        /// The file, or the folder of the run that it was in.
        path: PathBuf,
        /// What has changed.
        why: String,
    },

    /// There is no checkpoint to continue from.
    #[error("{} has no checkpoint to continue from: start a new run", folder.display())]
    NoCheckpoint {
        /// The folder of checkpoints.
        folder: PathBuf,
    },

    /// The folder of a new run already contains a run.
    #[error(
        "{} already contains a run: choose another --out, or continue it with `onecycle train --resume {}` if it is not finished",
        path.display(),
        path.display()
    )]
    RunExists {
        /// The folder.
        path: PathBuf,
    },

    /// An existing run or range test was made with other settings.
    #[error(
        "the run in {} was made with other settings: {}; choose another --out, or remove that run",
        run.display(), differences.join(", ")
    )]
    OtherSettings {
        /// The run's folder.
        run: PathBuf,
        /// The differences, in words.
        differences: Vec<String>,
    },

    /// The folder of a new run contains files of another run.
    #[error(
        "{} has no run.toml, but it contains {} of another run: remove that file, or choose another --out",
        path.display(),
        file.display()
    )]
    Leftovers {
        /// The folder.
        path: PathBuf,
        /// The file that was found.
        file: PathBuf,
    },

    /// A run has no weights that could be diagnosed.
    #[error(
        "{} has neither model.safetensors nor a checkpoint, so there is no network to diagnose: train the run first",
        run.display()
    )]
    NoWeights {
        /// The run's folder.
        run: PathBuf,
    },

    /// A run has no model yet.
    #[error(
        "the run in {} is not finished and has no model yet: finish it with `onecycle resume {}`",
        run.display(),
        run.display()
    )]
    NotFinished {
        /// The run's folder.
        run: PathBuf,
    },

    /// The folder contains no run.
    #[error("{} contains no run: it has no run.toml", path.display())]
    NoRun {
        /// The folder.
        path: PathBuf,
    },

    /// Another process works on the run.
    #[error(
        "the run in {} is in use by {}: wait until that is finished, or choose another --out",
        run.display(), holder(*process)
    )]
    InUse {
        /// The run's folder.
        run: PathBuf,
        /// Number of the process, if known.
        process: Option<u32>,
    },

    /// Several processes cannot share the runs of a folder, because its file system has no locks.
    #[error(
        "the file system of {} has no locks, so several workers would train the same run: give each \
         process its own share of the runs with --shard I/N",
        folder.display()
    )]
    NoLocks {
        /// The folder of the run.
        folder: PathBuf,
    },

    /// The folder was written by a version with another format.
    #[error(
        "{}: written by onecycle {version} in {}, but this version expects format {expected}: use that version, or \
         try this one with --accept-changes",
        path.display(), found.map_or("no known format".to_owned(), |found| format!("format {found}"))
    )]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Format found, if the file has one.
        found: Option<i64>,
        /// Format of this version.
        expected: i64,
        /// Version that wrote it.
        version: String,
    },

    /// The data of a run have changed since it began.
    #[error(
        "the data of the run in {} have changed since it began: {}; restore them, start a new run, or continue with \
         the changed data with --accept-changes",
        run.display(), differences.join(", ")
    )]
    OtherData {
        /// The run's folder.
        run: PathBuf,
        /// The differences, in words.
        differences: Vec<String>,
    },

    /// With the changed data, the run has fewer steps than were already made.
    #[error(
        "the run in {} has made {step} steps, but with the changed data it has only {steps} in all: start a new run",
        run.display()
    )]
    ShorterRun {
        /// The run's folder.
        run: PathBuf,
        /// Updates made.
        step: u64,
        /// Updates of the whole run.
        steps: u64,
    },
}

impl RunError {
    /// Reports curves that suggest no learning rate.
    pub fn no_rate(verdict: onecycle::range_test::Verdict) -> Self {
        RunError::NoRate {
            verdict: verdict.to_string(),
            advice: verdict.advice(),
        }
    }

    /// Reports a result that the backend could not compute or read back.
    pub(crate) fn compute(error: impl std::fmt::Debug) -> Self {
        RunError::Compute {
            why: format!("{error:?}"),
        }
    }
}

/// The number of retries, in words.
fn after(retries: usize) -> String {
    match retries {
        0 => String::new(),
        1 => " after 1 retry".to_owned(),
        n => format!(" after {n} retries"),
    }
}

/// Remedies for a diverged run besides a lower learning rate. Retrying is suggested only to a run
/// that has not retried.
fn other_remedies(retries: usize) -> &'static str {
    match retries {
        0 => {
            ", set `optimizer.clip_norm`, or let the run retry from a checkpoint with \
             `--on-divergence retry`"
        }
        _ => " or set `optimizer.clip_norm`",
    }
}

/// What to do about a file that cannot be written.
fn remedy(error: &FileError) -> &'static str {
    let kind = match error {
        FileError::Io { source, .. } => source.kind(),
        _ => io::ErrorKind::Other,
    };
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "make the folder writable"
        }
        _ => "check the disk",
    }
}

fn holder(process: Option<u32>) -> String {
    process.map_or("another process".to_owned(), |id| format!("process {id}"))
}
