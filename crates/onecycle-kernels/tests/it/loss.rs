//! Softmax cross-entropy with label smoothing.

use crate::common::*;
use onecycle_kernels::{CrossEntropy, KernelError, Kernels};
use proptest::prelude::*;

/// The loss `1/N Σ_n -Σ_k t_nk log p_nk`.
fn loss(classes: usize, smoothing: f64, logits: &[f64], labels: &[i64]) -> f64 {
    let rows = logits.chunks_exact(classes).zip(labels);
    let row = |(x, label): (&[f64], &i64)| {
        let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = largest + x.iter().map(|x| (x - largest).exp()).sum::<f64>().ln();
        let on_label = (1.0 - smoothing) * (log_sum - x[*label as usize]);
        let everywhere = x.iter().map(|x| log_sum - x).sum::<f64>();
        on_label + smoothing / classes as f64 * everywhere
    };
    rows.map(row).sum::<f64>() / labels.len() as f64
}

/// The gradient `(p_nk - t_nk) / N`.
fn gradient(classes: usize, smoothing: f64, logits: &[f64], labels: &[i64]) -> Vec<f64> {
    let n = labels.len() as f64;
    let mut gradient = Vec::new();
    for (x, label) in logits.chunks_exact(classes).zip(labels) {
        let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = x.iter().map(|x| (x - largest).exp()).sum();
        for (k, x) in x.iter().enumerate() {
            let on_label = if k as i64 == *label {
                1.0 - smoothing
            } else {
                0.0
            };
            let target = on_label + smoothing / classes as f64;
            gradient.push(((x - largest).exp() / sum - target) / n);
        }
    }
    gradient
}

fn run(
    kernels: &Kernels,
    classes: usize,
    smoothing: f64,
    logits: &[f32],
    labels: &[i64],
) -> (f32, Vec<f32>) {
    let mut gradient = vec![f32::NAN; logits.len()];
    let loss = CrossEntropy {
        classes,
        label_smoothing: smoothing,
    };
    let loss = kernels
        .cross_entropy(loss, logits, labels, &mut gradient)
        .unwrap();
    (loss, gradient)
}

/// Labels that use every class.
fn labels(seed: u64, batch: usize, classes: usize) -> Vec<i64> {
    let label = |x: f32| ((x + 1.0) / 2.0 * classes as f32) as i64;
    let labels = numbers(seed, batch).into_iter().map(label);
    labels.map(|label| label.min(classes as i64 - 1)).collect()
}

/// Compares with the reference for logits between `-size` and `size`.
fn check(batch: usize, classes: usize, smoothing: f64, size: f32, seed: u64) {
    let logits: Vec<f32> = numbers(seed, batch * classes)
        .into_iter()
        .map(|x| x * size)
        .collect();
    let labels = labels(seed + 1, batch, classes);
    let logits64 = doubles(&logits);
    let loss64 = loss(classes, smoothing, &logits64, &labels);
    let gradient64 = gradient(classes, smoothing, &logits64, &labels);
    // An exponent of magnitude `2 size` is rounded before exponentiation.
    let relative = f64::from(f32::EPSILON) * (4.0 + 2.0 * f64::from(size));
    for kernels in all_kernels() {
        let isa = kernels.isa();
        let what = format!("{isa:?}, {batch} x {classes}, smoothing {smoothing}, size {size}");
        let (actual, gradient) = run(&kernels, classes, smoothing, &logits, &labels);
        assert_within(&format!("loss, {what}"), &[actual], &[loss64], |_| {
            relative * (1.0 + loss64)
        });
        assert_within(&format!("gradient, {what}"), &gradient, &gradient64, |_| {
            relative / batch as f64
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_batches_agree_with_the_reference(
        batch in 1usize..=70,
        classes in 1usize..=120,
        smoothing in prop_oneof![Just(0.0), 0.0..=1.0],
        size in prop_oneof![Just(1.0f32), 0.0f32..30.0],
        seed in 0u64..1000,
    ) {
        check(batch, classes, smoothing, size, seed);
    }
}

#[test]
fn chosen_batches_agree_with_the_reference() {
    for smoothing in [0.0, 0.1, 1.0] {
        // Batches around the chunk size; with one class, the loss is 0.
        for batch in [1, 15, 16, 17, 33] {
            for classes in [1, 2, 10, 1000] {
                check(batch, classes, smoothing, 5.0, 3);
            }
        }
    }
}

#[test]
fn huge_logits_do_not_overflow() {
    for smoothing in [0.0, 0.1] {
        check(5, 10, smoothing, 1e4, 1);
    }
    // Equal logits of any size give every class the same probability.
    for value in [1e4, -1e4, f32::MAX, f32::MIN] {
        for kernels in all_kernels() {
            let isa = kernels.isa();
            let (loss, gradient) = run(&kernels, 4, 0.0, &[value; 4], &[2]);
            assert!((loss - 4f32.ln()).abs() < 1e-6, "{isa:?}: {loss}");
            assert_eq!(gradient, [0.25, 0.25, -0.75, 0.25], "{isa:?}");
        }
    }
}

/// A logit of minus infinity excludes a class. Without smoothing, this must not affect the loss.
#[test]
fn an_excluded_class_does_not_affect_the_loss() {
    for kernels in all_kernels() {
        let isa = kernels.isa();
        let (actual, gradient) = run(&kernels, 3, 0.0, &[1.0, f32::NEG_INFINITY, 1.0], &[0]);
        assert!((actual - 2f32.ln()).abs() < 1e-6, "{isa:?}: {actual}");
        assert_eq!(gradient, [-0.5, 0.0, 0.5], "{isa:?}");
        // Logits whose difference overflows.
        let (actual, gradient) = run(&kernels, 2, 0.0, &[f32::MAX, f32::MIN], &[0]);
        assert_eq!((actual, gradient), (0.0, vec![0.0, 0.0]), "{isa:?}");
    }
}

/// NaN must reach the loss, so that a diverging training is noticed.
#[test]
fn nan_reaches_the_loss() {
    for kernels in all_kernels() {
        let isa = kernels.isa();
        for at in 0..3 {
            let mut logits = [1.0, 2.0, 3.0];
            logits[at] = f32::NAN;
            let (loss, gradient) = run(&kernels, 3, 0.1, &logits, &[1]);
            assert!(
                loss.is_nan() && gradient.iter().all(|g| g.is_nan()),
                "{isa:?}"
            );
        }
    }
}

#[test]
fn the_reference_is_a_gradient() {
    for smoothing in [0.0, 0.1, 1.0] {
        let (batch, classes) = (4, 7);
        let logits: Vec<f64> = doubles(&numbers(3, batch * classes));
        let labels = labels(4, batch, classes);
        let f = |x: &[f64]| loss(classes, smoothing, x, &labels);
        let expected = gradient(classes, smoothing, &logits, &labels);
        assert_gradient("logits", f, &logits, &expected);
    }
}

#[test]
fn bad_labels_and_smoothing_are_errors_and_nothing_is_written() {
    let cases = [(-1, 0.0), (3, 0.0), (i64::MAX, 0.1), (i64::MIN, 0.1)]
        .map(|(label, smoothing)| (label, smoothing, "labels", label.to_string()))
        .into_iter()
        .chain(
            [-0.1, 1.1, f64::NAN, f64::INFINITY]
                .map(|smoothing| (0, smoothing, "label_smoothing", smoothing.to_string())),
        );
    for (label, smoothing, argument, text) in cases {
        // The wrong label is the last one.
        let labels = [0, 2, label];
        let logits = numbers(1, 9);
        for kernels in all_kernels() {
            let mut gradient = vec![7.0; 9];
            let loss = CrossEntropy {
                classes: 3,
                label_smoothing: smoothing,
            };
            let error = kernels.cross_entropy(loss, &logits, &labels, &mut gradient);
            match error {
                Err(KernelError::Value { name, value, .. }) => {
                    assert_eq!((name, value), (argument, text.clone()));
                }
                other => panic!("{argument} = {text}: {other:?}"),
            }
            assert_eq!(gradient, [7.0; 9], "{argument} = {text}");
        }
    }
}
