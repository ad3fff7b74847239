//! Wrong input gives one message that names the file, what was expected, and what to do.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{
    IDX_NAMES, cifar_records, gzip, idx, idx_images, idx_labels, tar_gz, write_idx, write_png,
};
use onecycle_vision::{FolderOptions, Source};

/// One mistake: how it is made in an empty folder, and what the message must say.
struct Case {
    name: &'static str,
    /// Makes the mistake; gives what is to be loaded.
    make: Box<dyn Fn(&Path) -> Source>,
    /// Pieces of the message: the file, the cause, the way out.
    says: &'static [&'static str],
}

fn case(
    name: &'static str,
    says: &'static [&'static str],
    make: impl Fn(&Path) -> Source + 'static,
) -> Case {
    Case {
        name,
        make: Box::new(make),
        says,
    }
}

fn at(path: impl Into<PathBuf>) -> Source {
    Source {
        folder: FolderOptions {
            size: 8,
            cache: false,
            ..FolderOptions::default()
        },
        ..Source::at(path)
    }
}

fn named(name: &str, path: impl Into<PathBuf>) -> Source {
    Source {
        name: Some(name.to_owned()),
        ..at(path)
    }
}

/// A small IDX set in which one file is replaced.
fn idx_with(
    says: &'static [&'static str],
    name: &'static str,
    file: usize,
    bytes: Vec<u8>,
) -> Case {
    case(name, says, move |folder| {
        write_idx(folder);
        fs::write(folder.join(IDX_NAMES[file]), &bytes).unwrap();
        at(folder)
    })
}

/// An archive of CIFAR-10 with these bytes.
fn archive_with(says: &'static [&'static str], name: &'static str, bytes: Vec<u8>) -> Case {
    case(name, says, move |folder| {
        let path = folder.join("cifar-10-binary.tar.gz");
        fs::write(&path, &bytes).unwrap();
        at(path)
    })
}

/// A folder of images, changed by `change`.
fn images_with(
    says: &'static [&'static str],
    name: &'static str,
    change: impl Fn(&Path) + 'static,
) -> Case {
    case(name, says, move |folder| {
        for file in ["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"] {
            write_png(&folder.join("train").join(file), 9, 9, [10, 20, 30]);
        }
        change(folder);
        at(folder)
    })
}

fn idx_cases() -> Vec<Case> {
    let images = idx_images(6, 5);
    let mut flipped = gzip(&images);
    let middle = flipped.len() - 6;
    flipped[middle] ^= 0xff;
    vec![
        idx_with(&["train-images", "empty", "fetch"], "empty file", 0, vec![]),
        idx_with(
            &["train-images", "cut off", "16 bytes of header", "found 6"],
            "half a header",
            0,
            images[..6].to_vec(),
        ),
        idx_with(
            &[
                "train-images",
                "cut off",
                "150 bytes of pixels",
                "found 149",
                "fetch",
            ],
            "truncated pixels",
            0,
            gzip(&images[..images.len() - 1]),
        ),
        idx_with(
            &["train-images", "cut off", "150 bytes of pixels", "found 24"],
            "truncated pixels, not packed",
            0,
            images[..40].to_vec(),
        ),
        idx_with(
            &["train-images", "150", "more"],
            "a byte too many",
            0,
            [&images[..], &[0]].concat(),
        ),
        idx_with(
            &["train-images", "gzip", "cut off", "fetch"],
            "truncated gzip",
            0,
            {
                let packed = gzip(&images);
                packed[..packed.len() - 12].to_vec()
            },
        ),
        idx_with(
            &["train-images", "gzip", "damaged"],
            "wrong gzip checksum",
            0,
            flipped,
        ),
        idx_with(
            &[
                "train-labels",
                "labels (0x00000801)",
                "0x00000803",
                "mixed up",
            ],
            "images where labels belong",
            1,
            images.clone(),
        ),
        idx_with(
            &[
                "t10k-images",
                "images (0x00000803)",
                "0x00000801",
                "mixed up",
            ],
            "labels where images belong",
            2,
            idx_labels(&[0, 1, 2, 0]),
        ),
        idx_with(
            &["train-images", "web page", "fetch"],
            "a page of an error",
            0,
            b"<html>404</html>".to_vec(),
        ),
        idx_with(
            &["train-images", "type 0x0d"],
            "floats",
            0,
            idx(0x0d03, &[1, 1, 1], &[0; 4]),
        ),
        idx_with(
            &["train-images", "gzip data within gzip"],
            "packed twice",
            0,
            gzip(&gzip(&images)),
        ),
        idx_with(&["train-images", "no IDX file"], "noise", 0, vec![200; 64]),
        idx_with(
            &["train-images", "6 images", "train-labels", "5 labels"],
            "numbers that differ",
            1,
            idx_labels(&[0, 1, 2, 0, 1]),
        ),
        idx_with(
            &["t10k-labels", "image 2", "label of", "is 3", "3 classes"],
            "label without a class",
            3,
            idx_labels(&[0, 1, 3, 0]),
        ),
        idx_with(
            &["train-images", "no images"],
            "no image",
            0,
            idx(0x803, &[0, 5, 5], &[]),
        ),
        idx_with(
            &["train-labels", "`1`", "only class"],
            "one class",
            1,
            idx_labels(&[1; 6]),
        ),
        idx_with(
            &["t10k-images", "1x6x6", "1x5x5"],
            "another size",
            2,
            idx_images(4, 6),
        ),
        // 4 billion images in a few bytes: refused before any memory is taken.
        idx_with(
            &[
                "train-images",
                "4294967295 images of 16384x16384",
                "can hold",
            ],
            "sizes that cannot be",
            0,
            gzip(&idx(0x803, &[u32::MAX, 16_384, 16_384], &[])),
        ),
        idx_with(
            &["train-images", "a side must be"],
            "no width",
            0,
            idx(0x803, &[6, 5, 0], &[]),
        ),
        // A megabyte of zeros behind a header of 150 pixels.
        idx_with(
            &["train-images", "150", "more"],
            "contents far beyond the header",
            0,
            gzip(&[&images[..], &vec![0; 1 << 20]].concat()),
        ),
        case(
            "a file missing",
            &["t10k-labels-idx1-ubyte.gz", "missing", "four files"],
            |folder| {
                write_idx(folder);
                fs::remove_file(folder.join(IDX_NAMES[3])).unwrap();
                at(folder)
            },
        ),
        case(
            "labels of a known set",
            &["train-labels", "image 1", "is 10", "10 classes"],
            |folder| {
                write_idx(folder);
                fs::write(folder.join(IDX_NAMES[1]), idx_labels(&[0, 10, 2, 0, 1, 2])).unwrap();
                named("mnist", folder)
            },
        ),
    ]
}

fn cifar_cases() -> Vec<Case> {
    let whole = cifar_records(10_000, |index| vec![(index % 10) as u8]);
    let mut mislabelled = whole.clone();
    mislabelled[3073 * 4] = 10;
    let packed = gzip(&b"hello, world".repeat(1000));
    vec![
        archive_with(
            &["cifar-10-binary.tar.gz", "empty", "fetch"],
            "empty archive",
            vec![],
        ),
        archive_with(
            &["cifar-10-binary.tar.gz", "not a readable"],
            "no archive",
            b"hello, world".to_vec(),
        ),
        archive_with(
            &["cifar-10-binary.tar.gz", "gzip", "cut off"],
            "archive cut off",
            {
                let packed = tar_gz(&[("cifar-10-batches-bin/data_batch_1.bin", &whole)]);
                packed[..packed.len() / 2].to_vec()
            },
        ),
        archive_with(
            &["cifar-10-binary.tar.gz", "not a readable"],
            "packed, but no archive",
            packed,
        ),
        archive_with(
            &[
                "cifar-10-binary.tar.gz",
                "../../data_batch_1.bin",
                "outside",
            ],
            "an entry that climbs out",
            tar_gz(&[("../../data_batch_1.bin", &whole)]),
        ),
        archive_with(
            &["cifar-10-binary.tar.gz", "/etc/data_batch_1.bin", "outside"],
            "an entry with an absolute path",
            tar_gz(&[("/etc/data_batch_1.bin", &whole)]),
        ),
        archive_with(
            &["data_batch_2.bin", "missing", "CIFAR-10"],
            "a part missing",
            tar_gz(&[("cifar-10-batches-bin/data_batch_1.bin", &whole)]),
        ),
        archive_with(
            &["data_batch_1.bin", "cut off", "30730000", "30726927"],
            "a record missing",
            tar_gz(&[("cifar-10-batches-bin/data_batch_1.bin", &whole[3073..])]),
        ),
        archive_with(
            &["data_batch_1.bin", "twice"],
            "a part twice",
            tar_gz(&[
                ("a/data_batch_1.bin", &whole),
                ("b/data_batch_1.bin", &whole),
            ]),
        ),
        case(
            "label out of range",
            &["data_batch_1.bin", "image 4", "is 10", "10 classes"],
            move |folder| {
                for k in 1..=5 {
                    let bytes = if k == 1 { &mislabelled } else { &whole };
                    fs::write(folder.join(format!("data_batch_{k}.bin")), bytes).unwrap();
                }
                fs::write(folder.join("test_batch.bin"), &whole).unwrap();
                at(folder)
            },
        ),
        case(
            "a file too long",
            &["train.bin", "153700000", "more"],
            |folder| {
                let file = fs::File::create(folder.join("train.bin")).unwrap();
                file.set_len(153_700_001).unwrap();
                at(folder)
            },
        ),
        case(
            "an empty file of records",
            &["test_batch.bin", "empty"],
            |folder| {
                fs::write(folder.join("test_batch.bin"), []).unwrap();
                at(folder)
            },
        ),
    ]
}

fn folder_cases() -> Vec<Case> {
    vec![
        case(
            "nothing there",
            &["nowhere", "no such file or folder", "expected"],
            |folder| at(folder.join("nowhere")),
        ),
        case(
            "an empty folder",
            &["no images", "a folder for each class"],
            |folder| at(folder),
        ),
        case(
            "a file of another kind",
            &["notes.txt", "not a data set"],
            |folder| {
                fs::write(folder.join("notes.txt"), "hello").unwrap();
                at(folder.join("notes.txt"))
            },
        ),
        case(
            "an unknown name",
            &["imagenet", "fashion-mnist, mnist"],
            |folder| named("imagenet", folder),
        ),
        case(
            "images where MNIST was asked for",
            &["a folder of images", "`mnist`", "change"],
            |folder| {
                write_png(&folder.join("cat/1.png"), 9, 9, [0; 3]);
                write_png(&folder.join("dog/1.png"), 9, 9, [0; 3]);
                named("mnist", folder)
            },
        ),
        images_with(
            &["bird", "no .png", "remove the folder"],
            "a class without images",
            |folder| {
                fs::create_dir(folder.join("train/bird")).unwrap();
                fs::write(folder.join("train/bird/notes.txt"), "none yet").unwrap();
            },
        ),
        images_with(&["`cat`", "only class"], "one class", |folder| {
            fs::remove_dir_all(folder.join("train/dog")).unwrap();
        }),
        images_with(
            &["2.png", "not a readable", "repair or remove"],
            "an image cut off",
            |folder| {
                let path = folder.join("train/dog/2.png");
                let bytes = fs::read(&path).unwrap();
                fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            },
        ),
        images_with(
            &["1.png", "not a readable", "nor are 2 other files"],
            "three files of text",
            |folder| {
                for file in ["cat/1.png", "cat/2.png", "dog/2.png"] {
                    fs::write(folder.join("train").join(file), "no image").unwrap();
                }
            },
        ),
        images_with(
            &["1.png", "not a readable", "repair or remove"],
            "a size beyond all bounds",
            |folder| {
                // The header claims 60000x60000 pixels; its checksum is right.
                let path = folder.join("train/cat/1.png");
                let mut bytes = fs::read(&path).unwrap();
                bytes[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
                let mut crc = flate2::Crc::new();
                crc.update(&bytes[12..29]);
                bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
                fs::write(&path, bytes).unwrap();
            },
        ),
        images_with(&["2.jpg", "not a readable"], "an empty image", |folder| {
            fs::write(folder.join("train/dog/2.jpg"), []).unwrap();
        }),
        images_with(
            &["fish", "not in the training folder"],
            "an unknown class to validate",
            |folder| {
                write_png(&folder.join("val/fish/1.png"), 9, 9, [0; 3]);
            },
        ),
        images_with(
            &["test", "no images"],
            "an empty folder to validate",
            |folder| {
                fs::create_dir(folder.join("test")).unwrap();
            },
        ),
        images_with(&["`size` is 0", "1 to 1024"], "no size", |_| {}),
        images_with(
            &["`validation` is 1", "below 1"],
            "all for validation",
            |_| {},
        ),
    ]
}

#[test]
fn every_mistake_has_its_message() {
    let mut count = 0;
    for Case { name, make, says } in [idx_cases(), cifar_cases(), folder_cases()]
        .into_iter()
        .flatten()
    {
        let folder = tempfile::tempdir().unwrap();
        let mut source = make(folder.path());
        match name {
            "no size" => source.folder.size = 0,
            "all for validation" => source.folder.validation = 1.0,
            _ => {}
        }
        let Err(error) = source.load() else {
            panic!("{name}: no error")
        };
        let message = error.to_string();
        println!(
            "{name}:\n    {}",
            message.replace(&folder.path().display().to_string(), "DATA")
        );
        for piece in says {
            assert!(
                message.contains(piece),
                "{name}: `{piece}` is not in: {message}"
            );
        }
        assert!(
            message.lines().count() == 1,
            "{name}: more than one line: {message}"
        );
        count += 1;
    }
    assert!(count >= 20, "{count} cases");
}
