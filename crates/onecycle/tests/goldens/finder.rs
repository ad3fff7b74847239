//! Every recorded range-test curve, and the learning rates that fastai, torch-lr-finder, Ignite and
//! Lightning suggest for it.
//!
//! `scripts/goldens/finder_curves.py` calls the originals' own functions in float64 on `lr` and on
//! `loss` or their own smoothed losses, between `from` and `to`. Suggestions must agree exactly,
//! except the `fragile` ones: there, a relative change of the losses by 1e-12 changes the answer.

use std::collections::BTreeMap;

use onecycle::range_test::{
    LossCurve, LrSweep, Rule, Spacing, Verdict,
    rules::{fastai, ignite, lightning, torch_lr_finder},
    smooth,
};
use onecycle_test_support::{Deviations, assert_series, list, number, numbers, text};
use serde_json::Value;

use crate::{EXACT, ROUNDING, golden};

/// Counts the compared and the fragile answers of each rule.
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

/// The learning rates and the raw losses of a curve.
fn curve(case: &Value) -> (Vec<f64>, Vec<f64>) {
    (numbers(&case["lr"]), numbers(&case["loss"]))
}

/// The originals stop smoothing where their test stops; our curve must begin with theirs.
#[test]
fn smoothed_curves() {
    let goldens = golden("finder_curves");
    let mut deviations = Deviations::default();
    let mut compare = |peer: &str, name: &str, ours: &[f64], theirs: &Value, tolerance| {
        let theirs = numbers(theirs);
        assert!(theirs.len() <= ours.len(), "{name}");
        deviations.compare(peer, name, &ours[..theirs.len()], &theirs, tolerance);
    };
    for case in list(&goldens, "curves") {
        let (name, (_, losses)) = (text(case, "name"), curve(case));
        let peers = &case["peers"];
        let mean = smooth::fastai_mean(&losses, fastai::BETA);
        compare("fastai", name, &mean, &peers["fastai"]["smoothed"], EXACT);
        let mean = smooth::running_mean(&losses, torch_lr_finder::SMOOTH_F);
        for peer in ["torch_lr_finder", "ignite"] {
            let own = &peers[peer]["own"];
            if own["raises"].is_string() {
                // torch-lr-finder refuses a test of a single update.
                assert_eq!((peer, name), ("torch_lr_finder", "synthetic_one_point"));
                continue;
            }
            compare(peer, name, &mean, &own["smoothed"], ROUNDING);
        }
    }
    assert_eq!(deviations.report(), 3 * 44 - 1);
}

#[test]
fn suggestions_of_each_view() {
    let goldens = golden("finder_curves");
    let mut compared = Compared::default();
    type Of = fn(&[f64], &[f64]) -> Option<usize>;
    let rules: [(&str, Of); 4] = [
        ("valley", fastai::valley),
        ("slide", fastai::slide),
        ("minimum", fastai::minimum),
        ("steep", fastai::steep),
    ];
    for case in list(&goldens, "curves") {
        let (name, (lr, raw)) = (text(case, "name"), curve(case));
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

/// The rules by name. Each applies the smoothing, the stop and the trimming of its original.
#[test]
fn suggestions_by_name() {
    let goldens = golden("finder_curves");
    let mut compared = Compared::default();
    for case in list(&goldens, "curves") {
        let (name, (lr, raw)) = (text(case, "name"), curve(case));
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
                let what = format!("{name}: {rule}");
                assert_series(&what, &[answer.lr.unwrap()], &[lr], ROUNDING);
            }
        }
    }
    assert!(compared.report() >= 230);
}

#[test]
fn sweeps() {
    let goldens = golden("finder_curves");
    let mut deviations = Deviations::default();
    for case in list(&goldens, "sweeps") {
        let key = |key: &str| number(&case[key]);
        let (start, end) = (key("start_lr"), key("end_lr"));
        let steps = case["num_it"].as_u64().unwrap();
        let spacing = match text(case, "mode") {
            "exp" => Spacing::Exponential,
            _ => Spacing::Linear,
        };
        let peer = text(case, "peer");
        let sweep = match peer {
            "fastai" => LrSweep::fastai(start, end, steps),
            "torch_lr_finder" => LrSweep::torch_lr_finder(start, end, steps, spacing),
            "ignite" => LrSweep::ignite(start, end, steps, spacing),
            other => panic!("{other} is not covered"),
        };
        let ours: Vec<f64> = sweep.unwrap().iter().collect();
        deviations.compare(peer, peer, &ours, &numbers(&case["lr"]), ROUNDING);
    }
    assert_eq!(deviations.report(), 10);
}

/// This crate's own rules, on the recorded curves. The expected values are known for synthetic
/// curves, and read off the raw losses for real ones.
#[test]
fn own_rules_on_the_recorded_curves() {
    let goldens = golden("finder_curves");
    let mut seen = BTreeMap::new();
    for case in list(&goldens, "curves") {
        let (name, (lr, loss)) = (text(case, "name"), curve(case));
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
    // Training breaks down at twice the suggested maximum. That rate must lie between the last one at
    // which the raw losses are still low and the first one after which they stay clearly higher.
    let breakdowns = [
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
    for (name, low, high) in breakdowns {
        let breakdown = 2.0 * seen[name].lr.unwrap_or(f64::NAN);
        assert!((low..high).contains(&breakdown), "{name}: {breakdown}");
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
