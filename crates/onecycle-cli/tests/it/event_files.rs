//! `--log tensorboard` and `onecycle log`. `scripts/check_tensorboard.py` reads the files with
//! TensorBoard's own loader.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::common::{Place, TINY, tiny_comparison};

/// The only file of a folder that is not empty: a replaced one is.
fn only_file(place: &Place, folder: &str) -> PathBuf {
    let entries = fs::read_dir(place.path(folder)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| fs::metadata(path).unwrap().len() > 0);
    assert_eq!(paths.len(), 1, "{paths:?}");
    paths.remove(0)
}

/// Number of records of the only file of a folder that contain a tag.
fn count(place: &Place, folder: &str, tag: &str) -> usize {
    let file = fs::read(only_file(place, folder)).unwrap();
    let (mut rest, mut count) = (&file[..], 0);
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        let data = &rest[12..12 + length];
        count += usize::from(data.windows(tag.len()).any(|part| part == tag.as_bytes()));
        rest = &rest[16 + length..];
    }
    count
}

#[test]
fn a_resumed_run_keeps_writing_and_has_every_step_once() {
    let place = Place::new();
    let stopped = [
        "--epochs",
        "60",
        "--out",
        "a",
        "--log",
        "tensorboard",
        "--max-time",
        "1s",
    ];
    let answer = place.onecycle(&[&TINY[..], &["--quiet"], &stopped].concat());
    assert_eq!(answer.code, 124, "{}", answer.err);
    let made = place.text("a/steps.jsonl").lines().count();
    assert!((1..240).contains(&made), "{made}");
    assert_eq!(count(&place, "a/tensorboard", "step/loss"), made);
    place.succeed(&["resume", "a", "-q"]);
    assert_eq!(count(&place, "a/tensorboard", "step/loss"), 240);
    assert_eq!(count(&place, "a/tensorboard", "epoch/val_loss"), 60);
    assert_eq!(count(&place, "a/tensorboard", "figures/losses"), 2);
    assert_eq!(count(&place, "a/tensorboard", "session_end_info"), 1);
    assert!(place.text("a/run.toml").contains("log = [\"tensorboard\"]"));
}

#[test]
fn a_run_without_event_files_gets_them_later() {
    let place = Place::new();
    let args = ["--steps", "9", "--out", "a", "--max-time", "100s"];
    place.succeed(&[&TINY[..], &["--quiet"], &args].concat());
    assert!(!place.path("a/tensorboard").exists());
    let model = place.read("a/model.safetensors");
    let json = place.json(&["log", "a", "--format", "json"]);
    assert_eq!(
        (&json[0]["steps"], &json[0]["training"]),
        (&9.into(), &Value::Bool(false))
    );
    place.succeed(&["log", "a", "--out", "elsewhere"]);
    for folder in ["a/tensorboard", "elsewhere"] {
        assert_eq!(count(&place, folder, "step/loss"), 9);
        assert_eq!(count(&place, folder, "test/accuracy"), 1);
    }
    // The key changes no result.
    let args = [
        "--steps",
        "9",
        "--out",
        "b",
        "--set",
        "log=[\"tensorboard\"]",
    ];
    place.succeed(&[&TINY[..], &["--quiet"], &args].concat());
    assert!(place.read("b/model.safetensors") == model);
    assert_eq!(count(&place, "b/tensorboard", "step/loss"), 9);
}

#[test]
fn a_finished_comparison_gets_event_files_by_the_same_command() {
    let place = Place::new();
    let mut args = tiny_comparison(&place).to_vec();
    place.succeed(&args);
    let compared = place.read("study/compare.json");
    args.extend(["--log", "tensorboard"]);
    place.succeed(&args);
    assert!(place.read("study/compare.json") == compared);
    assert_eq!(count(&place, "study/tensorboard", "policy.lr_max"), 1);
    for run in ["a-seed1", "b-seed1"] {
        assert_eq!(
            count(
                &place,
                &format!("study/runs/{run}/tensorboard"),
                "step/loss"
            ),
            1
        );
    }
    let out = place.succeed(&["log", "study", "--out", "logs"]);
    assert_eq!(out.lines().count(), 2, "{out}");
    assert_eq!(count(&place, "logs/b-seed1", "epoch/val_accuracy"), 1);
}

#[test]
fn wrong_input_is_one_message() {
    let place = Place::new();
    let answer = place.onecycle(&["train", "--log", "wandb"]);
    assert_eq!(answer.code, 2);
    assert!(answer.err.contains("tensorboard"), "{}", answer.err);
    fs::create_dir(place.path("empty")).unwrap();
    for folder in ["empty", "absent"] {
        let answer = place.onecycle(&["log", folder]);
        assert_eq!(answer.code, 1);
        assert!(
            answer.err.contains(folder) && answer.err.lines().count() == 1,
            "{}",
            answer.err
        );
    }
}
