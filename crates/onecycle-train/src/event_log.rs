//! TensorBoard's event files of a run. The main type is [`EventLog`].
//!
//! A run with `log = ["tensorboard"]` writes them while it trains; [`convert`] makes them from the
//! records of any run. Both write the same events in the same way: [`EventLog::of_run`] begins a file
//! with everything that the records of the run contain, and a training run appends to it. So a
//! resumed run, whose records were truncated to its checkpoint, has every step once. The new file
//! begins with the start of a session at step 0, by which a TensorBoard that is running forgets the
//! events of the file before; then that file is emptied. It is not removed, because a TensorBoard that
//! cannot find the file it reads never looks for the next one.
//!
//! | tag | step | value |
//! |---|---|---|
//! | `step/..` | update, from 0 | the numbers of a [`StepRecord`] |
//! | `step/images_per_second` | last update of an epoch | mean over the epoch, because the records of steps have no times |
//! | `epoch/..` | epoch, from 1 | the numbers of an [`EpochRecord`] |
//! | `test/accuracy`, `test/loss` | updates of the run | the final network on the test images |
//! | `configuration` | 0 | the configuration as TOML, a text |
//! | `figures/..` | updates of the run | the figures of the report |
//! | `_hparams_/..` | 0 | configuration, start and end of the run for the page HParams |
//!
//! The times of events that come from records count from the begin of the run, and pauses and
//! evaluations are left out.

mod clock;
mod hparams;

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use onecycle_tensorboard::{
    Event, EventWriter, SessionStatus, Summary as Values, file_name, is_file_of,
};
use serde::Deserialize;

use crate::{
    FileError, TrainError,
    config::LogFormat,
    files,
    record::{EpochRecord, StepRecord},
    run_folder::{RunFile, RunFolder, RunLock},
};
use clock::RecordedTimes;

pub use hparams::{label_of, write_experiment};

/// Name of this program in the names of event files.
const PROGRAM: &str = "onecycle";
/// Longest time that an event of a training run waits in memory.
const FLUSH_EVERY: Duration = Duration::from_secs(2);

/// An event file of a run, to which a training run appends.
#[derive(Debug)]
pub struct EventLog {
    path: PathBuf,
    writer: EventWriter<BufWriter<File>>,
    flushed: Instant,
}

/// Test result of a finished run, as far as it is logged.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct TestResult {
    /// Updates of the run.
    pub(crate) steps: u64,
    #[serde(with = "onecycle::not_finite")]
    pub(crate) test_accuracy: f64,
    #[serde(with = "onecycle::not_finite")]
    pub(crate) test_loss: f64,
}

/// A run that [`convert`] has converted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Converted {
    /// Folder of the run.
    pub run: PathBuf,
    /// Folder of the event file.
    pub folder: PathBuf,
    /// Number of steps.
    pub steps: u64,
    /// Number of epochs.
    pub epochs: u64,
    /// Whether the run is being trained and writes its event file itself. Then nothing was written.
    pub training: bool,
}

impl EventLog {
    /// Begins a new event file in the folder `out`, with everything in the records of the run in
    /// `folder`, and empties the event file that this program wrote there before. `out` is created if
    /// it does not exist.
    ///
    /// # Errors
    /// The records cannot be read, or files cannot be written.
    pub fn of_run(folder: &RunFolder, run: &RunFile, out: &Path) -> Result<Self, TrainError> {
        let old = event_files(out)?;
        let steps = folder.read_steps()?;
        let epochs = folder.read_epochs()?;
        let times = RecordedTimes::new(folder, &epochs);
        let mut log = EventLog::create(out, &old, times.begin())?;
        log.push(
            0,
            times.begin(),
            hparams::session_start(folder, run, times.begin())?,
        )?;
        let text = format!("```toml\n{}\n```", run.config.to_toml()?.trim_end());
        log.push(
            0,
            times.begin(),
            Values::default().text("configuration", &text),
        )?;
        let mut epochs_left = epochs.iter().peekable();
        for record in &steps {
            log.push(
                record.step,
                times.of_step(record.step),
                values_of_step(record),
            )?;
            while let Some(epoch) = epochs_left.next_if(|epoch| epoch.steps <= record.step + 1) {
                log.push_epoch(epoch, times.of_step(record.step))?;
            }
        }
        log.flush()?;
        retire(&old)?;
        Ok(log)
    }

    /// Creates the file that follows the files `old`.
    fn create(out: &Path, old: &[PathBuf], time: f64) -> Result<Self, TrainError> {
        files::create_folder(out)?;
        let path = out.join(next_name(old));
        let writer = File::create_new(&path)
            .and_then(|file| EventWriter::new(BufWriter::new(file), time))
            .map_err(FileError::io("write", &path))?;
        Ok(EventLog {
            path,
            writer,
            flushed: Instant::now(),
        })
    }

    /// Appends an update that was just made.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn step(&mut self, record: &StepRecord) -> Result<(), FileError> {
        self.push(record.step, now(), values_of_step(record))?;
        match self.flushed.elapsed() >= FLUSH_EVERY {
            true => self.flush(),
            false => Ok(()),
        }
    }

    /// Appends an epoch that was just evaluated.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn epoch(&mut self, record: &EpochRecord) -> Result<(), FileError> {
        self.push_epoch(record, now())?;
        self.flush()
    }

    /// Appends the end of a finished run: its figures in the folder `figures`, and its test result.
    pub(crate) fn finish(&mut self, figures: &Path, test: TestResult) -> Result<(), FileError> {
        self.finish_at(figures, test, now())
    }

    fn finish_at(&mut self, figures: &Path, test: TestResult, time: f64) -> Result<(), FileError> {
        let values = Values::default()
            .scalar("test/accuracy", test.test_accuracy)
            .scalar("test/loss", test.test_loss);
        self.push(test.steps, time, values)?;
        for path in sorted_files(figures)? {
            if path.extension() != Some(OsStr::new("png")) {
                continue;
            }
            let png = fs::read(&path).map_err(FileError::io("read", &path))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            if let Some(image) = Values::default().image(&format!("figures/{name}"), &png) {
                self.push(test.steps, time, image)?;
            }
        }
        self.end(SessionStatus::Success, time)
    }

    /// Appends the end of a run whose loss is not finite.
    pub(crate) fn diverged(&mut self) -> Result<(), FileError> {
        self.end(SessionStatus::Failure, now())
    }

    fn end(&mut self, status: SessionStatus, time: f64) -> Result<(), FileError> {
        self.push(0, time, Values::default().session_end(status, time))?;
        self.flush()
    }

    /// Hands the events so far to the system.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn flush(&mut self) -> Result<(), FileError> {
        self.flushed = Instant::now();
        self.writer
            .flush()
            .map_err(FileError::io("write", &self.path))
    }

    fn push_epoch(&mut self, record: &EpochRecord, time: f64) -> Result<(), FileError> {
        self.push(record.epoch + 1, time, values_of_epoch(record))?;
        // Infinite if the clock did not advance during the epoch.
        let speed = Values::default().scalar("step/images_per_second", record.images_per_second);
        self.push(record.steps.saturating_sub(1), time, speed)
    }

    fn push(&mut self, step: u64, time: f64, values: Values) -> Result<(), FileError> {
        self.writer
            .write(Event::summary(time, step, values))
            .map_err(FileError::io("write", &self.path))
    }
}

/// Writes the event file of a run from its records, into the folder `out` or `tensorboard/` of the
/// run. The run may be finished, stopped or in training.
///
/// # Errors
/// The records cannot be read, or files cannot be written.
pub fn convert(folder: &RunFolder, out: Option<&Path>) -> Result<Converted, TrainError> {
    let run = folder.read_run_file()?;
    let own = folder.tensorboard();
    let out = out.unwrap_or(&own);
    // Keeps the run from being resumed meanwhile, which would begin an event file, too.
    let lock = match out == own {
        true => RunLock::try_acquire(folder.root())?,
        false => None,
    };
    let training = out == own && lock.is_none() && run.config.logs(LogFormat::TensorBoard);
    if !training {
        let mut log = EventLog::of_run(folder, &run, out)?;
        if folder.is_finished() {
            let test: TestResult = files::read_json(&folder.summary())?;
            let end = clock::modified(&folder.summary()).unwrap_or_else(now);
            log.finish_at(&folder.figures(), test, end)?;
        } else if let Some(end) = clock::modified(&folder.diverged()) {
            log.end(SessionStatus::Failure, end)?;
        }
    }
    Ok(Converted {
        run: folder.root().to_path_buf(),
        folder: out.to_path_buf(),
        steps: folder.read_steps()?.len() as u64,
        epochs: folder
            .read_epochs()?
            .last()
            .map_or(0, |last| last.epoch + 1),
        training,
    })
}

/// The event files in `folder` that this program wrote, in the order of their names. All but the last
/// are empty.
///
/// # Errors
/// The folder cannot be read. A missing folder has no files.
pub fn event_files(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let mut files = sorted_files(folder)?;
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        is_file_of(&name, PROGRAM)
    });
    Ok(files)
}

/// The entries of a folder in the order of their names; none if it does not exist.
fn sorted_files(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(FileError::io("read the folder", folder))?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(FileError::io("read the folder", folder))?;
        paths.push(entry.path());
    }
    paths.sort();
    Ok(paths)
}

/// Empties event files that a new one replaces, and removes those that were empty before: a TensorBoard
/// that read them reads a later one by now.
fn retire(old: &[PathBuf]) -> Result<(), FileError> {
    for path in old {
        let emptied = match fs::metadata(path).map(|data| data.len()) {
            Ok(0) => fs::remove_file(path),
            Ok(_) => File::create(path).map(drop),
            Err(error) => Err(error),
        };
        match emptied {
            // Another worker of a study has removed it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            emptied => emptied.map_err(FileError::io("empty", path))?,
        }
    }
    Ok(())
}

/// Name of the file that follows the files `old`, also if the clock was set back or they began in
/// this second.
fn next_name(old: &[PathBuf]) -> String {
    let newest = old.last().and_then(|path| path.file_name()?.to_str());
    let parts: Vec<&str> = newest.unwrap_or_default().split('.').collect();
    let number = |part: Option<&&str>| part.and_then(|part| part.parse::<u64>().ok());
    let seconds = number(parts.get(3)).unwrap_or(0).max(now() as u64);
    let next = number(parts.last()).map_or(0, |last| last + 1);
    file_name(seconds, PROGRAM, next as usize)
}

/// Seconds since 1970.
fn now() -> f64 {
    seconds_of(SystemTime::now())
}

fn seconds_of(time: SystemTime) -> f64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

fn values_of_step(record: &StepRecord) -> Values {
    let mut values = Values::default()
        .scalar("step/loss", record.loss)
        .scalar("step/lr", record.lr)
        .scalar("step/weight_decay", record.weight_decay)
        .scalar("step/batch_size", record.batch_size as f64);
    if let Some(momentum) = record.momentum {
        values = values.scalar("step/momentum", momentum);
    }
    if let Some(norm) = record.grad_norm {
        values = values.scalar("step/grad_norm", norm);
    }
    if let Some(size) = record.image_size {
        values = values.scalar("step/image_height", size.height as f64);
        values = values.scalar("step/image_width", size.width as f64);
    }
    values
}

fn values_of_epoch(record: &EpochRecord) -> Values {
    Values::default()
        .scalar("epoch/train_loss", record.train_loss)
        .scalar("epoch/val_loss", record.val_loss)
        .scalar("epoch/train_accuracy", record.train_accuracy)
        .scalar("epoch/val_accuracy", record.val_accuracy)
        .scalar("epoch/generalisation_gap", record.generalisation_gap)
        .scalar("epoch/seconds", record.seconds)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_in_the_order_of_their_beginnings() {
        let mut files: Vec<PathBuf> = Vec::new();
        for _ in 0..3 {
            files.push(next_name(&files).into());
        }
        // The clock was an hour ahead.
        let ahead = now() as u64 + 3600;
        files.push(file_name(ahead, PROGRAM, 3).into());
        files.push(next_name(&files).into());
        assert!(files.is_sorted(), "{files:?}");
        let last = files.last().unwrap().to_str().unwrap();
        assert!(last.ends_with(".onecycle.0004"), "{last}");
    }

    #[test]
    fn a_replaced_file_stays_until_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = |number| folder.path().join(file_name(1, PROGRAM, number));
        fs::write(path(0), "events").unwrap();
        for (number, left) in [(1, vec![0, 1]), (2, vec![1, 2])] {
            let old = event_files(folder.path()).unwrap();
            fs::write(path(number), "events").unwrap();
            retire(&old).unwrap();
            let files = event_files(folder.path()).unwrap();
            assert_eq!(
                files,
                left.iter().map(|number| path(*number)).collect::<Vec<_>>()
            );
            let sizes = files.iter().map(|path| fs::metadata(path).unwrap().len());
            assert_eq!(sizes.collect::<Vec<_>>(), [0, 6]);
        }
    }

    #[test]
    fn files_of_other_programs_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let names = [
            "events.out.tfevents.1700000000.host.123.0",
            "events.out.tfevents.1700000000.onecycle.0000",
            "notes.txt",
        ];
        for name in names {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(
            event_files(folder.path()).unwrap(),
            [folder.path().join(names[1])]
        );
        assert!(
            event_files(&folder.path().join("absent"))
                .unwrap()
                .is_empty()
        );
    }
}
