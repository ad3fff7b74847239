//! Softmax cross-entropy with label smoothing, and its gradient.
//!
//! ```text
//! loss = 1/N sum over n of -sum over k of t[n, k] log p[n, k]        p = softmax(logits)
//! gradient[n, k] = (p[n, k] - t[n, k]) / N
//! t[n, k] = (1 - s) [k = label n] + s / classes                    smoothing s
//! ```
//!
//! The largest logit of each row is subtracted before exponentiation, so that nothing overflows.

use crate::error::{KernelError, check_len, check_positive, checked_size};
use crate::kernels::Kernels;
use crate::parallel::for_chunk_pairs;
use crate::simd::{PlainLoops, vectorised};

/// Rows per chunk of work.
pub(crate) const ROWS: usize = 16;

/// Settings of [`Kernels::cross_entropy`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CrossEntropy {
    /// Number of classes.
    pub classes: usize,
    /// Label smoothing `s` in `[0, 1]`: the target is `1 - s` on the label's class, plus
    /// `s / classes` on every class (Szegedy et al. 2016, "Rethinking the Inception architecture",
    /// section 7).
    pub label_smoothing: f64,
}

/// # Loss
impl Kernels {
    /// Computes the mean cross-entropy of `logits`, `[batch, classes]`, against `labels`,
    /// `[batch]`, and writes its gradient with respect to the logits.
    ///
    /// # Errors
    /// The length of a slice differs from the shape, a label is not below `classes`, or
    /// `label_smoothing` is outside of `[0, 1]`.
    pub fn cross_entropy(
        &self,
        loss: CrossEntropy,
        logits: &[f32],
        labels: &[i64],
        gradient: &mut [f32],
    ) -> Result<f32, KernelError> {
        check(&loss, logits, labels, gradient)?;
        let (classes, batch) = (loss.classes, labels.len());
        let scale = 1.0 / batch as f64;
        let mut losses = vec![0.0f64; batch];
        for_chunk_pairs(
            (gradient, &mut losses),
            [ROWS * classes, ROWS],
            |index, gradient, losses| {
                let first = index * ROWS;
                let rows = Rows {
                    loss,
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

/// Checks the arguments of a cross-entropy.
pub(crate) fn check(
    loss: &CrossEntropy,
    logits: &[f32],
    labels: &[i64],
    gradient: &[f32],
) -> Result<(), KernelError> {
    let CrossEntropy {
        classes,
        label_smoothing,
    } = *loss;
    let batch = labels.len();
    check_positive("classes", classes)?;
    check_positive("batch", batch)?;
    let len = checked_size("batch", &[batch, classes])?;
    check_len("logits", logits, len)?;
    check_len("gradient", gradient, len)?;
    if !(0.0..=1.0).contains(&label_smoothing) {
        return Err(KernelError::Value {
            name: "label_smoothing",
            value: label_smoothing.to_string(),
            expected: "a number from 0 to 1",
        });
    }
    if let Some(label) = labels.iter().find(|&&l| l < 0 || l >= classes as i64) {
        return Err(KernelError::Value {
            name: "labels",
            value: label.to_string(),
            expected: "a class index from 0 to the number of classes minus 1",
        });
    }
    Ok(())
}

/// A chunk of rows.
struct Rows<'a> {
    loss: CrossEntropy,
    /// Weight of a row in the mean, `1 / N`.
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
            let mut largest = f32::NEG_INFINITY;
            for &x in logits {
                largest = largest.max(x);
            }
            let mut sum = 0.0f64;
            let mut logit_sum = 0.0f64;
            for (g, x) in gradient.iter_mut().zip(logits) {
                let shifted = x - largest;
                *g = shifted.exp();
                sum += f64::from(*g);
                logit_sum += f64::from(shifted);
            }
            let shifted = f64::from(logits[label] - largest);
            // Without smoothing, a class whose logit is minus infinity must not contribute
            // (0 times infinity is NaN).
            let smooth_sum = if everywhere > 0.0 {
                everywhere * logit_sum
            } else {
                0.0
            };
            *loss = sum.ln() - (1.0 - label_smoothing) * shifted - smooth_sum;
            let share = (self.scale / sum) as f32;
            let smooth = (everywhere * self.scale) as f32;
            for g in gradient.iter_mut() {
                *g = *g * share - smooth;
            }
            gradient[label] -= ((1.0 - label_smoothing) * self.scale) as f32;
        }
    }
}
