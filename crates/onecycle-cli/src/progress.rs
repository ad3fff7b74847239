//! Progress of a run, on a terminal and in a pipe.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use crate::{output, stop::Stop};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use onecycle_train::{
    observer::Observer,
    record::{EpochRecord, StepRecord},
};

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Weight of the past in the loss that is shown; a single batch says little.
const SMOOTHING: f64 = 0.95;

/// Shows a run to a person.
pub(crate) struct Progress {
    bar: ProgressBar,
    quiet: bool,
    on_terminal: bool,
    table: bool,
    header_shown: bool,
    steps: u64,
    epochs: u64,
    first_step: Option<(u64, Instant)>,
    last_line: Instant,
    shown_loss: Option<f64>,
    stop: Stop,
}

impl Progress {
    /// For a run of `steps` updates in about `epochs` epochs. With `table`, epochs go to standard output as a table.
    pub(crate) fn new(steps: u64, epochs: f64, quiet: bool, table: bool, stop: Stop) -> Self {
        let on_terminal = std::io::stderr().is_terminal();
        let target = match (quiet, on_terminal) {
            (false, true) => ProgressDrawTarget::stderr(),
            _ => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(steps), target);
        if let Ok(style) = ProgressStyle::with_template(
            "{elapsed_precise} {bar:28} {pos}/{len} steps, {eta} left  {msg}",
        ) {
            bar.set_style(style);
        }
        Progress {
            bar,
            quiet,
            on_terminal,
            table,
            header_shown: false,
            steps,
            epochs: epochs.ceil() as u64,
            first_step: None,
            last_line: Instant::now(),
            shown_loss: None,
            stop,
        }
    }

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

    /// A line where there is no terminal to draw on.
    fn line(&mut self, record: &StepRecord) {
        let Some((first, since)) = self.first_step else {
            return;
        };
        let made = record.step + 1 - first;
        let left = self.steps.saturating_sub(record.step + 1);
        let seconds = since.elapsed().as_secs_f64() / made as f64 * left as f64;
        output::note(&format!(
            "step {}/{}  {}  {} left",
            record.step + 1,
            self.steps,
            self.message(record),
            duration(seconds)
        ));
        self.last_line = Instant::now();
    }
}

impl Observer for Progress {
    fn step(&mut self, record: &StepRecord) {
        let old = self.shown_loss.unwrap_or(record.loss);
        self.shown_loss = Some(SMOOTHING * old + (1.0 - SMOOTHING) * record.loss);
        // The first one, or a run that went back behind it after a divergence.
        if self.first_step.is_none_or(|(first, _)| record.step < first) {
            self.first_step = Some((record.step, Instant::now()));
            self.bar.set_position(record.step);
            self.bar.reset_eta();
        }
        self.bar.set_position(record.step + 1);
        self.bar.set_message(self.message(record));
        if !self.quiet && !self.on_terminal && self.last_line.elapsed() >= LINE_EVERY {
            self.line(record);
        }
    }

    fn evaluation(&mut self, images: u64, of: u64) {
        self.bar.set_message(format!("measuring {images}/{of}"));
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
        // A reader who went away (`onecycle train | head -2`) does not end the run.
        let _ = self.bar.suspend(|| output::text(&text));
        self.header_shown = true;
    }

    fn note(&mut self, text: &str) {
        self.bar.suspend(|| output::note(&format!("note: {text}")));
    }

    fn stop(&mut self) -> bool {
        self.stop.reason().is_some()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Seconds in words: `38s`, `2m05s`, `1h12m`.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_read_well() {
        for (seconds, text) in [
            (0.2, "0s"),
            (59.4, "59s"),
            (59.6, "1m00s"),
            (125.0, "2m05s"),
            (4320.0, "1h12m"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
