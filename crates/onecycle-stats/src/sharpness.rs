use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{StatsError, check};

/// If the last step gained more than this fraction of the whole rise, the ascent has not converged.
const STILL_RISING: f64 = 0.01;
/// Total length of all steps, in half widths of the box. Madry et al., "Towards Deep Learning
/// Models Resistant to Adversarial Attacks" (2018), also use 2.5.
const REACH: f64 = 2.5;

/// Options of the search for the highest loss in the box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ascent {
    /// Half width of the box at a weight of 0, above 0: `|z| ≤ ε (|x| + 1)`. Keskar et al. use 1e-3
    /// and 5e-4.
    pub epsilon: f64,
    /// Number of ascent steps, at least 1. Keskar et al. use 10 iterations.
    pub steps: usize,
}

impl Default for Ascent {
    /// ε = 1e-3 and 10 steps.
    fn default() -> Self {
        Ascent {
            epsilon: 1e-3,
            steps: 10,
        }
    }
}

/// How far the loss rises within a small box around the weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpsilonSharpness {
    /// `100 (highest - loss) / (1 + loss)`, in percent.
    pub sharpness: f64,
    /// Loss at the weights.
    pub loss: f64,
    /// Highest loss found in the box.
    pub highest: f64,
    /// Half width of the box at a weight of 0.
    pub epsilon: f64,
    /// Number of gradient evaluations.
    pub gradients: usize,
    /// Whether the value can be trusted.
    pub verdict: SharpnessVerdict,
}

/// Whether an [`EpsilonSharpness`] can be trusted. It is always a lower bound, because the ascent
/// may end in a local maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SharpnessVerdict {
    /// The ascent converged.
    Ok,
    /// The last step still gained more than 1 % of the whole rise.
    StillRising,
    /// No loss in the box was higher than at the weights.
    NoRise,
}

impl fmt::Display for SharpnessVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SharpnessVerdict::Ok => "ok",
            SharpnessVerdict::StillRising => "still rising: take more steps",
            SharpnessVerdict::NoRise => "no rise found",
        })
    }
}

/// ε-sharpness of a loss `f` at weights `x`: Keskar et al., "On Large-Batch Training for Deep
/// Learning: Generalization Gap and Sharp Minima" (2017, arXiv:1609.04836), metric 2.1, over the
/// whole weight space (their `A` is the identity):
///
/// ```text
/// 100 (max f(x + z) - f(x)) / (1 + f(x)),   |zᵢ| ≤ ε (|xᵢ| + 1)
/// ```
///
/// The paper maximises with 10 iterations of L-BFGS-B. This function uses projected gradient
/// ascent, steepest in the norm of the box: `zᵢ ← clip(zᵢ + step ε (|xᵢ| + 1) sign(∂f/∂zᵢ))` with
/// `step = 2.5 / steps`. It needs neither a gradient history nor a line search. A corner of the
/// box, where a convex loss has its maximum, is reached after 40 % of the steps. Every evaluation
/// counts: the highest loss is kept. `start` gives the sign wherever the gradient is exactly 0, as
/// at a minimum.
///
/// `evaluate` returns the loss and its gradient at the given weights. Cost: `steps + 1` gradient
/// evaluations.
///
/// # Errors
/// Returns the errors of `evaluate`, and a [`StatsError`] if an option is out of range, vectors
/// differ in length, or the loss at `x` or a gradient is not finite.
pub fn epsilon_sharpness<E: From<StatsError>>(
    weights: &[f64],
    start: &[f64],
    ascent: &Ascent,
    mut evaluate: impl FnMut(&[f64]) -> Result<(f64, Vec<f64>), E>,
) -> Result<EpsilonSharpness, E> {
    check::positive("epsilon", ascent.epsilon)?;
    let steps = ascent.steps as f64;
    check::ensure(ascent.steps > 0, "steps", steps, "at least 1")?;
    check::vector("weights", weights, weights.len())?;
    check::vector("start", start, weights.len())?;
    let (loss, mut gradient) = evaluate(weights)?;
    check::finite("loss", loss)?;
    check::ensure(loss > -1.0, "loss", loss, "a loss above -1")?;
    let half_widths: Vec<f64> = weights
        .iter()
        .map(|x| ascent.epsilon * (x.abs() + 1.0))
        .collect();
    let step = REACH / steps;
    let (mut z, mut point) = (vec![0.0; weights.len()], weights.to_vec());
    let (mut highest, mut gained) = (loss, 0.0);
    for _ in 0..ascent.steps {
        check::vector("gradient", &gradient, weights.len())?;
        for (i, half) in half_widths.iter().enumerate() {
            let slope = if gradient[i] == 0.0 {
                start[i]
            } else {
                gradient[i]
            };
            let uphill = match slope {
                0.0 => 0.0,
                slope => slope.signum(),
            };
            z[i] = (z[i] + step * half * uphill).clamp(-half, *half);
            point[i] = weights[i] + z[i];
        }
        let higher;
        (higher, gradient) = evaluate(&point)?;
        check::finite("highest loss", higher)?;
        gained = (higher - highest).max(0.0);
        highest = highest.max(higher);
    }
    let verdict = match highest - loss {
        rise if rise <= 0.0 => SharpnessVerdict::NoRise,
        rise if gained > STILL_RISING * rise => SharpnessVerdict::StillRising,
        _ => SharpnessVerdict::Ok,
    };
    Ok(EpsilonSharpness {
        sharpness: 100.0 * (highest - loss) / (1.0 + loss),
        loss,
        highest,
        epsilon: ascent.epsilon,
        gradients: ascent.steps + 1,
        verdict,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    /// `base + Σ λ (x - m)² / 2` and its gradient.
    fn quadratic(
        curvature: &'static [f64],
        middle: &'static [f64],
        base: f64,
    ) -> impl Fn(&[f64]) -> Result<(f64, Vec<f64>), StatsError> {
        move |x| {
            let away = || x.iter().zip(middle).map(|(x, m)| x - m);
            let loss: f64 = away().zip(curvature).map(|(d, l)| l * d * d / 2.0).sum();
            let gradient = away().zip(curvature).map(|(d, l)| l * d).collect();
            Ok((base + loss, gradient))
        }
    }

    /// The maximum is in a corner: `Σ λ ε² (|x| + 1)² / 2` above the minimum.
    #[test]
    fn at_the_minimum_of_a_quadratic() {
        let (curvature, middle) = (&[4.0, 1.0, 0.5], &[0.0, 2.0, -3.0]);
        let evaluate = quadratic(curvature, middle, 0.25);
        for epsilon in [1e-3, 5e-4, 0.1] {
            let ascent = Ascent {
                epsilon,
                ..Ascent::default()
            };
            let found = epsilon_sharpness(middle, &[0.3, -0.2, 0.1], &ascent, &evaluate).unwrap();
            let corner = (4.0 + 9.0 + 0.5 * 16.0) * epsilon * epsilon / 2.0;
            let known = 100.0 * corner / 1.25;
            assert!((found.sharpness / known - 1.0).abs() < 1e-9, "{found:?}");
            assert_eq!((found.gradients, found.verdict), (11, SharpnessVerdict::Ok));
        }
    }

    /// Next to the minimum, uphill points away from it.
    #[test]
    fn on_a_slope() {
        let evaluate = quadratic(&[2.0], &[0.0], 0.0);
        let ascent = Ascent {
            epsilon: 0.01,
            steps: 5,
        };
        let found = epsilon_sharpness(&[-1.0], &[1.0], &ascent, &evaluate).unwrap();
        let known = 100.0 * (1.02 * 1.02 - 1.0) / 2.0;
        assert!((found.sharpness - known).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn downwards_everywhere() {
        let evaluate = quadratic(&[-1.0, -1.0], &[0.0, 0.0], 0.0);
        let found =
            epsilon_sharpness(&[0.0, 0.0], &[1.0, 1.0], &Ascent::default(), &evaluate).unwrap();
        assert_eq!(
            (found.sharpness, found.verdict),
            (0.0, SharpnessVerdict::NoRise)
        );
    }

    /// A loss that grows at each evaluation has not reached its maximum.
    #[test]
    fn a_loss_that_still_rises_says_so() {
        let mut loss = 0.0;
        let rising = |_: &[f64]| -> Result<(f64, Vec<f64>), StatsError> {
            loss += 1.0;
            Ok((loss, vec![1.0]))
        };
        let found = epsilon_sharpness(&[0.0], &[1.0], &Ascent::default(), rising).unwrap();
        assert_eq!(found.verdict, SharpnessVerdict::StillRising);
        assert_eq!(found.sharpness, 100.0 * 10.0 / 2.0);
    }

    #[test]
    fn wrong_input_is_named() {
        let evaluate = quadratic(&[1.0], &[0.0], 0.0);
        let run = |epsilon, steps, x: &[f64]| {
            epsilon_sharpness(x, &[1.0], &Ascent { epsilon, steps }, &evaluate)
        };
        assert!(run(0.0, 10, &[0.0]).is_err());
        assert!(run(1e-3, 0, &[0.0]).is_err());
        assert!(run(1e-3, 1, &[f64::NAN]).is_err());
        assert!(run(1e-3, 1, &[0.0, 0.0]).is_err());
        let infinite =
            |_: &[f64]| -> Result<(f64, Vec<f64>), StatsError> { Ok((f64::INFINITY, vec![1.0])) };
        let error = epsilon_sharpness(&[0.0], &[1.0], &Ascent::default(), infinite).unwrap_err();
        assert!(matches!(error, StatsError::NotFinite { name: "loss", .. }));
    }
}
