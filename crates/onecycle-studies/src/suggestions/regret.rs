//! Regret of a suggestion: the accuracy that it loses against the best rate of a grid.

use serde::{Deserialize, Serialize};

/// The accuracy of all seeds at one peak.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GridPoint {
    /// The peak learning rate.
    pub lr_max: f64,
    /// Final accuracy on held-out images for each seed, 0 to 1; the accuracy of guessing if the
    /// cycle diverged.
    pub accuracies: Vec<f64>,
    /// Their mean.
    pub mean: f64,
}

impl GridPoint {
    /// Makes a point from the accuracies of its seeds.
    pub fn new(lr_max: f64, accuracies: Vec<f64>) -> Self {
        let mean = accuracies.iter().sum::<f64>() / accuracies.len() as f64;
        GridPoint {
            lr_max,
            accuracies,
            mean,
        }
    }
}

/// The regret of one suggestion.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Regret {
    /// Best mean accuracy of the grid minus the mean accuracy at the suggestion, 0 to 1.
    pub share: f64,
    /// Whether the suggestion lies outside the grid. The accuracy at the end of the grid then
    /// stands in, so the true regret may be larger.
    pub at_least: bool,
}

/// The regret of the peak `lr`. The accuracy between grid points is interpolated linearly in
/// log(lr); the points must be sorted by rate. Returns `None` for an empty grid.
///
/// Both accuracies are means over the seeds, so the regret measures the suggestion and not the luck
/// of its seed.
pub fn regret(grid: &[GridPoint], lr: f64) -> Option<Regret> {
    let best = grid.iter().map(|point| point.mean).fold(f64::NAN, f64::max);
    let (first, last) = (grid.first()?, grid.last()?);
    let (accuracy, at_least) = if lr < first.lr_max {
        (first.mean, true)
    } else if lr > last.lr_max {
        (last.mean, true)
    } else {
        let pair = grid.windows(2).find(|pair| lr <= pair[1].lr_max);
        let accuracy = pair.map_or(first.mean, |pair| {
            let share = (lr / pair[0].lr_max).ln() / (pair[1].lr_max / pair[0].lr_max).ln();
            pair[0].mean + share * (pair[1].mean - pair[0].mean)
        });
        (accuracy, false)
    };
    Some(Regret {
        share: best - accuracy,
        at_least,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn grid() -> Vec<GridPoint> {
        let point = |lr, accuracy| GridPoint::new(lr, vec![accuracy - 0.01, accuracy + 0.01]);
        vec![point(0.1, 0.8), point(0.2, 0.9), point(0.4, 0.1)]
    }

    #[test]
    fn interpolates_linearly_in_log_lr() {
        let at = |lr| regret(&grid(), lr).unwrap();
        assert!(at(0.2).share.abs() < 1e-12);
        assert!((at(0.1).share - 0.1).abs() < 1e-12);
        let middle = at((0.2_f64 * 0.4).sqrt());
        assert!((middle.share - 0.4).abs() < 1e-9 && !middle.at_least);
    }

    #[test]
    fn outside_the_grid_regret_is_a_lower_bound() {
        let below = regret(&grid(), 0.01).unwrap();
        let above = regret(&grid(), 3.0).unwrap();
        assert!(below.at_least && (below.share - 0.1).abs() < 1e-12);
        assert!(above.at_least && (above.share - 0.8).abs() < 1e-12);
        assert_eq!(regret(&[], 0.1), None);
    }
}
