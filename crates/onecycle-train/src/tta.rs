//! What a trained network is shown of an image: the image, or its mirror image as well.
//!
//! A network that was trained on images and their mirror images has two answers for each. Their average is right more often
//! (Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks" (2012), section 4.1, there with crops
//! as well; libraries call it test-time augmentation), at twice the cost. It says more of the two answers together than of the
//! network: an accuracy measured so is not one to compare with those of the image alone.

use burn::tensor::Tensor;
use onecycle_vision::models::Model;

use crate::{TrainError, metrics::host};

/// What a network is shown of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tta {
    /// The image.
    #[default]
    Image,
    /// The image, and its left and right exchanged; the answer is the mean of the two distributions.
    WithMirrorImage,
}

impl Tta {
    /// Logits of images `[batch, channels, height, width]`, row-major: `softmax` of a row is the distribution over the classes.
    ///
    /// # Errors
    /// [`RunError::Compute`] where the result cannot be read back.
    pub(crate) fn logits(self, model: &Model, images: Tensor<4>) -> Result<Vec<f32>, TrainError> {
        match self {
            Tta::Image => host(model.forward(images)),
            Tta::WithMirrorImage => {
                let logits = model.forward(images.clone());
                let [_, classes] = logits.dims();
                let mirrored = host(model.forward(images.flip([3])))?;
                Ok(mean(&host(logits)?, &mirrored, classes))
            }
        }
    }
}

/// Logarithm of the mean of two distributions for each row of logits.
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

/// The distribution over the classes by the logits of one image.
pub(crate) fn softmax(logits: &[f32]) -> Vec<f64> {
    log_softmax(logits).into_iter().map(f64::exp).collect()
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shifted = logits.iter().map(|z| f64::from(*z) - f64::from(largest));
    let sum: f64 = shifted.clone().map(f64::exp).sum();
    shifted.map(|z| z - sum.ln()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distributions (1/4, 3/4) and (1/2, 1/2) have the mean (3/8, 5/8); a shift of the logits changes none.
    #[test]
    fn the_mean_is_the_hand_computed_one() {
        let logits = mean(&[5.0, 5.0 + 3f32.ln()], &[-70.0, -70.0], 2);
        for (logit, probability) in logits.iter().zip([0.375f32, 0.625]) {
            assert!((logit - probability.ln()).abs() < 1e-6, "{logits:?}");
        }
    }

    /// Where one view is certain and the other certain of something else, either class has one half.
    #[test]
    fn certainty_does_not_underflow() {
        let logits = mean(&[2000.0, 0.0, 0.0], &[0.0, 2000.0, 0.0], 3);
        let half = 0.5f32.ln();
        assert_eq!((logits[0], logits[1]), (half, half));
        assert!(logits[2] < -1900.0);
    }
}
