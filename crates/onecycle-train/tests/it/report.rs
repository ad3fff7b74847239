//! The report is one page that loads nothing, and all text in it is escaped.

use crate::common;

use onecycle_train::{
    diagnose::Finding,
    figures::{CaptionedFigure, RunRecords, of_run},
    report::{DataChecksum, Report},
};

const CONFIG: &str = "seed = 7\n[policy]\nkind = \"one_cycle\"\nlr_max = 0.8\n";

fn figures() -> Vec<CaptionedFigure> {
    let (steps, epochs, phases) = common::run(3, 40);
    of_run(&RunRecords {
        steps: &steps,
        epochs: &epochs,
        phases: &phases,
    })
}

#[test]
fn a_report_describes_the_run() {
    let (_, mut epochs, _) = common::run(3, 40);
    epochs[1].val_accuracy = 0.98765;
    epochs[2].val_accuracy = 0.97531;
    let figures = figures();
    let data = [DataChecksum {
        name: "train-images.gz".to_owned(),
        sha256: "ab".repeat(32),
    }];
    let report = Report {
        title: "A run",
        command: "onecycle train --seed 7",
        summary: &[("Model", "LeNet".to_owned())],
        config: CONFIG,
        data: &data,
        images: None,
        test: Some((0.9135, 0.25)),
        assessment: None,
        epochs: &epochs,
        figures: &figures,
        training_images: None,
        diagnosis: &[],
        head: None,
        rates: &[],
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report.html");
    report.write(&path).unwrap();
    let html = std::fs::read_to_string(path).unwrap();
    for wanted in [
        "Test accuracy</dt><dd>91.35 %",
        "97.53 %",
        "98.77 %<small>in epoch 2",
        "30.0 s",
        "onecycle train --seed 7",
        "<th>Model</th><td>LeNet</td>",
        "<th>policy.lr_max</th><td><code>0.8</code>",
        "train-images.gz",
        &"ab".repeat(32),
        "Super-convergence",
        "href=\"figures/losses_over_lr.csv\"",
    ] {
        assert!(html.contains(wanted), "no {wanted:?}");
    }
    assert_eq!(html.matches("<svg").count(), figures.len());
    assert_eq!(html.matches("class=\"best\"").count(), 1);
    assert!(!html.contains("class=\"warning\""));
    assert_eq!(html, report.html().unwrap());
}

/// The values of all attributes with this name.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let parts = html
        .split(&format!("{name}=\""))
        .skip(1)
        .collect::<Vec<_>>();
    parts
        .into_iter()
        .filter_map(|rest| rest.split('"').next())
        .collect()
}

#[test]
fn a_report_needs_no_network_and_has_only_its_own_scripts() {
    let figures = figures();
    let html = Report {
        title: "A run",
        figures: &figures,
        ..Report::default()
    }
    .html()
    .unwrap();
    let links = attributes(&html, "href");
    assert_eq!(links.len(), 3 * figures.len() + 1);
    assert!(
        links
            .iter()
            .all(|link| !link.contains(':') && !link.starts_with('/')),
        "{links:?}"
    );
    assert_eq!(attributes(&html, "src").len(), 0);
    assert!(
        html.split("url(")
            .skip(1)
            .all(|rest| rest.starts_with("#clip-"))
    );
    assert!(!html.contains("@import") && !html.contains("<link"));
    // The data of each figure that is a chart, the chart library, and the charts.
    let charts = html.matches("<script type=\"application/json\">{").count();
    assert!(charts >= 3, "{charts} charts of {} figures", figures.len());
    assert_eq!(html.matches("<script").count(), charts + 2);
    let policy = html.split("script-src ").nth(1).unwrap();
    assert!(policy.starts_with("'sha256-") && !policy.starts_with("'unsafe"));
    assert_eq!(html.matches("'sha256-").count(), 2);
}

#[test]
fn all_text_is_escaped() {
    let bad = "<script>alert('x')</script>\"&";
    let (_, epochs, _) = common::run(1, 4);
    let data = [DataChecksum {
        name: bad.to_owned(),
        sha256: bad.to_owned(),
    }];
    let config = format!("a = '''{bad}'''\n");
    for config in [config.as_str(), bad] {
        let report = Report {
            title: bad,
            command: bad,
            summary: &[(bad, bad.to_owned())],
            config,
            data: &data,
            images: None,
            test: None,
            assessment: None,
            epochs: &epochs,
            figures: &[],
            training_images: None,
            diagnosis: &[Finding {
                name: bad.to_owned(),
                value: bad.to_owned(),
                meaning: bad.to_owned(),
            }],
            head: Some(bad),
            rates: &[],
        };
        let html = report.html().unwrap();
        assert!(!html.contains("<script"), "{html}");
        assert!(html.matches("&lt;script&gt;").count() >= 10);
    }
}

#[test]
fn failed_runs_have_a_warning() {
    let none = Report::default().html().unwrap();
    assert!(none.contains("before its first evaluation"));
    let (_, mut epochs, _) = common::run(3, 4);
    epochs[1].val_loss = f64::NAN;
    epochs[2].val_accuracy = f64::NAN;
    let html = Report {
        epochs: &epochs,
        ..Report::default()
    }
    .html()
    .unwrap();
    assert!(html.contains("diverged: in epoch 2"));
    assert!(html.contains("<td>nan</td>"));
}
