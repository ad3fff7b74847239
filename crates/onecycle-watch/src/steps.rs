//! The updates of a run in memory: [`Steps`], and the part of them that a page shows: [`Window`].

use onecycle::{Plan, not_finite};
use serde::{Deserialize, Serialize};

use crate::downsample::min_max;

/// Smoothing averages the loss over this part of the visible updates.
const SMOOTHING: usize = 80;

/// Columns of `steps.jsonl`.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    step: Vec<u64>,
    loss: Vec<f64>,
    lr: Vec<f64>,
    momentum: Vec<f64>,
    batch_size: u64,
    /// `sums[i]`: sum and number of the finite losses before row `i`.
    sums: Vec<(f64, u32)>,
}

/// The fields of a line that are shown.
#[derive(Deserialize)]
struct Line {
    step: u64,
    #[serde(with = "not_finite")]
    lr: f64,
    #[serde(with = "not_finite::optional", default)]
    momentum: Option<f64>,
    batch_size: u64,
    #[serde(with = "not_finite")]
    loss: f64,
}

/// Quantity on the horizontal axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Axis {
    /// Updates made.
    #[default]
    Steps,
    /// Passes over the training set.
    Epochs,
}

/// The visible part of the horizontal axis.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Window {
    /// What it shows.
    pub(crate) axis: Axis,
    /// First and last value; `None` shows everything.
    pub(crate) range: Option<(f64, f64)>,
    /// Buckets of the downsampling, about one per pixel.
    pub(crate) buckets: usize,
}

/// Columns of points to draw. Values that are not finite become `null`.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Points {
    /// Updates made.
    pub(crate) step: Vec<u64>,
    /// Epochs done; `None` if the plan does not know them.
    pub(crate) epoch: Vec<Option<f32>>,
    /// Loss of the batch.
    pub(crate) loss: Vec<f32>,
    /// Mean of the losses around it.
    pub(crate) mean: Vec<f32>,
    /// Learning rate.
    pub(crate) lr: Vec<f32>,
    /// Momentum; not finite without one.
    pub(crate) momentum: Vec<f32>,
}

impl Steps {
    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Steps::default();
    }

    /// Adds a line of the file.
    pub(crate) fn push(&mut self, line: &[u8]) -> Result<(), serde_json::Error> {
        let line: Line = serde_json::from_slice(line)?;
        self.add(line);
        Ok(())
    }

    fn add(&mut self, line: Line) {
        let (sum, count) = self.sums.last().copied().unwrap_or_default();
        if self.sums.is_empty() {
            self.sums.push((0.0, 0));
        }
        self.sums.push(match line.loss.is_finite() {
            true => (sum + line.loss, count + 1),
            false => (sum, count),
        });
        self.step.push(line.step);
        self.loss.push(line.loss);
        self.lr.push(line.lr);
        self.momentum.push(line.momentum.unwrap_or(f64::NAN));
        self.batch_size = line.batch_size;
    }

    /// Number of updates.
    pub(crate) fn len(&self) -> usize {
        self.step.len()
    }

    /// The points in a window, at most three per bucket and two more.
    pub(crate) fn points(&self, window: &Window, plan: Option<&Plan>) -> Points {
        let (from, to) = self.rows(window, plan);
        let reach = (to - from) / SMOOTHING / 2;
        let mut points = Points::default();
        for row in min_max(&self.loss[from..to], window.buckets) {
            let row = from + row;
            let done = self.step[row] + 1;
            points.step.push(done);
            points.epoch.push(
                plan.and_then(|plan| plan.epoch_at(done))
                    .map(|epoch| epoch as f32),
            );
            points.loss.push(self.loss[row] as f32);
            points.mean.push(self.mean(row, reach) as f32);
            points.lr.push(self.lr[row] as f32);
            points.momentum.push(self.momentum[row] as f32);
        }
        points
    }

    /// First row and end of the window, with one row more on either side for the lines that leave it.
    fn rows(&self, window: &Window, plan: Option<&Plan>) -> (usize, usize) {
        let Some((low, high)) = window.range else {
            return (0, self.len());
        };
        let at = |step: u64| match window.axis {
            Axis::Steps => Some(step as f64 + 1.0),
            Axis::Epochs => plan.and_then(|plan| plan.epoch_at(step + 1)),
        };
        let below = |bound: f64| {
            self.step
                .partition_point(|step| at(*step).is_some_and(|x| x < bound))
        };
        let above = |bound: f64| {
            self.step
                .partition_point(|step| at(*step).is_some_and(|x| x <= bound))
        };
        let from = below(low).saturating_sub(1);
        (from, (above(high) + 1).clamp(from, self.len()))
    }

    /// Mean of the finite losses of at most `reach` rows on either side, as many on both: no lag.
    fn mean(&self, row: usize, reach: usize) -> f64 {
        let reach = reach.min(row).min(self.len() - 1 - row);
        let (before, after) = (self.sums[row - reach], self.sums[row + reach + 1]);
        match after.1 - before.1 {
            0 => f64::NAN,
            count => (after.0 - before.0) / f64::from(count),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;

    fn steps(losses: &[f64]) -> Steps {
        let mut steps = Steps::default();
        for (step, loss) in (0..).zip(losses) {
            steps.add(Line {
                step,
                lr: 0.1,
                momentum: None,
                batch_size: 8,
                loss: *loss,
            });
        }
        steps
    }

    #[test]
    fn a_line_is_parsed() {
        let mut steps = Steps::default();
        let line = br#"{"step":0,"epoch":0,"lr":0.1,"momentum":null,"weight_decay":0.0,"batch_size":8,"loss":"nan"}"#;
        steps.push(line).unwrap();
        assert_eq!(steps.len(), 1);
        assert!(steps.loss[0].is_nan());
        steps.push(b"{").unwrap_err();
        assert_eq!(steps.len(), 1);
    }

    #[test]
    fn a_window_shows_its_part_at_full_detail() {
        let losses: Vec<f64> = (0..100_000).map(f64::from).collect();
        let steps = steps(&losses);
        let window = |range| Window {
            range,
            buckets: 100,
            axis: Axis::Steps,
        };
        let whole = steps.points(&window(None), None);
        assert!(
            (200..=202).contains(&whole.step.len()),
            "{}",
            whole.step.len()
        );
        assert_eq!((whole.step[0], *whole.step.last().unwrap()), (1, 100_000));
        let part = steps.points(&window(Some((500.0, 520.0))), None);
        assert_eq!(part.step, (499..=521).collect::<Vec<_>>());
        let beyond = steps.points(&window(Some((2e5, 3e5))), None);
        assert_eq!(beyond.step, [100_000]);
    }

    #[test]
    fn the_mean_has_no_lag_and_skips_what_is_not_finite() {
        let mut losses: Vec<f64> = (0..1000).map(f64::from).collect();
        losses[500] = f64::NAN;
        let steps = steps(&losses);
        // A straight line stays one.
        assert_eq!(
            [0, 3, 250, 996, 999].map(|row| steps.mean(row, 6)),
            [0.0, 3.0, 250.0, 996.0, 999.0]
        );
        assert_eq!(steps.mean(500, 6), 500.0);
        assert!(steps.mean(500, 0).is_nan());
    }
}
