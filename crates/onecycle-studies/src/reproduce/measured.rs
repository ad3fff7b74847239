//! Reads the diagnoses of runs: gradient noise and sharpness.
//!
//! The measurements are part of each run (see
//! [`DiagnoseConfig`](onecycle_train::config::DiagnoseConfig)): they do not change the training,
//! are stored in the run's folder and survive an interruption. This module extracts the numbers
//! that claims are about and prepares figures over the steps of one cycle.

use super::{
    Protocol,
    baseline::{images, one_cycle},
};
use crate::{StudyError, study::RunResult};
use onecycle_plot::{Axis, Colour, Figure, Series, Style};
use onecycle_train::{diagnose::Diagnosis, experiment::plan, plan_view::PlanView};

/// Extracts a number from a diagnosis; NaN if it was not measured.
pub(super) type Measure = fn(&Diagnosis) -> f64;

/// Largest eigenvalue of the Hessian; NaN if it was not measured.
pub(super) fn eigenvalue(diagnosis: &Diagnosis) -> f64 {
    let hessian = diagnosis.hessian.as_ref();
    let largest = hessian.and_then(|hessian| hessian.curvature.eigenvalues.first());
    largest.map_or(f64::NAN, |one| one.value)
}

/// Keskar's ε-sharpness in per cent; NaN if it was not measured.
pub(super) fn box_sharpness(diagnosis: &Diagnosis) -> f64 {
    let sharpness = diagnosis.sharpness;
    sharpness.map_or(f64::NAN, |found| found.sharpness)
}

/// `|G|²`, the squared length of the gradient; NaN if it was not measured.
pub(super) fn gradient(diagnosis: &Diagnosis) -> f64 {
    let noise = diagnosis.noise;
    noise.map_or(f64::NAN, |noise| noise.micro_batches.gradient.value)
}

/// `tr Σ`, the variance of the gradient of one image; NaN if it was not measured.
pub(super) fn variance(diagnosis: &Diagnosis) -> f64 {
    let noise = diagnosis.noise;
    noise.map_or(f64::NAN, |noise| noise.micro_batches.trace.value)
}

/// `|G|² / tr Σ`, the reciprocal of the noise scale, in 1 / images. If noise hides the gradient,
/// the noise scale has no value, but this number does: it is close to or below 0. So means over
/// seeds do not leave out any seed.
pub(super) fn signal(diagnosis: &Diagnosis) -> f64 {
    gradient(diagnosis) / variance(diagnosis)
}

/// A number of the final network of a run; NaN if it was not measured.
pub(super) fn at_end(run: &RunResult, value: impl Fn(&Diagnosis) -> f64) -> f64 {
    run.diagnoses.last().map_or(f64::NAN, value)
}

/// The schedule that a figure shows dashed, on its right axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RightAxis {
    Lr,
    Momentum,
}

/// A figure over the steps of one cycle that shows only the learning rate or the momentum yet.
pub(super) fn over_the_cycle(
    protocol: &Protocol,
    (name, title): (&str, &str),
    y: Axis,
    beside: RightAxis,
) -> Result<Figure, StudyError> {
    let (_, config) = one_cycle(protocol)?;
    let view = PlanView::new(&plan(&config, Some(images(protocol)))?);
    let tracks = view.tracks();
    let (label, track, colour) = match beside {
        RightAxis::Lr => ("learning rate", Some(&tracks.lr), Colour::Blue),
        RightAxis::Momentum => ("momentum", tracks.momentum.as_ref(), Colour::Blue),
    };
    let mut figure = Figure::new(name, title, Axis::linear("steps"), y);
    if let Some(track) = track {
        figure.right = Some(Axis::linear(label));
        let series = Series::line(label, tracks.step.clone(), track.clone());
        let series = series.style(Style::Dashed).colour(colour).on_right();
        figure.series.push(series);
    }
    figure.marks = view.marks().to_vec();
    if protocol.budget.seeds > 1 {
        figure.note = Some("Lines: mean over the seeds. Areas: lowest to highest seed.".to_owned());
    }
    Ok(figure)
}
