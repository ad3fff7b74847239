use std::{
    fmt,
    fs::{self, File},
    io,
    path::Path,
    str::FromStr,
    thread,
    time::Duration,
};

use crate::StudyError;
use onecycle_train::{
    ConfigError, FileError, RunError, files, observer::Observer, run_folder::RunLock,
};

/// The part of a study that one process trains.
///
/// Workers and shards take no lock on the study. Each locks the run that it trains, so that any
/// number of processes can share a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Part {
    /// All runs. Another process that works in the folder is an error.
    #[default]
    All,
    /// The runs that no other process trains at that moment, one after another. Needs a file system
    /// with locks.
    Worker,
    /// A fixed share of the runs; needs no locks.
    Shard(Shard),
}

/// Every `of`-th run, beginning with number `index`: `I/N` as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Number of the shard, from 1 to `of`.
    index: usize,
    /// Number of shards, at least 1.
    of: usize,
}

/// How a process's part of a study ended.
#[derive(Debug, Clone, PartialEq)]
pub enum StudyOutcome<T> {
    /// All runs are trained.
    Finished(T),
    /// Nothing is left for this process, and there is no result: other processes train the rest of
    /// the runs, or nothing could be locked to write the results. Calling with [`Part::All`] after
    /// they have ended gives the result.
    Left {
        /// Number of finished runs.
        done: usize,
        /// Number of all runs.
        of: usize,
    },
    /// The observer asked to stop. The same call continues.
    Stopped {
        /// Number of finished runs.
        done: usize,
        /// Number of all runs; 0 if it is not known yet.
        of: usize,
    },
}

impl<T> StudyOutcome<T> {
    /// The result; `None` if there is none yet.
    pub fn finished(self) -> Option<T> {
        match self {
            StudyOutcome::Finished(result) => Some(result),
            StudyOutcome::Left { .. } | StudyOutcome::Stopped { .. } => None,
        }
    }
}

impl Part {
    /// Whether a run belongs to this part, by its index in the study.
    pub(crate) fn contains(self, index: usize) -> bool {
        match self {
            Part::All | Part::Worker => true,
            Part::Shard(shard) => index % shard.of == shard.index - 1,
        }
    }

    /// Whether this process writes files that all processes of a study need at its start. Workers
    /// exclude each other by a lock, shards may not be able to.
    pub(crate) fn leads(self) -> bool {
        match self {
            Part::All | Part::Worker => true,
            Part::Shard(shard) => shard.index == 1,
        }
    }

    /// Checks that a lock is good enough for this part.
    ///
    /// # Errors
    /// [`RunError::NoLocks`] for a worker on a file system without locks.
    pub(crate) fn check(self, lock: &RunLock, folder: &Path) -> Result<(), RunError> {
        if self == Part::Worker && !lock.is_exclusive() {
            return Err(RunError::NoLocks {
                folder: folder.to_path_buf(),
            });
        }
        Ok(())
    }
}

impl Shard {
    /// Shard number `index` of `of`, counted from 1.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] if `index` is not between 1 and `of`.
    pub fn new(index: usize, of: usize) -> Result<Self, ConfigError> {
        match (1..=of).contains(&index) {
            true => Ok(Shard { index, of }),
            false => Err(Shard::unexpected(&format!("{index}/{of}"))),
        }
    }

    fn unexpected(text: &str) -> ConfigError {
        let expected = "I/N with I between 1 and N, such as 2/8";
        ConfigError::setting("--shard", text, expected)
    }
}

impl FromStr for Shard {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let numbers = text
            .split_once('/')
            .and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        let (index, of) = numbers.ok_or_else(|| Shard::unexpected(text))?;
        Shard::new(index, of).map_err(|_| Shard::unexpected(text))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// Time between two looks at the work of another process.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Waits a moment for other processes. Returns false if the observer asks to stop.
pub(crate) fn pause(observer: &mut dyn Observer) -> bool {
    if observer.stop() {
        return false;
    }
    thread::sleep(LOOK_EVERY);
    true
}

/// Calls `look` until it returns a value. Returns `None` if the observer asks to stop.
///
/// # Errors
/// Those of `look`.
pub(crate) fn wait_for<T>(
    observer: &mut dyn Observer,
    mut look: impl FnMut() -> Result<Option<T>, StudyError>,
) -> Result<Option<T>, StudyError> {
    loop {
        let found = look()?;
        if found.is_some() || !pause(observer) {
            return Ok(found);
        }
    }
}

/// Writes the results of a study whose runs are all finished, while no other process does. Waits
/// for a process that is writing them.
///
/// A shard on a file system without locks writes nothing, because other shards may be at the same
/// point.
///
/// # Errors
/// The folder cannot be locked; those of `write`.
pub(crate) fn write_results<T>(
    folder: &Path,
    (part, runs): (Part, usize),
    observer: &mut dyn Observer,
    write: impl FnOnce() -> Result<T, StudyError>,
) -> Result<StudyOutcome<T>, StudyError> {
    files::create_folder(folder)?;
    let lock = wait_for(observer, || Ok(RunLock::try_acquire(folder)?))?;
    match lock {
        None => Ok(StudyOutcome::Stopped {
            done: runs,
            of: runs,
        }),
        Some(lock) if part != Part::All && !lock.is_exclusive() => Ok(StudyOutcome::Left {
            done: runs,
            of: runs,
        }),
        Some(_lock) => Ok(StudyOutcome::Finished(write()?)),
    }
}

/// Makes the changes of other machines in a folder visible. A client of a network file system
/// remembers for up to a minute that a file does not exist, until it changes the folder itself.
///
/// # Errors
/// The folder is not writable.
pub(crate) fn see_changes(folder: &Path) -> Result<(), FileError> {
    // A resumed run removes files of such names, in case this process dies here.
    let path = folder.join(".look.part");
    File::create(&path).map_err(FileError::io("create", &path))?;
    match fs::remove_file(&path) {
        // Another process looked at the same moment.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(FileError::io("remove", &path)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;

    #[test]
    fn shards_are_disjoint_and_complete() {
        for of in 1..=5 {
            let shards: Vec<Part> = (1..=of)
                .map(|index| Part::Shard(Shard::new(index, of).unwrap()))
                .collect();
            for run in 0..12 {
                let owners = shards.iter().filter(|part| part.contains(run));
                assert_eq!(owners.count(), 1, "run {run} of {of} shards");
            }
            assert_eq!(shards.iter().filter(|part| part.leads()).count(), 1);
        }
    }

    #[test]
    fn shards_are_parsed() {
        let shard: Shard = "2/8".parse().unwrap();
        assert_eq!(
            (shard, shard.to_string().as_str()),
            (Shard { index: 2, of: 8 }, "2/8")
        );
        for text in ["", "2", "0/8", "9/8", "1/0", "a/b", "1/2/3", "-1/3"] {
            let error = text.parse::<Shard>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("I/N"), "{error}");
        }
    }

    #[test]
    fn a_look_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        see_changes(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
