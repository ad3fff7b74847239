//! Figures of a run, made from its records. [`of_run`] returns all of them.

mod captions;
mod curves;
mod depth;
mod reliability;
mod tracks;

use std::path::Path;

use onecycle_plot::{Axis, Colour, Figure, Mark};

use crate::{
    TrainError,
    files::{create_folder, write_whole},
    record::{EpochRecord, StepRecord},
};

pub(crate) use curves::epochs_of_steps;
pub(crate) use depth::{of_head, rates_by_depth};

pub use curves::{accuracy, gap, losses, losses_over_lr};
pub use reliability::reliability;
pub use tracks::{Tracks, other_tracks, schedule};

/// Colours with the same meaning in every figure.
const TRAINING: Colour = Colour::Blue;
const VALIDATION: Colour = Colour::Vermillion;
pub(crate) const LR: Colour = Colour::Blue;
const MOMENTUM: Colour = Colour::Vermillion;
pub(crate) const GAP: Colour = Colour::Green;

/// The records of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunRecords<'a> {
    /// The lines of `steps.jsonl`.
    pub steps: &'a [StepRecord],
    /// The lines of `epochs.jsonl`.
    pub epochs: &'a [EpochRecord],
    /// First steps and names of the phases of the plan.
    pub phases: &'a [Mark],
}

/// A figure with its caption.
#[derive(Clone, Debug, PartialEq)]
pub struct CaptionedFigure {
    /// The figure.
    pub figure: Figure,
    /// What it shows, and which paper to compare it with.
    pub caption: &'static str,
}

/// All figures that the records allow, in the order of a report: `schedule`,
/// `weight_decay_batch_size` (if one of them varies), `losses`, `losses_over_lr`, `gap`,
/// `accuracy`.
#[must_use]
pub fn of_run(run: &RunRecords<'_>) -> Vec<CaptionedFigure> {
    let mut all = Vec::new();
    let mut add = |figure, caption| all.push(CaptionedFigure { figure, caption });
    if !run.steps.is_empty() {
        let mut tracks = Tracks::recorded(run.steps, run.phases);
        add(schedule(&tracks), captions::SCHEDULE);
        if !tracks::batch_size_is_planned(run.steps) {
            tracks.batch_size = None;
        }
        if let Some(figure) = other_tracks(&tracks) {
            add(figure, captions::OTHER_TRACKS);
        }
    }
    if !run.epochs.is_empty() {
        add(losses(run), captions::LOSSES);
        add(losses_over_lr(run), captions::LOSSES_OVER_LR);
        add(gap(run), captions::GAP);
        add(accuracy(run), captions::ACCURACY);
    }
    all
}

/// Writes each figure as SVG, CSV and, with the feature `png`, PNG into `folder`. Creates the folder if it does not exist.
///
/// # Errors
/// The figure cannot be drawn, or files cannot be written. Nothing is written unless every format
/// could be drawn.
pub fn write_all(folder: &Path, figures: &[CaptionedFigure]) -> Result<(), TrainError> {
    figures
        .iter()
        .try_for_each(|captioned| write(folder, &captioned.figure))
}

/// Writes `NAME.svg`, `NAME.csv` and, with the feature `png`, `NAME.png` into `folder`. Creates the
/// folder if it does not exist.
///
/// # Errors
/// The figure cannot be drawn, or files cannot be written. Nothing is written unless all of them
/// could be drawn.
pub fn write(folder: &Path, figure: &Figure) -> Result<(), TrainError> {
    let made = figure.files()?;
    create_folder(folder)?;
    for (name, bytes) in made {
        write_whole(&folder.join(name), &bytes)?;
    }
    Ok(())
}

/// The x axis of figures over the epochs.
pub(crate) fn epochs_axis() -> Axis {
    Axis::linear("epochs done")
}
