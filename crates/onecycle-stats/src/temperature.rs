use crate::{StatsError, check};

/// Learning rate over batch size, `lr / B`. The width of the minima that SGD finds depends on the
/// two only through this ratio (times the covariance of the gradients). Jastrzębski et al., "Three
/// Factors Influencing Minima in SGD" (2017, arXiv:1711.04623), section 2.2.
///
/// # Errors
/// Returns an error if the rate is negative or not finite, or if the batch size is 0.
pub fn lr_per_sample(lr: f64, batch_size: u64) -> Result<f64, StatsError> {
    check::not_negative("lr", lr)?;
    check::ensure(batch_size > 0, "batch_size", 0.0, "at least 1")?;
    Ok(lr / batch_size as f64)
}

/// SGD's scale of random fluctuations, `g = lr N / (B (1 - m))`, for `N` training samples and
/// momentum `m`.
///
/// Smith & Le, "A Bayesian Perspective on Generalization and Stochastic Gradient Descent" (2018,
/// arXiv:1710.06451), section 4, give `lr (N / B - 1)`, which is `lr N / B` if `B` is far below
/// `N`. The factor for momentum is from Smith et al., "Don't Decay the Learning Rate, Increase the
/// Batch Size" (2018, arXiv:1711.00489), section 3.
///
/// ```
/// assert_eq!(onecycle_stats::sgd_temperature(0.1, 128, 60_000, 0.9)?.round(), 469.0);
/// # Ok::<(), onecycle_stats::StatsError>(())
/// ```
///
/// # Errors
/// Returns an error if the rate, batch size or momentum is out of range.
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
