//! `data cache` and `data clean`: the decoded images and extracted archives of image folders.

use crate::common;

use std::{fs, io::Write};

use common::Place;
use image::GrayImage;
use serde_json::Value;

/// Writes an archive `photos.zip` with two classes of eight images each, in `train/` and `test/`.
fn write_photos(place: &Place) {
    let file = fs::File::create(place.path("photos.zip")).unwrap();
    let mut archive = zip::ZipWriter::new(file);
    for (part, count) in [("train", 8), ("test", 2)] {
        for (class, grey) in [("dark", 10), ("light", 200)] {
            for index in 0..count {
                let place = format!("{part}/{class}/{index}.png");
                let shade = grey + 2 * index + u8::from(part == "test");
                let picture = GrayImage::from_pixel(16, 16, image::Luma([shade]));
                let mut bytes = std::io::Cursor::new(Vec::new());
                picture
                    .write_to(&mut bytes, image::ImageFormat::Png)
                    .unwrap();
                archive
                    .start_file(place, zip::write::SimpleFileOptions::default())
                    .unwrap();
                archive.write_all(bytes.get_ref()).unwrap();
            }
        }
    }
    archive.finish().unwrap();
}

#[test]
fn kept_images_and_archives_are_listed_and_removed() {
    let place = Place::new();
    assert!(place.succeed(&["data", "cache"]).starts_with("0 kept"));
    write_photos(&place);
    let train = |out| {
        [
            "train",
            "--data",
            "photos.zip",
            "--model",
            "convnet",
            "--steps",
            "1",
            "--batch-size",
            "4",
            "--set",
            "data.image_size=16",
            "--out",
            out,
        ]
    };
    let answer = place.onecycle(&train("first"));
    assert_eq!(answer.code, 0, "{}", answer.err);
    // Without `val/`, the test images are measured after each epoch.
    assert!(
        answer
            .err
            .contains("class  training  test (also validation)"),
        "{}",
        answer.err
    );

    let list = place.json(&["data", "cache", "--format", "json"]);
    let kinds: Vec<&Value> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["kind"])
        .collect();
    assert_eq!(kinds, ["images", "archive"]);
    for entry in list.as_array().unwrap() {
        assert!(fs::exists(entry["path"].as_str().unwrap()).unwrap());
        assert!(entry["bytes"].as_u64().unwrap() > 0);
    }
    let text = place.succeed(&["data", "cache"]);
    assert!(
        text.contains("decoded images") && text.contains("extracted archive"),
        "{text}"
    );

    assert!(place.succeed(&["data", "clean"]).starts_with("2 removed"));
    for entry in list.as_array().unwrap() {
        assert!(!fs::exists(entry["path"].as_str().unwrap()).unwrap());
    }
    assert!(place.succeed(&["data", "clean"]).starts_with("0 removed"));
    // The same run as before, from the archive.
    place.succeed(&train("second"));
    assert_eq!(
        place.read("first/steps.jsonl"),
        place.read("second/steps.jsonl")
    );
}
