//! Diagnosis of the network in a run's folder.

use std::path::Path;

use onecycle_burn::state;

use crate::{
    Experiment, FileError, RunError, TrainError,
    checkpoint::Checkpoint,
    config::DiagnoseConfig,
    diagnose::{self, Diagnosis, TrainingPoint, measure},
    figures, files, finish,
    observer::Observer,
    run_folder::{RunFile, RunFolder, RunLock},
    tensors,
};

/// Diagnoses the network of the run in `root`: its result, or its newest checkpoint where it has not come to its end.
/// Nothing is written; see [`write()`].
///
/// # Errors
/// No run there or one that another process works on, neither model nor checkpoint, data that cannot be read, options out
/// of range. What cannot be measured, such as the gradient of a network that has diverged, is no error but one of
/// [`Diagnosis::problems`].
pub fn diagnose(
    root: &Path,
    options: &DiagnoseConfig,
    observer: &mut dyn Observer,
) -> Result<Diagnosis, TrainError> {
    options.check()?;
    let folder = RunFolder::open(root)?;
    let _lock = RunLock::acquire(root)?;
    let run_file = folder.read_run_file()?;
    let found = FoundWeights::of(&folder)?;
    let experiment = Experiment::prepare(run_file.config.clone())?;
    let now = RunFile::new(&experiment.config, &experiment.data);
    for difference in run_file.data.differences(&now.data) {
        observer.note(&format!(
            "other data than the run was trained on: {difference}"
        ));
    }
    let step = found.step.unwrap_or(experiment.plan.steps());
    let model = state::load_weights(experiment.initial_model()?, found.weights)?;
    let conditions = TrainingPoint::after(&experiment, &run_file, step);
    let mut diagnosis = measure(&experiment, &model, conditions, options, observer)?;
    diagnosis.weights = Some(found.file);
    Ok(diagnosis)
}

/// Writes a diagnosis of the run in `root` as `diagnose.json`, with its figures; a finished run's report is made anew, with
/// a section on it.
///
/// # Errors
/// A run that another process works on, records that cannot be read, files that cannot be written.
pub fn write(root: &Path, diagnosis: &Diagnosis) -> Result<(), TrainError> {
    let folder = RunFolder::open(root)?;
    let _lock = RunLock::acquire(root)?;
    files::write_json(&folder.diagnosis(), "the diagnosis", diagnosis)?;
    if folder.is_finished() {
        let config = folder.read_run_file()?.config;
        return finish::rewrite_report(&Experiment::prepare(config)?, &folder);
    }
    let steps = folder.read_steps()?;
    let figures =
        diagnose::figures::of_diagnoses(&diagnose::read_along(&folder)?, Some(diagnosis), &steps);
    figures::write_all(&folder.figures(), &figures)
}

/// The weights of a run, and where they were found.
struct FoundWeights {
    weights: state::TensorMap,
    file: String,
    /// Updates made; `None` for all.
    step: Option<u64>,
}

impl FoundWeights {
    fn of(folder: &RunFolder) -> Result<Self, TrainError> {
        let path = folder.model();
        if path.exists() {
            let bytes = std::fs::read(&path).map_err(FileError::io("read", &path))?;
            let (weights, _) =
                tensors::from_safetensors(&bytes).map_err(|why| FileError::NotAModel {
                    path: path.clone(),
                    why,
                })?;
            return Ok(FoundWeights {
                weights,
                file: "model.safetensors".to_owned(),
                step: None,
            });
        }
        let checkpoint = match Checkpoint::newest(&folder.checkpoints()) {
            Ok((checkpoint, _)) => checkpoint,
            Err(TrainError::Run(RunError::NoCheckpoint { .. })) => {
                return Err(RunError::NoWeights {
                    run: folder.root().to_path_buf(),
                }
                .into());
            }
            Err(error) => return Err(error),
        };
        let step = checkpoint.progress.step;
        Ok(FoundWeights {
            weights: checkpoint.weights,
            file: format!("the checkpoint after {step} steps"),
            step: Some(step),
        })
    }
}
