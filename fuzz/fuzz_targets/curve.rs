//! A recorded curve in CSV or JSON, and the same bytes as `range_test.json`. Every rate that a rule
//! suggests must be finite and at most the largest rate of the curve.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use onecycle_plot::terminal::Charset;
use onecycle_train::lr_search::{
    found::{self, RangeTestResult},
    suggest::{self, Suggestions},
};

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("curve");
    fs::write(&path, bytes).expect("a temporary file");
    match suggest::read_curve(&path) {
        Ok(curve) => {
            let suggestions = Suggestions::of(&curve);
            let largest = curve.lr().iter().copied().fold(0.0, f64::max);
            let named = [suggestions.one_cycle_max, suggestions.constant]
                .into_iter()
                .flatten();
            for lr in named.chain(suggestions.rules.values().filter_map(|answer| answer.lr)) {
                assert!(
                    lr.is_finite() && lr >= 0.0 && lr <= largest,
                    "{lr}: {suggestions:?}"
                );
            }
            assert!(!suggestions.table().is_empty());
            fs::write(&path, suggest::to_csv(&curve)).expect("a temporary file");
            let again = suggest::read_curve(&path).expect("a written curve can be read");
            // Compare as text, because NaN does not equal itself.
            assert_eq!(format!("{again:?}"), format!("{curve:?}"));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let path = folder.path().join("range_test.json");
    fs::write(&path, bytes).expect("a temporary file");
    match RangeTestResult::read(&path) {
        Ok(result) => {
            assert!(!result.table().is_empty() && !result.csv().is_empty());
            let _ = result.terminal(80, 14, Charset::Braille);
            let _ = found::figure(&result);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
