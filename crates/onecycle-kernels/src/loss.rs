//! Softmax cross-entropy with label smoothing.

use crate::error::{KernelError, check_len, check_positive, checked_size};
use crate::parallel::for_chunk_pairs;
use crate::simd::{Path, vectorised};

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
    let everywhere = smoothing / classes as f64;
    let scale = 1.0 / batch as f64;
    let mut losses = vec![0.0f64; batch];
    for_chunk_pairs(
        (gradient, &mut losses),
        [ROWS * classes, ROWS],
        |index, gradient, losses| {
            vectorised(path, || {
                let first = index * ROWS;
                for (row, (gradient, loss)) in
                    gradient.chunks_exact_mut(classes).zip(losses).enumerate()
                {
                    let logits = &logits[(first + row) * classes..][..classes];
                    let label = labels[first + row] as usize;
                    let largest = logits.iter().fold(f32::NEG_INFINITY, |m, &x| m.max(x));
                    let mut sum = 0.0f64;
                    let mut logit_sum = 0.0f64;
                    for (g, x) in gradient.iter_mut().zip(logits) {
                        let shifted = x - largest;
                        *g = shifted.exp();
                        sum += f64::from(*g);
                        logit_sum += f64::from(shifted);
                    }
                    let log_sum = sum.ln();
                    let shifted = f64::from(logits[label] - largest);
                    // A class that is ruled out (minus infinity) has no share in an unsmoothed loss.
                    let smooth_sum = if everywhere > 0.0 {
                        everywhere * logit_sum
                    } else {
                        0.0
                    };
                    *loss = log_sum - (1.0 - smoothing) * shifted - smooth_sum;
                    let share = (scale / sum) as f32;
                    let smooth = (everywhere * scale) as f32;
                    for g in gradient.iter_mut() {
                        *g = *g * share - smooth;
                    }
                    gradient[label] -= ((1.0 - smoothing) * scale) as f32;
                }
            });
        },
    );
    Ok((losses.iter().sum::<f64>() * scale) as f32)
}
