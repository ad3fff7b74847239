//! Figures of hyper-parameters over the steps, planned or recorded.

use onecycle_plot::{Axis, Colour, Figure, Mark, Series, Style};

use super::{LR, MOMENTUM};
use crate::record::StepRecord;

/// Hyper-parameters over the steps, planned or recorded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tracks {
    /// Steps, counted from 0.
    pub step: Vec<f64>,
    /// Learning rate at each step.
    pub lr: Vec<f64>,
    /// Momentum (Adam: beta1) at each step, if there is one.
    pub momentum: Option<Vec<f64>>,
    /// Weight decay at each step, if there is one.
    pub weight_decay: Option<Vec<f64>>,
    /// Batch size at each step, if there is one.
    pub batch_size: Option<Vec<f64>>,
    /// First steps and names of the phases.
    pub phases: Vec<Mark>,
}

impl Tracks {
    /// The hyper-parameters that a run used.
    #[must_use]
    pub fn recorded(steps: &[StepRecord], phases: &[Mark]) -> Self {
        let all = |value: fn(&StepRecord) -> f64| steps.iter().map(value).collect();
        let has_momentum = steps.iter().any(|record| record.momentum.is_some());
        Self {
            step: all(|record| record.step as f64),
            lr: all(|record| record.lr),
            momentum: has_momentum.then(|| all(|record| record.momentum.unwrap_or(f64::NAN))),
            weight_decay: Some(all(|record| record.weight_decay)),
            batch_size: Some(all(|record| record.batch_size as f64)),
            phases: phases.to_vec(),
        }
    }
}

/// Draws learning rate and momentum over the steps, with the phases: the picture of the 1cycle
/// policy.
#[must_use]
pub fn schedule(tracks: &Tracks) -> Figure {
    let title = match tracks.momentum {
        Some(_) => "Learning rate and momentum",
        None => "Learning rate",
    };
    let mut figure = Figure::new(
        "schedule",
        title,
        Axis::linear("step"),
        Axis::linear("learning rate"),
    );
    figure
        .series
        .push(Series::line("learning rate", tracks.step.clone(), tracks.lr.clone()).colour(LR));
    if let Some(momentum) = &tracks.momentum {
        figure.right = Some(Axis::linear("momentum"));
        let series = Series::line("momentum", tracks.step.clone(), momentum.clone());
        figure
            .series
            .push(series.style(Style::Dashed).colour(MOMENTUM).on_right());
    }
    figure.marks.clone_from(&tracks.phases);
    figure
}

/// Draws weight decay and batch size over the steps; `None` if neither varies.
#[must_use]
pub fn other_tracks(tracks: &Tracks) -> Option<Figure> {
    let varies = |track: &Option<Vec<f64>>| match track.as_deref() {
        Some([first, rest @ ..]) => rest.iter().any(|value| value != first),
        _ => false,
    };
    if !varies(&tracks.weight_decay) && !varies(&tracks.batch_size) {
        return None;
    }
    let mut both = [
        ("weight decay", &tracks.weight_decay),
        ("batch size", &tracks.batch_size),
    ]
    .into_iter()
    .filter_map(|(name, track)| Some((name, track.clone()?)));
    let (name, track) = both.next()?;
    let mut figure = Figure::new(
        "weight_decay_batch_size",
        "",
        Axis::linear("step"),
        Axis::linear(name),
    );
    figure.title = "Weight decay".to_owned();
    figure
        .series
        .push(Series::line(name, tracks.step.clone(), track).colour(Colour::Green));
    if let Some((name, track)) = both.next() {
        figure.title = "Weight decay and batch size".to_owned();
        figure.right = Some(Axis::linear(name));
        let series = Series::line(name, tracks.step.clone(), track);
        figure.series.push(
            series
                .style(Style::Dashed)
                .colour(Colour::Purple)
                .on_right(),
        );
    } else if tracks.weight_decay.is_none() {
        figure.title = "Batch size".to_owned();
    }
    figure.marks.clone_from(&tracks.phases);
    Some(figure)
}

/// Whether the batch size changes within the run. A smaller last batch of an epoch does not count.
pub(super) fn batch_size_is_planned(steps: &[StepRecord]) -> bool {
    let epochs = steps.chunk_by(|a, b| a.epoch == b.epoch);
    let mut sizes = epochs
        .flat_map(|epoch| &epoch[..epoch.len() - 1])
        .map(|record| record.batch_size);
    let first = sizes.next();
    sizes.any(|size| Some(size) != first)
}
