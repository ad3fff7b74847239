//! Result of a search by short cycles, [`PeakSearch`]: a part of `range_test.json`.

use onecycle::range_test::Suggestion;
use onecycle_plot::{
    format::{percent, significant},
    table::align,
};
use serde::{Deserialize, Serialize};

use super::trial::Trial;

/// The short cycles and the peak that they suggest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeakSearch {
    /// Peak of the first cycle, from the range test.
    pub start: f64,
    /// Updates of each cycle.
    pub steps: u64,
    /// Suggested peak for the run.
    pub answer: Suggestion,
    /// One cycle per peak and seed, in the order in which they were made.
    pub cycles: Vec<Trial>,
}

impl PeakSearch {
    /// Updates made in all cycles.
    pub fn updates(&self) -> u64 {
        self.cycles.iter().map(Trial::updates).sum()
    }

    /// Time of all cycles, in seconds.
    pub fn seconds(&self) -> f64 {
        self.cycles.iter().map(|cycle| cycle.seconds).sum()
    }

    /// A table with one line per cycle, the lowest peak first.
    pub fn table(&self) -> String {
        let header = ["short cycle", "lr_max", "seed", "held-out loss", "accuracy"];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        let mut cycles: Vec<&Trial> = self.cycles.iter().collect();
        cycles.sort_by(|a, b| a.lr_max.total_cmp(&b.lr_max).then(a.seed.cmp(&b.seed)));
        rows.extend(cycles.into_iter().map(|trial| {
            let (loss, accuracy) = match (trial.diverged, trial.judged) {
                (None, Some(score)) => (significant(trial.loss()), percent(score.accuracy)),
                (Some(step), _) => (format!("diverged at step {step}"), "–".to_owned()),
                _ => ("–".to_owned(), "–".to_owned()),
            };
            vec![
                format!("{} updates", trial.steps),
                significant(trial.lr_max),
                trial.seed.to_string(),
                loss,
                accuracy,
            ]
        }));
        align(&rows)
    }
}
