//! Gradient noise: the ratio of learning rate to batch size, and measurements during one cycle.

use std::path::Path;

use onecycle::Constant;
use onecycle_stats::SampleMean;

use super::{
    Claim, ClaimVerdict, Protocol, Published, Reproduction, Results,
    baseline::{CONSTANT_RATE, MICRO_BATCH, ONE_CYCLE, one_cycle},
    claim::{above, interval, sound},
    measured::{self, Measure, RightAxis},
    usual_figures,
};
use crate::{
    StudyError,
    study::{RunResult, Variant},
};
use onecycle_plot::{Axis, Colour, Figure, Series, Style, format::significant};
use onecycle_train::{Config, diagnose::Diagnosis};

const JASTRZEBSKI: &str = "Jastrzębski et al., \"Three factors influencing minima in SGD\" (2018)";
const MCCANDLISH: &str =
    "McCandlish et al., \"An empirical model of large-batch training\" (2018, arXiv:1812.06162)";

/// Training losses count as equal if their ratio is at most 1 plus this fraction.
const MARGIN: f64 = 0.1;
/// The number that is compared: a mean over all images of an epoch, which varies less between seeds
/// than the accuracy after it.
const LOSS: &str = "training loss of the last epoch";
/// Factors on learning rate and batch size. The first pair is the reference, the next two keep the
/// ratio, the last has a quarter of it.
const PAIRS: [(f64, f64); 4] = [(1.0, 1.0), (0.5, 0.5), (2.0, 2.0), (0.5, 2.0)];

/// `noise-scale`.
pub(super) struct NoiseScale;

impl NoiseScale {
    /// A constant rate with a batch size.
    fn variant(protocol: &Protocol, (of_lr, of_batch): (f64, f64)) -> (String, Config) {
        let lr = of_lr * CONSTANT_RATE * protocol.budget.lr_max;
        let mut config = protocol.config(Constant::new(lr));
        config.batch_size = ((of_batch * protocol.budget.batch_size as f64) as usize).max(1);
        let label = format!("lr-{}-batch-{}", significant(lr), config.batch_size);
        (label, config)
    }

    fn labels(protocol: &Protocol) -> [String; 4] {
        PAIRS.map(|pair| NoiseScale::variant(protocol, pair).0)
    }
}

impl Reproduction for NoiseScale {
    fn name(&self) -> &'static str {
        "noise-scale"
    }

    fn title(&self) -> &'static str {
        "The ratio of learning rate to batch size, and gradient noise during one cycle"
    }

    fn notes(&self, protocol: &Protocol) -> Vec<String> {
        let budget = &protocol.budget;
        vec![
            "Constant rates with momentum 0.9. All runs see the same number of images, so curves are drawn \
             over epochs. The last of these variants has a quarter of the ratio of the others."
                .to_owned(),
            format!(
                "Gradient noise is measured {} times during one cycle, each time on {} micro-batches of {} \
                 augmented training images with batch norm in evaluation mode. The noise scale is \
                 tr Σ / |G|²: the variance of the gradient of one image divided by the squared length of \
                 the mean gradient. If noise hides the mean, its reciprocal still has a value.",
                budget.diagnoses,
                budget.noise_batches,
                MICRO_BATCH
            ),
            "Equal ratios were first compared by the final accuracy, within 1 point, which did not decide: without \
             annealing it varies too much. Now the training loss of the last epoch is compared."
                .to_owned(),
            "The growth during the run is tested by the ratio of end to start. The difference of the \
             reciprocals was tried first and was not significant."
                .to_owned(),
        ]
    }

    fn variants(&self, protocol: &Protocol) -> Result<Vec<(String, Config)>, StudyError> {
        let mut variants = PAIRS
            .map(|pair| NoiseScale::variant(protocol, pair))
            .to_vec();
        variants.push(one_cycle(protocol)?);
        Ok(variants)
    }

    fn claims(
        &self,
        protocol: &Protocol,
        _: &Path,
        results: &[Variant],
    ) -> Result<Vec<Claim>, StudyError> {
        let results = Results(results.to_vec());
        let labels = NoiseScale::labels(protocol);
        let [reference, half, double, quarter] = [0, 1, 2, 3].map(|i| results.get(&labels[i]));
        let claim = |text| Published {
            text,
            source: JASTRZEBSKI,
            numbers: "figures: curves of equal ratio coincide",
        };
        let reference = reference?;
        Ok(vec![
            claim("Half the rate with half the batch ends with the same training loss (within 10 %)")
                .same_ratio((half?, reference), MARGIN, LOSS, last_loss),
            claim("Twice the rate with twice the batch ends with the same training loss (within 10 %)")
                .same_ratio((double?, reference), MARGIN, LOSS, last_loss),
            claim("A quarter of the ratio ends with a larger training loss after the same epochs")
                .times_larger(quarter?, reference, LOSS, last_loss),
            grows(results.get(ONE_CYCLE)?),
        ])
    }

    fn figures(
        &self,
        protocol: &Protocol,
        _: &Path,
        results: &[Variant],
    ) -> Result<Vec<(Figure, String)>, StudyError> {
        let (cycle, pairs): (Vec<Variant>, Vec<Variant>) = results
            .iter()
            .cloned()
            .partition(|variant| variant.label == ONE_CYCLE);
        let mut shown = Vec::new();
        for cycle in &cycle {
            shown.push(scale_figure(protocol, cycle)?);
            shown.push(parts_figure(protocol, cycle)?);
        }
        shown.extend(usual_figures(self.name(), self.x_axis(), &pairs));
        Ok(shown)
    }
}

fn last_loss(run: &RunResult) -> f64 {
    run.epochs.last().map_or(f64::NAN, |epoch| epoch.train_loss)
}

/// Tests that the noise scale at the end of one cycle is above the first measurement: by their
/// ratio, or by the difference of the reciprocals if noise hides the gradient in a run.
fn grows(cycle: &Variant) -> Claim {
    let published = Published {
        text: "The gradient noise scale grows during the run",
        source: MCCANDLISH,
        numbers: "abstract: it increases as the loss decreases during training",
    };
    let runs = sound(cycle).runs;
    let ends: Vec<(&Diagnosis, &Diagnosis)> = runs
        .iter()
        .filter_map(|run| match run.diagnoses.as_slice() {
            [first, .., last] => Some((first, last)),
            _ => None,
        })
        .collect();
    let (first, last): (Vec<f64>, Vec<f64>) = ends
        .iter()
        .map(|(first, last)| (measured::signal(first), measured::signal(last)))
        .unzip();
    if !ends.is_empty() && first.iter().chain(&last).all(|signal| *signal > 0.0) {
        let pairs = last
            .iter()
            .zip(&first)
            .map(|(last, first)| (1.0 / last, 1.0 / first));
        let step = ends[0].0.conditions.step;
        return published.larger_ratio(
            &format!("noise scale in images at the end and at step {step}:"),
            &pairs.collect::<Vec<_>>(),
        );
    }
    let estimates = (
        SampleMean::of(&first),
        SampleMean::of(&last),
        SampleMean::of_difference(&first, &last),
    );
    let (Some(first), Some(last), Some(fall)) = estimates else {
        return published.with(
            "not measured twice in any run".to_owned(),
            ClaimVerdict::NotDecided,
        );
    };
    let scale = |signal: f64| match signal > 0.0 {
        true => format!("{} images", significant(1.0 / signal)),
        false => "too large to measure".to_owned(),
    };
    let ours = format!(
        "{} at step {}, {} at the end; |G|² / tr Σ falls by {}",
        scale(first.mean),
        ends[0].0.conditions.step,
        scale(last.mean),
        interval(&fall, significant)
    );
    published.with(ours, above(fall, 0.0))
}

/// The noise scale during one cycle, with the batch size and the learning rate.
fn scale_figure(protocol: &Protocol, cycle: &Variant) -> Result<(Figure, String), StudyError> {
    let mut figure = measured::over_the_cycle(
        protocol,
        ("noise-scale-cycle", "Gradient noise scale during one cycle"),
        Axis::log("images (logarithmic)"),
        RightAxis::Lr,
    )?;
    let batch = protocol.budget.batch_size as f64;
    let steps = cycle.runs.iter().map(|run| run.steps).max().unwrap_or(1) as f64;
    let batch = Series::line("batch size", vec![0.0, steps], vec![batch; 2]);
    figure.series.push(batch.colour(Colour::Black));
    let scale = cycle.diagnosed("noise scale", measured::signal);
    let scale = scale.into_iter().map(inverted);
    figure
        .series
        .extend(scale.map(|series| series.colour(Colour::Vermillion)));
    let caption = "Batch size at which the noise of the gradient is as large as the gradient, tr Σ / |G|², \
        with the batch size of the run and the learning rate. Means over the seeds are taken of the \
        reciprocal; the curve has a gap if noise hides the gradient. McCandlish et al. (2018) find that \
        the noise scale grows as the loss falls.";
    Ok((figure, caption.to_owned()))
}

/// The two parts of the noise scale during one cycle, and the noise of an update.
fn parts_figure(protocol: &Protocol, cycle: &Variant) -> Result<(Figure, String), StudyError> {
    let mut figure = measured::over_the_cycle(
        protocol,
        (
            "noise-scale-cycle-parts",
            "Gradient and its noise during one cycle",
        ),
        Axis::log("squared length (logarithmic)"),
        RightAxis::Momentum,
    )?;
    let parts: [(&str, Colour, Measure); 3] = [
        ("tr Σ", Colour::Vermillion, measured::variance),
        ("|G|²", Colour::Green, measured::gradient),
        ("lr / B · tr Σ", Colour::Purple, |one| {
            one.conditions.lr_per_sample * measured::variance(one)
        }),
    ];
    for (name, colour, value) in parts {
        let series = cycle.diagnosed(name, value).into_iter();
        figure
            .series
            .extend(series.map(|series| series.colour(colour)));
    }
    let caption = "Variance of the gradient of one image, squared length of the mean gradient, and the \
        variance times lr / batch size. According to Jastrzębski et al. (2018), the last one determines \
        the width of the minima that SGD finds. It follows the learning rate and is opposite to the \
        momentum.";
    Ok((figure, caption.to_owned()))
}

/// The reciprocals of a curve or band.
fn inverted(series: Series) -> Series {
    let of = |values: Vec<f64>| -> Vec<f64> { values.into_iter().map(f64::recip).collect() };
    let (y, style) = match series.style {
        Style::Band { upper } => (
            of(upper),
            Style::Band {
                upper: of(series.y),
            },
        ),
        style => (of(series.y), style),
    };
    Series { y, style, ..series }
}
