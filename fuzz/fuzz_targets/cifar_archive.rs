//! An archive of CIFAR-10 with arbitrary bytes, or arbitrary content compressed by gzip: loading must
//! succeed or return an error.
#![no_main]

use std::{fs, io::Write};

use flate2::{Compression, write::GzEncoder};
use libfuzzer_sys::fuzz_target;
use onecycle_vision::Source;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, contents)) = bytes.split_first() else {
        return;
    };
    let bytes = match first & 1 {
        0 => contents.to_vec(),
        _ => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(contents).expect("memory");
            encoder.finish().expect("memory")
        }
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("cifar-10-binary.tar.gz");
    fs::write(&path, bytes).expect("a temporary file");
    if let Err(error) = Source::at(path).load() {
        assert!(!error.to_string().is_empty());
    }
});
