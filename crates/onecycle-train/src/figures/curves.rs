//! Figures of losses and accuracies, from the records of a run.

use onecycle_plot::{Axis, Colour, Figure, Mark, Scale, Series, Style};

use super::{GAP, LR, RunRecords, TRAINING, VALIDATION, epochs_axis};
use crate::record::{EpochRecord, StepRecord};

/// Number of windows over which [`losses_over_lr`] averages the training loss.
const WINDOWS: usize = 80;

/// Draws training and validation loss over the epochs.
#[must_use]
pub fn losses(run: &RunRecords<'_>) -> Figure {
    let (axis, note) = loss_axis(run);
    let mut figure = Figure::new(
        "losses",
        "Training and validation loss",
        epochs_axis(),
        axis,
    );
    figure.series = loss_series(run, &epochs_of_steps(run.steps), &epochs_done(run.epochs));
    figure.marks = marks_in_epochs(run);
    figure.note = note;
    figure
}

/// Draws training and validation loss over the learning rate, in the order of training.
#[must_use]
pub fn losses_over_lr(run: &RunRecords<'_>) -> Figure {
    let lr_of_steps: Vec<f64> = run.steps.iter().map(|record| record.lr).collect();
    let lr_of_epochs: Vec<f64> = run.epochs.iter().map(|record| record.lr).collect();
    let (lo, hi) = extent(lr_of_steps.iter().chain(&lr_of_epochs));
    let x = match lo > 0.0 && hi / lo > 20.0 {
        true => Axis::log("learning rate (logarithmic)"),
        false => Axis::linear("learning rate"),
    };
    let (axis, note) = loss_axis(run);
    let mut figure = Figure::new("losses_over_lr", "Losses over the learning rate", x, axis);
    figure.series = loss_series(run, &lr_of_steps, &lr_of_epochs);
    if !run.steps.is_empty() {
        // An epoch may contain a whole leg of the cycle; means of shorter windows follow the
        // learning rate more closely.
        figure.series[1] = window_means(run.steps);
    }
    if let [.., last] = run.epochs {
        let ends = vec![last.train_loss, last.val_loss];
        let series = Series::line("end of training", vec![last.lr; 2], ends);
        figure
            .series
            .push(series.style(Style::Points).colour(Colour::Black));
    }
    figure.note = note;
    figure
}

/// Draws the generalisation gap over the epochs, with the learning rate on the right.
#[must_use]
pub fn gap(run: &RunRecords<'_>) -> Figure {
    let title = "Gap between validation and training loss";
    let gap_axis = Axis::linear("validation − training loss");
    let mut figure = Figure::new("gap", title, epochs_axis(), gap_axis);
    figure.right = Some(Axis::linear("learning rate"));
    let (x, y) = if run.steps.is_empty() {
        (
            epochs_done(run.epochs),
            run.epochs.iter().map(|record| record.lr).collect(),
        )
    } else {
        (
            epochs_of_steps(run.steps),
            run.steps.iter().map(|record| record.lr).collect(),
        )
    };
    figure.series.push(
        Series::line("learning rate", x, y)
            .style(Style::Dashed)
            .colour(LR)
            .on_right(),
    );
    let gap = run
        .epochs
        .iter()
        .map(|record| record.generalisation_gap)
        .collect();
    let series = Series::line("gap", epochs_done(run.epochs), gap);
    figure
        .series
        .push(series.style(Style::LinePoints).colour(GAP));
    figure.marks = marks_in_epochs(run);
    figure
}

/// Draws training and validation accuracy in percent over the epochs.
#[must_use]
pub fn accuracy(run: &RunRecords<'_>) -> Figure {
    let mut figure = Figure::new(
        "accuracy",
        "Accuracy",
        epochs_axis(),
        Axis::linear("accuracy (%)"),
    );
    let percent =
        |value: fn(&EpochRecord) -> f64| run.epochs.iter().map(|r| 100.0 * value(r)).collect();
    let series = [
        (
            "training",
            percent(|record| record.train_accuracy),
            TRAINING,
        ),
        (
            "validation",
            percent(|record| record.val_accuracy),
            VALIDATION,
        ),
    ];
    for (name, values, colour) in series {
        let series = Series::line(name, epochs_done(run.epochs), values);
        figure
            .series
            .push(series.style(Style::LinePoints).colour(colour));
    }
    figure.marks = marks_in_epochs(run);
    figure
}

/// Epochs done at the end of each epoch.
fn epochs_done(epochs: &[EpochRecord]) -> Vec<f64> {
    epochs
        .iter()
        .map(|record| record.epoch as f64 + 1.0)
        .collect()
}

/// Epochs done after each step, as a fraction.
pub(crate) fn epochs_of_steps(steps: &[StepRecord]) -> Vec<f64> {
    let mut out = Vec::with_capacity(steps.len());
    let mut longest = 0;
    for epoch in steps.chunk_by(|a, b| a.epoch == b.epoch) {
        // An epoch that was stopped halfway is shorter than the ones before it.
        longest = longest.max(epoch.len());
        let done = |(i, record): (usize, &StepRecord)| {
            record.epoch as f64 + (i + 1) as f64 / longest as f64
        };
        out.extend(epoch.iter().enumerate().map(done));
    }
    out
}

/// First steps of the phases, converted from steps to epochs done.
fn marks_in_epochs(run: &RunRecords<'_>) -> Vec<Mark> {
    let done = epochs_of_steps(run.steps);
    let place = |mark: &Mark| {
        let index = run
            .steps
            .iter()
            .position(|record| record.step as f64 >= mark.x)?;
        let x = if index == 0 { 0.0 } else { done[index - 1] };
        Some(Mark {
            x,
            label: mark.label.clone(),
        })
    };
    run.phases.iter().filter_map(place).collect()
}

fn loss_series(run: &RunRecords<'_>, x_of_steps: &[f64], x_of_epochs: &[f64]) -> Vec<Series> {
    let mut series = Vec::new();
    if !run.steps.is_empty() {
        let losses = run.steps.iter().map(|record| record.loss).collect();
        let steps = Series::line("training, each step", x_of_steps.to_vec(), losses);
        series.push(steps.style(Style::Faint).colour(TRAINING));
    }
    let training = run.epochs.iter().map(|record| record.train_loss).collect();
    let validation = run.epochs.iter().map(|record| record.val_loss).collect();
    for (name, losses, colour) in [
        (
            "training, mean since the last evaluation",
            training,
            TRAINING,
        ),
        ("validation", validation, VALIDATION),
    ] {
        let line = Series::line(name, x_of_epochs.to_vec(), losses);
        series.push(line.style(Style::LinePoints).colour(colour));
    }
    series
}

/// Training loss over the learning rate, both averaged over about [`WINDOWS`] equal parts of the
/// run.
fn window_means(steps: &[StepRecord]) -> Series {
    let window = steps.len().div_ceil(WINDOWS);
    let mean = |part: &[StepRecord], value: fn(&StepRecord) -> f64| {
        part.iter().map(value).sum::<f64>() / part.len() as f64
    };
    let lr = steps
        .chunks(window)
        .map(|part| mean(part, |record| record.lr))
        .collect();
    let loss = steps
        .chunks(window)
        .map(|part| mean(part, |record| record.loss))
        .collect();
    Series::line(format!("training, mean of {window} steps"), lr, loss).colour(TRAINING)
}

/// An axis for losses that contains all epochs and 99 % of the steps, so that a few outliers do not
/// flatten the curves. The second value is a note about what is cut off.
fn loss_axis(run: &RunRecords<'_>) -> (Axis, Option<String>) {
    let of_epochs: Vec<f64> = run
        .epochs
        .iter()
        .flat_map(|record| [record.train_loss, record.val_loss])
        .collect();
    let mut of_steps: Vec<f64> = run
        .steps
        .iter()
        .map(|r| r.loss)
        .filter(|loss| loss.is_finite())
        .collect();
    of_steps.sort_by(f64::total_cmp);
    let upper = of_steps.get(of_steps.len() * 99 / 100).copied();
    let lowest = of_steps.first().copied();
    let (lo, hi) = extent(of_epochs.iter().chain(&lowest).chain(&upper));
    if lo >= hi {
        return (Axis::linear("loss"), None);
    }
    let above = of_steps.iter().filter(|loss| **loss > hi).count();
    let note = (above > 0).then(|| {
        format!(
            "{above} of {} steps have a loss above this axis; the CSV has all of them.",
            run.steps.len()
        )
    });
    let (label, scale, range) = if lo > 0.0 && hi / lo > 50.0 {
        ("loss (logarithmic)", Scale::Log, (lo / 1.15, hi * 1.15))
    } else {
        let margin = 0.05 * (hi - lo);
        let near_zero = lo >= 0.0 && lo < 0.35 * hi;
        (
            "loss",
            Scale::Linear,
            (if near_zero { 0.0 } else { lo - margin }, hi + margin),
        )
    };
    (
        Axis {
            scale,
            range: Some(range),
            ..Axis::linear(label)
        },
        note,
    )
}

/// The smallest and the largest finite value; infinity and minus infinity if there is none.
fn extent<'a>(values: impl Iterator<Item = &'a f64>) -> (f64, f64) {
    values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| {
            (lo.min(*v), hi.max(*v))
        })
}
