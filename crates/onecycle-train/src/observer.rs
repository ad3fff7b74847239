//! Events of a running training, search, diagnosis or study.
//!
//! [`Silent`] ignores them, [`on_epoch`] and [`on_step`] make an observer of a closure. An observer
//! that receives several kinds of events, or stops the work, implements [`Observer`].

use onecycle::{Plan, range_test::SearchReason};

use crate::record::{EpochRecord, StepRecord};

/// Receives the events of running work, and may ask it to stop.
///
/// Every method ignores its event by default, so an observer implements only what it shows. They
/// are called on one of the threads that compute.
pub trait Observer: Send {
    /// A run begins or continues; this is its plan.
    fn plan(&mut self, _plan: &Plan) {}
    /// An update was made.
    fn step(&mut self, _record: &StepRecord) {}
    /// An evaluation has seen `images` of `total` images.
    fn evaluation(&mut self, _images: u64, _total: u64) {}
    /// An epoch was trained and evaluated.
    fn epoch(&mut self, _record: &EpochRecord) {}
    /// A message for the user, for example that a damaged checkpoint was skipped.
    fn note(&mut self, _text: &str) {}
    /// Asked after each update, each batch of an evaluation and each epoch. Returning true writes a
    /// checkpoint and stops the work.
    fn stop(&mut self) -> bool {
        false
    }

    /// The frozen network has computed the features of `done` of `total` images.
    fn features(&mut self, _done: u64, _total: u64) {}

    /// A range test begins. `index` is its number, counted from 0. If several processes begin a test each,
    /// it is the number of the first one. Each test makes at most `updates` updates.
    fn range_test(&mut self, _index: usize, _label: &str, _updates: u64) {}
    /// A short cycle with this peak begins.
    fn short_cycle(&mut self, _cycle: &ShortCycle) {}
    /// The next update of a range test or short cycle uses this learning rate.
    fn search_step(&mut self, _lr: f64) {}

    /// A part of a diagnosis begins; it evaluates at most `batches` losses or gradients.
    fn diagnosis_part(&mut self, _name: &str, _batches: usize) {}
    /// A diagnosis evaluated one loss or gradient.
    fn diagnosis_batch(&mut self) {}

    /// A study begins or continues: `done` of its `runs` runs are finished.
    fn study(&mut self, _runs: usize, _done: usize) {}
    /// A run of a study begins or continues.
    fn run_begin(&mut self, _position: &RunPosition<'_>) {}
    /// The position within a study, before each [`step`](Self::step) and [`epoch`](Self::epoch).
    fn run_position(&mut self, _position: &RunPosition<'_>) {}
    /// A run of a study is finished.
    fn run_end(&mut self, _position: &RunPosition<'_>, _end: RunEnd) {}
}

/// A short cycle of a learning-rate search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShortCycle {
    /// Peak learning rate.
    pub lr_max: f64,
    /// Seed of its random streams.
    pub seed: u64,
    /// Planned updates.
    pub updates: u64,
    /// Why a search tries this peak; `None` outside of a search.
    pub reason: Option<SearchReason>,
}

/// An observer that ignores every event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}

/// An observer that calls `receive` with the record of each epoch.
///
/// ```
/// use onecycle_train::observer::{Observer, on_epoch};
///
/// let mut best = 0.0_f64;
/// let mut observer = on_epoch(|epoch| best = best.max(epoch.val_accuracy));
/// # fn train(_observer: &mut dyn Observer) {}
/// train(&mut observer);
/// ```
pub fn on_epoch<F: FnMut(&EpochRecord) + Send>(receive: F) -> OnEpoch<F> {
    OnEpoch(receive)
}

/// An observer that calls `receive` with the record of each update.
pub fn on_step<F: FnMut(&StepRecord) + Send>(receive: F) -> OnStep<F> {
    OnStep(receive)
}

/// Observer of epochs, made by [`on_epoch`].
#[derive(Clone, Copy)]
pub struct OnEpoch<F>(F);

impl<F: FnMut(&EpochRecord) + Send> Observer for OnEpoch<F> {
    fn epoch(&mut self, record: &EpochRecord) {
        (self.0)(record);
    }
}

/// Observer of updates, made by [`on_step`].
#[derive(Clone, Copy)]
pub struct OnStep<F>(F);

impl<F: FnMut(&StepRecord) + Send> Observer for OnStep<F> {
    fn step(&mut self, record: &StepRecord) {
        (self.0)(record);
    }
}

/// Position within a study of many runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunPosition<'a> {
    /// Index of the run, counted from 0.
    pub index: usize,
    /// Number of runs in the study.
    pub runs: usize,
    /// Label of the run; runs over several seeds share it.
    pub label: &'a str,
    /// Seed of the run.
    pub seed: u64,
    /// Updates made in it.
    pub step: u64,
    /// Updates of the whole run.
    pub steps: u64,
    /// Estimated seconds until all runs are finished, if known.
    pub seconds_left: Option<f64>,
}

/// How a run of a study ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunEnd {
    /// Test accuracy of the final network, 0 to 1; chance level for a diverged run.
    pub final_accuracy: f64,
    /// Update at which the loss was not finite, if the run diverged.
    pub diverged_at: Option<u64>,
}
