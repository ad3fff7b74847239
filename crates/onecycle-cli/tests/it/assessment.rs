//! Imbalanced folders: balanced accuracy, class weights, and the files of `evaluate --out`.

use crate::common::Place;

use image::{Rgb, RgbImage};
use serde_json::Value;

/// Writes `count` plain grey images of a class. Their brightness follows the logistic distribution
/// with this mean and the scale 11, so that two classes overlap.
fn write(place: &Place, folder: &str, count: usize, mean: f64) {
    for index in 0..count {
        let share = (index as f64 + 0.5) / count as f64;
        let value = mean + 11.0 * (share / (1.0 - share)).ln();
        let value = value.clamp(0.0, 255.0) as u8;
        let path = place.write(&format!("{folder}/{index}.png"), "");
        RgbImage::from_pixel(8, 8, Rgb([value; 3]))
            .save(path)
            .unwrap();
    }
}

/// Ten common images for each rare one.
fn write_imbalanced(place: &Place) {
    for (part, rare) in [("train", 40), ("val", 20)] {
        write(place, &format!("photos/{part}/common"), 10 * rare, 110.0);
        write(place, &format!("photos/{part}/rare"), rare, 140.0);
    }
}

const TRAIN: [&str; 18] = [
    "train",
    "--data",
    "photos",
    "--model",
    "mlp",
    "--set",
    "data.image_size=8",
    "--set",
    "augment.crop=false",
    "--batch-size",
    "32",
    "--epochs",
    "8",
    "--lr-max",
    "0.05",
    "--threads",
    "1",
    "--out",
];

fn train(place: &Place, run: &str, more: &[&str]) -> (String, Value) {
    let text = place.succeed(&[&TRAIN[..], &[run], more].concat());
    let summary = place.text(&format!("{run}/summary.json"));
    (text, serde_json::from_str(&summary).unwrap())
}

fn number(value: &Value, key: &str) -> f64 {
    value[key]
        .as_f64()
        .unwrap_or_else(|| panic!("{key}: {value}"))
}

#[test]
fn balanced_weights_raise_the_balanced_accuracy_of_an_imbalanced_folder() {
    let place = Place::new();
    write_imbalanced(&place);
    let (text, plain) = train(&place, "plain", &[]);
    let balanced = |summary: &Value| number(summary, "test_balanced_accuracy");
    assert_eq!(number(&plain, "test_imbalance"), 10.0);
    let shown = format!(
        "test accuracy {:.2} %, balanced accuracy {:.2} %, macro F1 {:.3}",
        100.0 * number(&plain, "test_accuracy"),
        100.0 * balanced(&plain),
        number(&plain, "test_macro_f1")
    );
    assert!(text.contains(&shown), "{shown}: {text}");
    let report = place.text("plain/report.html");
    assert!(report.contains("has 10 times the images of the smallest"));
    assert!(report.contains("<dt>Balanced accuracy</dt>"));

    let (_, weighted) = train(&place, "weighted", &["--set", "class_weights=balanced"]);
    // Most rare images look like common ones, so without weights they are taken for those. With
    // weights the border is between the two means, where both classes have a recall of 80 %.
    assert!(balanced(&plain) < 0.68, "{plain}");
    assert!(
        balanced(&weighted) > balanced(&plain) + 0.08,
        "{weighted} {plain}"
    );
    assert!(number(&weighted, "test_accuracy") < number(&plain, "test_accuracy"));
    assert!(
        place
            .text("weighted/run.toml")
            .contains("class_weights = \"balanced\"")
    );
    assert!(!place.text("plain/run.toml").contains("class_weights"));

    // The same weights as a list and by name give the same training: 440 / (2 * 400) and
    // 440 / (2 * 40).
    for (run, weights) in [
        ("list", "[0.55, 5.5]"),
        ("named", "{ rare = 5.5, common = 0.55 }"),
    ] {
        train(&place, run, &["--set", &format!("class_weights={weights}")]);
        let model = |run: &str| place.read(&format!("{run}/model.safetensors"));
        let steps = |run: &str| place.read(&format!("{run}/steps.jsonl"));
        assert!(steps(run) == steps("weighted"), "{run}");
        assert_eq!(model(run).len(), model("weighted").len());
    }
    assert!(place.read("plain/steps.jsonl") != place.read("weighted/steps.jsonl"));
}

/// The range test and the short cycles of `fit` train with the weights, too.
#[test]
fn the_search_uses_the_class_weights() {
    let place = Place::new();
    write_imbalanced(&place);
    let fit = |run: &str, more: &[&str]| -> Value {
        let fit = [
            "fit",
            "--quick",
            "--data",
            "photos",
            "--model",
            "mlp",
            "--set",
            "data.image_size=8",
            "--batch-size",
            "32",
            "--steps",
            "8",
            "--threads",
            "1",
            "-q",
            "--out",
            run,
        ];
        place.succeed(&[&fit[..], more].concat());
        serde_json::from_str(&place.text(&format!("{run}/range_test.json"))).unwrap()
    };
    let plain = fit("plain", &[]);
    let weighted = fit("weighted", &["--set", "class_weights=balanced"]);
    let equal = fit("equal", &["--set", "class_weights=[2.0, 2.0]"]);
    let first_loss = |found: &Value| {
        let loss = &found["groups"][0]["tests"][0]["curve"]["loss"][0];
        loss.as_f64().unwrap_or_else(|| panic!("{found}"))
    };
    assert!((first_loss(&equal) - first_loss(&plain)).abs() < 1e-5);
    assert!((first_loss(&weighted) - first_loss(&plain)).abs() > 1e-3);
    let judged = |found: &Value| {
        found["search"]["cycles"][0]["judged"]["loss"]
            .as_f64()
            .unwrap()
    };
    assert!((judged(&equal) - judged(&plain)).abs() < 1e-3);
    assert!((judged(&weighted) - judged(&plain)).abs() > 1e-3);
}

#[test]
fn evaluate_prints_and_writes_the_confusion_matrix() {
    let place = Place::new();
    write_imbalanced(&place);
    train(&place, "run", &[]);
    let json = place.json(&["evaluate", "run", "--format", "json", "-q"]);
    let summary: Value = serde_json::from_str(&place.text("run/summary.json")).unwrap();
    assert_eq!(json["balanced_accuracy"], summary["test_balanced_accuracy"]);
    assert_eq!(json["macro_f1"], summary["test_macro_f1"]);
    assert_eq!(json["calibration_error"], summary["test_calibration_error"]);
    let confusion = &json["confusion"];
    let counts = |truth: usize| -> Vec<u64> {
        let row = confusion[truth].as_array().unwrap().iter();
        row.map(|count| count.as_u64().unwrap()).collect()
    };
    assert_eq!(counts(0).iter().sum::<u64>(), 200);
    assert_eq!(counts(1).iter().sum::<u64>(), 20);

    let shown = place.onecycle(&["evaluate", "run", "--confusion", "--out", "assessed/new"]);
    assert_eq!(shown.code, 0, "{}", shown.err);
    assert!(shown.out.contains("balanced accuracy"), "{}", shown.out);
    let cells: Vec<Vec<&str>> = shown
        .out
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    for (truth, name) in ["common", "rare"].into_iter().enumerate() {
        let [correct, wrong] = [counts(truth)[0].to_string(), counts(truth)[1].to_string()];
        assert!(
            cells.contains(&vec![name, &correct, &wrong]),
            "{}",
            shown.out
        );
    }
    assert!(shown.err.contains("assessed/new"), "{}", shown.err);
    // The same network on the same images: the files are those of the run.
    for file in [
        "confusion.csv",
        "classes.csv",
        "reliability.csv",
        "worst.csv",
        "assessment.json",
    ] {
        let [there, here] =
            ["run/assessment", "assessed/new"].map(|at| place.text(&format!("{at}/{file}")));
        // The run says that they are the validation images of the folder.
        let there = there.replace("\"validation images\"", "\"test images\"");
        assert_eq!(there, here, "{file}");
    }
    let picture = |name: &str| place.read(name);
    assert!(picture("assessed/new/worst-01.png") == picture("run/figures/worst-01.png"));
    let worst = place.text("assessed/new/worst.csv");
    assert!(worst.contains(",val/rare/0.png,rare,common,"), "{worst}");

    let short = place.succeed(&["evaluate", "run", "-q"]);
    assert!(!short.contains("predicted"), "{short}");
}
