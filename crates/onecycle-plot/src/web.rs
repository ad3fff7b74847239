//! The chart library of interactive pages: [uPlot](https://github.com/leeoniya/uPlot) 1.6.32, as
//! published on npm, with [`CHARTS_MODULE`] on top. uPlot's MIT licence is in [`UPLOT_LICENCE`].

use serde_json::{Value, json};

use crate::{Axis, Colour, Figure, Scale, Series, Side, Style, figure::thin};

/// A longer series is divided into this many parts; each keeps its lowest and highest point.
const BUCKETS: usize = 700;

/// uPlot as a classic script, which defines the global `uPlot`.
pub const UPLOT_SCRIPT: &str = include_str!("../assets/uplot/uPlot.iife.min.js");

/// Style sheet of uPlot.
pub const UPLOT_STYLE: &str = include_str!("../assets/uplot/uPlot.min.css");

/// Licence of uPlot.
pub const UPLOT_LICENCE: &str = include_str!("../assets/uplot/LICENSE");

/// Charts with hover, zoom and a legend: an ECMAScript module that exports `Chart`. It uses the global
/// `uPlot` and the custom properties `--ink`, `--soft`, `--edge` and `--grid` of the page.
pub const CHARTS_MODULE: &str = include_str!("../assets/web/charts.js");

/// Style sheet of [`CHARTS_MODULE`].
pub const CHARTS_STYLE: &str = include_str!("../assets/web/charts.css");

/// Turns the figures of a page into charts: the rest of a module that begins with [`CHARTS_MODULE`].
pub const FIGURES_SCRIPT: &str = include_str!("../assets/web/figures.js");

/// The data of a figure for [`FIGURES_SCRIPT`], as JSON that can stand in an element `script`: it
/// contains no `<`. Long series are thinned without losing a peak. `None` for a figure that a chart
/// cannot show: with an axis of categories, or with values of `x` that do not ascend.
#[must_use]
pub fn figure_json(figure: &Figure) -> Option<String> {
    let ascends = |one: &Series| one.x.windows(2).all(|pair| pair[0] < pair[1]);
    if !figure.x.categories.is_empty() || !figure.series.iter().all(ascends) {
        return None;
    }
    let colours = figure.colours();
    let series = figure
        .series
        .iter()
        .zip(colours)
        .map(|(one, colour)| series(one, colour));
    let marks = figure.marks.iter().map(|mark| json!([mark.x, mark.label]));
    let json = json!({
        "title": figure.title,
        "x": axis(&figure.x),
        "y": axis(&figure.y),
        "right": figure.right.as_ref().map(axis),
        "series": series.collect::<Vec<_>>(),
        "marks": marks.collect::<Vec<_>>(),
    });
    Some(json.to_string().replace('<', "\\u003c"))
}

fn axis(axis: &Axis) -> Value {
    json!({ "label": axis.label, "log": axis.scale == Scale::Log, "range": axis.range })
}

/// Values that are not finite become `null`, a gap.
fn series(series: &Series, colour: Colour) -> Value {
    let style = match &series.style {
        Style::Line => "line",
        Style::Dashed => "dashed",
        Style::Faint => "faint",
        Style::Points => "points",
        Style::LinePoints => "line_points",
        Style::Band { .. } => "band",
    };
    let (x, y) = (&series.x, &series.y);
    let upper = match &series.style {
        Style::Band { upper } => Some(upper),
        _ => None,
    };
    let kept = match y.iter().all(|y| y.is_finite()) {
        true => thin(x.len(), BUCKETS, &[y]),
        false => (0..x.len()).collect(),
    };
    let of = |values: &[f64]| kept.iter().map(|&i| values[i]).collect::<Vec<_>>();
    json!({
        "name": series.name,
        "x": of(x),
        "y": of(y),
        "upper": upper.map(|upper| of(upper)),
        "style": style,
        "colour": colour.class(),
        "right": series.side == Side::Right,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_a_figure_close_no_script() {
        let mut figure = Figure::new("a", "</script><b>", Axis::linear("x"), Axis::log("y"));
        let y = vec![f64::NAN, 2.0, 1.0];
        figure
            .series
            .push(Series::line("<!--", vec![1.0, 2.0, 3.0], y).style(Style::Faint));
        let json = figure_json(&figure).unwrap_or_default();
        assert!(!json.contains('<'), "{json}");
        let value: Value = serde_json::from_str(&json).unwrap_or_default();
        assert_eq!(value["title"], "</script><b>");
        assert_eq!(value["series"][0]["x"], json!([1.0, 2.0, 3.0]));
        assert_eq!(value["series"][0]["y"], json!([null, 2.0, 1.0]));
        assert_eq!(value["y"]["log"], true);
    }

    #[test]
    fn long_series_are_thinned_and_categories_have_no_chart() {
        let mut figure = Figure::new("a", "a", Axis::linear("x"), Axis::linear("y"));
        let x: Vec<f64> = (0..100_000).map(f64::from).collect();
        figure.series.push(Series::line("y", x.clone(), x));
        let value: Value =
            serde_json::from_str(&figure_json(&figure).unwrap_or_default()).unwrap_or_default();
        let points = value["series"][0]["x"].as_array().map_or(0, Vec::len);
        assert!((BUCKETS..4 * BUCKETS).contains(&points), "{points}");
        figure.series[0].x[7] = 9.0;
        assert_eq!(figure_json(&figure), None, "a line that goes back");
        figure.series[0].x[7] = 7.0;
        assert!(figure_json(&figure).is_some());
        figure.x = Axis::categories("policy", ["one"]);
        assert_eq!(figure_json(&figure), None);
    }
}
