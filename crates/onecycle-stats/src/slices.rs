use crate::{StatsError, check, vector::norm};

/// A range of consecutive weights: one tensor of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Number of weights.
    pub len: usize,
    /// Weights per filter. 0 sets the block's direction to zero, as Li et al. do for biases and
    /// batch-norm parameters.
    pub filter: usize,
}

/// Filter-normalises a direction in weight space: Li et al., "Visualizing the Loss Landscape of
/// Neural Nets" (2018, arXiv:1712.09913), section 4:
///
/// ```text
/// dᵢⱼ ← dᵢⱼ ‖θᵢⱼ‖ / ‖dᵢⱼ‖
/// ```
///
/// for filter j of layer i. With ReLU or batch norm, scaling the filters up in one layer and down
/// in the next does not change the network's output, but makes it look flatter along a direction of
/// fixed length. Filter normalisation removes this effect. The length of `direction` does not
/// matter. A filter whose direction is 0 stays 0.
///
/// ```
/// use onecycle_stats::{Block, filter_normalise};
/// let mut direction = vec![3.0, 4.0, 0.0, -7.0, 9.0];
/// let weights = [10.0, 0.0, 2.0, 0.0, 5.0];
/// // Two filters of two weights, and a bias.
/// let blocks = [Block { len: 4, filter: 2 }, Block { len: 1, filter: 0 }];
/// filter_normalise(&mut direction, &weights, &blocks)?;
/// assert_eq!(direction, [6.0, 8.0, 0.0, -2.0, 0.0]);
/// # Ok::<(), onecycle_stats::StatsError>(())
/// ```
///
/// # Errors
/// Returns an error if the lists differ in length, an entry is not finite, or a block's length is
/// not a multiple of its filter size.
pub fn filter_normalise(
    direction: &mut [f64],
    weights: &[f64],
    blocks: &[Block],
) -> Result<(), StatsError> {
    check::vector("weights", weights, weights.len())?;
    check::vector("direction", direction, weights.len())?;
    let total = blocks.iter().map(|block| block.len).sum();
    check::count("weights", weights.len(), total)?;
    let (mut direction, mut weights) = (direction, weights);
    for block in blocks {
        let (d, rest) = direction.split_at_mut(block.len);
        let (w, others) = weights.split_at(block.len);
        (direction, weights) = (rest, others);
        if block.filter == 0 {
            d.fill(0.0);
            continue;
        }
        check::ensure(
            block.len.is_multiple_of(block.filter),
            "weights of a filter",
            block.filter as f64,
            "a number that divides the weights of its block",
        )?;
        for (d, w) in d
            .chunks_exact_mut(block.filter)
            .zip(w.chunks_exact(block.filter))
        {
            let length = norm(d);
            let factor = match length > 0.0 {
                true => norm(w) / length,
                false => 0.0,
            };
            d.iter_mut().for_each(|d| *d *= factor);
        }
    }
    Ok(())
}

/// The coordinates of a slice: `points` values from `-reach` to `reach` with equal spacing. The
/// middle one is 0.
///
/// # Errors
/// Returns an error if `points` is even or below 3, or if `reach` is not positive.
pub fn slice_points(points: usize, reach: f64) -> Result<Vec<f64>, StatsError> {
    check::positive("reach", reach)?;
    check::ensure(
        points >= 3 && points % 2 == 1,
        "points",
        points as f64,
        "an odd number of at least 3",
    )?;
    let half = (points / 2) as f64;
    Ok((0..points)
        .map(|i| reach * ((i as f64 - half) / half))
        .collect())
}

/// The weights moved along a direction: `weights + alpha * direction`.
pub fn moved(weights: &[f64], direction: &[f64], alpha: f64) -> Vec<f64> {
    let pairs = weights.iter().zip(direction);
    pairs.map(|(weight, d)| weight + alpha * d).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_even_and_meets_the_weights_exactly() {
        let points = slice_points(5, 0.5).unwrap();
        assert_eq!(points, [-0.5, -0.25, 0.0, 0.25, 0.5]);
        assert_eq!(slice_points(21, 0.3).unwrap()[10], 0.0);
        assert_eq!(moved(&[1.0, 2.0], &[2.0, -1.0], 0.5), [2.0, 1.5]);
        for (points, reach) in [(4, 1.0), (1, 1.0), (5, 0.0), (5, f64::NAN)] {
            assert!(slice_points(points, reach).is_err(), "{points}, {reach}");
        }
    }

    #[test]
    fn wrong_blocks_are_named() {
        let normalise = |blocks: &[Block]| filter_normalise(&mut [1.0; 4], &[1.0; 4], blocks);
        assert!(normalise(&[Block { len: 4, filter: 3 }]).is_err());
        assert!(normalise(&[Block { len: 3, filter: 3 }]).is_err());
        assert!(normalise(&[Block { len: 4, filter: 4 }]).is_ok());
        let blocks = [Block { len: 2, filter: 1 }];
        assert!(filter_normalise(&mut [1.0; 3], &[1.0; 2], &blocks).is_err());
    }
}
