//! Softmax cross-entropy with class weights.

use crate::common::*;
use onecycle_kernels::{CrossEntropy, KernelError, Kernels};

/// PyTorch's `CrossEntropyLoss(weight=weights, label_smoothing=smoothing)`: with `l = -log p`, the
/// sum over n of `(1 - s) w[y] l[n, y] + s / K sum_k w[k] l[n, k]`, divided by the sum of `w[y]`.
fn loss(weights: &[f64], smoothing: f64, logits: &[f64], labels: &[i64]) -> f64 {
    let classes = weights.len();
    let mut sum = 0.0;
    for (x, label) in logits.chunks_exact(classes).zip(labels) {
        let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = largest + x.iter().map(|x| (x - largest).exp()).sum::<f64>().ln();
        let label = *label as usize;
        sum += (1.0 - smoothing) * weights[label] * (log_sum - x[label]);
        let everywhere = x.iter().zip(weights).map(|(x, w)| w * (log_sum - x));
        sum += smoothing / classes as f64 * everywhere.sum::<f64>();
    }
    let total: f64 = labels.iter().map(|label| weights[*label as usize]).sum();
    sum / total
}

fn run(
    kernels: &Kernels,
    weights: &[f64],
    smoothing: f64,
    logits: &[f32],
    labels: &[i64],
) -> (f32, Vec<f32>) {
    let mut gradient = vec![f32::NAN; logits.len()];
    let settings = CrossEntropy {
        classes: weights.len(),
        label_smoothing: smoothing,
    };
    let loss = kernels
        .weighted_cross_entropy(settings, weights, logits, labels, &mut gradient)
        .unwrap();
    (loss, gradient)
}

fn weights(classes: usize) -> Vec<f64> {
    (0..classes).map(|k| 0.25 + (k * 7 % 5) as f64).collect()
}

fn labels(batch: usize, classes: usize) -> Vec<i64> {
    (0..batch).map(|n| (n * 5 % classes) as i64).collect()
}

#[test]
fn losses_and_gradients_agree_with_the_reference() {
    for smoothing in [0.0, 0.1, 1.0] {
        // Batches around the chunk size.
        for batch in [1, 15, 16, 17, 33] {
            for classes in [2, 3, 10, 37] {
                let logits: Vec<f32> = numbers(3, batch * classes)
                    .into_iter()
                    .map(|x| 5.0 * x)
                    .collect();
                let (weights, labels) = (weights(classes), labels(batch, classes));
                let logits64 = doubles(&logits);
                let reference = loss(&weights, smoothing, &logits64, &labels);
                for kernels in all_kernels() {
                    let what = format!("{:?}, {batch} x {classes}, {smoothing}", kernels.isa());
                    let (actual, gradient) = run(&kernels, &weights, smoothing, &logits, &labels);
                    assert_within(&format!("loss, {what}"), &[actual], &[reference], |_| {
                        1e-6 * (1.0 + reference)
                    });
                    let f = |x: &[f64]| loss(&weights, smoothing, x, &labels);
                    assert_gradient(&what, f, &logits64, &doubles(&gradient));
                }
            }
        }
    }
}

/// The formula of `cross_entropy_loss_label_smoothing` in PyTorch's LossNLL.cpp, in float64:
///     x = np.array([[1., -2., .5], [0., 3., 1.], [2., 2., -1.], [-.5, .25, 4.]])
///     y, w, s = np.array([0, 2, 1, 1]), np.array([1., 3., .5]), 0.1
///     logp = x - np.log(np.exp(x).sum(1, keepdims=True))
///     W = w[y].sum()
///     nll = -(w[y] * logp[range(4), y]).sum() / W
///     smooth = -(logp * w).sum() / W
///     print(nll, (1 - s) * nll + s / 3 * smooth)
#[test]
fn losses_are_those_of_pytorch_s_formula() {
    let logits = [
        1.0, -2.0, 0.5, 0.0, 3.0, 1.0, 2.0, 2.0, -1.0, -0.5, 0.25, 4.0,
    ];
    for kernels in all_kernels() {
        for (smoothing, expected) in [(0.0, 2.012646646271359), (0.1, 1.9754619285371817)] {
            let (loss, _) = run(
                &kernels,
                &[1.0, 3.0, 0.5],
                smoothing,
                &logits,
                &[0, 2, 1, 1],
            );
            let difference = (f64::from(loss) - expected).abs();
            assert!(difference < 1e-6, "{smoothing}: {loss} for {expected}");
        }
    }
}

#[test]
fn equal_weights_change_nothing() {
    let (batch, classes) = (33, 10);
    let logits = numbers(5, batch * classes);
    let labels = labels(batch, classes);
    let settings = CrossEntropy {
        classes,
        label_smoothing: 0.1,
    };
    for kernels in all_kernels() {
        let mut plain = vec![f32::NAN; logits.len()];
        let loss = kernels.cross_entropy(settings, &logits, &labels, &mut plain);
        for weight in [1.0, 4.0] {
            let (weighted, gradient) = run(&kernels, &[weight; 10], 0.1, &logits, &labels);
            assert_within(
                "loss",
                &[weighted],
                &[f64::from(loss.clone().unwrap())],
                |_| 1e-6,
            );
            assert_within("gradient", &gradient, &doubles(&plain), |_| 1e-8);
        }
    }
}

/// NaN must reach the loss, so that a diverging training is noticed. A logit of minus infinity
/// excludes a class, which must not affect the loss without smoothing.
#[test]
fn logits_that_are_not_finite() {
    for kernels in all_kernels() {
        let (loss, gradient) = run(&kernels, &[1.0, 2.0], 0.1, &[1.0, f32::NAN], &[0]);
        assert!(loss.is_nan() && gradient.iter().all(|g| g.is_nan()));
        let logits = [1.0, f32::NEG_INFINITY, 1.0];
        let (loss, gradient) = run(&kernels, &[1.0, 2.0, 3.0], 0.0, &logits, &[0]);
        assert!((loss - 2f32.ln()).abs() < 1e-6, "{loss}");
        assert_eq!(gradient, [-0.5, 0.0, 0.5]);
    }
}

#[test]
fn wrong_weights_are_errors_and_nothing_is_written() {
    let settings = CrossEntropy {
        classes: 3,
        label_smoothing: 0.0,
    };
    let wrong: [&[f64]; 5] = [
        &[1.0, 0.0, 1.0],
        &[1.0, -1.0, 1.0],
        &[1.0, f64::NAN, 1.0],
        &[1.0, f64::INFINITY, 1.0],
        &[1.0, 1.0],
    ];
    for weights in wrong {
        let mut gradient = [7.0; 3];
        let result = Kernels::new().weighted_cross_entropy(
            settings,
            weights,
            &[0.0; 3],
            &[0],
            &mut gradient,
        );
        match result {
            Err(KernelError::Value { name, .. }) => {
                assert_eq!((name, weights.len()), ("weights", 3))
            }
            Err(_) => assert_eq!(weights.len(), 2),
            Ok(_) => panic!("{weights:?}"),
        }
        assert_eq!(gradient, [7.0; 3]);
    }
}
