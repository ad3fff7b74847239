//! Every recorded series of `torch.optim.lr_scheduler`. The plans are built from the configuration
//! form of the presets, with PyTorch's own arguments.
//!
//! `scripts/goldens/schedules_torch.py` records them like this:
//!
//! ```python
//! for n in range(steps):
//!     group = optimizer.param_groups[0]
//!     lr.append(group["lr"]); momentum.append(group.get("momentum", group.get("betas", [None])[0]))
//!     optimizer.step(); scheduler.step()
//! ```

use onecycle::{AtEnd, Plan, Policy, PolicyError, Run};
use onecycle_test_support::{Deviations, list, number, numbers, text};
use serde_json::{Value, json};

use crate::{EXACT, ROUNDING, arguments, golden, preset};

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

/// The keys of the configuration file that describes a case.
fn keys(case: &Value) -> Value {
    let class = text(case, "class");
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
    let goldens = golden("schedules_torch");
    let mut deviations = Deviations::default();
    let mut momenta = Deviations::default();
    for case in list(&goldens, "cases") {
        let (name, class) = (text(case, "name"), text(case, "class"));
        let tolerance = match class {
            "MultiStepLR" | "StepLR" | "ExponentialLR" | "LinearLR" | "ConstantLR" => EXACT,
            _ => ROUNDING,
        };
        let plan = plan(case);
        let lr: Vec<f64> = (0..plan.steps()).map(|n| plan.at(n).lr).collect();
        deviations.compare(class, name, &lr, &numbers(&case["lr"]), tolerance);
        let momentum: Option<Vec<f64>> = (0..plan.steps()).map(|n| plan.at(n).momentum).collect();
        assert_eq!(
            momentum.is_some(),
            !case["momentum"].is_null(),
            "{name}: momentum"
        );
        if let Some(momentum) = momentum {
            let recorded = numbers(&case["momentum"]);
            momenta.compare(class, name, &momentum, &recorded, ROUNDING);
        }
    }
    assert_eq!(deviations.report(), 83);
    assert_eq!(momenta.report(), 41);
}

/// If PyTorch's scheduler is stepped once more after the last update, as the usual loop does, its
/// learning rate turns back or becomes negative. A plan holds its last value instead.
#[test]
fn after_the_last_step() {
    let goldens = golden("schedules_torch");
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
    assert!(turned > 30, "only {turned} recorded schedules turn back");
}

#[test]
fn configurations_that_pytorch_refuses() {
    let goldens = golden("schedules_torch");
    let raises = list(&goldens, "raises");
    assert_eq!(raises.len(), 14);
    for case in raises {
        let name = text(case, "name");
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
            // A plan does what it was told to do after its end.
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
            // PyTorch demands a float here. We accept an integer with the same meaning.
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
            // A plan does not know its optimizer. It carries a momentum, and an optimizer without
            // momentum refuses that later.
            "no_momentum_to_cycle" => assert!(plan(case).at(0).momentum.is_some()),
            other => panic!("{other} is not covered"),
        }
    }
}
