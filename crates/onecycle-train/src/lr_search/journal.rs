//! What a range test or a search has made so far, so that one that was stopped or killed goes on where it was.
//!
//! `range_test.jsonl` in the output folder: a line with the settings, then a line a finished test and short cycle, in the
//! order in which they are made. Each is on the disk before the next begins. All of them are functions of the settings, so
//! what is made by several processes is what one would have made, times aside. The file goes when the result is written.

use std::{collections::VecDeque, fs, io, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{found::RangeTestRun, settings::RangeTestConfig, trial::Trial};
use crate::{
    Config, Experiment, FileError, RunError, TrainError,
    files::{self, JsonLines},
    run_folder::{RunFile, RunFolder, RunLock},
};

/// A line of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// The first one.
    Settings(Box<Settings>),
    RangeTestRun(RangeTestRun),
    Cycle(Trial),
}

/// What all that follows is a function of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Settings {
    /// As for a run of this configuration: version, configuration and data.
    run: RunFile,
    find: RangeTestConfig,
}

/// Finished tests and short cycles, kept in a folder or not at all.
#[derive(Debug, Default)]
pub struct Journal {
    folder: Option<RunFolder>,
    open: Option<Open>,
    tests: VecDeque<RangeTestRun>,
    cycles: VecDeque<Trial>,
}

#[derive(Debug)]
struct Open {
    lines: JsonLines<Line>,
    _lock: RunLock,
}

impl Journal {
    /// One that keeps nothing.
    pub fn none() -> Self {
        Journal::default()
    }

    /// One in the folder `root`, which is created when the first test begins.
    pub fn in_folder(root: &Path) -> Self {
        Journal {
            folder: Some(RunFolder::at(root)),
            ..Journal::default()
        }
    }

    /// Whether there is one in the folder of a run.
    pub fn exists(run: &RunFolder) -> bool {
        run.journal().exists()
    }

    /// Checks that what the folder holds was made by these settings, the data apart. Nothing is written.
    ///
    /// # Errors
    /// [`RunError::OtherSettings`] with what differs; a file that cannot be read.
    pub fn check(&self, config: &Config, find: &RangeTestConfig) -> Result<(), TrainError> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        match read(folder)?.first() {
            Some(Line::Settings(was)) => refuse(folder, differences(was, config, find)?),
            _ => Ok(()),
        }
    }

    /// Takes up what the folder holds, or begins anew. How many tests and short cycles are known.
    ///
    /// # Errors
    /// [`RunError::OtherSettings`] with what differs; [`RunError::InUse`]; files that cannot be read or written.
    pub(super) fn begin(
        &mut self,
        config: &Config,
        find: &RangeTestConfig,
        experiment: &Experiment,
    ) -> Result<(usize, usize), TrainError> {
        let Some(folder) = &self.folder else {
            return Ok((0, 0));
        };
        files::create_folder(folder.root())?;
        let lock = RunLock::acquire(folder.root())?;
        let config = config.clone().with_absolute_path()?;
        let run = RunFile::new(&config, &experiment.data);
        let known = read(folder)?;
        if let Some(Line::Settings(was)) = known.first() {
            let mut differences = differences(was, &config, find)?;
            differences.extend(was.run.data.differences(&run.data));
            refuse(folder, differences)?;
        }
        files::remove_asides(folder.root())?;
        // A line that was cut is made again.
        files::keep_lines(&folder.journal(), known.len())?;
        let mut lines = JsonLines::open(&folder.journal())?;
        if known.is_empty() {
            let find = find.clone();
            lines.push(&Line::Settings(Box::new(Settings { run, find })))?;
            lines.sync()?;
        }
        for line in known {
            match line {
                Line::Settings(_) => {}
                Line::RangeTestRun(test) => self.tests.push_back(test),
                Line::Cycle(cycle) => self.cycles.push_back(cycle),
            }
        }
        self.open = Some(Open { lines, _lock: lock });
        Ok((self.tests.len(), self.cycles.len()))
    }

    /// The next test, if it is known.
    pub(super) fn test(&mut self) -> Option<RangeTestRun> {
        self.tests.pop_front()
    }

    /// The next short cycle, if it is known.
    pub(crate) fn cycle(&mut self) -> Option<Trial> {
        self.cycles.pop_front()
    }

    /// Keeps a test that was made.
    pub(super) fn keep_test(&mut self, test: &RangeTestRun) -> Result<(), TrainError> {
        self.keep(|| Line::RangeTestRun(test.clone()))
    }

    /// Keeps a short cycle that was made.
    pub(crate) fn keep_cycle(&mut self, cycle: &Trial) -> Result<(), TrainError> {
        self.keep(|| Line::Cycle(*cycle))
    }

    fn keep(&mut self, line: impl FnOnce() -> Line) -> Result<(), TrainError> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        open.lines.push(&line())?;
        Ok(open.lines.sync()?)
    }

    /// Removes it, once there is a result that holds what it held.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn remove(self) -> Result<(), FileError> {
        match &self.folder {
            Some(folder) => remove(folder),
            None => Ok(()),
        }
    }

    /// Removes it where it came to no result, and the folder with it if nothing else is in there.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn discard(self) -> Result<(), TrainError> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        remove(folder)?;
        let others = fs::read_dir(folder.root()).into_iter().flatten().flatten();
        if others
            .map(|entry| entry.file_name())
            .any(|name| name != ".lock")
        {
            return Ok(());
        }
        Ok(fs::remove_dir_all(folder.root()).map_err(FileError::io("remove", folder.root()))?)
    }
}

/// Removes the journal of a folder, if there is one.
///
/// # Errors
/// A file that cannot be removed.
pub(crate) fn remove(folder: &RunFolder) -> Result<(), FileError> {
    let path = folder.journal();
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileError::io("remove", &path)(error))
        }
        _ => Ok(()),
    }
}

/// The whole lines; none where there is no file.
fn read(folder: &RunFolder) -> Result<Vec<Line>, FileError> {
    let path = folder.journal();
    if !path.exists() {
        return Ok(Vec::new());
    }
    Ok(files::read_json_lines(&path)?.values)
}

fn refuse(folder: &RunFolder, differences: Vec<String>) -> Result<(), TrainError> {
    if differences.is_empty() {
        return Ok(());
    }
    Err(RunError::OtherSettings {
        run: folder.root().to_path_buf(),
        differences,
    }
    .into())
}

/// What is other than it was, in words; the data apart.
fn differences(
    was: &Settings,
    config: &Config,
    find: &RangeTestConfig,
) -> Result<Vec<String>, TrainError> {
    let config = config.clone().with_absolute_path()?;
    let mut differences = was.run.config.differences(&config)?;
    let version = env!("CARGO_PKG_VERSION");
    if was.run.version != version {
        let was = &was.run.version;
        differences.push(format!("the version was {was}, is {version}"));
    }
    let keys = |find: &RangeTestConfig| {
        serde_json::to_value(find).map_err(FileError::to_json("the settings of a range test"))
    };
    let (was, is) = (keys(&was.find)?, keys(find)?);
    if let (Value::Object(was), Value::Object(is)) = (was, is) {
        let changed = is.iter().filter(|(key, is)| was.get(*key) != Some(*is));
        differences.extend(changed.map(|(key, is)| {
            let was = was.get(key).unwrap_or(&Value::Null);
            format!("{key} was {was}, is {is}")
        }));
    }
    Ok(differences)
}
