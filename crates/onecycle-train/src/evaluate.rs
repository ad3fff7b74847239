//! Accuracy of a trained model on labelled images, per class. [`evaluate`] returns an
//! [`Evaluation`].

use onecycle_vision::{Augment, Dataset, FolderOptions, ImageSize, Loader, TestOrigin};
use serde::Serialize;

use crate::{
    ConfigError, RunError, TrainError, config::DataConfig, logits, metrics::MetricSums,
    model_file::ModelCard, predict::Classifier, tta::Tta,
};

/// The result of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Name of the data set.
    pub data: String,
    /// Which images of the data set were evaluated.
    pub part: Part,
    /// Number of evaluated images.
    pub images: u64,
    /// Accuracy on them, 0 to 1.
    pub accuracy: f64,
    /// Mean cross-entropy, in nats.
    #[serde(with = "onecycle::not_finite")]
    pub loss: f64,
    /// The views of an image over which each prediction is the mean.
    pub tta: Tta,
    /// The classes, in the order of the network's outputs.
    pub classes: Vec<ClassResult>,
    /// Remarks for the user, for example that the data have changed since the training.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The test images.
    Test,
    /// All images: those of a folder without `val/` that the network was not trained on.
    All,
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

/// Evaluates a model on the test images of a data set. After each batch, `progress` is called with
/// the number of images seen and the total.
///
/// If the seed of the run drew the test images of its folder, they are drawn in the same way again.
/// Another folder without `val/` is evaluated on all its images.
///
/// # Errors
/// The data cannot be read, or their images or classes do not fit the network.
/// [`RunError::TestImagesUnknown`] if training images would be among the test images.
pub fn evaluate(
    model: &Classifier,
    data: &DataConfig,
    batch_size: usize,
    tta: Tta,
    mut progress: impl FnMut(u64, u64),
) -> Result<Evaluation, TrainError> {
    let Images {
        name,
        part,
        loader,
        notes,
    } = images(model, data)?;
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
        part,
        images: sums.images,
        accuracy: sums.accuracy(),
        loss: sums.mean_loss(),
        tta,
        classes: predictions
            .chunks_exact(classes)
            .zip(images_of)
            .enumerate()
            .map(|(class, (predictions, images))| {
                ClassResult::of(class, images, predictions, &card.classes)
            })
            .collect(),
        notes,
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

/// The images to evaluate on.
struct Images {
    /// Name of the data set.
    name: String,
    part: Part,
    /// The images, normalised for the network.
    loader: Loader,
    notes: Vec<String>,
}

/// Loads the images of a data set that the network was not trained on.
fn images(model: &Classifier, data: &DataConfig) -> Result<Images, TrainError> {
    let card = model.card();
    let seed = card.trained_on.as_ref().map_or(0, |run| run.seed);
    let mut source = data.source(seed);
    source.folder = FolderOptions {
        size: ImageSize {
            height: card.shape.height,
            width: card.shape.width,
        },
        resize: card.resize,
        background: card.background,
        classes: Some(card.classes.clone()),
        validation: 0.0,
        ..source.folder
    };
    let mut set = source.load()?;
    let (part, notes) = part_to_evaluate(card, &set)?;
    if set.test_origin == TestOrigin::Drawn && part == Part::Test {
        let share = FolderOptions::default().validation;
        (_, set.test) = set.test.hold_out_stratified(share, seed)?;
    }
    if data.test_limit > 0 {
        set = set.limit_test(data.test_limit, seed);
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
    Ok(Images {
        name: set.name,
        part,
        loader,
        notes: [notes, set.notes].concat(),
    })
}

/// Decides which images of a data set, read with the seed of the run, the network was not trained
/// on. Returns remarks for the user as well.
fn part_to_evaluate(card: &ModelCard, set: &Dataset) -> Result<(Part, Vec<String>), RunError> {
    let recorded = card.trained_on.as_ref().map(|run| &run.checksums);
    let changed = recorded.is_some_and(|recorded| {
        let differs =
            |(name, sum): (&String, &String)| set.checksums.get(name).is_some_and(|now| now != sum);
        recorded.iter().any(differs)
    });
    let unknown = |reason: &str| RunError::TestImagesUnknown {
        data: set.source.clone(),
        reason: reason.to_owned(),
    };
    match (set.test_origin == TestOrigin::Drawn, recorded) {
        (false, _) if changed => {
            let note = "the data have changed since the network was trained";
            Ok((Part::Test, vec![note.to_owned()]))
        }
        (false, _) => Ok((Part::Test, Vec::new())),
        (true, Some(recorded)) if *recorded == set.checksums => Ok((Part::Test, Vec::new())),
        (true, Some(_)) if changed || card.data == set.name => Err(unknown(
            "its images have changed since the network was trained",
        )),
        (true, None) if card.data == set.name => Err(unknown(
            "the model does not record which of its images it was trained on",
        )),
        (true, _) => Ok((Part::All, Vec::new())),
    }
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
