//! A request to stop a run, as an empty file in its folder.
//!
//! Any process that can write into the folder can stop a run with a checkpoint, whichever process or
//! machine trains it. The process that trains looks for the file, removes it and stops like after a
//! signal.

use std::{
    fs::{self, File},
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use onecycle::Plan;

use super::RunFolder;
use crate::{
    FileError,
    observer::Observer,
    record::{EpochRecord, StepRecord},
};

/// Time between two looks for the file. A look is one system call.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl RunFolder {
    /// Asks the process that trains this run to write a checkpoint and stop. It does so within about
    /// a second, after its current step or batch of an evaluation.
    ///
    /// A request to a run that no process trains has no effect: a resumed run removes it at its start.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn request_stop(&self) -> Result<(), FileError> {
        let path = self.stop_request();
        File::create(&path).map_err(FileError::io("create", &path))?;
        Ok(())
    }

    /// Removes a request that nothing has answered. Returns whether there was one.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub(crate) fn take_stop_request(&self) -> Result<bool, FileError> {
        let path = self.stop_request();
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(FileError::io("remove", &path)(error)),
        }
    }

    /// `stop`, the file of a request to stop. It exists until it is answered.
    pub fn stop_request(&self) -> PathBuf {
        self.root().join("stop")
    }
}

/// Passes the events of a run to an observer, and also stops the run if its folder has a request.
pub(crate) struct StopOnRequest<'a> {
    observer: &'a mut dyn Observer,
    folder: RunFolder,
    next_look: Instant,
    requested: bool,
}

impl<'a> StopOnRequest<'a> {
    pub(crate) fn new(folder: RunFolder, observer: &'a mut dyn Observer) -> Self {
        StopOnRequest {
            observer,
            folder,
            next_look: Instant::now() + LOOK_EVERY,
            requested: false,
        }
    }

    fn look(&mut self) {
        let now = Instant::now();
        if self.requested || now < self.next_look {
            return;
        }
        self.next_look = now + LOOK_EVERY;
        match self.folder.take_stop_request() {
            Ok(requested) => self.requested = requested,
            // The request counts, but it stays and would stop the run again, so say so.
            Err(error) => {
                self.requested = true;
                self.observer.note(&error.to_string());
            }
        }
        if self.requested {
            self.observer
                .note("stopping, as the file `stop` in the folder of the run asked");
        }
    }
}

impl Observer for StopOnRequest<'_> {
    fn plan(&mut self, plan: &Plan) {
        self.observer.plan(plan);
    }

    fn step(&mut self, record: &StepRecord) {
        self.observer.step(record);
    }

    fn evaluation(&mut self, images: u64, total: u64) {
        self.observer.evaluation(images, total);
    }

    fn epoch(&mut self, record: &EpochRecord) {
        self.observer.epoch(record);
    }

    fn note(&mut self, text: &str) {
        self.observer.note(text);
    }

    fn stop(&mut self) -> bool {
        self.look();
        self.observer.stop() || self.requested
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;
    use crate::observer::Silent;

    #[test]
    fn a_request_is_answered_once_and_looked_for_once_per_second() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::at(root.path());
        let mut silent = Silent;
        let mut observer = StopOnRequest::new(folder.clone(), &mut silent);
        folder.request_stop().unwrap();
        assert!(!observer.stop(), "the first look is a second away");
        observer.next_look = Instant::now();
        assert!(observer.stop());
        assert!(observer.stop(), "it stays requested");
        assert!(!folder.take_stop_request().unwrap(), "the file is removed");
    }
}
