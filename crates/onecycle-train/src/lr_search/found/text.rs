//! The result of range tests as text: for a terminal, as a table and as CSV.

use onecycle::range_test::{OverSeeds, Rule};
use onecycle_plot::{
    format::significant,
    table::align,
    terminal::{self, Charset, XLabels},
};

use super::{RangeTestCost, RangeTestResult};

impl RangeTestResult {
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
        let below = XLabels {
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
                let range = answer
                    .range
                    .filter(|(low, high)| low < high)
                    .map_or_else(String::new, |(low, high)| {
                        format!("{} to {}", significant(low), significant(high))
                    });
                rows.push(vec![
                    group.label(self.parameter),
                    rule.to_owned(),
                    lr,
                    range,
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
