//! Progress: a bar on a terminal, lines of text otherwise.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

/// How progress is shown on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Not at all.
    Hidden,
    /// Occasional lines.
    Lines,
    /// A bar.
    Bar,
    /// A [`Dashboard`](crate::dashboard::Dashboard) for a training, a bar for everything else.
    Dashboard,
}

impl Mode {
    /// A bar on a terminal, lines otherwise, nothing if `quiet`.
    pub(crate) fn of(quiet: bool) -> Self {
        match (quiet, is_terminal()) {
            (true, _) => Mode::Hidden,
            (false, true) => Mode::Bar,
            (false, false) => Mode::Lines,
        }
    }
}

/// Whether standard error is a terminal that can move its cursor.
pub(crate) fn is_terminal() -> bool {
    let dumb = std::env::var("TERM").is_ok_and(|kind| kind == "dumb");
    std::io::stderr().is_terminal() && !dumb
}

/// Shows progress on standard error: a bar, occasional lines, or nothing.
pub(crate) struct Bar {
    bar: ProgressBar,
    in_lines: bool,
    line_every: Duration,
    last_line: Instant,
}

impl Bar {
    /// A bar with this `indicatif` template. In lines, one is due every `line_every`.
    pub(crate) fn new(template: &str, mode: Mode, line_every: Duration) -> Self {
        let target = match mode {
            Mode::Bar | Mode::Dashboard => ProgressDrawTarget::stderr(),
            Mode::Hidden | Mode::Lines => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Bar {
            bar,
            in_lines: mode == Mode::Lines,
            line_every,
            last_line: Instant::now(),
        }
    }

    /// Redraws the bar at this interval even if it does not advance.
    pub(crate) fn redraw_every(&self, interval: Duration) {
        self.bar.enable_steady_tick(interval);
    }

    /// Starts again at 0 of `length` with a new message. Without a terminal, writes the message.
    pub(crate) fn begin(&mut self, message: &str, length: u64) {
        self.line(message);
        self.bar.reset();
        self.bar.set_length(length);
        self.bar.set_message(message.to_owned());
    }

    /// Sets position, length and message of the bar. Writes no line.
    pub(crate) fn set(&self, position: u64, length: u64, message: String) {
        self.bar.set_length(length);
        self.bar.set_position(position);
        self.bar.set_message(message);
    }

    /// Starts the estimate of the remaining time again.
    pub(crate) fn reset_eta(&self) {
        self.bar.reset_eta();
    }

    /// Replaces the message.
    pub(crate) fn message(&self, message: String) {
        self.bar.set_message(message);
    }

    /// Advances by one unit.
    pub(crate) fn advance(&self) {
        self.bar.inc(1);
    }

    /// Whether a line should be written now. Always false on a terminal.
    pub(crate) fn line_is_due(&self) -> bool {
        self.in_lines && self.last_line.elapsed() >= self.line_every
    }

    /// Whether the last line is older than this. Always false on a terminal.
    pub(crate) fn has_line_after(&self, time: Duration) -> bool {
        self.in_lines && self.last_line.elapsed() >= time
    }

    /// Writes a line that stays, on a terminal above the bar.
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

    /// Hides the bar while `write` writes to the terminal.
    pub(crate) fn hidden<R>(&self, write: impl FnOnce() -> R) -> R {
        self.bar.suspend(write)
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
