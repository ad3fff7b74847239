use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::RunSpec;
use crate::StudyError;
use onecycle_train::{
    FileError,
    diagnose::{self, Diagnosis},
    files,
    finish::Summary,
    record::EpochRecord,
    run_folder::RunFolder,
};

/// The result of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The run's label.
    pub label: String,
    /// Its seed.
    pub seed: u64,
    /// Final validation accuracy, 0 to 1; the accuracy of guessing if the run diverged.
    pub final_accuracy: f64,
    /// Highest validation accuracy after any epoch; at least `final_accuracy`.
    pub best_accuracy: f64,
    /// Validation loss minus training loss of the last epoch; infinite if the run diverged.
    #[serde(with = "onecycle::not_finite")]
    pub generalisation_gap: f64,
    /// Updates made.
    pub steps: u64,
    /// Training time in seconds without evaluation; up to the last complete epoch if the run
    /// diverged.
    pub seconds: f64,
    /// The step at which the loss was not finite; `None` if the run ended normally.
    pub diverged: Option<Divergence>,
    /// Training and validation loss and accuracy after each epoch.
    pub epochs: Vec<EpochRecord>,
    /// The diagnoses recorded during the run, if its configuration asks for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnoses: Vec<Diagnosis>,
    /// The run's folder, with one line per step, and with the model unless the run diverged.
    pub run: PathBuf,
}

/// A loss that is not finite: `diverged.json`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Divergence {
    /// The update that was not made.
    pub step: u64,
    /// Learning rate of that update.
    pub lr: f64,
    /// Accuracy of guessing, 1 / number of classes. It counts as the accuracy of the diverged run.
    pub chance: f64,
}

/// Steps and time until the end of the first epoch that reached an accuracy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TimeToAccuracy {
    /// Updates made by the end of that epoch.
    pub steps: u64,
    /// Seconds of training by the end of that epoch.
    pub seconds: f64,
}

impl RunResult {
    /// Reads the result of a finished run; `None` if it is not finished.
    pub(super) fn read(spec: &RunSpec, run: &RunFolder) -> Result<Option<Self>, StudyError> {
        RunResult::of_records((spec.label.clone(), spec.seed), run)
    }

    /// Reads the result from the records of a run; `None` if it is not finished.
    pub(crate) fn of_records(
        (label, seed): (String, u64),
        run: &RunFolder,
    ) -> Result<Option<Self>, StudyError> {
        let diverged = match run.diverged() {
            path if path.exists() => Some(files::read_json::<Divergence>(&path)?),
            _ => None,
        };
        if diverged.is_none() && !run.is_finished() {
            return Ok(None);
        }
        let epochs = run.read_epochs()?;
        let best = epochs
            .iter()
            .map(|epoch| epoch.val_accuracy)
            .fold(f64::NAN, f64::max);
        let seconds = epochs.iter().map(|epoch| epoch.seconds).sum();
        let (final_accuracy, generalisation_gap, steps) = match (&diverged, epochs.last()) {
            (Some(diverged), _) => (diverged.chance, f64::INFINITY, diverged.step),
            (None, Some(last)) => (last.val_accuracy, last.generalisation_gap, last.steps),
            // Every run ends with an epoch. Without one, the summary belongs to another run.
            (None, None) => {
                return Err(FileError::TooFewLines {
                    path: run.epochs(),
                    found: 0,
                    wanted: 1,
                }
                .into());
            }
        };
        Ok(Some(RunResult {
            label,
            seed,
            final_accuracy,
            best_accuracy: best.max(final_accuracy),
            generalisation_gap,
            steps,
            seconds,
            diverged,
            epochs,
            diagnoses: diagnose::read_during_run(run)?,
            run: run.root().to_path_buf(),
        }))
    }

    /// Reads the result of the run of a study in the folder `root`, whose name is `LABEL-seedN`.
    /// `None` if it is not finished, or if the folder has another name.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read_folder(root: &Path) -> Result<Option<Self>, StudyError> {
        let Some((label, seed)) = RunSpec::parse_name(root) else {
            return Ok(None);
        };
        let run = RunFolder::look(root)?;
        let spec = RunSpec::new(label, run.read_run_file()?.config, seed);
        RunResult::read(&spec, &run)
    }

    /// Steps and time until the end of the first epoch with a validation accuracy of at least
    /// `accuracy` (0 to 1); `None` if there is no such epoch.
    pub fn time_to_accuracy(&self, accuracy: f64) -> Option<TimeToAccuracy> {
        let mut seconds = 0.0;
        self.epochs.iter().find_map(|epoch| {
            seconds += epoch.seconds;
            (epoch.val_accuracy >= accuracy).then_some(TimeToAccuracy {
                steps: epoch.steps,
                seconds,
            })
        })
    }

    /// Reads the run's `summary.json`; `None` if the run diverged.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn summary(&self) -> Result<Option<Summary>, StudyError> {
        match self.diverged {
            Some(_) => Ok(None),
            None => Ok(Some(files::read_json(&self.run.join("summary.json"))?)),
        }
    }
}

impl Divergence {
    pub(super) fn write(&self, path: &Path) -> Result<(), StudyError> {
        let text = serde_json::to_string(self).map_err(|source| FileError::ToJson {
            what: "the divergence".to_owned(),
            source,
        })?;
        Ok(files::write_whole(path, text.as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(epoch: u64, val_accuracy: f64) -> EpochRecord {
        EpochRecord {
            epoch,
            steps: 10 * (epoch + 1),
            train_loss: 1.0,
            train_accuracy: 0.5,
            val_loss: 1.5,
            val_accuracy,
            generalisation_gap: 0.5,
            lr: 0.1,
            momentum: None,
            seconds: 2.0,
            images_per_second: 100.0,
        }
    }

    #[test]
    fn time_to_accuracy_is_that_of_the_first_epoch() {
        let result = RunResult {
            label: "a".to_owned(),
            seed: 1,
            final_accuracy: 0.7,
            best_accuracy: 0.8,
            generalisation_gap: 0.5,
            steps: 40,
            seconds: 8.0,
            diverged: None,
            epochs: [0.5, 0.8, f64::NAN, 0.7]
                .into_iter()
                .zip(0..)
                .map(|(accuracy, i)| epoch(i, accuracy))
                .collect(),
            diagnoses: Vec::new(),
            run: PathBuf::new(),
        };
        let at = |accuracy| {
            let reached: Option<TimeToAccuracy> = result.time_to_accuracy(accuracy);
            reached.map(|reached| (reached.steps, reached.seconds))
        };
        assert_eq!(at(0.5), Some((10, 2.0)));
        assert_eq!(at(0.6), Some((20, 4.0)));
        assert_eq!(at(0.8), Some((20, 4.0)));
        assert_eq!(at(0.81), None);
    }
}
