//! The figures of a run's diagnoses.

use onecycle_plot::{Axis, Colour, Figure, Series, Style};

use super::{Diagnosis, Slice};
use crate::{
    figures::{Captioned, GAP, LR, epochs_axis, epochs_of_steps},
    record::StepRecord,
};

/// The figures of a run's diagnoses: `diagnose_noise`, `diagnose_sharpness` and `diagnose_gap` along the run, and
/// `diagnose_slices` of the one that was asked for; those for which there is something to draw.
#[must_use]
pub fn of_diagnoses(
    along: &[Diagnosis],
    asked: Option<&Diagnosis>,
    steps: &[StepRecord],
) -> Vec<Captioned> {
    // Of the same step, the one along the run is like its neighbours.
    let step = |diagnosis: &Diagnosis| diagnosis.conditions.step;
    let other = asked.filter(|asked| along.iter().all(|one| step(one) != step(asked)));
    let mut all: Vec<&Diagnosis> = along.iter().chain(other).collect();
    all.sort_by_key(|diagnosis| step(diagnosis));
    let figures = [
        (noise(&all, steps), NOISE_CAPTION),
        (sharpness(&all, steps), SHARPNESS_CAPTION),
        (gap(&all, steps), GAP_CAPTION),
        (
            asked.and_then(|asked| slices(&asked.slices)),
            SLICES_CAPTION,
        ),
    ];
    figures
        .into_iter()
        .filter_map(|(figure, caption)| {
            Some(Captioned {
                figure: figure?,
                caption,
            })
        })
        .collect()
}

/// Points over the epochs of the diagnoses that have one.
fn points(
    name: &str,
    all: &[&Diagnosis],
    value: impl Fn(&Diagnosis) -> Option<f64>,
) -> Option<Series> {
    let found = |diagnosis: &&Diagnosis| Some((diagnosis.conditions.epoch?, value(diagnosis)?));
    let (x, y): (Vec<f64>, Vec<f64>) = all.iter().filter_map(found).unzip();
    (!x.is_empty()).then(|| Series::line(name, x, y).style(Style::LinePoints))
}

/// The learning rate of each update, dashed on the right.
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

/// Caption of the figure of the noise scale.
const NOISE_CAPTION: &str = "Batch size at which the noise of the gradient is as large as the gradient, measured \
    on augmented training images along the run, with the learning rate. It grows as the loss falls: late batches carry \
    less gradient. Larger batches than this bring little; far smaller ones make the training a random walk, which a \
    large learning rate makes wider. Compare: McCandlish et al., “An Empirical Model of Large-Batch Training” (2018), \
    figure 4 and section 2.2; Smith & Le (2018).";

/// Caption of the figure of the sharpness.
const SHARPNESS_CAPTION: &str = "Largest curvature of the training loss, and how far the loss rises within \
    a small box around the weights, along the run. Both are large while little is learnt yet. A large learning rate is \
    said to drive the network out of sharp minima: look whether they fall while it is high, and what is left at the end, \
    which can be compared with other runs on the same data. Compare: Keskar et al., “On large-batch training” \
    (2017), metric 2.1; Hochreiter & Schmidhuber, “Flat minima” (1997); Jastrzębski et al., “Three factors” (2017).";

/// Caption of the figure of the gap.
const GAP_CAPTION: &str = "Validation loss less training loss of the network as it stood, both in evaluation \
    and without augmentation, so that the two differ by nothing but the images. Large learning rates regularise: it \
    should open late. Compare: Smith, “A disciplined approach” (2018), section 3.";

/// Caption of the figure of the slices.
const SLICES_CAPTION: &str = "Training loss along random directions through the weights, each filter of a \
    direction as long as that of the network, so that networks can be compared whatever the scale of their weights. \
    A wide, shallow valley is a flat minimum. Compare: Li et al., “Visualizing the Loss Landscape of Neural Nets” \
    (2018), figures 3 and 4.";
