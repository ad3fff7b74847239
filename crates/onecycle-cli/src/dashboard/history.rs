//! What a dashboard remembers of the updates.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Most values of a [`History`]: a curve has two per column of the terminal.
const MOST: usize = 512;

/// A series of any length as at most [`MOST`] means of equally many neighbours.
#[derive(Debug, Default)]
pub(super) struct History {
    means: Vec<f64>,
    /// Sum and number of the values since the last mean.
    open: (f64, usize),
    /// Values per mean, a power of two; 0 counts as 1.
    per_mean: usize,
}

impl History {
    pub(super) fn push(&mut self, value: f64) {
        self.open = (self.open.0 + value, self.open.1 + 1);
        if self.open.1 < self.per_mean.max(1) {
            return;
        }
        self.means.push(self.open.0 / self.open.1 as f64);
        self.open = (0.0, 0);
        if self.means.len() == MOST {
            self.means = self
                .means
                .chunks(2)
                .map(|pair| pair.iter().sum::<f64>() / pair.len() as f64)
                .collect();
            self.per_mean = 2 * self.per_mean.max(1);
        }
    }

    pub(super) fn values(&self) -> &[f64] {
        &self.means
    }
}

/// Time over which [`Speed`] measures.
const WINDOW: Duration = Duration::from_secs(5);

/// Images per second over the last seconds.
#[derive(Debug, Default)]
pub(super) struct Speed {
    /// Time after an update, and its images.
    updates: VecDeque<(Instant, u64)>,
}

impl Speed {
    /// An update of this many images was made now.
    pub(super) fn add(&mut self, images: u64) {
        let now = Instant::now();
        self.updates.push_back((now, images));
        let old = |(time, _): &(Instant, u64)| now.duration_since(*time) > WINDOW;
        while self.updates.len() > 2 && self.updates.front().is_some_and(old) {
            self.updates.pop_front();
        }
    }

    /// `None` before the second update.
    pub(super) fn images_per_second(&self) -> Option<f64> {
        let (first, last) = (self.updates.front()?.0, self.updates.back()?.0);
        let images: u64 = self.updates.iter().skip(1).map(|(_, images)| images).sum();
        let seconds = last.duration_since(first).as_secs_f64();
        (seconds > 0.0).then(|| images as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_series_keeps_its_shape() {
        let mut history = History::default();
        let count = 100_000;
        for value in 0..count {
            history.push(f64::from(value));
        }
        let values = history.values();
        assert!((MOST / 2..MOST).contains(&values.len()), "{}", values.len());
        for (index, value) in values.iter().enumerate() {
            let place = (index as f64 + 0.5) / values.len() as f64;
            assert!(
                (value / f64::from(count) - place).abs() < 0.01,
                "{index}: {value}"
            );
        }
    }

    #[test]
    fn a_short_series_is_kept_as_it_is() {
        let mut history = History::default();
        [3.0, 1.0, 2.0]
            .into_iter()
            .for_each(|value| history.push(value));
        assert_eq!(history.values(), [3.0, 1.0, 2.0]);
    }
}
