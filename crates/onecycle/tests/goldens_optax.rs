//! Every recorded series of optax, by way of the configuration form of the presets.
//!
//! The numbers were printed by `[float(schedule(n)) for n in range(steps)]`, not jitted, with 64 bit enabled.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Deviations, arguments, golden, list, numbers, preset};
use onecycle::{Policy, PolicyError, Run};
use serde_json::Value;

fn keys(func: &str, kwargs: &Value) -> Value {
    let kind = format!("optax_{}", func.strip_suffix("_schedule").unwrap_or(func));
    match func {
        "join_schedules" => {
            let schedules: Vec<Value> = list(kwargs, "schedules")
                .iter()
                .map(|inner| keys(inner["func"].as_str().unwrap(), &inner["kwargs"]))
                .collect();
            arguments(kwargs, "optax_join", &[("schedules", schedules.into())])
        }
        _ => arguments(kwargs, &kind, &[]),
    }
}

#[test]
fn every_case() {
    let Some(goldens) = golden("schedules_optax.json") else {
        return;
    };
    let mut deviations = Deviations::default();
    for case in list(&goldens, "cases") {
        let (name, func) = (
            case["name"].as_str().unwrap(),
            case["func"].as_str().unwrap(),
        );
        let policy = Policy::from_preset(preset(keys(func, &case["kwargs"])).unwrap()).unwrap();
        let steps = case["steps"].as_u64().unwrap();
        let plan = policy.resolve(&Run::steps(steps)).unwrap();
        let lr: Vec<f64> = (0..steps).map(|n| plan.at(n).lr).collect();
        deviations.compare(func, name, &lr, &numbers(&case["values"]));
        assert_eq!(plan.at(0).momentum, None);
    }
    assert_eq!(deviations.report(), 47);
    // Sums, products and quotients alone: the same bits wherever IEEE arithmetic is.
    for func in ["linear_onecycle_schedule", "linear_schedule"] {
        assert_eq!(deviations.of(func), 0.0, "{func}");
    }
}

#[test]
fn what_optax_raises_on() {
    let Some(goldens) = golden("schedules_optax.json") else {
        return;
    };
    let raises = list(&goldens, "raises");
    assert_eq!(raises.len(), 5);
    for case in raises {
        let name = case["name"].as_str().unwrap();
        let preset = preset(keys(case["func"].as_str().unwrap(), &case["kwargs"]));
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
