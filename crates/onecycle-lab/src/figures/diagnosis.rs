use super::{Captioned, GAP, LR, captions, epochs_axis, epochs_of_steps};
use crate::{
    diagnose::{Diagnosis, Slice},
    figure::{Axis, Colour, Figure, Series, Style},
    record::StepRecord,
};

/// The figures of a run's diagnoses: `diagnose_noise`, `diagnose_sharpness` and `diagnose_gap` along the run, and
/// `diagnose_slices` of the one that was asked for; those for which there is something to draw.
#[must_use]
pub fn diagnosis(
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
        (noise(&all, steps), captions::DIAGNOSE_NOISE),
        (sharpness(&all, steps), captions::DIAGNOSE_SHARPNESS),
        (gap(&all, steps), captions::DIAGNOSE_GAP),
        (
            asked.and_then(|asked| slices(&asked.slices)),
            captions::DIAGNOSE_SLICES,
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
