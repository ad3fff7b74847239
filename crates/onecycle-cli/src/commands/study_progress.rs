//! Progress of a study of many runs.

use std::{collections::BTreeSet, process::ExitCode, time::Duration};

use onecycle_plot::format::duration;
use onecycle_studies::study::Part;
use onecycle_train::{
    observer::{Observer, RunEnd, RunPosition},
    record::StepRecord,
};

use crate::{
    args::Format,
    bar::Bar,
    output::{self, AnyError},
    stop::Stop,
};

/// Time between two lines within a run if standard error is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Shows the progress of a study of many runs.
pub(super) struct StudyProgress {
    bar: Bar,
    /// The current run as text: `run 3 of 12 (one-cycle, seed 1), 4m10s left`.
    place: String,
    /// Updates made in the current run, and their total.
    steps: (u64, u64),
    /// Finished runs, and their total.
    done: (usize, usize),
    /// Notes that were shown. Runs on the same data repeat them.
    shown: BTreeSet<String>,
    stop: Stop,
}

impl StudyProgress {
    /// Progress of a study that has not started yet.
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

    /// Removes the bar.
    pub(super) fn finish(&self) {
        self.bar.finish();
    }

    /// Prints why the study stopped and how to continue. Returns the exit code.
    pub(super) fn stopped(&self) -> ExitCode {
        let prefix = self.stop.prefix();
        output::note(&format!("{prefix}{}", stopped_message(self.done)));
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

/// Prints how far the study is when nothing is left for this process: as a note, or as JSON
/// `{"finished": 5, "runs": 8}`. Returns the exit code.
pub(super) fn left(
    (done, of): (usize, usize),
    part: Part,
    format: Format,
) -> Result<ExitCode, AnyError> {
    if format == Format::Json {
        output::json(&serde_json::json!({ "finished": done, "runs": of }))?;
    }
    let rest = of - done;
    let then = match part {
        Part::All | Part::Worker => {
            format!("other workers train the last {rest}, and the last worker writes the result")
        }
        Part::Shard(_) if rest == 0 => {
            "run the same command without --shard for the result".to_owned()
        }
        Part::Shard(_) => format!(
            "when other shards have trained the last {rest}, run the same command without --shard \
             for the result"
        ),
    };
    output::note(&format!(
        "{done} of {of} runs are finished and nothing is left for this process: {then}"
    ));
    Ok(ExitCode::SUCCESS)
}

/// Message of a study that was stopped after `done.0` of `done.1` runs.
pub(super) fn stopped_message(done: (usize, usize)) -> String {
    let stopped = match done {
        // The number of runs is not known yet.
        (_, 0) => "stopped before the first run".to_owned(),
        (done, of) => format!("stopped with {done} of {of} runs finished"),
    };
    format!("{stopped}; run the same command again to continue")
}

impl Observer for StudyProgress {
    fn study(&mut self, runs: usize, done: usize) {
        self.done = (done, runs);
        self.stop.stop_at_once(stopped_message(self.done));
        if done > 0 && done < runs {
            self.bar
                .line(&format!("{done} of {runs} runs are already finished"));
        }
    }

    fn run_begin(&mut self, position: &RunPosition<'_>) {
        self.stop.stop_after_step();
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
        // Until the next run starts, there is nothing that a checkpoint could keep.
        self.stop.stop_at_once(stopped_message(self.done));
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
