//! Noise scale, curvature and slices of problems with a known answer.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use onecycle_stats::{
    Block, Converged, GradientNoise, NoiseVerdict, Spectrum, StatsError, filter_normalise, lanczos,
    moved, slice_points,
};
use proptest::prelude::*;

/// Standard normal numbers (Box & Muller) from a linear congruential generator.
struct Normal(u64);

impl Normal {
    fn unit(&mut self) -> f64 {
        self.0 = (self.0)
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    fn draw(&mut self) -> f64 {
        let radius = (-2.0 * self.unit().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// Linear regression `y = w* · x + σ e` with standard normal inputs and errors, at `w = w* + d`: a
/// sample's gradient is `(d · x - σ e) x`, its mean `d`, and the trace of its covariance
/// `(n + 1) |d|² + n σ²` for n weights.
const D: [f64; 3] = [0.6, -0.8, 0.0];
const SIGMA: f64 = 0.5;
const GRADIENT: f64 = 1.0;
const TRACE: f64 = 4.0 + 3.0 * 0.25;

fn regression(normal: &mut Normal, batch: usize) -> [f64; 3] {
    let mut mean = [0.0; 3];
    for _ in 0..batch {
        let x = [(); 3].map(|()| normal.draw());
        let error: f64 = D.iter().zip(x).map(|(d, x)| d * x).sum::<f64>() - SIGMA * normal.draw();
        for (mean, x) in mean.iter_mut().zip(x) {
            *mean += error * x / batch as f64;
        }
    }
    mean
}

/// Mean and standard error of the mean.
fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

/// Over 4000 draws, the means of both estimates lie within four of their standard errors of the
/// truth, and the stated standard errors match the scatter of the estimates to within 20 %.
#[test]
fn noise_estimates_are_unbiased() {
    let mut normal = Normal(1);
    // |G|², tr Σ and the stated error of tr Σ, by the variance and by two batch sizes.
    let mut found: [[Vec<f64>; 3]; 2] = Default::default();
    for _ in 0..4000 {
        let mut noise = GradientNoise::new(4).unwrap();
        for _ in 0..6 {
            noise.begin_group();
            for _ in 0..3 {
                noise.push(&regression(&mut normal, 4)).unwrap();
            }
        }
        let ways = [noise.over_micro_batches(), noise.between_batch_sizes()];
        for (found, estimate) in found.iter_mut().zip(ways) {
            let estimate = estimate.unwrap();
            found[0].push(estimate.gradient.value);
            found[1].push(estimate.trace.value);
            found[2].push(estimate.trace.error.unwrap().powi(2));
        }
    }
    for [gradient, trace, error] in &found {
        for (values, truth) in [(gradient, GRADIENT), (trace, TRACE)] {
            let (mean, error) = mean(values);
            assert!(
                (mean - truth).abs() < 4.0 * error,
                "{mean} ± {error} for {truth}"
            );
            assert!(error < 0.02 * truth, "4000 draws tell a bias of 8 per cent");
        }
        let scatter = mean(trace).1 * (trace.len() as f64).sqrt();
        let stated = mean(error).0.sqrt();
        assert!(
            (stated / scatter - 1.0).abs() < 0.2,
            "{stated} for {scatter}"
        );
    }
    // The variance over all micro-batches is the more precise estimate.
    assert!(mean(&found[0][1]).1 < mean(&found[1][1]).1);
}

/// With enough batches the noise scale is accurate, and its verdict is `Ok`.
#[test]
fn the_noise_scale_of_a_regression() {
    let mut normal = Normal(7);
    let mut noise = GradientNoise::new(8).unwrap();
    for _ in 0..16 {
        noise.begin_group();
        for _ in 0..32 {
            noise.push(&regression(&mut normal, 8)).unwrap();
        }
    }
    let estimate = noise.over_micro_batches().unwrap();
    let scale = estimate.scale.unwrap();
    assert_eq!(estimate.verdict, NoiseVerdict::Ok);
    let truth = TRACE / GRADIENT;
    assert!(
        (scale.value - truth).abs() < 4.0 * scale.error.unwrap(),
        "{scale:?}"
    );
    assert!((scale.value / truth - 1.0).abs() < 0.2, "{scale:?}");
}

/// At the optimum the gradient is only noise.
#[test]
fn a_gradient_of_zero_is_not_seen() {
    let mut normal = Normal(3);
    let mut hidden = 0;
    for _ in 0..200 {
        let mut noise = GradientNoise::new(1).unwrap();
        for _ in 0..8 {
            noise.begin_group();
            for _ in 0..4 {
                noise.push(&[normal.draw(), normal.draw()]).unwrap();
            }
        }
        let verdict = noise.over_micro_batches().unwrap().verdict;
        hidden += usize::from(verdict == NoiseVerdict::HiddenGradient);
    }
    assert!(hidden >= 180, "{hidden} of 200");
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Weights and a direction with two blocks: filters of 3 entries, and a bias.
fn weights_and_direction() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    let vector = || prop::collection::vec(0.1..2.0_f64, 14);
    (vector(), vector())
}

const BLOCKS: [Block; 2] = [Block { len: 12, filter: 3 }, Block { len: 2, filter: 0 }];

proptest! {
    #![proptest_config(config())]

    /// Scaling the filters scales the direction with them, so that the slice contains the same
    /// networks. Scaling the direction changes nothing.
    #[test]
    fn filter_normalisation_follows_the_scale_of_filters(
        (weights, direction) in weights_and_direction(),
        factors in prop::collection::vec(0.01..100.0_f64, 4),
        length in 0.01..100.0_f64,
    ) {
        let mut plain = direction.clone();
        filter_normalise(&mut plain, &weights, &BLOCKS).unwrap();
        let mut scaled_weights = weights.clone();
        for (i, weight) in scaled_weights[..12].iter_mut().enumerate() {
            *weight *= factors[i / 3];
        }
        let mut scaled: Vec<f64> = direction.iter().map(|d| d * length).collect();
        filter_normalise(&mut scaled, &scaled_weights, &BLOCKS).unwrap();
        for i in 0..12 {
            let expected = factors[i / 3] * plain[i];
            prop_assert!((scaled[i] / expected - 1.0).abs() < 1e-12);
        }
        prop_assert_eq!(&scaled[12..], &[0.0, 0.0]);
        for filter in 0..4 {
            let norm = |v: &[f64]| v[3 * filter..][..3].iter().map(|v| v * v).sum::<f64>();
            prop_assert!((norm(&plain) / norm(&weights) - 1.0).abs() < 1e-12);
        }
    }

    /// A slice of a quadratic is a parabola: its second differences give `dᵀ H d`.
    #[test]
    fn slices_of_a_quadratic((weights, direction) in weights_and_direction()) {
        let curvature = |i: usize| 0.5 + i as f64;
        let loss = |x: &[f64]| -> f64 {
            x.iter().enumerate().map(|(i, x)| curvature(i) * x * x / 2.0).sum()
        };
        let known: f64 = direction.iter().enumerate().map(|(i, d)| curvature(i) * d * d).sum();
        let alphas = slice_points(5, 0.8).unwrap();
        let losses: Vec<f64> = alphas.iter().map(|a| loss(&moved(&weights, &direction, *a))).collect();
        prop_assert_eq!(losses[2], loss(&weights));
        for three in losses.windows(3) {
            let second = (three[0] - 2.0 * three[1] + three[2]) / (0.4 * 0.4);
            prop_assert!((second / known - 1.0).abs() < 1e-9);
        }
    }

    /// Lanczos finds both ends of the spectrum of any diagonal matrix, the largest eigenvalue to
    /// within its residual.
    #[test]
    fn the_ends_of_any_spectrum(
        diagonal in prop::collection::vec(-3.0..8.0_f64, 2..40),
        seed in any::<u64>(),
    ) {
        let mut normal = Normal(seed);
        let start: Vec<f64> = diagonal.iter().map(|_| normal.draw()).collect();
        let product = |v: &[f64]| -> Result<Vec<f64>, StatsError> {
            Ok(v.iter().zip(&diagonal).map(|(v, d)| v * d).collect())
        };
        let exact = Spectrum { eigenvalues: 1, products: diagonal.len(), tolerance: 1e-6 };
        let found = lanczos(&start, &exact, product).unwrap();
        let largest = diagonal.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let smallest = diagonal.iter().copied().fold(f64::INFINITY, f64::min);
        prop_assert_eq!(found.verdict, Converged::Yes);
        prop_assert!((found.eigenvalues[0].value - largest).abs() < 1e-4, "{:?}", found);
        prop_assert!(found.eigenvalues[0].value <= largest + 1e-9);
        prop_assert!(found.smallest.value >= smallest - 1e-9);
    }
}
