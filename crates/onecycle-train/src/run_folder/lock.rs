use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::Path,
    sync::Arc,
};

use crate::{FileError, RunError, TrainError};

/// Locks the folder of a run for one process, until the last clone is dropped or the process ends in
/// any way.
///
/// The operating system locks the file `.lock`; that the file exists means nothing, so a process
/// that died leaves no lock. The file is never removed: a process that is opening it at that moment
/// would lock a file that no other process can see. It contains the number of the last process that
/// took the lock.
#[derive(Debug, Clone)]
pub struct RunLock {
    _file: Arc<File>,
    exclusive: bool,
}

impl RunLock {
    /// Takes the lock of the folder `root`, which must exist. If the file system has no locks,
    /// nothing is locked, and a second process is not kept out.
    ///
    /// # Errors
    /// [`RunError::InUse`] if another process, or another run of this one, holds it; the file
    /// cannot be created.
    pub fn acquire(root: &Path) -> Result<Self, TrainError> {
        let path = root.join(".lock");
        match RunLock::open(&path)? {
            Attempt::Taken(lock) => Ok(lock),
            Attempt::Held(mut file) => {
                let mut holder = String::new();
                // The holder may be writing its number at this moment; the message is useful
                // without it.
                let _ = file.read_to_string(&mut holder);
                Err(RunError::InUse {
                    run: root.to_path_buf(),
                    process: holder.trim().parse().ok(),
                }
                .into())
            }
        }
    }

    /// Like [`acquire`](Self::acquire), but returns `None` if another process holds the lock.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn try_acquire(root: &Path) -> Result<Option<Self>, FileError> {
        RunLock::try_acquire_file(&root.join(".lock"))
    }

    /// Like [`try_acquire`](Self::try_acquire), for a lock file of any name. Its folder must exist.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn try_acquire_file(path: &Path) -> Result<Option<Self>, FileError> {
        match RunLock::open(path)? {
            Attempt::Taken(lock) => Ok(Some(lock)),
            Attempt::Held(_) => Ok(None),
        }
    }

    /// Whether other processes are kept out; false on a file system without locks.
    pub fn is_exclusive(&self) -> bool {
        self.exclusive
    }

    fn open(path: &Path) -> Result<Attempt, FileError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(FileError::io("open", path))?;
        let exclusive = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => return Ok(Attempt::Held(file)),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => false,
            Err(TryLockError::Error(error)) => return Err(FileError::io("lock", path)(error)),
        };
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(FileError::io("write", path))?;
        Ok(Attempt::Taken(RunLock {
            _file: Arc::new(file),
            exclusive,
        }))
    }
}

/// Outcome of taking a lock.
enum Attempt {
    Taken(RunLock),
    /// Another process holds it. Its number may be in the file.
    Held(File),
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn only_one_lock_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let held = RunLock::acquire(folder.path()).unwrap();
        let error = RunLock::acquire(folder.path()).unwrap_err();
        let TrainError::Run(RunError::InUse { process, .. }) = &error else {
            panic!("{error}");
        };
        assert_eq!(*process, Some(std::process::id()));
        assert!(held.is_exclusive());
        let clone = held.clone();
        drop(held);
        assert!(RunLock::try_acquire(folder.path()).unwrap().is_none());
        drop(clone);
        RunLock::acquire(folder.path()).unwrap();
    }

    #[test]
    fn an_old_lock_file_does_not_lock() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".lock"), "4194305 and much more\n").unwrap();
        let _held = RunLock::acquire(folder.path()).unwrap();
        let text = std::fs::read_to_string(folder.path().join(".lock")).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
    }
}
