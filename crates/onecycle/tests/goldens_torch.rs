//! Every recorded series of `torch.optim.lr_scheduler`, by way of the configuration form of the presets.
//!
//! The numbers were printed by
//!
//! ```python
//! for n in range(steps):
//!     group = optimizer.param_groups[0]
//!     lr.append(group["lr"]); momentum.append(group.get("momentum", group.get("betas", [None])[0]))
//!     optimizer.step(); scheduler.step()
//! ```
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Deviations, arguments, golden, list, number, numbers, preset};
use onecycle::{AtEnd, Plan, Policy, PolicyError, Run};
use serde_json::{Value, json};

fn kind(class: &str) -> &'static str {
    match class {
        "OneCycleLR" => "torch_one_cycle",
        "CyclicLR" => "torch_cyclic",
        "MultiStepLR" => "torch_multi_step",
        "StepLR" => "torch_step",
        "ExponentialLR" => "torch_exponential",
        "CosineAnnealingLR" => "torch_cosine_annealing",
        "CosineAnnealingWarmRestarts" => "torch_cosine_annealing_warm_restarts",
        "LinearLR" => "torch_linear",
        "PolynomialLR" => "torch_polynomial",
        "ConstantLR" => "torch_constant",
        "SequentialLR" => "torch_sequential",
        "LambdaLR" => "torch_trapezoid",
        other => panic!("{other} has no preset"),
    }
}

/// The keys of the configuration file for a case.
fn keys(case: &Value) -> Value {
    let class = case["class"].as_str().unwrap();
    let (kwargs, lr) = (&case["kwargs"], case["optimizer_kwargs"]["lr"].clone());
    match class {
        "OneCycleLR" | "CyclicLR" => arguments(kwargs, kind(class), &[]),
        "LambdaLR" => arguments(&kwargs["lr_lambda"], kind(class), &[("lr", lr)]),
        "SequentialLR" => {
            let schedulers: Vec<Value> = list(kwargs, "schedulers")
                .iter()
                .map(|inner| {
                    arguments(
                        &inner["kwargs"],
                        kind(inner["class"].as_str().unwrap()),
                        &[],
                    )
                })
                .collect();
            arguments(
                kwargs,
                kind(class),
                &[("lr", lr), ("schedulers", schedulers.into())],
            )
        }
        _ => arguments(kwargs, kind(class), &[("lr", lr)]),
    }
}

fn policy(case: &Value) -> Policy {
    Policy::from_preset(preset(keys(case)).unwrap()).unwrap()
}

fn plan(case: &Value) -> Plan {
    policy(case)
        .resolve(&Run::steps(case["steps"].as_u64().unwrap()))
        .unwrap()
}

#[test]
fn every_case() {
    let Some(goldens) = golden("schedules_torch.json") else {
        return;
    };
    let mut deviations = Deviations::default();
    let mut momenta = Deviations::default();
    for case in list(&goldens, "cases") {
        let (name, class) = (
            case["name"].as_str().unwrap(),
            case["class"].as_str().unwrap(),
        );
        let plan = plan(case);
        let lr: Vec<f64> = (0..plan.steps()).map(|n| plan.at(n).lr).collect();
        deviations.compare(class, name, &lr, &numbers(&case["lr"]));
        let momentum: Option<Vec<f64>> = (0..plan.steps()).map(|n| plan.at(n).momentum).collect();
        assert_eq!(
            momentum.is_some(),
            !case["momentum"].is_null(),
            "{name}: momentum"
        );
        if let Some(momentum) = momentum {
            momenta.compare(class, name, &momentum, &numbers(&case["momentum"]));
        }
    }
    assert_eq!(deviations.report(), 83);
    assert_eq!(momenta.report(), 41);
    // Sums and products alone: the same bits wherever IEEE arithmetic is.
    for class in [
        "MultiStepLR",
        "StepLR",
        "ExponentialLR",
        "LinearLR",
        "ConstantLR",
    ] {
        assert_eq!(deviations.of(class), 0.0, "{class}");
    }
}

/// Where the scheduler is stepped after the last update too, PyTorch's rate turns back, or goes negative. A plan holds.
#[test]
fn after_the_last_step() {
    let Some(goldens) = golden("schedules_torch.json") else {
        return;
    };
    let mut turned = 0;
    for case in list(&goldens, "cases")
        .iter()
        .filter(|case| !case["after_last"].is_null())
    {
        let plan = plan(case);
        let last = plan.at(plan.steps() - 1);
        for past in [0, 1, 1000] {
            assert_eq!(plan.at(plan.steps() + past), last);
        }
        assert!(last.lr >= 0.0);
        if case["after_last"]["lr"].is_number() && number(&case["after_last"]["lr"]) != last.lr {
            turned += 1;
        }
    }
    assert!(
        turned > 30,
        "the recorded values show what is avoided: {turned}"
    );
}

#[test]
fn what_pytorch_raises_on() {
    let Some(goldens) = golden("schedules_torch.json") else {
        return;
    };
    let raises = list(&goldens, "raises");
    assert_eq!(raises.len(), 14);
    for case in raises {
        let name = case["name"].as_str().unwrap();
        let error = |case: &Value| Policy::from_preset(preset(keys(case)).unwrap()).unwrap_err();
        match name.strip_prefix("onecycle_bad_").unwrap() {
            "peak_at_step_0" | "peak_at_step_0_three_phase" | "peak_at_step_0_T2" => {
                assert!(
                    matches!(
                        error(case),
                        PolicyError::PhaseWithoutLength { phase: "up", .. }
                    ),
                    "{name}"
                );
            }
            // A plan does what it was told.
            "beyond_the_end" => {
                let policy = policy(case);
                let run = Run::steps(22);
                let hold = policy.resolve(&run).unwrap();
                assert_eq!(hold.at(21), hold.at(19));
                let error = policy.clone().at_end(AtEnd::Error).resolve(&run).unwrap();
                assert!(error.try_at(19).is_ok());
                assert_eq!(error.try_at(20).unwrap_err().step, 20);
                let restart = policy.at_end(AtEnd::Restart).resolve(&run).unwrap();
                assert_eq!(restart.at(21), restart.at(1));
            }
            "no_length" | "epochs_only" => {
                assert!(
                    matches!(
                        error(case),
                        PolicyError::Missing {
                            name: "total_steps",
                            ..
                        }
                    ),
                    "{name}"
                );
            }
            "zero_steps" => {
                assert!(matches!(
                    error(case),
                    PolicyError::OutOfRange {
                        name: "total_steps",
                        ..
                    }
                ));
            }
            "fractional_steps" => {
                let message = preset(keys(case)).unwrap_err().to_string();
                assert!(message.contains("10.5"), "{message}");
            }
            // A whole number is a number; it means what 1.0 does.
            "integer_pct_start" => {
                let mut float = case.clone();
                float["kwargs"]["pct_start"] = json!(1.0);
                assert_eq!(plan(case), plan(&float));
            }
            "pct_start_above_1" | "negative_pct_start" => {
                let value = number(&case["kwargs"]["pct_start"]);
                let error = error(case);
                assert!(
                    matches!(error, PolicyError::OutOfRange { name: "pct_start", value: v, .. } if v == value),
                    "{error}"
                );
            }
            "unknown_anneal" => {
                let message = preset(keys(case)).unwrap_err().to_string();
                assert!(
                    message.contains("`exp`") && message.contains("`cos`"),
                    "{message}"
                );
            }
            "zero_div_factor" => {
                assert!(matches!(
                    error(case),
                    PolicyError::OutOfRange {
                        name: "div_factor",
                        ..
                    }
                ));
            }
            // The plan knows no optimizer. It carries the momentum, and an optimizer without one refuses that.
            "no_momentum_to_cycle" => assert!(plan(case).at(0).momentum.is_some()),
            other => panic!("{other} is not covered"),
        }
    }
}
