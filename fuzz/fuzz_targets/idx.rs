//! A data set of four IDX files of which one has arbitrary content, compressed or not. Loading must
//! succeed with consistent data or return an error.
#![no_main]

use std::{fs, io::Write};

use flate2::{Compression, write::GzEncoder};
use libfuzzer_sys::fuzz_target;
use onecycle_vision::Source;

const NAMES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// Two images of 2x2 pixels, or their labels.
const GOOD: [&[u8]; 2] = [
    &[
        0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8,
    ],
    &[0, 0, 8, 1, 0, 0, 0, 2, 0, 1],
];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, contents)) = bytes.split_first() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (index, name) in NAMES.iter().enumerate() {
        let wrong = index == usize::from(first & 3);
        let packed = wrong && first & 4 != 0;
        let bytes = if wrong { contents } else { GOOD[index % 2] };
        let (name, bytes) = match packed {
            true => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(bytes).expect("memory");
                (format!("{name}.gz"), encoder.finish().expect("memory"))
            }
            false => ((*name).to_owned(), bytes.to_vec()),
        };
        fs::write(folder.path().join(name), bytes).expect("a temporary file");
    }
    match Source::at(folder.path()).load() {
        Ok(data) => {
            assert!(
                data.train
                    .images()
                    .all(|image| image.len() == data.shape.len())
            );
            let classes = data.classes.len() as u32;
            assert!(data.train.labels().iter().all(|label| *label < classes));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
