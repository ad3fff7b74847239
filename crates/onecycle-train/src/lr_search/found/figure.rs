use onecycle::range_test::{Rule, Spacing};

use onecycle_plot::{Axis, Colour, Figure, Mark, Series, Style};

use super::{CurveGroup, RangeTestResult};
use crate::figures::CaptionedFigure;

/// The axis ends above the loss at the start by this share of the decrease.
const ABOVE_START: f64 = 0.5;

/// The figure of a range test with its caption.
#[must_use]
pub fn captioned(found: &RangeTestResult) -> CaptionedFigure {
    CaptionedFigure {
        figure: figure(found),
        caption: CAPTION,
    }
}

/// Draws the loss over the learning rate, with one curve per group: the raw losses of a single
/// test, a band for several seeds. Validation accuracy, if measured, is on the right.
#[must_use]
pub fn figure(found: &RangeTestResult) -> Figure {
    let x = match found.sweep.spacing() {
        Spacing::Exponential => Axis::log("learning rate (logarithmic)"),
        Spacing::Linear => Axis::linear("learning rate"),
    };
    let mut y = Axis::linear("training loss");
    y.range = range(found);
    let mut figure = Figure::new("range_test", "LR range test", x, y);
    for (group, colour) in found.groups.iter().zip(Colour::ORDER.into_iter().cycle()) {
        add(&mut figure, found, group, colour);
    }
    if let [group] = found.groups.as_slice() {
        let marks = [
            ("maximum for one cycle", Rule::OneCycleMax),
            ("constant", Rule::Constant),
        ];
        figure.marks = marks
            .into_iter()
            .filter_map(|(label, rule)| {
                Some(Mark {
                    x: group.answer(rule)?.lr?,
                    label: label.to_owned(),
                })
            })
            .collect();
    } else if let Some(x) = found.one_cycle_max {
        figure.marks.push(Mark {
            x,
            label: "maximum for one cycle".to_owned(),
        });
    }
    figure.marks.sort_by(|a, b| a.x.total_cmp(&b.x));
    figure
}

fn add(figure: &mut Figure, found: &RangeTestResult, group: &CurveGroup, colour: Colour) {
    let label = group.label(found.parameter);
    let smoothed = group.smoothed();
    let lr = group.rates()[..smoothed.len()].to_vec();
    let edge = |i: usize| {
        smoothed
            .iter()
            .map(|values| values[i])
            .collect::<Vec<f64>>()
    };
    if let [test] = group.tests.as_slice() {
        let raw = Series::line(
            format!("{label}, each update"),
            lr.clone(),
            test.curve.loss().to_vec(),
        );
        figure.series.push(raw.style(Style::Faint).colour(colour));
    } else {
        let name = format!("{label}, {} seeds", group.tests.len());
        let band = Series::line(name, lr.clone(), edge(1));
        figure
            .series
            .push(band.style(Style::Band { upper: edge(2) }).colour(colour));
    }
    let line = Series::line(format!("{label}, smoothed"), lr, edge(0));
    figure.series.push(line.colour(colour));
    let measured = group.tests.iter().flat_map(|test| {
        let rates = test.curve.lr();
        let points = test.curve.validation().iter();
        points.filter_map(|one| Some((rates[one.after - 1], 100.0 * one.accuracy?)))
    });
    let (x, y): (Vec<f64>, Vec<f64>) = measured.unzip();
    if !x.is_empty() {
        figure
            .right
            .get_or_insert_with(|| Axis::linear("validation accuracy (%)"));
        let points = Series::line(format!("{label}, validation accuracy"), x, y);
        figure
            .series
            .push(points.style(Style::Points).colour(Colour::Black).on_right());
    }
}

/// Range from a little below the lowest smoothed loss to well above the start; `None` if no loss
/// decreases.
fn range(found: &RangeTestResult) -> Option<(f64, f64)> {
    let descents = found.groups.iter().filter_map(CurveGroup::descent);
    let (lowest, start) = descents.fold(
        (f64::INFINITY, f64::NEG_INFINITY),
        |(low, high), (lowest, depth)| (low.min(lowest), high.max(lowest + depth)),
    );
    let depth = start - lowest;
    (depth.is_finite() && depth > 0.0)
        .then_some((lowest - 0.2 * depth, start + ABOVE_START * depth))
}

/// Caption of the figure.
const CAPTION: &str = "Training loss while the learning rate rises from far too small to far too large, before \
    the training: each update, and smoothed without lag. The loss is flat, falls, and rises again. The maximum for \
    one cycle is half of the rate at which it has clearly risen. Curves of several weight decays show which of them \
    allows a larger rate or a lower loss. Compare with Smith, “Cyclical learning rates” (2017), section 3.3, and “A \
    disciplined approach” (2018), figures 6 and 7.";
