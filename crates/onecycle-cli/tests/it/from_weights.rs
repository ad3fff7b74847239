//! New cycles from existing weights, and what `resume` says about other settings.

use crate::common;
use crate::trial;

use common::Place;
use serde_json::Value;
use trial::write_digits;

/// A small network on a tiny data set.
#[rustfmt::skip]
const RUN: [&str; 12] = [
    "--data", "digits", "--batch-size", "8", "--threads", "1", "--set", "eval_batch_size=8", "--set",
    "checkpoint_steps=4", "-q", "--out",
];

fn with<'a>(first: &[&'a str], out: &'a str) -> Vec<&'a str> {
    [first, &RUN, &[out]].concat()
}

fn place_with_run() -> Place {
    let place = Place::new();
    write_digits(&place);
    let first = [
        "train", "--model", "mlp", "--epochs", "2", "--lr-max", "0.02",
    ];
    place.succeed(&with(&first, "first"));
    place
}

fn losses(place: &Place, run: &str) -> Vec<f64> {
    let lines = place.text(&format!("{run}/steps.jsonl"));
    let loss = |line: &str| {
        serde_json::from_str::<Value>(line).unwrap()["loss"]
            .as_f64()
            .unwrap()
    };
    lines.lines().map(loss).collect()
}

#[test]
fn train_find_and_fit_start_from_weights() {
    let place = place_with_run();
    let answer = place.onecycle(&with(
        &[
            "train", "--init", "first", "--epochs", "1", "--lr-max", "0.01",
        ],
        "second",
    ));
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(
        answer.err.contains("init: images are normalised"),
        "{}",
        answer.err
    );
    // The run has the network of the weights and continues from them.
    let run: toml::Table = place.text("second/run.toml").parse().unwrap();
    assert_eq!(run["config"]["model"].as_str(), Some("mlp"));
    assert!(
        run["init"]["sha256"]
            .as_str()
            .is_some_and(|sum| sum.len() == 64)
    );
    let (first, second) = (losses(&place, "first"), losses(&place, "second"));
    assert!(second[0] < 0.7 * first[0], "{second:?} after {first:?}");

    // A range test of trained weights begins at a lower loss than one of random weights.
    let find = [
        "find",
        "--num-steps",
        "40",
        "--lr-from",
        "1e-4",
        "--format",
        "json",
    ];
    let start = |more: &[&str]| {
        let args = [&find[..], &with(more, "found")[..more.len() + 11]].concat();
        let args: Vec<&str> = args.into_iter().filter(|arg| *arg != "-q").collect();
        let found = place.json(&args);
        common::numbers(&found["groups"][0]["tests"][0]["curve"]["loss"])[0]
    };
    let (random, trained) = (start(&["--model", "mlp"]), start(&["--init", "first"]));
    assert!(trained < 0.7 * random, "{trained} and {random}");

    place.succeed(&with(
        &[
            "fit",
            "--init",
            "first",
            "--quick",
            "--num-steps",
            "40",
            "--epochs",
            "2",
        ],
        "fitted",
    ));
    let found: Value = serde_json::from_str(&place.text("fitted/range_test.json")).unwrap();
    let curve = &found["groups"][0]["tests"][0]["curve"];
    let losses_of_test = common::numbers(&curve["loss"]);
    assert!(losses_of_test[0] < 0.7 * first[0], "{losses_of_test:?}");
    assert!(losses_of_test.len() <= 40, "--num-steps was ignored");
}

#[test]
fn other_settings_with_resume_are_explained() {
    let place = place_with_run();
    let before = place.read("first/run.toml");
    for (given, advice) in [
        (
            &["--epochs", "8"][..],
            "onecycle train --init first --epochs 8",
        ),
        (
            &["--set", "policy.lr_max=0.4"],
            "onecycle train --init first --set policy.lr_max=0.4",
        ),
        (&["--config", "my file.toml"], "--config 'my file.toml'"),
        (
            &["--skip-bad", "--labels", "l.csv"],
            "--labels l.csv --skip-bad",
        ),
    ] {
        for command in [&["train", "--resume", "first"][..], &["resume", "first"]] {
            let answer = place.onecycle(&[command, given].concat());
            assert_eq!(answer.code, 1, "{command:?} {given:?}: {}", answer.err);
            assert_eq!(answer.err.lines().count(), 1, "{}", answer.err);
            assert!(answer.err.contains(advice), "{}", answer.err);
            assert!(
                answer.err.contains("onecycle resume first"),
                "{}",
                answer.err
            );
        }
    }
    assert_eq!(place.read("first/run.toml"), before);
    // The advice works as printed.
    place.succeed(&[
        "train", "--init", "first", "--epochs", "1", "--data", "digits", "-q",
    ]);
}

#[test]
fn resume_takes_a_number_of_threads_and_hides_settings() {
    let place = place_with_run();
    let args = with(
        &[
            "train",
            "--model",
            "mlp",
            "--epochs",
            "2",
            "--max-time",
            "0.001s",
        ],
        "stopped",
    );
    assert_eq!(place.onecycle(&args).code, 124);
    if place.path("stopped/run.toml").exists() {
        place.succeed(&["resume", "stopped", "--threads", "2", "-q"]);
        assert!(place.path("stopped/summary.json").exists());
    }
    let help = place.succeed(&["resume", "--help"]);
    assert!(
        help.contains("--threads") && !help.contains("--lr-max"),
        "{help}"
    );
    assert!(
        place
            .succeed(&["train", "--help"])
            .contains("--init <RUN|FILE>")
    );
}

#[test]
fn the_saved_network_is_chosen_and_averaged_by_the_command() {
    let place = Place::new();
    write_digits(&place);
    let first = [
        "train",
        "--model",
        "convnet",
        "--epochs",
        "3",
        "--set",
        "keep=best",
        "--set",
        "averaging.kind=swa",
        "--set",
        "averaging.start=1ep",
    ];
    let answer = place.onecycle(&with(&first, "run"));
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(
        answer
            .err
            .contains("chooses the network on the test images"),
        "{}",
        answer.err
    );
    assert!(
        answer.out.contains("the best on the test images"),
        "{}",
        answer.out
    );
    let summary: Value = serde_json::from_str(&place.text("run/summary.json")).unwrap();
    assert_eq!(summary["kept"]["selected_on"], "test");
    assert!(summary["kept"]["epoch"].as_u64().is_some());
    let predicted = place.onecycle(&["evaluate", "run", "--data", "digits"]);
    assert_eq!(predicted.code, 0, "{}", predicted.err);
    place.succeed(&with(
        &[
            "fit",
            "--quick",
            "--model",
            "convnet",
            "--set",
            "averaging.kind=lookahead",
            "--num-steps",
            "30",
        ],
        "fitted",
    ));
}
