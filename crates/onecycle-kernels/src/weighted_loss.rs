//! Softmax cross-entropy with a weight for each class, and its gradient.
//!
//! ```text
//! loss = 1/W sum over n of ((1 - s) w[y] l[n, y] + s / classes sum over k of w[k] l[n, k])
//! gradient[n, k] = 1/W ((1 - s) w[y] (p[n, k] - [k = y]) + s / classes (w* p[n, k] - w[k]))
//! l = -log p    p = softmax(logits)    y = label n    W = sum over n of w[y]    w* = sum of w
//! ```

use crate::error::{KernelError, check_len};
use crate::kernels::Kernels;
use crate::loss::{CrossEntropy, ROWS, check};
use crate::parallel::for_chunk_pairs;
use crate::simd::{PlainLoops, vectorised};

/// # Loss
impl Kernels {
    /// Computes the cross-entropy of `logits`, `[batch, classes]`, against `labels`, `[batch]`,
    /// weighted by the class of each row, and writes its gradient with respect to the logits.
    ///
    /// Like PyTorch's `CrossEntropyLoss(weight=weights, label_smoothing=..)` with class indices:
    /// the mean is divided by the sum of the rows' weights, and smoothing weights each class of the
    /// target by its own weight. `weights`, `[classes]`, are above 0.
    ///
    /// # Errors
    /// Those of [`cross_entropy`](Self::cross_entropy); a weight is not a finite number above 0.
    pub fn weighted_cross_entropy(
        &self,
        loss: CrossEntropy,
        weights: &[f64],
        logits: &[f32],
        labels: &[i64],
        gradient: &mut [f32],
    ) -> Result<f32, KernelError> {
        let classes = loss.classes;
        check(&loss, logits, labels, gradient)?;
        check_len("weights", weights, classes)?;
        if let Some(weight) = weights.iter().find(|w| !(w.is_finite() && **w > 0.0)) {
            return Err(KernelError::Value {
                name: "weights",
                value: weight.to_string(),
                expected: "a number above 0",
            });
        }
        let total: f64 = labels.iter().map(|&label| weights[label as usize]).sum();
        let scale = 1.0 / total;
        let mut losses = vec![0.0f64; labels.len()];
        for_chunk_pairs(
            (gradient, &mut losses),
            [ROWS * classes, ROWS],
            |index, gradient, losses| {
                let first = index * ROWS;
                let rows = Rows {
                    loss,
                    weights,
                    weight_sum: weights.iter().sum(),
                    scale,
                    logits: &logits[first * classes..],
                    labels: &labels[first..],
                    gradient,
                    losses,
                };
                vectorised(self.isa, rows);
            },
        );
        Ok((losses.iter().sum::<f64>() * scale) as f32)
    }
}

/// A chunk of rows.
struct Rows<'a> {
    loss: CrossEntropy,
    weights: &'a [f64],
    weight_sum: f64,
    /// `1 / W`.
    scale: f64,
    logits: &'a [f32],
    labels: &'a [i64],
    gradient: &'a mut [f32],
    losses: &'a mut [f64],
}

impl PlainLoops for Rows<'_> {
    #[inline(always)]
    fn run(self) {
        let CrossEntropy {
            classes,
            label_smoothing,
        } = self.loss;
        let everywhere = label_smoothing / classes as f64;
        let inputs = self.logits.chunks_exact(classes).zip(self.labels);
        let outputs = self.gradient.chunks_exact_mut(classes).zip(self.losses);
        for ((logits, &label), (gradient, loss)) in inputs.zip(outputs) {
            let label = label as usize;
            let on_class = (1.0 - label_smoothing) * self.weights[label];
            let mut largest = f32::NEG_INFINITY;
            for &x in logits {
                largest = largest.max(x);
            }
            let mut sum = 0.0f64;
            let mut weighted = 0.0f64;
            for ((g, x), w) in gradient.iter_mut().zip(logits).zip(self.weights) {
                let shifted = x - largest;
                *g = shifted.exp();
                sum += f64::from(*g);
                weighted += w * f64::from(shifted);
            }
            let log_sum = sum.ln();
            *loss = on_class * (log_sum - f64::from(logits[label] - largest));
            // Without smoothing, a class whose logit is minus infinity must not contribute
            // (0 times infinity is NaN).
            if everywhere > 0.0 {
                *loss += everywhere * (self.weight_sum * log_sum - weighted);
            }
            let share = (on_class + everywhere * self.weight_sum) * self.scale / sum;
            let share = share as f32;
            let smooth = everywhere * self.scale;
            for (g, w) in gradient.iter_mut().zip(self.weights) {
                *g = *g * share - (smooth * w) as f32;
            }
            gradient[label] -= (on_class * self.scale) as f32;
        }
    }
}
