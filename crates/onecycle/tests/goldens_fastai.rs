//! Every recorded series of fastai: annealers, combinations of them, and what real fits had in force.
//!
//! Positions are float32 in fastai's combined schedules, and so they are here: the numbers come out exactly, up to
//! what the C library's `cos` and `pow` leave open.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Deviations, arguments, golden, list, numbers, preset};
use onecycle::{Policy, PolicyError, Preset, Run, fastai::Annealer};
use serde_json::{Value, json};

#[test]
fn annealers() {
    let Some(goldens) = golden("schedules_fastai.json") else {
        return;
    };
    let mut deviations = Deviations::default();
    for case in list(&goldens, "annealers") {
        let func = case["func"].as_str().unwrap();
        let annealer: Annealer =
            serde_json::from_value(json!({ "func": func, "args": case["args"] })).unwrap();
        let values: Vec<f64> = numbers(&case["pos"])
            .iter()
            .map(|p| annealer.value(*p))
            .collect();
        deviations.compare(
            func,
            case["name"].as_str().unwrap(),
            &values,
            &numbers(&case["values"]),
        );
    }
    assert_eq!(deviations.report(), 13);
}

#[test]
fn combined() {
    let Some(goldens) = golden("schedules_fastai.json") else {
        return;
    };
    let mut deviations = Deviations::default();
    for case in list(&goldens, "combined") {
        let (name, func) = (
            case["name"].as_str().unwrap(),
            case["func"].as_str().unwrap(),
        );
        let preset = preset(arguments(&case["args"], &format!("fastai_{func}"), &[])).unwrap();
        let positions = numbers(&case["pos"]);
        let mut ours: Vec<f64> = positions
            .iter()
            .map(|position| match &preset {
                Preset::FastaiCombinedCos(cos) => cos.at_position(*position),
                Preset::FastaiCombineScheds(scheds) => scheds.at_position(*position).unwrap(),
                other => panic!("{other:?}"),
            })
            .collect();
        let mut theirs = numbers(&case["values"]);
        if name == "combined_cos_odd_pct_1" {
            // A last phase without length: NaN in fastai, its end value here.
            assert!(theirs.pop().unwrap().is_nan());
            assert_eq!(ours.pop().unwrap(), 0.0);
        }
        deviations.compare(func, name, &ours, &theirs);

        // As a policy it is the same, at n / T. Those with negative values make no learning rate.
        match Policy::from_preset(preset) {
            Ok(policy) => {
                let plan = policy.resolve(&Run::steps(100)).unwrap();
                for (n, ours) in ours.iter().enumerate().take(100) {
                    assert_eq!(plan.at(n as u64).lr, *ours, "{name}: {n}");
                }
            }
            Err(error) => {
                assert!(theirs.iter().any(|value| *value < 0.0), "{name}: {error}");
                assert!(
                    matches!(error, PolicyError::Negative { .. }),
                    "{name}: {error}"
                );
            }
        }
    }
    assert_eq!(deviations.report(), 11);
}

#[test]
fn fits() {
    let Some(goldens) = golden("schedules_fastai.json") else {
        return;
    };
    let (mut rates, mut momenta) = (Deviations::default(), Deviations::default());
    for case in list(&goldens, "fits") {
        let (name, method) = (
            case["name"].as_str().unwrap(),
            case["method"].as_str().unwrap(),
        );
        let kind = match method {
            "fit_one_cycle" => "fastai_one_cycle",
            "fit_flat_cos" => "fastai_flat_cos",
            "fit_sgdr" => "fastai_sgdr",
            other => panic!("{other}"),
        };
        let policy =
            Policy::from_preset(preset(arguments(&case["kwargs"], kind, &[])).unwrap()).unwrap();
        let steps = case["epochs"].as_u64().unwrap() * case["batches_per_epoch"].as_u64().unwrap();
        let plan = policy.resolve(&Run::steps(steps)).unwrap();
        let lr: Vec<f64> = (0..steps).map(|n| plan.at(n).lr).collect();
        rates.compare(method, name, &lr, &numbers(&case["lr"]));
        let momentum: Option<Vec<f64>> = (0..steps).map(|n| plan.at(n).momentum).collect();
        assert_eq!(
            momentum.is_some(),
            case["momentum"].is_array(),
            "{name}: momentum"
        );
        if let Some(momentum) = momentum {
            momenta.compare(method, name, &momentum, &numbers(&case["momentum"]));
        }
    }
    assert_eq!(rates.report(), 15);
    assert_eq!(momenta.report(), 6);
}

#[test]
fn what_fastai_raises_on() {
    let Some(goldens) = golden("schedules_fastai.json") else {
        return;
    };
    let raises = list(&goldens, "raises");
    assert_eq!(raises.len(), 6);
    for case in raises {
        let name = case["name"].as_str().unwrap();
        if name == "fit_sgdr_15" {
            let preset = preset(arguments(&case["kwargs"], "fastai_sgdr", &[])).unwrap();
            let error = Policy::from_preset(preset).unwrap_err();
            assert!(matches!(
                error,
                PolicyError::OutOfRange {
                    name: "cycle_mult",
                    value: 1.0,
                    ..
                }
            ));
            continue;
        }
        let Preset::FastaiCombineScheds(scheds) =
            preset(arguments(&case["args"], "fastai_combine_scheds", &[])).unwrap()
        else {
            panic!("{name}")
        };
        let value = scheds.at_position(0.5);
        match name.strip_prefix("combine_scheds_bad_").unwrap() {
            // Sums of 1 but for rounding: shares like any other.
            "0" | "1" => assert!(value.unwrap().is_finite()),
            "2" | "3" => assert!(matches!(
                value,
                Err(PolicyError::OutOfRange { name: "pcts", .. })
            )),
            "negative" => assert!(matches!(
                value,
                Err(PolicyError::Negative {
                    name: "pcts",
                    value: -0.2
                })
            )),
            other => panic!("{other} is not covered"),
        }
    }
}

/// fastai v1 was not recorded; its formula by hand, for 40 steps, 12 of them up.
#[test]
fn v1_by_hand() {
    let keys: Value = json!({ "kind": "fastai_v1_one_cycle", "lr_max": 0.5 });
    let plan = Policy::from_preset(preset(keys).unwrap())
        .unwrap()
        .resolve(&Run::steps(40))
        .unwrap();
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-15, "{a} for {b}");
    close(plan.at(0).lr, 0.02);
    close(plan.at(6).lr, 0.26);
    close(plan.at(12).lr, 0.5);
    close(plan.at(26).lr, 0.250001); // half way from 0.5 to 0.5 / 25e4
    close(plan.at(0).momentum.unwrap(), 0.95);
    close(plan.at(12).momentum.unwrap(), 0.85);
    close(plan.at(26).momentum.unwrap(), 0.9);
}
