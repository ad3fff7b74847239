//! Figures of a fine-tuned network: learning rates by depth, and the training of its last layer
//! before.

use onecycle_plot::{Axis, Figure, Series};

use super::{CaptionedFigure, RunRecords, accuracy, captions, losses};
use crate::{depth::DepthRate, record::StepRecord};

/// The learning rate of every group of layers at every update.
pub(crate) fn rates_by_depth(steps: &[StepRecord], rates: &[DepthRate]) -> CaptionedFigure {
    let mut figure = Figure::new(
        "rates_by_depth",
        "Learning rate by depth",
        Axis::linear("step"),
        Axis::log("learning rate (logarithmic)"),
    );
    let step: Vec<f64> = steps.iter().map(|record| record.step as f64).collect();
    for rate in rates.iter().rev() {
        let lr = steps.iter().map(|record| record.lr * rate.lr).collect();
        figure
            .series
            .push(Series::line(rate.layers, step.clone(), lr));
    }
    CaptionedFigure {
        figure,
        caption: captions::RATES_BY_DEPTH,
    }
}

/// Losses and accuracy of the run that trained the last layer before.
pub(crate) fn of_head(run: &RunRecords<'_>) -> Vec<CaptionedFigure> {
    if run.epochs.is_empty() {
        return Vec::new();
    }
    let named = |mut figure: Figure| {
        figure.name = format!("stage1_{}", figure.name);
        figure.title = format!("Last layer: {}", figure.title.to_lowercase());
        CaptionedFigure {
            figure,
            caption: captions::STAGE_1,
        }
    };
    [losses(run), accuracy(run)].map(named).into()
}
