//! Mistakes in data, each with the expected parts of its error message.
//!
//! Two tests use this table: the one of the library reads the data, the one of the command runs the
//! binary with them.
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod files;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use files::{
    IDX_NAMES, cifar_records, gzip, idx, idx_images, idx_labels, tar_gz, write_idx, write_png,
};
use onecycle_vision::{FolderOptions, Source};

/// One mistake: how to make it in an empty folder, and what the message must contain.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Makes the mistake and returns the source to load.
    pub(crate) make: Box<dyn Fn(&Path) -> Source>,
    /// Parts of the message: the file, the cause, the remedy.
    pub(crate) says: &'static [&'static str],
}

/// All mistakes.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = idx_cases();
    cases.extend(cifar_cases());
    cases.extend(folder_cases());
    #[cfg(unix)]
    cases.extend(unix_cases());
    cases
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
            size: 8.into(),
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

/// A small IDX set with one file replaced.
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

/// These bytes under the name of the CIFAR-10 archive.
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
        idx_with(
            &["train-images", "not an IDX file"],
            "noise",
            0,
            vec![200; 64],
        ),
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
        // 4 billion images in a few bytes: rejected before memory is allocated.
        idx_with(
            &[
                "train-images",
                "4294967295 images of 16384x16384",
                "can hold at most",
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
        // A gigabyte of zeros in a megabyte: reading stops at the size in the header.
        idx_with(
            &["train-images", "150", "more"],
            "a decompression bomb of images",
            0,
            bomb(&images, 1 << 30),
        ),
        idx_with(
            &["train-labels", "6 bytes of labels", "more"],
            "a decompression bomb of labels",
            1,
            bomb(&idx_labels(&[0, 1, 2, 0, 1, 2]), 1 << 30),
        ),
        case(
            "a folder where a file belongs",
            &["train-labels-idx1-ubyte.gz", "missing"],
            |folder| {
                write_idx(folder);
                fs::remove_file(folder.join(IDX_NAMES[1])).unwrap();
                fs::create_dir(folder.join(IDX_NAMES[1])).unwrap();
                at(folder)
            },
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
        archive_with(
            &["data_batch_1.bin", "link or folder"],
            "a symbolic link for a part",
            tar_gz_of(tar::EntryType::Symlink, "data_batch_1.bin", &[]),
        ),
        archive_with(
            &["data_batch_1.bin", "link or folder"],
            "a hard link for a part",
            tar_gz_of(tar::EntryType::Link, "data_batch_1.bin", &[]),
        ),
        archive_with(
            &["data_batch_1.bin", "link or folder"],
            "a folder for a part",
            tar_gz_of(tar::EntryType::Directory, "data_batch_1.bin", &[]),
        ),
        archive_with(
            &["cifar-10-binary.tar.gz", "not a readable"],
            "a decompression bomb of an entry",
            gzip_of_tar_with_zeros(4 << 30, 1 << 30),
        ),
        archive_with(
            &["data_batch_1.bin", "missing"],
            "names that are not UTF-8",
            tar_gz_named(b"cifar-10-batches-bin/\xff\xfe.bin", &whole),
        ),
        archive_with(
            &["cifar-10-binary.tar.gz", "not a readable"],
            "a header that was altered",
            {
                let mut archive = tar_of("cifar-10-batches-bin/data_batch_1.bin", &whole);
                archive[3] ^= 1;
                gzip(&archive)
            },
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
            &["no images", "a folder of images for each class"],
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
            &["bird", "no image that can be read", "remove the folder"],
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
            &["2.png", "cannot be read", "repair or remove"],
            "an image cut off",
            |folder| {
                let path = folder.join("train/dog/2.png");
                let bytes = fs::read(&path).unwrap();
                fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            },
        ),
        images_with(
            &["1.png", "3 images cannot be read", "2.png"],
            "three files of text",
            |folder| {
                for file in ["cat/1.png", "cat/2.png", "dog/2.png"] {
                    fs::write(folder.join("train").join(file), "no image").unwrap();
                }
            },
        ),
        images_with(
            &["1.png", "cannot be read", "repair or remove"],
            "a size beyond all bounds",
            |folder| {
                resize_header(&folder.join("train/cat/1.png"), 60_000);
            },
        ),
        images_with(
            &["1.png", "cannot be read", "repair or remove"],
            "a decompression bomb of an image",
            |folder| {
                // 16000x16000 pixels are within the longest side, but not within the memory limit.
                let path = folder.join("train/cat/1.png");
                resize_header(&path, 16_000);
            },
        ),
        images_with(
            &["1.png", "cannot be read"],
            "pixels that are fewer than the header says",
            |folder| resize_header(&folder.join("train/cat/1.png"), 4_000),
        ),
        images_with(&["2.jpg", "cannot be read"], "an empty image", |folder| {
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

/// Mistakes that are only possible on Unix: links, pipes, names that are not UTF-8.
#[cfg(unix)]
fn unix_cases() -> Vec<Case> {
    use std::{
        ffi::OsStr,
        os::unix::{ffi::OsStrExt, fs::symlink},
        process::Command,
    };
    vec![
        images_with(
            &["pipe.png", "not a regular file", "remove"],
            "a pipe that nobody writes to",
            |folder| {
                let path = folder.join("train/cat/pipe.png");
                assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
            },
        ),
        images_with(
            &["not UTF-8", "rename"],
            "a class whose name is no text",
            |folder| {
                let class = folder.join("train").join(OsStr::from_bytes(b"b\xffrd"));
                write_png(&class.join("1.png"), 9, 9, [0; 3]);
            },
        ),
        images_with(
            &[".png", "cannot be read"],
            "a bad image whose name is no text",
            |folder| {
                let path = folder
                    .join("train/cat")
                    .join(OsStr::from_bytes(b"\xff.png"));
                fs::write(path, "no image").unwrap();
            },
        ),
        case(
            "a data set that is a pipe",
            &["pipe", "not a data set"],
            |folder| {
                let path = folder.join("pipe");
                assert!(
                    Command::new("mkfifo")
                        .arg(&path)
                        .status()
                        .unwrap()
                        .success()
                );
                at(path)
            },
        ),
        case(
            "an archive that is a link to nowhere",
            &["cifar-10-binary.tar.gz", "no such file"],
            |folder| {
                let path = folder.join("cifar-10-binary.tar.gz");
                symlink("nowhere", &path).unwrap();
                at(path)
            },
        ),
    ]
}

/// Unusual but valid images: name and contents.
pub(crate) fn unusual_images() -> Vec<(&'static str, Vec<u8>)> {
    use image::{DynamicImage, ImageFormat};
    let png = |image: DynamicImage| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    vec![
        ("cmyk.jpg", include_bytes!("cmyk.jpg").to_vec()),
        ("animated.png", include_bytes!("animated.png").to_vec()),
        ("sixteen-bit.png", png(DynamicImage::new_rgb16(7, 5))),
        ("sixteen-bit-grey.png", png(DynamicImage::new_luma16(7, 5))),
        ("alpha.png", png(DynamicImage::new_rgba8(7, 5))),
        ("grey-alpha.png", png(DynamicImage::new_luma_a8(7, 5))),
        ("one-pixel.png", png(DynamicImage::new_rgb8(1, 1))),
        ("long.png", png(DynamicImage::new_rgb8(3000, 1))),
        ("large.png", png(DynamicImage::new_luma8(700, 500))),
        // The contents decide the format, not the name.
        ("a-png.jpg", png(DynamicImage::new_rgb8(9, 9))),
    ]
}

pub(crate) const ANIMATED_GIF: &[u8] = include_bytes!("animated.gif");

/// Writes this size into the header of a PNG, its checksum included.
fn resize_header(path: &Path, side: u32) {
    let mut bytes = fs::read(path).unwrap();
    bytes[16..20].copy_from_slice(&side.to_be_bytes());
    bytes[20..24].copy_from_slice(&side.to_be_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    fs::write(path, bytes).unwrap();
}

/// Gzip of some bytes followed by this number of zeros.
fn bomb(start: &[u8], zeros: u64) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(start).unwrap();
    std::io::copy(
        &mut std::io::Read::take(std::io::repeat(0), zeros),
        &mut encoder,
    )
    .unwrap();
    encoder.finish().unwrap()
}

fn tar_header(kind: tar::EntryType, name: &[u8], size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_entry_type(kind);
    header.set_cksum();
    header
}

fn tar_entry(header: &tar::Header, bytes: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    archive.append(header, bytes).unwrap();
    archive.into_inner().unwrap()
}

fn tar_of(name: &str, bytes: &[u8]) -> Vec<u8> {
    let header = tar_header(tar::EntryType::Regular, name.as_bytes(), bytes.len() as u64);
    tar_entry(&header, bytes)
}

fn tar_gz_named(name: &[u8], bytes: &[u8]) -> Vec<u8> {
    let header = tar_header(tar::EntryType::Regular, name, bytes.len() as u64);
    gzip(&tar_entry(&header, bytes))
}

/// An archive with one entry of any type; a link points to `/etc/passwd`.
fn tar_gz_of(kind: tar::EntryType, name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = tar_header(kind, name.as_bytes(), bytes.len() as u64);
    header.set_link_name("/etc/passwd").unwrap();
    header.set_cksum();
    gzip(&tar_entry(&header, bytes))
}

/// An archive whose only entry, which is not a file of records, claims `size` zeros and has
/// `zeros`.
fn gzip_of_tar_with_zeros(size: u64, zeros: u64) -> Vec<u8> {
    let header = tar_header(
        tar::EntryType::Regular,
        b"cifar-10-batches-bin/readme.html",
        size,
    );
    bomb(header.as_bytes(), zeros)
}
