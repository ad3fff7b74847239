//! The result of range tests: `range_test.json`, its table and its figure.

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

/// All tests of a [`find`](super::find()), and what the rules say: `range_test.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RangeTestResult {
    /// What the curve, or that of the chosen group, is worth.
    pub verdict: Verdict,
    /// The largest rate that can be the peak of one cycle.
    pub one_cycle_max: Option<f64>,
    /// A good constant rate.
    pub constant: Option<f64>,
    /// Smallest and largest of the seeds' answers for `one_cycle_max`.
    pub interval: Option<(f64, f64)>,
    /// The learning rates that were to be visited.
    #[serde(alias = "ladder")]
    pub sweep: LrSweep,
    /// What varies from group to group.
    pub parameter: Option<SweptParameter>,
    /// A group a value of the parameter; one where none varies.
    pub groups: Vec<CurveGroup>,
    /// Which group is taken for the answers above, and why, where there are several.
    pub choice: Option<ChosenGroup>,
    /// The short cycles that found `one_cycle_max`, where they were made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<PeakSearch>,
}

/// The group that was chosen out of several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChosenGroup {
    /// Its index in `groups`.
    pub group: usize,
    /// Why, in words.
    pub reason: String,
}

/// The tests of several seeds under the same conditions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurveGroup {
    /// The value of the parameter that varies.
    pub value: Option<f64>,
    /// What every rule says of the training losses.
    pub rules: BTreeMap<Rule, OverSeeds>,
    /// The maximum for one cycle by the validation accuracy, where that was measured: Smith's own.
    pub by_accuracy: Option<OverSeeds>,
    /// A test a seed.
    pub tests: Vec<RangeTestRun>,
}

/// One range test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RangeTestRun {
    /// From which its random streams were derived.
    pub seed: u64,
    /// Why it ended.
    pub stop: StopReason,
    /// What it cost.
    pub cost: RangeTestCost,
    /// What it recorded, raw.
    pub curve: LossCurve,
}

/// What a test cost, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RangeTestCost {
    /// Updates made.
    pub updates: u64,
    /// What a plain training of as many updates takes.
    pub training_seconds: f64,
    /// Validation along the way.
    pub validation_seconds: f64,
    /// All else.
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
    /// The tests of a value, and what every rule says of them.
    pub fn new(value: Option<f64>, tests: Vec<RangeTestRun>) -> Self {
        let curves: Vec<LossCurve> = tests.iter().map(|test| test.curve.clone()).collect();
        let seen: Vec<LossCurve> = curves
            .iter()
            .map(|curve| curve.seen_by(Signal::ValidationAccuracy))
            .filter(|curve| !curve.is_empty())
            .collect();
        let rules = Rule::ALL.map(|rule| (rule, over_seeds(&curves, rule)));
        CurveGroup {
            value,
            rules: rules.into_iter().collect(),
            by_accuracy: (!seen.is_empty()).then(|| over_seeds(&seen, Rule::OneCycleMax)),
            tests,
        }
    }

    /// What a rule says. `None` for a rule that the file did not have.
    pub fn answer(&self, rule: Rule) -> Option<&OverSeeds> {
        self.rules.get(&rule)
    }

    /// What the curve is worth for the maximum of one cycle.
    pub fn verdict(&self) -> Verdict {
        self.answer(Rule::OneCycleMax)
            .map_or(Verdict::TooShort, |answer| answer.verdict)
    }

    /// The largest rate that can be the peak of one cycle.
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

    /// The smoothed loss at every step: the middle, the lowest and the highest over the seeds. Steps that fewer than half
    /// of the seeds reached are left out.
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
                let middle = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
                Some([middle, values[0], values[values.len() - 1]])
            })
            .collect()
    }

    /// The lowest smoothed loss of the seeds' middle, and how far it lies below the start.
    pub(crate) fn descent(&self) -> Option<(f64, f64)> {
        let smoothed = self.smoothed();
        let finite = smoothed
            .iter()
            .map(|[middle, ..]| *middle)
            .filter(|loss| loss.is_finite());
        let start = finite.clone().next()?;
        let lowest = finite.fold(f64::INFINITY, f64::min);
        Some((lowest, start - lowest))
    }

    /// The longest of the seeds' lists of rates.
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
            [_] => found.answering(0),
            _ => found,
        }
    }

    /// Tests that were made one by one as those of one call: those of the same value are a group, in the order in which the
    /// values first appear. LrSweep and parameter are the first one's. `None` without any.
    #[must_use]
    pub fn together(parts: Vec<RangeTestResult>) -> Option<Self> {
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

    /// With the answers of one group as those of the whole.
    fn answering(mut self, group: usize) -> Self {
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

    /// With the answers of the group that was chosen, and the reason.
    #[must_use]
    pub fn chosen(self, choice: ChosenGroup) -> Self {
        let mut found = self.answering(choice.group);
        found.choice = Some(choice);
        found
    }

    /// The group that was chosen.
    pub fn chosen_group(&self) -> Option<&CurveGroup> {
        self.groups.get(self.choice.as_ref()?.group)
    }

    /// With the peak that short cycles found in place of the range test's own, and the reason for it.
    #[must_use]
    pub fn searched(mut self, search: PeakSearch, reason: &str) -> Self {
        self.verdict = search.answer.verdict;
        self.one_cycle_max = search.answer.lr;
        if let Some(choice) = &mut self.choice {
            choice.reason = format!("{reason}; {}", choice.reason);
        }
        self.search = Some(search);
        self
    }

    /// Writes `range_test.json`, and the figure as SVG, PNG and CSV under `figures/`, into a folder, which is created
    /// where it is missing.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), TrainError> {
        figures::write(&folder.join("figures"), &figure(self))?;
        self.write_json(&folder.join("range_test.json"))
    }

    /// Writes the record alone.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write_json(&self, path: &Path) -> Result<(), TrainError> {
        Ok(files::write_json(path, "the range test", self)?)
    }

    /// Reads what [`write_json`](RangeTestResult::write_json) wrote.
    ///
    /// # Errors
    /// A file that cannot be read or is something else.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let text = files::read_text(path)?;
        serde_json::from_str(&text).map_err(|error| FileError::CurveFile {
            path: path.to_path_buf(),
            line: (error.line() > 0).then(|| error.line()),
            why: error.to_string(),
        })
    }

    /// The smoothed losses over the sweep as text, for a terminal or a log.
    pub fn terminal(&self, width: usize, height: usize, charset: Charset) -> String {
        let curves: Vec<(String, Vec<f64>)> = self
            .groups
            .iter()
            .map(|group| {
                let smoothed = group
                    .smoothed()
                    .iter()
                    .map(|[middle, ..]| *middle)
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

    /// A table of what the rules say, a line a rule and group.
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
            // Many curves: their own rules are enough.
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

    /// What the tests cost, in one line.
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
            "{updates} updates in {training:.1} s, {share:.2} % more than as many of a plain training{validation}"
        )
    }

    /// All curves as CSV: a row per seed and step, with the raw and the smoothed loss.
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
