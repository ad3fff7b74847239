//! Logits on the host, and functions of those of one image in double precision.

use burn::tensor::Tensor;

use crate::{RunError, TrainError};

pub(crate) use onecycle_vision::argmax;

/// Reads logits `[batch, classes]` back from the device, row-major.
pub(crate) fn to_host(logits: Tensor<2>) -> Result<Vec<f32>, TrainError> {
    logits
        .into_data()
        .try_into_vec::<f32>()
        .map_err(|error| RunError::compute(error).into())
}

/// Cross-entropy in nats of the softmax of `logits` against class `label`.
///
/// The logits are shifted in single precision, as in the training loss.
pub(crate) fn cross_entropy(logits: &[f32], label: usize) -> f64 {
    let largest = max(logits);
    log_sum_exp(logits.iter().map(|logit| f64::from(logit - largest)))
        - f64::from(logits[label] - largest)
}

/// Probabilities of the classes.
pub(crate) fn softmax(logits: &[f32]) -> Vec<f64> {
    log_softmax(logits).into_iter().map(f64::exp).collect()
}

/// Logarithms of the probabilities of the classes.
pub(crate) fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let largest = f64::from(max(logits));
    let shifted = logits.iter().map(|logit| f64::from(*logit) - largest);
    let normaliser = log_sum_exp(shifted.clone());
    shifted.map(|logit| logit - normaliser).collect()
}

/// Logarithm of the sum of exponentials of logits that are shifted so that the largest is 0: then
/// no exponential overflows.
fn log_sum_exp(shifted: impl Iterator<Item = f64>) -> f64 {
    shifted.map(f64::exp).sum::<f64>().ln()
}

fn max(logits: &[f32]) -> f32 {
    logits.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits 0 and ln 3: probabilities 1/4 and 3/4.
    #[test]
    fn probabilities_match_a_hand_computed_example() {
        let logits = [0.0, 3f32.ln()];
        let probabilities = softmax(&logits);
        for (found, expected) in probabilities.iter().zip([0.25, 0.75]) {
            assert!((found - expected).abs() < 1e-7, "{probabilities:?}");
        }
        assert!((cross_entropy(&logits, 0) - 4f64.ln()).abs() < 1e-7);
        assert_eq!(argmax(&logits), Some(1));
    }

    #[test]
    fn large_logits_do_not_overflow() {
        assert_eq!(cross_entropy(&[3e38, -3e38], 0), 0.0);
        assert_eq!(softmax(&[3e38, -3e38]), [1.0, 0.0]);
    }
}
