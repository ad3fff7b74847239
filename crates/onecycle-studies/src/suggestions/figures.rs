use super::TaskResult;
use onecycle_plot::{Axis, Colour, Figure, Mark, Series, Style};

/// Rules shown in the figure, with their labels: those of this program and fastai's default.
const MARKED: [(&str, &str); 3] = [
    ("short_cycles", "short cycles"),
    ("one_cycle_max", "one_cycle_max"),
    ("valley", "fastai valley"),
];

/// Accuracy over the peak: mean and band over the seeds, with the suggestions as marks.
pub(super) fn figure(task: &TaskResult) -> Figure {
    let mut figure = Figure::new(
        format!("suggestions-{}", task.name),
        format!("{}: {} steps", task.setup, task.steps),
        Axis::log("largest learning rate of one cycle (logarithmic)"),
        Axis::linear("accuracy on held-out images (%)"),
    );
    let x: Vec<f64> = task.grid.iter().map(|point| point.lr_max).collect();
    let edge = |pick: fn(f64, f64) -> f64, from: f64| -> Vec<f64> {
        let of = |accuracies: &Vec<f64>| 100.0 * accuracies.iter().copied().fold(from, pick);
        task.grid
            .iter()
            .map(|point| of(&point.accuracies))
            .collect()
    };
    let band = Series::line(
        format!("{} seeds", task.seeds.len()),
        x.clone(),
        edge(f64::min, f64::INFINITY),
    );
    let upper = edge(f64::max, f64::NEG_INFINITY);
    let colour = Colour::ORDER[0];
    figure
        .series
        .push(band.style(Style::Band { upper }).colour(colour));
    let means = task.grid.iter().map(|point| 100.0 * point.mean).collect();
    let line = Series::line("mean", x, means);
    figure
        .series
        .push(line.style(Style::LinePoints).colour(colour));
    for (rule, label) in MARKED {
        let result = task.rules.iter().find(|one| one.rule == rule);
        let mut suggested: Vec<f64> = result
            .map(|one| one.lr.iter().flatten().copied().collect())
            .unwrap_or_default();
        suggested.sort_by(f64::total_cmp);
        // The median over the seeds.
        if let Some(x) = suggested.get(suggested.len().saturating_sub(1) / 2) {
            figure.marks.push(Mark {
                x: *x,
                label: label.to_owned(),
            });
        }
    }
    figure.marks.sort_by(|a, b| a.x.total_cmp(&b.x));
    figure
}
