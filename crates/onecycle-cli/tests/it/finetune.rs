//! Fine-tuning of pretrained weights: the last layer on features of the frozen network, then all
//! layers.

use crate::common::{Place, Refusals};
use crate::trial::{command, left_by, said};

use std::{collections::BTreeMap, fs, path::Path};

use image::{Rgb, RgbImage};
use onecycle_train::tensors::from_safetensors;
use serde_json::Value;

/// Images of the pretrained network, and others.
const OLD: [&str; 2] = ["dark", "light"];
const NEW: [&str; 3] = ["blue", "green", "red"];

/// `fit` on 36 images of three classes, in 9 updates of the last layer and 10 of all layers.
#[rustfmt::skip]
const FIT: [&str; 19] = [
    "fit", "--data", "photos", "--pretrained", "old", "--num-steps", "20", "--batch-size", "12", "--steps", "10",
    "--set", "finetune.lowest_rate=0.5", "--set", "finetune.head_epochs=3", "--set", "finetune.views=2", "--threads", "1",
];

/// A picture of 16 x 16 pixels whose colour is that of its class, different for each `index`.
fn picture(class: &str, index: usize, part: &str) -> RgbImage {
    let added = if part == "val" { 3 } else { 0 };
    let base = match class {
        "dark" => [40, 40, 40],
        "light" => [200, 200, 200],
        "blue" => [40, 40, 180],
        "green" => [40, 180, 40],
        _ => [180, 40, 40],
    };
    RgbImage::from_fn(16, 16, |x, y| {
        let shade = (x as usize * 7 + y as usize * 3 + index * 11) % 50;
        Rgb(base.map(|value| value + added + shade as u8))
    })
}

fn write(folder: &Path, classes: &[&str], count: usize) {
    for part in ["train", "val"] {
        for class in classes {
            let folder = folder.join(part).join(class);
            fs::create_dir_all(&folder).unwrap();
            let count = if part == "train" { count } else { count / 3 };
            for index in 0..count {
                let path = folder.join(format!("{index}.png"));
                picture(class, index, part).save(path).unwrap();
            }
        }
    }
}

/// A place with the run `old` of a small network, and the folder `photos` of other classes.
fn place() -> Place {
    let place = Place::new();
    write(&place.path("old-photos"), &OLD, 12);
    write(&place.path("photos"), &NEW, 12);
    #[rustfmt::skip]
    place.succeed(&[
        "train", "--data", "old-photos", "--model", "resnet8", "--set", "data.image_size=16", "--set",
        "data.resize=squish", "--steps", "6", "--batch-size", "8", "--threads", "1", "-q", "--out", "old",
    ]);
    place
}

fn fit(out: &str) -> Vec<&str> {
    [&FIT[..], &["--out", out]].concat()
}

/// Tensors of a model file with their values.
fn tensors(place: &Place, model: &str) -> BTreeMap<String, Vec<f32>> {
    let (tensors, _) = from_safetensors(&place.read(model)).unwrap();
    let each = tensors.into_iter();
    each.map(|(name, data)| (name, data.try_into_vec::<f32>().unwrap()))
        .collect()
}

fn card(place: &Place, model: &str) -> Value {
    let (_, metadata) = from_safetensors(&place.read(model)).unwrap();
    serde_json::from_str(&metadata["onecycle"]).unwrap()
}

/// Names of the tensors that differ, without the last layer.
fn differ(one: &BTreeMap<String, Vec<f32>>, other: &BTreeMap<String, Vec<f32>>) -> Vec<String> {
    let body = one.iter().filter(|(name, _)| !name.starts_with("fc."));
    let differ = body.filter(|(name, values)| other[*name] != **values);
    differ.map(|(name, _)| name.clone()).collect()
}

#[test]
fn the_last_layer_is_trained_first_then_all_layers() {
    let place = place();
    place.succeed(&[&fit("run")[..], &["-q"]].concat());
    let [old, head, all] = [
        "old/model.safetensors",
        "run/head/model.safetensors",
        "run/model.safetensors",
    ]
    .map(|model| tensors(&place, model));
    assert_eq!(differ(&old, &head), [""; 0]);
    assert!(old["fc.weight"].len() < head["fc.weight"].len());
    let moved = differ(&old, &all);
    assert!(
        moved.contains(&"stage1.0.conv1.weight".to_owned()),
        "{moved:?}"
    );
    // Batch norm keeps its statistics.
    assert!(
        moved.iter().all(|name| !name.contains("running_")),
        "{moved:?}"
    );

    // The images are those of the pretrained network.
    let [was, is] = ["old/model.safetensors", "run/model.safetensors"].map(|of| card(&place, of));
    for key in ["shape", "statistics", "resize", "model"] {
        assert_eq!(was[key], is[key], "{key}");
    }
    assert_eq!(is["classes"].as_array().unwrap().len(), 3);

    // Records, range tests and reports of both runs.
    for (run, steps) in [("run/head", 9), ("run", 10)] {
        assert_eq!(
            place.text(&format!("{run}/steps.jsonl")).lines().count(),
            steps
        );
        for file in ["range_test.json", "summary.json", "report.html"] {
            assert!(place.path(run).join(file).exists(), "{run}/{file}");
        }
    }
    let head: toml::Table = place.text("run/head/run.toml").parse().unwrap();
    assert_eq!(head["config"]["finetune"]["freeze"].as_bool(), Some(true));
    let report = place.text("run/report.html");
    for part in ["stage1", "rates_by_depth", "head/report.html"] {
        assert!(report.contains(part), "{part}");
    }
    let summary: Value = serde_json::from_str(&place.text("run/summary.json")).unwrap();
    assert!(summary["head"]["test_accuracy"].as_f64().is_some());
}

#[test]
fn other_commands_accept_the_run() {
    let place = place();
    place.succeed(&[&fit("run")[..], &["-q"]].concat());
    let measured = place.json(&["evaluate", "run", "--format", "json"]);
    let summary: Value = serde_json::from_str(&place.text("run/summary.json")).unwrap();
    assert_eq!(measured["accuracy"], summary["test_accuracy"], "{measured}");
    let predicted = place.succeed(&["predict", "run", "photos/val/red/0.png"]);
    assert!(
        NEW.iter().any(|class| predicted.contains(class)),
        "{predicted}"
    );
    place.succeed(&["export", "run", "model.onnx"]);
    assert!(place.path("model.onnx").exists());
    #[rustfmt::skip]
    place.succeed(&[
        "diagnose", "run", "--batches", "2", "--images", "8", "--eigenvalues", "0", "-q",
    ]);
    // The configuration of the run, and the same without frozen statistics.
    place.write("frozen.toml", place.text("run/run.toml"));
    let other = place
        .text("run/run.toml")
        .replace("batch_norm = \"frozen\"", "batch_norm = \"train\"");
    assert_ne!(other, place.text("run/run.toml"));
    place.write("train.toml", other);
    #[rustfmt::skip]
    place.succeed(&[
        "compare", "frozen.toml", "train.toml", "--seeds", "1", "--out", "compared", "-q",
    ]);
    let [frozen, train] = ["frozen", "train"].map(|label| {
        let model = format!("compared/runs/{label}-seed1/model.safetensors");
        tensors(&place, &model)
    });
    assert_eq!(
        frozen["bn1.running_mean"],
        tensors(&place, "old/model.safetensors")["bn1.running_mean"]
    );
    assert_ne!(frozen["bn1.running_mean"], train["bn1.running_mean"]);
}

/// The contents of a run without times and without its name.
fn contents(place: &Place, run: &str) -> BTreeMap<String, Vec<u8>> {
    let files = left_by(&place.path(run)).into_iter();
    let without_name = |(path, bytes): (std::path::PathBuf, Vec<u8>)| {
        let text = String::from_utf8(bytes.clone());
        let name = path.to_str().unwrap().to_owned();
        match text {
            Ok(text) if name.ends_with(".toml") || name.ends_with(".html") => {
                (name, text.replace(run, "RUN").into_bytes())
            }
            _ => (name, bytes),
        }
    };
    files.map(without_name).collect()
}

#[test]
fn a_killed_command_ends_with_the_same_bits() {
    let place = place();
    place.succeed(&[&fit("whole-run")[..], &["-q"]].concat());
    let whole = contents(&place, "whole-run");
    assert!(whole.len() > 60, "{}", whole.len());
    for (number, point) in [
        // Features of the second view; the first checkpoint and the end of the first run.
        "kill:half:train-view1:1",
        "kill:renamed:range_test.json:1",
        "kill:half:.ckpt:2",
        "kill:synced:summary.json:1",
        // The first checkpoint, a record and the model of the second run.
        "kill:half:.ckpt:5",
        "kill:written:steps.jsonl:12",
        "kill:half:model.safetensors:2",
    ]
    .iter()
    .enumerate()
    {
        let out = format!("killed-{number}");
        let args = fit(&out);
        let output = command(&place, &args)
            .env("ONECYCLE_FAIL_POINT", point)
            .output()
            .unwrap();
        assert!(output.status.code().is_none(), "{point}: it was not killed");
        let output = command(&place, &args).output().unwrap();
        assert!(output.status.success(), "{point}: {}", said(&output));
        let killed = contents(&place, &out);
        let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&whole), names(&killed), "{point}");
        for (name, bytes) in &whole {
            assert!(*bytes == killed[name], "{point}: {name} differs");
        }
    }
}

#[test]
fn features_are_computed_once() {
    let place = place();
    let args = fit("run");
    let output = command(&place, &args)
        .env("ONECYCLE_FAIL_POINT", "kill:half:.ckpt:1")
        .output()
        .unwrap();
    assert!(output.status.code().is_none(), "{}", said(&output));
    let folder = fs::read_dir(place.path("run/head/features")).unwrap();
    let folders: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(folders.len(), 1);
    let view = folders[0].join("train-view1-0000000.safetensors");
    let times = || fs::metadata(&view).unwrap().modified().unwrap();
    let (before, written) = (fs::read(&view).unwrap(), times());
    place.succeed(&[&args[..], &["-q"]].concat());
    assert_eq!(times(), written);
    // Damaged features are computed again.
    let mut damaged = before.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let [one, other] = ["run", "other"].map(|run| place.path(run));
    fs::create_dir_all(other.join("head")).unwrap();
    let status = std::process::Command::new("cp")
        .arg("-r")
        .args([one.join("head/features"), other.join("head")])
        .status();
    assert!(status.unwrap().success());
    let view = other.join(view.strip_prefix(&one).unwrap());
    fs::write(&view, &damaged).unwrap();
    place.succeed(&[&fit("other")[..], &["-q"]].concat());
    assert_eq!(fs::read(&view).unwrap(), before);
    assert_eq!(
        tensors(&place, "run/model.safetensors"),
        tensors(&place, "other/model.safetensors")
    );
}

#[test]
fn freeze_stops_after_the_last_layer() {
    let place = place();
    let args = [&fit("run")[..], &["--freeze", "--format", "json"]].concat();
    let summary = place.json(&args);
    assert!(!place.path("run/head").exists());
    assert_eq!(summary["steps"], 9);
    assert_eq!(
        differ(
            &tensors(&place, "old/model.safetensors"),
            &tensors(&place, "run/model.safetensors")
        ),
        [""; 0]
    );
    // The features give the answers of the whole network.
    let measured = place.json(&["evaluate", "run", "--format", "json"]);
    assert_eq!(measured["accuracy"], summary["test_accuracy"], "{measured}");
    // Without a range test, the last layer alone or all layers are trained at a given rate.
    #[rustfmt::skip]
    place.succeed(&[
        "train", "--data", "photos", "--pretrained", "old", "--steps", "3", "--lr-max", "0.5", "--out", "all", "-q",
    ]);
    let moved = differ(
        &tensors(&place, "old/model.safetensors"),
        &tensors(&place, "all/model.safetensors"),
    );
    for name in ["conv1.weight", "bn1.bias", "stage3.0.conv2.weight"] {
        assert!(moved.iter().any(|moved| moved == name), "{name}: {moved:?}");
    }
    assert!(
        moved.iter().all(|name| !name.contains("running_")),
        "{moved:?}"
    );
    #[rustfmt::skip]
    place.succeed(&[
        "train", "--data", "photos", "--pretrained", "old", "--freeze", "--steps", "4", "--lr-max", "0.01", "--out",
        "trained", "-q",
    ]);
    assert_eq!(
        differ(
            &tensors(&place, "old/model.safetensors"),
            &tensors(&place, "trained/model.safetensors")
        ),
        [""; 0]
    );
}

#[test]
fn wrong_input_is_refused() {
    let place = place();
    place.write("weights.pth", [0x80, 2]);
    let mut refusals = Refusals::default();
    #[rustfmt::skip]
    let cases: [(&[&str], &[&str]); 8] = [
        // The default data set is greyscale.
        (&["--pretrained", "old"], &["init", "3x16x16"]),
        (&["--data", "photos", "--pretrained", "old", "--model", "resnet20"], &["`resnet8`"]),
        (&["--data", "photos", "--pretrained", "nowhere"], &["nowhere"]),
        (&["--data", "photos", "--pretrained", "weights.pth"], &["weights.pth", "safetensors"]),
        (&["--data", "photos", "--set", "finetune.freeze=true"], &["finetune", "--pretrained"]),
        (&["--data", "photos", "--pretrained", "old", "--set", "finetune.views=0"], &["finetune.views = 0"]),
        (&["--data", "photos", "--pretrained", "old", "--set", "finetune.lowest_rate=2"], &["finetune.lowest_rate"]),
        (&["--data", "photos", "--pretrained", "old", "--freeze", "--set", "augment.mixup=0.2"], &["augment.mixup"]),
    ];
    for (args, names) in cases {
        let args = [&["fit", "--out", "wrong", "-q"], args].concat();
        refusals.expect(&place.onecycle(&args), names, &format!("{args:?}"));
        refusals.expect_none(&place.path("wrong"), &format!("{args:?}"));
    }
    // Another configuration than that of the unfinished run.
    let args = fit("run");
    let output = command(&place, &args)
        .env("ONECYCLE_FAIL_POINT", "kill:half:.ckpt:5")
        .output()
        .unwrap();
    assert!(output.status.code().is_none(), "{}", said(&output));
    let other = [&args[..], &["--set", "finetune.views=3", "-q"]].concat();
    refusals.expect(&place.onecycle(&other), &["finetune.views was 2"], "views");
    refusals.end(9);
}
