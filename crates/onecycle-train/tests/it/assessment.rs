//! The assessment of a finished run: its files, its sections of the report, and that it does not
//! depend on where the run was stopped.

use crate::runs;

use std::fs;

use onecycle_train::{
    Experiment, RunFolder,
    assessment::Assessment,
    figures,
    finish::Artifacts,
    observer::{Observer, Silent},
    report::{AssessmentSection, Report},
    training::Training,
};
use onecycle_vision::{Dataset, ImageShape, Split};
use runs::{Run, config, finished};

fn assessment(folder: &RunFolder) -> Assessment {
    Assessment::read(&folder.assessment()).unwrap().unwrap()
}

/// Every file of `assessment/`, and its pictures and data in `figures/`, by name.
fn files(folder: &RunFolder) -> Vec<(String, Vec<u8>)> {
    let entries = [folder.assessment(), folder.figures()]
        .into_iter()
        .flat_map(|path| fs::read_dir(path).unwrap())
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(path).unwrap())
        })
        .filter(|(name, _)| name.starts_with("worst") || is_data(name))
        .collect();
    files.sort();
    files
}

fn is_data(name: &str) -> bool {
    [
        "confusion.csv",
        "classes.csv",
        "reliability.csv",
        "assessment.json",
    ]
    .contains(&name)
}

#[test]
fn the_assessment_agrees_with_the_summary_and_the_records() {
    // Measured on the test images after each epoch, and on them at the end only.
    for validation in ["0", "0.25"] {
        let settings = [("data.validation", validation), ("data.test_limit", "300")];
        let (run, summary) = Run::whole(config(&settings));
        let found = assessment(&run.folder);
        assert_eq!(found.images, 300, "{validation}");
        assert_eq!(found.measured_on, "test images");
        assert_eq!(found.scores.accuracy, summary.test_accuracy);
        assert!((found.loss - summary.test_loss).abs() < 1e-12);
        let scores = summary.test_scores.unwrap();
        assert_eq!(
            scores.test_balanced_accuracy,
            found.scores.balanced_accuracy
        );
        assert_eq!(scores.test_macro_f1, found.scores.macro_f1);
        // Each class has 30 of the 300 images, so the mean of the recalls is the accuracy.
        assert_eq!(scores.test_imbalance, 1.0);
        assert!((found.scores.balanced_accuracy - found.scores.accuracy).abs() < 1e-12);
        assert!(!summary.to_string().contains("balanced"));
        let sum: u64 = found.confusion.iter().flatten().sum();
        assert_eq!(sum, 300);
        assert_eq!(
            found.reliability.iter().map(|bin| bin.images).sum::<u64>(),
            300
        );
        assert!(found.worst.is_sorted_by(|a, b| a.loss >= b.loss));
        let report = fs::read_to_string(run.folder.report()).unwrap();
        for id in ["confusion-matrix", "classes", "calibration", "worst"] {
            assert!(report.contains(&format!("<h2 id=\"{id}\">")), "{id}");
        }
        assert_eq!(report.matches("src=\"data:image/png;base64,").count(), 24);
        assert_eq!(report.matches("src=").count(), 24);
    }
}

/// Asks to stop during the evaluation of the test images, after its first batch.
struct StopInEvaluation {
    seen: u64,
}

impl Observer for StopInEvaluation {
    fn evaluation(&mut self, images: u64, _of: u64) {
        self.seen = images;
    }

    fn stop(&mut self) -> bool {
        self.seen > 0
    }
}

#[test]
fn a_run_that_is_stopped_in_its_last_evaluation_has_the_same_assessment() {
    for validation in ["0", "0.25"] {
        let settings = [
            ("data.validation", validation),
            ("data.test_limit", "300"),
            ("eval_batch_size", "50"),
            ("epochs", "1"),
        ];
        let (whole, _) = Run::whole(config(&settings));
        let (stopped, training) = Run::start(config(&settings));
        training.run(&mut StopInEvaluation { seen: 0 }).unwrap();
        assert!(!stopped.folder.is_finished());
        stopped.finish();
        let (expected, found) = (files(&whole.folder), files(&stopped.folder));
        // The pictures, five files, and the data of the reliability diagram.
        assert_eq!(expected.len(), 24 + 5 + 1, "{validation}");
        assert!(expected == found, "{validation}");
        // Killed after the last checkpoint, before the files were written.
        let killed = Run::copy(whole.folder.root());
        fs::remove_file(killed.folder.summary()).unwrap();
        fs::remove_dir_all(killed.folder.assessment()).unwrap();
        killed.finish();
        assert!(expected == files(&killed.folder), "{validation}");
    }
}

#[test]
fn without_figures_there_are_numbers_but_no_pictures() {
    let (run, training) = Run::start(config(&[("steps", "2"), ("data.test_limit", "300")]));
    let training = training.with_artifacts(Artifacts::WithoutFigures);
    finished(training.run(&mut Silent).unwrap());
    let found = assessment(&run.folder);
    assert!(found.worst.iter().all(|image| image.picture.is_none()));
    assert_eq!(fs::read_dir(run.folder.figures()).unwrap().count(), 0);
    assert_eq!(files(&run.folder).len(), 5);
}

const BAD: &str = "<script>alert('x')</script>\"&";

/// Class names and file names are escaped, in the page and in its attributes.
#[test]
fn hostile_names_are_escaped() {
    let half = |i: usize| [[255_u8; 32], [0; 32]][i % 2];
    let split = |count: usize| {
        let pixels = (0..count).flat_map(|i| [half(i), half(i + 1)].concat());
        let labels = (0..count).map(|i| i as u32 % 2).collect();
        let names = (0..count).map(|i| format!("{BAD}/{i}.png")).collect();
        let split = Split::new(ImageShape::new(1, 8, 8), pixels.collect(), labels).unwrap();
        split.with_names(names).unwrap()
    };
    let data = Dataset::new("halves", [BAD, "=1+1,\u{202e}"], split(40), split(10)).unwrap();
    let mut config = config(&[("model", "mlp"), ("steps", "2"), ("data.validation", "0")]);
    config.augment = Default::default();
    config.data.limit = 0;
    let experiment = Experiment::with_data(config, data).unwrap();
    let home = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(&home.path().join("run")).unwrap();
    let training = Training::start(experiment, folder.clone()).unwrap();
    finished(training.run(&mut Silent).unwrap());
    let html = fs::read_to_string(folder.report()).unwrap();
    // The data of the charts, the chart library, and the charts.
    let charts = html.matches("<script type=\"application/json\">{").count();
    assert_eq!(html.matches("<script").count(), charts + 2);
    assert!(!html.contains("<script>alert"));
    assert!(html.matches("&lt;script&gt;").count() > 20);
    assert!(!html.contains("alt=\"<") && !html.contains("title=\"<"));
    assert!(roxmltree::Document::parse(&body(&html)).is_ok());
    let worst = fs::read_to_string(folder.assessment().join("worst.csv")).unwrap();
    assert!(
        worst.contains("\"<script>alert('x')</script>\"\"&/"),
        "{worst}"
    );
    // A record cannot make the page read another file.
    let mut read = assessment(&folder);
    fs::write(home.path().join("secret.png"), b"\x89PNG\r\n\x1a\nsecret").unwrap();
    read.worst[0].picture = Some("../../secret.png".to_owned());
    let reliability = figures::reliability(&read);
    let section = AssessmentSection {
        assessment: &read,
        reliability: &reliability,
        pictures: &folder.figures(),
    };
    let report = Report {
        assessment: Some(section),
        ..Report::default()
    };
    assert_eq!(report.html().unwrap().matches("src=").count(), 9);
}

/// The body of a page as a document: its sections are well-formed.
fn body(html: &str) -> String {
    let start = html.find("<main>").unwrap();
    let end = html.find("</main>").unwrap() + "</main>".len();
    // `img` is the only element without an end.
    let mut body = String::new();
    let mut rest = &html[start..end];
    while let Some(at) = rest.find("<img") {
        let close = at + rest[at..].find('>').unwrap();
        body += &rest[..close];
        body += "/>";
        rest = &rest[close + 1..];
    }
    body + rest
}

/// The confusion matrix of 2, 100 and more classes.
#[test]
fn matrices_of_any_size_are_readable() {
    for (classes, numbers, drawn) in [(2, true, true), (100, false, true), (300, false, false)] {
        let made = of_classes(classes);
        let reliability = figures::reliability(&made);
        let section = AssessmentSection {
            assessment: &made,
            reliability: &reliability,
            pictures: std::path::Path::new("none"),
        };
        let report = Report {
            assessment: Some(section),
            ..Report::default()
        };
        let html = report.html().unwrap();
        assert_eq!(html.contains("<table class=\"matrix"), drawn, "{classes}");
        assert_eq!(
            html.contains("matrix dense"),
            drawn && !numbers,
            "{classes}"
        );
        // Class 0 is taken for class 1 in 1 of 4 images.
        assert_eq!(html.contains("c0 → c1: 1 (25.00 %)"), drawn, "{classes}");
        assert!(html.contains("<td>25.00 %</td>"), "{classes}");
        assert!(html.len() < 500_000, "{classes}: {} bytes", html.len());
    }
}

/// Four images per class, of which one is taken for the next class.
fn of_classes(classes: usize) -> Assessment {
    let score =
        "\"images\":4,\"predicted\":4,\"correct\":3,\"precision\":0.75,\"recall\":0.75,\"f1\":0.75";
    let named: Vec<String> = (0..classes)
        .map(|class| format!("{{\"class\":\"c{class}\",{score}}}"))
        .collect();
    let confusion: Vec<Vec<u64>> = (0..classes)
        .map(|truth| {
            let mut row = vec![0; classes];
            row[truth] = 3;
            row[(truth + 1) % classes] = 1;
            row
        })
        .collect();
    serde_json::from_str(&format!(
        "{{\"measured_on\":\"test images\",\"images\":{},\"loss\":0.5,\"accuracy\":0.75,\
         \"balanced_accuracy\":0.75,\"macro_f1\":0.75,\"calibration_error\":0.1,\"imbalance\":1.0,\
         \"classes\":[{}],\"confusion\":{confusion:?},\"reliability\":[{{\"low\":0.0,\"high\":1.0,\
         \"images\":{},\"confidence\":0.85,\"accuracy\":0.75}}],\"worst\":[]}}",
        4 * classes,
        named.join(","),
        4 * classes,
    ))
    .unwrap()
}
