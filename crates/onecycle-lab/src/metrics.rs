//! Loss and accuracy from logits, in double precision on the host.

use burn::tensor::{Device, Tensor, TensorData};
use onecycle_vision::{Batch, Batches, ImageShape, Loader, models::Model};
use serde::{Deserialize, Serialize};

use crate::{Experiment, LabError, record::number};

/// Sums over images, to be divided at the end: means over batches of unequal size would be wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Sum of cross-entropies, in nats.
    #[serde(with = "number")]
    pub loss: f64,
    /// Images whose largest logit is their class's.
    pub correct: u64,
    /// Images seen.
    pub images: u64,
}

impl Tally {
    /// The tally of one batch from logits `[batch, classes]`, row-major, and class indices.
    pub fn of(logits: &[f32], labels: &[i64]) -> Tally {
        let mut tally = Tally::default();
        if labels.is_empty() {
            return tally;
        }
        let classes = logits.len() / labels.len();
        for (row, label) in logits.chunks_exact(classes).zip(labels) {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = row.iter().map(|z| f64::from(z - largest).exp()).sum();
            let on_class = row[*label as usize];
            tally.loss += sum.ln() - f64::from(on_class - largest);
            tally.correct += u64::from(self::largest(row) == Some(*label as usize));
            tally.images += 1;
        }
        tally
    }

    /// Adds another tally.
    pub fn add(&mut self, other: Tally) {
        self.loss += other.loss;
        self.correct += other.correct;
        self.images += other.images;
    }

    /// Mean cross-entropy; NaN without images.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.images as f64
    }

    /// Share of images classified rightly, from 0 to 1; NaN without images.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.images as f64
    }
}

/// The tally of a network over all images of a loader, in evaluation mode.
///
/// `model` is one without autodiff, as [`Module::valid`](burn::module::Module::valid) returns. `tick` is called
/// after each batch with the number of images so far.
///
/// # Errors
/// Those of the loader.
pub fn evaluate(
    model: &Model,
    loader: &Loader,
    shape: ImageShape,
    batch_size: usize,
    device: &Device,
    mut tick: impl FnMut(u64),
) -> Result<Tally, LabError> {
    let mut tally = Tally::default();
    let batches = loader.evaluation(batch_size);
    add_until(&mut tally, model, batches, shape, device, |seen| {
        tick(seen);
        false
    })?;
    Ok(tally)
}

/// The tally over every `parts`-th image of a loader from image `part` on. See [`Loader::evaluation_part`].
///
/// # Errors
/// Those of the loader.
pub(crate) fn evaluate_part(
    model: &Model,
    experiment: &Experiment,
    loader: &Loader,
    part: usize,
    parts: usize,
) -> Result<Tally, LabError> {
    let mut tally = Tally::default();
    let batches = loader.evaluation_part(experiment.config.eval_batch_size, part, parts);
    let shape = experiment.data.shape;
    add_until(
        &mut tally,
        model,
        batches,
        shape,
        &experiment.device,
        |_| false,
    )?;
    Ok(tally)
}

/// Goes on with the tally over all images of a loader, after those that it holds, until `stop`, which is given their number
/// after each batch, says so. One that was stopped and goes on ends with the same bits as one that was not.
///
/// # Errors
/// Those of the loader.
pub(crate) fn evaluate_until(
    tally: &mut Tally,
    model: &Model,
    experiment: &Experiment,
    loader: &Loader,
    stop: impl FnMut(u64) -> bool,
) -> Result<(), LabError> {
    let size = experiment.config.eval_batch_size;
    let batches = loader.evaluation_from(size, tally.images as usize);
    let shape = experiment.data.shape;
    add_until(tally, model, batches, shape, &experiment.device, stop)
}

/// The tally over as many batches as it takes to see at least `images` images.
///
/// # Errors
/// Those of the loader.
pub(crate) fn evaluate_batches(
    model: &Model,
    batches: Batches,
    images: u64,
    shape: ImageShape,
    device: &Device,
) -> Result<Tally, LabError> {
    let mut tally = Tally::default();
    add_until(&mut tally, model, batches, shape, device, |seen| {
        seen >= images
    })?;
    Ok(tally)
}

fn add_until(
    tally: &mut Tally,
    model: &Model,
    batches: Batches,
    shape: ImageShape,
    device: &Device,
    mut stop: impl FnMut(u64) -> bool,
) -> Result<(), LabError> {
    for batch in batches {
        let batch = batch?;
        let labels = batch.labels.clone();
        let logits = model.forward(images(batch, shape, device));
        tally.add(Tally::of(&host(logits)?, &labels));
        if stop(tally.images) {
            break;
        }
    }
    Ok(())
}

/// Index of the largest logit, the first of several; none where all are NaN.
pub(crate) fn largest(row: &[f32]) -> Option<usize> {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter().position(|z| *z == largest)
}

/// The images of a batch, `[batch, channels, height, width]`, on a device.
pub(crate) fn images(mut batch: Batch, shape: ImageShape, device: &Device) -> Tensor<4> {
    let images = std::mem::take(&mut batch.images);
    let shape = [batch.len, shape.channels, shape.height, shape.width];
    Tensor::<4>::from_data(TensorData::new(images, shape), device)
}

/// Reads logits back from the device, row-major.
pub(crate) fn host(logits: Tensor<2>) -> Result<Vec<f32>, LabError> {
    logits
        .into_data()
        .try_into_vec::<f32>()
        .map_err(|error| LabError::Compute {
            why: format!("{error:?}"),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits 0 and ln 3: probabilities 1/4 and 3/4.
    #[test]
    fn tally_is_the_hand_computed_one() {
        let z = 3f32.ln();
        let tally = Tally::of(&[0.0, z, 0.0, z], &[1, 0]);
        let expected = (4f64 / 3.0).ln() + 4f64.ln();
        assert!((tally.loss - expected).abs() < 1e-6);
        assert_eq!((tally.correct, tally.images), (1, 2));
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let tally = Tally::of(&[3e38, -3e38], &[0]);
        assert_eq!((tally.loss, tally.correct), (0.0, 1));
    }

    #[test]
    fn not_a_number_is_never_right() {
        let tally = Tally::of(&[f32::NAN, f32::NAN], &[0]);
        assert!(tally.loss.is_nan());
        assert_eq!(tally.correct, 0);
    }
}
