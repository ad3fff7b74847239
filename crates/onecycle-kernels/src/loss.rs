//! Softmax cross-entropy with label smoothing.

use crate::error::{KernelError, check_len, check_positive, checked_size};
use crate::parallel::for_chunk_pairs;
use crate::simd::{Loops, Path, vectorised};

/// Rows that are worked on together.
const ROWS: usize = 16;

/// Mean cross-entropy of `logits`, `[batch, classes]`, against `labels`, `[batch]`, and its gradient with respect to the
/// logits in `gradient`.
///
/// With smoothing `s` the target is `1 - s` on the label's class plus `s / classes` on every class (Szegedy et al. 2016,
/// "Rethinking the Inception architecture", section 7).
///
/// ```text
/// loss = 1/N Σ_n -Σ_k t_nk log p_nk        p = softmax(logits)        gradient_nk = (p_nk - t_nk) / N
/// ```
///
/// # Errors
/// A slice does not fit, a label is not below `classes`, or `smoothing` lies outside of `[0, 1]`.
pub fn cross_entropy(
    path: Path,
    classes: usize,
    smoothing: f64,
    logits: &[f32],
    labels: &[i64],
    gradient: &mut [f32],
) -> Result<f32, KernelError> {
    let batch = labels.len();
    check_positive("classes", classes)?;
    check_positive("batch", batch)?;
    let len = checked_size("batch", &[batch, classes])?;
    check_len("logits", logits, len)?;
    check_len("gradient", gradient, len)?;
    if !(0.0..=1.0).contains(&smoothing) {
        return Err(KernelError::Value {
            name: "smoothing",
            value: smoothing.to_string(),
            expected: "a number from 0 to 1",
        });
    }
    if let Some(label) = labels.iter().find(|&&l| l < 0 || l >= classes as i64) {
        return Err(KernelError::Value {
            name: "labels",
            value: label.to_string(),
            expected: "a class, counted from 0 and below the number of classes",
        });
    }
    let scale = 1.0 / batch as f64;
    let mut losses = vec![0.0f64; batch];
    for_chunk_pairs(
        (gradient, &mut losses),
        [ROWS * classes, ROWS],
        |index, gradient, losses| {
            let first = index * ROWS;
            let rows = Rows {
                classes,
                smoothing,
                scale,
                logits: &logits[first * classes..],
                labels: &labels[first..],
                gradient,
                losses,
            };
            vectorised(path, rows);
        },
    );
    Ok((losses.iter().sum::<f64>() * scale) as f32)
}

/// Some rows of [`cross_entropy`].
struct Rows<'a> {
    classes: usize,
    smoothing: f64,
    /// Share of a row in the mean.
    scale: f64,
    logits: &'a [f32],
    labels: &'a [i64],
    gradient: &'a mut [f32],
    losses: &'a mut [f64],
}

impl Loops for Rows<'_> {
    #[inline(always)]
    fn run(self) {
        let everywhere = self.smoothing / self.classes as f64;
        let inputs = self.logits.chunks_exact(self.classes).zip(self.labels);
        let outputs = self
            .gradient
            .chunks_exact_mut(self.classes)
            .zip(self.losses);
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
            // A class that is ruled out (minus infinity) has no share in an unsmoothed loss.
            let smooth_sum = if everywhere > 0.0 {
                everywhere * logit_sum
            } else {
                0.0
            };
            *loss = sum.ln() - (1.0 - self.smoothing) * shifted - smooth_sum;
            let share = (self.scale / sum) as f32;
            let smooth = (everywhere * self.scale) as f32;
            for g in gradient.iter_mut() {
                *g = *g * share - smooth;
            }
            gradient[label] -= ((1.0 - self.smoothing) * self.scale) as f32;
        }
    }
}
