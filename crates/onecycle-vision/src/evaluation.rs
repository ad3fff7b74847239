//! Accuracy of a network on labelled images.

use burn::tensor::Device;

use crate::{Batch, DataError, models::Network};

/// Share of the images that a network classifies correctly, 0 to 1; NaN without images.
///
/// The network is evaluated in evaluation mode (batch norm uses its running statistics, dropout is
/// off), on the device of its parameters. It is not changed.
///
/// ```
/// use onecycle_vision::{Augment, ImageShape, Loader, Split, Statistics, accuracy, random};
/// use onecycle_vision::models::{Architecture, Model};
///
/// let shape = ImageShape::new(1, 12, 12);
/// let split = Split::new(shape, vec![128; 30 * shape.len()], vec![3; 30])?;
/// let statistics = Statistics { mean: vec![0.5], std: vec![0.25] };
/// let test = Loader::new(split, &statistics, Augment::default(), 0)?;
///
/// let device = burn::tensor::Device::flex();
/// let mut rng = random::stream(1, "initialisation", 0);
/// let model = Model::new(Architecture::LeNet5, shape, 10, &mut rng, &device)?;
/// let accuracy = accuracy(&model, test.evaluation(500))?;
/// // The images are all the same, so are the answers.
/// assert!(accuracy == 0.0 || accuracy == 1.0);
/// # Ok::<(), onecycle_vision::DataError>(())
/// ```
///
/// # Errors
/// An error of a batch; [`DataError::Compute`] if the outputs cannot be read from the device.
pub fn accuracy<N: Network>(
    model: &N,
    batches: impl IntoIterator<Item = Result<Batch, DataError>>,
) -> Result<f64, DataError> {
    let model = model.valid();
    // A network without parameters computes on any device.
    let device = model.devices().into_iter().next().unwrap_or_default();
    let device: Device = device.without_autodiff();
    let (mut correct, mut seen) = (0_u64, 0_u64);
    for batch in batches {
        let batch = batch?;
        let labels = batch.labels.clone();
        let logits = model.forward(batch.tensors(&device).0);
        let [_, classes] = logits.dims();
        let logits = logits.try_into_data().map_err(|error| DataError::Compute {
            reason: error.to_string(),
        })?;
        let logits: Vec<f32> = logits.iter().collect();
        for (row, label) in logits.chunks_exact(classes).zip(&labels) {
            correct += u64::from(argmax(row) == Some(*label as usize));
        }
        seen += labels.len() as u64;
    }
    Ok(correct as f64 / seen as f64)
}

/// Index of the largest logit, the first one on ties; `None` if all are NaN.
pub fn argmax(logits: &[f32]) -> Option<usize> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    logits.iter().position(|logit| *logit == largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argmax_takes_the_first_on_ties_and_nothing_from_nan() {
        assert_eq!(argmax(&[1.0, 2.0, 2.0]), Some(1));
        assert_eq!(argmax(&[f32::NAN, f32::NAN]), None);
    }
}
