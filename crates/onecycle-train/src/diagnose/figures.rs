//! Figures of the diagnoses of a run.

use onecycle_plot::{Axis, Colour, Figure, Series, Style};

use super::{Diagnosis, Slice};
use crate::{
    figures::{CaptionedFigure, GAP, LR, epochs_axis, epochs_of_steps},
    record::StepRecord,
};

/// The figures of the diagnoses of a run, as far as there is something to draw: `diagnose_noise`,
/// `diagnose_sharpness` and `diagnose_gap` over the run, and `diagnose_slices` of the requested
/// diagnosis.
#[must_use]
pub fn of_diagnoses(
    during_run: &[Diagnosis],
    requested: Option<&Diagnosis>,
    steps: &[StepRecord],
) -> Vec<CaptionedFigure> {
    // For a step that has both, the diagnosis of the run is drawn: it is comparable with its
    // neighbours.
    let step = |diagnosis: &Diagnosis| diagnosis.conditions.step;
    let other =
        requested.filter(|requested| during_run.iter().all(|one| step(one) != step(requested)));
    let mut all: Vec<&Diagnosis> = during_run.iter().chain(other).collect();
    all.sort_by_key(|diagnosis| step(diagnosis));
    let figures = [
        (noise(&all, steps), NOISE_CAPTION),
        (sharpness(&all, steps), SHARPNESS_CAPTION),
        (gap(&all, steps), GAP_CAPTION),
        (
            requested.and_then(|requested| slices(&requested.slices)),
            SLICES_CAPTION,
        ),
    ];
    figures
        .into_iter()
        .filter_map(|(figure, caption)| {
            Some(CaptionedFigure {
                figure: figure?,
                caption,
            })
        })
        .collect()
}

/// Values over the epochs, of the diagnoses that have one.
fn points(
    name: &str,
    all: &[&Diagnosis],
    value: impl Fn(&Diagnosis) -> Option<f64>,
) -> Option<Series> {
    let found = |diagnosis: &&Diagnosis| Some((diagnosis.conditions.epoch?, value(diagnosis)?));
    let (x, y): (Vec<f64>, Vec<f64>) = all.iter().filter_map(found).unzip();
    (!x.is_empty()).then(|| Series::line(name, x, y).style(Style::LinePoints))
}

/// Adds the learning rate of each update, dashed on the right.
fn add_lr(figure: &mut Figure, steps: &[StepRecord]) {
    if steps.is_empty() {
        return;
    }
    figure.right = Some(Axis::linear("learning rate"));
    let lr = steps.iter().map(|record| record.lr).collect();
    let series = Series::line("learning rate", epochs_of_steps(steps), lr);
    let series = series.style(Style::Dashed).colour(LR).on_right();
    figure.series.insert(0, series);
}

fn noise(all: &[&Diagnosis], steps: &[StepRecord]) -> Option<Figure> {
    let scale = points("noise scale", all, |diagnosis| {
        Some(diagnosis.noise?.micro_batches.scale?.value)
    })?;
    let two = points("by two batch sizes", all, |diagnosis| {
        Some(diagnosis.noise?.two_sizes?.scale?.value)
    });
    let mut figure = Figure::new(
        "diagnose_noise",
        "Gradient noise scale",
        epochs_axis(),
        Axis::log("images (logarithmic)"),
    );
    figure.series.push(scale.colour(Colour::Vermillion));
    figure
        .series
        .extend(two.map(|two| two.style(Style::Points).colour(Colour::Orange)));
    add_lr(&mut figure, steps);
    Some(figure)
}

fn sharpness(all: &[&Diagnosis], steps: &[StepRecord]) -> Option<Figure> {
    let largest = points("largest eigenvalue of the Hessian", all, |diagnosis| {
        Some(
            diagnosis
                .hessian
                .as_ref()?
                .curvature
                .eigenvalues
                .first()?
                .value,
        )
    });
    let box_sharpness = points("ε-sharpness (%)", all, |diagnosis| {
        Some(diagnosis.sharpness?.sharpness)
    });
    let mut figure = Figure::new(
        "diagnose_sharpness",
        "Sharpness",
        epochs_axis(),
        Axis::log("curvature; per cent (logarithmic)"),
    );
    figure
        .series
        .extend(largest.map(|series| series.colour(Colour::Vermillion)));
    figure
        .series
        .extend(box_sharpness.map(|series| series.colour(Colour::Purple)));
    if figure.series.is_empty() {
        return None;
    }
    add_lr(&mut figure, steps);
    Some(figure)
}

fn gap(all: &[&Diagnosis], steps: &[StepRecord]) -> Option<Figure> {
    let gap = points("gap", all, |diagnosis| Some(diagnosis.gap.gap))?;
    let mut figure = Figure::new(
        "diagnose_gap",
        "Gap in evaluation, without augmentation",
        epochs_axis(),
        Axis::linear("validation − training loss"),
    );
    figure.series.push(gap.colour(GAP));
    add_lr(&mut figure, steps);
    Some(figure)
}

fn slices(slices: &[Slice]) -> Option<Figure> {
    let mut figure = Figure::new(
        "diagnose_slices",
        "Loss along random directions",
        Axis::linear("step, in lengths of each filter"),
        Axis::linear("training loss"),
    );
    for (number, slice) in (1..).zip(slices) {
        let loss = slice
            .loss
            .iter()
            .map(|loss| loss.unwrap_or(f64::NAN))
            .collect();
        let name = format!("direction {number}");
        figure
            .series
            .push(Series::line(name, slice.alpha.clone(), loss).style(Style::LinePoints));
    }
    (!slices.is_empty()).then_some(figure)
}

const NOISE_CAPTION: &str = "Gradient noise scale: the batch size at which the noise of the gradient is as large as \
    the gradient, measured on augmented training images during the run, with the learning rate. It grows as the loss \
    falls, because the gradient becomes smaller. Larger batches gain little. Far smaller ones turn the training into \
    a random walk, which a large learning rate makes wider. Compare with McCandlish et al., “An Empirical Model of \
    Large-Batch Training” (2018), figure 4 and section 2.2, and Smith & Le (2018).";

const SHARPNESS_CAPTION: &str = "Largest curvature of the training loss, and how far the loss rises within a small \
    box around the weights, during the run. Both are large at the start. A large learning rate is said to drive the \
    network out of sharp minima: check whether they fall while it is high. The values at the end can be compared with \
    other runs on the same data. Compare with Keskar et al., “On large-batch training” (2017), metric 2.1; Hochreiter \
    & Schmidhuber, “Flat minima” (1997); Jastrzębski et al., “Three factors” (2017).";

const GAP_CAPTION: &str = "Validation loss minus training loss, both in evaluation mode and without augmentation, \
    so that they differ only by the images. Large learning rates regularise, so the gap should open late. Compare \
    with Smith, “A disciplined approach” (2018), section 3.";

const SLICES_CAPTION: &str = "Training loss along random directions through the weights. Each filter of a direction \
    is as long as that of the network, so networks with weights of different scale can be compared. A wide, shallow \
    valley is a flat minimum. Compare with Li et al., “Visualizing the Loss Landscape of Neural Nets” (2018), figures \
    3 and 4.";
