//! How well a trained model does on labelled images, class by class.

use std::sync::Arc;

use onecycle_vision::{Augment, FolderOptions, Loader, Source};
use serde::Serialize;

use crate::{
    ConfigError, TrainError,
    config::DataConfig,
    logits,
    metrics::{self, MetricSums},
    predict::Classifier,
    tta::Tta,
};

/// The result of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Name of the data set.
    pub data: String,
    /// Its test images that were looked at.
    pub images: u64,
    /// Share of them classified rightly, 0 to 1.
    pub accuracy: f64,
    /// Mean cross-entropy, in nats.
    #[serde(with = "crate::record::number")]
    pub loss: f64,
    /// Whether the answer to an image was the mean of those to it and to its mirror image.
    pub flip: bool,
    /// Each class, in the order of the network's outputs.
    pub classes: Vec<ClassResult>,
}

/// What became of the images of one class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassResult {
    /// Name of the class.
    pub class: String,
    /// Its images.
    pub images: u64,
    /// Share of them classified rightly, 0 to 1; `null` where there are none.
    pub accuracy: Option<f64>,
    /// The class that they are taken for most often otherwise; `null` where never.
    pub taken_for: Option<TakenFor>,
}

/// The class that another is taken for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TakenFor {
    /// Name of the class.
    pub class: String,
    /// Images of the other class that are taken for it.
    pub images: u64,
}

/// Evaluates a model on the test part of a data set, read as a run of this configuration and `seed` reads it. `tick` is given
/// the number of images seen, of how many, after each batch.
///
/// # Errors
/// Data that cannot be read, whose images are of another shape than the network takes, or whose classes are others.
pub fn evaluate(
    model: &Classifier,
    data: &DataConfig,
    seed: u64,
    batch_size: usize,
    views: Tta,
    mut tick: impl FnMut(u64, u64),
) -> Result<Evaluation, TrainError> {
    let (name, loader) = test_images(model, data, seed)?;
    let card = model.card();
    let classes = card.classes.len();
    let mut tally = MetricSums::default();
    let mut images_of = vec![0; classes];
    let mut answers = vec![0; classes * classes];
    for batch in loader.evaluation().batch_size(batch_size) {
        let batch = batch?;
        let labels = batch.labels.clone();
        let images = metrics::to_device(batch, card.shape, model.device());
        let logits = views.logits(model.network(), images)?;
        for (label, row) in labels.iter().zip(logits.chunks_exact(classes)) {
            let label = *label as usize;
            images_of[label] += 1;
            // None of a network that has diverged.
            if let Some(answer) = logits::argmax(row) {
                answers[label * classes + answer] += 1;
            }
        }
        tally.add(MetricSums::of(&logits, &labels));
        tick(tally.images, loader.len() as u64);
    }
    Ok(Evaluation {
        data: name,
        images: tally.images,
        accuracy: tally.accuracy(),
        loss: tally.mean_loss(),
        flip: views == Tta::WithMirrorImage,
        classes: answers
            .chunks_exact(classes)
            .zip(images_of)
            .enumerate()
            .map(|(class, (answers, images))| {
                ClassResult::of(class, images, answers, &card.classes)
            })
            .collect(),
    })
}

impl ClassResult {
    /// From how often the images of a class were taken for each.
    fn of(class: usize, images: u64, answers: &[u64], names: &[String]) -> Self {
        let others = answers.iter().zip(names).enumerate();
        let others = others.filter(|(other, (count, _))| *other != class && **count > 0);
        // The first of several: `max_by_key` would take the last.
        let most = others.rev().max_by_key(|(_, (count, _))| **count);
        ClassResult {
            class: names[class].clone(),
            images,
            accuracy: (images > 0).then(|| answers[class] as f64 / images as f64),
            taken_for: most.map(|(_, (count, name))| TakenFor {
                class: name.clone(),
                images: *count,
            }),
        }
    }
}

/// Name and test images of a data set, normalised as the network wants them.
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
    let loader = Loader::new(
        Arc::new(set.test),
        card.shape,
        &card.statistics,
        Augment::default(),
        seed,
    )?;
    Ok((set.name, loader))
}

/// The first names of a list, and how many follow.
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
    fn a_class_is_taken_for_the_other_that_most_answers_name() {
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
