use onecycle::range_test::Rule;
use serde::{Deserialize, Serialize};

use super::{GridPoint, Regret, SeedRuns, Task, regret, suggested_lr};
use onecycle_plot::{
    format::{percent, significant},
    table::align,
};
use onecycle_train::Experiment;

/// A method that suggests a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnyRule {
    /// The search by short cycles.
    ShortCycles,
    /// A rule on the curve of a range test.
    Curve(Rule),
}

impl AnyRule {
    /// All methods, those of this program first.
    fn all() -> impl Iterator<Item = AnyRule> {
        let curves = Rule::ALL.into_iter().map(AnyRule::Curve);
        std::iter::once(AnyRule::ShortCycles).chain(curves)
    }

    fn name(self) -> &'static str {
        match self {
            AnyRule::ShortCycles => "short_cycles",
            AnyRule::Curve(rule) => rule.name(),
        }
    }
}

/// The results of the study: `suggestions.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SuggestionResults {
    /// Each rule over all tasks.
    pub overall: Vec<RuleSummary>,
    /// Each task.
    pub tasks: Vec<TaskResult>,
}

/// A task with its grid and the suggestions of all rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    /// Its name.
    pub name: String,
    /// Network, data, batch size and optimizer as text.
    pub setup: String,
    /// Updates of a complete run.
    pub steps: u64,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// Accuracies at each peak.
    pub grid: Vec<GridPoint>,
    /// Peak with the best mean accuracy.
    pub best_lr: f64,
    /// That accuracy, 0 to 1.
    pub best_accuracy: f64,
    /// Each rule.
    pub rules: Vec<RuleResult>,
}

/// The suggestions of a rule for a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleResult {
    /// The rule.
    pub rule: String,
    /// The suggested rate for each seed; `None` if the rule made no suggestion.
    pub lr: Vec<Option<f64>>,
    /// Ratio of the largest to the smallest suggestion.
    pub spread: Option<f64>,
    /// Mean regret over the seeds with a suggestion, 0 to 1.
    pub regret_mean: Option<f64>,
    /// Largest of these regrets.
    pub regret_worst: Option<f64>,
    /// Whether a suggestion lies outside the grid, so that the true regret may be larger.
    pub at_least: bool,
    /// Updates per suggestion as a fraction of a complete run, averaged over the seeds.
    pub cost: f64,
}

/// A rule over all tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleSummary {
    /// The rule.
    pub rule: String,
    /// Mean over the tasks of their mean regrets, 0 to 1.
    pub regret_mean: Option<f64>,
    /// The largest regret of any task and seed.
    pub regret_worst: Option<f64>,
    /// Whether a suggestion lies outside its grid.
    pub at_least: bool,
    /// The largest `spread` of any task.
    pub spread_worst: Option<f64>,
    /// Number of tasks and seeds without a suggestion.
    pub refused: usize,
    /// Mean cost as a fraction of a complete run.
    pub cost: f64,
}

impl TaskResult {
    pub(super) fn new(task: &Task, experiments: &[Experiment], runs: &[SeedRuns]) -> Self {
        let grid: Vec<GridPoint> = task
            .grid
            .iter()
            .enumerate()
            .map(|(i, lr_max)| {
                let accuracy = |(one, experiment): (&SeedRuns, &Experiment)| {
                    let chance = 1.0 / experiment.data.classes.len() as f64;
                    let measured = one.grid.get(i).and_then(|trial| trial.measured);
                    measured.map_or(chance, |score| score.accuracy)
                };
                let each = runs.iter().zip(experiments).map(accuracy);
                GridPoint::new(*lr_max, each.collect())
            })
            .collect();
        let best = grid.iter().max_by(|a, b| a.mean.total_cmp(&b.mean));
        let steps = experiments.first().map_or(0, |one| one.plan.steps());
        let config = &task.config;
        TaskResult {
            name: task.name.to_owned(),
            setup: format!(
                "{}, {} images of {}, batch size {}, {}",
                config.model,
                experiments.first().map_or(0, |one| one.data.train.len()),
                experiments.first().map_or("", |one| &one.data.name),
                config.batch_size,
                config.optimizer.config.kind(),
            ),
            steps,
            seeds: experiments.iter().map(|one| one.config.seed).collect(),
            best_lr: best.map_or(f64::NAN, |point| point.lr_max),
            best_accuracy: best.map_or(f64::NAN, |point| point.mean),
            rules: AnyRule::all()
                .map(|rule| RuleResult::new(rule, &grid, steps, runs))
                .collect(),
            grid,
        }
    }
}

impl RuleResult {
    fn new(rule: AnyRule, grid: &[GridPoint], steps: u64, runs: &[SeedRuns]) -> Self {
        let each: Vec<(Option<f64>, u64)> =
            runs.iter().map(|one| suggested_lr(rule, one)).collect();
        let suggested: Vec<f64> = each.iter().filter_map(|(lr, _)| *lr).collect();
        let regrets: Vec<Regret> = suggested
            .iter()
            .filter_map(|lr| regret(grid, *lr))
            .collect();
        let shares = regrets.iter().map(|one| one.share);
        let updates: u64 = each.iter().map(|(_, updates)| *updates).sum();
        RuleResult {
            rule: rule.name().to_owned(),
            spread: spread(&suggested),
            regret_mean: mean(shares.clone()),
            regret_worst: largest(shares),
            at_least: regrets.iter().any(|one| one.at_least),
            cost: updates as f64 / (steps * each.len() as u64) as f64,
            lr: each.into_iter().map(|(lr, _)| lr).collect(),
        }
    }

    /// The range of suggestions as text.
    fn range(&self) -> String {
        let suggested = self.lr.iter().flatten().copied();
        let (low, high) = suggested.fold((f64::INFINITY, 0.0_f64), |(low, high), lr| {
            (low.min(lr), high.max(lr))
        });
        match low <= high {
            false => "–".to_owned(),
            true if low == high => significant(low),
            true => format!("{} to {}", short(low), short(high)),
        }
    }
}

impl SuggestionResults {
    pub(super) fn new(tasks: Vec<TaskResult>) -> Self {
        let overall = AnyRule::all().map(|rule| {
            let of_rule = |task: &TaskResult| {
                let mut results = task.rules.iter();
                results.find(|one| one.rule == rule.name()).cloned()
            };
            let each: Vec<RuleResult> = tasks.iter().filter_map(of_rule).collect();
            RuleSummary {
                rule: rule.name().to_owned(),
                regret_mean: mean(each.iter().filter_map(|one| one.regret_mean)),
                regret_worst: largest(each.iter().filter_map(|one| one.regret_worst)),
                at_least: each.iter().any(|one| one.at_least),
                spread_worst: largest(each.iter().filter_map(|one| one.spread)),
                refused: each
                    .iter()
                    .flat_map(|one| &one.lr)
                    .filter(|lr| lr.is_none())
                    .count(),
                cost: mean(each.iter().map(|one| one.cost)).unwrap_or(0.0),
            }
        });
        SuggestionResults {
            overall: overall.collect(),
            tasks,
        }
    }

    /// Text tables: all rules over all tasks, then each task.
    pub fn text(&self) -> String {
        let header = [
            "rule",
            "mean regret",
            "worst",
            "spread over seeds",
            "no suggestion",
            "cost",
        ];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        rows.extend(self.overall.iter().map(|one| {
            vec![
                one.rule.clone(),
                points(one.regret_mean, one.at_least),
                points(one.regret_worst, one.at_least),
                factor(one.spread_worst),
                one.refused.to_string(),
                percent(one.cost),
            ]
        }));
        let mut text = align(&rows);
        for task in &self.tasks {
            text.push_str(&format!(
                "\n{}: {}; {} steps; best lr_max {} with {}\n",
                task.name,
                task.setup,
                task.steps,
                significant(task.best_lr),
                percent(task.best_accuracy)
            ));
            let header = ["rule", "lr", "mean regret", "worst", "cost"];
            let mut rows = vec![header.map(str::to_owned).to_vec()];
            rows.extend(task.rules.iter().map(|one| {
                vec![
                    one.rule.clone(),
                    one.range(),
                    points(one.regret_mean, one.at_least),
                    points(one.regret_worst, one.at_least),
                    percent(one.cost),
                ]
            }));
            text.push_str(&align(&rows));
        }
        text
    }

    /// CSV with one line per task, rule and seed.
    pub fn csv(&self) -> String {
        let mut text = String::from("task,rule,seed,lr,regret,at_least,cost\n");
        for task in &self.tasks {
            for one in &task.rules {
                for (lr, seed) in one.lr.iter().zip(&task.seeds) {
                    let regret = lr.and_then(|lr| regret(&task.grid, lr));
                    text.push_str(&format!(
                        "{},{},{seed},{},{},{},{}\n",
                        task.name,
                        one.rule,
                        lr.map_or(String::new(), |lr| format!("{lr:?}")),
                        regret.map_or(String::new(), |one| format!("{:?}", one.share)),
                        regret.is_some_and(|one| one.at_least),
                        one.cost
                    ));
                }
            }
        }
        text
    }
}

/// A regret in percentage points.
fn points(share: Option<f64>, at_least: bool) -> String {
    let sign = if at_least { "≥ " } else { "" };
    share.map_or_else(
        || "–".to_owned(),
        |share| format!("{sign}{:.2}", 100.0 * share),
    )
}

fn factor(spread: Option<f64>) -> String {
    spread.map_or_else(|| "–".to_owned(), |spread| format!("{spread:.2}"))
}

/// Rounds to two digits, for ranges.
fn short(lr: f64) -> String {
    significant(format!("{lr:.1e}").parse().unwrap_or(lr))
}

fn spread(suggested: &[f64]) -> Option<f64> {
    let low = suggested.iter().copied().reduce(f64::min)?;
    let high = suggested.iter().copied().reduce(f64::max)?;
    Some(high / low)
}

fn mean(values: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    let count = values.clone().count();
    (count > 0).then(|| values.sum::<f64>() / count as f64)
}

fn largest(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.reduce(f64::max)
}
