//! Figures as files: well formed, whole, alike in all formats, and sound on odd data.

#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

mod common;

use onecycle_lab::LabError;
use onecycle_lab::figure::{Axis, Figure, HEIGHT, Mark, PNG_SCALE, Series, Style, WIDTH};
use onecycle_lab::figures::{RunRecords, of_run, write_all};
use onecycle_lab::record::StepRecord;
use resvg::tiny_skia::Pixmap;

/// All text of an SVG document, which must be well formed.
fn texts(svg: &str) -> Vec<String> {
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
fn a_run_leaves_all_its_figures() {
    let (steps, epochs, phases) = common::run(3, 400);
    let figures = of_run(&RunRecords {
        steps: &steps,
        epochs: &epochs,
        phases: &phases,
    });
    let names: Vec<_> = figures
        .iter()
        .map(|captioned| captioned.figure.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["schedule", "losses", "losses_over_lr", "gap", "accuracy"]
    );

    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("figures");
    write_all(&folder, &figures).unwrap();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 3 * names.len());
    for captioned in &figures {
        let read = |ending: &str| {
            std::fs::read(folder.join(format!("{}.{ending}", captioned.figure.name))).unwrap()
        };
        let svg = String::from_utf8(read("svg")).unwrap();
        let texts = texts(&svg);
        assert!(texts.contains(&captioned.figure.title), "{texts:?}");
        assert!(texts.contains(&captioned.figure.x.label), "{texts:?}");
        assert!(
            !svg.contains("href") && !svg.contains("NaN"),
            "{}",
            captioned.figure.name
        );

        let png = Pixmap::decode_png(&read("png")).unwrap();
        assert_eq!(
            (png.width(), png.height()),
            (WIDTH * PNG_SCALE, HEIGHT * PNG_SCALE)
        );
        let mut colours: Vec<_> = png
            .pixels()
            .iter()
            .map(|p| (p.red(), p.green(), p.blue(), p.alpha()))
            .collect();
        colours.sort_unstable();
        colours.dedup();
        assert!(
            colours.len() > 50,
            "{} has {} colours only",
            captioned.figure.name,
            colours.len()
        );
        assert!(
            colours.iter().all(|colour| colour.3 == 255),
            "transparent pixels"
        );
        for series in &captioned.figure.series {
            let hex = u32::from_str_radix(&series.colour.unwrap().hex()[1..], 16).unwrap();
            let [_, r, g, b] = hex.to_be_bytes();
            assert!(
                colours.contains(&(r, g, b, 255)),
                "{} shows nothing of {}",
                captioned.figure.name,
                series.name
            );
        }

        let csv = String::from_utf8(read("csv")).unwrap();
        let mut lines = csv.lines();
        assert_eq!(lines.next(), Some("series,x,y"));
        for series in &captioned.figure.series {
            for (x, y) in series.x.iter().zip(&series.y) {
                // Names with a comma are quoted.
                let fields: Vec<&str> = lines.next().unwrap().rsplitn(3, ',').collect();
                assert_eq!(fields[2].trim_matches('"'), series.name);
                let same = |text: &str, value: &f64| {
                    text.parse::<f64>().unwrap().to_bits() == value.to_bits()
                };
                assert!(same(fields[1], x) && same(fields[0], y), "{fields:?}");
            }
        }
        assert_eq!(lines.next(), None);
    }
}

#[test]
fn moving_weight_decay_or_batch_size_has_a_figure() {
    let (mut steps, _, _) = common::run(3, 10);
    let names = |steps: &[StepRecord]| {
        let figures = of_run(&RunRecords {
            steps,
            ..RunRecords::default()
        });
        figures
            .into_iter()
            .map(|captioned| captioned.figure.name)
            .collect::<Vec<_>>()
    };
    // The rest of an epoch is no policy.
    for last in [9, 19, 29] {
        steps[last].batch_size = 17;
    }
    assert_eq!(names(&steps), ["schedule"]);
    let mut grown = steps.clone();
    grown[10..]
        .iter_mut()
        .for_each(|record| record.batch_size = 512);
    assert_eq!(names(&grown), ["schedule", "weight_decay_batch_size"]);
    steps[5].weight_decay = 0.0;
    assert_eq!(names(&steps), ["schedule", "weight_decay_batch_size"]);
}

#[test]
fn the_same_figure_gives_the_same_bytes() {
    let (steps, epochs, phases) = common::run(2, 50);
    let run = RunRecords {
        steps: &steps,
        epochs: &epochs,
        phases: &phases,
    };
    for (a, b) in of_run(&run).iter().zip(of_run(&run)) {
        assert_eq!(a.figure.svg().unwrap(), b.figure.svg().unwrap());
        assert_eq!(a.figure.png().unwrap(), b.figure.png().unwrap());
        assert_eq!(a.figure.csv().unwrap(), b.figure.csv().unwrap());
    }
}

#[test]
fn runs_that_stopped_early_or_diverged_have_figures_too() {
    let (steps, mut epochs, phases) = common::run(2, 10);
    let names = |run: &RunRecords<'_>| {
        let figures = of_run(run);
        figures
            .iter()
            .for_each(|captioned| drop(captioned.figure.png().unwrap()));
        figures.len()
    };
    assert_eq!(names(&RunRecords::default()), 0);
    assert_eq!(
        names(&RunRecords {
            steps: &steps[..1],
            epochs: &[],
            phases: &phases
        }),
        1
    );
    assert_eq!(
        names(&RunRecords {
            steps: &steps,
            epochs: &epochs[..1],
            phases: &[]
        }),
        5
    );
    for record in &mut epochs {
        (
            record.train_loss,
            record.val_loss,
            record.generalisation_gap,
        ) = (f64::NAN, f64::INFINITY, f64::NAN);
    }
    assert_eq!(
        names(&RunRecords {
            steps: &[],
            epochs: &epochs,
            phases: &phases
        }),
        5 - 1
    );
}

#[test]
fn a_few_wild_steps_do_not_flatten_the_losses() {
    let (mut steps, epochs, phases) = common::run(3, 400);
    steps[700].loss = 1e6;
    let figures = of_run(&RunRecords {
        steps: &steps,
        epochs: &epochs,
        phases: &phases,
    });
    let losses = &figures[1].figure;
    assert!(losses.y.range.unwrap().1 < 3.0, "{:?}", losses.y.range);
    assert!(
        losses.note.as_ref().unwrap().contains("of 1200 steps"),
        "{:?}",
        losses.note
    );
    assert!(losses.csv().unwrap().contains("1000000.0"));
}

#[test]
fn odd_series_are_drawn() {
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
fn unsound_figures_are_refused_by_name() {
    let empty = figure(vec![]).svg().unwrap_err();
    assert!(
        matches!(&empty, LabError::EmptyFigure { .. }) && empty.to_string().contains("test"),
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
        matches!(uneven, LabError::SeriesLength { x: 2, y: 1, .. }),
        "{uneven}"
    );
    let right = figure(vec![Series::line("loss", vec![0.0], vec![1.0]).on_right()])
        .svg()
        .unwrap_err();
    assert!(matches!(right, LabError::NoRightAxis { .. }), "{right}");
    for name in ["", "../escape", "1st", "a b"] {
        let named = Figure {
            name: name.to_owned(),
            ..figure(vec![Series::line("y", vec![0.0], vec![0.0])])
        };
        assert!(
            matches!(named.svg(), Err(LabError::FigureName { .. })),
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
