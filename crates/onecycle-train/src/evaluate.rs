//! Accuracy of a trained model on labelled images, per class. [`evaluate`] returns an
//! [`Evaluation`].

use onecycle_vision::{Augment, FolderOptions, Loader, Source};
use serde::Serialize;

use crate::{
    ConfigError, TrainError, config::DataConfig, logits, metrics::MetricSums, predict::Classifier,
    tta::Tta,
};

/// The result of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Name of the data set.
    pub data: String,
    /// Evaluated test images.
    pub images: u64,
    /// Accuracy on them, 0 to 1.
    pub accuracy: f64,
    /// Mean cross-entropy, in nats.
    #[serde(with = "onecycle::not_finite")]
    pub loss: f64,
    /// Whether each prediction is the mean over the image and its mirror image.
    pub flip: bool,
    /// The classes, in the order of the network's outputs.
    pub classes: Vec<ClassResult>,
}

/// Result on the images of one class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassResult {
    /// Name of the class.
    pub class: String,
    /// Images of this class.
    pub images: u64,
    /// Share of them classified correctly, 0 to 1; `null` without images.
    pub accuracy: Option<f64>,
    /// The wrong class predicted most often for them; `null` if there is none.
    pub taken_for: Option<TakenFor>,
}

/// A wrong prediction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TakenFor {
    /// Name of the class.
    pub class: String,
    /// Images of the other class for which it is predicted.
    pub images: u64,
}

/// Evaluates a model on the test set of a data set, loaded as a run with this configuration and
/// `seed` loads it. After each batch, `progress` is called with the number of images seen and the
/// total.
///
/// # Errors
/// The data cannot be read, or their images or classes do not fit the network.
pub fn evaluate(
    model: &Classifier,
    data: &DataConfig,
    seed: u64,
    batch_size: usize,
    tta: Tta,
    mut progress: impl FnMut(u64, u64),
) -> Result<Evaluation, TrainError> {
    let (name, loader) = test_images(model, data, seed)?;
    let card = model.card();
    let classes = card.classes.len();
    let mut sums = MetricSums::default();
    let mut images_of = vec![0; classes];
    let mut predictions = vec![0; classes * classes];
    for batch in loader.evaluation(batch_size) {
        let batch = batch?;
        let labels = batch.labels.clone();
        let (images, _) = batch.tensors(model.device());
        let logits = tta.logits(model.network(), images)?;
        for (label, row) in labels.iter().zip(logits.chunks_exact(classes)) {
            let label = *label as usize;
            images_of[label] += 1;
            // There is no prediction if all logits are NaN.
            if let Some(prediction) = logits::argmax(row) {
                predictions[label * classes + prediction] += 1;
            }
        }
        sums.add(MetricSums::of(&logits, &labels));
        progress(sums.images, loader.len() as u64);
    }
    Ok(Evaluation {
        data: name,
        images: sums.images,
        accuracy: sums.accuracy(),
        loss: sums.mean_loss(),
        flip: tta == Tta::WithMirrorImage,
        classes: predictions
            .chunks_exact(classes)
            .zip(images_of)
            .enumerate()
            .map(|(class, (predictions, images))| {
                ClassResult::of(class, images, predictions, &card.classes)
            })
            .collect(),
    })
}

impl ClassResult {
    /// Computes the result from the number of predictions of each class for the images of class
    /// `class`.
    fn of(class: usize, images: u64, predictions: &[u64], names: &[String]) -> Self {
        let others = predictions.iter().zip(names).enumerate();
        let others = others.filter(|(other, (count, _))| *other != class && **count > 0);
        // The first one on ties: `max_by_key` alone takes the last.
        let most = others.rev().max_by_key(|(_, (count, _))| **count);
        ClassResult {
            class: names[class].clone(),
            images,
            accuracy: (images > 0).then(|| predictions[class] as f64 / images as f64),
            taken_for: most.map(|(_, (count, name))| TakenFor {
                class: name.clone(),
                images: *count,
            }),
        }
    }
}

/// Loads the name and the test images of a data set, normalised for the network.
fn test_images(
    model: &Classifier,
    data: &DataConfig,
    seed: u64,
) -> Result<(String, Loader), TrainError> {
    let card = model.card();
    let mut set = Source {
        name: data.name.clone(),
        path: data.path.clone(),
        folder: FolderOptions {
            size: card.shape.height,
            seed,
            ..FolderOptions::default()
        },
    }
    .load()?;
    if data.test_limit > 0 {
        set = set.limit_test(data.test_limit);
    }
    let place = || match &data.path {
        Some(path) => path.display().to_string(),
        None => set.name.clone(),
    };
    if set.shape != card.shape {
        let expected = format!(
            "images of {}, as the network takes them; these are of {}",
            card.shape, set.shape
        );
        return Err(ConfigError::setting("data", place(), expected).into());
    }
    if set.classes != card.classes {
        let expected = format!(
            "the classes that the network was trained on: {}",
            shortened(&card.classes)
        );
        return Err(ConfigError::setting("data", place(), expected).into());
    }
    let loader = Loader::new(set.test, &card.statistics, Augment::default(), seed)?;
    Ok((set.name, loader))
}

/// The first names of a list, and the number of the others.
fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = names.len().min(SHOWN);
    let rest = match names.len() - shown {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    names[..shown].join(", ") + &rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_wrong_prediction_is_reported() {
        let names = ["cat", "dog", "eel"].map(str::to_owned);
        let cat = ClassResult::of(0, 10, &[6, 2, 2], &names);
        assert_eq!((cat.images, cat.accuracy), (10, Some(0.6)));
        let dog = TakenFor {
            class: "dog".to_owned(),
            images: 2,
        };
        assert_eq!(cat.taken_for, Some(dog));
        let sure = ClassResult::of(1, 4, &[0, 4, 0], &names);
        assert_eq!((sure.accuracy, sure.taken_for), (Some(1.0), None));
        let none = ClassResult::of(2, 0, &[0, 0, 0], &names);
        assert_eq!((none.accuracy, none.taken_for), (None, None));
    }
}
