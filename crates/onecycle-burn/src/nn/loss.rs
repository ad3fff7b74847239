use burn::tensor::{Int, Tensor, TensorData, activation::log_softmax};

use crate::cpu::{self, LossOptions};

/// Mean cross-entropy of `logits` `[batch, classes]` against class indices `[batch]`.
///
/// With label smoothing `s = smoothing` above 0, the target is `1 - s` on the class plus `s` spread
/// evenly over all classes (Szegedy et al. 2016, "Rethinking the Inception architecture", section
/// 7), like PyTorch's `label_smoothing`.
pub fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>, smoothing: f64) -> Tensor<1> {
    if cpu::supports(&logits) {
        let options = LossOptions {
            smoothing,
            weights: None,
        };
        return cpu::cross_entropy(logits, labels, options);
    }
    let log_probabilities = log_softmax(logits, 1);
    let [batch] = labels.dims();
    let on_class = log_probabilities
        .clone()
        .gather(1, labels.reshape([batch, 1]))
        .mean();
    if smoothing == 0.0 {
        return on_class.neg();
    }
    (on_class * (1.0 - smoothing) + log_probabilities.mean() * smoothing).neg()
}

/// Cross-entropy like [`cross_entropy`], weighted by the class of each row.
///
/// `weights` has a finite number above 0 for each class. With `l = -log softmax(logits)`, label `y`
/// of row `n` and `s = smoothing`, this is PyTorch's `CrossEntropyLoss(weight=weights,
/// label_smoothing=s)`:
///
/// ```text
/// sum over n of ((1 - s) w[y] l[n, y] + s / classes sum over k of w[k] l[n, k])
/// -----------------------------------------------------------------------------
///                             sum over n of w[y]
/// ```
///
/// # Panics
/// On the CPU, if the number of weights is not that of the classes or a weight is not a number above
/// 0.
pub fn weighted_cross_entropy(
    logits: Tensor<2>,
    labels: Tensor<1, Int>,
    smoothing: f64,
    weights: &[f64],
) -> Tensor<1> {
    if cpu::supports(&logits) {
        let options = LossOptions {
            smoothing,
            weights: Some(weights.to_vec()),
        };
        return cpu::cross_entropy(logits, labels, options);
    }
    let log_probabilities = log_softmax(logits, 1);
    let [batch, classes] = log_probabilities.dims();
    let weights = TensorData::new(weights.to_vec(), [classes]);
    let weights = Tensor::<1>::from_data(weights, &log_probabilities.device())
        .cast(log_probabilities.dtype());
    let of_rows = weights.clone().gather(0, labels.clone());
    let total = of_rows.clone().sum();
    let on_class = log_probabilities
        .clone()
        .gather(1, labels.reshape([batch, 1]))
        .reshape([batch]);
    let on_class = (on_class * of_rows).sum() / total.clone();
    if smoothing == 0.0 {
        return on_class.neg();
    }
    let everywhere = (log_probabilities * weights.unsqueeze::<2>()).sum() / total;
    (on_class * (1.0 - smoothing) + everywhere * (smoothing / classes as f64)).neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device};

    /// Logits 0 and ln 3 give probabilities 1/4 and 3/4.
    #[test]
    fn loss_is_the_hand_computed_one() {
        let device = Device::flex();
        let logits = Tensor::<2>::from_data([[0.0, 3f64.ln()], [3f64.ln(), 0.0]], &device);
        let labels = Tensor::<1, Int>::from_data([1, 1], &device);
        let loss = |smoothing| -> f64 {
            cross_entropy(logits.clone(), labels.clone(), smoothing)
                .into_data()
                .iter::<f64>()
                .sum()
        };
        let (quarter, three_quarters) = (0.25f64.ln(), 0.75f64.ln());
        let plain = -(quarter + three_quarters) / 2.0;
        assert!((loss(0.0) - plain).abs() < 1e-6);
        let uniform = -(quarter + three_quarters) / 2.0;
        assert!((loss(0.2) - (0.8 * plain + 0.2 * uniform)).abs() < 1e-6);
        let one = Tensor::<2>::from_data([[0.0, 3f64.ln()]], &device);
        let label = Tensor::<1, Int>::from_data([1], &device);
        let smoothed: f64 = cross_entropy(one, label, 0.2)
            .into_data()
            .iter::<f64>()
            .sum();
        assert!((smoothed + 0.9 * three_quarters + 0.1 * quarter).abs() < 1e-6);
    }

    /// Logits of four rows, their labels and class weights. For the values see
    /// `losses_are_those_of_pytorch_s_formula` in the tests of `onecycle-kernels`.
    fn weighted(smoothing: f64, double: bool) -> (f64, Vec<f64>) {
        let device = Device::flex().autodiff();
        let rows = [
            [1.0, -2.0, 0.5],
            [0.0, 3.0, 1.0],
            [2.0, 2.0, -1.0],
            [-0.5, 0.25, 4.0],
        ];
        let logits = Tensor::<2>::from_data(rows, &device);
        let logits = match double {
            true => logits.cast(DType::F64),
            false => logits,
        };
        let logits = logits.require_grad();
        let labels = Tensor::<1, Int>::from_data([0, 2, 1, 1], &device);
        let loss = weighted_cross_entropy(logits.clone(), labels, smoothing, &[1.0, 3.0, 0.5]);
        let gradient = logits
            .grad(&loss.backward())
            .map(|gradient| gradient.into_data());
        (
            loss.into_data().iter::<f64>().sum(),
            gradient
                .iter()
                .flat_map(|data| data.iter::<f64>())
                .collect(),
        )
    }

    #[test]
    fn weighted_losses_are_those_of_pytorch_s_formula() {
        for (smoothing, expected) in [(0.0, 2.012646646271359), (0.1, 1.9754619285371817)] {
            // The kernels compute in single precision, Burn's operations in double precision.
            let (double, exact) = weighted(smoothing, true);
            assert!((double - expected).abs() < 1e-12, "{double}");
            let (single, gradient) = weighted(smoothing, false);
            assert!((single - expected).abs() < 1e-6, "{single}");
            assert_eq!((gradient.len(), exact.len()), (12, 12));
            for (gradient, exact) in gradient.iter().zip(&exact) {
                assert!((gradient - exact).abs() < 1e-6, "{gradient} for {exact}");
            }
        }
    }
}
