//! Progress of a training run.

use std::time::{Duration, Instant};

use onecycle::Plan;
use onecycle_plot::format::duration;
use onecycle_train::{
    observer::Observer,
    record::{EpochRecord, StepRecord},
};

use crate::{
    bar::{Bar, Mode},
    dashboard::Dashboard,
    output,
    stop::Stop,
};

/// Time between two lines if standard error is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Weight of earlier batches in the displayed loss, a running mean: single batches are noisy.
const SMOOTHING: f64 = 0.95;

/// A running mean of losses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Smoothed(Option<f64>);

impl Smoothed {
    /// The mean with another loss.
    pub(crate) fn add(&mut self, loss: f64) -> f64 {
        let old = self.0.unwrap_or(loss);
        let new = SMOOTHING * old + (1.0 - SMOOTHING) * loss;
        self.0 = Some(new);
        new
    }
}

/// Where a training is shown.
pub(crate) enum View {
    /// In a bar, in lines, or nowhere.
    Bar(Bar),
    /// In a dashboard.
    Dashboard(Dashboard),
}

impl View {
    /// A dashboard with this title, or the other view.
    pub(crate) fn new(title: &str, mode: Mode, bar: impl FnOnce() -> Bar) -> Self {
        match mode {
            Mode::Dashboard => View::Dashboard(Dashboard::new(title)),
            Mode::Hidden | Mode::Lines | Mode::Bar => View::Bar(bar()),
        }
    }

    /// A run with this plan begins.
    pub(crate) fn plan(&self, plan: &Plan) {
        if let View::Dashboard(dashboard) = self {
            dashboard.begin(plan, epochs_of(plan));
        }
    }

    /// Writes a line to standard error that stays.
    pub(crate) fn note(&self, text: &str) {
        match self {
            View::Bar(bar) => bar.hidden(|| output::note(text)),
            View::Dashboard(_) => output::note(text),
        }
    }

    /// Removes it.
    pub(crate) fn finish(&self) {
        match self {
            View::Bar(bar) => bar.finish(),
            View::Dashboard(dashboard) => dashboard.finish(),
        }
    }
}

/// Epochs of a plan; the last one may be incomplete.
fn epochs_of(plan: &Plan) -> u64 {
    plan.epoch_at(plan.steps()).unwrap_or(1.0).ceil() as u64
}

/// Shows the progress of a training run.
pub(crate) struct TrainProgress {
    view: View,
    table: bool,
    header_shown: bool,
    steps: u64,
    epochs: u64,
    first_step: Option<(u64, Instant)>,
    loss: Smoothed,
    stop: Stop,
}

impl TrainProgress {
    /// Progress of a run with this title. With `table`, each epoch is written as a line of a table to
    /// standard output.
    pub(crate) fn new(title: &str, mode: Mode, table: bool, stop: Stop) -> Self {
        let template = "{elapsed_precise} {bar:28} {pos}/{len} steps, {eta} left  {wide_msg}";
        TrainProgress {
            view: View::new(title, mode, || Bar::new(template, mode, LINE_EVERY)),
            table,
            header_shown: false,
            steps: 0,
            epochs: 1,
            first_step: None,
            loss: Smoothed::default(),
            stop,
        }
    }

    /// Epoch, loss, learning rate and momentum as text.
    fn message(&self, record: &StepRecord, loss: f64) -> String {
        let momentum = record.momentum.map_or(String::new(), |momentum| {
            format!("  momentum {momentum:.3}")
        });
        format!(
            "epoch {}/{}  loss {loss:.4}  lr {:.4}{momentum}",
            record.epoch + 1,
            self.epochs.max(record.epoch + 1),
            record.lr
        )
    }

    /// Estimated seconds to the end of the run after an update; `None` at the first one.
    fn seconds_left(&self, record: &StepRecord) -> Option<f64> {
        let (first, since) = self.first_step?;
        // The clock started at the end of the first step.
        let timed = record.step.saturating_sub(first);
        let to_do = self.steps.saturating_sub(record.step + 1);
        seconds_left(since.elapsed(), timed, to_do)
    }
}

/// Seconds for `to_do` steps if `timed` steps took `elapsed`; `None` without a timed step.
fn seconds_left(elapsed: Duration, timed: u64, to_do: u64) -> Option<f64> {
    (timed > 0).then(|| elapsed.as_secs_f64() / timed as f64 * to_do as f64)
}

impl Observer for TrainProgress {
    fn plan(&mut self, plan: &Plan) {
        (self.steps, self.epochs) = (plan.steps(), epochs_of(plan));
        self.view.plan(plan);
    }

    fn step(&mut self, record: &StepRecord) {
        let loss = self.loss.add(record.loss);
        // The first step of this process, or a retry from before it.
        let restarted = self.first_step.is_none_or(|(first, _)| record.step < first);
        if restarted {
            self.first_step = Some((record.step, Instant::now()));
        }
        let left = self.seconds_left(record);
        let message = match &self.view {
            View::Dashboard(_) => String::new(),
            View::Bar(_) => self.message(record, loss),
        };
        match &mut self.view {
            View::Dashboard(dashboard) => dashboard.step(record, loss, left),
            View::Bar(bar) => {
                if restarted {
                    bar.set(record.step, self.steps, message.clone());
                    bar.reset_eta();
                }
                if bar.line_is_due() {
                    let (step, steps) = (record.step + 1, self.steps);
                    let left =
                        left.map_or(String::new(), |left| format!("  {} left", duration(left)));
                    bar.line(&format!("step {step}/{steps}  {message}{left}"));
                }
                bar.set(record.step + 1, self.steps, message);
            }
        }
    }

    fn evaluation(&mut self, images: u64, total: u64) {
        match &self.view {
            View::Dashboard(dashboard) => dashboard.evaluation(images, total),
            View::Bar(bar) => bar.message(format!("evaluating {images}/{total}")),
        }
    }

    fn epoch(&mut self, record: &EpochRecord) {
        if let View::Dashboard(dashboard) = &self.view {
            dashboard.epoch(record);
        }
        if !self.table {
            return;
        }
        let header =
            "epoch train loss  val loss     gap  train acc  val acc       lr momentum   time";
        let line = format!(
            "{:>5} {:>10.4}  {:>8.4} {:>+7.4}  {:>7.2} %  {:>5.2} %  {:>7.5} {:>8} {:>6}",
            record.epoch + 1,
            record.train_loss,
            record.val_loss,
            record.generalisation_gap,
            100.0 * record.train_accuracy,
            100.0 * record.val_accuracy,
            record.lr,
            record
                .momentum
                .map_or("-".to_owned(), |momentum| format!("{momentum:.4}")),
            duration(record.seconds),
        );
        let text = match self.header_shown {
            true => line,
            false => format!("{header}\n{line}"),
        };
        // A closed pipe (`onecycle train | head -2`) does not stop the run.
        let _ = match &self.view {
            View::Bar(bar) => bar.hidden(|| output::text(&text)),
            View::Dashboard(_) => output::text(&text),
        };
        self.header_shown = true;
    }

    fn note(&mut self, text: &str) {
        self.view.note(&format!("note: {text}"));
    }

    fn stop(&mut self) -> bool {
        self.stop.reason().is_some()
    }
}

impl Drop for TrainProgress {
    fn drop(&mut self) {
        self.view.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_from_the_steps_that_were_timed() {
        let left = |timed, to_do| seconds_left(Duration::from_secs(6), timed, to_do);
        assert_eq!(left(3, 10), Some(20.0));
        assert_eq!(left(3, 0), Some(0.0));
        // At the first step of a process, nothing is known yet.
        assert_eq!(left(0, 10), None);
    }
}
