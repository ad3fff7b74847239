//! The figures of a run: complete, and consistent in all formats.

use onecycle_plot::{HEIGHT, PNG_SCALE, WIDTH};
use onecycle_train::{
    figures::{RunRecords, of_run, write_all},
    record::StepRecord,
};
use tiny_skia::Pixmap;

use crate::common;

/// All text of an SVG document, which must be well-formed.
fn texts(svg: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(svg).unwrap();
    let texts = document
        .descendants()
        .filter(|node| node.has_tag_name("text"));
    texts
        .filter_map(|node| node.text().map(str::to_owned))
        .collect()
}

#[test]
fn a_run_has_all_its_figures() {
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
fn varying_weight_decay_or_batch_size_has_a_figure() {
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
    // A smaller last batch of an epoch is not a policy.
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
fn a_few_outliers_do_not_flatten_the_losses() {
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
