//! Folders of images as people have them: layouts, formats, and files that cannot be used.

use crate::common::{Answer, Place};

use std::{fs, io::Write, path::Path};

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use serde_json::Value;

const CLASSES: [&str; 3] = ["green", "red", "yellow"];

/// Trains for an epoch on 8 x 8 pixels.
const TRAIN: [&str; 15] = [
    "train",
    "--data",
    "photos",
    "--model",
    "mlp",
    "--set",
    "data.image_size=8",
    "--batch-size",
    "8",
    "--epochs",
    "1",
    "--threads",
    "1",
    "--out",
    "run",
];

/// An image of a class, different for each `index`.
fn picture(class: &str, index: usize, width: u32, height: u32) -> RgbImage {
    let [red, green] = match class {
        "green" => [40, 200],
        "red" => [200, 40],
        _ => [200, 200],
    };
    let shade = |x: u32, y: u32| ((x * 7 + y * 3) as usize + index * 5) as u8 % 40;
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([red + shade(x, y), green + shade(y, x), index as u8])
    })
}

/// Writes an image in the format that its extension names.
fn write(path: &Path, class: &str, index: usize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let extension = path.extension().unwrap().to_str().unwrap().to_lowercase();
    let format = match extension.as_str() {
        "jfif" | "jpe" => ImageFormat::Jpeg,
        other => ImageFormat::from_extension(other).unwrap(),
    };
    let image = DynamicImage::from(picture(class, index, 12, 12));
    let image = match extension.as_str() {
        "pgm" => DynamicImage::from(image.into_luma8()),
        _ => image,
    };
    image.save_with_format(path, format).unwrap();
}

/// Writes `count` images of each class to `FOLDER/CLASS/`.
fn write_classes(folder: &Path, count: usize, extension: &str) {
    for class in CLASSES {
        for index in 0..count {
            write(
                &folder.join(class).join(format!("{index}.{extension}")),
                class,
                index,
            );
        }
    }
}

fn train(place: &Place, more: &[&str]) -> Answer {
    place.onecycle(&[&TRAIN[..], more].concat())
}

/// `data.json` of a training that must succeed, and its messages.
fn trained(place: &Place, more: &[&str]) -> (Value, String) {
    let answer = train(place, more);
    assert_eq!(answer.code, 0, "{}", answer.err);
    (
        serde_json::from_slice(&place.read("run/data.json")).unwrap(),
        answer.err,
    )
}

/// Number of images of a part in `data.json`.
fn count(data: &Value, part: &str) -> u64 {
    let classes = data["parts"][part].as_object();
    classes.map_or(0, |classes| {
        classes.values().map(|count| count.as_u64().unwrap()).sum()
    })
}

fn reasons(data: &Value) -> Vec<(String, String)> {
    let text = |skipped: &Value, key: &str| skipped[key].as_str().unwrap().to_owned();
    let skipped = data["skipped"].as_array().unwrap().iter();
    skipped
        .map(|one| (text(one, "file"), text(one, "reason")))
        .collect()
}

/// A layout: its name, how to make it in `photos`, further options, and the number of images in the
/// parts train, validation and test. Nothing may be skipped.
type Layout = (&'static str, fn(&Path), &'static [&'static str], [u64; 3]);

const LAYOUTS: [Layout; 13] = [
    (
        "class folders",
        |photos| write_classes(photos, 5, "png"),
        &[],
        [12, 3, 0],
    ),
    (
        "usual names of parts",
        |photos| {
            write_classes(&photos.join("Training"), 4, "png");
            write_classes(&photos.join("valid"), 2, "png");
            write_classes(&photos.join("testing"), 1, "png");
        },
        &[],
        [12, 6, 3],
    ),
    (
        "only test images",
        |photos| {
            write_classes(&photos.join("train"), 4, "png");
            write_classes(&photos.join("test"), 1, "png");
        },
        &[],
        [12, 0, 3],
    ),
    (
        "folders around everything",
        |photos| {
            write_classes(&photos.join("download/photos/train"), 4, "png");
            write_classes(&photos.join("download/photos/val"), 1, "png");
        },
        &[],
        [12, 3, 0],
    ),
    (
        "images at any depth",
        |photos| {
            write_classes(photos, 2, "png");
            for index in 2..5 {
                for class in CLASSES {
                    let path = format!("{class}/2024/may/{index}.png");
                    write(&photos.join(path), class, index);
                }
            }
        },
        &[],
        [12, 3, 0],
    ),
    (
        "files of systems and tools",
        |photos| {
            write_classes(&photos.join("train"), 4, "png");
            write_classes(&photos.join("val"), 1, "png");
            for junk in [
                "__MACOSX/train/red/._0.png",
                "train/red/@eaDir/0.png",
                "train/.ipynb_checkpoints/0.png",
                "val/Thumbs.db",
                ".DS_Store",
            ] {
                let path = photos.join(junk);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "junk").unwrap();
            }
        },
        &[],
        [12, 3, 0],
    ),
    (
        "an empty class in val",
        |photos| {
            write_classes(&photos.join("train"), 4, "png");
            write(&photos.join("val/red/0.png"), "red", 9);
            fs::create_dir_all(photos.join("val/green")).unwrap();
        },
        &[],
        [12, 1, 0],
    ),
    (
        "classes with the names of parts",
        |photos| {
            for (class, like) in [("train", "red"), ("test", "green"), ("plane", "yellow")] {
                for index in 0..5 {
                    write(&photos.join(format!("{class}/{index}.png")), like, index);
                }
            }
        },
        &[],
        [12, 3, 0],
    ),
    (
        "composed and decomposed names",
        |photos| {
            for index in 0..4 {
                write(
                    &photos.join(format!("train/caf\u{e9}/{index}.png")),
                    "red",
                    index,
                );
                write(
                    &photos.join(format!("train/tea/{index}.png")),
                    "green",
                    index,
                );
            }
            write(&photos.join("val/cafe\u{301}/9.png"), "red", 9);
        },
        &[],
        [8, 1, 0],
    ),
    (
        "labels in a table",
        |photos| {
            let mut table = "file,label\n".to_owned();
            for class in CLASSES {
                for index in 0..5 {
                    write(
                        &photos.join(format!("images/{class}{index}.png")),
                        class,
                        index,
                    );
                    table += &format!("images/{class}{index}.png,{class}\n");
                }
            }
            fs::write(photos.parent().unwrap().join("labels.csv"), table).unwrap();
        },
        &["--labels", "labels.csv"],
        [12, 3, 0],
    ),
    (
        "labels in a table with semicolons, in the second column, and names without extension",
        |photos| {
            let mut table = "name;kind;when\n".to_owned();
            for class in CLASSES {
                for index in 0..5 {
                    write(&photos.join(format!("{class}{index}.png")), class, index);
                    table += &format!("{class}{index};{class};today\n");
                }
            }
            fs::write(photos.join("table.csv"), table).unwrap();
        },
        &["--labels", "photos/table.csv"],
        [12, 3, 0],
    ),
    (
        "a zip archive",
        |photos| {
            let file = fs::File::create(photos.with_extension("zip")).unwrap();
            let mut archive = zip::ZipWriter::new(file);
            for class in CLASSES {
                for index in 0..5 {
                    let path = photos.join(format!("{class}/{index}.png"));
                    write(&path, class, index);
                    let name = format!("photos/{class}/{index}.png");
                    let options = zip::write::SimpleFileOptions::default();
                    archive.start_file(name, options).unwrap();
                    archive.write_all(&fs::read(path).unwrap()).unwrap();
                }
            }
            archive.finish().unwrap();
        },
        &["--data", "photos.zip"],
        [12, 3, 0],
    ),
    (
        "a tar.gz archive",
        |photos| {
            let file = fs::File::create(photos.with_extension("tar.gz")).unwrap();
            let gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
            let mut archive = tar::Builder::new(gzip);
            let long = "a long name ".repeat(12);
            for class in CLASSES {
                for index in 0..5 {
                    let path = photos.join(format!("{class}/{index}.png"));
                    write(&path, class, index);
                    let name = format!("{class}/{long}{index}.png");
                    archive.append_path_with_name(path, name).unwrap();
                }
            }
            archive.into_inner().unwrap().finish().unwrap();
        },
        &["--data", "photos.tar.gz"],
        [12, 3, 0],
    ),
];

#[test]
fn every_layout_is_understood() {
    for (name, make, more, parts) in LAYOUTS {
        let place = Place::new();
        make(&place.path("photos"));
        let args: Vec<&str> = match more {
            ["--data", data] => TRAIN
                .map(|arg| if arg == "photos" { *data } else { arg })
                .to_vec(),
            more => [&TRAIN[..], more].concat(),
        };
        let answer = place.onecycle(&args);
        assert_eq!(answer.code, 0, "{name}: {}", answer.err);
        let data: Value = serde_json::from_slice(&place.read("run/data.json")).unwrap();
        let found = ["train", "validation", "test"].map(|part| count(&data, part));
        assert_eq!(found, parts, "{name}: {data}");
        assert_eq!(reasons(&data), [], "{name}");
        assert!(
            answer.err.contains("training"),
            "{name}: no table: {}",
            answer.err
        );
    }
}

#[test]
fn every_format_is_read() {
    let place = Place::new();
    let extensions = [
        "png", "webp", "gif", "bmp", "tif", "tiff", "ppm", "jfif", "jpe", "pgm", "qoi", "jpg",
    ];
    for (index, extension) in extensions.iter().enumerate() {
        for class in CLASSES {
            let path = format!("photos/{class}/{index}.{extension}");
            write(&place.path(&path), class, index);
        }
    }
    // No extension: the contents decide.
    fs::rename(place.path("photos/red/0.png"), place.path("photos/red/0")).unwrap();
    place.write("photos/red/phone.HEIC", "anything");
    place.write("photos/red/notes.txt", "anything");
    let (data, err) = trained(&place, &[]);
    assert_eq!(count(&data, "train") + count(&data, "validation"), 36);
    let formats = &data["formats"];
    assert_eq!(
        (&formats["JPEG"], &formats["TIFF"]),
        (&9.into(), &6.into()),
        "{formats}"
    );
    let mut skipped = reasons(&data);
    skipped.sort();
    assert_eq!(skipped.len(), 2);
    assert_eq!(skipped[0].0, "red/notes.txt");
    assert!(skipped[1].1.contains(".heic cannot be read"), "{skipped:?}");
    assert!(
        err.contains("heic") && err.contains("not an image"),
        "{err}"
    );
    let report = place.text("run/report.html");
    assert!(report.contains("red/notes.txt") && report.contains("yellow"));
}

#[test]
fn damaged_images_are_all_named_or_left_out() {
    let place = Place::new();
    write_classes(&place.path("photos"), 6, "png");
    let mut whole = Vec::new();
    let image = DynamicImage::from(picture("red", 77, 200, 200));
    image
        .write_to(&mut std::io::Cursor::new(&mut whole), ImageFormat::Jpeg)
        .unwrap();
    let mut names = Vec::new();
    for percent in [5, 20, 50, 90] {
        let name = format!("photos/red/cut{percent}.jpg");
        place.write(&name, &whole[..whole.len() * percent / 100]);
        names.push(name);
    }
    place.write("photos/red/empty.png", "");
    place.write("photos/red/text.png", "not an image");
    names.extend([
        "photos/red/empty.png".to_owned(),
        "photos/red/text.png".to_owned(),
    ]);
    place.write("photos/red/whole.jpg", &whole);

    let answer = train(&place, &[]);
    assert_eq!((answer.code, answer.out.as_str()), (1, ""));
    for name in &names {
        assert!(answer.err.contains(name.as_str()), "{name}: {}", answer.err);
    }
    assert!(answer.err.contains("--skip-bad") && !answer.err.contains("whole.jpg"));
    assert_eq!(answer.err.matches("cut off").count(), 4, "{}", answer.err);

    // The second time from the cache.
    for _ in 0..2 {
        let (data, _) = trained(&place, &["--skip-bad"]);
        assert_eq!(count(&data, "train") + count(&data, "validation"), 19);
        assert_eq!(reasons(&data).len(), names.len());
        fs::remove_dir_all(place.path("run")).unwrap();
    }
}

#[test]
fn a_limit_takes_images_of_every_class() {
    let place = Place::new();
    write_classes(&place.path("photos"), 24, "png");
    let (data, _) = trained(&place, &["--limit", "20", "--set", "data.test_limit=6"]);
    assert_eq!((count(&data, "train"), count(&data, "validation")), (20, 6));
    for class in CLASSES {
        assert!(
            data["parts"]["train"][class].as_u64().unwrap() >= 6,
            "{data}"
        );
        assert_eq!(data["parts"]["validation"][class], 2);
    }
}

#[test]
fn images_without_labels_are_not_used() {
    let place = Place::new();
    write_classes(&place.path("photos/train"), 5, "png");
    for index in 0..4 {
        write(
            &place.path(&format!("photos/test/{index}.png")),
            "red",
            index + 50,
        );
    }
    let (data, err) = trained(&place, &[]);
    assert_eq!((count(&data, "train"), count(&data, "validation")), (12, 3));
    assert_eq!(reasons(&data).len(), 4);
    for part in [
        "photos/test has 4 images",
        "no labels",
        "onecycle predict RUN",
    ] {
        assert!(err.contains(part), "{part}: {err}");
    }
}

#[test]
fn copies_are_counted_and_named() {
    let place = Place::new();
    write_classes(&place.path("photos/train"), 4, "png");
    write_classes(&place.path("photos/val"), 1, "jpg");
    fs::copy(
        place.path("photos/train/red/0.png"),
        place.path("photos/val/red/copy.png"),
    )
    .unwrap();
    let (data, err) = trained(&place, &[]);
    assert_eq!(data["duplicates"], 1);
    let names = "val/red/copy.png = train/red/0.png";
    assert!(err.contains("another part") && err.contains(names), "{err}");
}

#[test]
fn long_images_are_cropped_with_a_note_squished_or_padded() {
    let place = Place::new();
    for class in CLASSES {
        for index in 0..5 {
            let path = place.path(&format!("photos/{class}/{index}.png"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            picture(class, index, 160, 40).save(path).unwrap();
        }
    }
    let (_, err) = trained(&place, &[]);
    assert!(err.contains("removes 75 % of the average image"), "{err}");
    for more in [
        [
            "--set",
            "data.resize=\"pad\"",
            "--set",
            "data.background=[0, 0, 0]",
        ],
        ["--set", "data.resize=\"squish\"", "--set", "seed=2"],
        ["--set", "data.image_size=[10, 40]", "--set", "seed=3"],
    ] {
        fs::remove_dir_all(place.path("run")).unwrap();
        let (_, err) = trained(&place, &more);
        assert!(!err.contains("removes"), "{err}");
        let image = "photos/red/0.png";
        place.succeed(&["predict", "run", image]);
        let evaluation = place.json(&["evaluate", "run", "--format", "json", "-q"]);
        assert_eq!(evaluation["images"], 3);
    }
}

#[test]
fn an_evaluation_uses_all_images_of_another_folder() {
    let place = Place::new();
    write_classes(&place.path("photos"), 8, "png");
    trained(&place, &[]);
    for index in 0..30 {
        let class = ["red", "green"][index % 2];
        write(
            &place.path(&format!("new/{class}/{index}.jpg")),
            class,
            index,
        );
    }
    let new = place.json(&["evaluate", "run", "--data", "new", "--format", "json", "-q"]);
    assert_eq!((&new["images"], &new["part"]), (&30.into(), &"all".into()));
    write(&place.path("new/blue/0.png"), "red", 0);
    let answer = place.onecycle(&["evaluate", "run", "--data", "new"]);
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("blue"), "{}", answer.err);
}

#[cfg(unix)]
#[test]
fn links_are_followed_once() {
    let place = Place::new();
    write_classes(&place.path("photos"), 5, "png");
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(to, place.path(&format!("photos/{name}"))).unwrap();
    };
    link("nowhere.png", "red/dangling.png");
    link("../red", "red/again");
    let (data, _) = trained(&place, &[]);
    assert_eq!(count(&data, "train") + count(&data, "validation"), 15);
    let reasons = reasons(&data);
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(
        reasons
            .iter()
            .all(|(_, reason)| reason.starts_with("a link to"))
    );
}

#[test]
fn other_layouts_get_advice() {
    type Wrong = (fn(&Path), &'static [&'static str]);
    let cases: [Wrong; 4] = [
        (
            |photos| {
                write_classes(&photos.join("val"), 2, "png");
                write_classes(&photos.join("test"), 2, "png");
            },
            &["test, val", "train", "rename"],
        ),
        (
            |photos| write(&photos.join("0.png"), "red", 0),
            &[
                "its images (1) are in no folder of a class",
                "a folder of images for each class",
                "--labels",
            ],
        ),
        (
            |photos| {
                write_classes(photos, 2, "png");
                fs::create_dir_all(photos.join("blue")).unwrap();
                fs::write(photos.join("blue/a.heic"), "x").unwrap();
            },
            &["blue", ".heic cannot be read"],
        ),
        (
            |photos| {
                write_classes(&photos.join("train"), 2, "png");
                write(&photos.join("val/blue/0.png"), "red", 0);
            },
            &["blue", "not in the training folder"],
        ),
    ];
    for (make, words) in cases {
        let place = Place::new();
        make(&place.path("photos"));
        let answer = train(&place, &[]);
        assert_eq!((answer.code, answer.out.as_str()), (1, ""));
        for word in words {
            assert!(answer.err.contains(word), "{word}: {}", answer.err);
        }
    }
}

/// The search is judged on the validation images of the folder, the run on its test images.
#[test]
fn fit_uses_the_parts_of_a_folder() {
    let place = Place::new();
    write_classes(&place.path("photos/train"), 20, "png");
    write_classes(&place.path("photos/val"), 5, "png");
    write_classes(&place.path("photos/test"), 4, "png");
    let mut fit = TRAIN;
    fit[0] = "fit";
    let epochs = fit.iter().position(|arg| *arg == "--epochs").unwrap();
    fit[epochs + 1] = "4";
    place.succeed(&[&fit[..], &["--quick"]].concat());
    let data: Value = serde_json::from_slice(&place.read("run/data.json")).unwrap();
    let parts = ["train", "validation", "test"].map(|part| count(&data, part));
    assert_eq!(parts, [60, 15, 12]);
    let summary: Value = serde_json::from_slice(&place.read("run/summary.json")).unwrap();
    assert!(
        summary["test_accuracy"].as_f64().unwrap() > 0.8,
        "{summary}"
    );
}

#[test]
fn predictions_of_files_folders_patterns_and_lists() {
    let place = Place::new();
    write_classes(&place.path("photos"), 6, "png");
    trained(&place, &[]);
    for index in 0..3 {
        write(&place.path(&format!("new/deep/{index}.jpg")), "red", index);
    }
    place.write("new/bad.jpg", "not an image");
    place.write("new/notes.txt", "not an image");

    // The others are classified, and the bad one is reported.
    let answer = place.onecycle(&["predict", "run", "new", "--format", "csv", "--top", "2"]);
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("new/bad.jpg") && answer.err.lines().count() == 1);
    let lines: Vec<&str> = answer.out.lines().collect();
    assert_eq!(lines[0], "file,class_1,probability_1,class_2,probability_2");
    assert_eq!(lines.len(), 4);
    assert!(lines[1].starts_with("new/deep/0.jpg,") && lines[1].split(',').count() == 5);

    let lines = place.succeed(&["predict", "run", "new/deep/*.jpg", "--format", "jsonl"]);
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[2]["image"], "new/deep/2.jpg");

    // One image alone has the same probabilities as among others.
    let alone = place.json(&["predict", "run", "new/deep/2.jpg", "--format", "json"]);
    assert_eq!(alone[0], lines[2]);

    let list = "new/deep/1.jpg\n\nnew/deep/0.jpg\r\n";
    let answer = place.onecycle_with_input(&["predict", "run", "-", "--format", "json"], list);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let found: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!((&found[0], &found[1]), (&lines[1], &lines[0]));

    for (argument, word) in [
        ("none/*.jpg", "matches"),
        ("run/checkpoints", "folder with images"),
    ] {
        let answer = place.onecycle(&["predict", "run", argument]);
        assert_eq!((answer.code, answer.out.as_str()), (1, ""));
        assert!(answer.err.contains(word), "{}", answer.err);
    }
}
