use std::{collections::BTreeMap, time::Instant};

use onecycle_vision::catalog;

use onecycle_train::Config;

/// Assumed number of training images of an unknown data set. Only the ratios between runs matter.
const UNKNOWN: usize = 50_000;

/// Estimates the remaining time of a study from the measured speed of its finished runs.
pub(super) struct RemainingTime {
    /// Runs to train, by index: the network and the number of images that the run processes.
    specs: BTreeMap<usize, (String, f64)>,
    /// Images processed and seconds spent, per network.
    spent: BTreeMap<String, (f64, f64)>,
    since: Instant,
    /// Fraction of the current run that was finished when it was resumed.
    from: f64,
}

impl RemainingTime {
    pub(super) fn new<'a>(specs: impl Iterator<Item = (usize, &'a Config)>) -> Self {
        RemainingTime {
            specs: specs
                .map(|(index, config)| (index, (config.model.clone(), images(config))))
                .collect(),
            spent: BTreeMap::new(),
            since: Instant::now(),
            from: 0.0,
        }
    }

    /// Starts the clock of a run of which the fraction `share` is finished.
    pub(super) fn start(&mut self, share: f64) {
        self.since = Instant::now();
        self.from = share;
    }

    /// Records the end of a run.
    pub(super) fn end(&mut self, index: usize) {
        if let Some((model, images)) = self.specs.remove(&index) {
            let (seen, seconds) = self.spent.entry(model).or_default();
            *seen += images * (1.0 - self.from);
            *seconds += self.since.elapsed().as_secs_f64();
        }
    }

    /// Seconds until all runs are finished if the fraction `share` of run `index` is finished;
    /// `None` before anything is known. Assumes the average speed for a network that was not
    /// trained yet.
    pub(super) fn seconds_left(&self, index: usize, share: f64) -> Option<f64> {
        let mut spent = self.spent.clone();
        let (model, images) = self.specs.get(&index)?;
        let (seen, seconds) = spent.entry(model.clone()).or_default();
        *seen += images * (share - self.from);
        *seconds += self.since.elapsed().as_secs_f64();
        let (all_seen, all_seconds) = spent
            .values()
            .fold((0.0, 0.0), |all, one| (all.0 + one.0, all.1 + one.1));
        if all_seen <= 0.0 {
            return None;
        }
        let left = self.specs.iter().map(|(i, (model, images))| {
            let (seen, seconds) = match spent.get(model) {
                Some((seen, seconds)) if *seen > 0.0 => (*seen, *seconds),
                _ => (all_seen, all_seconds),
            };
            let open = if *i == index { 1.0 - share } else { 1.0 };
            open * images * seconds / seen
        });
        Some(left.sum())
    }
}

/// Number of images that a run processes.
fn images(config: &Config) -> f64 {
    if let Some(steps) = config.steps {
        return steps as f64 * config.batch_size as f64;
    }
    let name = config.data.name.as_deref();
    let all = name.and_then(|name| catalog::find(name).ok());
    let all = all.map_or(UNKNOWN, |set| set.train);
    let images = match config.data.limit {
        0 => all,
        limit => limit.min(all),
    };
    config.epochs.unwrap_or(1.0) * images as f64 * (1.0 - config.data.validation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaining_time_is_proportional_to_the_images() {
        let spec = |steps| Config {
            steps: Some(steps),
            epochs: None,
            ..Config::default()
        };
        let specs = [spec(10), spec(30)];
        let mut clock = RemainingTime::new(specs.iter().enumerate());
        clock.start(0.0);
        assert_eq!(clock.seconds_left(0, 0.0), None);
        clock.since -= std::time::Duration::from_secs(10);
        // Ten seconds for half of the first run: five more steps of it and 30 of the next remain.
        let left = clock.seconds_left(0, 0.5).unwrap_or_default();
        assert!((left - 70.0).abs() < 1.0, "{left}");
        clock.since -= std::time::Duration::from_secs(10);
        clock.end(0);
        clock.start(0.0);
        let left = clock.seconds_left(1, 0.0).unwrap_or_default();
        assert!((left - 60.0).abs() < 1.0, "{left}");
    }
}
