//! Diagnosis of a network: gradient noise, sharpness of the minimum and generalisation gap.
//! [`measure`] returns a [`Diagnosis`].
//!
//! [`onecycle_stats`] has the formulas and their sources. They are applied to a fork of the network
//! in evaluation mode (see [`onecycle_burn::diagnose`]). The loss is the cross-entropy of training
//! with its label smoothing, without weight decay.
//!
//! There are two sets of images, both from the start of an order that depends only on the seed and
//! that no training epoch has. The noise scale uses training images, augmented as in training, with
//! one gradient per micro-batch. Curvature, sharpness and slices use fewer training images, without
//! augmentation. The gap is measured on these and on as many validation images.
//!
//! [`diagnose_run`](crate::diagnose_run) diagnoses the network in the folder of a run, [`measure`]
//! a network in memory. With `[diagnose]` in its configuration, a run diagnoses itself at intervals
//! and writes `diagnose.jsonl`. Everything is a function of seed, data and weights, so the same run
//! gives the same bytes for any number of threads.

pub mod figures;
mod findings;
mod images;
mod measure;
mod record;

use burn::module::Module;
use onecycle_vision::models::Model;

use crate::{
    Experiment, FileError, TrainError, files,
    observer::Silent,
    run_folder::{RunFile, RunFolder},
};

pub use findings::Finding;
pub use measure::measure;
pub use record::{Diagnosis, DiagnosisCost, Gap, Noise, Slice, TrainingPoint};

/// Reads all lines of `diagnose.jsonl`; none if there is no such file.
///
/// # Errors
/// The file cannot be read, or a line is not a diagnosis.
pub fn read_during_run(folder: &RunFolder) -> Result<Vec<Diagnosis>, FileError> {
    match folder.diagnoses() {
        path if path.exists() => Ok(files::read_json_lines(&path)?.values),
        _ => Ok(Vec::new()),
    }
}

/// Reads `diagnose.json`, if there is one.
///
/// # Errors
/// The file cannot be read or is not a diagnosis.
pub fn read_requested(folder: &RunFolder) -> Result<Option<Diagnosis>, FileError> {
    let path = folder.diagnosis();
    if !path.exists() {
        return Ok(None);
    }
    let text = files::read_text(&path)?;
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|source| FileError::DiagnosisFile { path, source })
}

/// Whether a run with `diagnose.every = every` diagnoses itself after `step` of its `total` steps.
pub(crate) fn is_due(every: u64, step: u64, total: u64) -> bool {
    every > 0 && step > 0 && (step.is_multiple_of(every) || step == total)
}

/// Number of diagnoses that such a run has made after `step` steps.
pub(crate) fn count_until(every: u64, step: u64, total: u64) -> usize {
    if every == 0 {
        return 0;
    }
    let last = step == total && !step.is_multiple_of(every);
    (step / every) as usize + usize::from(last)
}

/// Diagnoses the network of a run after `step` updates.
pub(crate) fn during_run(
    experiment: &Experiment,
    run_file: &RunFile,
    model: &Model,
    step: u64,
) -> Result<Diagnosis, TrainError> {
    let point = TrainingPoint::after(run_file, &experiment.plan, step);
    let options = &experiment.config.diagnose;
    measure(experiment, model, point, options, &mut Silent)
}

/// The network in evaluation mode, without gradients.
fn evaluation_mode(model: &Model) -> Model {
    model.valid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_matches_the_diagnoses_made() {
        for (every, total) in [(0, 10), (1, 10), (3, 10), (5, 10), (10, 10), (20, 10)] {
            let mut made = 0;
            for step in 0..=total {
                made += usize::from(is_due(every, step, total));
                assert_eq!(count_until(every, step, total), made, "{every}, {step}");
            }
            assert_eq!(made > 0, every > 0);
        }
    }
}
