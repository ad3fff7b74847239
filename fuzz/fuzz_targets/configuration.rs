//! A configuration file: whatever it says, it is a configuration that can be written and read again, or an error.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use onecycle_lab::{config::Layers, experiment};

fuzz_target!(|bytes: &[u8]| {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), bytes).expect("a temporary file");
    let read = || Layers::new()?.file(file.path())?.resolve();
    match read() {
        Ok(config) => {
            let text = config.to_toml().expect("a valid configuration is TOML");
            fs::write(file.path(), text).expect("a temporary file");
            assert_eq!(read().expect("what was written can be read"), config);
            // A run of some images: the plan is made or refused.
            let _ = experiment::plan(&config, Some(1000));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
