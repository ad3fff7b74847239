//! What a network answered to each image of an evaluation.

use crate::logits;

/// Answer of a network to one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Answer {
    /// Index of the image in its split.
    pub(crate) index: u32,
    /// Its class.
    pub(crate) label: u32,
    /// The class with the largest logit; `None` if all logits are NaN.
    pub(crate) prediction: Option<u32>,
    /// Probability of the predicted class.
    pub(crate) probability: f64,
    /// Cross-entropy, in nats.
    pub(crate) loss: f64,
}

/// The answers of one evaluation, in its order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Answers {
    list: Vec<Answer>,
}

impl Answers {
    /// Adds a batch: logits `[batch, classes]`, row-major, class indices, and the images' indices.
    pub(crate) fn add(&mut self, logits: &[f32], labels: &[i64], indices: &[u32]) {
        if labels.is_empty() {
            return;
        }
        let rows = logits.chunks_exact(logits.len() / labels.len());
        for ((row, label), index) in rows.zip(labels).zip(indices) {
            let prediction = logits::argmax(row);
            // The predicted class has the largest logit, so its probability is exp(-loss).
            let probability =
                prediction.map_or(f64::NAN, |class| (-logits::cross_entropy(row, class)).exp());
            self.list.push(Answer {
                index: *index,
                label: *label as u32,
                prediction: prediction.map(|class| class as u32),
                probability,
                loss: logits::cross_entropy(row, *label as usize),
            });
        }
    }

    /// All answers.
    pub(crate) fn list(&self) -> &[Answer] {
        &self.list
    }

    /// Number of images.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// The `count` answers with the highest loss, the worst first; NaN is the highest. Of equal
    /// ones, the first image comes first.
    pub(crate) fn worst(&self, count: usize) -> impl Iterator<Item = &Answer> {
        let height = |answer: &Answer| match answer.loss.is_nan() {
            true => f64::INFINITY,
            false => answer.loss,
        };
        let mut sorted: Vec<&Answer> = self.list.iter().collect();
        sorted.sort_by(|a, b| height(b).total_cmp(&height(a)).then(a.index.cmp(&b.index)));
        sorted.into_iter().take(count)
    }
}
