use super::{Cell, CellResult, clock::Clock};
use crate::{
    record::{EpochRecord, StepRecord},
    train::Observer,
};

/// Where a study stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position<'a> {
    /// Index of the cell that is trained.
    pub index: usize,
    /// Cells in all.
    pub cells: usize,
    /// The cell.
    pub cell: &'a Cell,
    /// Updates made in it.
    pub step: u64,
    /// Updates of its whole run.
    pub steps: u64,
    /// Seconds until all cells are done, as far as can be told.
    pub seconds_left: Option<f64>,
}

/// Who looks on while a study goes. All methods do nothing by default; they are called on one of the threads that compute.
pub trait StudyObserver: Send {
    /// The study begins, or goes on, with so many of so many cells done.
    fn begin(&mut self, _cells: usize, _done: usize) {}
    /// A cell begins, or goes on.
    fn cell(&mut self, _position: &Position<'_>) {}
    /// An update was made.
    fn step(&mut self, _position: &Position<'_>, _record: &StepRecord) {}
    /// An epoch was trained and evaluated.
    fn epoch(&mut self, _position: &Position<'_>, _record: &EpochRecord) {}
    /// A cell is done.
    fn done(&mut self, _position: &Position<'_>, _result: &CellResult) {}
    /// Something to tell.
    fn note(&mut self, _text: &str) {}
    /// Asked after each update: true writes a checkpoint and stops the study.
    fn stop(&mut self) -> bool {
        false
    }
}

/// An observer that looks away.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl StudyObserver for Silent {}

/// Turns what a run tells into what a study tells.
pub(super) struct Watch<'a> {
    index: usize,
    cells: usize,
    cell: &'a Cell,
    step: u64,
    steps: u64,
    clock: &'a mut Clock,
    observer: &'a mut dyn StudyObserver,
}

impl<'a> Watch<'a> {
    pub(super) fn new(
        index: usize,
        cells: usize,
        cell: &'a Cell,
        clock: &'a mut Clock,
        observer: &'a mut dyn StudyObserver,
    ) -> Self {
        Watch {
            index,
            cells,
            cell,
            step: 0,
            steps: 1,
            clock,
            observer,
        }
    }

    /// The run is at `step` of `steps`.
    pub(super) fn begin(&mut self, step: u64, steps: u64) {
        (self.step, self.steps) = (step, steps);
        self.clock.start(step as f64 / steps as f64);
        self.observer.cell(&self.position());
    }

    pub(super) fn done(&mut self, result: &CellResult) {
        self.step = self.steps;
        let position = self.position();
        self.clock.end(self.index);
        self.observer.done(&position, result);
    }

    fn position(&self) -> Position<'a> {
        let share = self.step as f64 / self.steps as f64;
        Position {
            index: self.index,
            cells: self.cells,
            cell: self.cell,
            step: self.step,
            steps: self.steps,
            seconds_left: self.clock.seconds_left(self.index, share),
        }
    }
}

impl Observer for Watch<'_> {
    fn step(&mut self, record: &StepRecord) {
        self.step = record.step + 1;
        self.observer.step(&self.position(), record);
    }

    fn epoch(&mut self, record: &EpochRecord) {
        self.observer.epoch(&self.position(), record);
    }

    fn note(&mut self, text: &str) {
        self.observer.note(text);
    }

    fn stop(&mut self) -> bool {
        self.observer.stop()
    }
}
