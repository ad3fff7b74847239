use burn::tensor::{Int, Tensor, activation::log_softmax};

use crate::cpu;

/// Mean cross-entropy of `logits` `[batch, classes]` against class indices `[batch]`.
///
/// With label smoothing `s = smoothing` above 0, the target is `1 - s` on the class plus `s` spread
/// evenly over all classes (Szegedy et al. 2016, "Rethinking the Inception architecture", section
/// 7), like PyTorch's `label_smoothing`.
pub fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>, smoothing: f64) -> Tensor<1> {
    if cpu::supports(&logits) {
        return cpu::cross_entropy(logits, labels, smoothing);
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

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

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
}
