//! Diagnosis of a run: how noisy its gradients are, how sharp the minimum is that it stands in, how large its gap.
//!
//! The formulas and their sources are those of [`onecycle_stats`], measured on a fork of the network in evaluation (see
//! [`onecycle_burn::diagnose`]); the loss is the cross-entropy of training with its label smoothing, without weight decay.
//! Two sets of images, both the first ones of an order that depends on the seed alone and that no epoch of training has:
//! the noise scale looks at training images augmented as in training, one gradient a micro-batch; curvature, sharpness and
//! slices look at fewer ones, as they are. The gap is measured on these and on as many validation images.
//!
//! [`diagnose_run`](crate::diagnose_run) does it for a run's folder, [`measure`] for a network in memory, and a run does it by itself
//! every so many steps (`[diagnose]` in its configuration), into `diagnose.jsonl`. All of it is a function of seed, data and
//! weights: the same run gives the same bytes, whatever the number of threads.

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

/// All lines of `diagnose.jsonl`; none if there is no such file.
///
/// # Errors
/// A file that cannot be read, or a line that is not a diagnosis.
pub fn read_along(folder: &RunFolder) -> Result<Vec<Diagnosis>, FileError> {
    match folder.diagnoses() {
        path if path.exists() => Ok(files::read_json_lines(&path)?.values),
        _ => Ok(Vec::new()),
    }
}

/// `diagnose.json`, if there is one.
///
/// # Errors
/// A file that cannot be read, or is not a diagnosis.
pub fn read_asked(folder: &RunFolder) -> Result<Option<Diagnosis>, FileError> {
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

/// How many diagnoses such a run has made after `step` steps.
pub(crate) fn count_until(every: u64, step: u64, total: u64) -> usize {
    if every == 0 {
        return 0;
    }
    let last = step == total && !step.is_multiple_of(every);
    (step / every) as usize + usize::from(last)
}

/// A diagnosis along the way of a run, after `step` updates.
pub(crate) fn during_run(
    experiment: &Experiment,
    run_file: &RunFile,
    model: &Model,
    step: u64,
) -> Result<Diagnosis, TrainError> {
    let conditions = TrainingPoint::after(experiment, run_file, step);
    let options = &experiment.config.diagnose;
    measure(experiment, model, conditions, options, &mut Silent)
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
                assert_eq!(count_until(every, step, total), made, "{every}, {step}");
            }
            assert_eq!(made > 0, every > 0);
        }
    }
}
