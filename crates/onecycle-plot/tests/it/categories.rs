//! Axes of categories: names as tick labels and in the CSV.

use onecycle_plot::{Axis, Figure, Series, Style};

use crate::figures::texts;

/// One point per category.
fn figure(names: &[&str]) -> Figure {
    let x = Axis::categories("variant", names.iter().copied());
    let mut figure = Figure::new("test", "Title", x, Axis::linear("accuracy"));
    for (i, name) in names.iter().enumerate() {
        let points = Series::line(*name, vec![i as f64 + 1.0], vec![90.0 + i as f64]);
        figure.series.push(points.style(Style::Points));
    }
    figure
}

#[test]
fn the_axis_shows_names_instead_of_numbers() {
    let texts = texts(&figure(&["one-cycle", "constant"]).svg().unwrap());
    // Each name is a tick label, and the legend does not repeat it.
    for name in ["one-cycle", "constant"] {
        let count = texts.iter().filter(|text| *text == name).count();
        assert_eq!(count, 1, "{name}: {texts:?}");
    }
    for number in ["0.5", "0.50", "1.0", "1.00", "2.0", "2.00"] {
        assert!(!texts.contains(&number.to_owned()), "{number}: {texts:?}");
    }
}

#[test]
fn names_that_do_not_fit_are_slanted_and_shortened() {
    let short = figure(&["a", "b"]).svg().unwrap();
    assert!(!short.contains("rotate(-35)"), "{short}");
    let names: Vec<String> = (0..12)
        .map(|i| format!("variant-{i}-with-a-name-that-is-much-too-long-for-its-tick"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let svg = figure(&names).svg().unwrap();
    assert_eq!(svg.matches("rotate(-35)").count(), names.len());
    let texts = texts(&svg);
    for i in 0..names.len() {
        let start = format!("variant-{i}-");
        let label = texts.iter().find(|text| text.starts_with(&start));
        // The first labels have the least room; later ones keep more of their names.
        let label = label.unwrap_or_else(|| panic!("{start}: {texts:?}"));
        assert!(label.ends_with('…'), "{label}");
    }
    // The plot ends above the labels.
    let axis = svg.lines().find(|line| line.contains("class=\"axis\""));
    let bottom = axis.and_then(|line| line.split('V').nth(1)?.split('H').next()?.parse().ok());
    let bottom: f64 = bottom.unwrap();
    assert!((200.0..340.0).contains(&bottom), "{bottom}");
}

#[test]
fn a_series_over_several_categories_keeps_its_legend() {
    let mut figure = figure(&["one-cycle", "constant"]);
    figure.series = vec![Series::line("mean", vec![1.0, 2.0], vec![92.0, 90.0])];
    assert!(texts(&figure.svg().unwrap()).contains(&"mean".to_owned()));
}

#[test]
fn the_csv_names_the_category_of_each_point() {
    let mut figure = figure(&["one, cycle", "constant"]);
    let band = Series::line("band", vec![0.8, 1.2, 7.0], vec![1.0; 3]);
    let upper = vec![2.0; 3];
    figure.series.push(band.style(Style::Band { upper }));
    let wanted = [
        "series,x,category,y,upper",
        "\"one, cycle\",1.0,\"one, cycle\",90.0,",
        "constant,2.0,constant,91.0,",
        "band,0.8,\"one, cycle\",1.0,2.0",
        "band,1.2,\"one, cycle\",1.0,2.0",
        "band,7.0,,1.0,2.0",
    ];
    let csv = figure.csv().unwrap();
    assert_eq!(csv.lines().collect::<Vec<_>>(), wanted);
}

#[test]
fn the_closest_category_counts() {
    let axis = Axis::categories("variant", ["a", "b"]);
    let found = [0.4, 0.6, 1.4, 2.4, 2.6, -1.0, f64::NAN, f64::INFINITY];
    let found = found.map(|value| axis.category(value));
    let wanted = [
        None,
        Some("a"),
        Some("a"),
        Some("b"),
        None,
        None,
        None,
        None,
    ];
    assert_eq!(found, wanted);
    assert_eq!(Axis::linear("step").category(1.0), None);
}
