//! Finished parts of a range test or a search, so that a stopped or killed one continues:
//! [`Journal`].
//!
//! They are in `range_test.jsonl` in the output folder: a line with the settings, then one line per
//! finished test and short cycle, in order. Each is synced before the next begins, or the next ones that several processes make
//! at the same time. All of them are
//! functions of the settings, so several processes together make the same results as one, except
//! for times. The file is removed when the result is written.

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
    /// The first line.
    Settings(Box<Settings>),
    Test(RangeTestRun),
    Cycle(Trial),
}

/// The settings that determine all other lines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Settings {
    /// Version, configuration and data, as for a run of this configuration.
    run: RunFile,
    #[serde(rename = "find")]
    options: RangeTestConfig,
}

/// Finished tests and short cycles, kept in a folder or not at all.
#[derive(Debug, Default)]
pub struct Journal {
    folder: Option<RunFolder>,
    open: Option<Open>,
    tests: Vec<RangeTestRun>,
    cycles: VecDeque<Trial>,
}

#[derive(Debug)]
struct Open {
    lines: JsonLines<Line>,
    _lock: RunLock,
}

impl Journal {
    /// A journal that keeps nothing.
    pub fn none() -> Self {
        Journal::default()
    }

    /// A journal in the folder `root`, which is created when the first test begins.
    pub fn in_folder(root: &Path) -> Self {
        Journal {
            folder: Some(RunFolder::at(root)),
            ..Journal::default()
        }
    }

    /// The folder, if it keeps anything.
    pub(super) fn folder(&self) -> Option<&RunFolder> {
        self.folder.as_ref()
    }

    /// Whether the folder of a run has a journal.
    pub fn exists(run: &RunFolder) -> bool {
        run.journal().exists()
    }

    /// Checks that an existing journal was made with these settings, except for the data. Nothing
    /// is written.
    ///
    /// # Errors
    /// [`RunError::OtherSettings`] with the differences; the file cannot be read.
    pub fn check(&self, config: &Config, options: &RangeTestConfig) -> Result<(), TrainError> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        match read(folder)?.first() {
            Some(Line::Settings(was)) => refuse(folder, differences(was, config, options)?),
            _ => Ok(()),
        }
    }

    /// Opens an existing journal or starts one. Returns the numbers of known tests and short
    /// cycles.
    ///
    /// # Errors
    /// [`RunError::OtherSettings`] with the differences; [`RunError::InUse`]; files cannot be read
    /// or written.
    pub(super) fn begin(
        &mut self,
        config: &Config,
        options: &RangeTestConfig,
        experiment: &Experiment,
    ) -> Result<(usize, usize), TrainError> {
        let Some(folder) = &self.folder else {
            return Ok((0, 0));
        };
        files::create_folder(folder.root())?;
        let lock = RunLock::acquire(folder.root())?;
        let config = config.clone().with_absolute_path()?;
        let run = RunFile {
            config: config.clone(),
            ..RunFile::of(experiment)
        };
        let known = read(folder)?;
        if let Some(Line::Settings(was)) = known.first() {
            let mut differences = differences(was, &config, options)?;
            differences.extend(was.run.data.differences(&run.data));
            differences.extend(was.run.other_init(&run));
            refuse(folder, differences)?;
        }
        files::remove_temporary_files(folder.root())?;
        // The part of an incomplete line is made again.
        files::keep_lines(&folder.journal(), known.len())?;
        let mut lines = JsonLines::open(&folder.journal())?;
        if known.is_empty() {
            let options = options.clone();
            lines.push(&Line::Settings(Box::new(Settings { run, options })))?;
            lines.sync()?;
        }
        for line in known {
            match line {
                Line::Settings(_) => {}
                Line::Test(test) => self.tests.push(test),
                Line::Cycle(cycle) => self.cycles.push_back(cycle),
            }
        }
        self.open = Some(Open { lines, _lock: lock });
        Ok((self.tests.len(), self.cycles.len()))
    }

    /// Takes the known tests.
    pub(super) fn take_tests(&mut self) -> Vec<RangeTestRun> {
        std::mem::take(&mut self.tests)
    }

    /// Takes the next known short cycle.
    pub(crate) fn cycle(&mut self) -> Option<Trial> {
        self.cycles.pop_front()
    }

    /// Adds a finished test.
    pub(super) fn keep_test(&mut self, test: &RangeTestRun) -> Result<(), TrainError> {
        self.keep(|| Line::Test(test.clone()))
    }

    /// Adds a finished short cycle.
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

    /// Removes the journal after the result is written.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove(self) -> Result<(), FileError> {
        match &self.folder {
            Some(folder) => remove(folder),
            None => Ok(()),
        }
    }

    /// Like [`discard`](Self::discard), but keeps a journal with a finished test or short cycle.
    ///
    /// # Errors
    /// The file cannot be read or removed.
    pub fn discard_if_empty(self) -> Result<(), TrainError> {
        let lines = self.folder.as_ref().map(read).transpose()?;
        let finished = lines.is_some_and(|lines| lines.len() > 1);
        if finished { Ok(()) } else { self.discard() }
    }

    /// Removes a journal that led to no result, and the folder if it contains nothing else.
    ///
    /// # Errors
    /// The file cannot be removed.
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

/// Reads the finished range tests and short cycles of a folder, in order, for example while the
/// search is running. None if there is no journal.
///
/// # Errors
/// The file cannot be read, or a complete line is neither.
pub fn read_finished(run: &RunFolder) -> Result<(Vec<RangeTestRun>, Vec<Trial>), FileError> {
    let (mut tests, mut cycles) = (Vec::new(), Vec::new());
    for line in read(run)? {
        match line {
            Line::Settings(_) => {}
            Line::Test(test) => tests.push(test),
            Line::Cycle(cycle) => cycles.push(cycle),
        }
    }
    Ok((tests, cycles))
}

/// Removes the journal of a folder, if there is one.
///
/// # Errors
/// The file cannot be removed.
pub(crate) fn remove(folder: &RunFolder) -> Result<(), FileError> {
    let path = folder.journal();
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileError::io("remove", &path)(error))
        }
        _ => Ok(()),
    }
}

/// Reads the complete lines; none if there is no file.
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

/// Lists the differences in words, except for the data.
fn differences(
    was: &Settings,
    config: &Config,
    options: &RangeTestConfig,
) -> Result<Vec<String>, TrainError> {
    let config = config.clone().with_absolute_path()?;
    let mut differences = was.run.config.differences(&config)?;
    let version = env!("CARGO_PKG_VERSION");
    if was.run.version != version {
        let was = &was.run.version;
        differences.push(format!("the version was {was}, is {version}"));
    }
    let keys = |options: &RangeTestConfig| {
        serde_json::to_value(options).map_err(FileError::to_json("the settings of a range test"))
    };
    let (was, is) = (keys(&was.options)?, keys(options)?);
    if let (Value::Object(was), Value::Object(is)) = (was, is) {
        let changed = is.iter().filter(|(key, is)| was.get(*key) != Some(*is));
        differences.extend(changed.map(|(key, is)| {
            let was = was.get(key).unwrap_or(&Value::Null);
            format!("{key} was {was}, is {is}")
        }));
    }
    Ok(differences)
}
