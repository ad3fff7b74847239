use std::collections::BTreeMap;

use onecycle_stats::SampleMean;
use serde::{Deserialize, Serialize};

use super::RunResult;
use onecycle_plot::{Axis, Colour, Figure, Series, Style};
use onecycle_train::{diagnose::Diagnosis, record::EpochRecord};

/// Curves with more epochs are drawn without markers.
const MARKERS: usize = 40;
/// With fewer pairs, the interval of paired differences is wider than that of independent samples.
const ENOUGH_PAIRS: usize = 3;

/// The runs of one label, one per seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// The label.
    pub label: String,
    /// Its runs, at least one, in the order of the seeds.
    pub runs: Vec<RunResult>,
}

/// Statistics of a [`Variant`] over its seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VariantSummary {
    /// The label.
    pub label: String,
    /// Seeds of its runs.
    pub seeds: Vec<u64>,
    /// Number of diverged runs. They count with the accuracy of guessing.
    pub diverged: usize,
    /// Final validation accuracy, 0 to 1.
    pub final_accuracy: SampleMean,
    /// Highest validation accuracy after any epoch, 0 to 1.
    pub best_accuracy: SampleMean,
    /// Validation loss minus training loss of the last epoch, over the runs that did not diverge.
    pub generalisation_gap: Option<SampleMean>,
    /// Validation loss of the last epoch, over the runs that did not diverge.
    pub val_loss: Option<SampleMean>,
    /// Updates of a complete run.
    pub steps: u64,
    /// Seconds of training per run.
    pub seconds: SampleMean,
    /// Steps and time until the requested accuracies.
    #[serde(rename = "reached")]
    pub time_to_accuracy: Vec<TimeToAccuracySummary>,
}

/// Steps and time until an accuracy, over the seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimeToAccuracySummary {
    /// Validation accuracy, 0 to 1.
    pub accuracy: f64,
    /// Number of runs that reached it. The means are over these runs only.
    pub runs: usize,
    /// Updates until the end of the first epoch with this accuracy.
    pub steps: Option<SampleMean>,
    /// Seconds of training until the same epoch.
    pub seconds: Option<SampleMean>,
}

/// The horizontal axis of curves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XAxis {
    /// Updates made.
    Steps,
    /// Complete epochs. Use them to compare by images seen if batch sizes differ.
    Epochs,
}

impl Variant {
    /// Groups results by label, in the order in which the labels first appear.
    pub fn group(results: Vec<RunResult>) -> Vec<Variant> {
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

    /// The statistics, with the steps and time until each of `accuracies` (0 to 1).
    pub fn summary(&self, accuracies: &[f64]) -> VariantSummary {
        let sound: Vec<&RunResult> = self
            .runs
            .iter()
            .filter(|run| run.diverged.is_none())
            .collect();
        let of_sound = |value: fn(&RunResult) -> Option<f64>| {
            let values: Vec<f64> = sound.iter().filter_map(|run| value(run)).collect();
            SampleMean::of(&values)
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
            time_to_accuracy: accuracies
                .iter()
                .map(|accuracy| self.time_to_accuracy(*accuracy))
                .collect(),
        }
    }

    /// Mean and confidence interval of a number over the seeds.
    pub fn estimate(&self, value: impl Fn(&RunResult) -> f64) -> SampleMean {
        let values: Vec<f64> = self.runs.iter().map(value).collect();
        // There is always at least one run.
        SampleMean::of(&values).unwrap_or(SampleMean {
            mean: f64::NAN,
            half_width: None,
            n: 0,
        })
    }

    /// Mean and confidence interval of `value` here minus `value` in `other`; `None` if one of them has
    /// no runs.
    ///
    /// Paired by seed if both have the same seeds, or at least three seeds in common. Otherwise the runs
    /// are independent samples, and one of the variants may have a single run: then the spread of the
    /// other one stands for both.
    pub fn difference(
        &self,
        other: &Variant,
        value: impl Fn(&RunResult) -> f64,
    ) -> Option<SampleMean> {
        let by_seed = |variant: &Variant| -> BTreeMap<u64, f64> {
            let runs = variant.runs.iter();
            runs.map(|run| (run.seed, value(run))).collect()
        };
        let (own, others) = (by_seed(self), by_seed(other));
        let pairs = own
            .iter()
            .filter_map(|(seed, own)| Some((*own, *others.get(seed)?)));
        let paired: (Vec<f64>, Vec<f64>) = pairs.unzip();
        if own.keys().eq(others.keys()) || paired.0.len() >= ENOUGH_PAIRS {
            return SampleMean::of_difference(&paired.0, &paired.1);
        }
        let values = |of: BTreeMap<u64, f64>| of.into_values().collect::<Vec<f64>>();
        SampleMean::of_independent_difference(&values(own), &values(others))
    }

    fn time_to_accuracy(&self, accuracy: f64) -> TimeToAccuracySummary {
        let reached: Vec<_> = self
            .runs
            .iter()
            .filter_map(|run| run.time_to_accuracy(accuracy))
            .collect();
        let steps: Vec<f64> = reached.iter().map(|reached| reached.steps as f64).collect();
        let seconds: Vec<f64> = reached.iter().map(|reached| reached.seconds).collect();
        TimeToAccuracySummary {
            accuracy,
            runs: reached.len(),
            steps: SampleMean::of(&steps),
            seconds: SampleMean::of(&seconds),
        }
    }

    /// The mean of a value after each epoch as a line, over a band from the lowest to the highest
    /// seed. Each epoch averages the runs that reached it.
    pub fn series(
        &self,
        name: &str,
        x_axis: XAxis,
        value: impl Fn(&EpochRecord) -> f64,
    ) -> Vec<Series> {
        let at = |record: &EpochRecord| match x_axis {
            XAxis::Steps => record.steps as f64,
            XAxis::Epochs => record.epoch as f64 + 1.0,
        };
        let curve = |run: &RunResult| {
            let records = run.epochs.iter();
            records.map(|record| (at(record), value(record))).collect()
        };
        banded(name, &self.runs.iter().map(curve).collect::<Vec<_>>())
    }

    /// Like [`series`](Self::series), for a number of the diagnoses recorded during the runs, over
    /// the updates made. There is a gap wherever a seed has no finite value.
    pub fn diagnosed(&self, name: &str, value: impl Fn(&Diagnosis) -> f64) -> Vec<Series> {
        let curve = |run: &RunResult| {
            let diagnoses = run.diagnoses.iter();
            diagnoses
                .map(|one| (one.conditions.step as f64, value(one)))
                .collect()
        };
        banded(name, &self.runs.iter().map(curve).collect::<Vec<_>>())
    }
}

/// The mean of curves, each a list of (x, y), over a band from the lowest to the highest of them.
fn banded(name: &str, curves: &[Vec<(f64, f64)>]) -> Vec<Series> {
    let longest = curves.iter().map(Vec::len).max().unwrap_or(0);
    let (mut x, mut mean, mut low, mut high) = (vec![], vec![], vec![], vec![]);
    for index in 0..longest {
        let points: Vec<(f64, f64)> = curves
            .iter()
            .filter_map(|curve| curve.get(index).copied())
            .collect();
        let values = || points.iter().map(|(_, y)| *y);
        x.push(
            points
                .iter()
                .map(|(x, _)| *x)
                .fold(f64::NEG_INFINITY, f64::max),
        );
        mean.push(values().sum::<f64>() / points.len() as f64);
        low.push(values().fold(f64::INFINITY, f64::min));
        high.push(values().fold(f64::NEG_INFINITY, f64::max));
    }
    if x.is_empty() {
        return Vec::new();
    }
    let style = match longest > MARKERS {
        true => Style::Line,
        false => Style::LinePoints,
    };
    let line = Series::line(name, x.clone(), mean).style(style);
    if curves.len() < 2 {
        return vec![line];
    }
    let band = Series::line(format!("{name}, {} seeds", curves.len()), x, low);
    vec![band.style(Style::Band { upper: high }), line]
}

/// Curves of several variants, in one colour each.
pub fn curves(
    name: &str,
    title: &str,
    (x_axis, y): (XAxis, Axis),
    variants: &[(&str, &Variant)],
    value: impl Fn(&EpochRecord) -> f64,
) -> Figure {
    let x = Axis::linear(match x_axis {
        XAxis::Steps => "steps",
        XAxis::Epochs => "epochs",
    });
    let mut figure = Figure::new(name, title, x, y);
    for ((name, variant), colour) in variants.iter().zip(Colour::ORDER.into_iter().cycle()) {
        let series = variant.series(name, x_axis, &value);
        figure
            .series
            .extend(series.into_iter().map(|series| series.colour(colour)));
    }
    if variants.iter().any(|(_, variant)| variant.runs.len() > 1) {
        figure.note = Some("Lines: mean over the seeds. Areas: lowest to highest seed.".to_owned());
    }
    figure
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Divergence;

    fn run(label: &str, seed: u64, accuracies: &[f64]) -> RunResult {
        let epoch = |(i, val_accuracy): (usize, &f64)| EpochRecord {
            epoch: i as u64,
            steps: 10 * (i as u64 + 1),
            train_loss: 1.0,
            train_accuracy: 0.5,
            val_loss: 1.5,
            val_accuracy: *val_accuracy,
            generalisation_gap: 0.5,
            lr: 0.1,
            momentum: None,
            seconds: 2.0,
            images_per_second: 100.0,
        };
        RunResult {
            label: label.to_owned(),
            seed,
            final_accuracy: accuracies[accuracies.len() - 1],
            best_accuracy: accuracies.iter().copied().fold(0.0, f64::max),
            generalisation_gap: 0.5,
            steps: 10 * accuracies.len() as u64,
            seconds: 2.0 * accuracies.len() as f64,
            diverged: None,
            epochs: accuracies.iter().enumerate().map(epoch).collect(),
            diagnoses: Vec::new(),
            run: Default::default(),
        }
    }

    #[test]
    fn runs_are_grouped_by_label() {
        let mut gone = run("b", 2, &[0.3]);
        gone.diverged = Some(Divergence {
            step: 12,
            lr: 1.0,
            chance: 0.1,
        });
        (gone.final_accuracy, gone.generalisation_gap) = (0.1, f64::INFINITY);
        let runs = vec![
            run("b", 1, &[0.4, 0.8]),
            run("a", 1, &[0.5, 0.6]),
            gone,
            run("a", 2, &[0.7, 0.9]),
        ];
        let variants = Variant::group(runs);
        assert_eq!(variants[0].label, "b");
        let [b, a] = [0, 1].map(|i| variants[i].summary(&[0.7]));
        assert_eq!((b.diverged, b.seeds), (1, vec![1, 2]));
        assert!((b.final_accuracy.mean - 0.45).abs() < 1e-12);
        // The gap of the run that did not diverge.
        let gap = b.generalisation_gap.map(|gap| (gap.mean, gap.n));
        assert_eq!(gap, Some((0.5, 1)));
        assert_eq!(
            (a.time_to_accuracy[0].runs, b.time_to_accuracy[0].runs),
            (1, 1)
        );
        assert_eq!(
            a.time_to_accuracy[0].steps.map(|steps| steps.mean),
            Some(10.0)
        );
        assert_eq!(
            b.time_to_accuracy[0].seconds.map(|seconds| seconds.mean),
            Some(4.0)
        );
        // Paired by seed: 0.6 - 0.8 and 0.9 - 0.1.
        let difference = variants[1].difference(&variants[0], |run| run.final_accuracy);
        assert!(difference.is_some_and(|difference| (difference.mean - 0.3).abs() < 1e-12));
    }

    #[test]
    fn a_band_reaches_from_the_lowest_to_the_highest_seed() {
        let variant = Variant {
            label: "a".to_owned(),
            runs: vec![run("a", 1, &[0.5, 0.6]), run("a", 2, &[0.7])],
        };
        let series = variant.series("a", XAxis::Steps, |epoch| epoch.val_accuracy);
        let [band, line] = series.as_slice() else {
            panic!("{series:?}");
        };
        assert_eq!(line.x, [10.0, 20.0]);
        assert_eq!(
            line.y,
            [0.6, 0.6],
            "the mean of the runs that reached the epoch"
        );
        assert_eq!(band.y, [0.5, 0.6]);
        assert_eq!(
            band.style,
            Style::Band {
                upper: vec![0.7, 0.6]
            }
        );
        let alone = Variant {
            label: "a".to_owned(),
            runs: vec![run("a", 1, &[0.5])],
        };
        assert_eq!(alone.series("a", XAxis::Epochs, |e| e.val_loss).len(), 1);
    }
}
