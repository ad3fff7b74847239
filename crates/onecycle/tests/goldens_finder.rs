//! Every recorded range-test curve, and what fastai, torch-lr-finder, Ignite and Lightning suggest for it.
//!
//! The indices were printed by the originals' own functions in float64, called on `lr` and `loss` (or their own smoothing
//! of it) between `from` and `to`. Suggestions must agree exactly, but where a change of the losses by parts in 1e12
//! gives another answer (`fragile`).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;

use common::{Deviations, golden, list, number, numbers};
use onecycle::range_test::{
    LossCurve, LrSweep, Rule, Spacing, Verdict,
    rules::{fastai, ignite, lightning, torch_lr_finder},
    smooth,
};
use serde_json::Value;

/// Answers compared, and those that were fragile, by rule.
#[derive(Default)]
struct Compared(BTreeMap<String, (usize, usize)>);

impl Compared {
    /// `ours` is an index into the whole curve.
    fn index(&mut self, rule: &str, curve: &str, ours: Option<usize>, theirs: &Value) {
        let count = self.0.entry(rule.to_owned()).or_default();
        if theirs["fragile"] == true {
            count.1 += 1;
            return;
        }
        count.0 += 1;
        let index = theirs["index"].as_u64().map(|index| index as usize);
        assert_eq!(ours, index, "{curve}: {rule}: {theirs}");
    }

    fn report(&self) -> usize {
        for (rule, (compared, fragile)) in &self.0 {
            println!("{rule:40} {compared:3} agree, {fragile:2} fragile");
        }
        self.0.values().map(|(compared, _)| compared).sum()
    }
}

fn of(case: &Value) -> (Vec<f64>, Vec<f64>) {
    (numbers(&case["lr"]), numbers(&case["loss"]))
}

/// Smoothed curves compare as far as they are finite.
fn compare_smoothed(
    deviations: &mut Deviations,
    kind: &str,
    name: &str,
    ours: &[f64],
    theirs: &Value,
) {
    let theirs = numbers(theirs);
    assert!(theirs.len() <= ours.len(), "{name}");
    let finite: Vec<usize> = (0..theirs.len())
        .filter(|i| theirs[*i].is_finite())
        .collect();
    for (i, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        let same = ours.is_finite() == theirs.is_finite() && ours.is_nan() == theirs.is_nan();
        assert!(same, "{name}: at {i} {ours} for {theirs}");
    }
    let pick = |values: &[f64]| finite.iter().map(|i| values[*i]).collect::<Vec<_>>();
    deviations.compare(kind, name, &pick(ours), &pick(&theirs));
}

#[test]
fn smoothed_curves() {
    let Some(goldens) = golden("finder_curves.json") else {
        return;
    };
    let mut deviations = Deviations::default();
    for case in list(&goldens, "curves") {
        let (name, (_, losses)) = (case["name"].as_str().unwrap(), of(case));
        let peers = &case["peers"];
        let mean = smooth::fastai_mean(&losses, fastai::BETA);
        compare_smoothed(
            &mut deviations,
            "fastai",
            name,
            &mean,
            &peers["fastai"]["smoothed"],
        );
        for peer in ["torch_lr_finder", "ignite"] {
            if peers[peer]["own"]["smoothed"].is_null() {
                // It refuses a test of a single update.
                assert_eq!(name, "synthetic_one_point");
                continue;
            }
            let mean = smooth::running_mean(&losses, torch_lr_finder::SMOOTH_F);
            compare_smoothed(
                &mut deviations,
                peer,
                name,
                &mean,
                &peers[peer]["own"]["smoothed"],
            );
        }
    }
    assert_eq!(deviations.report(), 3 * 44 - 1);
    assert_eq!(deviations.of("fastai"), 0.0);
}

#[test]
fn suggestions_of_each_view() {
    let Some(goldens) = golden("finder_curves.json") else {
        return;
    };
    let mut compared = Compared::default();
    type Of = fn(&[f64], &[f64]) -> Option<usize>;
    let rules: [(&str, Of); 4] = [
        ("valley", fastai::valley),
        ("slide", fastai::slide),
        ("minimum", fastai::minimum),
        ("steep", fastai::steep),
    ];
    for case in list(&goldens, "curves") {
        let (name, (lr, raw)) = (case["name"].as_str().unwrap(), of(case));
        let peers = &case["peers"];
        let mean = smooth::fastai_mean(&raw, fastai::BETA);
        for view in ["lr_find", "all_smoothed", "all_raw"] {
            let golden = &peers["fastai"][view];
            let losses = if golden["source"] == "raw" {
                &raw
            } else {
                &mean
            };
            let bound = |key: &str| golden[key].as_u64().unwrap() as usize;
            let part = bound("from")..bound("to");
            for (rule, function) in rules {
                let ours = function(&lr[part.clone()], &losses[part.clone()]);
                let ours = ours.map(|index| index + part.start);
                compared.index(&format!("fastai {view} {rule}"), name, ours, &golden[rule]);
            }
        }
        let torch = &peers["torch_lr_finder"]["all_raw"]["steepest"];
        compared.index(
            "torch_lr_finder all_raw",
            name,
            torch_lr_finder::steepest(&raw),
            torch,
        );
        let theirs = &peers["ignite"]["all_raw"]["lr_suggestion"];
        compared.index("ignite all_raw", name, ignite::lr_suggestion(&raw), theirs);
        for (view, losses) in [("all_raw", &raw), ("all_smoothed", &mean)] {
            let theirs = &peers["lightning"][view]["suggestion"];
            let ours = lightning::steepest(&lr, losses);
            compared.index(&format!("lightning {view}"), name, ours, theirs);
        }
    }
    assert!(compared.report() >= 600);
}

/// The rules by name: each with its original's own smoothing, stop and trimming.
#[test]
fn suggestions_by_name() {
    let Some(goldens) = golden("finder_curves.json") else {
        return;
    };
    let mut compared = Compared::default();
    for case in list(&goldens, "curves") {
        let (name, (lr, raw)) = (case["name"].as_str().unwrap(), of(case));
        let curve = LossCurve::new(lr.clone(), raw).unwrap();
        let peers = &case["peers"];
        let find = &peers["fastai"]["lr_find"];
        let theirs = [
            (Rule::Valley, &find["valley"]),
            (Rule::Slide, &find["slide"]),
            (Rule::Minimum, &find["minimum"]),
            (Rule::Steep, &find["steep"]),
            (
                Rule::TorchLrFinder,
                &peers["torch_lr_finder"]["own"]["steepest"],
            ),
            (Rule::Ignite, &peers["ignite"]["own"]["lr_suggestion"]),
        ];
        for (rule, theirs) in theirs {
            let rung = |answer: f64| lr.iter().position(|lr| *lr == answer).unwrap();
            let answer = rule.apply(&curve);
            let index = answer.lr.map(|answer| match rule {
                Rule::Minimum => lr.iter().position(|lr| lr / 10.0 == answer).unwrap(),
                _ => rung(answer),
            });
            compared.index(rule.name(), name, index, theirs);
            if theirs["fragile"] == false {
                let lr = theirs.get("lr").map_or(f64::NAN, number);
                assert!(
                    (answer.lr.unwrap() - lr).abs() <= 1e-12 * lr,
                    "{name}: {rule}"
                );
            }
        }
    }
    assert!(compared.report() >= 230);
}

#[test]
fn sweeps() {
    let Some(goldens) = golden("finder_curves.json") else {
        return;
    };
    let mut deviations = Deviations::default();
    for case in list(&goldens, "sweeps") {
        let key = |key: &str| number(&case[key]);
        let (start, end) = (key("start_lr"), key("end_lr"));
        let steps = case["num_it"].as_u64().unwrap();
        let spacing = match case["mode"].as_str().unwrap() {
            "exp" => Spacing::Exponential,
            _ => Spacing::Linear,
        };
        let peer = case["peer"].as_str().unwrap();
        let sweep = match peer {
            "fastai" => LrSweep::fastai(start, end, steps),
            "torch_lr_finder" => LrSweep::torch_lr_finder(start, end, steps, spacing),
            "ignite" => LrSweep::ignite(start, end, steps, spacing),
            other => panic!("{other} is not covered"),
        };
        let ours: Vec<f64> = sweep.unwrap().iter().collect();
        deviations.compare(peer, peer, &ours, &numbers(&case["lr"]));
    }
    assert_eq!(deviations.report(), 10);
}

/// This crate's own rules, against what is known of the recorded curves or seen in them.
#[test]
fn own_rules_on_the_recorded_curves() {
    let Some(goldens) = golden("finder_curves.json") else {
        return;
    };
    let mut seen = BTreeMap::new();
    for case in list(&goldens, "curves") {
        let (name, (lr, loss)) = (case["name"].as_str().unwrap(), of(case));
        let curve = LossCurve::new(lr, loss).unwrap();
        let (max, constant) = (
            Rule::OneCycleMax.apply(&curve),
            Rule::Constant.apply(&curve),
        );
        println!(
            "{name:40} {:>15} {:?}   {:?}",
            max.verdict, max.lr, constant.lr
        );
        if let Some(steepest) = case["truth"]["steepest_lr_vs_log"].as_f64() {
            let ratio = constant.lr.unwrap() / steepest;
            assert!(
                (0.7..1.4).contains(&ratio),
                "{name}: {ratio}, where fastai's mean is 6 times too high"
            );
        }
        seen.insert(name, max);
    }
    // The wall, which is twice the maximum, between the last rate at which the raw losses are still low and the first at
    // which they have clearly and lastingly risen, or the verdict.
    let walls = [
        ("real_weight_decay_0.0001", 0.046, 0.089),
        ("real_momentum_0", 0.39, 0.6),
        ("real_momentum_0.9", 0.115, 0.2),
        ("real_momentum_0.984", 0.067, 0.11),
        ("real_batch_512", 0.06, 0.11),
        ("real_cnn_mnist", 0.046, 0.076),
        ("real_cnn_fashion_bn", 0.09, 0.2),
        ("real_cnn_fashion_bn_wd", 0.07, 0.25),
        ("real_adamw", 0.05, 0.15),
        ("real_linear_ladder", 0.12, 0.18),
        ("real_no_momentum_big_batch", 0.17, 0.26),
        ("synthetic_inf_in_the_middle", 0.6, 1.3),
        ("synthetic_negative_losses", 0.35, 0.8),
    ];
    for (name, low, high) in walls {
        let wall = 2.0 * seen[name].lr.unwrap_or(f64::NAN);
        assert!((low..high).contains(&wall), "{name}: {wall}");
    }
    for (name, verdict) in [
        ("synthetic_flat", Verdict::NoDescent),
        ("synthetic_flat_then_cliff", Verdict::NoDescent),
        ("synthetic_never_descending", Verdict::NoDescent),
        ("synthetic_never_descending_noisy", Verdict::NoDescent),
        ("real_starts_too_high", Verdict::NoDescent),
        ("real_stops_too_early", Verdict::NeverDiverged),
        ("synthetic_never_diverging", Verdict::NeverDiverged),
        ("synthetic_five_points", Verdict::TooShort),
    ] {
        assert_eq!(
            (seen[name].lr, seen[name].verdict),
            (None, verdict),
            "{name}"
        );
    }
}
