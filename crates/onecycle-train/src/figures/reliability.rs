//! The reliability diagram: accuracy over confidence.

use onecycle_plot::{Axis, Colour, Figure, Series, Style, format::percent};
use onecycle_stats::ReliabilityBin;

use super::{CaptionedFigure, captions};
use crate::assessment::Assessment;

/// The reliability diagram of an assessment (Guo et al. 2017, figure 1): accuracy over mean
/// confidence of each bin, and the share of images in it.
#[must_use]
pub fn reliability(assessment: &Assessment) -> CaptionedFigure {
    let bins = &assessment.reliability;
    let filled: Vec<&ReliabilityBin> = bins.iter().filter(|bin| bin.images > 0).collect();
    let of = |value: fn(&ReliabilityBin) -> Option<f64>| -> Vec<f64> {
        let percents = filled
            .iter()
            .map(|bin| value(bin).map_or(f64::NAN, |share| 100.0 * share));
        percents.collect()
    };
    let percents = |label: &str| Axis {
        range: Some((0.0, 100.0)),
        ..Axis::linear(label)
    };
    let mut figure = Figure::new(
        "reliability",
        "Reliability diagram",
        percents("confidence: probability of the predicted class (%)"),
        percents("accuracy (%)"),
    );
    figure.right = Some(percents("share of images (%)"));
    // Each bin is a step of the width of the bin.
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for bin in bins {
        let share = 100.0 * bin.images as f64 / assessment.images as f64;
        x.extend([100.0 * bin.low, 100.0 * bin.high]);
        y.extend([share, share]);
    }
    let shares = Series::line("share of images", x.clone(), vec![0.0; x.len()]);
    figure.series = vec![
        shares
            .style(Style::Band { upper: y })
            .on_right()
            .colour(Colour::Sky),
        Series::line("perfect calibration", vec![0.0, 100.0], vec![0.0, 100.0])
            .style(Style::Dashed)
            .colour(Colour::Black),
        Series::line("accuracy", of(|bin| bin.confidence), of(|bin| bin.accuracy))
            .style(Style::LinePoints)
            .colour(Colour::Vermillion),
    ];
    if let Some(error) = assessment.scores.calibration_error {
        figure.note = Some(format!("expected calibration error {}", percent(error)));
    }
    CaptionedFigure {
        figure,
        caption: captions::RELIABILITY,
    }
}
