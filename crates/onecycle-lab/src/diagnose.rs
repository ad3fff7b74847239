//! Diagnosis of a run: how noisy its gradients are, how sharp the minimum is that it stands in, how large its gap.
//!
//! The formulas and their sources are those of [`onecycle::diagnose`], measured on a fork of the network in evaluation (see
//! [`onecycle_burn::diagnose`]); the loss is the cross-entropy of training with its label smoothing, without weight decay.
//! Two sets of images, both the first ones of an order that depends on the seed alone and that no epoch of training has:
//! the noise scale looks at training images augmented as in training, one gradient a micro-batch; curvature, sharpness and
//! slices look at fewer ones, as they are. The gap is measured on these and on as many validation images.
//!
//! [`diagnose`](fn@diagnose) does it for a run's folder, [`measure`] for a network in memory, and a run does it by itself
//! every so many steps (`[diagnose]` in its configuration), into `diagnose.jsonl`. All of it is a function of seed, data and
//! weights: the same run gives the same bytes, whatever the number of threads.

mod images;
mod measure;
mod record;
mod tell;

use std::path::Path;

use burn::module::Module;
use onecycle_burn::state;
use onecycle_vision::models::Model;

use crate::{
    Experiment, LabError,
    checkpoint::Checkpoint,
    figures, files, finish,
    run_folder::{RunFile, RunFolder, RunLock},
    tensors,
};

pub use measure::measure;
pub use record::{Conditions, Cost, Diagnosis, Gap, Noise, Slice};
pub use tell::Row;

/// How much of everything.
#[derive(Debug, Clone, PartialEq)]
pub struct DiagnoseOptions {
    /// Micro-batches for the noise scale, at least 2; as many as an epoch has, if that is fewer. 0 leaves it out.
    pub batches: usize,
    /// Images of a micro-batch, at most; fewer where the training set is small.
    pub batch_size: usize,
    /// Training images that curvature, sharpness and slices are measured on, and validation images for the gap.
    pub images: usize,
    /// Eigenvalues of the Hessian; 0 for none.
    pub eigenvalues: usize,
    /// Half width of the box of the ε-sharpness; `None` leaves it out.
    pub epsilon: Option<f64>,
    /// Slices of the loss; 0 for none.
    pub slices: usize,
}

impl Default for DiagnoseOptions {
    /// What `onecycle diagnose` does: losses and gradients of about 100 000 images, two fifths of them losses only.
    fn default() -> Self {
        DiagnoseOptions {
            batches: 64,
            batch_size: 64,
            images: 1000,
            eigenvalues: 3,
            epsilon: Some(1e-3),
            slices: 2,
        }
    }
}

impl DiagnoseOptions {
    /// What a run does along its way where its configuration says no more: a quarter of the images, one eigenvalue and no slices.
    pub fn along_the_way() -> Self {
        DiagnoseOptions {
            batches: 32,
            batch_size: 32,
            images: 250,
            eigenvalues: 1,
            slices: 0,
            ..DiagnoseOptions::default()
        }
    }

    pub(crate) fn check(&self) -> Result<(), LabError> {
        let wrong = |key: &str, value: String, expected: &str| {
            Err(LabError::Setting {
                key: key.to_owned(),
                value,
                expected: expected.to_owned(),
            })
        };
        if self.batches == 1 {
            return wrong("batches", "1".to_owned(), "at least 2, or 0 for none");
        }
        for (key, value) in [("batch-size", self.batch_size), ("images", self.images)] {
            if value == 0 {
                return wrong(key, "0".to_owned(), "at least 1");
            }
        }
        match self.epsilon {
            Some(epsilon) if !(epsilon.is_finite() && epsilon > 0.0) => {
                wrong("epsilon", epsilon.to_string(), "a number above 0")
            }
            _ => Ok(()),
        }
    }
}

/// Who looks on while a diagnosis is made. All methods do nothing by default.
pub trait DiagnoseObserver {
    /// A part begins, which may take so many losses or gradients of a micro-batch.
    fn part(&mut self, _name: &str, _batches: usize) {}
    /// One of them was evaluated.
    fn batch(&mut self) {}
    /// Something to tell.
    fn note(&mut self, _text: &str) {}
}

impl DiagnoseObserver for crate::train::Silent {}

/// Diagnoses the network of the run in `root`: its result, or its newest checkpoint where it has not come to its end.
/// Nothing is written; see [`write()`].
///
/// # Errors
/// No run there or one that another process works on, neither model nor checkpoint, data that cannot be read, options out
/// of range. What cannot be measured, such as the gradient of a network that has diverged, is no error but one of
/// [`Diagnosis::problems`].
pub fn diagnose(
    root: &Path,
    options: &DiagnoseOptions,
    observer: &mut dyn DiagnoseObserver,
) -> Result<Diagnosis, LabError> {
    options.check()?;
    let folder = RunFolder::open(root)?;
    let _lock = RunLock::acquire(root)?;
    let run_file = folder.read_run_file()?;
    let found = Found::of(&folder)?;
    let experiment = Experiment::prepare(run_file.config.clone())?;
    let now = RunFile::new(&experiment.config, &experiment.data);
    for difference in run_file.data.differences(&now.data) {
        observer.note(&format!(
            "other data than the run was trained on: {difference}"
        ));
    }
    let step = found.step.unwrap_or(experiment.plan.steps());
    let model = state::load_weights(experiment.initial_model()?, found.weights)?;
    let conditions = Conditions::after(&experiment, &run_file, step);
    let mut diagnosis = measure(&experiment, &model, conditions, options, observer)?;
    diagnosis.weights = Some(found.file);
    Ok(diagnosis)
}

/// Writes a diagnosis of the run in `root` as `diagnose.json`, with its figures; a finished run's report is made anew, with
/// a section on it.
///
/// # Errors
/// A run that another process works on, records that cannot be read, files that cannot be written.
pub fn write(root: &Path, diagnosis: &Diagnosis) -> Result<(), LabError> {
    let folder = RunFolder::open(root)?;
    let _lock = RunLock::acquire(root)?;
    let json = serde_json::to_string_pretty(diagnosis).map_err(|source| LabError::ToJson {
        what: "the diagnosis".to_owned(),
        source,
    })?;
    files::write_whole(&folder.diagnosis(), json.as_bytes())?;
    if folder.is_finished() {
        let config = folder.read_run_file()?.config;
        return finish::rewrite_report(&Experiment::prepare(config)?, &folder);
    }
    let steps = folder.read_steps()?;
    let figures = figures::diagnosis(&folder.read_diagnoses()?, Some(diagnosis), &steps);
    figures::write_all(&folder.figures(), &figures)
}

/// The weights of a run, and where they were found.
struct Found {
    weights: state::TensorMap,
    file: String,
    /// Updates made; `None` for all.
    step: Option<u64>,
}

impl Found {
    fn of(folder: &RunFolder) -> Result<Self, LabError> {
        let path = folder.model();
        if path.exists() {
            let bytes = std::fs::read(&path).map_err(LabError::io("read", &path))?;
            let (weights, _) =
                tensors::from_safetensors(&bytes).map_err(|why| LabError::NotAModel {
                    path: path.clone(),
                    why,
                })?;
            return Ok(Found {
                weights,
                file: "model.safetensors".to_owned(),
                step: None,
            });
        }
        let checkpoint = match Checkpoint::newest(&folder.checkpoints()) {
            Ok((checkpoint, _)) => checkpoint,
            Err(LabError::NoCheckpoint { .. }) => {
                return Err(LabError::NoWeights {
                    run: folder.root().to_path_buf(),
                });
            }
            Err(error) => return Err(error),
        };
        let step = checkpoint.progress.step;
        Ok(Found {
            weights: checkpoint.weights,
            file: format!("the checkpoint after {step} steps"),
            step: Some(step),
        })
    }
}

/// Whether a run with `diagnose.every = every` diagnoses itself after `step` of its `total` steps.
pub(crate) fn is_due(every: u64, step: u64, total: u64) -> bool {
    every > 0 && step > 0 && (step.is_multiple_of(every) || step == total)
}

/// How many diagnoses such a run has made after `step` steps.
pub(crate) fn made_by(every: u64, step: u64, total: u64) -> usize {
    if every == 0 {
        return 0;
    }
    let last = step == total && !step.is_multiple_of(every);
    (step / every) as usize + usize::from(last)
}

/// A diagnosis along the way of a run, after `step` updates.
pub(crate) fn along_the_way(
    experiment: &Experiment,
    run_file: &RunFile,
    model: &Model,
    step: u64,
) -> Result<Diagnosis, LabError> {
    let conditions = Conditions::after(experiment, run_file, step);
    let options = experiment.config.diagnose.options();
    let silent = &mut crate::train::Silent;
    measure(experiment, model, conditions, &options, silent)
}

/// A network in evaluation, without gradients.
fn evaluated(model: &Model) -> Model {
    model.valid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagnoses_are_counted_as_they_are_made() {
        for (every, total) in [(0, 10), (1, 10), (3, 10), (5, 10), (10, 10), (20, 10)] {
            let mut made = 0;
            for step in 0..=total {
                made += usize::from(is_due(every, step, total));
                assert_eq!(made_by(every, step, total), made, "{every}, {step}");
            }
            assert_eq!(made > 0, every > 0);
        }
    }
}
