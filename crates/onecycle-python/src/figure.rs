//! [`Figure`]: a picture of a plan or of loss curves, as SVG and CSV.

use std::{fs, path::PathBuf};

use onecycle::range_test::LossCurve;
use onecycle_plot::{Axis, Mark, Series, Style};
use pyo3::prelude::*;

use crate::convert::value_error;

/// Longest line that is drawn in full. Longer plans are drawn at equally spaced steps.
const MOST_POINTS: u64 = 1000;

/// A picture that notebooks show, and that `save` writes.
#[pyclass(module = "onecycle", frozen)]
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    inner: onecycle_plot::Figure,
}

/// An area: its name, learning rates, lower and upper edge.
pub(crate) type Band = (String, Vec<f64>, Vec<f64>, Vec<f64>);

impl Figure {
    /// Learning rate and momentum over the steps, with the phases as marks.
    pub(crate) fn of_plan(plan: &onecycle::Plan) -> Self {
        let last = plan.steps() - 1;
        let mut steps: Vec<u64> = match last < MOST_POINTS {
            true => (0..=last).collect(),
            false => (0..=MOST_POINTS)
                .map(|k| (last as u128 * k as u128 / MOST_POINTS as u128) as u64)
                .collect(),
        };
        let phases = plan.phases();
        // Corners must not fall between the drawn steps.
        steps.extend(
            phases
                .iter()
                .take(MOST_POINTS as usize)
                .flat_map(|phase| [phase.first_step, phase.last_step]),
        );
        steps.sort_unstable();
        steps.dedup();
        let x: Vec<f64> = steps.iter().map(|step| *step as f64).collect();
        let lr = steps.iter().map(|step| plan.at(*step).lr).collect();
        let mut figure = onecycle_plot::Figure::new(
            "plan",
            "Learning rate over the steps",
            Axis::linear("step"),
            Axis::linear("learning rate"),
        );
        figure.series.push(Series::line("lr", x.clone(), lr));
        let momentum: Option<Vec<f64>> = steps.iter().map(|step| plan.at(*step).momentum).collect();
        if let Some(momentum) = momentum {
            figure.right = Some(Axis::linear("momentum"));
            figure.series.push(
                Series::line("momentum", x, momentum)
                    .style(Style::Dashed)
                    .on_right(),
            );
        }
        figure.marks.extend(phases.iter().take(8).map(|phase| Mark {
            x: phase.first_step as f64,
            label: phase.name.clone(),
        }));
        Figure { inner: figure }
    }

    /// Loss curves over the learning rate, with named rates as vertical lines, and areas between two
    /// lines.
    pub(crate) fn of_curves(
        curves: &[&LossCurve],
        names: Vec<String>,
        marks: Vec<(f64, String)>,
        title: String,
        bands: Vec<Band>,
    ) -> Self {
        let mut figure = onecycle_plot::Figure::new(
            "range-test",
            title,
            Axis::log("learning rate"),
            Axis::linear("loss"),
        );
        figure.y.range = range(curves);
        for (name, lr, low, upper) in bands {
            let band = Series::line(name, lr, low).style(Style::Band { upper });
            figure.series.push(band);
        }
        for (curve, name) in curves.iter().zip(names) {
            let series = Series::line(&name, curve.lr().to_vec(), curve.loss().to_vec());
            figure.series.push(series);
            let validations = curve.validation().iter();
            let (x, y): (Vec<f64>, Vec<f64>) = validations
                .filter_map(|one| Some((curve.lr()[one.after - 1], one.loss?)))
                .unzip();
            if !x.is_empty() {
                let points = Series::line(format!("{name}, validation"), x, y);
                figure.series.push(points.style(Style::Points));
            }
        }
        let marks = marks.into_iter();
        figure
            .marks
            .extend(marks.map(|(x, label)| Mark { x, label }));
        Figure { inner: figure }
    }
}

#[pymethods]
impl Figure {
    /// The picture as SVG.
    fn svg(&self) -> PyResult<String> {
        self.inner.svg().map_err(value_error)
    }

    /// The data as CSV, with the columns series, x and y.
    fn csv(&self) -> PyResult<String> {
        self.inner.csv().map_err(value_error)
    }

    /// Writes the picture (`.svg`) or its data (`.csv`).
    fn save(&self, path: PathBuf) -> PyResult<()> {
        let content = match path.extension().and_then(|ending| ending.to_str()) {
            Some("svg") => self.svg()?,
            Some("csv") => self.csv()?,
            _ => {
                return Err(value_error(format!(
                    "cannot write {}: expected a name that ends with .svg or .csv",
                    path.display()
                )));
            }
        };
        Ok(fs::write(path, content)?)
    }

    pub(crate) fn _repr_svg_(&self) -> PyResult<String> {
        self.svg()
    }

    fn __repr__(&self) -> String {
        format!("<Figure: {}>", self.inner.title)
    }
}

/// The vertical range: up to a quarter of the descent above the start. An explosion would flatten
/// everything else.
fn range(curves: &[&LossCurve]) -> Option<(f64, f64)> {
    let finite = |curve: &&LossCurve| -> Vec<f64> {
        curve
            .loss()
            .iter()
            .copied()
            .filter(|loss| loss.is_finite())
            .collect()
    };
    let mut bounds: Option<(f64, f64)> = None;
    for losses in curves
        .iter()
        .map(finite)
        .filter(|losses| !losses.is_empty())
    {
        let start = losses[0];
        let low = losses.iter().copied().fold(f64::INFINITY, f64::min);
        let high = losses.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let top = high.min(start + 0.5 * (start - low).abs().max(1e-3 * start.abs()));
        bounds = Some(match bounds {
            Some((lowest, highest)) => (lowest.min(low), highest.max(top)),
            None => (low, top),
        });
    }
    let (low, top) = bounds?;
    (top > low).then_some((low - 0.05 * (top - low), top))
}
