//! Progress of a study, on a terminal and in a pipe.

use std::{
    collections::BTreeSet,
    io::IsTerminal,
    process::ExitCode,
    time::{Duration, Instant},
};

use crate::{output, progress::duration, stop::Stop};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use onecycle_train::{
    observer::{Observer, RunEnd, RunPosition},
    record::StepRecord,
};

/// Time between two lines within a cell where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Shows a study to a person.
pub(super) struct Watch {
    bar: ProgressBar,
    lines: bool,
    last_line: Instant,
    /// Where the current run is in the study, in words.
    place: String,
    /// Updates made in the current run, and all of its updates.
    steps: (u64, u64),
    /// Cells done, of how many.
    done: (usize, usize),
    /// Notes that were told: every run on the same data has the same ones.
    told: BTreeSet<String>,
    stop: Stop,
}

impl Watch {
    pub(super) fn new(quiet: bool, stop: Stop) -> Self {
        let on_terminal = std::io::stderr().is_terminal();
        let target = match (quiet, on_terminal) {
            (false, true) => ProgressDrawTarget::stderr(),
            _ => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        if let Ok(style) =
            ProgressStyle::with_template("{elapsed_precise} {bar:28} {pos}/{len} steps  {msg}")
        {
            bar.set_style(style);
        }
        Watch {
            bar,
            lines: !quiet && !on_terminal,
            last_line: Instant::now(),
            place: String::new(),
            steps: (0, 0),
            done: (0, 0),
            told: BTreeSet::new(),
            stop,
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Tells that the study was stopped, and how to go on.
    pub(super) fn stopped(&self) -> ExitCode {
        let (why, words) = (self.stop.why(), how_to_go_on(self.done));
        output::note(&format!("{why}{words}"));
        self.stop.exit_code()
    }

    /// `run 3 of 12 (one-cycle, seed 1), 4m10s left`.
    fn place(position: &RunPosition<'_>) -> String {
        let left = position.seconds_left.map_or(String::new(), |seconds| {
            format!(", {} left", duration(seconds))
        });
        format!(
            "run {} of {} ({}, seed {}){left}",
            position.index + 1,
            position.runs,
            position.label,
            position.seed
        )
    }
}

/// What a study that is stopped with so many of so many cells done ends with.
pub(super) fn how_to_go_on(done: (usize, usize)) -> String {
    let stopped = match done {
        // Not even begun: what goes before the runs was stopped.
        (_, 0) => "stopped before the first run".to_owned(),
        (done, of) => format!("stopped with {done} of {of} runs done"),
    };
    format!("{stopped}; the same command goes on")
}

impl Observer for Watch {
    fn study(&mut self, runs: usize, done: usize) {
        self.done = (done, runs);
        self.stop.at_once(how_to_go_on(self.done));
        if self.lines && done > 0 && done < runs {
            output::note(&format!("{done} of {runs} runs are done already"));
        }
    }

    fn run_begin(&mut self, position: &RunPosition<'_>) {
        self.stop.after_step();
        self.bar.set_length(position.steps);
        self.bar.set_position(position.step);
        self.bar.set_message(Watch::place(position));
    }

    fn run_position(&mut self, position: &RunPosition<'_>) {
        self.place = Watch::place(position);
        self.steps = (position.step, position.steps);
        self.bar.set_position(position.step);
        self.bar.set_message(self.place.clone());
    }

    fn step(&mut self, record: &StepRecord) {
        if self.lines && self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            let (step, steps) = self.steps;
            let text = format!("step {step} of {steps}, loss {:.4}", record.loss);
            output::note(&format!("{}, {text}", self.place));
        }
    }

    fn run_end(&mut self, position: &RunPosition<'_>, end: RunEnd) {
        self.done.0 += 1;
        let outcome = match end.diverged_at {
            None => format!("{:.2} %", 100.0 * end.final_accuracy),
            Some(step) => format!("diverged at step {step}"),
        };
        let text = format!("{}: {outcome}", Watch::place(position));
        if self.lines {
            output::note(&text);
            self.last_line = Instant::now();
        } else {
            self.bar.println(text);
        }
        // What follows, the next run's data or the result, can be made again.
        self.stop.at_once(how_to_go_on(self.done));
    }

    fn note(&mut self, text: &str) {
        if !self.told.insert(text.to_owned()) {
            return;
        }
        self.bar.suspend(|| output::note(&format!("note: {text}")));
    }

    fn stop(&mut self) -> bool {
        self.stop.reason().is_some()
    }
}
