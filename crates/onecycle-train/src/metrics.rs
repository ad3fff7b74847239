//! Loss and accuracy from logits, in double precision on the host. [`Evaluator`] measures a
//! network, [`MetricSums`] is the result.

use burn::tensor::Device;
use onecycle_vision::{
    Batch, DataError, MixedLabels,
    models::{Model, Network},
};
use serde::{Deserialize, Serialize};

use crate::{TrainError, logits, tta::Tta};

/// Sums of metrics over images. They are divided at the end, because means of batches of unequal
/// size cannot be averaged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricSums {
    /// Sum of cross-entropies, in nats.
    #[serde(with = "onecycle::not_finite")]
    pub loss: f64,
    /// Correctly classified images: their largest logit is that of their class.
    pub correct: u64,
    /// Images seen.
    pub images: u64,
}

impl MetricSums {
    /// Metrics of one batch, from logits `[batch, classes]`, row-major, and class indices.
    pub fn of(logits: &[f32], labels: &[i64]) -> MetricSums {
        let mut sums = MetricSums::default();
        if labels.is_empty() {
            return sums;
        }
        let classes = logits.len() / labels.len();
        for (row, label) in logits.chunks_exact(classes).zip(labels) {
            let label = *label as usize;
            sums.loss += logits::cross_entropy(row, label);
            sums.correct += u64::from(logits::argmax(row) == Some(label));
            sums.images += 1;
        }
        sums
    }

    /// Metrics of one batch whose images may be mixed with others. The loss is that of both labels,
    /// weighted by their shares. An image counts as correct if its class is that of the larger share.
    pub fn of_mixed(logits: &[f32], labels: &[i64], mixed: Option<&MixedLabels>) -> MetricSums {
        let own = MetricSums::of(logits, labels);
        let Some(mixed) = mixed else {
            return own;
        };
        let other = MetricSums::of(logits, &mixed.labels);
        let heavier = if mixed.share < 0.5 { other } else { own };
        MetricSums {
            loss: mixed.share * own.loss + (1.0 - mixed.share) * other.loss,
            ..heavier
        }
    }

    /// Adds other sums.
    pub fn add(&mut self, other: MetricSums) {
        self.loss += other.loss;
        self.correct += other.correct;
        self.images += other.images;
    }

    /// Mean cross-entropy; NaN without images.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.images as f64
    }

    /// Share of correctly classified images, 0 to 1; NaN without images.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.images as f64
    }
}

/// Measures a network in evaluation mode.
#[derive(Debug)]
pub struct Evaluator<'a, N = Model> {
    model: &'a N,
    device: &'a Device,
    tta: Tta,
}

impl<'a, N: Network> Evaluator<'a, N> {
    /// Creates an evaluator of `model`, a network without autodiff as
    /// [`Module::valid`](burn::module::Module::valid) returns it.
    pub fn new(model: &'a N, device: &'a Device) -> Self {
        Evaluator {
            model,
            device,
            tta: Tta::Image,
        }
    }

    /// Averages over views of each image.
    #[must_use]
    pub fn with_tta(self, tta: Tta) -> Self {
        Evaluator { tta, ..self }
    }

    /// Measures the metrics on all batches.
    ///
    /// # Errors
    /// The data cannot be read.
    pub fn over(
        &self,
        batches: impl IntoIterator<Item = Result<Batch, DataError>>,
    ) -> Result<MetricSums, TrainError> {
        let mut sums = MetricSums::default();
        self.add_until(&mut sums, batches, |_| false)?;
        Ok(sums)
    }

    /// Adds the metrics of the batches to `sums` until `stop` returns true. `stop` is called after
    /// each batch with the number of images in `sums`.
    ///
    /// # Errors
    /// The data cannot be read.
    pub fn add_until(
        &self,
        sums: &mut MetricSums,
        batches: impl IntoIterator<Item = Result<Batch, DataError>>,
        mut stop: impl FnMut(u64) -> bool,
    ) -> Result<(), TrainError> {
        self.each(batches, |logits| {
            sums.add(MetricSums::of(logits.values, logits.labels));
            stop(sums.images)
        })
    }

    /// Calls `visit` with the logits of each batch until it returns true.
    ///
    /// # Errors
    /// The data cannot be read.
    pub(crate) fn each(
        &self,
        batches: impl IntoIterator<Item = Result<Batch, DataError>>,
        mut visit: impl FnMut(BatchLogits<'_>) -> bool,
    ) -> Result<(), TrainError> {
        for batch in batches {
            let batch = batch?;
            let (labels, indices) = (batch.labels.clone(), batch.indices.clone());
            let features = batch.features;
            let images = batch.tensors(self.device).0;
            let logits = match features {
                false => self.tta.logits(self.model, images)?,
                true => logits::to_host(self.model.classify(images.flatten(1, 3)))?,
            };
            let logits = BatchLogits {
                values: &logits,
                labels: &labels,
                indices: &indices,
            };
            if visit(logits) {
                break;
            }
        }
        Ok(())
    }

    /// Measures the metrics on all batches, and the loss with class weights as well.
    ///
    /// # Errors
    /// The data cannot be read.
    pub(crate) fn weighted(
        &self,
        batches: impl IntoIterator<Item = Result<Batch, DataError>>,
        class_weights: Option<&[f64]>,
    ) -> Result<WeightedSums, TrainError> {
        let mut sums = WeightedSums::default();
        self.each(batches, |logits| {
            sums.add(WeightedSums::of(&logits, class_weights));
            false
        })?;
        Ok(sums)
    }
}

/// Logits of one batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchLogits<'a> {
    /// Logits `[batch, classes]`, row-major.
    pub(crate) values: &'a [f32],
    /// Class of each image.
    pub(crate) labels: &'a [i64],
    /// Index of each image in its split.
    pub(crate) indices: &'a [u32],
}

/// Sums of metrics, and the loss with class weights.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct WeightedSums {
    /// Metrics in which all images count the same.
    pub(crate) metrics: MetricSums,
    /// Sum of weighted cross-entropies, and of their weights; `None` without class weights.
    weighted: Option<(f64, f64)>,
}

impl WeightedSums {
    fn of(logits: &BatchLogits<'_>, class_weights: Option<&[f64]>) -> Self {
        let metrics = MetricSums::of(logits.values, logits.labels);
        let weighted = class_weights.map(|weights| {
            let classes = weights.len();
            let rows = logits.values.chunks_exact(classes).zip(logits.labels);
            rows.fold((0.0, 0.0), |(loss, total), (row, label)| {
                let label = *label as usize;
                let weight = weights[label];
                (
                    loss + weight * logits::cross_entropy(row, label),
                    total + weight,
                )
            })
        });
        WeightedSums { metrics, weighted }
    }

    /// Adds other sums with the same class weights.
    pub(crate) fn add(&mut self, other: WeightedSums) {
        self.metrics.add(other.metrics);
        self.weighted = match (self.weighted, other.weighted) {
            (Some((loss, total)), Some((more, weights))) => Some((loss + more, total + weights)),
            (one, other) => one.or(other),
        };
    }

    /// The loss that is trained on, without label smoothing: the weighted mean of cross-entropies
    /// if classes have weights.
    pub(crate) fn mean_loss(&self) -> f64 {
        match self.weighted {
            None => self.metrics.mean_loss(),
            Some((loss, total)) => loss / total,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits 0 and ln 3: probabilities 1/4 and 3/4.
    #[test]
    fn sums_match_a_hand_computed_example() {
        let z = 3f32.ln();
        let sums = MetricSums::of(&[0.0, z, 0.0, z], &[1, 0]);
        let expected = (4f64 / 3.0).ln() + 4f64.ln();
        assert!((sums.loss - expected).abs() < 1e-6);
        assert_eq!((sums.correct, sums.images), (1, 2));
    }

    /// Losses ln 4/3 with weight 3 and ln 4 with weight 1.
    #[test]
    fn weighted_losses_match_a_hand_computed_example() {
        let z = 3f32.ln();
        let batch = |values, labels| BatchLogits {
            values,
            labels,
            indices: &[0],
        };
        let (values, weights) = ([0.0, z], [1.0, 3.0]);
        let mut sums = WeightedSums::of(&batch(&values, &[1]), Some(&weights));
        sums.add(WeightedSums::of(&batch(&values, &[0]), Some(&weights)));
        let expected = (3.0 * (4f64 / 3.0).ln() + 4f64.ln()) / 4.0;
        assert!((sums.mean_loss() - expected).abs() < 1e-6);
        assert_eq!((sums.metrics.correct, sums.metrics.images), (1, 2));
        let plain = WeightedSums::of(&batch(&values, &[1]), None);
        assert_eq!(plain.mean_loss(), plain.metrics.mean_loss());
    }

    #[test]
    fn mixed_images_count_for_both_labels() {
        let (z, logits) = (3f32.ln(), |z| [0.0, z, 0.0, z]);
        let mixed = |share| MixedLabels {
            labels: vec![1, 1],
            share,
        };
        let sums = |share| MetricSums::of_mixed(&logits(z), &[0, 0], Some(&mixed(share)));
        let (wrong, right) = (4f64.ln(), (4f64 / 3.0).ln());
        assert!((sums(0.75).loss - 2.0 * (0.75 * wrong + 0.25 * right)).abs() < 1e-6);
        assert_eq!(
            [0.75, 0.5, 0.25].map(|share| sums(share).correct),
            [0, 0, 2]
        );
        assert_eq!(sums(0.25).images, 2);
        let plain = MetricSums::of(&logits(z), &[0, 1]);
        assert_eq!(MetricSums::of_mixed(&logits(z), &[0, 1], None), plain);
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let sums = MetricSums::of(&[3e38, -3e38], &[0]);
        assert_eq!((sums.loss, sums.correct), (0.0, 1));
    }

    #[test]
    fn nan_logits_are_never_correct() {
        let sums = MetricSums::of(&[f32::NAN, f32::NAN], &[0]);
        assert!(sums.loss.is_nan());
        assert_eq!(sums.correct, 0);
    }
}
