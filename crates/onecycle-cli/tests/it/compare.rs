//! `onecycle compare` and `onecycle reproduce`: results, interruptions, refused input.

use crate::common;
use crate::trial;

use std::fs;

use common::{Place, Refusals};
use trial::{timeless_json, write_digits};

/// Two files: one cycle, and a constant learning rate for twice the epochs.
fn write_policies(place: &Place) {
    write_digits(place);
    let common = "model = \"lenet5\"\nbatch_size = 8\neval_batch_size = 16\nthreads = 1\ndata.path = \"digits\"\n";
    place.write(
        "cycle.toml",
        format!("epochs = 2\n{common}[policy]\nkind = \"one_cycle\"\nlr_max = 0.05\n"),
    );
    place.write(
        "flat.toml",
        format!("epochs = 4\n{common}[policy]\nkind = \"constant\"\nlr = 0.01\n"),
    );
}

const COMPARE: [&str; 7] = [
    "compare",
    "cycle.toml",
    "flat.toml",
    "--seeds",
    "2",
    "--threads",
    "1",
];

#[test]
fn a_comparison_survives_any_number_of_stops() {
    let place = Place::new();
    write_policies(&place);
    let accuracies = ["--accuracies", "0.2,0.999", "--format", "json", "-q"];
    let whole = place.json(&[&COMPARE, &accuracies[..], &["--out", "whole"]].concat());

    let variants = whole["variants"].as_array().unwrap();
    let labels: Vec<&str> = variants
        .iter()
        .map(|v| v["label"].as_str().unwrap())
        .collect();
    assert_eq!(labels, ["cycle", "flat"]);
    assert_eq!(
        (variants[0]["steps"].as_u64(), variants[1]["steps"].as_u64()),
        (Some(12), Some(24))
    );
    assert_eq!(whole["runs"].as_array().unwrap().len(), 4);
    assert_eq!(whole["runs"][0]["epochs"].as_array().unwrap().len(), 2);
    assert_eq!(whole["budgets_differ"], true);
    let reached = &variants[0]["reached"][0];
    assert_eq!(
        (reached["accuracy"].as_f64(), reached["runs"].as_u64()),
        (Some(0.2), Some(2))
    );
    let mean = |seeds: [usize; 2]| {
        let of = |i: usize| whole["runs"][i]["final_accuracy"].as_f64().unwrap();
        (of(seeds[0]) + of(seeds[1])) / 2.0
    };
    // Runs are listed by variant, then by seed.
    let told = variants[1]["final_accuracy"]["mean"].as_f64().unwrap();
    assert!((told - mean([2, 3])).abs() < 1e-12);
    assert!(variants[1]["final_accuracy"]["half_width"].is_f64());
    let keys: Vec<&str> = whole["settings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|setting| setting["key"].as_str().unwrap())
        .collect();
    assert!(
        keys.contains(&"epochs") && keys.contains(&"policy.kind") && !keys.contains(&"seed"),
        "{keys:?}"
    );

    let page = place.text("whole/compare.html");
    for part in [
        "cycle",
        "flat",
        "steps to 20 %",
        "The budgets differ (epochs)",
        "<svg",
    ] {
        assert!(page.contains(part), "{part}");
    }
    for figure in [
        "val_accuracy",
        "val_loss",
        "train_loss",
        "gap",
        "final_accuracy",
    ] {
        for ending in ["svg", "png", "csv"] {
            let path = place.path(&format!("whole/figures/{figure}.{ending}"));
            assert!(
                fs::metadata(&path).unwrap().len() > 100,
                "{}",
                path.display()
            );
        }
    }

    // The time limit is over at once: every command makes one step and stops.
    let cut = [&COMPARE, &accuracies[..], &["--out", "cut"]].concat();
    for _ in 0..5 {
        let answer = place.onecycle(&[&cut[..], &["--max-time", "0.001s"]].concat());
        assert_eq!(answer.code, 124, "{}", answer.err);
        assert!(
            answer.err.contains(
                "time limit reached: stopped with 0 of 4 runs finished; run the same command again to continue"
            ),
            "{}",
            answer.err
        );
        assert!(answer.out.is_empty() && !place.path("cut/compare.json").exists());
    }
    assert_eq!(
        timeless_json(place.json(&cut)),
        timeless_json(whole.clone())
    );
    let steps = place.text("cut/runs/cycle-seed1/steps.jsonl");
    assert_eq!(steps, place.text("whole/runs/cycle-seed1/steps.jsonl"));

    // Finished runs are not trained again; only the additional seed is.
    let before = fs::metadata(place.path("cut/runs/cycle-seed1/steps.jsonl"))
        .unwrap()
        .modified()
        .unwrap();
    let three = place.json(&[
        "compare",
        "cycle.toml",
        "flat.toml",
        "--seeds",
        "3",
        "--threads",
        "1",
        "--format",
        "json",
        "-q",
        "--out",
        "cut",
    ]);
    assert_eq!(three["runs"].as_array().unwrap().len(), 6);
    let after = fs::metadata(place.path("cut/runs/cycle-seed1/steps.jsonl"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(before, after);

    let told = place.succeed(&[&COMPARE, &["--out", "cut"][..]].concat());
    for part in [
        "variant",
        "cycle",
        "±",
        "setting",
        "policy.kind",
        "95 % confidence interval of the difference",
        "cut/compare.html",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn incomparable_files_are_refused() {
    let place = Place::new();
    write_policies(&place);
    place.write(
        "other.toml",
        "model = \"resnet8\"\ndata.path = \"digits\"\n",
    );
    place.write(
        "fewer.toml",
        "model = \"lenet5\"\ndata = { path = \"digits\", limit = 20 }\n",
    );
    place.write("sub/cycle.toml", "model = \"lenet5\"\n");
    place.write("broken.toml", "model = \"lenet5\"\nepochs = -1\n");
    let mut refusals = Refusals::default();
    let cases: [(&[&str], &[&str]); 7] = [
        (
            &["cycle.toml", "other.toml"],
            &["model differs", "cycle: \"lenet5\"", "other: \"resnet8\""],
        ),
        (
            &["cycle.toml", "fewer.toml"],
            &["data.limit differs", "fewer: 20"],
        ),
        (
            &["cycle.toml", "sub/cycle.toml"],
            &["files = cycle", "different names"],
        ),
        (&["cycle.toml", "broken.toml"], &["epochs = -1"]),
        (&["cycle.toml", "missing.toml"], &["missing.toml"]),
        (
            &["cycle.toml", "flat.toml", "--accuracies", "90"],
            &["accuracies = 90", "0.9"],
        ),
        (
            &["cycle.toml", "flat.toml", "--set", "epochs"],
            &["--set = epochs", "KEY=VALUE"],
        ),
    ];
    for (args, names) in cases {
        let answer = place.onecycle(&[&["compare", "--out", "none"], args].concat());
        refusals.expect(&answer, names, &args.join(" "));
    }
    // A folder with runs of other settings.
    place.succeed(&[&COMPARE, &["--out", "kept", "-q"][..]].concat());
    let answer =
        place.onecycle(&[&COMPARE, &["--out", "kept", "-q", "--set", "epochs=1"][..]].concat());
    refusals.expect(
        &answer,
        &[
            "kept/runs/cycle-seed1",
            "epochs was 2.0, is 1.0",
            "another --out",
        ],
        "other epochs",
    );
    for (args, names) in [
        (
            ["reproduce", "momenta"],
            [
                "NAME = momenta",
                "super-convergence, momentum, weight-decay",
            ],
        ),
        (
            ["reproduce", "--scale=huge"],
            ["scale = huge", "quick, cpu or paper"],
        ),
    ] {
        let args = if args[1].starts_with("--") {
            vec!["reproduce", "all", args[1]]
        } else {
            args.to_vec()
        };
        refusals.expect(&place.onecycle(&args), &names, &args.join(" "));
    }
    refusals.expect_none(&place.path("none"), "a refused comparison");
    refusals.end(10);
}

#[test]
fn finished_runs_are_compared_without_training() {
    let place = Place::new();
    write_policies(&place);
    let whole = place.json(&[&COMPARE, &["--format", "json", "--out", "whole", "-q"][..]].concat());
    let runs = ["cycle-seed1", "flat-seed1", "cycle-seed2", "flat-seed2"]
        .map(|name| format!("whole/runs/{name}"));
    let again = |more: &[&str]| {
        let runs = runs.iter().map(String::as_str);
        let args = ["compare"]
            .into_iter()
            .chain(runs)
            .chain(more.iter().copied());
        args.map(str::to_owned).collect::<Vec<String>>()
    };
    let words = |args: &[String]| {
        args.iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let args = again(&["--format", "json", "--out", "again"]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let compared = place.json(&args);
    for part in ["variants", "differences", "settings"] {
        assert_eq!(compared[part], whole[part], "{part}");
    }
    assert!(place.text("again/compare.html").contains("cycle"));

    // A run as `onecycle.torch.fit_one_cycle` writes it: no configuration, and nulls.
    let epoch = |epoch: u64, accuracy: &str| {
        format!(
            "{{\"epoch\": {epoch}, \"steps\": {}, \"train_loss\": 0.9, \"train_accuracy\": null, \
             \"val_loss\": 1.1, \"val_accuracy\": {accuracy}, \"generalisation_gap\": 0.2, \"lr\": 0.1, \
             \"momentum\": null, \"seconds\": 1.5, \"images_per_second\": null}}\n",
            6 * (epoch + 1)
        )
    };
    for (run, accuracy) in [("python", "0.75"), ("blind", "null")] {
        fs::create_dir(place.path(run)).unwrap();
        place.write(
            &format!("{run}/epochs.jsonl"),
            epoch(0, accuracy) + &epoch(1, accuracy),
        );
        place.write(
            &format!("{run}/summary.json"),
            "{\"epochs\": 2, \"steps\": 12}",
        );
    }
    let answer = place.onecycle(&["compare", "whole/runs/cycle-seed1", "python"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(answer.err.contains("was not checked"), "{}", answer.err);
    assert!(
        answer.out.contains("python") && answer.out.contains("one run each, which cannot decide"),
        "{}",
        answer.out
    );

    let seeds = again(&["--seeds", "2"]);
    let refused: [(&str, &str); 7] = [
        (
            "compare whole/runs/cycle-seed1 flat.toml",
            "only folders of finished runs",
        ),
        ("compare whole/runs/cycle-seed1 digits", "digits"),
        (
            "compare whole/runs/cycle-seed1 whole/runs/cycle-seed2",
            "at least two variants",
        ),
        ("compare python ./python", "different names"),
        ("compare python blind", "measured the accuracy"),
        (
            "compare python whole/runs/cycle-seed1 --out whole",
            "another folder",
        ),
        (&words(&seeds), "--seeds"),
    ];
    for (line, part) in refused {
        let answer = place.onecycle(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(answer.code, 1, "{line}: {}", answer.err);
        assert!(answer.err.contains(part), "{line}: {}", answer.err);
    }
}

#[test]
fn an_experiment_of_the_literature_is_reproduced() {
    let place = Place::new();
    let plan = place.json(&["reproduce", "schedule", "--format", "json", "--out", "plan"]);
    assert_eq!(plan[0]["claims"][0]["seen"], "seen");
    assert!(place.path("plan/schedule/figures/schedule.png").exists());

    let small = [
        "reproduce",
        "higher-rate",
        "--model",
        "lenet5",
        "--images",
        "48",
        "--test-images",
        "32",
        "--epochs",
        "2",
        "--seeds",
        "2",
        "--out",
        "small",
        "-q",
    ];
    let stopped = place.onecycle(&[&small[..], &["--max-time", "0.001s"]].concat());
    assert_eq!(stopped.code, 124, "{}", stopped.err);
    let told = place.succeed(&small);
    for part in [
        "higher-rate: ",
        "published: 92.31 %",
        "ours: ",
        "small/higher-rate/index.html",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let json = place.json(&[&small[..], &["--format", "json"]].concat());
    let result = &json[0];
    assert_eq!(
        (result["name"].as_str(), result["scale"].as_str()),
        (Some("higher-rate"), Some("quick"))
    );
    assert_eq!(result["variants"].as_array().unwrap().len(), 2);
    let page = place.text("small/higher-rate/index.html");
    for part in [
        "with a changed budget",
        "lenet5 on fashion-mnist (48 training images",
        "onecycle reproduce higher-rate --scale quick --seeds 2 --model lenet5 --images 48 --test-images 32 --epochs 2",
    ] {
        assert!(page.contains(part), "{part}");
    }
}
