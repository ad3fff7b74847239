use crate::{StatsError, check};

/// Learning rate over batch size, `lr / B`: the width of the minima that SGD ends in depends on the two through this ratio
/// alone, times the gradients' covariance. Jastrzębski et al., "Three Factors Influencing Minima in SGD" (2017,
/// arXiv:1711.04623), section 2.2.
///
/// # Errors
/// A negative or non-finite rate, or a batch of 0.
pub fn lr_per_sample(lr: f64, batch_size: u64) -> Result<f64, StatsError> {
    check::not_negative("lr", lr)?;
    check::ensure(batch_size > 0, "batch_size", 0.0, "at least 1")?;
    Ok(lr / batch_size as f64)
}

/// SGD's scale of random fluctuations, `g = lr N / (B (1 - m))`, with `N` training samples and momentum `m`.
///
/// Smith & Le, "A Bayesian Perspective on Generalization and Stochastic Gradient Descent" (2018, arXiv:1710.06451),
/// section 4, have `lr (N / B - 1)`, which is `lr N / B` for `B` far below `N`; the factor of momentum is that of Smith et
/// al., "Don't Decay the Learning Rate, Increase the Batch Size" (2018, arXiv:1711.00489), section 3. Here it is the form
/// for small batches with momentum.
///
/// ```
/// assert_eq!(onecycle_stats::sgd_temperature(0.1, 128, 60_000, 0.9)?.round(), 469.0);
/// # Ok::<(), onecycle_stats::StatsError>(())
/// ```
///
/// # Errors
/// A rate, batch size or momentum out of range.
pub fn sgd_temperature(
    lr: f64,
    batch_size: u64,
    samples: u64,
    momentum: f64,
) -> Result<f64, StatsError> {
    check::momentum("momentum", momentum)?;
    Ok(lr_per_sample(lr, batch_size)? * samples as f64 / (1.0 - momentum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_input_is_named() {
        assert!(sgd_temperature(0.1, 0, 10, 0.9).is_err());
        assert!(sgd_temperature(0.1, 1, 10, 1.0).is_err());
    }
}
