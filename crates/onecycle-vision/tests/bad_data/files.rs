//! Writes small data sets in the formats of the published ones, and finds those on this machine.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used)] // A failed unwrap is a failed test.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use image::{Rgb, RgbImage};

/// A published data set that is not part of the repository, for tests that are ignored by default.
///
/// `ONECYCLE_SHARED` names a folder that has it in `data/`.
pub(crate) fn shared(name: &str) -> PathBuf {
    let shared = std::env::var_os("ONECYCLE_SHARED").expect("ONECYCLE_SHARED is not set");
    let path = Path::new(&shared).join("data").join(name);
    assert!(path.exists(), "{} does not exist", path.display());
    path
}

/// The copy of Fashion-MNIST in the repository.
pub(crate) fn embedded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/fashion-mnist")
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    gzip_with(bytes, Compression::fast())
}

/// Other bytes than [`gzip`] with the same contents.
pub(crate) fn gzip_best(bytes: &[u8]) -> Vec<u8> {
    gzip_with(bytes, Compression::best())
}

fn gzip_with(bytes: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut contents = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut contents).unwrap();
    contents
}

/// An IDX file: magic number, sizes, values.
pub(crate) fn idx(magic: u32, sizes: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = magic.to_be_bytes().to_vec();
    for size in sizes {
        bytes.extend_from_slice(&size.to_be_bytes());
    }
    bytes.extend_from_slice(values);
    bytes
}

pub(crate) fn idx_images(count: u32, side: u32) -> Vec<u8> {
    let values: Vec<u8> = (0..count * side * side)
        .map(|i| (i * 7 % 256) as u8)
        .collect();
    idx(0x803, &[count, side, side], &values)
}

pub(crate) fn idx_labels(labels: &[u8]) -> Vec<u8> {
    idx(0x801, &[labels.len() as u32], labels)
}

pub(crate) const IDX_NAMES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// A small set of four whole IDX files: 6 training and 4 test images of 5x5 pixels.
pub(crate) fn write_idx(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let files = [
        idx_images(6, 5),
        idx_labels(&[0, 1, 2, 0, 1, 2]),
        idx_images(4, 5),
        idx_labels(&[2, 1, 0, 0]),
    ];
    for (name, bytes) in IDX_NAMES.iter().zip(files) {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

/// A PNG of one colour with a lighter pixel that tells images apart.
pub(crate) fn write_png(path: &Path, width: u32, height: u32, colour: [u8; 3]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut image = RgbImage::from_pixel(width, height, Rgb(colour));
    image.put_pixel(0, 0, Rgb([255; 3]));
    image.save(path).unwrap();
}

/// An archive of these entries, as `tar czf` would write it.
pub(crate) fn tar_gz(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        // Written straight into the header: the builder itself refuses names that climb out.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        archive.append(&header, *bytes).unwrap();
    }
    gzip(&archive.into_inner().unwrap())
}

/// Records as in CIFAR: label bytes, then 3072 pixel values that depend on the record.
pub(crate) fn cifar_records(count: usize, labels: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for index in 0..count {
        bytes.extend_from_slice(&labels(index));
        bytes.resize(bytes.len() + 3072, (index % 251) as u8);
    }
    bytes
}
