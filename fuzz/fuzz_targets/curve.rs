//! A recorded curve, as CSV or JSON: what the rules say of it is a rate that it visited, or none. The same bytes as a
//! `range_test.json`.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use onecycle_lab::{
    find::{self, Found},
    plan_view::Charset,
    suggest::{self, Suggestions},
};

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("curve");
    fs::write(&path, bytes).expect("a temporary file");
    match suggest::read_curve(&path) {
        Ok(curve) => {
            let said = Suggestions::of(&curve);
            let largest = curve.lr().iter().copied().fold(0.0, f64::max);
            let named = [said.one_cycle_max, said.constant].into_iter().flatten();
            for lr in named.chain(said.rules.values().filter_map(|answer| answer.lr)) {
                assert!(lr.is_finite() && lr >= 0.0 && lr <= largest, "{lr}: {said:?}");
            }
            assert!(!said.table().is_empty());
            fs::write(&path, suggest::to_csv(&curve)).expect("a temporary file");
            let again = suggest::read_curve(&path).expect("what was written can be read");
            // As text: a loss that is not a number equals nothing.
            assert_eq!(format!("{again:?}"), format!("{curve:?}"));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let path = folder.path().join("range_test.json");
    fs::write(&path, bytes).expect("a temporary file");
    match Found::read(&path) {
        Ok(found) => {
            assert!(!found.table().is_empty() && !found.csv().is_empty());
            let _ = found.terminal(80, 14, Charset::Braille);
            let _ = find::figure(&found);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
