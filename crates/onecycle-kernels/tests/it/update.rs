//! Optimizer updates over 40 steps, compared with the documented formulas in double precision.

use crate::common::*;
use onecycle_kernels::{Adam, AdamState, Kernels, MomentumBuffer, Sgd};

const STEPS: usize = 40;
/// Lengths 0 and 1, and lengths around the chunk size.
const SIZES: [usize; 6] = [0, 1, 16_383, 16_384, 16_385, 40_000];
/// Each step rounds a weight of magnitude 2 or less a few times.
const TOLERANCE: f64 = 4.0 * f32::EPSILON as f64 * STEPS as f64;

const PLAIN: Sgd = Sgd {
    lr: 0.05,
    momentum: 0.0,
    dampening: 0.0,
    weight_decay: 0.0,
    decoupled: false,
    nesterov: false,
    gradient_scale: 1.0,
};

fn sgd_variants() -> Vec<Sgd> {
    let mut variants = Vec::new();
    for (momentum, dampening, nesterov) in [
        (0.0, 0.0, false),
        (0.9, 0.0, false),
        (0.9, 0.0, true),
        (0.85, 0.3, false),
        (0.85, 0.3, true),
    ] {
        for (weight_decay, decoupled) in [(0.0, false), (0.3, false), (0.3, true)] {
            for gradient_scale in [1.0, 0.25] {
                variants.push(Sgd {
                    momentum,
                    dampening,
                    nesterov,
                    weight_decay,
                    decoupled,
                    gradient_scale,
                    ..PLAIN
                });
            }
        }
    }
    variants
}

fn sgd64(step: &Sgd, first: bool, w: &mut [f64], v: &mut [f64], gradient: &[f64]) {
    for ((w, v), g) in w.iter_mut().zip(v).zip(gradient) {
        let mut g = step.gradient_scale * g;
        let mut kept = *w;
        if step.decoupled {
            kept *= 1.0 - step.lr * step.weight_decay;
        } else {
            g += step.weight_decay * *w;
        }
        if step.momentum == 0.0 {
            *w = kept - step.lr * g;
            continue;
        }
        *v = if first {
            g
        } else {
            step.momentum * *v + (1.0 - step.dampening) * g
        };
        let direction = if step.nesterov {
            g + step.momentum * *v
        } else {
            *v
        };
        *w = kept - step.lr * direction;
    }
}

fn gradient(step: usize, size: usize) -> Vec<f32> {
    numbers(100 + step as u64, size)
}

fn check_sgd(kernels: &Kernels, variant: &Sgd, size: usize) {
    let what = format!("{:?}, {size} weights, {variant:?}", kernels.isa());
    let mut w = numbers(1, size);
    // The first step must not read the momentum buffer.
    let mut v = vec![f32::NAN; size];
    let (mut w64, mut v64) = (doubles(&w), vec![f64::NAN; size]);
    for t in 0..STEPS {
        // The learning rate changes at every step.
        let step = Sgd {
            lr: variant.lr * (1.0 + 0.02 * t as f64),
            ..*variant
        };
        let g = gradient(t, size);
        let buffer = if t == 0 {
            MomentumBuffer::Uninitialised(&mut v)
        } else {
            MomentumBuffer::Previous(&mut v)
        };
        kernels.sgd(&step, &mut w, buffer, &g).unwrap();
        sgd64(&step, t == 0, &mut w64, &mut v64, &doubles(&g));
    }
    assert_within(&format!("weights, {what}"), &w, &w64, |_| TOLERANCE);
    if variant.momentum == 0.0 {
        assert!(
            v.iter().all(|v| v.is_nan()),
            "momentum buffer is unchanged, {what}"
        );
    } else {
        assert_within(&format!("momentum buffer, {what}"), &v, &v64, |_| {
            10.0 * TOLERANCE
        });
    }
}

#[test]
fn sgd_follows_its_formula() {
    for kernels in all_kernels() {
        for variant in sgd_variants() {
            check_sgd(&kernels, &variant, 1000);
        }
    }
}

#[test]
fn sgd_at_every_size() {
    for kernels in all_kernels() {
        for size in SIZES {
            for momentum in [0.0, 0.9] {
                check_sgd(&kernels, &Sgd { momentum, ..PLAIN }, size);
            }
        }
    }
}

/// Without momentum, the momentum buffer may be empty.
#[test]
fn sgd_without_momentum_needs_no_buffer() {
    for kernels in all_kernels() {
        let mut w = [1.0, 2.0];
        let buffer = MomentumBuffer::Uninitialised(&mut []);
        kernels.sgd(&PLAIN, &mut w, buffer, &[1.0, -2.0]).unwrap();
        assert_eq!(w, [0.95, 2.1]);
    }
}

/// Hyper-parameters in which the tested variants of Adam differ.
#[derive(Clone, Copy, Debug)]
struct Variant {
    weight_decay: f64,
    decoupled: bool,
    beta1: f64,
    beta2: f64,
    eps: f64,
    gradient_scale: f64,
}

const ADAM: Variant = Variant {
    weight_decay: 0.0,
    decoupled: false,
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
    gradient_scale: 1.0,
};

fn adam_variants() -> Vec<Variant> {
    let mut variants = Vec::new();
    for (weight_decay, decoupled) in [(0.0, false), (0.1, false), (0.1, true)] {
        for (beta1, beta2) in [(0.9, 0.999), (0.85, 0.95), (0.0, 0.99)] {
            for (eps, gradient_scale) in [(1e-8, 1.0), (1e-3, 0.25)] {
                variants.push(Variant {
                    weight_decay,
                    decoupled,
                    beta1,
                    beta2,
                    eps,
                    gradient_scale,
                });
            }
        }
    }
    variants
}

/// Step `t`, counted from 0, with the bias corrections of Kingma & Ba 2015, algorithm 1.
fn adam_step(variant: &Variant, lr: f64, t: usize) -> Adam {
    let n = t as i32 + 1;
    let (coupled, shrink) = if variant.decoupled {
        (0.0, 1.0 - lr * variant.weight_decay)
    } else {
        (variant.weight_decay, 1.0)
    };
    Adam {
        lr_corrected: lr / (1.0 - variant.beta1.powi(n)),
        beta1: variant.beta1,
        beta2: variant.beta2,
        root_correction: (1.0 - variant.beta2.powi(n)).sqrt(),
        eps: variant.eps,
        weight_decay: coupled,
        shrink,
        gradient_scale: variant.gradient_scale,
    }
}

/// The algorithm as published, with explicit bias correction of both means.
fn adam64(variant: &Variant, lr: f64, t: usize, [w, m, q]: [&mut Vec<f64>; 3], gradient: &[f64]) {
    let n = t as i32 + 1;
    let state = m.iter_mut().zip(q);
    for ((w, (m, q)), g) in w.iter_mut().zip(state).zip(gradient) {
        let mut g = variant.gradient_scale * g;
        if !variant.decoupled {
            g += variant.weight_decay * *w;
        }
        *m = variant.beta1 * *m + (1.0 - variant.beta1) * g;
        *q = variant.beta2 * *q + (1.0 - variant.beta2) * g * g;
        let mean = *m / (1.0 - variant.beta1.powi(n));
        let square = *q / (1.0 - variant.beta2.powi(n));
        if variant.decoupled {
            *w -= lr * variant.weight_decay * *w;
        }
        *w -= lr * mean / (square.sqrt() + variant.eps);
    }
}

fn check_adam(kernels: &Kernels, variant: &Variant, size: usize) {
    let what = format!("{:?}, {size} weights, {variant:?}", kernels.isa());
    let mut w = numbers(1, size);
    let (mut m, mut q) = (vec![0.0; size], vec![0.0; size]);
    let mut w64 = doubles(&w);
    let (mut m64, mut q64) = (doubles(&m), doubles(&q));
    for t in 0..STEPS {
        let lr = 0.01 * (1.0 + 0.02 * t as f64);
        let g = gradient(t, size);
        let step = adam_step(variant, lr, t);
        let state = AdamState {
            exp_avg: &mut m,
            exp_avg_sq: &mut q,
        };
        kernels.adam(&step, &mut w, state, &g).unwrap();
        let state = [&mut w64, &mut m64, &mut q64];
        adam64(variant, lr, t, state, &doubles(&g));
    }
    assert_within(&format!("weights, {what}"), &w, &w64, |_| TOLERANCE);
    assert_within(&format!("mean, {what}"), &m, &m64, |_| TOLERANCE);
    assert_within(&format!("square, {what}"), &q, &q64, |i| {
        TOLERANCE * (1e-3 + q64[i])
    });
}

#[test]
fn adam_follows_the_published_algorithm() {
    for kernels in all_kernels() {
        for variant in adam_variants() {
            check_adam(&kernels, &variant, 1000);
        }
    }
}

#[test]
fn adam_at_every_size() {
    for kernels in all_kernels() {
        for size in SIZES {
            check_adam(&kernels, &ADAM, size);
        }
    }
}

/// A weight with gradient 0 does not change, because eps keeps the denominator above 0.
#[test]
fn adam_without_gradient_does_not_divide_by_zero() {
    for kernels in all_kernels() {
        let (mut w, mut m, mut q) = ([1.5; 3], [0.0; 3], [0.0; 3]);
        let step = adam_step(&ADAM, 0.1, 0);
        let state = AdamState {
            exp_avg: &mut m,
            exp_avg_sq: &mut q,
        };
        kernels.adam(&step, &mut w, state, &[0.0; 3]).unwrap();
        assert_eq!(w, [1.5; 3]);
    }
}
