use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::Path,
};

use crate::{FileError, RunError, TrainError};

/// Holds a run's folder for one process, until it is dropped or the process ends, however it ends.
///
/// It is a lock of the operating system on the file `.lock`, not the file's being there: what a dead process left
/// locks nothing. The file is never removed, since a process that is just opening it would then hold a lock that nobody
/// else sees. In it stands the number of the process that took it last.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Takes the lock of the folder `root`, which must exist. On a file system without locks there is none to take:
    /// then nothing keeps a second process off.
    ///
    /// # Errors
    /// [`RunError::InUse`] where another process, or another run of this one, has it; a file that cannot be made.
    pub fn acquire(root: &Path) -> Result<Self, TrainError> {
        let path = root.join(".lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(FileError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Whoever holds it may be writing just now: without a number the message still says enough.
                let _ = file.read_to_string(&mut holder);
                return Err(RunError::InUse {
                    run: root.to_path_buf(),
                    process: holder.trim().parse().ok(),
                }
                .into());
            }
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => {
                return Err(FileError::io("lock", &path)(error).into());
            }
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(FileError::io("write", &path))?;
        Ok(RunLock { _file: file })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let held = RunLock::acquire(folder.path()).unwrap();
        let error = RunLock::acquire(folder.path()).unwrap_err();
        let TrainError::Run(RunError::InUse { process, .. }) = &error else {
            panic!("{error}");
        };
        assert_eq!(*process, Some(std::process::id()));
        drop(held);
        RunLock::acquire(folder.path()).unwrap();
    }

    #[test]
    fn the_file_alone_locks_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".lock"), "4194305 and much more\n").unwrap();
        let _held = RunLock::acquire(folder.path()).unwrap();
        let text = std::fs::read_to_string(folder.path().join(".lock")).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
    }
}
