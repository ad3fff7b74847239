//! A progress bar on a terminal, lines of text in a pipe.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

/// Shows how far something is on standard error: as a bar on a terminal, as occasional lines elsewhere,
/// and not at all if quiet.
pub(crate) struct Bar {
    bar: ProgressBar,
    in_lines: bool,
    line_every: Duration,
    last_line: Instant,
}

impl Bar {
    /// A bar by an `indicatif` template. Without a terminal, a line is due every `line_every`.
    pub(crate) fn new(template: &str, quiet: bool, line_every: Duration) -> Self {
        let on_terminal = std::io::stderr().is_terminal();
        let target = match (quiet, on_terminal) {
            (false, true) => ProgressDrawTarget::stderr(),
            _ => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Bar {
            bar,
            in_lines: !quiet && !on_terminal,
            line_every,
            last_line: Instant::now(),
        }
    }

    /// Redraws the bar regularly, also while nothing advances.
    pub(crate) fn redraw_every(&self, interval: Duration) {
        self.bar.enable_steady_tick(interval);
    }

    /// Begins a part of `length` units under a new message; without a terminal, writes the message.
    pub(crate) fn begin(&mut self, message: &str, length: u64) {
        self.line(message);
        self.bar.reset();
        self.bar.set_length(length);
        self.bar.set_message(message.to_owned());
    }

    /// Sets position, length and message without a line.
    pub(crate) fn set(&self, position: u64, length: u64, message: String) {
        self.bar.set_length(length);
        self.bar.set_position(position);
        self.bar.set_message(message);
    }

    /// Estimates the remaining time from now on.
    pub(crate) fn reset_eta(&self) {
        self.bar.reset_eta();
    }

    /// Replaces the message.
    pub(crate) fn message(&self, message: String) {
        self.bar.set_message(message);
    }

    /// One unit is done.
    pub(crate) fn advance(&self) {
        self.bar.inc(1);
    }

    /// Whether there is no terminal and the last line is long enough ago.
    pub(crate) fn line_is_due(&self) -> bool {
        self.in_lines && self.last_line.elapsed() >= self.line_every
    }

    /// Writes a line that stays: above the bar on a terminal, by itself elsewhere.
    pub(crate) fn result(&mut self, text: &str) {
        self.line(text);
        // Draws nothing without a terminal.
        self.bar.println(text);
    }

    /// Writes a line if there is no terminal.
    pub(crate) fn line(&mut self, text: &str) {
        if self.in_lines {
            output::note(text);
            self.last_line = Instant::now();
        }
    }

    /// Runs `write` while the bar is hidden, so that its output does not mix with it.
    pub(crate) fn hidden<R>(&self, write: impl FnOnce() -> R) -> R {
        self.bar.suspend(write)
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
