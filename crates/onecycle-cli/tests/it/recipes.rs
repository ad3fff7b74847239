//! `onecycle recipes`, and a small run with all parts of one.

use std::fs;

use image::{Rgb, RgbImage};
use serde_json::Value;

use crate::common::{Place, binary};

/// Pictures of two classes: a gradient from the left, or from the top.
fn write_photos(place: &Place) {
    for name in ["across", "down"] {
        let folder = place.path("photos").join(name);
        fs::create_dir_all(&folder).unwrap();
        for index in 0..20_u32 {
            let picture = RgbImage::from_fn(32, 32, |x, y| {
                let ramp = if name == "across" { x } else { y };
                let noise = (x * 7 + y * 13 + index * 29) % 50;
                Rgb([
                    (ramp * 6 + noise) as u8,
                    (200 - ramp * 5) as u8,
                    noise as u8,
                ])
            });
            picture.save(folder.join(format!("{index}.png"))).unwrap();
        }
    }
}

#[test]
fn a_printed_recipe_is_the_recipe() {
    let place = Place::new();
    let list = place.json(&["recipes", "--format", "json"]);
    assert_eq!(list[0]["name"], "cifar10-94");
    let printed = place.succeed(&["recipes", "cifar10-94"]);
    place.write("mine.toml", &printed);
    let plan = |option: &str, value: &str| place.json(&["plan", option, value, "--format", "json"]);
    let recipe = plan("--recipe", "cifar10-94");
    assert_eq!(recipe, plan("--config", "mine.toml"));
    let unknown = place.onecycle(&["train", "--recipe", "cifar"]);
    assert_eq!(unknown.code, 1);
    assert!(unknown.err.contains("cifar10-94"), "{}", unknown.err);
}

/// Whitening, alternating flips, lookahead, a bias that stops learning, units per 1024 images, and
/// six views of each test image.
#[test]
fn a_run_of_a_recipe_has_the_same_bits_for_any_number_of_threads_and_after_a_kill() {
    // Killed in the fifth epoch, in which the bias of the first layer is constant already.
    has_the_same_bits(("cifar10-94-sgd", "5"), &["averaging.every=2"], 18);
}

/// Orthogonalised steps, and another optimizer for biases and the last layer.
#[test]
fn a_run_with_muon_has_the_same_bits_for_any_number_of_threads_and_after_a_kill() {
    has_the_same_bits(("cifar10-94", "2"), &["optimizer.iterations=1"], 6);
}

/// Trains a recipe for this many epochs three times: with one thread, with two, and killed after a step and
/// resumed. All three must end with the same bits.
fn has_the_same_bits((recipe, epochs): (&str, &str), keys: &[&str], killed_at: u64) {
    let place = Place::new();
    write_photos(&place);
    let train = |out: &str, threads: &str| {
        let mut args = vec![
            "train", "--recipe", recipe, "--data", "photos", "--seed", "3",
        ];
        args.extend([
            "--set",
            "data.image_size=32",
            "--batch-size",
            "8",
            "--epochs",
            epochs,
        ]);
        args.extend(["--threads", threads, "--out", out, "-q"]);
        args.extend(keys.iter().flat_map(|key| ["--set", key]));
        args.into_iter().map(str::to_owned).collect::<Vec<String>>()
    };
    let run = |args: Vec<String>| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        place.succeed(&args)
    };
    let told = run(train("one", "1"));
    assert!(told.contains("mean of 6 views"), "{told}");
    // Two classes instead of ten, and the bias that stops learning counts.
    let summary: Value = serde_json::from_slice(&place.read("one/summary.json")).unwrap();
    assert_eq!(summary["parameters"], 1_971_352 - 8 * 256);
    run(train("two", "2"));
    let read = |run: &str, file: &str| place.read(&format!("{run}/{file}"));
    for file in ["model.safetensors", "steps.jsonl"] {
        assert!(read("one", file) == read("two", file), "{file} differs");
    }
    let fail_point = format!("kill:half:steps.jsonl:{killed_at}");
    let killed = std::process::Command::new(binary())
        .args(train("three", "2"))
        .current_dir(place.path(""))
        .env("ONECYCLE_FAIL_POINT", fail_point)
        .output()
        .unwrap();
    assert_eq!(killed.status.code(), None);
    place.succeed(&["resume", "three", "-q"]);
    for file in ["model.safetensors", "steps.jsonl"] {
        assert!(read("one", file) == read("three", file), "{file} differs");
    }
}
