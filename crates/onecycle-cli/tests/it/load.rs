//! Runs of unusual size: one step, one batch per epoch, batches larger than the data, many classes.
//!
//! `scripts/measure_load.py` measures the memory that large folders and long runs need; the figures
//! are in docs/evidence.md.

use crate::common;
#[cfg(unix)]
use crate::trial;

use std::io::Cursor;

use common::Place;
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::Value;

const CLASSES: usize = 1000;

fn lines(place: &Place, name: &str) -> Vec<Value> {
    let text = place.text(name);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Writes a folder with two tiny images per class.
fn write_photos(place: &Place) {
    for index in 0..2 * CLASSES {
        let class = index % CLASSES;
        let color = Rgb([class as u8, (class >> 8) as u8, index as u8]);
        let mut png = Cursor::new(Vec::new());
        RgbImage::from_pixel(4, 4, color)
            .write_to(&mut png, ImageFormat::Png)
            .unwrap();
        place.write(
            &format!("photos/class-{class:04}/{index}.png"),
            png.into_inner(),
        );
    }
}

#[test]
fn a_thousand_classes() {
    let place = Place::new();
    write_photos(&place);
    #[rustfmt::skip]
    let args = [
        "train", "--data", "photos", "--set", "data.image_size=8", "--model", "mlp", "--steps", "3", "--batch-size", "32", "-q",
        "--format", "json", "--out", "run",
    ];
    let summary = place.json(&args);
    assert_eq!(summary["steps"], 3);
    // The first loss is close to ln(1000), that of equal probabilities.
    let loss = lines(&place, "run/steps.jsonl")[0]["loss"]
        .as_f64()
        .unwrap();
    assert!((loss - (CLASSES as f64).ln()).abs() < 0.7, "{loss}");
    let image = format!("photos/class-{:04}/{}.png", 7, 7);
    let answer = place.json(&[
        "predict", "run", &image, "--top", "1000", "--format", "json",
    ]);
    assert!(
        answer.to_string().matches("class-").count() >= CLASSES,
        "{answer}"
    );
}

#[cfg(unix)]
#[test]
fn one_step_and_epochs_of_one_batch() {
    let place = Place::new();
    trial::write_digits(&place);
    #[rustfmt::skip]
    let run = |out: &str, more: &[&str]| {
        let args = ["train", "--data", "digits", "--model", "lenet5", "-q", "--lr-max", "0.02", "--out", out];
        place.succeed(&[&args, more].concat());
        let steps = lines(&place, &format!("{out}/steps.jsonl"));
        let epochs = lines(&place, &format!("{out}/epochs.jsonl"));
        assert!(place.path(out).join("report.html").exists());
        (steps, epochs)
    };
    let sizes = |steps: &[Value]| {
        let size = |step: &Value| step["batch_size"].as_u64().unwrap();
        steps.iter().map(size).collect::<Vec<_>>()
    };
    let (steps, epochs) = run("step", &["--steps", "1", "--batch-size", "8"]);
    assert_eq!((sizes(&steps), epochs.len()), (vec![8], 1));
    let (steps, epochs) = run("image", &["--steps", "2", "--batch-size", "1"]);
    assert_eq!((sizes(&steps), epochs.len()), (vec![1, 1], 1));
    // A batch size of at least 48 puts all 48 images into one batch.
    for (out, size) in [("exact", "48"), ("larger", "49"), ("huge", "1000000000")] {
        let (steps, epochs) = run(out, &["--epochs", "3", "--batch-size", size]);
        assert_eq!((sizes(&steps), epochs.len()), (vec![48; 3], 3), "{out}");
    }
    assert_eq!(
        place.read("exact/model.safetensors"),
        place.read("huge/model.safetensors")
    );
}
