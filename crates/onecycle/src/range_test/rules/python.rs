//! Functions of NumPy and PyTorch that decide the suggestions of other tools.

use alloc::vec::Vec;

/// `argmin`: the first smallest value; NaN counts as smaller than any number. `None` for no values,
/// where the original raises an exception.
pub(super) fn argmin(values: &[f64]) -> Option<usize> {
    if let Some(nan) = values.iter().position(|value| value.is_nan()) {
        return Some(nan);
    }
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if *value < values[best] {
            best = i;
        }
    }
    (!values.is_empty()).then_some(best)
}

/// `numpy.gradient(values)`: central differences, one-sided at the ends. `None` for fewer than two
/// values, where the original raises an exception.
pub(super) fn gradient(values: &[f64]) -> Option<Vec<f64>> {
    let n = values.len();
    if n < 2 {
        return None;
    }
    let at = |i: usize| match i {
        0 => values[1] - values[0],
        _ if i == n - 1 => values[n - 1] - values[n - 2],
        _ => (values[i + 1] - values[i - 1]) / 2.0,
    };
    Some((0..n).map(at).collect())
}

/// `numpy.gradient(values, x)` and `torch.gradient(values, spacing=[x])`: second order inside,
/// first order at the ends. `None` for fewer than two values.
pub(super) fn gradient_over(values: &[f64], x: &[f64]) -> Option<Vec<f64>> {
    let n = values.len();
    if n < 2 {
        return None;
    }
    let at = |i: usize| match i {
        0 => (values[1] - values[0]) / (x[1] - x[0]),
        _ if i == n - 1 => (values[n - 1] - values[n - 2]) / (x[n - 1] - x[n - 2]),
        _ => {
            let (left, right) = (x[i] - x[i - 1], x[i + 1] - x[i]);
            let a = -right / (left * (left + right));
            let b = (right - left) / (left * right);
            let c = left / (right * (left + right));
            a * values[i - 1] + b * values[i] + c * values[i + 1]
        }
    };
    Some((0..n).map(at).collect())
}

/// Number of losses recorded by a test that ends at the first one above `factor` times the best so
/// far.
pub(super) fn recorded(losses: &[f64], factor: f64) -> usize {
    let mut best = f64::INFINITY;
    let stop = losses.iter().position(|loss| {
        if *loss < best {
            best = *loss;
        }
        *loss > factor * best
    });
    stop.map_or(losses.len(), |stop| stop + 1)
}
