//! Properties of range tests and of this crate's own rules, for arbitrary losses.

use std::ops::ControlFlow;

use onecycle::range_test::{
    LossCurve, LrSweep, OverSeeds, RangeTest, Rule, Signal, StopReason, Suggestion, Validation,
    Verdict, over_seeds, rules, smooth,
};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};

const OWN: [Rule; 2] = [Rule::OneCycleMax, Rule::Constant];

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A loss that falls from 2 to 1 around `descent` and rises above `wall`, on a sweep from 1e-6 to
/// 10, with pseudo-random scatter of a given width.
#[derive(Debug, Clone, Copy)]
struct Shape {
    descent: f64,
    wall: f64,
    noise: f64,
    seed: u64,
    steps: u64,
}

fn shape() -> impl Strategy<Value = Shape> {
    (
        -4.0..-2.5_f64,
        0.8..2.0_f64,
        0.0..0.08_f64,
        any::<u64>(),
        80_u64..400,
    )
        .prop_map(|(descent, width, noise, seed, steps)| Shape {
            descent: 10_f64.powf(descent),
            wall: 10_f64.powf(descent + width),
            noise,
            seed,
            steps,
        })
}

/// Pseudo-random numbers between -1 and 1.
fn scatter(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1_u32 << 30) - 1.0
    }
}

fn sweep(steps: u64) -> LrSweep {
    LrSweep::exponential(1e-6, 10.0, steps).unwrap()
}

impl Shape {
    /// Losses as multiples of 2^-20, so that adding a whole number is exact.
    fn losses(self) -> Vec<f64> {
        let mut scatter = scatter(self.seed);
        let loss =
            |lr: f64| 2.0 - 1.0 / (1.0 + (self.descent / lr).powi(2)) + (lr / self.wall).powi(3);
        let grid = f64::from(1 << 20);
        sweep(self.steps)
            .iter()
            .map(|lr| loss(lr).min(1e6) + self.noise * scatter())
            .map(|loss| (loss * grid).round() / grid)
            .collect()
    }

    fn curve(self) -> LossCurve {
        curve(self.losses())
    }
}

fn curve(losses: Vec<f64>) -> LossCurve {
    let lr = sweep(losses.len() as u64).iter().collect();
    LossCurve::new(lr, losses).unwrap()
}

fn any_loss() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -10.0..10.0_f64,
        1 => any::<f64>(),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)],
    ]
}

fn assert_sound(answer: Suggestion, curve: &LossCurve) {
    match answer.lr {
        None => assert_ne!(answer.verdict, Verdict::Ok),
        Some(lr) => {
            assert_eq!(answer.verdict, Verdict::Ok);
            let (first, last) = (curve.lr()[0], *curve.lr().last().unwrap());
            assert!(lr > 0.0 && lr >= first / 2.0 && lr <= last, "{lr}");
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_suggestion_is_near_and_below_the_wall(shape in shape()) {
        let max = Rule::OneCycleMax.apply(&shape.curve());
        prop_assert_eq!(max.verdict, Verdict::Ok);
        let ratio = max.lr.unwrap() / shape.wall;
        prop_assert!((0.1..1.0).contains(&ratio), "{}", ratio);
        let constant = Rule::Constant.apply(&shape.curve()).lr.unwrap();
        prop_assert!(constant <= max.lr.unwrap());
        prop_assert!(constant >= shape.descent / 30.0);
    }

    #[test]
    fn scale_and_level_of_the_loss_do_not_matter(shape in shape(), scale in -20_i32..20, shift in -1000_i32..1000) {
        let plain = shape.curve();
        let scaled = curve(shape.losses().iter().map(|loss| loss * 2_f64.powi(scale)).collect());
        let shifted = curve(shape.losses().iter().map(|loss| loss + f64::from(shift)).collect());
        for rule in OWN {
            let answer = rule.apply(&plain);
            prop_assert_eq!(rule.apply(&scaled), answer);
            let other = rule.apply(&shifted);
            prop_assert_eq!(other.verdict, answer.verdict);
            let (lr, wanted) = (other.lr.unwrap(), answer.lr.unwrap());
            prop_assert!((lr / wanted - 1.0).abs() < 1e-6, "{} for {}", lr, wanted);
        }
    }

    #[test]
    fn losses_beyond_the_wall_do_not_matter(shape in shape(), how in 0..3) {
        let high = 1.5 * 2.0;
        let rest = [f64::NAN, f64::INFINITY, 1e30][how as usize];
        let losses = shape.losses();
        let first = losses.iter().position(|loss| *loss > high).unwrap_or(losses.len());
        let replaced = (0..losses.len()).map(|i| if i < first { losses[i] } else { rest });
        let (plain, other) = (Rule::OneCycleMax.apply(&shape.curve()), Rule::OneCycleMax.apply(&curve(replaced.collect())));
        let ratio = other.lr.unwrap() / plain.lr.unwrap();
        prop_assert!((0.8..1.25).contains(&ratio), "{}", ratio);
    }

    #[test]
    fn falling_curves_are_never_diverged(shape in shape()) {
        let falling = Shape { wall: 1e6, ..shape };
        let answer = Rule::OneCycleMax.apply(&falling.curve());
        prop_assert_eq!((answer.lr, answer.verdict), (None, Verdict::NeverDiverged));
        prop_assert_eq!(Rule::Constant.apply(&falling.curve()).verdict, Verdict::Ok);
    }

    #[test]
    fn any_number_is_a_valid_loss(losses in prop::collection::vec(any_loss(), 0..120), linear in any::<bool>()) {
        let steps = losses.len() as u64;
        let lr = match steps {
            0 => vec![],
            1 => vec![0.1],
            _ if linear => LrSweep::linear(0.0, 3.0, steps).unwrap().iter().collect(),
            _ => sweep(steps).iter().collect(),
        };
        let curve = LossCurve::new(lr, losses.clone()).unwrap();
        for rule in Rule::ALL {
            let answer = rule.apply(&curve);
            if OWN.contains(&rule) {
                assert_sound(answer, &curve);
            }
        }
        if steps >= 2 {
            let mut test = RangeTest::new(sweep(steps));
            for loss in &losses {
                let before = test.stop_reason();
                if test.record(*loss).is_break() {
                    break;
                }
                prop_assert_eq!(before, None);
            }
            prop_assert!(test.stop_reason().is_some());
            prop_assert_eq!(test.next_hyper(), Ok(None));
            let recorded = test.into_curve();
            for (ours, loss) in recorded.loss().iter().zip(&losses) {
                prop_assert!(ours == loss || (ours.is_nan() && loss.is_nan()), "raw losses are kept");
            }
        }
        for value in smooth::forward_backward(&losses, 0.9) {
            prop_assert!(value.is_finite() || losses.iter().all(|l| !l.is_finite()) || losses.iter().any(|l| l.abs() > 1e300));
        }
    }

    /// A test that stops early gives the same suggestion as the whole curve.
    #[test]
    fn stopping_early_keeps_the_suggestion(shape in shape()) {
        let mut test = RangeTest::new(sweep(shape.steps));
        let mut stop = ControlFlow::Continue(());
        for loss in shape.losses() {
            stop = test.record(loss);
            if stop.is_break() {
                break;
            }
        }
        prop_assert_eq!(stop, ControlFlow::Break(StopReason::Diverged));
        let early = test.into_curve();
        prop_assert!(early.len() < shape.steps as usize);
        let (ours, whole) = (Rule::OneCycleMax.apply(&early), Rule::OneCycleMax.apply(&shape.curve()));
        let ratio = ours.lr.unwrap() / whole.lr.unwrap();
        prop_assert!((0.8..1.25).contains(&ratio), "{}", ratio);
    }

    #[test]
    fn a_curve_round_trips(losses in prop::collection::vec(any_loss(), 2..30), accuracy in 0.0..1.0_f64) {
        let validation = Validation { after: 2, loss: Some(f64::INFINITY), accuracy: Some(accuracy) };
        let curve = curve(losses).with_validation(vec![validation]).unwrap();
        let json = serde_json::to_string(&curve).unwrap();
        let back: LossCurve = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(serde_json::to_string(&back).unwrap(), json);
        prop_assert_eq!(back.lr(), curve.lr());
        prop_assert_eq!(back.validation(), curve.validation());
        for (ours, loss) in back.loss().iter().zip(curve.loss()) {
            prop_assert!(ours.to_bits() == loss.to_bits() || (ours.is_nan() && loss.is_nan()));
        }
    }
}

/// Chance alone occasionally produces a descent. The rate of such mistakes must match the rule's
/// significance level.
#[test]
fn rising_and_flat_curves_get_no_rate() {
    const CURVES: usize = 4000;
    let mut runner = TestRunner::deterministic();
    let rising = (0.0..0.3_f64, 0.0..2.0_f64, any::<u64>(), 40_usize..300);
    let mut mistaken = Vec::new();
    for _ in 0..CURVES {
        let (noise, rise, seed, steps) = rising.new_tree(&mut runner).unwrap().current();
        let mut scatter = scatter(seed);
        let loss = |i: usize| rise * i as f64 / steps as f64 + noise * scatter();
        let curve = curve((0..steps).map(loss).collect());
        let answers = OWN.map(|rule| rule.apply(&curve));
        if answers.iter().any(|answer| answer.lr.is_some()) {
            mistaken.push((noise, rise, seed, steps));
        } else {
            let right = [Verdict::NoDescent, Verdict::TooNoisy];
            assert!(
                answers.iter().all(|answer| right.contains(&answer.verdict)),
                "{answers:?}"
            );
        }
    }
    assert!(mistaken.len() <= CURVES / 1000, "{mistaken:?}");
    for level in [0.0, 1.5] {
        let flat = curve(vec![level; 100]);
        assert_eq!(Rule::OneCycleMax.apply(&flat).verdict, Verdict::NoDescent);
    }
}

#[test]
fn each_verdict_occurs() {
    let verdict = |losses: Vec<f64>| Rule::OneCycleMax.apply(&curve(losses)).verdict;
    assert_eq!(verdict(vec![1.0; 5]), Verdict::TooShort);
    assert_eq!(verdict(vec![f64::NAN; 50]), Verdict::NotFinite);
    assert_eq!(verdict(vec![1.0; 50]), Verdict::NoDescent);
    // A descent that emerges from the noise as it gets deeper.
    let seen: Vec<Verdict> = (0..60)
        .map(|depth| {
            let mut scatter = scatter(3);
            let fall = |i: i32| f64::from(depth * i) / 20.0 / 150.0;
            verdict((0..150).map(|i| scatter() - fall(i)).collect())
        })
        .collect();
    assert_eq!(
        (seen[0], seen[59]),
        (Verdict::NoDescent, Verdict::NeverDiverged)
    );
    assert!(seen.contains(&Verdict::TooNoisy), "{seen:?}");
}

#[test]
fn a_curve_needs_two_lists() {
    let curve: LossCurve =
        serde_json::from_str(r#"{"lr": [0.1, 1], "loss": ["nan", null]}"#).unwrap();
    assert!(curve.loss().iter().all(|loss| loss.is_nan()));
    let wrong = [
        (r#"{"lr": [0.1, 1], "loss": [1]}"#, "1 entries"),
        (r#"{"lr": [1, 0.1], "loss": [1, 1]}"#, "increasing"),
        (r#"{"lr": [1, 2], "loss": [1, "high"]}"#, "not a number"),
        (r#"{"lr": [1, 2]}"#, "loss"),
    ];
    for (json, word) in wrong {
        let error = serde_json::from_str::<LossCurve>(json)
            .unwrap_err()
            .to_string();
        assert!(error.contains(word), "{error}");
    }
}

/// Smith's figure: the accuracy over a linear sweep, which drops where the rate is too large.
#[test]
fn a_drop_of_accuracy_gives_a_suggestion() {
    let sweep = LrSweep::linear(0.0, 2.0, 401).unwrap();
    let lr: Vec<f64> = sweep.iter().collect();
    let accuracy = |lr: f64| 0.9 * (lr / (lr + 0.05)) / (1.0 + (lr / 1.2).powi(12));
    let validation: Vec<Validation> = (10..=400)
        .step_by(10)
        .map(|after| Validation {
            after,
            loss: None,
            accuracy: Some(accuracy(lr[after - 1])),
        })
        .collect();
    let losses = vec![f64::NAN; lr.len()];
    let curve = LossCurve::new(lr, losses)
        .and_then(|curve| curve.with_validation(validation))
        .unwrap();
    let seen = curve.seen_by(Signal::ValidationAccuracy);
    assert_eq!(seen.len(), 40);
    let answer = Rule::OneCycleMax.apply(&seen);
    assert_eq!(answer.verdict, Verdict::Ok);
    // Half of the rate at which the accuracy drops.
    assert!((0.4..0.65).contains(&answer.lr.unwrap()), "{answer:?}");
    assert_eq!(Rule::OneCycleMax.apply(&curve).verdict, Verdict::NotFinite);
}

#[test]
fn one_odd_seed_changes_nothing() {
    let shape = |seed, wall| Shape {
        descent: 1e-3,
        wall,
        noise: 0.02,
        seed,
        steps: 150,
    };
    let curves = [
        shape(1, 0.1).curve(),
        shape(2, 0.1).curve(),
        curve(vec![1.0; 150]),
    ];
    let together = over_seeds(&curves, Rule::OneCycleMax);
    assert_eq!(
        (together.verdict, together.suggestions, together.seeds),
        (Verdict::Ok, 2, 3)
    );
    let (low, high) = together.range.unwrap();
    assert!(low <= together.lr.unwrap() && together.lr.unwrap() <= high && high < 1.3 * low);
    let flat = over_seeds(
        &[
            curve(vec![1.0; 50]),
            curve(vec![2.0; 50]),
            shape(1, 0.1).curve(),
        ],
        Rule::OneCycleMax,
    );
    assert_eq!((flat.lr, flat.verdict), (None, Verdict::NoDescent));
    assert!(flat.range.is_some());
    assert_eq!(over_seeds(&[], Rule::Valley).verdict, Verdict::TooShort);
}

/// The medians and walls of these curves are a factor of 8 and of 200 apart.
#[test]
fn seeds_that_disagree_have_their_own_verdict() {
    let with_wall = |wall: f64| {
        let shape = Shape {
            descent: 3e-5,
            wall,
            noise: 0.01,
            seed: 1,
            steps: 200,
        };
        shape.curve()
    };
    let agree = over_seeds(&[0.01, 0.03, 0.08].map(with_wall), Rule::OneCycleMax);
    assert_eq!(agree.verdict, Verdict::Ok);
    let disagree = over_seeds(&[0.002, 0.03, 0.4].map(with_wall), Rule::OneCycleMax);
    assert_eq!(disagree.verdict, Verdict::SeedsDisagree);
    let spread = disagree.spread().unwrap();
    assert!(spread > 100.0, "{spread}");
    // The median stays: it is as good as that of the seeds that agree.
    assert_eq!(disagree.lr, agree.lr);
    let text = disagree.to_string();
    assert!(
        text.starts_with("lr 0.0") && text.ends_with(" in 3 of 3 seeds, seeds_disagree)"),
        "{text}"
    );
    let named = serde_json::to_value(disagree).unwrap();
    assert_eq!(named["verdict"], "seeds_disagree");
    assert!(named["range"].is_array());
}

/// A recording of every update of a long training. Neighbours are averaged before smoothing, which
/// would otherwise take hours.
#[test]
fn a_curve_of_a_million_losses_gives_the_suggestion_of_a_short_one() {
    let shape = Shape {
        descent: 1e-3,
        wall: 0.1,
        noise: 0.05,
        seed: 1,
        steps: 1_000_000,
    };
    let (long, short) = (
        shape.curve(),
        Shape {
            steps: 300,
            ..shape
        }
        .curve(),
    );
    for rule in OWN {
        let (long, short) = (rule.apply(&long), rule.apply(&short));
        assert_eq!((long.verdict, short.verdict), (Verdict::Ok, Verdict::Ok));
        let ratio = long.lr.unwrap() / short.lr.unwrap();
        assert!((0.5..2.0).contains(&ratio), "{rule}: {ratio}");
    }
    // Between the descent and the wall the loss is close to 1.
    let smoothed = long.smoothed();
    assert_eq!(smoothed.len(), 1_000_000);
    let pairs = long.lr().iter().zip(&smoothed);
    for (lr, value) in pairs.filter(|(lr, _)| (0.01..0.02).contains(*lr)) {
        assert!((value - 1.0).abs() < 0.02, "{lr}: {value}");
    }
}

/// Values at rates that a long curve leaves out stay NaN, as in a short one.
#[test]
fn long_and_short_curves_have_values_at_the_same_rates() {
    for steps in [100, 5000] {
        let mut losses = vec![1.0; steps];
        losses[40] = f64::NAN;
        let lr = LrSweep::linear(0.0, 1.0, steps).unwrap().iter().collect();
        let smoothed = LossCurve::new(lr, losses).unwrap().smoothed();
        let missing: Vec<usize> = (0..steps).filter(|i| smoothed[*i].is_nan()).collect();
        assert_eq!(missing, [0, 40], "{steps}");
    }
}

/// fastai's function, which compares all pairs of points.
fn valley_of_all_pairs(losses: &[f64]) -> Option<usize> {
    let n = losses.len();
    if n == 0 {
        return None;
    }
    let mut lengths = vec![1_i64; n];
    let (mut begin, mut end) = (0_i64, 0_usize);
    for i in 1..n {
        for j in 0..i {
            if losses[i] < losses[j] && lengths[i] < lengths[j] + 1 {
                lengths[i] = lengths[j] + 1;
            }
            if lengths[end] < lengths[i] {
                end = i;
                begin = end as i64 - lengths[end];
            }
        }
    }
    let section = (end as f64 - begin as f64) / 3.0;
    let index = begin + section as i64 + (section / 2.0) as i64;
    Some(index.rem_euclid(n as i64) as usize)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_valley_is_that_of_all_pairs(losses in prop::collection::vec(any_loss(), 0..80), whole in any::<bool>()) {
        // Whole numbers repeat.
        let losses: Vec<f64> = losses.iter().map(|l| if whole { l.round() } else { *l }).collect();
        prop_assert_eq!(rules::fastai::valley(&[], &losses), valley_of_all_pairs(&losses));
    }
}

#[test]
fn rules_have_names() {
    for rule in Rule::ALL {
        assert_eq!(rule.name().parse::<Rule>().unwrap(), rule);
        assert_eq!(serde_json::to_value(rule).unwrap(), rule.name());
    }
    let error = "best".parse::<Rule>().unwrap_err().to_string();
    assert!(
        error.contains("`best`") && error.contains("one_cycle_max"),
        "{error}"
    );
}

/// Files of earlier versions use the keys `ladder_steps`, `steps` and `interval`.
#[test]
fn former_keys_are_still_read() {
    let json = r#"{"lr": 0.1, "interval": [0.1, 0.2], "verdict": "ok", "answers": 2, "seeds": 2}"#;
    let over_seeds: OverSeeds = serde_json::from_str(json).unwrap();
    assert_eq!(over_seeds.range, Some((0.1, 0.2)));
    let json = r#"{"lr": [0.1, 1], "loss": [2, 1], "conditions": {"ladder_steps": 150}}"#;
    let curve: LossCurve = serde_json::from_str(json).unwrap();
    assert_eq!(curve.conditions().num_steps, Some(150));
    let json = r#"{"start": 1e-5, "end": 10, "steps": 150, "spacing": "exponential", "counting": "closed"}"#;
    let sweep: LrSweep = serde_json::from_str(json).unwrap();
    assert_eq!(sweep, LrSweep::exponential(1e-5, 10.0, 150).unwrap());
    assert!(serde_json::to_string(&sweep).unwrap().contains("num_steps"));
}

/// A wave on the losses, as of batches in a fixed order: ten updates long, a sixth of the descent
/// high. The suggestion is that of the curve without it, or it is not trusted.
#[test]
fn a_wave_on_the_losses_is_not_a_wall() {
    let lr: Vec<f64> = LrSweep::exponential(1e-5, 10.0, 150)
        .unwrap()
        .iter()
        .collect();
    let curve = |height: f64, phase: f64| {
        let loss = lr.iter().enumerate().map(|(i, lr)| {
            let wave = (2.0 * std::f64::consts::PI * (i as f64 / 10.0 + phase)).sin();
            2.3 - 1.5 / (1.0 + (0.003 / lr).powf(1.0)) + (lr / 1.0).powi(4) + height * wave
        });
        LossCurve::new(lr.clone(), loss.collect()).unwrap()
    };
    let clean = Rule::OneCycleMax.apply(&curve(0.0, 0.0)).lr.unwrap();
    for phase in 0..10 {
        let suggestion = Rule::OneCycleMax.apply(&curve(1.5 / 12.0, f64::from(phase) / 10.0));
        if suggestion.verdict == Verdict::Ok {
            let ratio = suggestion.lr.unwrap() / clean;
            assert!((1.0 / 3.0..3.0).contains(&ratio), "phase {phase}: {ratio}");
        }
    }
}
