use onecycle::Plan;
use onecycle_train::{
    observer::{Observer, RunEnd, RunPosition},
    record::{EpochRecord, StepRecord},
};

use super::{RunResult, RunSpec, remaining_time::RemainingTime};

/// Forwards the events of one run to the observer of the study, with the position of the run.
pub(super) struct RunObserver<'a> {
    index: usize,
    runs: usize,
    spec: &'a RunSpec,
    step: u64,
    steps: u64,
    clock: &'a mut RemainingTime,
    observer: &'a mut dyn Observer,
}

impl<'a> RunObserver<'a> {
    pub(super) fn new(
        index: usize,
        runs: usize,
        spec: &'a RunSpec,
        clock: &'a mut RemainingTime,
        observer: &'a mut dyn Observer,
    ) -> Self {
        RunObserver {
            index,
            runs,
            spec,
            step: 0,
            steps: 1,
            clock,
            observer,
        }
    }

    /// Reports that the run begins or continues at `step` of `steps`.
    pub(super) fn begin(&mut self, step: u64, steps: u64) {
        (self.step, self.steps) = (step, steps);
        self.clock.start(step as f64 / steps as f64);
        self.observer.run_begin(&self.position());
    }

    /// Reports that the run has ended.
    pub(super) fn end(&mut self, result: &RunResult) {
        self.step = self.steps;
        let position = self.position();
        self.clock.end(self.index);
        let end = RunEnd {
            final_accuracy: result.final_accuracy,
            diverged_at: result.diverged.map(|diverged| diverged.step),
        };
        self.observer.run_end(&position, end);
    }

    fn position(&self) -> RunPosition<'a> {
        let share = self.step as f64 / self.steps as f64;
        RunPosition {
            index: self.index,
            runs: self.runs,
            label: &self.spec.label,
            seed: self.spec.seed,
            step: self.step,
            steps: self.steps,
            seconds_left: self.clock.seconds_left(self.index, share),
        }
    }
}

impl Observer for RunObserver<'_> {
    fn plan(&mut self, plan: &Plan) {
        self.observer.plan(plan);
    }

    fn evaluation(&mut self, images: u64, total: u64) {
        self.observer.evaluation(images, total);
    }

    fn step(&mut self, record: &StepRecord) {
        self.step = record.step + 1;
        self.observer.run_position(&self.position());
        self.observer.step(record);
    }

    fn epoch(&mut self, record: &EpochRecord) {
        self.observer.run_position(&self.position());
        self.observer.epoch(record);
    }

    fn note(&mut self, text: &str) {
        self.observer.note(text);
    }

    fn stop(&mut self) -> bool {
        self.observer.stop()
    }
}
