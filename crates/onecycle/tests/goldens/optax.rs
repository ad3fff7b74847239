//! Every recorded series of optax. The plans are built from the configuration form of the presets,
//! with optax's own arguments.
//!
//! `scripts/goldens/schedules_optax.py` records `[float(schedule(n)) for n in range(steps)]`, not
//! jitted, with 64-bit floats enabled.

use onecycle::{Policy, PolicyError, Run};
use onecycle_test_support::{Deviations, list, numbers, text};
use serde_json::Value;

use crate::{EXACT, ROUNDING, arguments, golden, preset};

fn keys(func: &str, kwargs: &Value) -> Value {
    let kind = format!("optax_{}", func.strip_suffix("_schedule").unwrap_or(func));
    match func {
        "join_schedules" => {
            let schedules: Vec<Value> = list(kwargs, "schedules")
                .iter()
                .map(|inner| keys(text(inner, "func"), &inner["kwargs"]))
                .collect();
            arguments(kwargs, "optax_join", &[("schedules", schedules.into())])
        }
        _ => arguments(kwargs, &kind, &[]),
    }
}

#[test]
fn every_case() {
    let goldens = golden("schedules_optax");
    let mut deviations = Deviations::default();
    for case in list(&goldens, "cases") {
        let (name, func) = (text(case, "name"), text(case, "func"));
        let tolerance = match func {
            "linear_onecycle_schedule" | "linear_schedule" => EXACT,
            _ => ROUNDING,
        };
        let policy = Policy::from_preset(preset(keys(func, &case["kwargs"])).unwrap()).unwrap();
        let steps = case["steps"].as_u64().unwrap();
        let plan = policy.resolve(&Run::steps(steps)).unwrap();
        let lr: Vec<f64> = (0..steps).map(|n| plan.at(n).lr).collect();
        deviations.compare(func, name, &lr, &numbers(&case["values"]), tolerance);
        assert_eq!(plan.at(0).momentum, None);
    }
    assert_eq!(deviations.report(), 47);
}

#[test]
fn configurations_that_optax_refuses() {
    let goldens = golden("schedules_optax");
    let raises = list(&goldens, "raises");
    assert_eq!(raises.len(), 5);
    for case in raises {
        let name = text(case, "name");
        let preset = preset(keys(text(case, "func"), &case["kwargs"]));
        match name.strip_prefix("bad_").unwrap() {
            "cosine_onecycle_no_steps" => {
                let error = Policy::from_preset(preset.unwrap()).unwrap_err();
                assert!(matches!(
                    error,
                    PolicyError::OutOfRange {
                        name: "transition_steps",
                        ..
                    }
                ));
            }
            "linear_onecycle_no_steps" => {
                let message = preset.unwrap_err().to_string();
                assert!(message.contains("-1"), "{message}");
            }
            "warmup_longer_than_decay" => {
                let error = Policy::from_preset(preset.unwrap()).unwrap_err();
                assert!(matches!(
                    error,
                    PolicyError::OutOfRange {
                        name: "warmup_steps",
                        value: 10.0,
                        ..
                    }
                ));
            }
            "negative_scale" => {
                let error = Policy::from_preset(preset.unwrap()).unwrap_err();
                assert!(matches!(
                    error,
                    PolicyError::Negative {
                        name: "boundaries_and_scales",
                        value: -0.1
                    }
                ));
            }
            "interpolate_type" => {
                let message = preset.unwrap_err().to_string();
                assert!(
                    message.contains("cubic") && message.contains("linear"),
                    "{message}"
                );
            }
            other => panic!("{other} is not covered"),
        }
    }
}
