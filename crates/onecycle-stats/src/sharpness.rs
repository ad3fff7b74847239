use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{StatsError, check};

/// Largest share of the whole rise that the last step may still have gained.
const STILL_RISING: f64 = 0.01;
/// Steps reach so many times across half of the box in all. Madry et al., "Towards Deep Learning Models Resistant to
/// Adversarial Attacks" (2018), take 2.5 as well.
const REACH: f64 = 2.5;

/// How to look for the highest loss in the box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ascent {
    /// Half width of the box for a weight of 0, above 0: `|z| ≤ ε (|x| + 1)`. Keskar et al. take 1e-3 and 5e-4.
    pub epsilon: f64,
    /// Steps of the ascent, at least 1. Keskar et al. make 10 iterations.
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
    /// `100 (highest - loss) / (1 + loss)`, in per cent.
    pub sharpness: f64,
    /// Loss at the weights.
    pub loss: f64,
    /// Highest loss that was found in the box.
    pub highest: f64,
    /// Half width of the box for a weight of 0.
    pub epsilon: f64,
    /// Gradient evaluations that it took.
    pub gradients: usize,
    /// What it is worth.
    pub verdict: SharpnessVerdict,
}

/// What an [`EpsilonSharpness`] is worth. It is a lower bound in any case: an ascent may end in a lower maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SharpnessVerdict {
    /// The ascent came to rest.
    Ok,
    /// The last step still gained more than a per cent of the whole rise.
    StillRising,
    /// No higher loss was found than at the weights.
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

/// ε-sharpness of a loss `f` at weights `x`: Keskar et al., "On Large-Batch Training for Deep Learning: Generalization Gap and
/// Sharp Minima" (2017, arXiv:1609.04836), metric 2.1, in the whole space of weights (their `A` the identity):
///
/// ```text
/// 100 (max f(x + z) - f(x)) / (1 + f(x)),   |zᵢ| ≤ ε (|xᵢ| + 1)
/// ```
///
/// The paper maximises by 10 iterations of L-BFGS-B. Here it is a projected gradient ascent that goes steepest in the norm
/// of the box, `zᵢ ← clip(zᵢ + step ε (|xᵢ| + 1) sign(∂f/∂zᵢ))` with `step = 2.5 / steps`: it needs no history of gradients and
/// no line search, a corner of the box, where a convex loss has its maximum, is reached in 0.4 of the steps, and every
/// evaluation counts, the highest being kept. `start` gives the signs where the gradient is exactly 0, as at a minimum.
///
/// `evaluate` returns loss and gradient at some weights. Cost: `steps + 1` gradient evaluations.
///
/// # Errors
/// Those of `evaluate`; options out of range, vectors of unequal lengths, a loss at `x` or a gradient that is not finite.
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

    /// Beside the minimum, uphill is away from it.
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

    /// A loss that jumps ever higher at each evaluation has no maximum yet.
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
