//! A checkpoint with a correct checksum and arbitrary content, and the same bytes as a model file:
//! reading either must succeed or return an error.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use onecycle_train::{
    checkpoint::Checkpoint,
    device::{self, Device},
    predict::Classifier,
};
use sha2::{Digest, Sha256};

fuzz_target!(|payload: &[u8]| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("step-000000001.ckpt");
    let mut bytes = b"1CYCKPT1".to_vec();
    bytes.extend_from_slice(&Sha256::digest(payload));
    bytes.extend_from_slice(payload);
    fs::write(&path, bytes).expect("a temporary file");
    if let Err(error) = Checkpoint::read(&path) {
        assert!(!error.to_string().is_empty());
    }
    let path = folder.path().join("model.safetensors");
    fs::write(&path, payload).expect("a temporary file");
    let device = device::open(Device::Cpu).expect("the CPU is always available");
    if let Err(error) = Classifier::load(&path, &device) {
        assert!(!error.to_string().is_empty());
    }
});
