//! `onecycle train`, `resume`, `predict` and `evaluate`.

use crate::common;

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use common::{Place, TINY, binary};
use image::{GrayImage, Rgb, RgbImage};
use onecycle_train::tta::Tta;
use onecycle_vision::Source;
use serde_json::Value;

fn tiny(more: &[&'static str]) -> Vec<&'static str> {
    [&TINY[..], &["--lr-max", "0.05"], more].concat()
}

#[test]
fn a_run_in_a_pipe() {
    let place = Place::new();
    let answer = place.onecycle(&tiny(&["--epochs", "2", "--out", "runs/a"]));
    assert_eq!(answer.code, 0, "{}", answer.err);
    let lines: Vec<&str> = answer.out.lines().collect();
    assert!(
        lines[0].contains("train loss") && lines[0].contains("val acc"),
        "{}",
        answer.out
    );
    assert!(lines[1].trim_start().starts_with("1 ") && lines[2].trim_start().starts_with("2 "));
    assert!(lines[3].starts_with("test accuracy"), "{}", answer.out);
    assert!(lines[4].contains("runs/a/model.safetensors"));
    // Progress goes to standard error, without control sequences for a terminal.
    assert!(
        answer
            .err
            .contains("lenet5 on fashion-mnist (256 images of 1x28x28), 8 steps")
    );
    assert!(!answer.err.contains('\u{1b}') && !answer.out.contains('\u{1b}'));
    for file in [
        "run.toml",
        "steps.jsonl",
        "epochs.jsonl",
        "model.safetensors",
        "summary.json",
        "report.html",
    ] {
        assert!(place.path("runs/a").join(file).exists(), "{file}");
    }
    // The run file can be used as a configuration and gives the same run again.
    place.succeed(&[
        "train",
        "--config",
        "runs/a/run.toml",
        "--out",
        "runs/b",
        "-q",
    ]);
    assert!(place.read("runs/a/model.safetensors") == place.read("runs/b/model.safetensors"));
}

#[test]
fn json_output_quiet_and_the_default_folder() {
    let place = Place::new();
    let args = tiny(&["--steps", "3", "--format", "json", "--quiet"]);
    let answer = place.onecycle(&args);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
    let summary: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!(
        (&summary["model"], &summary["steps"]),
        (&"lenet5".into(), &3.into())
    );
    let name = "runs/fashion-mnist-lenet5-001/summary.json";
    let written: Value = serde_json::from_str(&place.text(name)).unwrap();
    assert_eq!(summary, written);
    place.succeed(&args);
    assert!(place.path("runs/fashion-mnist-lenet5-002").exists());
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let place = Place::new();
    for (threads, out) in [("1", "one"), ("2", "two")] {
        let mut args = vec![
            "train", "--model", "convnet", "--limit", "256", "--steps", "4",
        ];
        args.extend(["-q", "--threads", threads, "--out", out]);
        place.succeed(&args);
    }
    assert!(place.read("one/model.safetensors") == place.read("two/model.safetensors"));
    assert_eq!(place.read("one/steps.jsonl"), place.read("two/steps.jsonl"));
}

#[test]
fn resuming_a_finished_run_prints_its_result() {
    let place = Place::new();
    place.succeed(&tiny(&["--steps", "2", "--out", "run", "-q"]));
    let model = place.read("run/model.safetensors");
    let summary: Value = serde_json::from_str(&place.text("run/summary.json")).unwrap();
    for command in [&["train", "--resume", "run"][..], &["resume", "run"]] {
        let said = place.succeed(command);
        assert!(
            said.contains("finished") && said.contains("test accuracy"),
            "{said}"
        );
        let json = place.json(&[command, &["--format", "json"]].concat());
        assert_eq!(json, summary);
    }
    assert!(place.read("run/model.safetensors") == model);
}

/// After Ctrl-C: a checkpoint, exit code 130, and the same bits at the end.
#[cfg(unix)]
#[test]
fn an_interrupted_run_is_resumed_to_the_same_bits() {
    let place = Place::new();
    let args = |out| {
        let mut args = vec![
            "train", "--model", "lenet5", "--limit", "1000", "--steps", "300",
        ];
        args.extend(["--batch-size", "16", "--lr-max", "0.02", "--out", out]);
        args
    };
    place.succeed(&args("whole"));

    let child = Command::new(binary())
        .args(args("stopped"))
        .current_dir(place.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let steps = place.path("stopped/steps.jsonl");
    let made = || {
        fs::read_to_string(&steps)
            .unwrap_or_default()
            .lines()
            .count()
    };
    let since = Instant::now();
    while made() < 5 {
        assert!(
            since.elapsed() < Duration::from_secs(120),
            "no steps were made in time"
        );
        thread::sleep(Duration::from_millis(2));
    }
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{err}");
    assert!(
        err.contains("continue with: onecycle train --resume stopped"),
        "{err}"
    );
    let stopped_at = made();
    assert!((5..300).contains(&stopped_at), "{stopped_at}");
    assert!(!place.path("stopped/summary.json").exists());

    let answer = place.onecycle(&["train", "--resume", "stopped"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(
        answer.err.contains(&format!("at step {stopped_at} of 300")),
        "{}",
        answer.err
    );
    assert_eq!(
        place.read("stopped/steps.jsonl"),
        place.read("whole/steps.jsonl")
    );
    assert!(place.read("stopped/model.safetensors") == place.read("whole/model.safetensors"));
}

#[cfg(unix)]
#[test]
fn a_run_survives_a_closed_pipe() {
    let place = Place::new();
    let mut child = Command::new(binary())
        .args(tiny(&["--epochs", "3", "--out", "run"]))
        .current_dir(place.path(""))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && !err.contains("panicked"),
        "{err}"
    );
    assert!(place.path("run/summary.json").exists());
}

/// Image files of the test set are classified like the same images in memory.
#[test]
fn predict_on_images_of_the_test_set() {
    const IMAGES: usize = 50;
    let place = Place::new();
    let args = [
        "--set",
        "label_smoothing=0.05",
        "--epochs",
        "20",
        "--out",
        "run",
        "-q",
    ];
    place.succeed(&tiny(&args));
    let set = Source::named("fashion-mnist").load().unwrap();
    let mut names = Vec::new();
    for index in 0..IMAGES {
        let pixels = set.test.image(index).to_vec();
        let name = format!("{index:02}.png");
        let picture = GrayImage::from_raw(28, 28, pixels).unwrap();
        picture.save(place.path(&name)).unwrap();
        names.push(name);
    }
    let images: Vec<&str> = names.iter().map(String::as_str).collect();

    let classes = ["--format", "json", "--top", "10"];
    let answers = place.json(&[&["predict", "run"], &images[..], &classes].concat());
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), IMAGES);

    let device = onecycle_train::device::open(onecycle_train::device::Device::Cpu).unwrap();
    let model = place.path("run/model.safetensors");
    let reloaded = onecycle_train::predict::Classifier::load(&model, &device).unwrap();
    let (mut by_command, mut by_library) = (0, 0);
    for (index, answer) in answers.iter().enumerate() {
        assert_eq!(answer["image"], names[index]);
        let expected = reloaded.predict(set.test.image(index), Tta::Image).unwrap();
        assert_eq!(answer["class"], expected.class, "{index}");
        let probability = answer["probability"].as_f64().unwrap();
        assert!((probability - expected.probability).abs() < 1e-6, "{index}");
        let all = answer["all"].as_array().unwrap();
        let sum: f64 = all.iter().map(|pair| pair[1].as_f64().unwrap()).sum();
        assert!(all.len() == 10 && (sum - 1.0).abs() < 1e-5);
        let truth = &set.classes[set.test.label(index) as usize];
        by_command += usize::from(answer["class"] == truth.as_str());
        by_library += usize::from(expected.class == *truth);
    }
    assert_eq!(by_command, by_library);
    assert!(
        by_command > IMAGES / 5,
        "{by_command} of {IMAGES}: nothing was learned"
    );

    // With --flip, an image and its mirror image have the same prediction.
    let picture = image::open(place.path("00.png")).unwrap();
    picture.fliph().save(place.path("mirrored.png")).unwrap();
    let ask = |flip: &[&str]| {
        let args = ["predict", "run", "00.png", "mirrored.png"];
        let answers = place.json(&[&args[..], &classes, flip].concat());
        [0, 1].map(|i| answers[i]["all"].clone())
    };
    let ([one, other], [both, both_mirrored]) = (ask(&[]), ask(&["--flip"]));
    assert_ne!(one, other);
    assert_eq!(both, both_mirrored);
    let of = |answers: &Value, class: &Value| {
        let pairs = answers.as_array().unwrap().iter();
        let found = pairs.into_iter().find(|pair| pair[0] == *class).unwrap();
        found[1].as_f64().unwrap()
    };
    for pair in both.as_array().unwrap() {
        let mean = (of(&one, &pair[0]) + of(&other, &pair[0])) / 2.0;
        assert!((pair[1].as_f64().unwrap() - mean).abs() < 1e-6, "{pair}");
    }

    let text = place.succeed(&[
        "predict",
        "run/model.safetensors",
        "00.png",
        "01.png",
        "--top",
        "2",
    ]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2);
    let class = answers[0]["class"].as_str().unwrap();
    assert!(lines[0].starts_with(&format!("00.png: {class} ")), "{text}");
    assert_eq!(lines[0].matches('%').count(), 2);
}

/// `evaluate` measures the same as the run at its end, also per class and with mirror images.
#[test]
fn evaluate_on_the_test_set() {
    let place = Place::new();
    let limit = ["--set", "data.test_limit=500", "--out", "run", "-q"];
    place.succeed(&[&tiny(&["--epochs", "8"])[..], &limit].concat());
    let summary: Value = serde_json::from_str(&place.text("run/summary.json")).unwrap();
    let found = place.json(&["evaluate", "run", "--format", "json", "--threads", "1"]);
    assert_eq!(found["accuracy"], summary["test_accuracy"]);
    let loss = |value: &Value| value.as_f64().unwrap();
    assert!((loss(&found["loss"]) - loss(&summary["test_loss"])).abs() < 1e-9);
    assert_eq!(
        (&found["images"], &found["tta"]),
        (&500.into(), &"image".into())
    );
    let correct: f64 = found["classes"]
        .as_array()
        .unwrap()
        .iter()
        .map(correct)
        .sum();
    assert_eq!(correct.round(), 500.0 * found["accuracy"].as_f64().unwrap());

    let flipped = place.json(&["evaluate", "run", "--flip", "--format", "json"]);
    assert_eq!(flipped["tta"], "mirror");
    assert_ne!(flipped["loss"], found["loss"]);
    let six = [
        "evaluate",
        "run",
        "--tta",
        "mirror_and_shift",
        "--format",
        "json",
    ];
    let six = place.json(&six);
    assert_eq!(six["tta"], "mirror_and_shift");
    assert_ne!(six["loss"], flipped["loss"]);

    // A model file without a run: all test images of the named data set, without the run's limit.
    let alone = [
        "evaluate",
        "run/model.safetensors",
        "--data",
        "fashion-mnist",
    ];
    let text = place.succeed(&alone);
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].contains("of 10000 test images of fashion-mnist"),
        "{text}"
    );
    assert!(lines[2].starts_with("class") && lines.len() == 13, "{text}");
    assert!(
        lines[3].starts_with("T-shirt/top ") && lines[3].contains("1000"),
        "{text}"
    );
}

/// `evaluate` and `predict` average over the views by which the run's own accuracy was measured, unless
/// an option says otherwise.
#[test]
fn the_views_of_a_run() {
    let place = Place::new();
    let more = [
        "--set",
        "data.test_limit=200",
        "--set",
        "tta=mirror",
        "--out",
        "run",
        "-q",
    ];
    place.succeed(&[&tiny(&["--epochs", "2"])[..], &more].concat());
    let summary: Value = serde_json::from_str(&place.text("run/summary.json")).unwrap();
    let evaluate =
        |more: &[&str]| place.json(&[&["evaluate", "run", "--format", "json"], more].concat());
    let found = evaluate(&[]);
    assert_eq!(found["tta"], "mirror");
    assert_eq!(found["accuracy"], summary["test_accuracy"]);
    let alone = evaluate(&["--tta", "image"]);
    assert_eq!(alone["tta"], "image");
    assert_ne!(alone["loss"], found["loss"]);

    let set = Source::named("fashion-mnist").load().unwrap();
    let picture = GrayImage::from_raw(28, 28, set.test.image(0).to_vec()).unwrap();
    picture.save(place.path("0.png")).unwrap();
    let predict = |model: &str, more: &[&str]| {
        place.json(&[&["predict", model, "0.png", "--format", "json"], more].concat())
    };
    assert_eq!(predict("run", &[]), predict("run", &["--flip"]));
    let image = predict("run", &["--tta", "image"]);
    assert_ne!(predict("run", &[]), image);
    assert_eq!(predict("run/model.safetensors", &[]), image);
}

/// Number of correctly classified images of a class.
fn correct(class: &Value) -> f64 {
    class["images"].as_f64().unwrap() * class["accuracy"].as_f64().unwrap()
}

/// An image folder with a relative path: training, resuming from another folder, prediction.
#[test]
fn a_folder_of_own_images() {
    let place = Place::new();
    for (part, count) in [("train", 24), ("val", 8)] {
        for index in 0..count {
            for (class, colour) in [("red", [200, 30, 20]), ("blue", [20, 40, 210])] {
                let name = format!("pets/{part}/{class}/{index}.png");
                let path = place.write(&name, "");
                disc(colour, index).save(path).unwrap();
            }
        }
    }
    let mut args = vec![
        "train",
        "--model",
        "convnet",
        "--data",
        "pets",
        "--batch-size",
        "8",
    ];
    args.extend([
        "--set",
        "data.image_size=16",
        "--epochs",
        "6",
        "--lr-max",
        "0.05",
    ]);
    args.extend(["--out", "run", "--format", "json", "-q"]);
    let summary = place.json(&args);
    assert_eq!(summary["data"], "pets");
    assert_eq!(summary["test_accuracy"], 1.0, "{summary}");

    // The run finds its images when it is resumed from another folder.
    fs::create_dir(place.path("elsewhere")).unwrap();
    fs::remove_file(place.path("run/summary.json")).unwrap();
    let model = place.read("run/model.safetensors");
    let again = place.onecycle_in("elsewhere", &["train", "--resume", "../run"]);
    assert_eq!(again.code, 0, "{}", again.err);
    assert!(place.read("run/model.safetensors") == model);

    // An image whose size and shape differ from the training images.
    let wide = image::imageops::resize(
        &disc([20, 40, 210], 3),
        90,
        60,
        image::imageops::FilterType::Nearest,
    );
    wide.save(place.path("new.png")).unwrap();
    let answers = place.json(&["predict", "run", "new.png", "--format", "json"]);
    assert_eq!(answers[0]["class"], "blue", "{answers}");

    // An image was added since the run started: the data have changed.
    disc([200, 30, 20], 5)
        .save(place.path("pets/train/red/more.png"))
        .unwrap();
    fs::remove_file(place.path("run/summary.json")).unwrap();
    let refused = place.onecycle(&["resume", "run"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("have changed"), "{}", refused.err);
}

/// A disc on grey; its size and position depend on the number.
fn disc(colour: [u8; 3], number: u32) -> RgbImage {
    let (x, y, radius) = (10 + number % 7, 9 + number % 5, 5 + number % 3);
    RgbImage::from_fn(24, 24, |i, j| {
        let inside = i.abs_diff(x).pow(2) + j.abs_diff(y).pow(2) <= radius.pow(2);
        Rgb(if inside { colour } else { [128, 128, 128] })
    })
}

/// Flags and `--set` reach the configuration that run.toml records.
#[test]
fn flags_and_settings_reach_the_run() {
    let place = Place::new();
    place.write(
        "run.toml",
        "seed = 3\nsteps = 2\nmodel = \"lenet5\"\n[data]\nlimit = 128\n[optimizer]\nkind = \"adamw\"\n\
         [policy]\nkind = \"torch_multi_step\"\nlr = 0.001\nmilestones = [1]\ngamma = 0.5\n",
    );
    place.succeed(&[
        "train",
        "--config",
        "run.toml",
        "--set",
        "policy.gamma=0.25",
        "--weight-decay",
        "0.02",
        "--batch-size",
        "32",
        "--seed",
        "5",
        "--out",
        "run",
        "-q",
    ]);
    let written: toml::Table = place.text("run/run.toml").parse().unwrap();
    let config = written["config"].as_table().unwrap();
    let of = |table: &str, key: &str| config[table][key].clone();
    assert_eq!(config["seed"].as_integer(), Some(5));
    assert_eq!(config["batch_size"].as_integer(), Some(32));
    assert_eq!(of("policy", "gamma").as_float(), Some(0.25));
    assert_eq!(of("optimizer", "weight_decay").as_float(), Some(0.02));
    let lines: Vec<BTreeMap<String, Value>> = place
        .text("run/steps.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let lr: Vec<&Value> = lines.iter().map(|line| &line["lr"]).collect();
    assert_eq!(lr, [&Value::from(0.001), &Value::from(0.00025)]);
    assert!(lines.iter().all(|line| line["batch_size"] == 32));
    // AdamW's beta1, which this policy does not set.
    assert!(lines.iter().all(|line| line["momentum"] == 0.9));
}
