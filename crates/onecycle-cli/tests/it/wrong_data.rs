//! Wrong data and unusual images, given to the real command.

use crate::bad_data;
use crate::common;

use std::fs;

use bad_data::{Case, cases, unusual_images};
use common::{Place, Refusals};

#[test]
fn every_mistake_in_data_is_one_message_and_no_run() {
    let mut refusals = Refusals::default();
    for Case { name, make, says } in cases() {
        let place = Place::new();
        fs::create_dir(place.path("data")).unwrap();
        let source = make(&place.path("data"));
        // The command has no flags for these cases, so only the library is tested with them.
        if source.name.is_some() || ["no size", "all for validation"].contains(&name) {
            continue;
        }
        let path = source.path.unwrap();
        let answer = place.onecycle(&[
            "train",
            "--model",
            "lenet5",
            "--steps",
            "1",
            "--out",
            "run",
            "-q",
            "--data",
            path.to_str().unwrap(),
        ]);
        refusals.expect(&answer, says, name);
        refusals.expect_none(&place.path("run"), name);
    }
    refusals.end(60);
}

/// Images with 16 bits, CMYK, transparency, animation (first frame) or one pixel are accepted
/// for training and prediction.
#[test]
fn unusual_images_are_accepted() {
    let place = Place::new();
    let images = unusual_images();
    for (index, (name, bytes)) in images.iter().enumerate() {
        let class = ["cat", "dog"][index % 2];
        place.write(&format!("pets/train/{class}/{name}"), bytes);
        place.write(&format!("pets/val/{class}/{name}"), bytes);
        place.write(name, bytes);
    }
    place.succeed(&[
        "train",
        "--data",
        "pets",
        "--model",
        "convnet",
        "--set",
        "data.image_size=16",
        "--steps",
        "1",
        "--out",
        "run",
        "-q",
    ]);
    let names: Vec<&str> = images.iter().map(|(name, _)| *name).collect();
    let args = [&["predict", "run"], &names[..], &["--format", "json"]].concat();
    let answers = place.json(&args);
    assert_eq!(answers.as_array().unwrap().len(), names.len());
}
