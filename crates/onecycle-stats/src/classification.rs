//! How well a classifier does on each class: confusion matrix, precision, recall, F1.

use serde::{Deserialize, Serialize};

/// Counts of true and predicted classes.
///
/// ```
/// use onecycle_stats::ConfusionMatrix;
///
/// let mut matrix = ConfusionMatrix::new(2);
/// for (truth, predicted) in [(0, 0), (0, 0), (0, 1), (1, 1)] {
///     matrix.add(truth, Some(predicted));
/// }
/// assert_eq!(matrix.row(0), [2, 1]);
/// assert_eq!(matrix.accuracy(), Some(0.75));
/// // The mean of the recalls 2/3 and 1.
/// assert!((matrix.balanced_accuracy().unwrap() - 5.0 / 6.0).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: usize,
    /// Images by true class (row) and predicted class (column).
    counts: Vec<u64>,
    /// Images of each true class without a prediction.
    undecided: Vec<u64>,
}

/// Precision, recall and F1 of one class.
///
/// A ratio whose denominator is 0 is `None`. Scikit-learn returns 0 for it and warns
/// (`zero_division`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// Images of the class.
    pub images: u64,
    /// Images for which the class is predicted.
    pub predicted: u64,
    /// Images of the class for which it is predicted.
    pub correct: u64,
    /// Share of correct images among those for which the class is predicted, 0 to 1; `None` if it
    /// is never predicted.
    pub precision: Option<f64>,
    /// Share of correct images among those of the class, 0 to 1; `None` without images.
    pub recall: Option<f64>,
    /// Harmonic mean of precision and recall, `2 correct / (images + predicted)`, 0 to 1; `None`
    /// if the class has no image and is never predicted.
    pub f1: Option<f64>,
}

impl ConfusionMatrix {
    /// An empty matrix for `classes` classes.
    pub fn new(classes: usize) -> Self {
        ConfusionMatrix {
            classes,
            counts: vec![0; classes * classes],
            undecided: vec![0; classes],
        }
    }

    /// Counts one image. Without a prediction (all logits are NaN) it counts as wrong and is in no
    /// column.
    ///
    /// # Panics
    /// If a class is not below [`classes`](Self::classes).
    pub fn add(&mut self, truth: usize, predicted: Option<usize>) {
        match predicted {
            Some(predicted) => {
                assert!(predicted < self.classes, "no class {predicted}");
                self.counts[truth * self.classes + predicted] += 1;
            }
            None => self.undecided[truth] += 1,
        }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Images of class `truth` by predicted class, without those that have no prediction.
    ///
    /// # Panics
    /// If the class is not below [`classes`](Self::classes).
    pub fn row(&self, truth: usize) -> &[u64] {
        &self.counts[truth * self.classes..(truth + 1) * self.classes]
    }

    /// Number of images of class `truth`, with or without a prediction.
    ///
    /// # Panics
    /// If the class is not below [`classes`](Self::classes).
    pub fn images_of(&self, truth: usize) -> u64 {
        self.row(truth).iter().sum::<u64>() + self.undecided[truth]
    }

    /// Number of images.
    pub fn images(&self) -> u64 {
        (0..self.classes).map(|class| self.images_of(class)).sum()
    }

    /// Precision, recall and F1 of each class.
    pub fn scores(&self) -> Vec<ClassScore> {
        (0..self.classes).map(|class| self.score(class)).collect()
    }

    fn score(&self, class: usize) -> ClassScore {
        let images = self.images_of(class);
        let predicted = (0..self.classes).map(|truth| self.row(truth)[class]).sum();
        let correct = self.row(class)[class];
        let share = |part: u64, of: u64| (of > 0).then(|| part as f64 / of as f64);
        ClassScore {
            images,
            predicted,
            correct,
            precision: share(correct, predicted),
            recall: share(correct, images),
            f1: share(2 * correct, images + predicted),
        }
    }

    /// Share of correct images, 0 to 1; `None` without images.
    pub fn accuracy(&self) -> Option<f64> {
        let correct: u64 = (0..self.classes).map(|class| self.row(class)[class]).sum();
        let images = self.images();
        (images > 0).then(|| correct as f64 / images as f64)
    }

    /// Mean recall over the classes that have images, 0 to 1, like scikit-learn's
    /// `balanced_accuracy_score`; `None` without images.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        mean(self.scores().iter().filter_map(|score| score.recall))
    }

    /// Mean F1 over the classes that have images or are predicted, 0 to 1, like scikit-learn's
    /// `f1_score(average="macro")`; `None` without images.
    pub fn macro_f1(&self) -> Option<f64> {
        mean(self.scores().iter().filter_map(|score| score.f1))
    }

    /// Images of the largest class per image of the smallest one, at least 1. Classes without
    /// images do not count; `None` without images.
    pub fn imbalance(&self) -> Option<f64> {
        let sizes = (0..self.classes).map(|class| self.images_of(class));
        let sizes: Vec<u64> = sizes.filter(|images| *images > 0).collect();
        let (least, most) = (sizes.iter().min()?, sizes.iter().max()?);
        Some(*most as f64 / *least as f64)
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(classes: usize, truth: &[usize], predicted: &[usize]) -> ConfusionMatrix {
        let mut matrix = ConfusionMatrix::new(classes);
        for (truth, predicted) in truth.iter().zip(predicted) {
            matrix.add(*truth, Some(*predicted));
        }
        matrix
    }

    fn close(found: Option<f64>, expected: f64) {
        let found = found.unwrap_or(f64::NAN);
        assert!((found - expected).abs() < 1e-15, "{found} for {expected}");
    }

    // scikit-learn 1.9.1:
    //     t = [0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 4]
    //     p = [0, 0, 0, 0, 1, 4, 1, 0, 1, 1, 1, 4]
    //     print(confusion_matrix(t, p, labels=range(5)))
    //     for row in precision_recall_fscore_support(t, p, labels=range(5)): print(row.tolist())
    //     print(balanced_accuracy_score(t, p), f1_score(t, p, average="macro"))
    // Class 2 is never predicted, class 3 has neither images nor predictions.
    #[test]
    fn scores_are_those_of_scikit_learn() {
        let truth = [0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 4];
        let predicted = [0, 0, 0, 0, 1, 4, 1, 0, 1, 1, 1, 4];
        let matrix = matrix(5, &truth, &predicted);
        let rows: [[u64; 5]; 5] = [
            [4, 1, 0, 0, 1],
            [1, 2, 0, 0, 0],
            [0, 2, 0, 0, 0],
            [0, 0, 0, 0, 0],
            [0, 0, 0, 0, 1],
        ];
        for (class, row) in rows.iter().enumerate() {
            assert_eq!(matrix.row(class), row);
        }
        // It prints 0 where the denominator is 0.
        let precision = [0.8, 0.4, 0.0, 0.0, 0.5];
        let recall = [0.6666666666666666, 0.6666666666666666, 0.0, 0.0, 1.0];
        let f1 = [0.7272727272727273, 0.5, 0.0, 0.0, 0.6666666666666666];
        for (class, score) in matrix.scores().into_iter().enumerate() {
            close(score.precision.or(Some(0.0)), precision[class]);
            close(score.recall.or(Some(0.0)), recall[class]);
            close(score.f1.or(Some(0.0)), f1[class]);
            assert_eq!(score.images, [6, 3, 2, 0, 1][class]);
        }
        close(matrix.balanced_accuracy(), 0.5833333333333333);
        close(matrix.macro_f1(), 0.4734848484848485);
        close(matrix.accuracy(), 7.0 / 12.0);
        assert_eq!(matrix.imbalance(), Some(6.0));
    }

    #[test]
    fn ratios_without_a_denominator_are_none() {
        // Class 0 has images but is never predicted, class 1 is predicted but has no image, class
        // 2 has neither.
        let matrix = matrix(3, &[0, 0], &[1, 1]);
        let [never, foreign, absent] = matrix.scores().try_into().expect("three classes");
        assert_eq!(
            (never.precision, never.recall, never.f1),
            (None, Some(0.0), Some(0.0))
        );
        assert_eq!(
            (foreign.precision, foreign.recall, foreign.f1),
            (Some(0.0), None, Some(0.0))
        );
        assert_eq!(
            (absent.precision, absent.recall, absent.f1),
            (None, None, None)
        );
        assert_eq!(matrix.balanced_accuracy(), Some(0.0));
        let empty = ConfusionMatrix::new(3);
        assert_eq!(
            (
                empty.accuracy(),
                empty.balanced_accuracy(),
                empty.macro_f1()
            ),
            (None, None, None)
        );
        assert_eq!(empty.imbalance(), None);
    }

    #[test]
    fn an_image_without_a_prediction_is_wrong() {
        let mut matrix = matrix(2, &[0, 1, 1, 1], &[0, 1, 1, 1]);
        matrix.add(0, None);
        assert_eq!((matrix.images(), matrix.images_of(0)), (5, 2));
        assert_eq!(matrix.row(0), [1, 0]);
        assert_eq!(matrix.accuracy(), Some(0.8));
        close(matrix.balanced_accuracy(), 0.75);
        let first = matrix.scores()[0];
        assert_eq!((first.precision, first.recall), (Some(1.0), Some(0.5)));
        close(first.f1, 2.0 / 3.0);
        close(matrix.imbalance(), 1.5);
    }
}
