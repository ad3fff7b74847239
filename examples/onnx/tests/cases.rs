//! Compares every network with the logits that onecycle has computed. `scripts/check_onnx.sh` writes
//! the cases and runs this test.

use std::{env, fs, path::PathBuf};

use onecycle_onnx_example::Classifier;

/// Largest accepted difference of a logit.
const TOLERANCE: f32 = 1e-4;

#[test]
fn every_network_gives_the_same_logits() {
    let folder = env::var("ONNX_CASES").expect("the folder of `cargo run --example onnx_cases`");
    let files = fs::read_dir(&folder).expect(&folder);
    let mut files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "onnx"));
    files.sort();
    let mut largest: f32 = 0.0;
    for file in &files {
        let classifier = Classifier::open(file).unwrap_or_else(|e| panic!("{file:?}: {e:?}"));
        let images = fs::read(file.with_extension("images")).unwrap();
        let expected = fs::read(file.with_extension("logits")).unwrap();
        let expected = expected.as_chunks::<4>().0.iter();
        let expected: Vec<f32> = expected.map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let outputs = classifier.run(&images).unwrap();
        assert_eq!(outputs.logits.concat().len(), expected.len());
        for (ours, theirs) in expected.iter().zip(outputs.logits.concat()) {
            // Written so that NaN fails.
            let near = (ours - theirs).abs() <= TOLERANCE;
            assert!(near, "{}: {ours}, tract {theirs}", file.display());
            largest = largest.max((ours - theirs).abs());
        }
        for row in &outputs.probabilities {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
        // One image alone, because the number of images is free.
        let alone = classifier.run(&images[..classifier.image_len()]).unwrap();
        for (ours, theirs) in expected.iter().zip(&alone.logits[0]) {
            assert!((ours - theirs).abs() <= TOLERANCE, "{}", file.display());
        }
    }
    println!("{} networks, largest difference {largest:.2e}", files.len());
    assert!(files.len() >= 39, "only {} cases", files.len());
}
