//! Test-time augmentation: classify the image alone, or the image and its mirror image.
//!
//! A network trained on images and their mirror images gives a different answer to each. The mean
//! of the two is correct more often (Krizhevsky et al., "ImageNet Classification with Deep
//! Convolutional Neural Networks" (2012), section 4.1, which also averages over crops) and costs
//! twice as much. Do not compare an accuracy measured this way with one on single images.

use burn::tensor::Tensor;
use onecycle_vision::models::Model;

use crate::{TrainError, logits::log_softmax, metrics::to_host};

/// Test-time augmentation of each image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tta {
    /// The image alone.
    #[default]
    Image,
    /// The image and its mirror image; the prediction is the mean of both distributions.
    WithMirrorImage,
}

impl Tta {
    /// Logits of images `[batch, channels, height, width]`, row-major. The softmax of a row is the
    /// predicted distribution.
    ///
    /// # Errors
    /// [`RunError::Compute`](crate::RunError::Compute) if the result cannot be read back.
    pub(crate) fn logits(self, model: &Model, images: Tensor<4>) -> Result<Vec<f32>, TrainError> {
        match self {
            Tta::Image => to_host(model.forward(images)),
            Tta::WithMirrorImage => {
                let logits = model.forward(images.clone());
                let [_, classes] = logits.dims();
                let mirrored = to_host(model.forward(images.flip([3])))?;
                Ok(mean(&to_host(logits)?, &mirrored, classes))
            }
        }
    }
}

/// For each row, the logarithm of the mean of two distributions that are given as logits.
fn mean(one: &[f32], other: &[f32], classes: usize) -> Vec<f32> {
    let rows = one.chunks_exact(classes).zip(other.chunks_exact(classes));
    rows.flat_map(|(one, other)| {
        let (one, other) = (log_softmax(one), log_softmax(other));
        let both = one.into_iter().zip(other);
        both.map(|(a, b)| {
            let larger = a.max(b);
            (larger + (((a - larger).exp() + (b - larger).exp()) / 2.0).ln()) as f32
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The distributions (1/4, 3/4) and (1/2, 1/2) have the mean (3/8, 5/8). Adding a constant to
    /// all logits changes nothing.
    #[test]
    fn mean_matches_a_hand_computed_example() {
        let logits = mean(&[5.0, 5.0 + 3f32.ln()], &[-70.0, -70.0], 2);
        for (logit, probability) in logits.iter().zip([0.375f32, 0.625]) {
            assert!((logit - probability.ln()).abs() < 1e-6, "{logits:?}");
        }
    }

    /// If the two predictions are certain of different classes, each class gets one half.
    #[test]
    fn certain_predictions_do_not_underflow() {
        let logits = mean(&[2000.0, 0.0, 0.0], &[0.0, 2000.0, 0.0], 3);
        let half = 0.5f32.ln();
        assert_eq!((logits[0], logits[1]), (half, half));
        assert!(logits[2] < -1900.0);
    }
}
