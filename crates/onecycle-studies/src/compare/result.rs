use std::fmt;

use onecycle_stats::{SampleMean, Sign};
use serde::{Deserialize, Serialize};

use crate::study::{RunResult, Variant, VariantSummary, XAxis, curves};
use onecycle_plot::{
    Axis, Colour, Figure, Series, Style,
    format::{duration, percent, significant},
    table::align,
};

/// The result of a comparison: `compare.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparisonResult {
    /// Settings in which the variants differ.
    pub settings: Vec<DifferingSetting>,
    /// Whether one of these belongs to the budget: epochs, steps or batch size.
    pub budgets_differ: bool,
    /// Validation accuracies, 0 to 1, for which `variants` has steps and time.
    pub accuracies: Vec<f64>,
    /// The variants in the order of the files.
    pub variants: Vec<VariantSummary>,
    /// Each further variant compared with the first.
    pub differences: Vec<AccuracyDifference>,
    /// All runs with all their epochs.
    pub runs: Vec<RunResult>,
}

/// A setting with its value in each variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferingSetting {
    /// The key with its tables.
    pub key: String,
    /// Its value in each variant as TOML; `None` if not set.
    pub values: Vec<Option<String>>,
    /// Whether it belongs to the budget.
    pub of_the_budget: bool,
}

/// Difference in final accuracy between two variants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccuracyDifference {
    /// The variant.
    pub label: String,
    /// The variant it is compared with.
    pub against: String,
    /// Difference of the final validation accuracies, -1 to 1, paired by seed if the variants have the same
    /// seeds.
    pub final_accuracy: SampleMean,
    /// The conclusion as a sentence.
    pub verdict: String,
}

impl ComparisonResult {
    pub(super) fn new(
        settings: Vec<DifferingSetting>,
        variants: &[Variant],
        accuracies: &[f64],
    ) -> Self {
        let accuracies = match accuracies {
            [] => common(variants).into_iter().collect(),
            given => given.to_vec(),
        };
        let differences = variants.split_first().map_or(vec![], |(first, others)| {
            let against = |other: &Variant| AccuracyDifference::of(other, first);
            others.iter().filter_map(against).collect()
        });
        ComparisonResult {
            budgets_differ: settings.iter().any(|setting| setting.of_the_budget),
            settings,
            variants: variants.iter().map(|v| v.summary(&accuracies)).collect(),
            accuracies,
            differences,
            runs: variants.iter().flat_map(|v| v.runs.clone()).collect(),
        }
    }

    /// Column names of [`rows`](Self::rows).
    pub(super) fn header(&self) -> Vec<String> {
        let fixed = [
            "variant",
            "final accuracy",
            "best accuracy",
            "gap",
            "steps",
            "time per run",
        ];
        let reached = self.accuracies.iter().flat_map(|accuracy| {
            let accuracy = significant(100.0 * accuracy);
            [
                format!("steps to {accuracy} %"),
                format!("time to {accuracy} %"),
            ]
        });
        fixed
            .into_iter()
            .map(str::to_owned)
            .chain(reached)
            .collect()
    }

    /// One row per variant, with 95 % confidence intervals.
    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        let row = |variant: &VariantSummary| {
            let seeds = variant.seeds.len();
            let mut cells = vec![
                match variant.diverged {
                    0 => variant.label.clone(),
                    n => format!("{} ({n} of {seeds} diverged)", variant.label),
                },
                accuracy(&variant.final_accuracy),
                accuracy(&variant.best_accuracy),
                or_dash(variant.generalisation_gap.as_ref(), |gap| {
                    with_interval(gap, significant)
                }),
                variant.steps.to_string(),
                duration(variant.seconds.mean),
            ];
            for reached in &variant.time_to_accuracy {
                let of = match reached.runs {
                    n if n == seeds => String::new(),
                    n => format!(" ({n} of {seeds})"),
                };
                let steps = |steps: &SampleMean| format!("{:.0}{of}", steps.mean);
                cells.push(or_dash(reached.steps.as_ref(), steps));
                let time = |seconds: &SampleMean| format!("{}{of}", duration(seconds.mean));
                cells.push(or_dash(reached.seconds.as_ref(), time));
            }
            cells
        };
        self.variants.iter().map(row).collect()
    }

    /// The conclusions, one sentence per item.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences: Vec<String> = self
            .differences
            .iter()
            .map(|difference| difference.verdict.clone())
            .collect();
        if self.budgets_differ {
            let keys: Vec<&str> = self
                .settings
                .iter()
                .filter(|setting| setting.of_the_budget)
                .map(|setting| setting.key.as_str())
                .collect();
            sentences.push(format!(
                "The budgets differ ({}): compare steps and times as well as accuracies.",
                keys.join(", ")
            ));
        }
        sentences
    }

    /// The results and the differing settings as text tables.
    pub fn table(&self) -> String {
        let mut rows = vec![self.header()];
        rows.extend(self.rows());
        let mut text = align(&rows);
        if self.settings.is_empty() {
            return text;
        }
        let mut settings = vec![
            ["setting".to_owned()]
                .into_iter()
                .chain(self.variants.iter().map(|variant| variant.label.clone()))
                .collect::<Vec<_>>(),
        ];
        settings.extend(self.setting_rows());
        text.push('\n');
        text.push_str(&align(&settings));
        text
    }

    pub(super) fn setting_rows(&self) -> Vec<Vec<String>> {
        let row = |setting: &DifferingSetting| {
            let values = setting.values.iter();
            let values = values.map(|value| value.clone().unwrap_or_else(|| "–".to_owned()));
            [setting.key.clone()].into_iter().chain(values).collect()
        };
        self.settings.iter().map(row).collect()
    }

    /// The figures with their captions.
    pub(super) fn figures(&self, variants: &[Variant]) -> Vec<(Figure, &'static str)> {
        let named: Vec<(&str, &Variant)> = variants.iter().map(|v| (v.label.as_str(), v)).collect();
        let x_axis = match self
            .settings
            .iter()
            .any(|setting| setting.key == "batch_size")
        {
            true => XAxis::Epochs,
            false => XAxis::Steps,
        };
        let percent = |label| (x_axis, Axis::linear(label));
        let mut figures = vec![
            (
                curves(
                    "val_accuracy",
                    "Validation accuracy",
                    percent("validation accuracy (%)"),
                    &named,
                    |epoch| 100.0 * epoch.val_accuracy,
                ),
                "Percentage of validation images classified correctly after each epoch.",
            ),
            (
                curves(
                    "val_loss",
                    "Validation loss",
                    (x_axis, Axis::log("loss (logarithmic)")),
                    &named,
                    |epoch| epoch.val_loss,
                ),
                "Mean cross-entropy on the validation images after each epoch.",
            ),
            (
                curves(
                    "train_loss",
                    "Training loss",
                    (x_axis, Axis::log("loss (logarithmic)")),
                    &named,
                    |epoch| epoch.train_loss,
                ),
                "Mean cross-entropy over the augmented training images of each epoch, computed before each update.",
            ),
            (
                curves(
                    "gap",
                    "Generalisation gap",
                    (x_axis, Axis::linear("validation − training loss")),
                    &named,
                    |epoch| epoch.generalisation_gap,
                ),
                "Validation loss minus training loss. It grows if a network over-fits.",
            ),
        ];
        figures.retain(|(figure, _)| !figure.series.is_empty());
        figures.push((
            finals(variants),
            "Final validation accuracy of each run, with the 95 % confidence interval of the mean over the seeds.",
        ));
        figures
    }
}

/// The tables and the conclusions as text.
impl fmt::Display for ComparisonResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.table())?;
        for sentence in self.sentences() {
            write!(f, "\n{sentence}\n")?;
        }
        Ok(())
    }
}

impl AccuracyDifference {
    fn of(variant: &Variant, against: &Variant) -> Option<Self> {
        let difference = variant.difference(against, |run| run.final_accuracy)?;
        let (a, b) = (&variant.label, &against.label);
        let points = significant(100.0 * difference.mean.abs());
        let verdict = match (difference.sign(), difference.interval()) {
            (Sign::Above, _) => format!("{a} is more accurate than {b} by {points} points"),
            (Sign::Below, _) => format!("{a} is less accurate than {b} by {points} points"),
            (Sign::Open, None) => format!(
                "{a} and {b} differ by {} points with one run each, which cannot decide",
                significant(100.0 * difference.mean)
            ),
            (Sign::Open, Some(_)) => format!("{a} and {b}: not decided by these seeds"),
        };
        let interval = difference.interval().map_or(String::new(), |(low, high)| {
            let [low, high] = [low, high].map(|end| significant(100.0 * end));
            format!(" (95 % confidence interval of the difference: {low} to {high} points)")
        });
        Some(AccuracyDifference {
            label: a.clone(),
            against: b.clone(),
            final_accuracy: difference,
            verdict: format!("{verdict}{interval}."),
        })
    }
}

/// The largest whole per cent that the mean final accuracy of every variant reaches, as a fraction.
fn common(variants: &[Variant]) -> Option<f64> {
    let lowest = variants
        .iter()
        .map(|variant| variant.estimate(|run| run.final_accuracy).mean)
        .fold(f64::INFINITY, f64::min);
    let whole = (100.0 * lowest).floor() / 100.0;
    (whole > 0.0 && whole < 1.0).then_some(whole)
}

/// The final accuracy of each run, by variant.
fn finals(variants: &[Variant]) -> Figure {
    let labels = variants.iter().map(|variant| variant.label.as_str());
    let x = Axis::categories("variant", labels);
    let y = Axis::linear("final validation accuracy (%)");
    let mut figure = Figure::new("final_accuracy", "Final accuracy of each run", x, y);
    figure.note = Some(
        "Points: one run per seed. Areas: 95 % confidence interval of the mean over the seeds."
            .to_owned(),
    );
    let colours = Colour::ORDER.into_iter().cycle();
    for ((i, variant), colour) in variants.iter().enumerate().zip(colours) {
        let x = i as f64 + 1.0;
        let accuracy = |run: &RunResult| 100.0 * run.final_accuracy;
        if let Some((low, high)) = variant.estimate(accuracy).interval() {
            let name = format!("{}, 95 % interval", variant.label);
            let upper = vec![high; 2];
            let band = Series::line(name, vec![x - 0.2, x + 0.2], vec![low; 2]);
            let band = band.style(Style::Band { upper }).colour(colour);
            figure.series.push(band);
        }
        let values: Vec<f64> = variant.runs.iter().map(accuracy).collect();
        let points = Series::line(variant.label.clone(), vec![x; values.len()], values);
        figure
            .series
            .push(points.style(Style::Points).colour(colour));
    }
    figure
}

/// An accuracy in per cent with the half width of its interval.
fn accuracy(estimate: &SampleMean) -> String {
    match estimate.half_width {
        None => percent(estimate.mean),
        Some(half) => format!("{:.2} ± {:.2} %", 100.0 * estimate.mean, 100.0 * half),
    }
}

fn with_interval(estimate: &SampleMean, number: fn(f64) -> String) -> String {
    match estimate.half_width {
        None => number(estimate.mean),
        Some(half) => format!("{} ± {}", number(estimate.mean), number(half)),
    }
}

fn or_dash<T>(value: Option<T>, text: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), text)
}
