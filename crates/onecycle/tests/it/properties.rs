//! Properties of this crate's own presets, for arbitrary parameters and lengths of the run.

use crate::strategies::{
    any_number, any_preset, continuous, curve, one_cycle, steepness, steps, wild,
};
use onecycle::{
    AtEnd, Clr, ClrMode, CosineRestarts, Curve, LegShape, Linear, Momentum, OneCycle, Parameter,
    Phase, Plan, Policy, Preset, Run, Sequence, Span, torch,
};
use proptest::prelude::*;

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn plan(preset: impl Into<Preset>, steps: u64) -> Plan {
    let policy = Policy::from_preset(preset.into()).unwrap();
    policy
        .resolve(&Run::steps(steps).with_steps_per_epoch(10))
        .unwrap()
}

fn rates(plan: &Plan) -> Vec<f64> {
    (0..plan.steps()).map(|n| plan.at(n).lr).collect()
}

/// Number of steps in which a phase moves from its first value to its end value.
fn length(phase: &Phase, plan: &Plan) -> u64 {
    let last = phase.last_step + 1 == plan.steps();
    phase.last_step - phase.first_step + u64::from(!last)
}

fn assert_tiles(phases: &[Phase], steps: u64) {
    assert_eq!(phases[0].first_step, 0);
    for pair in phases.windows(2) {
        assert_eq!(pair[0].last_step + 1, pair[1].first_step, "{pair:?}");
    }
    for phase in phases {
        assert!(phase.first_step <= phase.last_step, "empty: {phase:?}");
    }
    assert_eq!(phases.last().unwrap().last_step, steps - 1);
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn rates_are_finite_and_never_negative(preset in any_preset(), steps in steps()) {
        let plan = plan(preset, steps);
        for n in 0..steps + 3 {
            let hyper = plan.at(n);
            prop_assert!(hyper.lr.is_finite() && hyper.lr >= 0.0, "{}: {}", n, hyper.lr);
            if let Some(momentum) = hyper.momentum {
                prop_assert!((0.0..1.0).contains(&momentum), "{}: {}", n, momentum);
            }
        }
    }

    #[test]
    fn phases_cover_the_run(preset in any_preset(), steps in steps()) {
        let plan = plan(preset, steps);
        assert_tiles(&plan.phases(), steps);
        for phase in plan.phases() {
            prop_assert_eq!(plan.at(phase.first_step).lr, phase.from, "{:?}", phase);
        }
        let momentum = plan.phases_of(Parameter::Momentum);
        if plan.at(0).momentum.is_some() {
            assert_tiles(&momentum, steps);
        } else {
            prop_assert!(momentum.is_empty());
        }
    }

    /// Within a phase, no step is steeper than the phase's shape allows.
    #[test]
    fn phases_have_no_jumps(preset in any_preset(), steps in steps()) {
        let Some(steepness) = steepness(&preset) else { return Ok(()) };
        let plan = plan(preset, steps);
        for phase in plan.phases() {
            let length = length(&phase, &plan) as f64;
            let limit = (phase.to - phase.from).abs() * (steepness(length) / length).min(1.0) + 1e-12 * phase.from.max(phase.to);
            for n in phase.first_step..phase.last_step {
                let change = (plan.at(n + 1).lr - plan.at(n).lr).abs();
                prop_assert!(change <= limit, "{} at {}: {} > {}", phase.name, n, change, limit);
            }
        }
    }

    /// Without a requested jump, the next phase starts at the end value of the one before, and the
    /// last step of each phase is as steep as any other.
    #[test]
    fn phases_join_continuously(preset in continuous(), steps in steps()) {
        let Some(steepness) = steepness(&preset) else { return Ok(()) };
        let plan = plan(preset, steps);
        for pair in plan.phases().windows(2) {
            prop_assert_eq!(pair[0].to, pair[1].from);
            let length = length(&pair[0], &plan) as f64;
            let limit = (pair[0].to - pair[0].from).abs() * (steepness(length) / length).min(1.0) + 1e-12 * pair[0].from.max(pair[0].to);
            let change = (plan.at(pair[1].first_step).lr - plan.at(pair[0].last_step).lr).abs();
            prop_assert!(change <= limit, "{} > {}", change, limit);
        }
    }

    /// The formula of the paper's policy, with the annihilation in steps so that the arithmetic is
    /// exact.
    #[test]
    fn one_cycle_follows_its_formula(one_cycle in one_cycle(), steps in 1_u64..500, percent in 0_u64..100) {
        let annihilation = steps * percent / 100;
        let one_cycle = OneCycle { annihilation: Span::Steps(annihilation), ..one_cycle };
        let (min, max, last) = (one_cycle.first_lr(), one_cycle.lr_max, one_cycle.last_lr());
        let momentum = one_cycle.momentum;
        let plan = plan(one_cycle, steps);
        let rates = rates(&plan);
        let leg = ((steps - annihilation) / 2).clamp(1, steps.saturating_sub(2).max(1));

        if steps > 1 || min == last {
            prop_assert_eq!(rates[steps as usize - 1], last, "end");
        }
        prop_assert_eq!(rates[0], min, "start");
        if steps >= 3 {
            prop_assert_eq!(rates[leg as usize], max, "peak");
            if 2 * leg < steps - 1 {
                prop_assert_eq!(rates[2 * leg as usize], min, "back");
            }
        }
        prop_assert!(rates.iter().all(|lr| *lr <= max && *lr >= last));
        prop_assert!(rates[..=leg.min(steps - 1) as usize].is_sorted_by(|a, b| a <= b) || steps < 3, "up");
        prop_assert!(rates[leg.min(steps - 1) as usize..].is_sorted_by(|a, b| a >= b), "down");

        if let Momentum::Cycle { high, low } = momentum {
            for n in (0..steps).filter(|n| *n == 0 || (steps >= 3 && *n >= 2 * leg)) {
                prop_assert_eq!(plan.at(n).momentum, Some(high));
            }
            if steps >= 3 {
                prop_assert_eq!(plan.at(leg).momentum, Some(low));
            }
        }
    }

    /// First and last value of the presets that define both.
    #[test]
    fn ends_are_exact(preset in continuous(), steps in 2_u64..500) {
        let (first, last) = match &preset {
            Preset::Linear(p) => (Some(p.lr), p.lr_final),
            Preset::Cosine(p) => (Some(p.lr), p.lr_final),
            Preset::Polynomial(p) => (Some(p.lr), p.lr_final),
            Preset::Exponential(p) => (Some(p.lr), p.lr_final.unwrap()),
            Preset::FlatCosine(p) => (Some(p.lr), p.lr_final),
            // Without room for its warm-up, a plateau starts at its full height.
            Preset::WarmupStableDecay(p) => (None, p.lr_final),
            Preset::Trapezoid(p) => (None, p.lr_final),
            Preset::OneCycle(p) => (Some(p.first_lr()), p.last_lr()),
            _ => return Ok(()),
        };
        let plan = plan(preset, steps);
        if let Some(first) = first {
            prop_assert_eq!(plan.at(0).lr, first);
        }
        prop_assert_eq!(plan.at(steps - 1).lr, last);
    }

    #[test]
    fn random_access_equals_stepping(preset in any_preset(), steps in steps(), order in any::<u64>()) {
        let plan = plan(preset, steps);
        let stepped: Vec<_> = (0..steps).map(|n| plan.at(n)).collect();
        let mut n = order;
        for _ in 0..steps {
            n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let step = (n >> 33) % steps;
            prop_assert_eq!(plan.at(step), stepped[step as usize]);
        }
    }

    #[test]
    fn a_plan_round_trips(preset in any_preset(), steps in steps(), end in 0..3) {
        let at_end = [AtEnd::Hold, AtEnd::Error, AtEnd::Restart][end as usize];
        let policy = Policy::from_preset(preset).unwrap().at_end(at_end);
        let plan = policy.resolve(&Run::steps(steps).with_steps_per_epoch(10)).unwrap();
        let json: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
        let toml: Plan = toml::from_str(&toml::to_string(&plan).unwrap()).unwrap();
        prop_assert_eq!(&json, &plan);
        prop_assert_eq!(&toml, &plan);
        for n in 0..steps + 2 {
            prop_assert_eq!(json.at(n), plan.at(n));
            prop_assert_eq!(toml.at(n), plan.at(n));
        }
    }

    #[test]
    fn at_end_decides_past_the_last_step(preset in any_preset(), steps in steps(), past in 0_u64..1_000_000) {
        let policy = Policy::from_preset(preset).unwrap();
        let run = Run::steps(steps).with_steps_per_epoch(10);
        let step = steps + past;

        let hold = policy.clone().resolve(&run).unwrap();
        prop_assert_eq!(hold.at(step), hold.at(steps - 1));
        prop_assert_eq!(hold.try_at(step).unwrap(), hold.at(steps - 1));

        let error = policy.clone().at_end(AtEnd::Error).resolve(&run).unwrap();
        prop_assert!(error.try_at(steps - 1).is_ok());
        let past = error.try_at(step).unwrap_err();
        prop_assert_eq!((past.step, past.steps), (step, steps));
        prop_assert_eq!(error.at(step), error.at(steps - 1));

        let restart = policy.at_end(AtEnd::Restart).resolve(&run).unwrap();
        prop_assert_eq!(restart.at(step), restart.at(step % steps));
    }

    /// Tracks share intermediate results of their ramps, but each has the same values as alone.
    #[test]
    fn tracks_are_independent(tracks in prop::collection::vec(curve(), 3), steps in 1_u64..200) {
        let run = Run::steps(steps);
        let [lr, momentum, decay] = <[Curve; 3]>::try_from(tracks.clone()).unwrap();
        let together = Policy::from_curve(lr)
            .and_then(|policy| policy.with_momentum(momentum))
            .and_then(|policy| policy.with_weight_decay(decay))
            .and_then(|policy| policy.resolve(&run))
            .unwrap();
        let alone: Vec<Plan> = tracks
            .into_iter()
            .map(|curve| Policy::from_curve(curve).unwrap().resolve(&run).unwrap())
            .collect();
        for n in 0..steps {
            let hyper = together.at(n);
            let values = [Some(hyper.lr), hyper.momentum, hyper.weight_decay];
            for (value, alone) in values.iter().zip(&alone) {
                prop_assert_eq!(*value, Some(alone.at(n).lr), "{}", n);
            }
        }
    }

    /// Each part of a sequence ends where the next one starts, the last one with the run.
    #[test]
    fn parts_join_on_whole_steps(lengths in prop::collection::vec(1_u64..40, 1..5), rates in prop::collection::vec(0.1_f64..1.0, 6)) {
        let line = |i: usize| Preset::from(Linear { lr: rates[i], lr_final: rates[i + 1] });
        let parts = lengths.iter().enumerate().map(|(i, steps)| (Span::Steps(*steps), line(i)));
        let steps = lengths.iter().sum::<u64>() + 10;
        let plan = plan(Sequence::new(parts, line(lengths.len())), steps);
        let mut joint = 0;
        for (i, length) in lengths.iter().enumerate() {
            prop_assert_eq!(plan.at(joint).lr, rates[i]);
            let slope = (rates[i + 1] - rates[i]) / *length as f64;
            for n in joint..joint + length {
                prop_assert!((plan.at(n + 1).lr - plan.at(n).lr - slope).abs() < 1e-12);
            }
            joint += length;
        }
        prop_assert_eq!(plan.at(steps - 1).lr, rates[lengths.len() + 1]);
    }

    /// Arbitrary parameters either give an error or valid learning rates. Nothing panics.
    #[test]
    fn arbitrary_parameters_are_rejected_or_valid(preset in wild(), steps in steps()) {
        let Ok(policy) = Policy::from_preset(preset) else { return Ok(()) };
        let run = Run::steps(steps).with_steps_per_epoch(3).with_batch_size(32);
        let Ok(plan) = policy.resolve(&run) else { return Ok(()) };
        assert_tiles(&plan.phases(), steps);
        for n in 0..steps + 3 {
            let lr = plan.at(n).lr;
            prop_assert!(lr.is_finite() && lr >= 0.0, "{}: {}", n, lr);
        }
    }

    #[test]
    fn arbitrary_runs_are_rejected_or_valid(epochs in any_number(), samples in any::<u32>(), batch in 0_u64..5000, drop in any::<bool>()) {
        let run = Run::epochs(epochs % 1000.0, u64::from(samples % 100_000), batch).drop_last(drop);
        if let Ok(steps) = run.total_steps() {
            prop_assert!(steps >= 1);
            let plan = OneCycle::new(1.0).policy().unwrap().resolve(&run).unwrap();
            prop_assert_eq!(plan.steps(), steps);
            prop_assert!(plan.at(steps - 1).lr <= 1.0);
        }
    }

    /// Two presets of this crate compared with PyTorch's formulas, which the goldens verify.
    #[test]
    fn cycles_match_pytorch(up in 1_u64..50, down in 1_u64..50, mode in 0..3, mult in 1_u32..4, steps in 1_u64..400) {
        let (min, max) = (0.1, 0.7);
        let close = |ours: &Plan, theirs: &Plan| {
            for n in 0..steps {
                let (ours, theirs) = (ours.at(n), theirs.at(n));
                prop_assert!((ours.lr - theirs.lr).abs() < 1e-12, "{}: {} {}", n, ours.lr, theirs.lr);
                let momenta = ours.momentum.unwrap_or(0.0) - theirs.momentum.unwrap_or(0.0);
                prop_assert!(momenta.abs() < 1e-12);
            }
            Ok(())
        };
        let modes = [ClrMode::Triangular, ClrMode::Triangular2, ClrMode::ExpRange];
        let torch_modes = [torch::CyclicMode::Triangular, torch::CyclicMode::Triangular2, torch::CyclicMode::ExpRange];
        let clr = Clr {
            step_size_down: Some(Span::Steps(down)),
            mode: modes[mode as usize],
            gamma: (mode == 2).then_some(0.99),
            momentum: Momentum::Cycle { high: 0.9, low: 0.8 },
            ..Clr::new(min, max, Span::Steps(up))
        };
        let cyclic = torch::CyclicLr {
            step_size_up: up,
            step_size_down: Some(down),
            mode: torch_modes[mode as usize],
            gamma: 0.99,
            ..torch::CyclicLr::new(min, max)
        };
        close(&plan(clr, steps), &plan(cyclic, steps))?;

        let restarts = CosineRestarts { lr_min: min, period_mult: mult, ..CosineRestarts::new(max, Span::Steps(up)) };
        let warm = torch::CosineAnnealingWarmRestarts {
            t_mult: u64::from(mult),
            eta_min: min,
            ..torch::CosineAnnealingWarmRestarts::new(max, up)
        };
        // The last step of a run ends its cycle here, while PyTorch restarts. Compare within a
        // longer run.
        let longer = plan(restarts, steps + 1);
        close(&longer, &plan(warm, steps + 1).clone())?;
    }
}

/// The shortest runs, one by one.
#[test]
fn one_cycle_of_a_few_steps() {
    let lr = |steps| rates(&plan(OneCycle::new(1.0), steps));
    assert_eq!(lr(1), [0.1]);
    assert_eq!(lr(2), [0.1, 0.001]);
    assert_eq!(lr(3), [0.1, 1.0, 0.001]);
    assert_eq!(lr(4), [0.1, 1.0, 0.1, 0.001]);
    let cosine = OneCycle {
        shape: LegShape::Cosine,
        ..OneCycle::new(1.0)
    };
    assert_eq!(rates(&plan(cosine, 4)), [0.1, 1.0, 0.1, 0.001]);
}
