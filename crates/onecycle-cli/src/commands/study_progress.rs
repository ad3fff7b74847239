//! Progress of a study, on a terminal and in a pipe.

use std::{collections::BTreeSet, process::ExitCode, time::Duration};

use crate::{bar::Bar, output, stop::Stop};
use onecycle_plot::format::duration;
use onecycle_train::{
    observer::{Observer, RunEnd, RunPosition},
    record::StepRecord,
};

/// Time between two lines within a run, without a terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Shows a study of many runs.
pub(super) struct StudyProgress {
    bar: Bar,
    /// The current run in words: `run 3 of 12 (one-cycle, seed 1), 4m10s left`.
    place: String,
    /// Updates made in the current run, and all of its updates.
    steps: (u64, u64),
    /// Finished runs, and all runs.
    done: (usize, usize),
    /// Notes that were shown: every run on the same data has the same ones.
    shown: BTreeSet<String>,
    stop: Stop,
}

impl StudyProgress {
    pub(super) fn new(quiet: bool, stop: Stop) -> Self {
        let template = "{elapsed_precise} {bar:28} {pos}/{len} steps  {msg}";
        StudyProgress {
            bar: Bar::new(template, quiet, LINE_EVERY),
            place: String::new(),
            steps: (0, 0),
            done: (0, 0),
            shown: BTreeSet::new(),
            stop,
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish();
    }

    /// Tells that the study was stopped, and how to go on.
    pub(super) fn stopped(&self) -> ExitCode {
        let (why, words) = (self.stop.why(), how_to_go_on(self.done));
        output::note(&format!("{why}{words}"));
        self.stop.exit_code()
    }
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

/// What a study that is stopped with so many of so many cells done ends with.
pub(super) fn how_to_go_on(done: (usize, usize)) -> String {
    let stopped = match done {
        // Not even begun: what goes before the runs was stopped.
        (_, 0) => "stopped before the first run".to_owned(),
        (done, of) => format!("stopped with {done} of {of} runs done"),
    };
    format!("{stopped}; the same command goes on")
}

impl Observer for StudyProgress {
    fn study(&mut self, runs: usize, done: usize) {
        self.done = (done, runs);
        self.stop.at_once(how_to_go_on(self.done));
        if done > 0 && done < runs {
            self.bar
                .line(&format!("{done} of {runs} runs are done already"));
        }
    }

    fn run_begin(&mut self, position: &RunPosition<'_>) {
        self.stop.after_step();
        self.run_position(position);
    }

    fn run_position(&mut self, position: &RunPosition<'_>) {
        self.place = place(position);
        self.steps = (position.step, position.steps);
        self.bar
            .set(position.step, position.steps, self.place.clone());
    }

    fn step(&mut self, record: &StepRecord) {
        let (step, steps) = self.steps;
        if self.bar.line_is_due() {
            let place = &self.place;
            let line = format!("{place}, step {step} of {steps}, loss {:.4}", record.loss);
            self.bar.line(&line);
        }
    }

    fn run_end(&mut self, position: &RunPosition<'_>, end: RunEnd) {
        self.done.0 += 1;
        let outcome = match end.diverged_at {
            None => format!("{:.2} %", 100.0 * end.final_accuracy),
            Some(step) => format!("diverged at step {step}"),
        };
        self.bar.result(&format!("{}: {outcome}", place(position)));
        // What follows, the next run's data or the result, can be made again.
        self.stop.at_once(how_to_go_on(self.done));
    }

    fn note(&mut self, text: &str) {
        if self.shown.insert(text.to_owned()) {
            self.bar.hidden(|| output::note(&format!("note: {text}")));
        }
    }

    fn stop(&mut self) -> bool {
        self.stop.reason().is_some()
    }
}
