//! Evaluation by several processes: in each round, each of them evaluates one batch.

use onecycle_vision::{Loader, models::Model};

use crate::{
    Experiment, TrainError,
    metrics::{BatchLogits, Evaluator},
    processes::{EvalSet, Order, Team},
    tta::Tta,
};

/// The images of a set, and the views to average over.
pub(crate) fn images(experiment: &Experiment, set: EvalSet) -> (&Loader, Tta) {
    let Experiment { data, config, .. } = experiment;
    match set {
        EvalSet::Validation => (&data.validation, Tta::Image),
        EvalSet::Test => (&data.test, config.tta),
    }
}

/// Evaluates the images of a set from `first` on, as the process that leads. Calls `visit` with the
/// logits of each batch in their order, until it returns true.
///
/// # Errors
/// The data cannot be read, or a process cannot be reached.
pub(crate) fn each(
    team: &Team,
    experiment: &Experiment,
    model: &Model,
    set: EvalSet,
    mut first: usize,
    mut visit: impl FnMut(BatchLogits<'_>) -> bool,
) -> Result<(), TrainError> {
    let (loader, _) = images(experiment, set);
    let classes = experiment.data.classes.len();
    while first < loader.len() {
        team.give(&Order::Evaluate(set, first))?;
        let round = team.at_work(|| logits(team, experiment, model, set, first))?;
        for values in round.chunks(experiment.config.eval_batch_size * classes) {
            let indices: Vec<u32> = (first..first + values.len() / classes)
                .map(|index| index as u32)
                .collect();
            let label = |index: &u32| i64::from(loader.split().label(*index as usize));
            let labels: Vec<i64> = indices.iter().map(label).collect();
            first += indices.len();
            let (labels, indices) = (&labels, &indices);
            if visit(BatchLogits {
                values,
                labels,
                indices,
            }) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Logits `[image, class]` of the images from `first` on, a batch per process or what is left. All
/// processes of `team` call this with the same arguments, and have the same `model`.
///
/// # Errors
/// The data cannot be read, or a process cannot be reached.
pub(crate) fn logits(
    team: &Team,
    experiment: &Experiment,
    model: &Model,
    set: EvalSet,
    first: usize,
) -> Result<Vec<f32>, TrainError> {
    let (loader, tta) = images(experiment, set);
    let batch = experiment.config.eval_batch_size.min(loader.len());
    let classes = experiment.data.classes.len();
    let of = |rank: usize| {
        let start = (first + rank * batch).min(loader.len());
        start..(start + batch).min(loader.len())
    };
    let own: Vec<u32> = of(team.rank()).map(|index| index as u32).collect();
    let mut values = Vec::with_capacity(batch * classes);
    if !own.is_empty() {
        let loader = loader.clone().prefetch(false);
        let evaluator = Evaluator::new(model, &experiment.device).with_tta(tta);
        evaluator.each(loader.evaluation(batch).images(own), |logits| {
            values.extend_from_slice(logits.values);
            false
        })?;
    }
    values.resize(batch * classes, 0.0);
    let mut all = team.gather(&values)?;
    let found = (0..team.size()).map(|rank| of(rank).len()).sum::<usize>();
    // Only the last processes have less than a batch.
    all.truncate(found * classes);
    Ok(all)
}
