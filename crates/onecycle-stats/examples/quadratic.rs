//! Every statistic of this crate on a problem with known answers: the loss `4 x² / 2 + y² / 2`,
//! with noisy gradients.
//!
//! ```text
//! cargo run -p onecycle-stats --example quadratic
//! ```

use onecycle_stats::{
    Ascent, GradientNoise, SampleMean, Spectrum, StatsError, epsilon_sharpness, lanczos,
};

/// Diagonal of the Hessian.
const CURVATURE: [f64; 2] = [4.0, 1.0];

fn main() -> Result<(), StatsError> {
    // Accuracy of two policies with the same three seeds: the paired difference has the narrower
    // interval.
    let (new, old) = ([0.917, 0.921, 0.919], [0.914, 0.9195, 0.9151]);
    for (name, mean) in [
        ("new policy", SampleMean::of(&new)),
        ("difference", SampleMean::of_difference(&new, &old)),
    ] {
        if let Some((mean, (low, high))) = mean.and_then(|mean| Some((mean, mean.interval()?))) {
            println!(
                "{name}: {:.4}, 95 % interval {low:.4} to {high:.4}",
                mean.mean
            );
        }
    }

    // Gradients at (1, 1) with independent noise of variance 1 in each entry: |G|² = 17, tr Σ = 2.
    let mut noise = GradientNoise::new(1)?;
    let mut random = 1_u64;
    for _ in 0..8 {
        noise.begin_group();
        for _ in 0..64 {
            noise.push(&CURVATURE.map(|curvature| curvature + normal(&mut random)))?;
        }
    }
    let estimate = noise.over_micro_batches()?;
    let (gradient, trace) = (estimate.gradient.value, estimate.trace.value);
    println!(
        "gradient noise: |G|² = {gradient:.2}, tr Σ = {trace:.2} ({})",
        estimate.verdict
    );

    // The eigenvalues of the Hessian, from products with vectors.
    let product = |v: &[f64]| -> Result<Vec<f64>, StatsError> { Ok(hessian_product(v)) };
    let curvature = lanczos(&[1.0, 1.0], &Spectrum::largest(2), product)?;
    for eigenvalue in &curvature.eigenvalues {
        println!(
            "eigenvalue {:.4} ± {:.1e}",
            eigenvalue.value, eigenvalue.residual
        );
    }

    // The rise of the loss in a small box around the minimum.
    let evaluate = |x: &[f64]| -> Result<(f64, Vec<f64>), StatsError> {
        let gradient = hessian_product(x);
        let loss = x.iter().zip(&gradient).map(|(x, g)| x * g / 2.0).sum();
        Ok((loss, gradient))
    };
    let ascent = Ascent {
        epsilon: 0.1,
        ..Ascent::default()
    };
    let sharpness = epsilon_sharpness(&[0.0, 0.0], &[1.0, 1.0], &ascent, evaluate)?;
    println!(
        "ε-sharpness {:.2} % ({})",
        sharpness.sharpness, sharpness.verdict
    );
    Ok(())
}

fn hessian_product(v: &[f64]) -> Vec<f64> {
    v.iter()
        .zip(CURVATURE)
        .map(|(v, curvature)| curvature * v)
        .collect()
}

/// A pseudo-random number with mean 0 and variance 1: the sum of twelve uniform ones.
fn normal(random: &mut u64) -> f64 {
    let uniform = || {
        // Knuth's MMIX generator.
        *random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (*random >> 11) as f64 / (1_u64 << 53) as f64
    };
    std::iter::repeat_with(uniform).take(12).sum::<f64>() - 6.0
}
