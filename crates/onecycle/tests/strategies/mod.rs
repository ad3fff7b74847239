//! Random presets: valid ones by kind, and wild ones.

use onecycle::*;
use proptest::prelude::*;

/// Lengths of runs, the very short ones often.
pub(crate) fn steps() -> impl Strategy<Value = u64> {
    prop_oneof![1_u64..8, 1_u64..60, 1_u64..500]
}

fn rate() -> impl Strategy<Value = f64> {
    // Smith used 3; nothing forbids 1000, and a rate may be tiny.
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

/// Two shares of a run that leave something between them.
fn two_shares() -> impl Strategy<Value = (Span, Span)> {
    (0.0_f64..1.0, 0.0_f64..1.0)
        .prop_map(|(a, b)| (Span::Fraction(a / 2.0), Span::Fraction(b / 2.0)))
}

/// Presets without jumps, those that end at a given value.
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

/// A decay of no length ends nowhere.
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

/// Any preset of this crate's own, combinations of them included.
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
            // The runs of these tests have no batch size to scale by.
            Warmup { scaling: Scaling::None, ..warmup }.into()
        }),
    ]
    .boxed()
}

/// How steep the steepest step of a phase of so many steps may be, in units of its mean step; where the shape says.
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
        // A power below 1 is steepest in its last step, one above 1 in its first.
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

/// Numbers as they are never meant.
pub(crate) fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        -2.0_f64..2.0,
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::MAX),
        Just(f64::MIN_POSITIVE),
        Just(0.0),
        Just(-0.0),
    ]
}

fn any_span() -> impl Strategy<Value = Span> {
    prop_oneof![
        prop_oneof![0_u64..100, any::<u64>()].prop_map(Span::Steps),
        any_number().prop_map(Span::Epochs),
        prop_oneof![0_u64..1000, any::<u64>()].prop_map(Span::Samples),
        any_number().prop_map(Span::Fraction),
    ]
}

fn any_count() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..5, 0_u64..200, any::<u64>()]
}

/// Presets with whatever parameters.
pub(crate) fn wild() -> BoxedStrategy<Preset> {
    let number = || prop_oneof![2 => 0.0_f64..1.0, 1 => any_number()];
    let span = || prop_oneof![1 => any_span(), 1 => (0.0_f64..1.0).prop_map(Span::Fraction), 1 => (1_u64..30).prop_map(Span::Steps)];
    prop_oneof![
        (
            number(),
            prop::option::of(number()),
            prop::option::of(number()),
            prop::option::of(number()),
            span(),
            number()
        )
            .prop_map(
                |(lr_max, lr_min, div, lr_final, annihilation, momentum)| OneCycle {
                    lr_max,
                    lr_min,
                    div,
                    lr_final,
                    annihilation,
                    momentum: Momentum::Cycle {
                        high: momentum,
                        low: 0.1
                    },
                    shape: LegShape::Cosine,
                }
                .into()
            ),
        (
            number(),
            number(),
            span(),
            span(),
            prop::option::of(number())
        )
            .prop_map(|(lr_min, lr_max, up, down, gamma)| Clr {
                step_size_down: Some(down),
                gamma,
                mode: if gamma.is_some() {
                    ClrMode::ExpRange
                } else {
                    ClrMode::Triangular2
                },
                ..Clr::new(lr_min, lr_max, up)
            }
            .into()),
        (number(), number(), number()).prop_map(|(lr, lr_final, power)| Polynomial {
            lr,
            lr_final,
            power
        }
        .into()),
        (
            number(),
            prop::option::of(number()),
            prop::option::of(number()),
            span()
        )
            .prop_map(|(lr, lr_final, gamma, every)| Exponential {
                lr,
                lr_final,
                gamma,
                every
            }
            .into()),
        (number(), span(), number())
            .prop_map(|(lr, every, gamma)| Step { lr, every, gamma }.into()),
        prop::collection::vec((span(), number()), 0..4)
            .prop_map(|values| PiecewiseConstant { values }.into()),
        (number(), number(), span(), any::<u32>(), number()).prop_map(
            |(lr, lr_min, period, period_mult, decay)| CosineRestarts {
                lr,
                lr_min,
                period,
                period_mult,
                decay
            }
            .into()
        ),
        (number(), span(), span(), number(), number()).prop_map(
            |(lr, warmup, decay, lr_start, lr_final)| {
                WarmupStableDecay {
                    lr,
                    warmup,
                    decay,
                    lr_start,
                    lr_final,
                    shape: DecayShape::Sqrt,
                }
                .into()
            }
        ),
        (number(), span(), number()).prop_map(|(lr, flat, lr_final)| FlatCosine {
            lr,
            flat,
            lr_final
        }
        .into()),
        (span(), number(), prop::option::of(number()), any_count()).prop_map(
            |(over, lr, start_factor, reference)| Warmup {
                start_factor,
                scaling: Scaling::Sqrt,
                reference_batch: Some(reference),
                ..Warmup::new(over, Constant::new(lr))
            }
            .into()
        ),
        (span(), span(), number(), number()).prop_map(|(a, b, x, y)| {
            Sequence::new(
                [(a, Linear::new(x).into()), (b, Constant::new(y).into())],
                Cosine::new(x),
            )
            .into()
        }),
        (number(), number(), span()).prop_map(|(a, b, every)| {
            Product::new([
                Constant::new(a).into(),
                Step::new(b, every).into(),
                Constant::new(a).into(),
            ])
            .into()
        }),
        (
            number(),
            0_u64..200,
            number(),
            number(),
            number(),
            any::<bool>()
        )
            .prop_map(
                |(max_lr, total_steps, pct_start, div_factor, final_div_factor, three_phase)| {
                    TorchOneCycle {
                        pct_start,
                        div_factor,
                        final_div_factor,
                        three_phase,
                        ..TorchOneCycle::new(max_lr, total_steps)
                    }
                    .into()
                }
            ),
        (number(), number(), any_count(), any_count()).prop_map(|(base_lr, max_lr, up, down)| {
            TorchCyclic {
                step_size_up: up,
                step_size_down: Some(down),
                ..TorchCyclic::new(base_lr, max_lr)
            }
            .into()
        }),
        (number(), number(), any_count()).prop_map(|(lr, start_factor, total_iters)| {
            TorchLinear {
                start_factor,
                total_iters,
                ..TorchLinear::new(lr)
            }
            .into()
        }),
        (number(), number(), any_count()).prop_map(|(lr, power, total_iters)| {
            TorchPolynomial {
                power,
                total_iters,
                ..TorchPolynomial::new(lr)
            }
            .into()
        }),
        (number(), number(), any_count()).prop_map(|(lr, eta_min, t_max)| {
            TorchCosineAnnealing {
                eta_min,
                ..TorchCosineAnnealing::new(lr, t_max)
            }
            .into()
        }),
        (number(), any_count(), any_count()).prop_map(|(lr, t_0, t_mult)| {
            TorchCosineAnnealingWarmRestarts {
                t_mult,
                ..TorchCosineAnnealingWarmRestarts::new(lr, t_0)
            }
            .into()
        }),
        (number(), prop::collection::vec(any_count(), 0..4), number()).prop_map(
            |(lr, milestones, gamma)| {
                TorchMultiStep {
                    gamma,
                    ..TorchMultiStep::new(lr, milestones)
                }
                .into()
            }
        ),
        (number(), any_count(), any_count(), any_count(), number()).prop_map(
            |(lr, w, s, d, end_factor)| {
                TorchTrapezoid {
                    end_factor,
                    ..TorchTrapezoid::new(lr, w, s, d)
                }
                .into()
            }
        ),
        (number(), any_count(), number(), number()).prop_map(
            |(peak, steps, pct_start, pct_final)| {
                OptaxLinearOnecycle {
                    pct_start,
                    pct_final,
                    ..OptaxLinearOnecycle::new(steps, peak)
                }
                .into()
            }
        ),
        (number(), number(), any_count(), any_count(), number()).prop_map(
            |(init, peak, warmup, steps, exponent)| {
                OptaxWarmupCosineDecay {
                    exponent,
                    ..OptaxWarmupCosineDecay::new(init, peak, warmup, steps)
                }
                .into()
            }
        ),
        (number(), number(), number(), any_count(), any::<i64>()).prop_map(
            |(init_value, end_value, power, transition_steps, transition_begin)| {
                OptaxPolynomial {
                    init_value,
                    end_value,
                    power,
                    transition_steps,
                    transition_begin,
                }
                .into()
            }
        ),
        (number(), any_count(), number(), prop::option::of(number())).prop_map(
            |(init, steps, decay_rate, end_value)| {
                OptaxExponentialDecay {
                    end_value,
                    ..OptaxExponentialDecay::new(init, steps, decay_rate)
                }
                .into()
            }
        ),
        (
            number(),
            prop::collection::vec((any_count(), number()), 0..4)
        )
            .prop_map(|(init_value, boundaries_and_scales)| {
                let interpolate_type = InterpolateType::Cosine;
                OptaxPiecewiseInterpolate {
                    interpolate_type,
                    init_value,
                    boundaries_and_scales,
                }
                .into()
            }),
        (number(), number(), number(), prop::option::of(0_u64..4)).prop_map(
            |(lr_max, div, pct_start, n_epoch)| {
                FastaiOneCycle {
                    div,
                    pct_start,
                    n_epoch,
                    ..FastaiOneCycle::new(lr_max)
                }
                .into()
            }
        ),
        (number(), number(), number()).prop_map(|(lr_max, div_factor, pct_start)| {
            FastaiV1OneCycle {
                div_factor,
                pct_start,
                ..FastaiV1OneCycle::new(lr_max)
            }
            .into()
        }),
        (any_count(), any_count(), number(), any_count()).prop_map(
            |(n_cycles, cycle_len, lr_max, cycle_mult)| {
                FastaiSgdr {
                    n_cycles,
                    cycle_len,
                    lr_max,
                    cycle_mult,
                }
                .into()
            }
        ),
        (number(), number(), number(), number()).prop_map(|(pct, start, middle, end)| {
            FastaiCombinedCos {
                pct,
                start,
                middle,
                end,
            }
            .into()
        }),
    ]
    .boxed()
}
