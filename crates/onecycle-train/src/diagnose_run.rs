//! Diagnosis of the network in the folder of a run.

use std::path::Path;

use onecycle_burn::state;

use crate::{
    Experiment, FileError, RunError, TrainError,
    checkpoint::Checkpoint,
    config::DiagnoseConfig,
    diagnose::{self, Diagnosis, TrainingPoint, measure},
    experiment::DataCache,
    figures, files, finish,
    observer::Observer,
    run_folder::{RunFile, RunFolder, RunLock},
    tensors,
};

/// Diagnoses the network of the run in `root`: its model, or its newest checkpoint if the run is
/// not finished. Nothing is written; see [`write()`].
///
/// # Errors
/// There is no run, or another process works on it; it has neither a model nor a checkpoint; the
/// data cannot be read; options are out of range. A quantity that cannot be measured, such as the
/// gradient of a diverged network, is not an error but one of [`Diagnosis::problems`].
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
    let experiment = Experiment::prepare_recorded(
        run_file.config.clone(),
        run_file.init.clone(),
        &mut DataCache::default(),
    )?;
    let now = RunFile::of(&experiment);
    for difference in run_file.data.differences(&now.data) {
        observer.note(&format!(
            "the data have changed since the run was trained: {difference}"
        ));
    }
    let plan = run_file.plan()?;
    let step = found.step.unwrap_or(plan.steps());
    let model = state::load_weights(experiment.untrained_model()?, found.weights)?;
    let point = TrainingPoint::after(&run_file, &plan, step);
    let mut diagnosis = measure(&experiment, &model, point, options, observer)?;
    diagnosis.weights = Some(found.file);
    Ok(diagnosis)
}

/// Writes a diagnosis of the run in `root` as `diagnose.json`, with its figures. The report of a
/// finished run is written again from its records, with a section on the diagnosis.
///
/// # Errors
/// Another process works on the run, its records cannot be read, or files cannot be written.
pub fn write(root: &Path, diagnosis: &Diagnosis) -> Result<(), TrainError> {
    let folder = RunFolder::open(root)?;
    let _lock = RunLock::acquire(root)?;
    files::write_json(&folder.diagnosis(), "the diagnosis", diagnosis)?;
    if folder.is_finished() {
        return finish::rewrite_report(&folder);
    }
    let steps = folder.read_steps()?;
    let figures = diagnose::figures::of_diagnoses(
        &diagnose::read_during_run(&folder)?,
        Some(diagnosis),
        &steps,
    );
    figures::write_all(&folder.figures(), &figures)
}

/// The weights of a run, and their source.
struct FoundWeights {
    weights: state::TensorMap,
    file: String,
    /// Updates made; `None` for a finished run.
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
