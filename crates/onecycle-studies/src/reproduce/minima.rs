//! The minima that small and large batches, one cycle and a piecewise constant rate find: accuracy
//! and sharpness.

use std::path::Path;

use onecycle::Constant;
use onecycle_burn::diagnose::HessianVerdict;
use onecycle_stats::{SampleMean, SharpnessVerdict};

use super::{
    Claim, Protocol, Published, Reproduction, Results,
    baseline::{
        CONSTANT_RATE, NOTEBOOK, ONE_CYCLE, PIECEWISE_EPOCHS, one_cycle, piecewise_epochs,
        with_final_sharpness,
    },
    claim::sound,
    measured::{self, Measure, RightAxis},
    usual_figures,
};
use crate::{
    StudyError,
    study::{RunResult, Variant},
};
use onecycle_plot::{Axis, Colour, Figure, Series, Style};
use onecycle_train::{Config, diagnose::Diagnosis};

const KESKAR: &str = "Keskar et al., \"On large-batch training\" (2017), tables 2 and 3";
const SMALL: &str = "small-batch";
const LARGE: &str = "large-batch-same-rate";

/// Names of the measures of sharpness.
const EIGENVALUE: &str = "largest eigenvalue";
const BOX: &str = "ε-sharpness (%)";

/// `flat-minima`: small and large batches, one cycle and a piecewise constant rate.
pub(super) struct FlatMinima;

impl Reproduction for FlatMinima {
    fn name(&self) -> &'static str {
        "flat-minima"
    }

    fn title(&self) -> &'static str {
        "Minima found by small and large batches, one cycle and a piecewise constant rate"
    }

    fn notes(&self, protocol: &Protocol) -> Vec<String> {
        let budget = &protocol.budget;
        vec![
            format!(
                "Small batches of {} and large batches of {} times that, at the same constant rate and for \
                 the same epochs. Keskar et al. trained to convergence; these runs do not.",
                budget.batch_size / 2,
                2 * budget.large
            ),
            format!(
                "Sharpness is measured on {} training images, the same for all variants of a seed, with batch \
                 norm in evaluation mode: the largest eigenvalue of the Hessian of the loss, and Keskar's \
                 ε-sharpness for ε = 1e-3, whose ascent gives a lower bound. Both depend on the scale of the \
                 weights, so they only compare runs of the same network.",
                budget.surface_images
            ),
        ]
    }

    fn variants(&self, protocol: &Protocol) -> Result<Vec<(String, Config)>, StudyError> {
        let budget = &protocol.budget;
        let constant = |batch: usize| {
            let mut config = protocol.config(Constant::new(CONSTANT_RATE * budget.lr_max));
            config.batch_size = batch.max(1);
            with_final_sharpness(protocol, config)
        };
        let small = budget.batch_size / 2;
        Ok(vec![
            (SMALL.to_owned(), constant(small)?),
            (
                LARGE.to_owned(),
                constant(small * 2 * budget.large as usize)?,
            ),
            piecewise_epochs(protocol)?,
            one_cycle(protocol)?,
        ])
    }

    fn claims(
        &self,
        _: &Protocol,
        _: &Path,
        results: &[Variant],
    ) -> Result<Vec<Claim>, StudyError> {
        let results = Results(results.to_vec());
        let keskar = |text, numbers| Published {
            text,
            source: KESKAR,
            numbers,
        };
        let notebook = |text| Published {
            text,
            source: NOTEBOOK,
            numbers: "stated without a number",
        };
        let (small, large) = (results.get(SMALL)?, results.get(LARGE)?);
        let (piecewise, cycle) = (results.get(PIECEWISE_EPOCHS)?, results.get(ONE_CYCLE)?);
        let eigenvalue = |run: &RunResult| measured::at_end(run, measured::eigenvalue);
        let in_a_box = |run: &RunResult| measured::at_end(run, measured::box_sharpness);
        Ok(vec![
            keskar(
                "Small batches end more accurate than large ones at the same rate",
                "80.04 against 77.26 % (C1, AlexNet-like), 89.24 against 87.26 % (C2, VGG-like; CIFAR-10, Adam)",
            )
            .more_accurate(small, large, 0.0),
            keskar(
                "Large batches end in sharper minima than small ones (ε-sharpness)",
                "707 against 28.6 (C1), 925 against 8.68 (C2)",
            )
            .times_larger(large, small, BOX, in_a_box),
            keskar(
                "Large batches end in sharper minima than small ones (largest eigenvalue of the Hessian)",
                "related to ε-sharpness, not measured",
            )
            .times_larger(large, small, EIGENVALUE, eigenvalue),
            notebook("Large rates find flatter minima: a piecewise constant rate ends with a larger ε-sharpness than one cycle")
                .times_larger(piecewise, cycle, BOX, in_a_box),
            notebook("Large rates find flatter minima: a piecewise constant rate ends with a larger eigenvalue of the Hessian than one cycle")
                .times_larger(piecewise, cycle, EIGENVALUE, eigenvalue),
            notebook("Within one cycle, the loss surface is flatter at the highest rate than at the end")
                .larger_ratio("largest eigenvalue at the end and at the peak", &end_and_peak(cycle)),
        ])
    }

    fn figures(
        &self,
        protocol: &Protocol,
        _: &Path,
        results: &[Variant],
    ) -> Result<Vec<(Figure, String)>, StudyError> {
        let all = Results(results.to_vec());
        let mut shown = vec![during_the_cycle(protocol, all.get(ONE_CYCLE)?)?];
        let measures: [(&str, &str, &str, Measure); 2] = [
            (
                "flat-minima-eigenvalue",
                "Curvature at the end, and accuracy",
                "largest eigenvalue of the Hessian (logarithmic)",
                measured::eigenvalue,
            ),
            (
                "flat-minima-box",
                "ε-sharpness at the end, and accuracy",
                "ε-sharpness in per cent (logarithmic)",
                measured::box_sharpness,
            ),
        ];
        for (name, title, label, value) in measures {
            let mut figure = Figure::new(
                name,
                title,
                Axis::log(label),
                Axis::linear("final validation accuracy (%)"),
            );
            figure.series = ends(results, value);
            figure.note = Some(
                "Markers: geometric mean over the seeds and the ends of its 95 % confidence interval."
                    .to_owned(),
            );
            // There is nothing to draw if all runs diverged.
            if !figure.series.is_empty() {
                let caption = "Sharpness of the minimum that each policy ends in: further right is sharper, higher is more accurate.";
                shown.push((figure, format!("{caption} {}", unreliable(results))));
            }
        }
        shown.extend(usual_figures(self.name(), self.x_axis(), results));
        Ok(shown)
    }
}

/// The largest eigenvalue at the end of each run and at the highest rate at which it was measured.
fn end_and_peak(cycle: &Variant) -> Vec<(f64, f64)> {
    let runs = sound(cycle).runs;
    let pair = |run: &RunResult| {
        let rate = |one: &Diagnosis| one.conditions.lr;
        let highest = run.diagnoses.iter();
        let peak = highest.max_by(|a, b| rate(a).total_cmp(&rate(b)))?;
        let end = measured::at_end(run, measured::eigenvalue);
        Some((end, measured::eigenvalue(peak)))
    };
    runs.iter().filter_map(pair).collect()
}

/// Both measures of sharpness during one cycle, with the learning rate.
fn during_the_cycle(protocol: &Protocol, cycle: &Variant) -> Result<(Figure, String), StudyError> {
    let mut figure = measured::over_the_cycle(
        protocol,
        ("flat-minima-cycle", "Sharpness during one cycle"),
        Axis::log("curvature; per cent (logarithmic)"),
        RightAxis::Lr,
    )?;
    let curvature = cycle.diagnosed(EIGENVALUE, measured::eigenvalue);
    let in_a_box = cycle.diagnosed(BOX, measured::box_sharpness);
    let colours = [Colour::Vermillion, Colour::Purple];
    for (series, colour) in [curvature, in_a_box].into_iter().zip(colours) {
        let series = series.into_iter();
        figure
            .series
            .extend(series.map(|series| series.colour(colour)));
    }
    let caption = "Largest eigenvalue of the Hessian and ε-sharpness during one cycle, with the learning \
        rate. Large rates are said to keep the network out of sharp minima. If so, both are low while the \
        rate is high and rise when it falls.";
    Ok((figure, caption.to_owned()))
}

/// Mean and 95 % interval of a final measure at the mean accuracy, one colour per variant.
fn ends(results: &[Variant], value: Measure) -> Vec<Series> {
    let mut all = Vec::new();
    for (variant, colour) in results.iter().zip(Colour::ORDER.into_iter().cycle()) {
        let variant = sound(variant);
        let logs: Vec<f64> = variant
            .runs
            .iter()
            .map(|run| measured::at_end(run, value).ln())
            .collect();
        let Some(log) = SampleMean::of(&logs).filter(|log| log.mean.is_finite()) else {
            continue;
        };
        let (low, high) = log.interval().unwrap_or((log.mean, log.mean));
        let x: Vec<f64> = [low, log.mean, high].map(f64::exp).into();
        let accuracy = variant.estimate(|run| 100.0 * run.final_accuracy).mean;
        let series = Series::line(variant.label, x, vec![accuracy; 3]);
        all.push(series.style(Style::LinePoints).colour(colour));
    }
    all
}

/// Counts the final measurements that are unreliable, as a sentence.
fn unreliable(results: &[Variant]) -> String {
    let last = || {
        let runs = results.iter().flat_map(|variant| &variant.runs);
        runs.filter(|run| run.diverged.is_none())
            .filter_map(|run| run.diagnoses.last())
    };
    let rising = last().filter_map(|one| one.sharpness);
    let rising = rising.filter(|one| one.verdict != SharpnessVerdict::Ok);
    let hessian = last().filter_map(|one| one.hessian.as_ref());
    let unsure = hessian.filter(|one| one.verdict != HessianVerdict::Ok);
    format!(
        "Of {} runs, {} stopped the ascent while it was still rising, so their ε-sharpness is a lower \
         bound; for {}, the Hessian is not smooth at the scale of the measurement or its eigenvalues did \
         not converge.",
        last().count(),
        rising.count(),
        unsure.count()
    )
}
