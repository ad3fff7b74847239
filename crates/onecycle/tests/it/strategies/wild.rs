//! Presets with arbitrary, mostly invalid parameters.

use onecycle::*;
use proptest::prelude::*;

/// Numbers that are often invalid as a parameter.
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

/// A preset of any kind with arbitrary parameters.
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
                    torch::OneCycleLr {
                        pct_start,
                        div_factor,
                        final_div_factor,
                        three_phase,
                        ..torch::OneCycleLr::new(max_lr, total_steps)
                    }
                    .into()
                }
            ),
        (number(), number(), any_count(), any_count()).prop_map(|(base_lr, max_lr, up, down)| {
            torch::CyclicLr {
                step_size_up: up,
                step_size_down: Some(down),
                ..torch::CyclicLr::new(base_lr, max_lr)
            }
            .into()
        }),
        (number(), number(), any_count()).prop_map(|(lr, start_factor, total_iters)| {
            torch::LinearLr {
                start_factor,
                total_iters,
                ..torch::LinearLr::new(lr)
            }
            .into()
        }),
        (number(), number(), any_count()).prop_map(|(lr, power, total_iters)| {
            torch::PolynomialLr {
                power,
                total_iters,
                ..torch::PolynomialLr::new(lr)
            }
            .into()
        }),
        (number(), number(), any_count()).prop_map(|(lr, eta_min, t_max)| {
            torch::CosineAnnealingLr {
                eta_min,
                ..torch::CosineAnnealingLr::new(lr, t_max)
            }
            .into()
        }),
        (number(), any_count(), any_count()).prop_map(|(lr, t_0, t_mult)| {
            torch::CosineAnnealingWarmRestarts {
                t_mult,
                ..torch::CosineAnnealingWarmRestarts::new(lr, t_0)
            }
            .into()
        }),
        (number(), prop::collection::vec(any_count(), 0..4), number()).prop_map(
            |(lr, milestones, gamma)| {
                torch::MultiStepLr {
                    gamma,
                    ..torch::MultiStepLr::new(lr, milestones)
                }
                .into()
            }
        ),
        (number(), any_count(), any_count(), any_count(), number()).prop_map(
            |(lr, w, s, d, end_factor)| {
                torch::Trapezoid {
                    end_factor,
                    ..torch::Trapezoid::new(lr, w, s, d)
                }
                .into()
            }
        ),
        (number(), any_count(), number(), number()).prop_map(
            |(peak, steps, pct_start, pct_final)| {
                optax::LinearOnecycle {
                    pct_start,
                    pct_final,
                    ..optax::LinearOnecycle::new(steps, peak)
                }
                .into()
            }
        ),
        (number(), number(), any_count(), any_count(), number()).prop_map(
            |(init, peak, warmup, steps, exponent)| {
                optax::WarmupCosineDecay {
                    exponent,
                    ..optax::WarmupCosineDecay::new(init, peak, warmup, steps)
                }
                .into()
            }
        ),
        (number(), number(), number(), any_count(), any::<i64>()).prop_map(
            |(init_value, end_value, power, transition_steps, transition_begin)| {
                optax::Polynomial {
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
                optax::ExponentialDecay {
                    end_value,
                    ..optax::ExponentialDecay::new(init, steps, decay_rate)
                }
                .into()
            }
        ),
        (
            number(),
            prop::collection::vec((any_count(), number()), 0..4)
        )
            .prop_map(|(init_value, boundaries_and_scales)| {
                let interpolate_type = optax::InterpolateType::Cosine;
                optax::PiecewiseInterpolate {
                    interpolate_type,
                    init_value,
                    boundaries_and_scales,
                }
                .into()
            }),
        (number(), number(), number(), prop::option::of(0_u64..4)).prop_map(
            |(lr_max, div, pct_start, n_epoch)| {
                fastai::OneCycle {
                    div,
                    pct_start,
                    n_epoch,
                    ..fastai::OneCycle::new(lr_max)
                }
                .into()
            }
        ),
        (number(), number(), number()).prop_map(|(lr_max, div_factor, pct_start)| {
            fastai::V1OneCycle {
                div_factor,
                pct_start,
                ..fastai::V1OneCycle::new(lr_max)
            }
            .into()
        }),
        (any_count(), any_count(), number(), any_count()).prop_map(
            |(n_cycles, cycle_len, lr_max, cycle_mult)| {
                fastai::Sgdr {
                    n_cycles,
                    cycle_len,
                    lr_max,
                    cycle_mult,
                }
                .into()
            }
        ),
        (number(), number(), number(), number()).prop_map(|(pct, start, middle, end)| {
            fastai::CombinedCos {
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
