//! A policy and the length of a run: resolving must return an error, or a plan whose rates are finite
//! at every step.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onecycle::{Policy, Preset, Run};

/// Steps that are checked; longer plans use the same formulas.
const STEPS: u64 = 200;

fuzz_target!(|bytes: &[u8]| {
    let Some((steps, text)) = bytes.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let Ok(preset) = toml::from_str::<Preset>(text) else {
        return;
    };
    let run = Run::epochs(f64::from(*steps) / 8.0, 100, 10);
    let plan = Policy::from_preset(preset).and_then(|policy| policy.resolve(&run));
    match plan {
        Ok(plan) => {
            for step in 0..plan.steps().min(STEPS) {
                let hyper = plan.at(step);
                assert!(hyper.lr.is_finite(), "step {step}: {hyper:?}");
            }
            assert!(plan.at(u64::MAX).lr.is_finite());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
