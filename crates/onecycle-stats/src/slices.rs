use crate::{StatsError, check, vector::norm};

/// Weights that stand side by side: one tensor of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Its number of weights.
    pub len: usize,
    /// Weights of a filter of it; 0 leaves the block out of directions, as Li et al. do with biases and the weights of batch
    /// norm.
    pub filter: usize,
}

/// Filter-normalises a direction in the space of weights: Li et al., "Visualizing the Loss Landscape of Neural Nets" (2018,
/// arXiv:1712.09913), section 4:
///
/// ```text
/// dᵢⱼ ← dᵢⱼ ‖θᵢⱼ‖ / ‖dᵢⱼ‖
/// ```
///
/// for filter j of layer i. A network whose filters are scaled up in one layer and down in the next computes the same with
/// ReLU or batch norm, but looks flatter along a direction of fixed length; along a filter-normalised one it does not. The
/// length of the direction given does not matter. A filter of the direction that is 0 stays 0.
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
/// Lists of unequal length, entries that are not finite, blocks that filters do not fill.
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

/// The places of a slice: `points` of them from `-reach` to `reach`, evenly, the middle one 0.
///
/// # Errors
/// An even number of points, fewer than 3, or a reach that is not above 0.
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

/// The weights, moved along a direction: `weights + alpha direction`.
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
