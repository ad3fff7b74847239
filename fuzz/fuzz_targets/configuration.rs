//! A configuration file: it must be an error, or a configuration that equals itself after writing and
//! reading.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use onecycle_train::{config::Layers, experiment};

fuzz_target!(|bytes: &[u8]| {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), bytes).expect("a temporary file");
    let read = || Layers::new()?.file(file.path())?.resolve();
    match read() {
        Ok(config) => {
            let text = config.to_toml().expect("a valid configuration is TOML");
            fs::write(file.path(), text).expect("a temporary file");
            assert_eq!(read().expect("a written configuration can be read"), config);
            // Making the plan of a run must succeed or return an error.
            let _ = experiment::plan(&config, Some(1000));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
