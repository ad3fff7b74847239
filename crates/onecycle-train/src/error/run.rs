use std::{io, path::PathBuf};

use super::FileError;

/// A run that cannot begin, continue or be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// No range test gave a learning rate to train with.
    #[error(
        "the range test names no learning rate ({verdict}): {advice}; or train with one of your own: onecycle train --lr-max LR"
    )]
    NoRate {
        /// What the curve is worth.
        verdict: String,
        /// What to do about it.
        advice: &'static str,
    },

    /// A result could not be computed or read back.
    #[error("computation failed: {why}")]
    Compute {
        /// What the backend said.
        why: String,
    },

    /// The loss is not finite.
    #[error(
        "the loss is not finite at step {step} with lr = {lr}{}: the learning rate is too large; lower `{rate}`, \
         set `optimizer.clip_norm`, or let the run go back by itself with `--on-divergence retry`. The last checkpoint is in {}",
        after(*retries), run.display()
    )]
    Diverged {
        /// The update that would have been made; the last one that was made, where the loss on the validation images
        /// is the one that is not finite.
        step: u64,
        /// Learning rate there.
        lr: f64,
        /// Times that the run had gone back before.
        retries: usize,
        /// Key of the configuration by which the learning rate is set.
        rate: String,
        /// The run's folder.
        run: PathBuf,
    },

    /// A run could not write what it has to.
    #[error(
        "{source}; the run stopped, its checkpoint after {step} steps is whole: {}, then go on with `onecycle train \
         --resume {}`", remedy(source), run.display()
    )]
    Interrupted {
        /// What could not be done.
        #[source]
        source: Box<FileError>,
        /// Updates made up to the newest checkpoint.
        step: u64,
        /// The run's folder.
        run: PathBuf,
    },

    /// There is no checkpoint to go on from.
    #[error("{} holds no checkpoint to go on from", folder.display())]
    NoCheckpoint {
        /// The folder of checkpoints.
        folder: PathBuf,
    },

    /// A new run would write over another.
    #[error(
        "{} already holds a run; resume it with `onecycle train --resume {}`, or choose another --out",
        path.display(),
        path.display()
    )]
    RunExists {
        /// The folder.
        path: PathBuf,
    },

    /// A run of a study was made by other settings than those it is wanted with.
    #[error(
        "the run in {} was made by other settings: {}; choose another --out, or remove that run",
        run.display(), differences.join(", ")
    )]
    OtherSettings {
        /// The run's folder.
        run: PathBuf,
        /// What differs, in words.
        differences: Vec<String>,
    },

    /// What is left of a run lies where a new one is to be.
    #[error(
        "{} holds no run.toml, but {} of some run; remove it, or choose another --out",
        path.display(),
        file.display()
    )]
    Leftovers {
        /// The folder.
        path: PathBuf,
        /// What lies there.
        file: PathBuf,
    },

    /// There is nothing of a run that could be diagnosed.
    #[error(
        "{} holds neither model.safetensors nor a checkpoint: there is no network to diagnose",
        run.display()
    )]
    NoWeights {
        /// The run's folder.
        run: PathBuf,
    },

    /// A run has no model yet.
    #[error(
        "the run in {} has not come to its end and has no model yet; `onecycle resume {}` goes on with it",
        run.display(),
        run.display()
    )]
    NotFinished {
        /// The run's folder.
        run: PathBuf,
    },

    /// There is no run in the folder.
    #[error("{} holds no run: there is no run.toml in it", path.display())]
    NoRun {
        /// The folder.
        path: PathBuf,
    },

    /// Another process works on the run.
    #[error(
        "the run in {} is in use by {}; wait until it is done, or choose another --out",
        run.display(), holder(*process)
    )]
    InUse {
        /// The run's folder.
        run: PathBuf,
        /// Number of the process, where it is known.
        process: Option<u32>,
    },

    /// A run was begun by a version with another format of the folder.
    #[error(
        "{}: written by onecycle {version} in {}, this version goes on with format {expected}; use that version, or \
         give --accept-changes to try it all the same",
        path.display(), found.map_or("no known format".to_owned(), |found| format!("format {found}"))
    )]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Format found, where the file says it.
        found: Option<i64>,
        /// Format of this version.
        expected: i64,
        /// Version that wrote it.
        version: String,
    },

    /// A run is to go on with other data than it began with.
    #[error(
        "the data of the run in {} have changed since it began: {}; bring them back, start a new run, or give \
         --accept-changes to go on with them as they are",
        run.display(), differences.join(", ")
    )]
    OtherData {
        /// The run's folder.
        run: PathBuf,
        /// What is other, in words.
        differences: Vec<String>,
    },

    /// With the data as they are now, the run would be over before the step that it has come to.
    #[error(
        "the run in {} has made {step} steps, but with the data as they are now it has only {steps} in all; start a \
         new run",
        run.display()
    )]
    ShorterRun {
        /// The run's folder.
        run: PathBuf,
        /// Updates made.
        step: u64,
        /// Updates of the whole run by its plan.
        steps: u64,
    },
}

impl RunError {
    /// A curve, or several, that suggest no rate.
    pub fn no_rate(verdict: onecycle::range_test::Verdict) -> Self {
        RunError::NoRate {
            verdict: verdict.to_string(),
            advice: verdict.advice(),
        }
    }

    /// A result that the backend could not compute or read back.
    pub(crate) fn compute(error: impl std::fmt::Debug) -> Self {
        RunError::Compute {
            why: format!("{error:?}"),
        }
    }
}

/// How often a run had gone back before it diverged again.
fn after(retries: usize) -> String {
    match retries {
        0 => String::new(),
        1 => " after 1 retry".to_owned(),
        n => format!(" after {n} retries"),
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
        _ => "see to the disk",
    }
}

fn holder(process: Option<u32>) -> String {
    process.map_or("another process".to_owned(), |id| format!("process {id}"))
}
