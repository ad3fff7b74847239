//! How a trained network does on labelled images, beyond accuracy: [`Assessment`].
//!
//! A run is assessed once, at its end, on its test images; if it has none besides its validation
//! images, on those. The logits are those of the run's last evaluation. The files are in
//! `assessment/` of the run folder, as JSON and CSV.

mod answers;
mod files;
mod thumbnail;

use onecycle_stats::{ClassScore, ConfusionMatrix, Reliability, ReliabilityBin};
use onecycle_vision::{Split, TestOrigin};
use serde::{Deserialize, Serialize};

use crate::experiment::Data;

pub(crate) use answers::{Answer, Answers};
pub(crate) use files::Pictures;

/// Number of images with the highest loss that are listed.
pub const WORST: usize = 24;
/// Classes count as imbalanced if one has more than this many times the images of another.
pub const IMBALANCED: f64 = 2.0;

/// Measurements of a network on labelled images: `assessment.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// Which images: `test images`, `validation images`, or `held-out images` that were drawn from
    /// the training images.
    pub measured_on: String,
    /// Number of images.
    pub images: u64,
    /// Mean cross-entropy, in nats.
    #[serde(with = "onecycle::not_finite")]
    pub loss: f64,
    /// The numbers that describe all classes together.
    #[serde(flatten)]
    pub scores: Scores,
    /// Each class, in the order of the network's outputs.
    pub classes: Vec<ClassAssessment>,
    /// Images by true class (row) and predicted class (column).
    pub confusion: Vec<Vec<u64>>,
    /// Confidence and accuracy, in 15 bins of equal width (Guo et al. 2017).
    pub reliability: Vec<ReliabilityBin>,
    /// The images with the highest loss, the worst one first.
    pub worst: Vec<WorstImage>,
}

/// Scores over all classes, each 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Share of images classified correctly.
    pub accuracy: f64,
    /// Mean recall over the classes that have images, like scikit-learn's
    /// `balanced_accuracy_score`.
    pub balanced_accuracy: f64,
    /// Mean F1 over the classes that have images or are predicted, like scikit-learn's
    /// `f1_score(average="macro")`.
    pub macro_f1: f64,
    /// Expected calibration error (Guo et al. 2017, equation 3); `None` if a probability is NaN.
    pub calibration_error: Option<f64>,
    /// Images of the largest class per image of the smallest class that has any, at least 1.
    pub imbalance: f64,
}

impl Scores {
    /// Whether one class has more than [`IMBALANCED`] times the images of another, so that the
    /// accuracy says little about the small classes.
    pub fn is_imbalanced(&self) -> bool {
        self.imbalance > IMBALANCED
    }
}

/// Measurements on one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassAssessment {
    /// Name of the class.
    pub class: String,
    /// Images, precision, recall and F1.
    #[serde(flatten)]
    pub score: ClassScore,
}

/// An image with a high loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorstImage {
    /// Index of the image in its part of the data set, from 0.
    pub index: u32,
    /// Its file, relative to the folder of images; `None` if images are not files of their own.
    pub file: Option<String>,
    /// Name of its class.
    pub class: String,
    /// The predicted class; `None` if all logits are NaN.
    pub prediction: Option<String>,
    /// Probability of the predicted class, 0 to 1.
    pub probability: Option<f64>,
    /// Cross-entropy, in nats.
    #[serde(with = "onecycle::not_finite")]
    pub loss: f64,
    /// File of its picture, if there is one.
    pub picture: Option<String>,
}

/// A pair of classes that is confused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Confusion {
    /// Index of the true class.
    pub(crate) truth: usize,
    /// Index of the predicted class.
    pub(crate) prediction: usize,
    /// Images of the true class for which the other is predicted.
    pub(crate) images: u64,
}

impl Assessment {
    /// Computes the measures from the answers to the images of `split`. Returns `None` without
    /// answers.
    pub(crate) fn new(
        answers: &Answers,
        classes: &[String],
        split: &Split,
        measured_on: &str,
    ) -> Option<Self> {
        let mut matrix = ConfusionMatrix::new(classes.len());
        let mut reliability = Reliability::new(Reliability::BINS);
        let mut loss = 0.0;
        for answer in answers.list() {
            let (truth, prediction) = (answer.label as usize, answer.prediction);
            // A network of one's own may have more outputs than there are classes.
            let class = prediction.map(|class| class as usize);
            matrix.add(truth, class.filter(|class| *class < classes.len()));
            reliability.add(answer.probability, prediction == Some(answer.label));
            loss += answer.loss;
        }
        let images = matrix.images();
        let error = reliability.expected_calibration_error();
        let scores = Scores {
            accuracy: matrix.accuracy()?,
            balanced_accuracy: matrix.balanced_accuracy()?,
            macro_f1: matrix.macro_f1()?,
            calibration_error: error.filter(|error| error.is_finite()),
            imbalance: matrix.imbalance()?,
        };
        let named = classes.iter().zip(matrix.scores());
        Some(Assessment {
            measured_on: measured_on.to_owned(),
            images,
            loss: loss / images as f64,
            scores,
            classes: named
                .map(|(class, score)| ClassAssessment {
                    class: class.clone(),
                    score,
                })
                .collect(),
            confusion: (0..classes.len())
                .map(|truth| matrix.row(truth).to_vec())
                .collect(),
            reliability: reliability.bins(),
            worst: answers
                .worst(WORST)
                .map(|answer| WorstImage::new(answer, classes, split))
                .collect(),
        })
    }

    /// The pairs of classes that are confused most often, the most frequent first. Equal ones are
    /// in the order of the classes.
    pub(crate) fn confusions(&self) -> Vec<Confusion> {
        let mut all = Vec::new();
        for (truth, row) in self.confusion.iter().enumerate() {
            for (prediction, &images) in row.iter().enumerate() {
                if truth != prediction && images > 0 {
                    all.push(Confusion {
                        truth,
                        prediction,
                        images,
                    });
                }
            }
        }
        all.sort_by_key(|pair| std::cmp::Reverse(pair.images));
        all
    }

    /// The wrong class predicted most often for images of class `truth`, the first one on ties.
    pub(crate) fn taken_for(&self, truth: usize) -> Option<Confusion> {
        let row = self.confusion[truth].iter().enumerate();
        let others = row.filter(|(other, images)| *other != truth && **images > 0);
        // The first one on ties: `max_by_key` alone takes the last.
        let most = others.rev().max_by_key(|(_, images)| **images);
        most.map(|(prediction, &images)| Confusion {
            truth,
            prediction,
            images,
        })
    }
}

impl WorstImage {
    fn new(answer: &Answer, classes: &[String], split: &Split) -> Self {
        let prediction = answer
            .prediction
            .and_then(|class| classes.get(class as usize))
            .cloned();
        WorstImage {
            index: answer.index,
            file: split.name(answer.index as usize).map(str::to_owned),
            class: classes[answer.label as usize].clone(),
            probability: Some(answer.probability).filter(|share| share.is_finite()),
            prediction,
            loss: answer.loss,
            picture: None,
        }
    }
}

/// What the images of [`Data::test`] are.
pub(crate) fn measured_on(data: &Data) -> &'static str {
    match data.test_origin {
        TestOrigin::Test => "test images",
        TestOrigin::Validation => "validation images",
        TestOrigin::Drawn => "held-out images",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use onecycle_vision::ImageShape;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn split(labels: &[u32]) -> Split {
        let files = (0..labels.len()).map(|i| format!("{i}.png")).collect();
        let pixels = (0..labels.len() as u8).collect();
        let split = Split::new(ImageShape::new(1, 1, 1), pixels, labels.to_vec()).unwrap();
        split.with_names(files).unwrap()
    }

    /// Logits 0 and ln 3 give the probabilities 1/4 and 3/4.
    #[test]
    fn an_assessment_is_the_hand_computed_one() {
        let z = 3f32.ln();
        let mut answers = Answers::default();
        answers.add(&[z, 0.0, z, 0.0, z, 0.0], &[0, 0, 0], &[0, 1, 2]);
        answers.add(&[z, 0.0, 0.0, z], &[0, 1], &[3, 4]);
        answers.add(&[z, 0.0], &[1], &[5]);
        let found = Assessment::new(
            &answers,
            &names(&["cat", "dog"]),
            &split(&[0, 0, 0, 0, 1, 1]),
            "test images",
        )
        .unwrap();
        assert_eq!(found.confusion, [[4, 0], [1, 1]]);
        assert_eq!(found.images, 6);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} for {b}");
        close(found.loss, (5.0 * (4f64 / 3.0).ln() + 4f64.ln()) / 6.0);
        close(found.scores.accuracy, 5.0 / 6.0);
        close(found.scores.balanced_accuracy, 0.75);
        // F1 of cat 8/9, of dog 2/3.
        close(found.scores.macro_f1, 7.0 / 9.0);
        close(found.scores.calibration_error.unwrap(), 5.0 / 6.0 - 0.75);
        assert_eq!(found.scores.imbalance, 2.0);
        assert!(!found.scores.is_imbalanced());
        let worst = &found.worst[0];
        assert_eq!((worst.index, worst.file.as_deref()), (5, Some("5.png")));
        assert_eq!(
            (worst.class.as_str(), worst.prediction.as_deref()),
            ("dog", Some("cat"))
        );
        close(worst.probability.unwrap(), 0.75);
        close(worst.loss, 4f64.ln());
        let json = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Assessment>(&json).unwrap(), found);
        assert!(Assessment::new(&Answers::default(), &[], &split(&[0]), "").is_none());
    }

    #[test]
    fn an_image_without_a_prediction_is_the_worst() {
        let mut answers = Answers::default();
        answers.add(&[0.0, 9.0, f32::NAN, f32::NAN], &[0, 1], &[0, 1]);
        let classes = names(&["cat", "dog"]);
        let found = Assessment::new(&answers, &classes, &split(&[0, 1]), "test images").unwrap();
        assert_eq!(found.confusion, [[0, 1], [0, 0]]);
        assert_eq!((found.images, found.scores.accuracy), (2, 0.0));
        assert_eq!(found.scores.calibration_error, None);
        let worst = &found.worst[0];
        assert_eq!(
            (worst.index, &worst.prediction, worst.probability),
            (1, &None, None)
        );
        assert!(found.loss.is_nan() && worst.loss.is_nan());
        let json = serde_json::to_string(&found).unwrap();
        let back: Assessment = serde_json::from_str(&json).unwrap();
        assert!(back.loss.is_nan() && back.worst[0].loss.is_nan());
    }

    #[test]
    fn confusions_are_in_order_of_their_frequency() {
        let mut answers = Answers::default();
        let mut answer = |truth: i64, predicted: usize, images: usize| {
            for _ in 0..images {
                let mut logits = [0.0; 3];
                logits[predicted] = 1.0;
                answers.add(&logits, &[truth], &[0]);
            }
        };
        answer(0, 0, 6);
        answer(0, 1, 2);
        answer(0, 2, 2);
        answer(1, 0, 3);
        let classes = names(&["cat", "dog", "eel"]);
        let found = Assessment::new(&answers, &classes, &split(&[0]), "test images").unwrap();
        let pairs: Vec<_> = found
            .confusions()
            .iter()
            .map(|pair| (pair.truth, pair.prediction, pair.images))
            .collect();
        assert_eq!(pairs, [(1, 0, 3), (0, 1, 2), (0, 2, 2)]);
        assert_eq!(found.taken_for(0).unwrap().prediction, 1);
        assert_eq!(found.taken_for(2), None);
        assert!(found.scores.is_imbalanced());
    }
}
