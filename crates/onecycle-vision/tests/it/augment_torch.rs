//! Compares augmentations with torchvision. `scripts/goldens/augment_torch.py` describes the cases.
//!
//! Changes of colour and TrivialAugment's operations must agree to the byte. Bilinear interpolation
//! may differ by one: torchvision sums in another order, and makes two passes with rounding between.

use std::collections::BTreeMap;

use onecycle_test_support::{golden, list, number, numbers, text};
use onecycle_vision::augment::{Adjustment, Fill, Jitter, Operation, Rectangle, Transform};
use onecycle_vision::{ImageShape, Statistics};
use serde_json::Value;

struct Image {
    shape: ImageShape,
    pixels: Vec<u8>,
}

fn bytes(value: &Value) -> Vec<u8> {
    numbers(value).into_iter().map(|x| x as u8).collect()
}

fn images(golden: &Value) -> BTreeMap<String, Image> {
    let image = |value: &Value| {
        let shape = numbers(&value["shape"]);
        let [channels, height, width] = [0, 1, 2].map(|axis| shape[axis] as usize);
        let image = Image {
            shape: ImageShape::new(channels, height, width),
            pixels: bytes(&value["pixels"]),
        };
        (text(value, "name").to_owned(), image)
    };
    list(golden, "images").iter().map(image).collect()
}

fn apply(transform: &Transform, image: &Image) -> Vec<u8> {
    let channels = image.shape.channels;
    let plain = Statistics {
        mean: vec![0.0; channels],
        std: vec![1.0; channels],
    };
    let mut out = vec![f32::NAN; image.shape.len()];
    let tables = plain.tables(image.shape).unwrap();
    transform.apply(&image.pixels, image.shape, &tables, &mut out);
    out.iter().map(|x| (x * 255.0).round() as u8).collect()
}

/// The transform of a case, and the largest difference allowed.
fn transform(operation: &str, value: &Value) -> (Transform, u8) {
    let x = || number(value);
    let of = |operation| Transform {
        operation: Some(operation),
        ..Transform::default()
    };
    let jitter = |adjustment| Transform {
        jitter: Some(Jitter([None, Some(adjustment), None, None])),
        ..Transform::default()
    };
    let transform = match operation {
        "Identity" => of(Operation::Identity),
        "ShearX" => of(Operation::ShearX(x())),
        "ShearY" => of(Operation::ShearY(x())),
        "TranslateX" => of(Operation::TranslateX(x() as i32)),
        "TranslateY" => of(Operation::TranslateY(x() as i32)),
        "Rotate" => of(Operation::Rotate(x())),
        "Brightness" => of(Operation::Brightness(1.0 + x())),
        "Color" => of(Operation::Color(1.0 + x())),
        "Contrast" => of(Operation::Contrast(1.0 + x())),
        "Sharpness" => of(Operation::Sharpness(1.0 + x())),
        "Posterize" => of(Operation::Posterize(x() as u32)),
        "Solarize" => of(Operation::Solarize(x() as f32)),
        "AutoContrast" => of(Operation::AutoContrast),
        "Equalize" => of(Operation::Equalize),
        "brightness" => jitter(Adjustment::Brightness(x())),
        "contrast" => jitter(Adjustment::Contrast(x())),
        "saturation" => jitter(Adjustment::Saturation(x())),
        "hue" => jitter(Adjustment::Hue(x())),
        "rotate" => {
            let rotation = Transform {
                rotation: x(),
                rotation_fill: Fill::Mean,
                ..Transform::default()
            };
            return (rotation, 1);
        }
        "resized_crop" => {
            let part = numbers(value);
            let [top, left, height, width] = [0, 1, 2, 3].map(|i| part[i] as usize);
            let part = Rectangle {
                top,
                left,
                bottom: top + height,
                right: left + width,
            };
            let crop = Transform {
                resized: Some(part),
                ..Transform::default()
            };
            return (crop, 1);
        }
        other => panic!("unknown operation {other}"),
    };
    (transform, 0)
}

#[test]
fn pixels_are_those_of_torchvision() {
    let golden = golden(env!("CARGO_MANIFEST_DIR"), "augment_torch");
    let images = images(&golden);
    let mut compared = BTreeMap::new();
    for case in list(&golden, "cases") {
        let (operation, value) = (text(case, "operation"), &case["value"]);
        let image = &images[text(case, "image")];
        let (transform, tolerance) = transform(operation, value);
        let (ours, theirs) = (apply(&transform, image), bytes(&case["result"]));
        let differing = ours
            .iter()
            .zip(&theirs)
            .filter(|(a, b)| a.abs_diff(**b) > tolerance)
            .count();
        assert!(
            differing == 0,
            "{} {operation} {value}: {differing} of {} values differ",
            text(case, "image"),
            ours.len(),
        );
        *compared.entry(operation.to_owned()).or_insert(0) += 1;
    }
    assert_eq!(compared.len(), 20, "{compared:?}");
}
