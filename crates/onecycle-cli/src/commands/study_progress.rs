//! Progress of a study of many runs.

use std::{collections::BTreeSet, process::ExitCode, time::Duration};

use onecycle::Plan;
use onecycle_plot::format::duration;
use onecycle_studies::study::Part;
use onecycle_train::{
    observer::{Observer, RunEnd, RunPosition},
    record::{EpochRecord, StepRecord},
};

use crate::{
    args::Format,
    bar::{Bar, Mode},
    on_finish,
    output::{self, AnyError},
    progress::{Smoothed, View},
    stop::Stop,
};

/// Time between two lines within a run if standard error is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Shows the progress of a study of many runs.
pub(super) struct StudyProgress {
    view: View,
    /// Running mean of the loss in the current run.
    loss: Smoothed,
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
    pub(super) fn new(title: &str, mode: Mode, stop: Stop) -> Self {
        let template = "{elapsed_precise} {bar:28} {pos}/{len} steps  {wide_msg}";
        StudyProgress {
            view: View::new(title, mode, || Bar::new(template, mode, LINE_EVERY)),
            loss: Smoothed::default(),
            place: String::new(),
            steps: (0, 0),
            done: (0, 0),
            shown: BTreeSet::new(),
            stop,
        }
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        self.view.finish();
    }

    /// Prints why the study stopped and how to continue. Returns the exit code.
    pub(super) fn stopped(&self) -> ExitCode {
        self.stop.announce(&stopped_message(self.done))
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
    let message =
        format!("{done} of {of} runs are finished and nothing is left for this process: {then}");
    output::note(&message);
    on_finish::left(&message);
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
            let text = format!("{done} of {runs} runs are already finished");
            if let View::Bar(bar) = &mut self.view {
                bar.line(&text);
            }
        }
    }

    fn run_begin(&mut self, position: &RunPosition<'_>) {
        self.stop.stop_after_step();
        self.loss = Smoothed::default();
        self.run_position(position);
    }

    fn run_position(&mut self, position: &RunPosition<'_>) {
        self.place = place(position);
        self.steps = (position.step, position.steps);
        match &self.view {
            View::Bar(bar) => bar.set(position.step, position.steps, self.place.clone()),
            View::Dashboard(dashboard) => dashboard.study(position, self.done.0),
        }
    }

    fn plan(&mut self, plan: &Plan) {
        self.view.plan(plan);
    }

    fn step(&mut self, record: &StepRecord) {
        let loss = self.loss.add(record.loss);
        match &mut self.view {
            View::Dashboard(dashboard) => dashboard.step(record, loss, None),
            View::Bar(bar) if bar.line_is_due() => {
                let (place, (step, steps)) = (&self.place, self.steps);
                let line = format!("{place}, step {step} of {steps}, loss {:.4}", record.loss);
                bar.line(&line);
            }
            View::Bar(_) => {}
        }
    }

    fn evaluation(&mut self, images: u64, total: u64) {
        if let View::Dashboard(dashboard) = &self.view {
            dashboard.evaluation(images, total);
        }
    }

    fn epoch(&mut self, record: &EpochRecord) {
        if let View::Dashboard(dashboard) = &self.view {
            dashboard.epoch(record);
        }
    }

    fn run_end(&mut self, position: &RunPosition<'_>, end: RunEnd) {
        self.done.0 += 1;
        let outcome = match end.diverged_at {
            None => format!("{:.2} %", 100.0 * end.final_accuracy),
            Some(step) => format!("diverged at step {step}"),
        };
        let line = format!("{}: {outcome}", place(position));
        match &mut self.view {
            View::Bar(bar) => bar.result(&line),
            View::Dashboard(dashboard) => {
                let accuracy = end.diverged_at.is_none().then_some(end.final_accuracy);
                dashboard.result(position.label, accuracy);
                output::note(&line);
            }
        }
        // Until the next run starts, there is nothing that a checkpoint could keep.
        self.stop.stop_at_once(stopped_message(self.done));
    }

    fn note(&mut self, text: &str) {
        if self.shown.insert(text.to_owned()) {
            self.view.note(&format!("note: {text}"));
        }
    }

    fn stop(&mut self) -> bool {
        self.stop.reason().is_some()
    }
}
