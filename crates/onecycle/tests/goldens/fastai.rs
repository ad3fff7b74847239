//! Every recorded series of fastai: annealers, combinations of annealers, and the learning rates and
//! momenta of real fits.
//!
//! fastai's combined schedules compute positions in float32, and so do ours. The numbers therefore
//! agree except for the last bits of the C library's `cos` and `pow`.

use onecycle::{Policy, PolicyError, Preset, Run, fastai::Annealer};
use onecycle_test_support::{Deviations, list, numbers, text};
use serde_json::{Value, json};

use crate::{ROUNDING, arguments, golden, preset};

#[test]
fn annealers() {
    let goldens = golden("schedules_fastai");
    let mut deviations = Deviations::default();
    for case in list(&goldens, "annealers") {
        let func = text(case, "func");
        let annealer: Annealer =
            serde_json::from_value(json!({ "func": func, "args": case["args"] })).unwrap();
        let values: Vec<f64> = numbers(&case["pos"])
            .iter()
            .map(|p| annealer.value(*p))
            .collect();
        let recorded = numbers(&case["values"]);
        deviations.compare(func, text(case, "name"), &values, &recorded, ROUNDING);
    }
    assert_eq!(deviations.report(), 13);
}

#[test]
fn combined() {
    let goldens = golden("schedules_fastai");
    let mut deviations = Deviations::default();
    for case in list(&goldens, "combined") {
        let (name, func) = (text(case, "name"), text(case, "func"));
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
            // The last phase has no length. fastai returns NaN there, we return its end value.
            assert!(theirs.pop().unwrap().is_nan());
            assert_eq!(ours.pop().unwrap(), 0.0);
        }
        deviations.compare(func, name, &ours, &theirs, ROUNDING);

        // A policy gives the same values at position n / T. It refuses values below zero, because
        // they are no learning rates.
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
    let goldens = golden("schedules_fastai");
    let (mut rates, mut momenta) = (Deviations::default(), Deviations::default());
    for case in list(&goldens, "fits") {
        let (name, method) = (text(case, "name"), text(case, "method"));
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
        rates.compare(method, name, &lr, &numbers(&case["lr"]), ROUNDING);
        let momentum: Option<Vec<f64>> = (0..steps).map(|n| plan.at(n).momentum).collect();
        assert_eq!(
            momentum.is_some(),
            case["momentum"].is_array(),
            "{name}: momentum"
        );
        if let Some(momentum) = momentum {
            let recorded = numbers(&case["momentum"]);
            momenta.compare(method, name, &momentum, &recorded, ROUNDING);
        }
    }
    assert_eq!(rates.report(), 15);
    assert_eq!(momenta.report(), 6);
}

#[test]
fn configurations_that_fastai_refuses() {
    let goldens = golden("schedules_fastai");
    let raises = list(&goldens, "raises");
    assert_eq!(raises.len(), 6);
    for case in raises {
        let name = text(case, "name");
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
            // These shares add up to 1 except for rounding. We accept them.
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

/// There are no recorded numbers of fastai v1. These come from its formula, computed by hand for 40
/// steps, 12 of them in the first phase.
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
