//! The table of a study that fills up: [`Study`].

use onecycle_studies::study::{RunResult, Variant};
use serde::Serialize;

use crate::run::{Run, State};

/// A study with the statistics of its finished runs.
#[derive(Debug)]
pub(crate) struct Study {
    info: StudyInfo,
    /// Number of results that the rows were made of.
    results: usize,
}

/// A study as the page shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct StudyInfo {
    id: String,
    name: String,
    /// Runs that have begun.
    runs: usize,
    finished: usize,
    training: usize,
    rows: Vec<Row>,
}

/// The runs of one label, one per seed.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    label: String,
    runs: usize,
    finished: usize,
    diverged: usize,
    final_accuracy: Option<Interval>,
    best_accuracy: Option<Interval>,
    gap: Option<Interval>,
    steps: Option<u64>,
    seconds: Option<f64>,
    /// Final accuracy minus that of the first row, paired by seed.
    difference: Option<Interval>,
}

/// A mean with half the width of its 95 % interval, if there are at least two values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Interval {
    mean: f64,
    half_width: Option<f64>,
}

impl Study {
    pub(crate) fn new(id: String, name: String) -> Self {
        let info = StudyInfo {
            id,
            name,
            runs: 0,
            finished: 0,
            training: 0,
            rows: Vec::new(),
        };
        Study {
            info,
            results: usize::MAX,
        }
    }

    #[cfg(test)]
    pub(crate) fn name(&self) -> &str {
        &self.info.name
    }

    /// The study as the page shows it.
    pub(crate) fn info(&self) -> &StudyInfo {
        &self.info
    }

    /// Counts its runs, and renews the statistics if one has ended.
    pub(crate) fn refresh<'a>(&mut self, runs: impl Iterator<Item = &'a Run>) {
        let runs: Vec<&Run> = runs.collect();
        let results: Vec<&RunResult> = runs.iter().filter_map(|run| run.result.as_ref()).collect();
        let began = self.info.runs != runs.len();
        self.info.runs = runs.len();
        self.info.finished = results.len();
        self.info.training = runs
            .iter()
            .filter(|run| run.state() == State::Training)
            .count();
        if self.results != results.len() || began {
            self.results = results.len();
            let labels = runs.iter().filter_map(|run| run.label());
            self.info.rows = rows(labels, results.into_iter().cloned().collect());
        }
    }
}

/// One row per label, in the order in which the labels appear.
fn rows(labels: impl Iterator<Item = String>, results: Vec<RunResult>) -> Vec<Row> {
    let variants = Variant::group(results);
    let mut rows: Vec<Row> = Vec::new();
    for label in labels {
        if let Some(row) = rows.iter_mut().find(|row| row.label == label) {
            row.runs += 1;
            continue;
        }
        let variant = variants.iter().find(|variant| variant.label == label);
        let summary = variant.map(|variant| variant.summary(&[]));
        let first = rows.first().map(|row| row.label.as_str());
        let first = variants
            .iter()
            .find(|variant| Some(variant.label.as_str()) == first);
        let difference = variant
            .zip(first)
            .and_then(|(variant, first)| variant.difference(first, |run| run.final_accuracy));
        let of = |mean: onecycle_stats::SampleMean| Interval {
            mean: mean.mean,
            half_width: mean.half_width,
        };
        rows.push(Row {
            label,
            runs: 1,
            finished: summary.as_ref().map_or(0, |summary| summary.seeds.len()),
            diverged: summary.as_ref().map_or(0, |summary| summary.diverged),
            final_accuracy: summary.as_ref().map(|summary| of(summary.final_accuracy)),
            best_accuracy: summary.as_ref().map(|summary| of(summary.best_accuracy)),
            gap: summary
                .as_ref()
                .and_then(|summary| summary.generalisation_gap)
                .map(of),
            steps: summary.as_ref().map(|summary| summary.steps),
            seconds: summary.as_ref().map(|summary| summary.seconds.mean),
            difference: difference.map(of),
        });
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn result(label: &str, seed: u64, final_accuracy: f64) -> RunResult {
        RunResult {
            label: label.to_owned(),
            seed,
            final_accuracy,
            best_accuracy: final_accuracy,
            generalisation_gap: 0.1,
            steps: 10,
            seconds: 2.0,
            diverged: None,
            epochs: Vec::new(),
            diagnoses: Vec::new(),
            run: PathBuf::new(),
        }
    }

    #[test]
    fn intervals_appear_with_the_second_seed() {
        let labels = || ["a", "b", "c", "a", "b"].map(str::to_owned).into_iter();
        let results = vec![
            result("a", 1, 0.5),
            result("b", 1, 0.6),
            result("a", 2, 0.7),
        ];
        let rows = rows(labels(), results);
        let shape: Vec<_> = rows
            .iter()
            .map(|row| (row.label.as_str(), row.runs, row.finished))
            .collect();
        assert_eq!(shape, [("a", 2, 2), ("b", 2, 1), ("c", 1, 0)]);
        let interval = |row: &Row| {
            row.final_accuracy
                .map(|accuracy| accuracy.half_width.is_some())
        };
        assert_eq!(
            rows.iter().map(interval).collect::<Vec<_>>(),
            [Some(true), Some(false), None]
        );
        assert_eq!(rows[0].difference, None);
        // Of independent samples, because the seeds differ: 0.6 - (0.5 + 0.7) / 2.
        let difference = rows[1].difference.map(|difference| difference.mean);
        assert!(difference.is_some_and(|difference| difference.abs() < 1e-12));
    }
}
