//! `onecycle find` and `onecycle fit`.

use crate::common;

use std::fs;

use common::{Place, numbers};
use serde_json::Value;

/// LeNet-5 on 512 images, in batches of 32, with the default sweep.
const TINY: [&str; 9] = [
    "--model",
    "lenet5",
    "--limit",
    "512",
    "--batch-size",
    "32",
    "--num-steps",
    "150",
    "-q",
];

fn tiny(command: &'static str, more: &[&'static str]) -> Vec<&'static str> {
    [&[command], &TINY[..], more].concat()
}

#[test]
fn a_curve_in_every_format() {
    let place = Place::new();
    let json = place.json(&tiny("find", &["--format", "json", "--out", "found"]));
    assert_eq!(json["verdict"], "ok", "{}", json["groups"][0]["rules"]);
    let max = json["one_cycle_max"].as_f64().unwrap();
    assert!((0.01..0.3).contains(&max), "{max}");
    assert!(json["constant"].as_f64().unwrap() <= max);
    let test = &json["groups"][0]["tests"][0];
    let (lr, loss) = (numbers(&test["curve"]["lr"]), &test["curve"]["loss"]);
    assert_eq!(lr[0], 1e-5);
    assert_eq!(lr.len(), loss.as_array().unwrap().len());
    assert!(lr.len() < 150, "it stops early");
    assert!((loss[0].as_f64().unwrap() - 2.3).abs() < 0.2);
    let conditions = &test["curve"]["conditions"];
    // Momentum and batch size are those at the peak of the policy.
    assert_eq!(
        (&conditions["momentum"], &conditions["batch_size"]),
        (&0.85.into(), &32.into())
    );

    let written: Value = serde_json::from_str(&place.text("found/range_test.json")).unwrap();
    assert_eq!(written["groups"][0]["rules"], json["groups"][0]["rules"]);
    for file in ["range_test.svg", "range_test.png", "range_test.csv"] {
        assert!(
            fs::metadata(place.path("found/figures").join(file))
                .unwrap()
                .len()
                > 1000,
            "{file}"
        );
    }

    // The same curve in the other formats.
    let csv = place.succeed(&tiny("find", &["--format", "csv"]));
    assert!(csv.starts_with("value,seed,lr,loss,smoothed,val_loss,val_accuracy\n"));
    assert_eq!(csv.lines().count(), lr.len() + 1);
    let last = csv.lines().last().unwrap();
    assert!(
        last.contains(&format!("{:?}", loss[lr.len() - 1].as_f64().unwrap())),
        "{last}"
    );
    let text = place.succeed(&tiny("find", &[]));
    assert!(
        text.contains("learning rate") && text.contains("one_cycle_max"),
        "{text}"
    );
    assert!(
        text.contains("more than the same updates in a training"),
        "{text}"
    );
}

#[test]
fn overlays_and_seeds() {
    let place = Place::new();
    for (flag, values, name) in [
        ("--weight-decays", "0.0001,0.01", "weight_decay"),
        ("--momenta", "0,0.9", "momentum"),
        ("--batch-sizes", "16,64", "batch_size"),
    ] {
        let more = [
            flag, values, "--seeds", "2", "--format", "json", "--out", name,
        ];
        let json = place.json(&tiny("find", &more));
        assert_eq!(json["parameter"], name);
        let groups = json["groups"].as_array().unwrap();
        assert_eq!(groups.len(), 2);
        for (group, value) in groups.iter().zip(values.split(',')) {
            let value: f64 = value.parse().unwrap();
            assert_eq!(group["value"], value);
            let tests = group["tests"].as_array().unwrap();
            assert_eq!(tests.len(), 2);
            assert_ne!(tests[0]["curve"]["loss"], tests[1]["curve"]["loss"]);
            for (test, seed) in tests.iter().zip([1, 2]) {
                assert_eq!(test["seed"], seed);
                assert_eq!(test["curve"]["conditions"][name].as_f64(), Some(value));
            }
        }
        let [first, second] = [0, 1].map(|i| &groups[i]["tests"][0]["curve"]["loss"]);
        assert_ne!(first, second, "{name} changes nothing");
        let figure = place.text(&format!("{name}/figures/range_test.csv"));
        assert!(figure.contains("2 seeds"), "{name}");
    }
}

#[test]
fn a_linear_test_measures_accuracy() {
    let place = Place::new();
    let more = [
        "--linear",
        "--lr-to",
        "0.5",
        "--validate-every",
        "6",
        "--format",
        "json",
    ];
    let json = place.json(&tiny("find", &more));
    let curve = &json["groups"][0]["tests"][0]["curve"];
    let lr = numbers(&curve["lr"]);
    assert_eq!(lr[0], 0.0);
    let step = lr[1] - lr[0];
    assert!(
        lr.windows(2)
            .all(|pair| (pair[1] - pair[0] - step).abs() < 1e-12)
    );
    let validation = curve["validation"].as_array().unwrap();
    assert_eq!(validation.len(), lr.len() / 6);
    for (i, one) in validation.iter().enumerate() {
        assert_eq!(one["after"], 6 * (i + 1));
        assert!((0.0..=1.0).contains(&one["accuracy"].as_f64().unwrap()));
    }
    assert!(!json["groups"][0]["by_accuracy"].is_null());
}

/// The message of a diverged run names the range test to make, or the rate that its range test
/// suggested.
#[test]
fn a_diverged_run_refers_to_its_range_test() {
    let place = Place::new();
    let diverging = |out: &str| {
        let args = [
            "train",
            "--set",
            "policy.kind=constant",
            "--set",
            "policy.lr=1e30",
            "--out",
            out,
        ];
        let answer = place.onecycle(&[&args, &TINY[..6], &["-q"]].concat());
        assert_eq!(answer.code, 1, "{}", answer.err);
        answer.err
    };
    let told = diverging("run");
    let (_, advice) = told.split_once(". `onecycle ").unwrap();
    let (command, _) = advice
        .split_once("` shows which learning rates are stable")
        .unwrap();
    let args: Vec<&str> = command.split(' ').chain(["--out", "found", "-q"]).collect();
    place.succeed(&args);

    let found: Value = serde_json::from_str(&place.text("found/range_test.json")).unwrap();
    let lr: f64 = found["one_cycle_max"].as_f64().unwrap();
    let told = diverging("found");
    let (_, named) = told.split_once("suggests lr_max = ").unwrap();
    let (named, _) = named.split_once(" for one cycle").unwrap();
    let named: f64 = named.parse().unwrap();
    assert!((named / lr - 1.0).abs() < 1e-3, "{named} for {lr}");
}

#[test]
fn impossible_range_tests_are_refused() {
    let place = Place::new();
    let cases: [(&[&'static str], &[&str]); 7] = [
        (&["--lr-from", "0"], &["--lr-from = 0", "above 0"]),
        (
            &["--lr-from", "2", "--lr-to", "1"],
            &["--lr-to = 1", "--lr-from"],
        ),
        (&["--lr-to", "nan"], &["--lr-to", "finite"]),
        (&["--momenta", "1.5"], &["momentum = 1.5", "below 1"]),
        (&["--weight-decays", "-1"], &["weight decay = -1"]),
        (&["--batch-sizes", "0"], &["batch size = 0", "at least 1"]),
        (&["--set", "data.path=nowhere"], &["nowhere"]),
    ];
    for (more, words) in cases {
        let answer = place.onecycle(&tiny("find", &[more, &["--out", "found"]].concat()));
        assert_eq!(
            (answer.code, answer.out.as_str()),
            (1, ""),
            "{more:?}: {}",
            answer.err
        );
        for word in words {
            assert!(
                answer.err.contains(word),
                "{more:?}: {word} is not in {}",
                answer.err
            );
        }
        assert!(!place.path("found").exists(), "{more:?}: a folder was made");
    }
}

#[test]
fn fit_searches_trains_and_tests() {
    let place = Place::new();
    // With batch norm.
    let args = [
        "fit",
        "--model",
        "convnet",
        "--limit",
        "512",
        "--batch-size",
        "32",
        "-q",
        "--epochs",
        "4",
        "--weight-decays",
        "0.0005,0.0001,0.0025",
        "--format",
        "json",
        "--out",
        "run",
    ];
    let summary = place.json(&args);
    assert!(
        summary["test_accuracy"].as_f64().unwrap() > 0.3,
        "{summary}"
    );
    let found: Value = serde_json::from_str(&place.text("run/range_test.json")).unwrap();
    assert_eq!(found["groups"].as_array().unwrap().len(), 3);
    let reason = found["choice"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("lr_max") && reason.contains("weight decay"),
        "{reason}"
    );
    let cycles = found["search"]["cycles"].as_array().unwrap();
    // So few held-out images need three seeds.
    let peaks = cycles.len() / 3;
    assert!((3..=12).contains(&peaks), "{}", found["search"]);
    assert_eq!(cycles.len(), 3 * peaks);
    assert_eq!(found["search"]["answer"]["lr"], found["one_cycle_max"]);

    let spent = |key: &str| summary[key].as_f64().unwrap();
    let cycle = found["search"]["steps"].as_f64().unwrap();
    assert!(spent("search_updates") > 3.0 * cycle && spent("search_seconds") > 0.0);

    // The run trained with the rates that were found, and its report shows them.
    let run: toml::Table = place.text("run/run.toml").parse().unwrap();
    let lr_max = run["config"]["policy"]["lr_max"].as_float().unwrap();
    assert!((lr_max / found["one_cycle_max"].as_f64().unwrap() - 1.0).abs() < 1e-3);
    let chosen = found["choice"]["group"].as_u64().unwrap() as usize;
    let weight_decay = run["config"]["optimizer"]["weight_decay"]
        .as_float()
        .unwrap();
    assert_eq!(found["groups"][chosen]["value"], weight_decay);
    let report = place.text("run/report.html");
    assert!(
        report.contains("LR range test") && report.contains(reason),
        "the figure and the reason"
    );
    assert!(place.path("run/figures/range_test.svg").exists());

    // Training with these rates but without a range test gives the same model.
    place.succeed(&["train", "--config", "run/run.toml", "--out", "again", "-q"]);
    assert!(place.read("run/model.safetensors") == place.read("again/model.safetensors"));

    // A run is not overwritten.
    let answer = place.onecycle(&args);
    assert!(
        answer.code == 1 && answer.err.contains("already contains a run"),
        "{}",
        answer.err
    );
}

/// Few images, small batches, no batch norm: here a range test alone suggests rates that diverge.
#[test]
fn fit_does_not_diverge_with_three_seeds() {
    let place = Place::new();
    for seed in ["1", "2", "3"] {
        let more = [
            "--quick", "--epochs", "10", "--seed", seed, "--format", "json", "--out", seed,
        ];
        let summary = place.json(&tiny("fit", &more));
        let accuracy = summary["test_accuracy"].as_f64().unwrap();
        assert!(accuracy > 0.6, "seed {seed}: {summary}");
        let found: Value =
            serde_json::from_str(&place.text(&format!("{seed}/range_test.json"))).unwrap();
        // Peaks that are too high were tried and rejected.
        let lr_max = found["one_cycle_max"].as_f64().unwrap();
        let cycles = found["search"]["cycles"].as_array().unwrap();
        let highest = cycles.iter().map(|one| one["lr_max"].as_f64().unwrap());
        assert!(
            lr_max < highest.fold(0.0, f64::max),
            "seed {seed}: {lr_max}"
        );
    }
}

#[test]
fn quick_makes_one_range_test_and_one_epoch() {
    let place = Place::new();
    place.succeed(&[
        "fit",
        "--quick",
        "--model",
        "lenet5",
        "--limit",
        "512",
        "--batch-size",
        "32",
        "-q",
        "--out",
        "run",
    ]);
    let found: Value = serde_json::from_str(&place.text("run/range_test.json")).unwrap();
    assert_eq!(found["groups"].as_array().unwrap().len(), 1);
    assert_eq!(place.text("run/epochs.jsonl").lines().count(), 1);
}

#[test]
fn fit_refuses_fixed_rates_and_other_policies() {
    let place = Place::new();
    let cases: [(&[&'static str], &[&str]); 3] = [
        (&["--lr-max", "0.1"], &["--lr-max = 0.1", "onecycle train"]),
        (
            &["--set", "policy.kind=cosine", "--set", "policy.lr=0.1"],
            &["policy.kind = cosine", "one_cycle"],
        ),
        (
            &["--lr-from", "50", "--lr-to", "1000"],
            &["suggests no learning rate", "--lr-max"],
        ),
    ];
    for (more, words) in cases {
        let answer = place.onecycle(&tiny("fit", &[more, &["--out", "run"]].concat()));
        assert_eq!(answer.code, 1, "{more:?}: {}", answer.err);
        for word in words {
            assert!(
                answer.err.contains(word),
                "{more:?}: {word} is not in {}",
                answer.err
            );
        }
        assert!(!place.path("run").exists(), "{more:?}: a folder was made");
    }
}

/// `--rungs`, the former name of `--num-steps`, still works and prints a note.
#[test]
fn the_former_flag_rungs_still_works() {
    let place = Place::new();
    let find = |flag: &[&str]| {
        let args = [
            "find", "--model", "lenet5", "--limit", "64", "--lr-to", "0.001", "--format", "csv",
            "-q",
        ];
        let answer = place.onecycle(&[&args[..], flag].concat());
        assert_eq!(answer.code, 0, "{flag:?}: {}", answer.err);
        answer
    };
    let new = find(&["--num-steps", "30"]);
    assert!(!new.err.contains("deprecated"), "{}", new.err);
    assert_eq!(new.out.lines().count(), 31, "{}", new.out);
    for flag in [&["--rungs", "30"][..], &["--rungs=30"]] {
        let old = find(flag);
        let note = "--rungs is deprecated: use --num-steps";
        assert!(old.err.contains(note), "{flag:?}: {}", old.err);
        assert_eq!(old.out, new.out, "{flag:?}");
    }
}
