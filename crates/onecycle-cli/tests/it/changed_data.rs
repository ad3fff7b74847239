//! Folders of images that change between the commands, or while several commands run.

use crate::common::{self, Place};

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use image::{Rgb, RgbImage};
use serde_json::Value;

/// Images per class.
const IMAGES: u8 = 40;
/// Options that train a small network on `photos`.
const TRAIN: [&str; 16] = [
    "--data",
    "photos",
    "--model",
    "mlp",
    "--set",
    "data.image_size=12",
    "--batch-size",
    "10",
    "--epochs",
    "3",
    "--lr-max",
    "0.05",
    "--seed",
    "3",
    "--threads",
    "1",
];

/// Writes images of 12 x 12 pixels in three classes: red, green and both. All blue values are 7.
fn write_photos(folder: &Path) {
    let classes = [
        ("green", [40, 200]),
        ("red", [200, 40]),
        ("yellow", [200, 200]),
    ];
    for (class, [red, green]) in classes {
        for index in 0..IMAGES {
            let path = folder.join(format!("{class}/{index:02}.png"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let shade = |x: u32, y: u32| ((x * 7 + y * 3) as u8 + index) % 40;
            RgbImage::from_fn(12, 12, |x, y| {
                Rgb([red + shade(x, y), green + shade(y, x), 7])
            })
            .save(path)
            .unwrap();
        }
    }
}

/// A folder with `photos`, and a network trained on them in `run`.
fn trained() -> Place {
    let place = Place::new();
    write_photos(&place.path("photos"));
    place.succeed(&[&["train"], &TRAIN[..], &["--out", "run"]].concat());
    place
}

/// Adds images to `photos`.
fn add_photos(place: &Place) {
    for index in 0..10 {
        let (from, to) = (
            format!("photos/red/{index:02}.png"),
            format!("photos/red/new{index}.png"),
        );
        fs::copy(place.path(&from), place.path(&to)).unwrap();
    }
}

/// The standard deviation of the blue channel is 0: evaluation and prediction normalise alike.
#[test]
fn a_constant_channel_is_normalised_alike_everywhere() {
    let place = trained();
    let evaluation = place.json(&["evaluate", "run", "--format", "json", "-q"]);
    assert!(
        evaluation["accuracy"].as_f64().unwrap() > 0.9,
        "{evaluation}"
    );
    for class in ["green", "red", "yellow"] {
        let image = format!("photos/{class}/00.png");
        let predictions = place.json(&["predict", "run", &image, "--format", "json"]);
        let prediction = &predictions[0];
        assert_eq!(prediction["class"], *class, "{prediction}");
        assert!(prediction["probability"].as_f64().unwrap() > 0.5);
    }
}

#[test]
fn a_prediction_that_is_not_finite_is_an_error() {
    let place = trained();
    let mut model = place.read("run/model.safetensors");
    // The last bytes are those of a weight tensor.
    let end = model.len();
    model[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    place.write("nan.safetensors", model);
    let answer = place.onecycle(&["predict", "nan.safetensors", "photos/red/00.png"]);
    assert_eq!(
        (answer.code, answer.out.as_str()),
        (1, ""),
        "{}",
        answer.err
    );
    assert!(answer.err.contains("not finite"), "{}", answer.err);
}

#[test]
fn a_report_keeps_the_data_of_its_run() {
    let place = trained();
    let number = |name: &str, key: &str| {
        let value: Value = serde_json::from_slice(&place.read(name)).unwrap();
        value[key].as_u64().unwrap()
    };
    let rows = |text: &str| -> Vec<String> {
        let facts = text.split("<td>").skip(1);
        facts
            .map(|cell| cell.split("</td>").next().unwrap().to_owned())
            .collect()
    };
    let before = place.text("run/report.html");
    add_photos(&place);
    let quick = ["--batches", "2", "--images", "10", "--eigenvalues", "1"];
    let answer = place.onecycle(&[&["diagnose", "run"], &quick[..]].concat());
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(answer.err.contains("have changed"), "{}", answer.err);
    let after = place.text("run/report.html");
    assert_ne!(before, after, "it has a section on the diagnosis");
    let (before, after) = (rows(&before), rows(&after));
    assert!(before.len() > 10);
    for row in &before {
        assert!(after.contains(row), "`{row}` is lost");
    }
    assert_eq!(
        number("run/diagnose.json", "step"),
        number("run/summary.json", "steps")
    );
    let answer = place.onecycle(&["diagnose", "run", "--eigenvalues", "1000000"]);
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("at most 100"), "{}", answer.err);
}

#[test]
fn no_evaluation_on_training_images() {
    let place = trained();
    let evaluate = |arguments: &[&str]| {
        place.json(&[&["evaluate"], arguments, &["--format", "json", "-q"]].concat())
    };
    let own = evaluate(&["run"]);
    assert_eq!((&own["images"], &own["part"]), (&24.into(), &"test".into()));
    // The model file alone knows the seed of the run.
    assert_eq!(
        evaluate(&["run/model.safetensors", "--data", "photos"]),
        own
    );

    write_photos(&place.path("others"));
    fs::remove_file(place.path("others/red/05.png")).unwrap();
    let others = evaluate(&["run", "--data", "others"]);
    assert_eq!(
        (&others["images"], &others["part"]),
        (&119.into(), &"all".into())
    );

    add_photos(&place);
    for arguments in [&["run"][..], &["run/model.safetensors", "--data", "photos"]] {
        let answer = place.onecycle(&[&["evaluate"], arguments].concat());
        assert_eq!((answer.code, answer.out.as_str()), (1, ""));
        for word in ["photos", "have changed", "train again"] {
            assert!(answer.err.contains(word), "{word}: {}", answer.err);
        }
    }
}

#[test]
fn commands_started_at_once_have_a_folder_each() {
    let place = Place::new();
    write_photos(&place.path("photos"));
    let start = |command: &str, options: &[&str]| {
        Command::new(common::binary())
            .arg(command)
            .args(options)
            .arg("-q")
            .current_dir(place.path(""))
            .env("XDG_CACHE_HOME", place.path("cache"))
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let fit: Vec<&str> = TRAIN
        .into_iter()
        .filter(|option| !["--lr-max", "0.05"].contains(option))
        .chain(["--quick"])
        .collect();
    let mut children: Vec<_> = (0..8).map(|_| start("train", &TRAIN)).collect();
    children.extend((0..2).map(|_| start("fit", &fit)));
    let count = children.len();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let runs: BTreeSet<_> = fs::read_dir(place.path("runs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let names: BTreeSet<_> = (1..=count).map(|n| format!("photos-mlp-{n:03}")).collect();
    assert_eq!(runs, names);
    for run in runs {
        assert!(place.path(&format!("runs/{run}/summary.json")).exists());
    }
}

#[test]
fn a_comparison_does_not_mix_data() {
    let place = Place::new();
    write_photos(&place.path("photos"));
    for lr in ["0.01", "0.05"] {
        place.write(
            &format!("lr{lr}.toml"),
            format!(
                "model = \"mlp\"\nepochs = 1\nbatch_size = 10\nthreads = 1\n\
                 [data]\npath = \"photos\"\nimage_size = 12\n\
                 [policy]\nkind = \"one_cycle\"\nlr_max = {lr}\n"
            ),
        );
    }
    let compare = [
        "compare",
        "lr0.01.toml",
        "lr0.05.toml",
        "--out",
        "both",
        "-q",
    ];
    place.succeed(&[&compare[..], &["--seeds", "1"]].concat());
    fs::remove_file(place.path("photos/red/00.png")).unwrap();
    let answer = place.onecycle(&[&compare[..], &["--seeds", "2"]].concat());
    assert_eq!(answer.code, 1, "{}", answer.out);
    for word in ["have changed", "both/runs", "SHA-256", "--out"] {
        assert!(answer.err.contains(word), "{word}: {}", answer.err);
    }
    let runs = fs::read_dir(place.path("both/runs")).unwrap().count();
    assert_eq!(runs, 2, "nothing more is trained");
}
