//! Augmentation, compared with independent definitions of its operations.

use onecycle_vision::augment::{Operation, Rectangle, Transform};
use onecycle_vision::random::stream;
use onecycle_vision::{Augment, Border, Fill, Flip, ImageShape, Statistics};
use proptest::prelude::*;

/// An image whose values identify their positions.
fn numbered(shape: ImageShape) -> Vec<u8> {
    (0..shape.len()).map(|i| (1 + i % 251) as u8).collect()
}

/// Tables that only divide by 255, so that pixel values can be read off.
fn plain(shape: ImageShape) -> Vec<[f32; 256]> {
    let statistics = Statistics {
        mean: vec![0.0; shape.channels],
        std: vec![1.0; shape.channels],
    };
    statistics.tables(shape).unwrap()
}

fn apply(transform: &Transform, image: &[u8], shape: ImageShape) -> Vec<u8> {
    let mut out = vec![f32::NAN; shape.len()];
    transform.apply(image, shape, &plain(shape), &mut out);
    out.iter()
        .map(|value| (value * 255.0).round() as u8)
        .collect()
}

/// Pads, crops and mirrors pixel by pixel, as torchvision documents it.
fn reference(transform: &Transform, image: &[u8], shape: ImageShape) -> Vec<u8> {
    let reflect = |index: isize, limit: usize| {
        let last = limit as isize - 1;
        // Walks along 0, 1, .., last, last - 1, .., 1, and again.
        let period = (2 * last).max(1);
        let place = index.rem_euclid(period);
        (if place > last { period - place } else { place }) as usize
    };
    let mut out = Vec::new();
    for channel in 0..shape.channels {
        for row in 0..shape.height {
            for column in 0..shape.width {
                let column = if transform.flip {
                    shape.width - 1 - column
                } else {
                    column
                };
                let (y, x) = (
                    row as isize + transform.down,
                    column as isize + transform.right,
                );
                let inside = (0..shape.height as isize).contains(&y)
                    && (0..shape.width as isize).contains(&x);
                let value = match transform.border {
                    Border::Zero if !inside => 0,
                    _ => {
                        let (y, x) = (reflect(y, shape.height), reflect(x, shape.width));
                        image[(channel * shape.height + y) * shape.width + x]
                    }
                };
                out.push(value);
            }
        }
    }
    out
}

fn shapes() -> impl Strategy<Value = ImageShape> {
    (1_usize..4, 2_usize..12, 2_usize..12).prop_map(|(c, h, w)| ImageShape::new(c, h, w))
}

proptest! {
    #[test]
    fn crop_and_flip_agree_with_the_definition(
        shape in shapes(), pad in 0_usize..12, reflect: bool, flip: bool, seed: u64,
    ) {
        let border = if reflect { Border::Reflect } else { Border::Zero };
        let pad = pad.min(shape.height.min(shape.width) - 1);
        let augment = Augment { pad, border, flip: flip.into(), ..Augment::default() };
        augment.validate(shape).unwrap();
        let image = numbered(shape);
        for index in 0..8 {
            let transform = augment.draw(&mut stream(seed, "test", index), shape);
            let limit = pad as isize;
            prop_assert!((-limit..=limit).contains(&transform.down));
            prop_assert!((-limit..=limit).contains(&transform.right));
            prop_assert_eq!(apply(&transform, &image, shape), reference(&transform, &image, shape));
        }
    }

    #[test]
    fn a_flip_undoes_itself(shape in shapes()) {
        let flip = Transform { flip: true, ..Transform::default() };
        let image = numbered(shape);
        let once = apply(&flip, &image, shape);
        prop_assert_eq!(apply(&flip, &once, shape), image);
    }

    #[test]
    fn cutout_and_erasing_set_their_rectangles_and_nothing_else(
        shape in shapes(), side in 1_usize..12, seed: u64,
    ) {
        let side = side.min(shape.height.min(shape.width));
        let augment = Augment { cutout: side, erase_probability: 1.0, ..Augment::default() };
        let image = numbered(shape);
        let transform = augment.draw(&mut stream(seed, "test", 0), shape);
        let cutout = transform.cutout.unwrap();
        // At least a quarter of the square lies within the image, wherever its centre is.
        let (least, most) = (side.div_ceil(2) * side.div_ceil(2), side * side);
        prop_assert!((least..=most).contains(&cutout.area()), "{:?}", cutout);
        let holes: Vec<Rectangle> = [transform.cutout, transform.erased].into_iter().flatten().collect();
        let out = apply(&transform, &image, shape);
        for (index, (&before, &after)) in image.iter().zip(&out).enumerate() {
            let (row, column) = (index % shape.plane() / shape.width, index % shape.width);
            let hole = holes.iter().any(|r| {
                (r.top..r.bottom).contains(&row) && (r.left..r.right).contains(&column)
            });
            prop_assert_eq!(after, if hole { 0 } else { before });
        }
    }
}

#[test]
fn every_offset_and_both_sides_come_equally_often() {
    let shape = ImageShape::new(1, 8, 8);
    let augment = Augment::crop_and_flip(2, Border::Zero);
    let mut counts = std::collections::BTreeMap::new();
    let mut rng = stream(3, "test", 0);
    for _ in 0..50_000 {
        let t = augment.draw(&mut rng, shape);
        *counts.entry((t.down, t.right, t.flip)).or_insert(0_u32) += 1;
    }
    assert_eq!(counts.len(), 5 * 5 * 2);
    // 1000 expected of each: six standard deviations are 190.
    assert!(
        counts.values().all(|n| n.abs_diff(1000) < 190),
        "{counts:?}"
    );
}

#[test]
fn reflection_does_not_repeat_the_edge() {
    let shape = ImageShape::new(1, 1, 5);
    let moved = |right| Transform {
        right,
        border: Border::Reflect,
        ..Transform::default()
    };
    assert_eq!(apply(&moved(-2), &[1, 2, 3, 4, 5], shape), [3, 2, 1, 2, 3]);
    assert_eq!(apply(&moved(2), &[1, 2, 3, 4, 5], shape), [3, 4, 5, 4, 3]);
    let zero = Transform {
        right: 2,
        ..Transform::default()
    };
    assert_eq!(apply(&zero, &[1, 2, 3, 4, 5], shape), [3, 4, 5, 0, 0]);
}

#[test]
fn black_borders_are_normalised_and_holes_are_the_mean() {
    let shape = ImageShape::new(1, 1, 2);
    let statistics = Statistics {
        mean: vec![0.5],
        std: vec![0.25],
    };
    let tables = statistics.tables(shape).unwrap();
    let mut out = [f32::NAN; 2];
    Transform {
        right: 1,
        ..Transform::default()
    }
    .apply(&[255, 255], shape, &tables, &mut out);
    assert_eq!(out, [2.0, -2.0], "black is (0 - 0.5) / 0.25");
    let hole = Some(Rectangle {
        top: 0,
        left: 0,
        bottom: 1,
        right: 1,
    });
    Transform {
        erased: hole,
        ..Transform::default()
    }
    .apply(&[255, 255], shape, &tables, &mut out);
    assert_eq!(out, [0.0, 2.0]);
}

#[test]
fn erasing_happens_as_often_and_as_large_as_asked() {
    let shape = ImageShape::new(3, 32, 32);
    let augment = Augment {
        erase_probability: 0.25,
        ..Augment::default()
    };
    let mut rng = stream(5, "test", 0);
    let erased: Vec<_> = (0..20_000)
        .filter_map(|_| augment.draw(&mut rng, shape).erased)
        .collect();
    // 5000 expected: six standard deviations are 367.
    assert!(erased.len().abs_diff(5000) < 367, "{}", erased.len());
    for rectangle in erased {
        let share = rectangle.area() as f64 / shape.plane() as f64;
        // Rounding a side moves the share by less than 0.04.
        assert!(
            (0.0..0.44).contains(&share) && rectangle.area() > 0,
            "{rectangle:?}"
        );
        assert!(
            rectangle.bottom <= 32 && rectangle.right <= 32,
            "{rectangle:?}"
        );
    }
}

/// Changes one setting.
type Change<'a> = &'a dyn Fn(&mut Augment);

#[test]
fn settings_out_of_range_are_refused_with_their_key() {
    let shape = ImageShape::new(3, 32, 24);
    let good = Augment::default();
    let cases = [
        (
            Augment {
                pad: 25,
                ..good.clone()
            },
            "augment.pad",
        ),
        (
            Augment {
                pad: 24,
                border: Border::Reflect,
                ..good.clone()
            },
            "augment.pad",
        ),
        (
            Augment {
                cutout: 25,
                ..good.clone()
            },
            "augment.cutout",
        ),
        (
            Augment {
                erase_probability: 1.5,
                ..good.clone()
            },
            "augment.erase_probability",
        ),
        (
            Augment {
                erase_probability: f64::NAN,
                ..good.clone()
            },
            "augment.erase_probability",
        ),
        (
            Augment {
                erase_area: [0.0, 0.4],
                ..good.clone()
            },
            "augment.erase_area",
        ),
        (
            Augment {
                erase_area: [0.5, 0.4],
                ..good.clone()
            },
            "augment.erase_area",
        ),
        (
            Augment {
                erase_aspect: [0.3, f64::INFINITY],
                ..good.clone()
            },
            "augment.erase_aspect",
        ),
    ];
    let with = |change: &dyn Fn(&mut Augment)| {
        let mut augment = good.clone();
        change(&mut augment);
        augment
    };
    let later: [(Change, &str); 13] = [
        (
            &|a| a.resized_crop_area = Some([0.0, 1.0]),
            "resized_crop_area",
        ),
        (
            &|a| a.resized_crop_area = Some([0.5, 1.1]),
            "resized_crop_area",
        ),
        (
            &|a| a.resized_crop_area = Some([0.6, 0.5]),
            "resized_crop_area",
        ),
        (
            &|a| a.resized_crop_aspect = [0.0, 1.0],
            "resized_crop_aspect",
        ),
        (&|a| a.rotate = 181.0, "rotate"),
        (&|a| a.rotate = -1.0, "rotate"),
        (&|a| a.brightness = -0.1, "brightness"),
        (&|a| a.contrast = f64::NAN, "contrast"),
        (&|a| a.saturation = f64::INFINITY, "saturation"),
        (&|a| a.hue = 0.6, "hue"),
        (&|a| a.mixup = -1.0, "mixup"),
        (&|a| a.cutmix = f64::NAN, "cutmix"),
        (&|a| a.cutmix = f64::INFINITY, "cutmix"),
    ];
    for (change, key) in later {
        let message = with(change).validate(shape).unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("`augment.{key}`")),
            "{message}"
        );
    }
    let coloured: [(Change, &str); 2] = [
        (&|a| a.hue = 0.1, "hue"),
        (&|a| a.saturation = 0.1, "saturation"),
    ];
    for (change, key) in coloured {
        assert!(with(change).validate(shape).is_ok());
        let grey = with(change)
            .validate(ImageShape::new(1, 32, 24))
            .unwrap_err()
            .to_string();
        assert!(grey.contains(key) && grey.contains("grey"), "{grey}");
    }
    let trivial = with(&|a| a.trivial_augment = true);
    assert!(trivial.validate(ImageShape::new(1, 32, 24)).is_ok());
    let four = trivial
        .validate(ImageShape::new(4, 32, 24))
        .unwrap_err()
        .to_string();
    assert!(
        four.contains("trivial_augment") && four.contains("not 4"),
        "{four}"
    );
    for (augment, key) in cases {
        let message = augment.validate(shape).unwrap_err().to_string();
        assert!(message.contains(key), "{message}");
    }
    assert!(good.is_none() && good.validate(shape).is_ok());
    assert!(!Augment::crop_and_flip(4, Border::Zero).is_none());
}

#[test]
fn settings_are_read_with_defaults_and_without_strangers() {
    let read = |text| serde_json::from_str::<Augment>(text);
    assert_eq!(read("{}").unwrap(), Augment::default());
    let text = r#"{"pad": 4, "border": "reflect", "flip": true}"#;
    assert_eq!(
        read(text).unwrap(),
        Augment::crop_and_flip(4, Border::Reflect)
    );
    let augment = Augment {
        cutout: 16,
        erase_probability: 0.1,
        ..Augment::default()
    };
    let text = serde_json::to_string(&augment).unwrap();
    assert_eq!(serde_json::from_str::<Augment>(&text).unwrap(), augment);
    assert!(read(r#"{"padding": 4}"#).is_err());
    assert_eq!(
        read(r#"{"flip": "alternating"}"#).unwrap().flip,
        Flip::Alternating
    );
}

/// The form in which earlier versions wrote the settings; they are written in it unless a later key
/// is set.
#[test]
fn settings_of_earlier_versions_are_written_as_before() {
    let before = r#"{"pad":0,"border":"zero","crop":true,"flip":true,"cutout":0,"erase_probability":0.0,"erase_area":[0.02,0.4],"erase_aspect":[0.3,3.3333333333333335]}"#;
    let augment = Augment {
        flip: Flip::Random,
        ..Augment::default()
    };
    assert_eq!(serde_json::to_string(&augment).unwrap(), before);
    let all = everything();
    let text = serde_json::to_string(&all).unwrap();
    assert_eq!(serde_json::from_str::<Augment>(&text).unwrap(), all);
}

fn everything() -> Augment {
    Augment {
        cutout: 4,
        erase_probability: 0.5,
        resized_crop_area: Some([0.3, 1.0]),
        resized_crop_aspect: [0.5, 2.0],
        rotate: 20.0,
        rotate_fill: Fill::Edge,
        brightness: 0.1,
        contrast: 0.2,
        saturation: 0.3,
        hue: 0.4,
        trivial_augment: true,
        mixup: 0.2,
        cutmix: 1.0,
        ..Augment::crop_and_flip(2, Border::Reflect)
    }
}

/// Settings that were added later do not move the draws of earlier ones, so a run without them keeps
/// its bits.
#[test]
fn later_settings_leave_earlier_draws_alone() {
    let shape = ImageShape::new(3, 16, 16);
    let earlier = Augment {
        cutout: 4,
        erase_probability: 0.5,
        ..Augment::crop_and_flip(2, Border::Reflect)
    };
    for index in 0..50 {
        let old = earlier.draw(&mut stream(7, "test", index), shape);
        let new = everything().draw(&mut stream(7, "test", index), shape);
        let kept = Transform {
            resized: None,
            rotation: 0.0,
            rotation_fill: old.rotation_fill,
            jitter: None,
            operation: None,
            ..new
        };
        assert_eq!(kept, old);
        assert!(new.resized.is_some() && new.jitter.is_some() && new.operation.is_some());
    }
}

/// Crops come before the changes of colour, and holes after them.
#[test]
fn the_steps_are_in_their_order() {
    let shape = ImageShape::new(1, 1, 3);
    let transform = Transform {
        right: 1,
        flip: true,
        operation: Some(Operation::Solarize(0.0)),
        erased: Some(Rectangle {
            top: 0,
            left: 1,
            bottom: 1,
            right: 2,
        }),
        ..Transform::default()
    };
    // Moved: 20 30 0, mirrored: 0 30 20, inverted: 255 225 235, hole in the middle.
    assert_eq!(apply(&transform, &[10, 20, 30], shape), [255, 0, 235]);
}
