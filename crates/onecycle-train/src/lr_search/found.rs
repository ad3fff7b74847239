//! Result of range tests: [`RangeTestResult`] is `range_test.json`, with its table and its figure.

use std::{collections::BTreeMap, path::Path};

use onecycle::range_test::{
    LossCurve, LrSweep, OverSeeds, Rule, Signal, StopReason, Verdict, over_seeds,
};
use serde::{Deserialize, Serialize};

use onecycle_plot::format::significant;

use super::{cycles::PeakSearch, settings::SweptParameter};
use crate::{FileError, TrainError, figures, files};

mod figure;
mod text;

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
    #[serde(alias = "interval")]
    pub range: Option<(f64, f64)>,
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

impl RangeTestCost {
    /// Time of everything together, in seconds.
    pub fn seconds(&self) -> f64 {
        self.training_seconds + self.validation_seconds + self.overhead_seconds
    }
}

impl From<onecycle_burn::range_test::Timing> for RangeTestCost {
    fn from(cost: onecycle_burn::range_test::Timing) -> Self {
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
            range: None,
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
            self.range = group
                .answer(Rule::OneCycleMax)
                .and_then(|answer| answer.range);
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

    /// Updates made in all tests and short cycles.
    pub fn updates(&self) -> u64 {
        let tests = self.groups.iter().flat_map(|group| &group.tests);
        let tests: u64 = tests.map(|test| test.cost.updates).sum();
        tests + self.search.as_ref().map_or(0, PeakSearch::updates)
    }

    /// Time of all tests and short cycles, in seconds. Several processes make tests at the same time; each
    /// of them counts.
    pub fn seconds(&self) -> f64 {
        let tests = self.groups.iter().flat_map(|group| &group.tests);
        let tests: f64 = tests.map(|test| test.cost.seconds()).sum();
        tests + self.search.as_ref().map_or(0.0, PeakSearch::seconds)
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
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    /// `range_test.json` of earlier versions has the keys `ladder`, `steps` and `interval`.
    #[test]
    fn former_keys_are_still_read() {
        let sweep = LrSweep::exponential(1e-5, 10.0, 150).unwrap();
        let mut result = RangeTestResult::new(None, sweep, Vec::new());
        result.range = Some((0.1, 0.5));
        let json = serde_json::to_string(&result).unwrap();
        let former = json
            .replace("\"sweep\"", "\"ladder\"")
            .replace("\"num_steps\"", "\"steps\"")
            .replace("\"range\"", "\"interval\"");
        assert_ne!(former, json);
        let read: RangeTestResult = serde_json::from_str(&former).unwrap();
        assert_eq!((read.sweep, read.range), (sweep, result.range));
    }
}
