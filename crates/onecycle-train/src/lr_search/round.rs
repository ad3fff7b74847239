//! Range tests that several processes make at the same time, one each: [`lead`] and [`follow`].
//!
//! A test has the same bits in every process. While the tests run, the processes tell each other whether
//! they have been asked to stop, so that all stop together.

use std::time::{Duration, Instant};

use onecycle::Hyper;
use serde::{Deserialize, Serialize};

use super::{found::RangeTestRun, one_test, settings::RangeTestConfig};
use crate::{
    Experiment, FileError, RunError, TrainError,
    observer::Observer,
    processes::{Order, Team},
    run_folder::RunFile,
};

/// Updates between two messages. At each message all processes wait for the slowest one.
const UPDATES_PER_MESSAGE: u64 = 8;

/// A range test to make.
pub(super) struct PlannedTest<'a> {
    pub(super) experiment: &'a Experiment,
    /// Hyper-parameters besides the learning rate.
    pub(super) hyper: Hyper,
    /// Its name in messages.
    pub(super) label: String,
}

/// The tests of all processes, in the order of their numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Round {
    pub(crate) options: RangeTestConfig,
    pub(crate) tests: Vec<OrderedTest>,
}

/// The test of one process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OrderedTest {
    /// The `run.toml` of its network and its data.
    pub(crate) run: String,
    /// Hyper-parameters besides the learning rate.
    pub(crate) hyper: Hyper,
}

impl Round {
    /// Reads the round of an [order](Order::RangeTests).
    ///
    /// # Errors
    /// The process that leads runs another version.
    pub(crate) fn parse(text: &str) -> Result<Self, RunError> {
        serde_json::from_str(text).map_err(|error| RunError::Processes {
            why: format!("the range tests of process 0 were not understood: {error}"),
        })
    }
}

/// Makes the tests of a round, at most one per process of `team`. Returns those that were finished
/// before the first one that was not.
///
/// # Errors
/// Those of [`one_test::run`]; a process cannot be reached.
pub(super) fn lead(
    team: &Team,
    planned: &[PlannedTest<'_>],
    options: &RangeTestConfig,
    observer: &mut dyn Observer,
) -> Result<Vec<RangeTestRun>, TrainError> {
    let mut tests = Vec::with_capacity(planned.len());
    for test in planned {
        // An impossible network or optimizer is an error here, before the other processes begin.
        test.experiment.trainer()?;
        tests.push(OrderedTest {
            run: RunFile::of(test.experiment).to_text()?,
            hyper: test.hyper,
        });
    }
    let round = Round {
        options: options.clone(),
        tests,
    };
    let round = serde_json::to_string(&round).map_err(FileError::to_json("range tests"))?;
    team.give(&Order::RangeTests(round))?;
    let own = planned.first().map(|one| (one.experiment, one.hyper));
    let made = team.at_work(|| take_part(team, own, options, observer))?;
    Ok(made.into_iter().map_while(|test| test).collect())
}

/// Makes a test that the leader has ordered, or waits until the other processes have made theirs.
///
/// # Errors
/// Those of [`one_test::run`]; a process cannot be reached.
pub(crate) fn follow(
    team: &Team,
    test: Option<(&Experiment, Hyper)>,
    options: &RangeTestConfig,
) -> Result<(), TrainError> {
    take_part(team, test, options, &mut Signalled(team))?;
    Ok(())
}

/// Makes the test of this process. Returns the tests of all processes in the order of their numbers;
/// `None` for one that was stopped or has none to make.
fn take_part(
    team: &Team,
    test: Option<(&Experiment, Hyper)>,
    options: &RangeTestConfig,
    observer: &mut dyn Observer,
) -> Result<Vec<Option<RangeTestRun>>, TrainError> {
    let mut together = Together {
        team,
        observer,
        asked: 0,
        state: State::Running,
        waited: Duration::ZERO,
        failed: None,
    };
    let mut made = match test {
        None => None,
        Some((experiment, hyper)) => one_test::run(experiment, options, hyper, &mut together)?,
    };
    if let Some(made) = &mut made {
        // The messages lie between the updates, whose time was taken.
        made.cost.training_seconds -= together.waited.as_secs_f64();
    }
    together.wait()?;
    let made = serde_json::to_vec(&made).map_err(FileError::to_json("a range test"))?;
    let read = |bytes: Vec<u8>| {
        serde_json::from_slice(&bytes).map_err(|error| RunError::Processes {
            why: format!("the range test of another process was not understood: {error}"),
        })
    };
    let all = team.gather_of_any_length(&made)?;
    Ok(all.into_iter().map(read).collect::<Result<_, _>>()?)
}

/// An observer that stops when the observer of any process does.
struct Together<'a> {
    team: &'a Team,
    observer: &'a mut dyn Observer,
    /// How often [`stop`](Observer::stop) was asked, once before each update.
    asked: u64,
    state: State,
    /// Time of all messages so far.
    waited: Duration,
    /// Why the other processes could not be reached.
    failed: Option<RunError>,
}

/// What a process tells the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum State {
    /// Its test is running.
    Running,
    /// It has made its test, or has none.
    Finished,
    /// It was asked to stop.
    Stopped,
}

impl Together<'_> {
    /// Tells the other processes about this one. Returns whether all have finished.
    fn tell(&mut self) -> Result<bool, RunError> {
        let start = Instant::now();
        if self.state != State::Stopped && self.observer.stop() {
            self.state = State::Stopped;
        }
        let states = self.team.exchange(&[self.state as u8])?;
        if states.contains(&(State::Stopped as u8)) {
            self.state = State::Stopped;
        }
        self.waited += start.elapsed();
        Ok(states.iter().all(|state| *state == State::Finished as u8))
    }

    /// Waits until all processes have finished or one was stopped.
    fn wait(mut self) -> Result<(), RunError> {
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        if self.state == State::Running {
            self.state = State::Finished;
        }
        while self.state != State::Stopped && !self.tell()? {}
        Ok(())
    }
}

impl Observer for Together<'_> {
    fn search_step(&mut self, lr: f64) {
        self.observer.search_step(lr);
    }

    fn stop(&mut self) -> bool {
        self.asked += 1;
        if self.state == State::Running && self.asked.is_multiple_of(UPDATES_PER_MESSAGE) {
            self.failed = self.tell().err();
        }
        self.state == State::Stopped || self.failed.is_some()
    }
}

/// Stops after a signal to this process.
struct Signalled<'a>(&'a Team);

impl Observer for Signalled<'_> {
    fn stop(&mut self) -> bool {
        self.0.signalled()
    }
}
