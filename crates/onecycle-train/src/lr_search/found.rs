//! Result of range tests: [`RangeTestResult`] is `range_test.json`, with its table and its figure.

use std::{collections::BTreeMap, path::Path};

use onecycle::range_test::{
    LossCurve, LrSweep, OverSeeds, Rule, Signal, StopReason, Verdict, over_seeds,
};
use serde::{Deserialize, Serialize};

use onecycle_plot::{
    format::significant,
    table::align,
    terminal::{self, Below, Charset},
};

use super::{cycles::PeakSearch, settings::SweptParameter};
use crate::{FileError, TrainError, figures, files};

mod figure;

pub use figure::{captioned, figure};

/// The range tests of a configuration, and the suggestions of all rules: `range_test.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RangeTestResult {
    /// Verdict on the curve, or on that of the chosen group.
    pub verdict: Verdict,
    /// The largest learning rate that can be the peak of one cycle.
    pub one_cycle_max: Option<f64>,
    /// A good constant learning rate.
    pub constant: Option<f64>,
    /// Smallest and largest suggestion of the seeds for `one_cycle_max`.
    pub interval: Option<(f64, f64)>,
    /// The planned learning rates.
    #[serde(alias = "ladder")]
    pub sweep: LrSweep,
    /// Hyper-parameter that differs between the groups.
    pub parameter: Option<SweptParameter>,
    /// One group per value of the parameter; a single group without one.
    pub groups: Vec<CurveGroup>,
    /// The group whose suggestions are given above, if there are several.
    pub choice: Option<ChosenGroup>,
    /// The short cycles that found `one_cycle_max`, if they were made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<PeakSearch>,
}

/// The group chosen among several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChosenGroup {
    /// Index in `groups`.
    pub group: usize,
    /// Reason of the choice, in words.
    pub reason: String,
}

/// The tests of several seeds under the same conditions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurveGroup {
    /// The value of the parameter.
    pub value: Option<f64>,
    /// Suggestion of every rule, from the training losses.
    pub rules: BTreeMap<Rule, OverSeeds>,
    /// Maximum for one cycle from the validation accuracy, if it was measured: Smith's own rule.
    pub by_accuracy: Option<OverSeeds>,
    /// One test per seed.
    pub tests: Vec<RangeTestRun>,
}

/// One range test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RangeTestRun {
    /// Seed of its random streams.
    pub seed: u64,
    /// Why it ended.
    pub stop: StopReason,
    /// Its cost.
    pub cost: RangeTestCost,
    /// The raw losses.
    pub curve: LossCurve,
}

/// Cost of a range test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RangeTestCost {
    /// Updates made.
    pub updates: u64,
    /// Seconds that a training with the same number of updates takes.
    pub training_seconds: f64,
    /// Seconds of validation.
    pub validation_seconds: f64,
    /// Seconds of everything else.
    pub overhead_seconds: f64,
}

impl From<onecycle_burn::range_test::Cost> for RangeTestCost {
    fn from(cost: onecycle_burn::range_test::Cost) -> Self {
        RangeTestCost {
            updates: cost.updates,
            training_seconds: cost.training.as_secs_f64(),
            validation_seconds: cost.validation.as_secs_f64(),
            overhead_seconds: cost.overhead.as_secs_f64(),
        }
    }
}

impl CurveGroup {
    /// Applies every rule to the tests of one value.
    pub fn new(value: Option<f64>, tests: Vec<RangeTestRun>) -> Self {
        let curves: Vec<LossCurve> = tests.iter().map(|test| test.curve.clone()).collect();
        let by_accuracy: Vec<LossCurve> = curves
            .iter()
            .map(|curve| curve.seen_by(Signal::ValidationAccuracy))
            .filter(|curve| !curve.is_empty())
            .collect();
        let rules = Rule::ALL.map(|rule| (rule, over_seeds(&curves, rule)));
        CurveGroup {
            value,
            rules: rules.into_iter().collect(),
            by_accuracy: (!by_accuracy.is_empty())
                .then(|| over_seeds(&by_accuracy, Rule::OneCycleMax)),
            tests,
        }
    }

    /// Suggestion of a rule. `None` if the file lacks the rule.
    pub fn answer(&self, rule: Rule) -> Option<&OverSeeds> {
        self.rules.get(&rule)
    }

    /// Verdict of the rule for the maximum of one cycle.
    pub fn verdict(&self) -> Verdict {
        self.answer(Rule::OneCycleMax)
            .map_or(Verdict::TooShort, |answer| answer.verdict)
    }

    /// The largest learning rate that can be the peak of one cycle.
    pub fn one_cycle_max(&self) -> Option<f64> {
        self.answer(Rule::OneCycleMax)?.lr
    }

    /// Name of the curve in figures and tables.
    pub fn label(&self, parameter: Option<SweptParameter>) -> String {
        match (parameter, self.value) {
            (Some(parameter), Some(value)) => {
                format!("{} {}", parameter.name(), significant(value))
            }
            _ => "training loss".to_owned(),
        }
    }

    /// The smoothed loss at every step: median, minimum and maximum over the seeds. Steps that
    /// fewer than half of the seeds reached are omitted.
    pub(super) fn smoothed(&self) -> Vec<[f64; 3]> {
        let curves: Vec<Vec<f64>> = self
            .tests
            .iter()
            .map(|test| test.curve.smoothed())
            .collect();
        let longest = curves.iter().map(Vec::len).max().unwrap_or(0);
        (0..longest)
            .map_while(|i| {
                let mut values: Vec<f64> = curves
                    .iter()
                    .filter_map(|curve| curve.get(i).copied())
                    .collect();
                if 2 * values.len() < curves.len() {
                    return None;
                }
                values.sort_by(f64::total_cmp);
                let median = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
                Some([median, values[0], values[values.len() - 1]])
            })
            .collect()
    }

    /// The minimum of the median smoothed loss, and how far it lies below the start.
    pub(crate) fn descent(&self) -> Option<(f64, f64)> {
        let smoothed = self.smoothed();
        let finite = smoothed
            .iter()
            .map(|[median, ..]| *median)
            .filter(|loss| loss.is_finite());
        let start = finite.clone().next()?;
        let lowest = finite.fold(f64::INFINITY, f64::min);
        Some((lowest, start - lowest))
    }

    /// The longest list of learning rates of the seeds.
    pub(super) fn rates(&self) -> &[f64] {
        let curves = self.tests.iter().map(|test| test.curve.lr());
        curves.max_by_key(|lr| lr.len()).unwrap_or(&[])
    }
}

impl RangeTestResult {
    pub(super) fn new(
        parameter: Option<SweptParameter>,
        sweep: LrSweep,
        groups: Vec<CurveGroup>,
    ) -> Self {
        let found = RangeTestResult {
            verdict: Verdict::NoAnswer,
            one_cycle_max: None,
            constant: None,
            interval: None,
            sweep,
            parameter,
            groups,
            choice: None,
            search: None,
        };
        match found.groups.as_slice() {
            [_] => found.with_suggestions_of(0),
            _ => found,
        }
    }

    /// Merges results of several calls into one. Tests with the same value form a group, in the
    /// order in which the values first appear. Sweep and parameter are those of the first result.
    /// `None` without results.
    #[must_use]
    pub fn merge(parts: Vec<RangeTestResult>) -> Option<Self> {
        let (sweep, parameter) = parts.first().map(|first| (first.sweep, first.parameter))?;
        let mut tests: Vec<(Option<f64>, Vec<RangeTestRun>)> = Vec::new();
        for group in parts.into_iter().flat_map(|part| part.groups) {
            match tests.iter_mut().find(|(value, _)| *value == group.value) {
                Some((_, known)) => known.extend(group.tests),
                None => tests.push((group.value, group.tests)),
            }
        }
        let groups = tests
            .into_iter()
            .map(|(value, tests)| CurveGroup::new(value, tests));
        Some(RangeTestResult::new(parameter, sweep, groups.collect()))
    }

    /// Sets the suggestions of one group as those of the result.
    fn with_suggestions_of(mut self, group: usize) -> Self {
        if let Some(group) = self.groups.get(group) {
            self.verdict = group.verdict();
            self.one_cycle_max = group.one_cycle_max();
            self.constant = group.answer(Rule::Constant).and_then(|answer| answer.lr);
            self.interval = group
                .answer(Rule::OneCycleMax)
                .and_then(|answer| answer.interval);
        }
        self
    }

    /// Sets the chosen group, and its suggestions as those of the result.
    #[must_use]
    pub fn with_choice(self, choice: ChosenGroup) -> Self {
        let mut found = self.with_suggestions_of(choice.group);
        found.choice = Some(choice);
        found
    }

    /// The chosen group.
    pub fn chosen_group(&self) -> Option<&CurveGroup> {
        self.groups.get(self.choice.as_ref()?.group)
    }

    /// Replaces the suggested peak by the one that short cycles found, and adds the reason.
    #[must_use]
    pub fn with_search(mut self, search: PeakSearch, reason: &str) -> Self {
        self.verdict = search.answer.verdict;
        self.one_cycle_max = search.answer.lr;
        if let Some(choice) = &mut self.choice {
            choice.reason = format!("{reason}; {}", choice.reason);
        }
        self.search = Some(search);
        self
    }

    /// Writes `range_test.json`, and the figure as SVG, PNG and CSV under `figures/`, into a
    /// folder. Creates the folder if it does not exist.
    ///
    /// # Errors
    /// Files cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), TrainError> {
        figures::write(&folder.join("figures"), &figure(self))?;
        self.write_json(&folder.join("range_test.json"))
    }

    /// Writes only the JSON file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_json(&self, path: &Path) -> Result<(), TrainError> {
        Ok(files::write_json(path, "the range test", self)?)
    }

    /// Reads what [`write_json`](RangeTestResult::write_json) wrote.
    ///
    /// # Errors
    /// The file cannot be read or is not a result of range tests.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let text = files::read_text(path)?;
        serde_json::from_str(&text).map_err(|error| FileError::CurveFile {
            path: path.to_path_buf(),
            line: (error.line() > 0).then(|| error.line()),
            why: error.to_string(),
        })
    }

    /// Draws the smoothed losses over the sweep as text, for a terminal or a log.
    pub fn terminal(&self, width: usize, height: usize, charset: Charset) -> String {
        let curves: Vec<(String, Vec<f64>)> = self
            .groups
            .iter()
            .map(|group| {
                let smoothed = group
                    .smoothed()
                    .iter()
                    .map(|[median, ..]| *median)
                    .collect();
                (group.label(self.parameter), smoothed)
            })
            .collect();
        let longest = curves
            .iter()
            .map(|(_, losses)| losses.len())
            .max()
            .unwrap_or(0);
        let padded: Vec<(&str, Vec<f64>)> = curves
            .iter()
            .map(|(name, losses)| {
                let mut losses = losses.clone();
                losses.resize(longest, f64::NAN);
                (name.as_str(), losses)
            })
            .collect();
        let panels: Vec<(&str, &[f64])> = padded
            .iter()
            .map(|(name, losses)| (*name, losses.as_slice()))
            .collect();
        let last = self.sweep.at(longest.saturating_sub(1) as u64);
        let below = Below {
            first: significant(self.sweep.at(0)),
            name: "learning rate",
            last: significant(last),
        };
        terminal::draw(&panels, &below, width, height, charset)
    }

    /// A table of the suggestions, with one line per group and rule.
    pub fn table(&self) -> String {
        let mut rows = vec![
            ["curve", "rule", "lr", "over seeds", "verdict"]
                .map(str::to_owned)
                .to_vec(),
        ];
        for group in &self.groups {
            let mut row = |rule: &str, answer: &OverSeeds| {
                let lr = answer.lr.map_or_else(|| "–".to_owned(), significant);
                let interval = answer
                    .interval
                    .filter(|(low, high)| low < high)
                    .map_or_else(String::new, |(low, high)| {
                        format!("{} to {}", significant(low), significant(high))
                    });
                rows.push(vec![
                    group.label(self.parameter),
                    rule.to_owned(),
                    lr,
                    interval,
                    answer.verdict.to_string(),
                ]);
            };
            // With several curves, our own rules suffice.
            let shown = if self.groups.len() > 1 {
                2
            } else {
                Rule::ALL.len()
            };
            for rule in Rule::ALL.into_iter().take(shown) {
                if let Some(answer) = group.answer(rule) {
                    row(rule.name(), answer);
                }
            }
            if let Some(answer) = &group.by_accuracy {
                row("one_cycle_max by accuracy", answer);
            }
        }
        align(&rows)
    }

    /// The cost of the tests, in one line.
    pub fn cost(&self) -> String {
        let all = self.groups.iter().flat_map(|group| &group.tests);
        let sum = |value: fn(&RangeTestCost) -> f64| {
            all.clone().map(|test| value(&test.cost)).sum::<f64>()
        };
        let updates: u64 = all.clone().map(|test| test.cost.updates).sum();
        let training = sum(|cost| cost.training_seconds);
        let validation = sum(|cost| cost.validation_seconds);
        let share = 100.0 * sum(|cost| cost.overhead_seconds) / training;
        let validation = match validation {
            0.0 => String::new(),
            seconds => format!(", {seconds:.1} s of validation"),
        };
        format!(
            "{updates} updates in {training:.1} s, {share:.2} % more than the same updates in a training{validation}"
        )
    }

    /// All curves as CSV, with one row per seed and step: the raw and the smoothed loss.
    pub fn csv(&self) -> String {
        let parameter = self
            .parameter
            .map_or("value".to_owned(), |p| p.name().replace(' ', "_"));
        let mut text = format!("{parameter},seed,lr,loss,smoothed,val_loss,val_accuracy\n");
        for group in &self.groups {
            let value = group.value.map_or(String::new(), |value| value.to_string());
            for test in &group.tests {
                let smoothed = test.curve.smoothed();
                let mut validations = test.curve.validation().iter().peekable();
                for (i, lr) in test.curve.lr().iter().enumerate() {
                    let one = validations.next_if(|one| one.after == i + 1);
                    let cell = |value: Option<f64>| {
                        value.map_or(String::new(), |value| format!("{value:?}"))
                    };
                    text.push_str(&format!(
                        "{value},{},{lr:?},{:?},{:?},{},{}\n",
                        test.seed,
                        test.curve.loss()[i],
                        smoothed[i],
                        cell(one.and_then(|one| one.loss)),
                        cell(one.and_then(|one| one.accuracy)),
                    ));
                }
            }
        }
        text
    }
}
