//! Runs with every augmentation at once.

use std::fs;

use image::{Rgb, RgbImage};
use serde_json::Value;

use crate::common::Place;

/// Every key of `[augment]`, and images that grow during the run.
const EVERYTHING: &str = r#"
model = "convnet"
batch_size = 8
epochs = 3
policy = { kind = "one_cycle", lr_max = 0.02, image_size = [["0%", 8], ["50%", 16]] }

[data]
path = "photos"
image_size = 16

[augment]
pad = 2
border = "reflect"
flip = "alternating"
cutout = 4
erase_probability = 0.5
resized_crop_area = [0.5, 1.0]
resized_crop_aspect = [0.8, 1.25]
rotate = 15
rotate_fill = "edge"
brightness = 0.3
contrast = 0.3
saturation = 0.3
hue = 0.1
trivial_augment = true
mixup = 0.2
cutmix = 1.0
"#;

/// Pictures of three classes with a bright stripe in another place.
fn write_photos(place: &Place) {
    for (class, name) in ["first", "second", "third"].iter().enumerate() {
        let folder = place.path("photos").join(name);
        fs::create_dir_all(&folder).unwrap();
        for index in 0..12_u32 {
            let picture = RgbImage::from_fn(20, 18, |x, y| {
                let bright = y as usize / 6 == class;
                let noise = (x * 7 + y * 13 + index * 29) % 40;
                Rgb([if bright { 250 } else { 20 + noise as u8 }, noise as u8, 90])
            });
            picture.save(folder.join(format!("{index}.png"))).unwrap();
        }
    }
}

#[test]
fn every_augmentation_at_once_gives_the_same_bits_for_any_number_of_threads() {
    let place = Place::new();
    write_photos(&place);
    place.write("all.toml", EVERYTHING);
    for threads in ["1", "2"] {
        let out = format!("run-{threads}");
        place.succeed(&[
            "train",
            "--config",
            "all.toml",
            "--threads",
            threads,
            "--out",
            &out,
            "-q",
        ]);
    }
    for name in [
        "model.safetensors",
        "steps.jsonl",
        "figures/training-images.png",
    ] {
        let [one, two] = ["run-1", "run-2"].map(|run| place.read(&format!("{run}/{name}")));
        assert!(one == two, "{name} differs");
    }
    // Its own record repeats the run.
    place.succeed(&[
        "train",
        "--config",
        "run-1/run.toml",
        "--out",
        "again",
        "-q",
    ]);
    assert!(place.read("again/model.safetensors") == place.read("run-1/model.safetensors"));
}

#[test]
fn the_report_shows_training_images_as_the_network_saw_them() {
    let place = Place::new();
    write_photos(&place);
    place.write("all.toml", EVERYTHING);
    place.succeed(&[
        "train",
        "--config",
        "all.toml",
        "--threads",
        "1",
        "--out",
        "run",
        "-q",
    ]);
    let described: Value =
        serde_json::from_slice(&place.read("run/figures/training-images.json")).unwrap();
    let images = described["images"].as_array().unwrap();
    // The first batch has 8 images, which are still small and mixed.
    assert_eq!(images.len(), 8);
    for image in images {
        let share = image["share"].as_f64().unwrap();
        assert!(
            (0.0..=1.0).contains(&share) && image["mixed_with"].is_string(),
            "{image}"
        );
    }
    let picture = image::open(place.path("run/figures/training-images.png")).unwrap();
    assert_eq!((picture.width(), picture.height()), (6 * 8, 2 * 8));
    let report = place.text("run/report.html");
    let (_, section) = report
        .split_once("<h2 id=\"training-images\">Training images</h2>")
        .unwrap();
    let (section, _) = section.split_once("<h2").unwrap();
    assert_eq!(section.matches("<i role=\"img\"").count(), 8);
    assert_eq!(section.matches("data:image/png;base64,iVBOR").count(), 1);

    // Without augmentation they are the images themselves.
    let plain = [
        "train",
        "--data",
        "photos",
        "--model",
        "convnet",
        "--steps",
        "2",
        "--batch-size",
        "30",
        "--set",
        "data.image_size=[18,20]",
        "--set",
        "augment.flip=false",
        "--out",
        "plain",
        "-q",
    ];
    place.succeed(&plain);
    let run = place.text("plain/run.toml");
    assert!(
        run.contains("flip = false") && !run.contains("mixup") && !run.contains("image_size = 8")
    );
    let described: Value =
        serde_json::from_slice(&place.read("plain/figures/training-images.json")).unwrap();
    let picture = image::open(place.path("plain/figures/training-images.png"))
        .unwrap()
        .into_rgb8();
    let images = described["images"].as_array().unwrap();
    assert_eq!(images.len(), 24);
    for (index, image) in images.iter().enumerate() {
        let (left, top) = (index as u32 % 6 * 20, index as u32 / 6 * 18);
        let class = match image["class"].as_str().unwrap() {
            "first" => 0,
            "second" => 1,
            _ => 2,
        };
        for stripe in 0..3 {
            let bright = picture.get_pixel(left + 5, top + stripe * 6 + 3)[0] == 250;
            assert_eq!(bright, stripe == class, "image {index}");
        }
    }
}

#[test]
fn records_plan_and_range_test_have_the_sizes_of_growing_images() {
    let place = Place::new();
    write_photos(&place);
    place.write("all.toml", EVERYTHING);
    let config = ["--config", "all.toml", "--threads", "1"];
    place.succeed(&[&["train"], &config[..], &["--out", "run", "-q"]].concat());
    let steps = place.text("run/steps.jsonl");
    let steps = steps
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let recorded: Vec<Value> = steps.map(|step| step["image_size"].clone()).collect();
    assert_eq!(
        (&recorded[0], recorded.last().unwrap()),
        (&8.into(), &16.into())
    );

    // The folder holds out images: the number of images of the run.
    let images = place.text("run/data.json");
    let images: Value = serde_json::from_str(&images).unwrap();
    let parts = images["parts"]["train"].as_object().unwrap();
    let images: u64 = parts.values().filter_map(Value::as_u64).sum();
    let images = images.to_string();
    let plan = [
        &["plan"],
        &config[..],
        &["--images", &images, "--format", "json"],
    ]
    .concat();
    let plan = place.json(&plan);
    assert_eq!(plan["image_size"].as_array().unwrap(), &recorded);

    // The rate is largest in the first half, where the images have 8 x 8 pixels.
    let losses = |more: &[&str]| {
        let find = ["find", "--num-steps", "10", "-q", "--format", "json"];
        let found = place.json(&[&find[..], &config, more].concat());
        found["groups"][0]["tests"][0]["curve"]["loss"].clone()
    };
    let growing = losses(&[]);
    assert_eq!(growing, losses(&["--set", "policy.image_size=8"]));
    assert_ne!(growing, losses(&["--set", "policy.image_size=16"]));
}
