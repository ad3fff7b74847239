//! One run and its files: [`Run`].

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use onecycle::Plan;
use onecycle_studies::study::{Divergence, RunResult, RunSpec};
use onecycle_train::{
    Config, FileError, RunFolder, diagnose,
    finish::Summary,
    record::EpochRecord,
    run_folder::RunFile,
    {diagnose::Diagnosis, files},
};
use serde::Serialize;

use crate::{
    follow::{Follower, News},
    place::Place,
    steps::Steps,
};

/// A run whose files did not change for this long counts as silent. Evaluations and diagnoses write
/// nothing while they last.
const SILENT_AFTER: Duration = Duration::from_secs(60);
/// Speed is measured over the changes of this time.
const SPEED_OVER: Duration = Duration::from_secs(60);
/// Shorter times may lie in an evaluation.
const SPEED_AFTER: Duration = Duration::from_secs(10);
/// A run that has answered a request to stop is stopped when its files did not change for this long.
const STOPPED_AFTER: Duration = Duration::from_secs(2);

/// Names of the records.
const STEPS: &str = "steps.jsonl";
const EPOCHS: &str = "epochs.jsonl";

/// What a run does, as far as its files tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Its range tests or short cycles are being made.
    Searching,
    /// Its records grow.
    Training,
    /// It was stopped with a checkpoint.
    Stopped,
    /// Nothing has changed for a while: it was killed, or evaluates for long.
    Silent,
    /// It has a summary.
    Finished,
    /// Its loss was not finite.
    Diverged,
}

/// A watched run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Identifier of the study that it belongs to.
    pub(crate) study: Option<String>,
    folder: RunFolder,
    place: Place,
    run_file: Option<(RunFile, Option<Plan>)>,
    run_file_time: Option<SystemTime>,
    steps_file: Follower,
    steps: Steps,
    epochs_file: Follower,
    pub(crate) epochs: Vec<EpochRecord>,
    /// Increases whenever something that is shown changes.
    pub(crate) version: u64,
    /// Updates made, also if the steps are not read.
    done: u64,
    pub(crate) result: Option<RunResult>,
    summary: Option<Summary>,
    diverged: Option<Divergence>,
    /// When the process that the page asked to stop took the lock of the run. One that resumes the run
    /// takes it again.
    asked_to_stop: Option<SystemTime>,
    /// Last change of a file, by the clock of the file system.
    changed: Option<SystemTime>,
    /// Last change that was seen while watching.
    seen_change: Option<Instant>,
    /// Updates made at moments of the last [`SPEED_OVER`].
    speed: VecDeque<(Instant, u64)>,
    /// What cannot be read, by its source.
    problems: BTreeMap<&'static str, String>,
    /// Number of lines of each record that cannot be read, and why the last one cannot.
    bad_lines: BTreeMap<&'static str, (u64, String)>,
}

/// A run in the list of the page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct RunInfo {
    id: String,
    name: String,
    study: Option<String>,
    state: State,
    step: u64,
    steps: Option<u64>,
    epoch: Option<f64>,
    epochs: Option<f64>,
    val_accuracy: Option<f64>,
    val_loss: Option<f64>,
    train_loss: Option<f64>,
    test_accuracy: Option<f64>,
    images_per_second: Option<f64>,
    seconds_left: Option<f64>,
    /// Seconds since the last change, if the run is silent.
    silent: Option<u64>,
    /// Last change of a file, in seconds since 1970.
    changed: Option<u64>,
    model: Option<String>,
    data: Option<String>,
    phase: Option<String>,
    retries: usize,
    diverged_at: Option<u64>,
    problems: Vec<String>,
}

impl Run {
    pub(crate) fn new(
        id: String,
        name: String,
        study: Option<String>,
        root: &Path,
        place: &Place,
    ) -> Self {
        Run {
            id,
            name,
            study,
            folder: RunFolder::at(root),
            place: place.clone(),
            run_file: None,
            run_file_time: None,
            steps_file: Follower::default(),
            steps: Steps::default(),
            epochs_file: Follower::default(),
            epochs: Vec::new(),
            version: 0,
            done: 0,
            result: None,
            summary: None,
            diverged: None,
            asked_to_stop: None,
            changed: None,
            seen_change: None,
            speed: VecDeque::new(),
            problems: BTreeMap::new(),
            bad_lines: BTreeMap::new(),
        }
    }

    /// Whether this folder contains a run, or the range tests of one.
    pub(crate) fn is_at(root: &Path) -> bool {
        let run = RunFolder::at(root);
        [run.run_file(), run.journal(), run.range_test()]
            .iter()
            .any(|file| file.is_file())
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Its label in a study.
    pub(crate) fn label(&self) -> Option<String> {
        RunSpec::parse_name(self.folder.root()).map(|(label, _)| label)
    }

    /// The files that may be read.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The configuration, as soon as there is one.
    pub(crate) fn config(&self) -> Option<&Config> {
        self.run_file.as_ref().map(|(run_file, _)| &run_file.config)
    }

    /// The contents of `run.toml` and the plan, as soon as they are known.
    pub(crate) fn plan(&self) -> Option<(&RunFile, &Plan)> {
        let (run_file, plan) = self.run_file.as_ref()?;
        Some((run_file, plan.as_ref()?))
    }

    /// The updates; none before [`read_steps`](Self::read_steps).
    pub(crate) fn steps(&self) -> &Steps {
        &self.steps
    }

    /// Reads what has changed, except for the updates.
    pub(crate) fn refresh(&mut self) {
        let before = (self.done, self.epochs.len(), self.changed, self.is_final());
        self.read_run_file();
        self.read_epochs();
        self.changed = self.last_change();
        if before.2.is_some() && before.2 != self.changed {
            self.seen_change = Some(Instant::now());
        }
        self.done = match self.steps.len() as u64 {
            0 => self
                .epochs
                .last()
                .map_or(0, |epoch| epoch.steps)
                .max(self.last_step()),
            read => read.max(self.last_step()),
        };
        self.measure_speed();
        self.read_end();
        if before != (self.done, self.epochs.len(), self.changed, self.is_final()) {
            self.version += 1;
        }
    }

    /// Reads the new updates, for a run that is shown.
    pub(crate) fn read_steps(&mut self) {
        let path = self.folder.steps();
        loop {
            let Some(news) = self.look(STEPS, &path, |run| &mut run.steps_file) else {
                return;
            };
            if news.restarted {
                self.steps.clear();
                self.bad_lines.remove(STEPS);
            }
            self.version += u64::from(news.restarted || !news.text.is_empty());
            for line in news.text.split_inclusive(|&byte| byte == b'\n') {
                if let Err(error) = self.steps.push(line) {
                    self.bad_line(STEPS, &error);
                }
            }
            if !news.more {
                return;
            }
        }
    }

    /// Forgets the updates of a run that is no longer shown.
    pub(crate) fn forget_steps(&mut self) {
        self.steps.clear();
        self.steps_file = Follower::default();
    }

    /// Whether nothing more is to come.
    pub(crate) fn is_final(&self) -> bool {
        self.summary.is_some() || self.diverged.is_some()
    }

    fn look(
        &mut self,
        source: &'static str,
        path: &Path,
        follower: fn(&mut Run) -> &mut Follower,
    ) -> Option<News> {
        let is_there = fs::symlink_metadata(path).is_ok();
        let found = match is_there && !self.place.has_file(path) {
            true => Err("not a file of the watched folder".to_owned()),
            false => follower(self).look(path).map_err(|error| error.to_string()),
        };
        match found {
            Ok(news) => {
                self.problems.remove(source);
                Some(news)
            }
            Err(error) => {
                self.problems.insert(source, format!("{source}: {error}"));
                None
            }
        }
    }

    /// Counts a line that cannot be read.
    fn bad_line(&mut self, source: &'static str, error: &serde_json::Error) {
        let (count, reason) = self.bad_lines.entry(source).or_default();
        *count += 1;
        *reason = error.to_string();
    }

    /// Everything that cannot be read, in words.
    fn all_problems(&self) -> Vec<String> {
        let lines = self.bad_lines.iter().map(|(source, (count, reason))| {
            let lines = if *count == 1 { "line" } else { "lines" };
            format!("{source}: {count} {lines} cannot be read, the last one because of {reason}")
        });
        self.problems.values().cloned().chain(lines).collect()
    }

    fn read_run_file(&mut self) {
        let path = self.folder.run_file();
        let time = path
            .metadata()
            .and_then(|metadata| metadata.modified())
            .ok();
        if time == self.run_file_time || !self.place.has_file(&path) {
            return;
        }
        self.problems.remove("run.toml");
        match RunFile::read(&path, true) {
            Ok(run_file) => {
                let plan = run_file.plan();
                if let Err(error) = &plan {
                    self.problems
                        .insert("run.toml", format!("run.toml: {error}"));
                }
                self.run_file = Some((run_file, plan.ok()));
                self.run_file_time = time;
                self.version += 1;
            }
            Err(error) => {
                self.problems.insert("run.toml", error.to_string());
            }
        }
    }

    fn read_epochs(&mut self) {
        let path = self.folder.epochs();
        let Some(news) = self.look(EPOCHS, &path, |run| &mut run.epochs_file) else {
            return;
        };
        if news.restarted {
            self.epochs.clear();
            self.bad_lines.remove(EPOCHS);
        }
        for line in news.text.split_inclusive(|&byte| byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(epoch) => self.epochs.push(epoch),
                Err(error) => self.bad_line(EPOCHS, &error),
            }
        }
    }

    /// Updates made, from the end of `steps.jsonl`.
    fn last_step(&self) -> u64 {
        let path = self.folder.steps();
        let read = || -> Option<u64> {
            use std::io::{Read, Seek, SeekFrom};
            let mut file = fs::File::open(&path).ok()?;
            let len = file.metadata().ok()?.len();
            file.seek(SeekFrom::Start(len.saturating_sub(2048))).ok()?;
            let mut end = Vec::new();
            file.take(2048).read_to_end(&mut end).ok()?;
            let complete = end.iter().rposition(|&byte| byte == b'\n')?;
            let line = end[..complete].rsplit(|&byte| byte == b'\n').next()?;
            let record: serde_json::Value = serde_json::from_slice(line).ok()?;
            Some(record["step"].as_u64()? + 1)
        };
        if !self.place.has_file(&path) {
            return 0;
        }
        read().unwrap_or(0)
    }

    fn last_change(&self) -> Option<SystemTime> {
        let run = &self.folder;
        [
            run.steps(),
            run.epochs(),
            run.diagnoses(),
            run.journal(),
            run.run_file(),
            run.checkpoints(),
        ]
        .iter()
        .filter_map(|path| path.metadata().ok()?.modified().ok())
        .max()
    }

    fn measure_speed(&mut self) {
        let now = Instant::now();
        match self.speed.back() {
            Some((_, done)) if *done > self.done => self.speed.clear(),
            _ => {}
        }
        if self.speed.back().is_none_or(|(_, done)| *done < self.done) {
            self.speed.push_back((now, self.done));
        }
        while self.speed.len() > 2 && now.duration_since(self.speed[0].0) > SPEED_OVER {
            self.speed.pop_front();
        }
    }

    /// Seconds per update: as seen, or otherwise as the epochs recorded it.
    fn seconds_per_step(&self) -> Option<f64> {
        if let (Some(first), Some(last)) = (self.speed.front(), self.speed.back()) {
            let (time, steps) = (last.0.duration_since(first.0), last.1 - first.1);
            if steps > 0 && time > SPEED_AFTER {
                return Some(time.as_secs_f64() / steps as f64);
            }
        }
        let last = self.epochs.last()?;
        let seconds: f64 = self.epochs.iter().map(|epoch| epoch.seconds).sum();
        (last.steps > 0).then(|| seconds / last.steps as f64)
    }

    /// Reads the summary or the divergence, once.
    fn read_end(&mut self) {
        if self.is_final() {
            // A folder is not reused, but a retry may follow a divergence of the whole command.
            let gone = !self.folder.summary().exists() && !self.folder.diverged().exists();
            if gone {
                (self.summary, self.diverged, self.result) = (None, None, None);
            }
            return;
        }
        if self.place.has_file(&self.folder.summary()) {
            match files::read_json(&self.folder.summary()) {
                Ok(summary) => {
                    self.summary = Some(summary);
                    self.problems.remove("summary.json");
                }
                Err(error) => {
                    self.problems.insert("summary.json", error.to_string());
                }
            }
        }
        if self.place.has_file(&self.folder.diverged()) {
            match files::read_json(&self.folder.diverged()) {
                Ok(diverged) => self.diverged = Some(diverged),
                Err(error) => {
                    self.problems.insert("diverged.json", error.to_string());
                }
            }
        }
        if self.is_final() && self.study.is_some() {
            match RunResult::read_folder(self.folder.root()) {
                Ok(result) => self.result = result,
                Err(error) => {
                    self.problems.insert("result", error.to_string());
                }
            }
        }
    }

    /// What the run does.
    pub(crate) fn state(&self) -> State {
        if self.diverged.is_some() {
            return State::Diverged;
        }
        if self.summary.is_some() {
            return State::Finished;
        }
        if self
            .folder
            .stopped_at()
            .is_some_and(|step| step >= self.done)
        {
            return State::Stopped;
        }
        if self.asked_to_stop.is_some()
            && self.asked_to_stop == self.lock_time()
            && !self.folder.stop_request().exists()
            && self.quiet_for(STOPPED_AFTER)
        {
            return State::Stopped;
        }
        let seen = self
            .seen_change
            .is_some_and(|time| time.elapsed() < SILENT_AFTER);
        if !seen && self.silence().is_none_or(|silence| silence > SILENT_AFTER) {
            // A search that ended without a run has its result and no journal.
            let searched = self.run_file.is_none() && self.folder.range_test().exists();
            return if searched {
                State::Finished
            } else {
                State::Silent
            };
        }
        match (&self.run_file, self.folder.journal().exists()) {
            (Some(_), _) => State::Training,
            (None, true) => State::Searching,
            (None, false) => State::Finished,
        }
    }

    /// Whether no change was seen for this time.
    fn quiet_for(&self, time: Duration) -> bool {
        self.seen_change.is_none_or(|seen| seen.elapsed() >= time)
    }

    /// When a process last took the lock of the run.
    fn lock_time(&self) -> Option<SystemTime> {
        let lock = self.folder.root().join(".lock");
        lock.metadata().ok()?.modified().ok()
    }

    /// Asks the process that trains it to stop.
    pub(crate) fn request_stop(&mut self) -> Result<(), FileError> {
        self.folder.request_stop()?;
        self.asked_to_stop = self.lock_time();
        Ok(())
    }

    /// Time since the last change, by the clock of the file system.
    fn silence(&self) -> Option<Duration> {
        Some(
            SystemTime::now()
                .duration_since(self.changed?)
                .unwrap_or_default(),
        )
    }

    /// The entry of the list.
    pub(crate) fn info(&self) -> RunInfo {
        let state = self.state();
        let plan = self.plan();
        let steps = plan.map(|(_, plan)| plan.steps());
        let last = self.epochs.last();
        let per_step = self.seconds_per_step();
        let running = state == State::Training;
        let phase = plan.and_then(|(_, plan)| {
            let phases = plan.phases();
            let current = phases
                .iter()
                .rev()
                .find(|phase| phase.first_step <= self.done);
            current.map(|phase| phase.name.clone())
        });
        let batch = plan.map(|(run_file, plan)| {
            let now = plan.at(self.done.min(plan.steps().saturating_sub(1)));
            now.batch_size.unwrap_or(run_file.config.batch_size as u64)
        });
        let live = per_step
            .zip(batch)
            .map(|(seconds, images)| images as f64 / seconds);
        let recorded = last.map(|epoch| epoch.images_per_second);
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        RunInfo {
            id: self.id.clone(),
            name: self.name.clone(),
            study: self.study.clone(),
            state,
            step: self.done,
            steps,
            epoch: plan.and_then(|(_, plan)| plan.epoch_at(self.done)),
            epochs: plan.and_then(|(_, plan)| plan.epoch_at(plan.steps())),
            val_accuracy: finite(last.map(|epoch| epoch.val_accuracy)),
            val_loss: finite(last.map(|epoch| epoch.val_loss)),
            train_loss: finite(last.map(|epoch| epoch.train_loss)),
            test_accuracy: finite(self.summary.as_ref().map(|summary| summary.test_accuracy)),
            images_per_second: finite(recorded.or(live.filter(|_| running))),
            seconds_left: per_step
                .zip(steps)
                .filter(|_| running)
                .map(|(seconds, steps)| seconds * steps.saturating_sub(self.done) as f64),
            silent: (state == State::Silent)
                .then(|| self.silence().map(|silence| silence.as_secs() / 60 * 60))
                .flatten(),
            changed: self.changed.and_then(|time| {
                let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
                Some(since.as_secs())
            }),
            model: self.config().map(|config| config.model.clone()),
            data: self
                .run_file
                .as_ref()
                .map(|(run_file, _)| run_file.data.name.clone()),
            phase: phase.filter(|_| !self.is_final()),
            retries: self
                .run_file
                .as_ref()
                .map_or(0, |(run_file, _)| run_file.retries.len()),
            diverged_at: self.diverged.map(|diverged| diverged.step),
            problems: self.all_problems(),
        }
    }

    /// The diagnoses made so far, in the order of the steps.
    pub(crate) fn diagnoses(&self) -> Result<Vec<Diagnosis>, String> {
        let mut all = Vec::new();
        if self.place.has_file(&self.folder.diagnoses()) {
            all = diagnose::read_during_run(&self.folder).map_err(|error| error.to_string())?;
        }
        if self.place.has_file(&self.folder.diagnosis()) {
            let requested =
                diagnose::read_requested(&self.folder).map_err(|error| error.to_string())?;
            all.extend(requested);
        }
        all.sort_by_key(|diagnosis| diagnosis.conditions.step);
        Ok(all)
    }
}

/// The study that the run in `root` belongs to: the folder above `runs/LABEL-seedN`.
pub(crate) fn study_of(root: &Path) -> Option<PathBuf> {
    RunSpec::parse_name(root)?;
    let runs = root.parent()?;
    (runs.file_name()? == "runs").then(|| runs.parent().map(Path::to_path_buf))?
}
