//! What a rule's answers cost against the best rate of a grid.

use serde::{Deserialize, Serialize};

/// The mean accuracy over seeds at one peak.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GridPoint {
    /// The peak.
    pub lr_max: f64,
    /// Share of held-out images classified rightly at the end, one a seed; that of guessing where the cycle diverged.
    pub accuracies: Vec<f64>,
    /// Their mean.
    pub mean: f64,
}

impl GridPoint {
    /// A point from the accuracies of its seeds.
    pub fn new(lr_max: f64, accuracies: Vec<f64>) -> Self {
        let mean = accuracies.iter().sum::<f64>() / accuracies.len() as f64;
        GridPoint {
            lr_max,
            accuracies,
            mean,
        }
    }
}

/// The regret of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Regret {
    /// Best mean accuracy of the grid less the mean accuracy at the answer, 0 to 1.
    pub share: f64,
    /// The answer lies outside the grid. The accuracy at the grid's end stands for it, so the regret is at least this.
    pub at_least: bool,
}

/// The regret of the peak `lr`, by the grid's means and straight lines on log-lr between them. Points stand by rising rate.
///
/// The mean over seeds at both ends: what the answer is worth, not how lucky its seed was. None without a point.
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
    fn straight_lines_on_log_lr() {
        let at = |lr| regret(&grid(), lr).unwrap();
        assert!(at(0.2).share.abs() < 1e-12);
        assert!((at(0.1).share - 0.1).abs() < 1e-12);
        let middle = at((0.2_f64 * 0.4).sqrt());
        assert!((middle.share - 0.4).abs() < 1e-9 && !middle.at_least);
    }

    #[test]
    fn outside_the_grid_it_is_at_least_the_ends() {
        let below = regret(&grid(), 0.01).unwrap();
        let above = regret(&grid(), 3.0).unwrap();
        assert!(below.at_least && (below.share - 0.1).abs() < 1e-12);
        assert!(above.at_least && (above.share - 0.8).abs() < 1e-12);
        assert_eq!(regret(&[], 0.1), None);
    }
}
