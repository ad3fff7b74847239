//! Progress of a training run.

use std::time::{Duration, Instant};

use onecycle_plot::format::duration;
use onecycle_train::{
    observer::Observer,
    record::{EpochRecord, StepRecord},
};

use crate::{bar::Bar, output, stop::Stop};

/// Time between two lines if standard error is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Weight of earlier batches in the displayed loss, a running mean: single batches are noisy.
const SMOOTHING: f64 = 0.95;

/// Shows the progress of a training run.
pub(crate) struct TrainProgress {
    bar: Bar,
    table: bool,
    header_shown: bool,
    steps: u64,
    epochs: u64,
    first_step: Option<(u64, Instant)>,
    shown_loss: Option<f64>,
    stop: Stop,
}

impl TrainProgress {
    /// Progress of a run of `steps` updates in about `epochs` epochs. With `table`, each epoch is
    /// written as a line of a table to standard output.
    pub(crate) fn new(steps: u64, epochs: f64, quiet: bool, table: bool, stop: Stop) -> Self {
        let template = "{elapsed_precise} {bar:28} {pos}/{len} steps, {eta} left  {msg}";
        TrainProgress {
            bar: Bar::new(template, quiet, LINE_EVERY),
            table,
            header_shown: false,
            steps,
            epochs: epochs.ceil() as u64,
            first_step: None,
            shown_loss: None,
            stop,
        }
    }

    /// Epoch, loss, learning rate and momentum as text.
    fn message(&self, record: &StepRecord) -> String {
        let loss = self.shown_loss.unwrap_or(record.loss);
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

    /// A line for a log, with the time left once it can be estimated.
    fn line(&self, record: &StepRecord) -> String {
        let (first, since) = self.first_step.unwrap_or((record.step, Instant::now()));
        // The clock started at the end of the first step.
        let timed = record.step.saturating_sub(first);
        let to_do = self.steps.saturating_sub(record.step + 1);
        let left = seconds_left(since.elapsed(), timed, to_do);
        let left = left.map_or(String::new(), |left| format!("  {} left", duration(left)));
        format!(
            "step {}/{}  {}{left}",
            record.step + 1,
            self.steps,
            self.message(record),
        )
    }
}

/// Seconds for `to_do` steps if `timed` steps took `elapsed`; `None` without a timed step.
fn seconds_left(elapsed: Duration, timed: u64, to_do: u64) -> Option<f64> {
    (timed > 0).then(|| elapsed.as_secs_f64() / timed as f64 * to_do as f64)
}

impl Observer for TrainProgress {
    fn step(&mut self, record: &StepRecord) {
        let old = self.shown_loss.unwrap_or(record.loss);
        self.shown_loss = Some(SMOOTHING * old + (1.0 - SMOOTHING) * record.loss);
        // The first step of this process, or a retry from before it.
        let restarted = self.first_step.is_none_or(|(first, _)| record.step < first);
        if restarted {
            self.first_step = Some((record.step, Instant::now()));
            self.bar.set(record.step, self.steps, self.message(record));
            self.bar.reset_eta();
        }
        self.bar
            .set(record.step + 1, self.steps, self.message(record));
        if self.bar.line_is_due() {
            let line = self.line(record);
            self.bar.line(&line);
        }
    }

    fn evaluation(&mut self, images: u64, total: u64) {
        self.bar.message(format!("evaluating {images}/{total}"));
    }

    fn epoch(&mut self, record: &EpochRecord) {
        if !self.table {
            return;
        }
        let header =
            "epoch  train loss  val loss      gap  train acc  val acc        lr  momentum   time";
        let line = format!(
            "{:>5}  {:>10.4}  {:>8.4}  {:>+7.4}  {:>7.2} %  {:>5.2} %  {:>8.5}  {:>8}  {:>5}",
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
        let _ = self.bar.hidden(|| output::text(&text));
        self.header_shown = true;
    }

    fn note(&mut self, text: &str) {
        self.bar.hidden(|| output::note(&format!("note: {text}")));
    }

    fn stop(&mut self) -> bool {
        self.stop.reason().is_some()
    }
}

impl Drop for TrainProgress {
    fn drop(&mut self) {
        self.bar.finish();
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
