//! Time per call of `Plan::at`.
//!
//! Goal: at most 10 ns for one parameter group and 100 ns for 50. A step of PyTorch's OneCycleLR
//! takes 4.1 µs and 93 µs (PyTorch 2.15, two-core AVX2 machine).

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use onecycle::{
    Clr, Cosine, GroupScale, LegShape, Momentum, OneCycle, Plan, PolicyError, Preset, Run, Span,
    WarmupStableDecay, torch,
};

/// Steps of the run: 95 epochs of 98 steps.
const STEPS: u64 = 9310;

fn plans() -> Result<Vec<(&'static str, Plan)>, PolicyError> {
    let no_momentum = OneCycle {
        momentum: Momentum::Unset,
        ..OneCycle::new(0.8)
    };
    let clr = Clr {
        momentum: Momentum::Cycle {
            high: 0.95,
            low: 0.85,
        },
        ..Clr::new(0.1, 3.0, Span::Steps(500))
    };
    let presets: [(&str, Preset); 7] = [
        ("one_cycle, linear", OneCycle::new(0.8).into()),
        ("one_cycle, linear, lr only", no_momentum.into()),
        (
            "one_cycle, cosine",
            OneCycle {
                shape: LegShape::Cosine,
                ..OneCycle::new(0.8)
            }
            .into(),
        ),
        ("cosine", Cosine::new(0.8).into()),
        ("warmup_stable_decay", WarmupStableDecay::new(0.8).into()),
        ("clr", clr.into()),
        ("torch_one_cycle", torch::OneCycleLr::new(0.8, STEPS).into()),
    ];
    presets
        .into_iter()
        .map(|(name, preset)| {
            let policy = onecycle::Policy::from_preset(preset)?;
            Ok((name, policy.resolve(&Run::steps(STEPS))?))
        })
        .collect()
}

/// Every step of the run in order, as in a training loop. Criterion's `thrpt` is in steps per
/// second; its inverse is the time per step.
fn at(criterion: &mut Criterion) {
    let plans = plans().unwrap_or_default();
    assert!(!plans.is_empty(), "the presets of the benchmark are valid");
    let scales = GroupScale::discriminative(50, 1.1).unwrap_or_default();
    assert_eq!(scales.len(), 50);

    let mut one = criterion.benchmark_group("1 group");
    one.throughput(Throughput::Elements(STEPS));
    for (name, plan) in &plans {
        one.bench_function(*name, |bencher| {
            bencher.iter(|| {
                for step in 0..STEPS {
                    // By reference, because copying a value that was just written costs more than
                    // computing it.
                    let hyper = plan.at(black_box(step));
                    black_box(&hyper);
                }
            });
        });
    }
    one.finish();

    let mut fifty = criterion.benchmark_group("50 groups");
    fifty.throughput(Throughput::Elements(STEPS));
    for (name, plan) in &plans {
        let mut groups = vec![plan.at(0); scales.len()];
        fifty.bench_function(*name, |bencher| {
            bencher.iter(|| {
                for step in 0..STEPS {
                    let filled = plan.groups(black_box(step), &scales, black_box(&mut groups));
                    black_box(filled.is_ok());
                }
            });
        });
    }
    fifty.finish();
}

criterion_group!(benches, at);
criterion_main!(benches);
