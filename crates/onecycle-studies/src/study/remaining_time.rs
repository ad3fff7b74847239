use std::{collections::BTreeMap, time::Instant};

use onecycle_vision::catalog;

use onecycle_train::Config;

/// Training images of a data set that is not known by name. Only the ratios between cells matter.
const UNKNOWN: usize = 50_000;

/// Says how long a study will still take, from the speed of what was trained.
pub(super) struct RemainingTime {
    /// Cells to train, by their index: network and images to be seen.
    specs: BTreeMap<usize, (String, f64)>,
    /// Images seen and seconds spent, a network.
    spent: BTreeMap<String, (f64, f64)>,
    since: Instant,
    /// Share of the current cell that was done when it was taken up.
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

    /// A cell begins with this share of it done.
    pub(super) fn start(&mut self, share: f64) {
        self.since = Instant::now();
        self.from = share;
    }

    /// A cell is done.
    pub(super) fn end(&mut self, index: usize) {
        if let Some((model, images)) = self.specs.remove(&index) {
            let (seen, seconds) = self.spent.entry(model).or_default();
            *seen += images * (1.0 - self.from);
            *seconds += self.since.elapsed().as_secs_f64();
        }
    }

    /// Seconds until all cells are done, `share` of cell `index` being so; none before anything is known. A network that was
    /// not trained yet counts as fast as the others.
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

/// Images that a run sees.
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
    fn what_is_left_is_in_proportion_to_the_images() {
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
        // Half of the first in ten seconds: five steps more of it, and 30.
        let left = clock.seconds_left(0, 0.5).unwrap_or_default();
        assert!((left - 70.0).abs() < 1.0, "{left}");
        clock.since -= std::time::Duration::from_secs(10);
        clock.end(0);
        clock.start(0.0);
        let left = clock.seconds_left(1, 0.0).unwrap_or_default();
        assert!((left - 60.0).abs() < 1.0, "{left}");
    }
}
