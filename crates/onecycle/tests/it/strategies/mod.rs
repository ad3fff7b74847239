//! Random presets: valid ones of each kind, and arbitrary ones.

mod wild;

pub(crate) use wild::{any_number, wild};

use onecycle::*;
use proptest::prelude::*;

/// Lengths of runs, often very short ones.
pub(crate) fn steps() -> impl Strategy<Value = u64> {
    prop_oneof![1_u64..8, 1_u64..60, 1_u64..500]
}

fn rate() -> impl Strategy<Value = f64> {
    // Smith used 3. Rates of 1000 are allowed, and so are tiny ones.
    prop_oneof![1e-9_f64..1e-3, 1e-3_f64..1.0, 1.0_f64..1000.0]
}

fn share() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), 0.0_f64..1.0, Just(1.0)]
}

fn shape() -> impl Strategy<Value = LegShape> {
    prop_oneof![Just(LegShape::Linear), Just(LegShape::Cosine)]
}

fn momentum() -> impl Strategy<Value = Momentum> {
    prop_oneof![
        Just(Momentum::Unset),
        (0.0_f64..0.999).prop_map(Momentum::Constant),
        (0.0_f64..0.999, share()).prop_map(|(high, of)| Momentum::Cycle {
            high,
            low: high * of
        }),
    ]
}

pub(crate) fn one_cycle() -> impl Strategy<Value = OneCycle> {
    let annihilation = (0.0_f64..0.99).prop_map(Span::Fraction);
    (rate(), share(), share(), annihilation, momentum(), shape()).prop_map(
        |(lr_max, min, last, annihilation, momentum, shape)| OneCycle {
            lr_max,
            lr_min: Some(lr_max * min),
            div: None,
            lr_final: Some(lr_max * min * last),
            annihilation,
            momentum,
            shape,
        },
    )
}

/// Two fractions of a run that leave some of it.
fn two_shares() -> impl Strategy<Value = (Span, Span)> {
    (0.0_f64..1.0, 0.0_f64..1.0)
        .prop_map(|(a, b)| (Span::Fraction(a / 2.0), Span::Fraction(b / 2.0)))
}

/// Presets without jumps that end at a given value.
pub(crate) fn continuous() -> BoxedStrategy<Preset> {
    prop_oneof![
        one_cycle().prop_map(Preset::from),
        (rate(), rate()).prop_map(|(lr, lr_final)| Linear { lr, lr_final }.into()),
        (rate(), rate()).prop_map(|(lr, lr_final)| Cosine { lr, lr_final }.into()),
        (rate(), rate(), 0.1_f64..5.0).prop_map(|(lr, lr_final, power)| Polynomial {
            lr,
            lr_final,
            power
        }
        .into()),
        (rate(), rate()).prop_map(|(lr, last)| Exponential::to(lr, last).into()),
        (rate(), 0.0_f64..0.99, share()).prop_map(|(lr, flat, last)| {
            FlatCosine {
                lr,
                flat: Span::Fraction(flat),
                lr_final: lr * last,
            }
            .into()
        }),
        (rate(), two_shares(), share(), share(), 0..3).prop_map(
            |(lr, spans, start, last, shape)| {
                let shape =
                    [DecayShape::Linear, DecayShape::Cosine, DecayShape::Sqrt][shape as usize];
                let decay = nonzero(spans.1);
                let (lr_start, lr_final) = (lr * start, lr * last);
                WarmupStableDecay {
                    lr,
                    warmup: spans.0,
                    decay,
                    lr_start,
                    lr_final,
                    shape,
                }
                .into()
            }
        ),
        (rate(), two_shares(), share(), share()).prop_map(|(lr, spans, start, last)| {
            let decay = nonzero(spans.1);
            let (lr_start, lr_final) = (lr * start, lr * last);
            Trapezoid {
                lr,
                warmup: spans.0,
                decay,
                lr_start,
                lr_final,
            }
            .into()
        }),
    ]
    .boxed()
}

/// A decay without length has no end value.
fn nonzero(span: Span) -> Span {
    if span.is_zero() {
        Span::Fraction(0.25)
    } else {
        span
    }
}

fn clr() -> impl Strategy<Value = Preset> {
    (
        rate(),
        share(),
        1_u64..40,
        1_u64..40,
        0..3,
        0.9_f64..1.0,
        momentum(),
    )
        .prop_map(|(lr_max, min, up, down, mode, gamma, momentum)| {
            Clr {
                lr_min: lr_max * min,
                lr_max,
                step_size: Span::Steps(up),
                step_size_down: Some(Span::Steps(down)),
                mode: [ClrMode::Triangular, ClrMode::Triangular2, ClrMode::ExpRange][mode as usize],
                gamma: (mode == 2).then_some(gamma),
                momentum,
            }
            .into()
        })
}

fn jumping() -> impl Strategy<Value = Preset> {
    prop_oneof![
        rate().prop_map(|lr| Constant::new(lr).into()),
        prop::collection::vec((1_u64..80, rate()), 1..5).prop_map(|gaps| {
            let mut at = 0;
            let points = gaps.into_iter().enumerate().map(|(i, (gap, lr))| {
                at += if i == 0 { 0 } else { gap };
                (Span::Steps(at), lr)
            });
            PiecewiseConstant::new(points.collect::<Vec<_>>()).into()
        }),
        (rate(), 1_u64..50, 0.05_f64..=1.0).prop_map(|(lr, every, gamma)| Step {
            lr,
            every: Span::Steps(every),
            gamma
        }
        .into()),
        (rate(), share(), 1_u64..50, 1_u32..4, 0.05_f64..=1.0).prop_map(
            |(lr, min, period, period_mult, decay)| {
                CosineRestarts {
                    lr,
                    lr_min: lr * min,
                    period: Span::Steps(period),
                    period_mult,
                    decay,
                }
                .into()
            }
        ),
        (rate(), 0.5_f64..=1.0, 1_u64..20).prop_map(|(lr, gamma, every)| Exponential::by(
            lr,
            gamma,
            Span::Steps(every)
        )
        .into()),
        clr(),
    ]
}

/// Any preset of this crate, including combinations.
pub(crate) fn any_preset() -> BoxedStrategy<Preset> {
    let single = prop_oneof![continuous(), jumping()].boxed();
    let part = (0.01_f64..0.3).prop_map(Span::Fraction);
    let without_momentum = prop_oneof![
        rate().prop_map(|lr| Preset::from(Constant::new(lr))),
        (rate(), rate()).prop_map(|(lr, lr_final)| Cosine { lr, lr_final }.into()),
    ];
    let warmup = (0.0_f64..0.9, single.clone(), share(), 0..3, 1_u64..1000).prop_map(
        |(over, then, start, scaling, reference)| Warmup {
            over: Span::Fraction(over),
            then: Box::new(then),
            start_factor: (start < 0.5).then_some(start),
            scaling: [Scaling::None, Scaling::Linear, Scaling::Sqrt][scaling as usize],
            reference_batch: Some(reference),
        },
    );
    prop_oneof![
        4 => single.clone(),
        1 => (prop::collection::vec((part, single.clone()), 0..3), single.clone())
            .prop_map(|(parts, last)| Sequence::new(parts, last).into()),
        1 => (single, without_momentum).prop_map(|(a, b)| Product::new([a, b]).into()),
        1 => warmup.prop_map(|warmup| {
            // The runs of these tests have no batch size for the scaling.
            Warmup { scaling: Scaling::None, ..warmup }.into()
        }),
    ]
    .boxed()
}

/// Upper bound for the steepest step of a phase with the given number of steps, in units of its
/// mean step; `None` if the shape gives no bound.
pub(crate) fn steepness(preset: &Preset) -> Option<Box<dyn Fn(f64) -> f64>> {
    use std::f64::consts::FRAC_PI_2;
    Some(match preset {
        Preset::OneCycle(_)
        | Preset::Cosine(_)
        | Preset::CosineRestarts(_)
        | Preset::FlatCosine(_) => Box::new(|_| FRAC_PI_2),
        Preset::Linear(_) | Preset::Trapezoid(_) | Preset::Constant(_) => Box::new(|_| 1.0),
        Preset::PiecewiseConstant(_) | Preset::Step(_) => Box::new(|_| 0.0),
        Preset::Clr(clr) if clr.mode != ClrMode::ExpRange => Box::new(|_| 1.0),
        // A power below 1 is steepest in its last step, a power above 1 in its first.
        Preset::Polynomial(p) => {
            let power = p.power;
            Box::new(move |length| {
                if power >= 1.0 {
                    power
                } else {
                    length.powf(1.0 - power)
                }
            })
        }
        Preset::WarmupStableDecay(p) => match p.shape {
            DecayShape::Linear => Box::new(|_| 1.0),
            DecayShape::Cosine => Box::new(|_| FRAC_PI_2),
            DecayShape::Sqrt => Box::new(|length| length.sqrt()),
        },
        _ => return None,
    })
}

/// A curve of few shapes and lengths, so that tracks often have ramps in common.
pub(crate) fn curve() -> BoxedStrategy<Curve> {
    let shape = prop_oneof![Just(Shape::Linear), Just(Shape::Cosine), Just(Shape::Sqrt)];
    let ramp =
        (shape, 0.0_f64..0.9, 0.0_f64..0.9).prop_map(|(shape, a, b)| Curve::ramp(shape, a, b));
    let leaf = prop_oneof![ramp, (0.0_f64..0.9).prop_map(Curve::Constant)].boxed();
    let span = || (1_u64..4).prop_map(|n| Span::Fraction(n as f64 / 16.0));
    prop_oneof![
        leaf.clone(),
        prop::collection::vec((span(), leaf.clone()), 1..4).prop_map(Curve::Sequence),
        (leaf.clone(), span()).prop_map(|(of, period)| of.repeat(period)),
        prop::collection::vec(leaf, 1..3).prop_map(Curve::Product),
    ]
    .boxed()
}
