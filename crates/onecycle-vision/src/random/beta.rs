//! The symmetric beta distribution.

use std::f64::consts::TAU;

use super::{Rng, unit};

/// A number from 0 to 1 of the distribution Beta(`alpha`, `alpha`), `alpha` above 0.
///
/// The quotient of two gamma variates, `x / (x + y)`. It is formed from their logarithms, because
/// for a small `alpha` both may be smaller than any floating-point number. The functions of `libm`
/// give the same bits on any machine.
pub fn beta(rng: &mut impl Rng, alpha: f64) -> f64 {
    let (x, y) = (log_gamma(rng, alpha), log_gamma(rng, alpha));
    1.0 / (1.0 + libm::exp(y - x))
}

/// Logarithm of a gamma variate of shape `alpha`.
///
/// Marsaglia and Tsang, "A Simple Method for Generating Gamma Variables", 2000; for `alpha` below 1
/// their section 6: a variate of shape `alpha + 1` times `u^(1 / alpha)`.
fn log_gamma(rng: &mut impl Rng, alpha: f64) -> f64 {
    if alpha < 1.0 {
        let shift = libm::log(1.0 - unit(rng)) / alpha;
        return log_gamma(rng, alpha + 1.0) + shift;
    }
    let d = alpha - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(rng);
        let root = 1.0 + c * x;
        if root <= 0.0 {
            continue;
        }
        let v = root * root * root;
        let limit = 0.5 * x * x + d * (1.0 - v + libm::log(v));
        if libm::log(1.0 - unit(rng)) < limit {
            return libm::log(d * v);
        }
    }
}

/// A standard normal variate (Box and Muller, 1958).
fn normal(rng: &mut impl Rng) -> f64 {
    let radius = (-2.0 * libm::log(1.0 - unit(rng))).sqrt();
    radius * libm::cos(TAU * unit(rng))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    /// Mean 1/2, variance 1 / (4 (2 alpha + 1)), and for alpha = 1/2 the arcsine distribution.
    #[test]
    fn moments_and_quantiles_are_those_of_the_distribution() {
        for (index, alpha) in [0.01, 0.2, 0.5, 1.0, 2.0, 8.0].into_iter().enumerate() {
            let mut rng = stream(0, "test", index as u64);
            let draws: Vec<f64> = (0..40_000).map(|_| beta(&mut rng, alpha)).collect();
            assert!(draws.iter().all(|x| (0.0..=1.0).contains(x)));
            let count = draws.len() as f64;
            let variance = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            let mean = draws.iter().sum::<f64>() / count;
            assert!(
                (mean - 0.5).abs() < 6.0 * (variance / count).sqrt(),
                "{alpha}: {mean}"
            );
            let found = draws.iter().map(|x| (x - 0.5).powi(2)).sum::<f64>() / count;
            assert!((found / variance - 1.0).abs() < 0.05, "{alpha}: {found}");
            if alpha == 0.5 {
                for x in [0.1_f64, 0.3, 0.8] {
                    let expected = 2.0 / std::f64::consts::PI * x.sqrt().asin();
                    let below = draws.iter().filter(|draw| **draw < x).count() as f64 / count;
                    assert!((below - expected).abs() < 0.015, "{x}: {below}");
                }
            }
        }
        let mut rng = stream(0, "test", 9);
        assert!((0..100).all(|_| beta(&mut rng, 1e-12).is_finite()));
    }
}
