//! `onecycle diagnose` and `onecycle train --diagnose`.

use crate::common;

use std::fs;

use common::{Place, Refusals, numbers};
use serde_json::Value;

/// Two epochs of LeNet-5 on 128 images, 8 steps.
const TRAIN: [&str; 10] = [
    "train",
    "--model",
    "lenet5",
    "--limit",
    "128",
    "--batch-size",
    "32",
    "--epochs",
    "2",
    "-q",
];
const FEW: [&str; 6] = ["--batches", "16", "--batch-size", "8", "--images", "64"];

#[test]
fn diagnose_a_finished_run() {
    let place = Place::new();
    place.succeed(&[&TRAIN[..], &["--out", "run"]].concat());
    let model = place.read("run/model.safetensors");
    let args = [&["diagnose", "run", "-q"], &FEW[..]].concat();
    let json = place.json(&[&args[..], &["--format", "json"]].concat());
    assert_eq!(json["step"], 8);
    assert_eq!(json["weights"], "model.safetensors");
    assert_eq!(json["noise"]["batches"], 16);
    assert!(
        json["noise"]["micro_batches"]["trace"]["value"]
            .as_f64()
            .unwrap()
            > 0.0
    );
    let eigenvalues = json["hessian"]["curvature"]["eigenvalues"]
        .as_array()
        .unwrap();
    assert_eq!(eigenvalues.len(), 3);
    let values: Vec<f64> = eigenvalues
        .iter()
        .map(|one| one["value"].as_f64().unwrap())
        .collect();
    assert!(
        values[0] > 0.0 && values.is_sorted_by(|a, b| a >= b),
        "{values:?}"
    );
    assert!(json["sharpness"]["sharpness"].as_f64().unwrap() > 0.0);
    assert_eq!(json["slices"].as_array().unwrap().len(), 2);
    let alpha = numbers(&json["slices"][0]["alpha"]);
    assert_eq!((alpha[0], alpha[10], alpha[20]), (-1.0, 0.0, 1.0));
    assert_eq!(json["gap"]["train_images"], 64);

    let written: Value = serde_json::from_str(&place.text("run/diagnose.json")).unwrap();
    assert_eq!(written, json);
    for figure in ["diagnose_slices", "diagnose_gap"] {
        for ending in ["svg", "png", "csv"] {
            let path = place.path(&format!("run/figures/{figure}.{ending}"));
            assert!(
                fs::metadata(&path).unwrap().len() > 100,
                "{}",
                path.display()
            );
        }
    }
    let report = place.text("run/report.html");
    assert!(report.contains("<h2>Diagnosis</h2>") && report.contains("id=\"diagnose_slices\""));

    // As text, and the same for another number of threads.
    let first = place.read("run/diagnose.json");
    let text = place.succeed(&[&args[..], &["--threads", "1"]].concat());
    assert!(place.read("run/diagnose.json") == first);
    for part in [
        "generalisation gap",
        "gradient noise scale",
        "Hessian eigenvalues",
        "ε-sharpness",
        "loss slices",
        "lr N / (B (1 − m))",
        "are in run",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(place.read("run/model.safetensors") == model);
}

#[test]
fn diagnose_while_training() {
    let place = Place::new();
    place.succeed(&[&TRAIN[..], &["--out", "plain"]].concat());
    place.succeed(&[&TRAIN[..], &["--out", "run", "--diagnose", "every=3"]].concat());
    for file in ["model.safetensors", "steps.jsonl"] {
        let [plain, run] = ["plain", "run"].map(|run| place.read(&format!("{run}/{file}")));
        assert!(plain == run, "{file}");
    }
    let lines = place.text("run/diagnose.jsonl");
    let steps: Vec<u64> = lines
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["step"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert_eq!(steps, [3, 6, 8]);
    assert!(!place.path("plain/diagnose.jsonl").exists());
    let run: toml::Table = place.text("run/run.toml").parse().unwrap();
    assert_eq!(run["config"]["diagnose"]["every"].as_integer(), Some(3));
    let report = place.text("run/report.html");
    assert!(report.contains("id=\"diagnose_sharpness\""));
}

#[test]
fn wrong_flags_and_folders_are_refused() {
    let place = Place::new();
    fs::create_dir(place.path("empty")).unwrap();
    let mut refusals = Refusals::default();
    for (value, names) in [
        ("often", ["--diagnose = often", "every=N"]),
        ("every=0", ["--diagnose = every=0", "at least 1"]),
        ("every=-5", ["--diagnose = every=-5", "every=100"]),
        ("5", ["--diagnose = 5", "every=N"]),
    ] {
        let args = [&TRAIN[..], &["--out", "run", "--diagnose", value]].concat();
        refusals.expect(&place.onecycle(&args), &names, value);
        refusals.expect_none(&place.path("run"), value);
    }
    place.write("wrong.toml", "[diagnose]\nevery = \"often\"");
    let args = ["train", "--config", "wrong.toml", "--out", "run"];
    refusals.expect(
        &place.onecycle(&args),
        &["diagnose.every = \"often\""],
        "a word",
    );
    place.write("wrong.toml", "[diagnose]\nsharpness = 3");
    refusals.expect(
        &place.onecycle(&args),
        &["`diagnose.sharpness`", "every"],
        "a key",
    );
    for folder in ["nowhere", "empty"] {
        let answer = place.onecycle(&["diagnose", folder]);
        refusals.expect(&answer, &[folder, "no run.toml"], folder);
    }
    assert!(!place.path("nowhere").exists() && !place.path("empty/.lock").exists());

    place.succeed(&[&TRAIN[..], &["--out", "run"]].concat());
    for (flag, value, names) in [
        ("--batches", "1", ["--batches = 1", "at least 2"]),
        ("--images", "0", ["--images = 0", "at least 1"]),
        ("--epsilon", "-1", ["--epsilon = -1", "above 0"]),
        ("--epsilon", "nan", ["--epsilon = NaN", "above 0"]),
    ] {
        let answer = place.onecycle(&["diagnose", "run", flag, value]);
        refusals.expect(&answer, &names, flag);
    }
    // A damaged model, and no model.
    place.write("run/model.safetensors", "nonsense");
    let answer = place.onecycle(&["diagnose", "run"]);
    refusals.expect(
        &answer,
        &["model.safetensors", "not a model"],
        "a damaged model",
    );
    fs::remove_file(place.path("run/model.safetensors")).unwrap();
    fs::remove_dir_all(place.path("run/checkpoints")).unwrap();
    let answer = place.onecycle(&["diagnose", "run"]);
    refusals.expect(&answer, &["run", "no network to diagnose"], "no model");
    refusals.expect_none(&place.path("run/diagnose.json"), "no model");
    refusals.end(14);
}
