//! Files of figures: well-formed, also for unusual data.

use onecycle_plot::{Axis, Figure, Mark, PlotError, Series, Style};

/// All text of an SVG document. Fails if it is not well-formed.
pub(crate) fn texts(svg: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(svg).unwrap();
    let texts = document
        .descendants()
        .filter(|node| node.has_tag_name("text"));
    texts
        .filter_map(|node| node.text().map(str::to_owned))
        .collect()
}

fn figure(series: Vec<Series>) -> Figure {
    let mut figure = Figure::new("test", "Title", Axis::linear("step"), Axis::linear("loss"));
    figure.series = series;
    figure
}

#[test]
fn unusual_series_are_drawn() {
    let x = vec![0.0, 1.0, 2.0, 3.0];
    let y = vec![1.0, f64::NAN, f64::INFINITY, 2.0];
    let band = Style::Band {
        upper: vec![2.0, 2.0, f64::NAN, 3.0],
    };
    let cases = [
        vec![Series::line("constant", x.clone(), vec![5.0; 4])],
        vec![Series::line("single", vec![3.0], vec![0.0])],
        vec![
            Series::line("gaps", x.clone(), y.clone()),
            Series::line("band", x.clone(), y.clone()).style(band),
        ],
        vec![Series::line(
            "far",
            x.clone(),
            vec![-1e300, 1e300, 1e-300, 0.0],
        )],
    ];
    for series in cases {
        let svg = figure(series).svg().unwrap();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(!texts(&svg).iter().any(|text| text.contains("no finite")));
    }
    let nothing = figure(vec![Series::line("nan", x.clone(), vec![f64::NAN; 4])]);
    assert!(
        texts(&nothing.svg().unwrap())
            .iter()
            .any(|text| text.contains("no finite"))
    );
    assert_eq!(nothing.csv().unwrap().lines().nth(1), Some("nan,0.0,NaN"));
}

#[test]
fn a_gap_is_not_bridged() {
    let x: Vec<f64> = (0..9).map(f64::from).collect();
    let mut y = x.clone();
    let paths = |y: &[f64]| {
        let svg = figure(vec![Series::line("loss", x.clone(), y.to_vec())])
            .svg()
            .unwrap();
        svg.matches("clip-path=").count()
    };
    assert_eq!(paths(&y), 1);
    y[4] = f64::NAN;
    assert_eq!(paths(&y), 2);
}

#[test]
fn inconsistent_figures_give_errors_with_the_name() {
    let empty = figure(vec![]).svg().unwrap_err();
    assert!(
        matches!(&empty, PlotError::EmptyFigure { .. }) && empty.to_string().contains("test"),
        "{empty}"
    );
    let no_points = figure(vec![Series::line("loss", vec![], vec![])])
        .csv()
        .unwrap_err();
    assert!(no_points.to_string().contains("\"loss\""), "{no_points}");
    let uneven = figure(vec![Series::line("loss", vec![0.0, 1.0], vec![1.0])])
        .png()
        .unwrap_err();
    assert!(
        matches!(uneven, PlotError::SeriesLength { x: 2, y: 1, .. }),
        "{uneven}"
    );
    let right = figure(vec![Series::line("loss", vec![0.0], vec![1.0]).on_right()])
        .svg()
        .unwrap_err();
    assert!(matches!(right, PlotError::NoRightAxis { .. }), "{right}");
    for name in ["", "../escape", "1st", "a b"] {
        let named = Figure {
            name: name.to_owned(),
            ..figure(vec![Series::line("y", vec![0.0], vec![0.0])])
        };
        assert!(
            matches!(named.svg(), Err(PlotError::FigureName { .. })),
            "{name:?}"
        );
    }
}

#[test]
fn markup_in_names_stays_text() {
    let mut figure = figure(vec![Series::line("<b>&\"", vec![0.0, 1.0], vec![0.0, 1.0])]);
    figure
        .series
        .push(Series::line("a,\"b\"", vec![0.0], vec![0.5]));
    figure.title = "</svg><script>alert(1)</script>".to_owned();
    figure.marks.push(Mark {
        x: 0.5,
        label: "<&>".to_owned(),
    });
    let svg = figure.svg().unwrap();
    assert!(!svg.contains("<script") && !svg.contains("<b>"));
    let texts = texts(&svg);
    assert!(
        texts.contains(&"<b>&\"".to_owned()) && texts.contains(&"<&>".to_owned()),
        "{texts:?}"
    );
    assert!(figure.csv().unwrap().contains("\"a,\"\"b\"\"\",0.0,0.5"));
}
