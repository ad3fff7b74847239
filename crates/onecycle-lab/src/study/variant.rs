use onecycle::estimate::Estimate;
use serde::{Deserialize, Serialize};

use super::CellResult;
use crate::{
    figure::{Axis, Colour, Figure, Series, Style},
    record::EpochRecord,
};

/// More epochs than this are drawn without markers.
const MARKERS: usize = 40;

/// The runs of one label, a run a seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// The label.
    pub label: String,
    /// Its runs, at least one, in the order of the seeds.
    pub runs: Vec<CellResult>,
}

/// A [`Variant`] in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VariantSummary {
    /// The label.
    pub label: String,
    /// Seeds of its runs.
    pub seeds: Vec<u64>,
    /// Runs that diverged. They count with the accuracy of guessing.
    pub diverged: usize,
    /// Validation accuracy at the end, 0 to 1.
    pub final_accuracy: Estimate,
    /// Largest validation accuracy after any epoch, 0 to 1.
    pub best_accuracy: Estimate,
    /// Validation less training loss of the last epoch, over the runs that did not diverge.
    pub generalisation_gap: Option<Estimate>,
    /// Validation loss of the last epoch, over the runs that did not diverge.
    pub val_loss: Option<Estimate>,
    /// Updates of a run that came to its end.
    pub steps: u64,
    /// Seconds of training a run.
    pub seconds: Estimate,
    /// When accuracies were reached.
    pub reached: Vec<ReachedSummary>,
}

/// When an accuracy was reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReachedSummary {
    /// Validation accuracy, 0 to 1.
    pub accuracy: f64,
    /// Runs that reached it. The estimates are over these alone.
    pub runs: usize,
    /// Updates made by the end of the first epoch with it.
    pub steps: Option<Estimate>,
    /// Seconds of training by then.
    pub seconds: Option<Estimate>,
}

/// What curves are drawn over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Along {
    /// Updates made.
    Steps,
    /// Epochs done: images seen, where batch sizes differ.
    Epochs,
}

impl Variant {
    /// Results by their labels, in the order in which these first appear.
    pub fn group(results: Vec<CellResult>) -> Vec<Variant> {
        let mut variants: Vec<Variant> = Vec::new();
        for result in results {
            match variants.iter_mut().find(|v| v.label == result.label) {
                Some(variant) => variant.runs.push(result),
                None => variants.push(Variant {
                    label: result.label.clone(),
                    runs: vec![result],
                }),
            }
        }
        variants
    }

    /// The numbers, with when each of `accuracies` (0 to 1) was reached.
    pub fn summary(&self, accuracies: &[f64]) -> VariantSummary {
        let sound: Vec<&CellResult> = self
            .runs
            .iter()
            .filter(|run| run.diverged.is_none())
            .collect();
        let of_sound = |value: fn(&CellResult) -> Option<f64>| {
            let values: Vec<f64> = sound.iter().filter_map(|run| value(run)).collect();
            Estimate::of(&values)
        };
        VariantSummary {
            label: self.label.clone(),
            seeds: self.runs.iter().map(|run| run.seed).collect(),
            diverged: self.runs.len() - sound.len(),
            final_accuracy: self.estimate(|run| run.final_accuracy),
            best_accuracy: self.estimate(|run| run.best_accuracy),
            generalisation_gap: of_sound(|run| Some(run.generalisation_gap)),
            val_loss: of_sound(|run| Some(run.epochs.last()?.val_loss)),
            steps: self.runs.iter().map(|run| run.steps).max().unwrap_or(0),
            seconds: self.estimate(|run| run.seconds),
            reached: accuracies
                .iter()
                .map(|accuracy| self.reached(*accuracy))
                .collect(),
        }
    }

    /// The estimate of a number over the seeds.
    pub fn estimate(&self, value: impl Fn(&CellResult) -> f64) -> Estimate {
        let values: Vec<f64> = self.runs.iter().map(value).collect();
        // There is at least one run.
        Estimate::of(&values).unwrap_or(Estimate {
            mean: f64::NAN,
            half_width: None,
            n: 0,
        })
    }

    /// The estimate of how much larger a number is here than in `other`, seed by seed over the seeds that both have.
    pub fn difference(
        &self,
        other: &Variant,
        value: impl Fn(&CellResult) -> f64,
    ) -> Option<Estimate> {
        let pairs = self.runs.iter().filter_map(|run| {
            let twin = other.runs.iter().find(|twin| twin.seed == run.seed)?;
            Some((value(run), value(twin)))
        });
        let (own, others): (Vec<f64>, Vec<f64>) = pairs.unzip();
        Estimate::of_difference(&own, &others)
    }

    fn reached(&self, accuracy: f64) -> ReachedSummary {
        let reached: Vec<_> = self
            .runs
            .iter()
            .filter_map(|run| run.reached(accuracy))
            .collect();
        let steps: Vec<f64> = reached.iter().map(|reached| reached.steps as f64).collect();
        let seconds: Vec<f64> = reached.iter().map(|reached| reached.seconds).collect();
        ReachedSummary {
            accuracy,
            runs: reached.len(),
            steps: Estimate::of(&steps),
            seconds: Estimate::of(&seconds),
        }
    }

    /// A curve through the means after each epoch, over a band from the lowest to the highest seed. An epoch counts the runs
    /// that came to it.
    pub fn series(
        &self,
        name: &str,
        along: Along,
        value: impl Fn(&EpochRecord) -> f64,
    ) -> Vec<Series> {
        let longest = self
            .runs
            .iter()
            .map(|run| run.epochs.len())
            .max()
            .unwrap_or(0);
        let (mut x, mut mean, mut low, mut high) = (vec![], vec![], vec![], vec![]);
        for epoch in 0..longest {
            let records = self.runs.iter().filter_map(|run| run.epochs.get(epoch));
            let values: Vec<f64> = records.clone().map(&value).collect();
            let steps = records.map(|record| record.steps).max().unwrap_or(0);
            x.push(match along {
                Along::Steps => steps as f64,
                Along::Epochs => epoch as f64 + 1.0,
            });
            mean.push(values.iter().sum::<f64>() / values.len() as f64);
            low.push(values.iter().copied().fold(f64::INFINITY, f64::min));
            high.push(values.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        }
        if x.is_empty() {
            return Vec::new();
        }
        let style = match longest > MARKERS {
            true => Style::Line,
            false => Style::LinePoints,
        };
        let line = Series::line(name, x.clone(), mean).style(style);
        if self.runs.len() < 2 {
            return vec![line];
        }
        let band = Series::line(format!("{name}, {} seeds", self.runs.len()), x, low);
        vec![band.style(Style::Band { upper: high }), line]
    }
}

/// Curves of several variants, a colour each.
pub fn curves(
    name: &str,
    title: &str,
    (along, y): (Along, Axis),
    variants: &[(&str, &Variant)],
    value: impl Fn(&EpochRecord) -> f64,
) -> Figure {
    let x = Axis::linear(match along {
        Along::Steps => "steps made",
        Along::Epochs => "epochs done",
    });
    let mut figure = Figure::new(name, title, x, y);
    for ((name, variant), colour) in variants.iter().zip(Colour::ORDER.into_iter().cycle()) {
        let series = variant.series(name, along, &value);
        figure
            .series
            .extend(series.into_iter().map(|series| series.colour(colour)));
    }
    if variants.iter().any(|(_, variant)| variant.runs.len() > 1) {
        figure.note = Some(
            "Lines: means over the seeds; areas: from the lowest to the highest seed.".to_owned(),
        );
    }
    figure
}
