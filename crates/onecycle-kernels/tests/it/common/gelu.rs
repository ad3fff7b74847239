//! GELU in double precision.

use onecycle_kernels::Activation;
use std::f64::consts::TAU;

/// Error of the kernels' GELU, relative to the larger of `|x|` and 1, and absolute error of its
/// derivative.
pub const ERROR: f64 = 5e-7;

/// Density of the standard normal distribution.
pub fn density(x: f64) -> f64 {
    (-x * x / 2.0).exp() / TAU.sqrt()
}

/// The standard normal distribution `Φ(x) = 1/2 + φ(x) (x + x³/3 + x⁵/(3·5) + ...)` (Marsaglia 2004,
/// "Evaluating the normal distribution", section 3).
pub fn distribution(x: f64) -> f64 {
    if x.abs() > 9.0 {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let (mut sum, mut term, mut divisor) = (x, x, 1.0);
    while term.abs() > 1e-20 * sum.abs() {
        divisor += 2.0;
        term *= x * x / divisor;
        sum += term;
    }
    0.5 + density(x) * sum
}

/// `x Φ(x)`.
pub fn gelu(x: f64) -> f64 {
    x * distribution(x)
}

/// `Φ(x) + x φ(x)`.
pub fn derivative(x: f64) -> f64 {
    distribution(x) + x * density(x)
}

/// `x` after an activation.
pub fn activated(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Identity => x,
        Activation::Relu => x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::Gelu => gelu(x),
    }
}
