//! Fail points: tests make a write fail or the process die at a chosen moment.
//!
//! Without the feature `fail-points`, which only tests enable, the functions just write. With it,
//! the environment variable `ONECYCLE_FAIL_POINT = ACTION:STAGE:TEXT:NTH` arms a fail point: when a
//! file with TEXT in its name reaches STAGE for the NTH time, counted from 1, ACTION happens.
//!
//! | action | effect |
//! |---|---|
//! | `kill` | the process ends at once, as by SIGKILL: nothing is flushed or cleaned up |
//! | `full` | the disk is full, at this and every later time |
//! | `error` | the device fails, at this and every later time |
//!
//! | stage | state of the file |
//! |---|---|
//! | `half` | half of the bytes are written |
//! | `written` | all bytes are written, but not synced |
//! | `synced` | the bytes are on disk, in the temporary file |
//! | `renamed` | the file has its final name, but the folder is not synced |

/// Stage of writing a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "fail-points"),
    allow(dead_code, reason = "only armed fail points distinguish the stages")
)]
pub(super) enum Stage {
    Half,
    Written,
    Synced,
    Renamed,
}

#[cfg(feature = "fail-points")]
pub(super) use armed::{reached, write};
#[cfg(not(feature = "fail-points"))]
pub(super) use disarmed::{reached, write};

#[cfg(not(feature = "fail-points"))]
mod disarmed {
    use std::{
        fs::File,
        io::{self, Write},
        path::Path,
    };

    use super::Stage;

    /// Writes all bytes. `_path` is the final path of the file.
    pub(in crate::files) fn write(file: &mut File, bytes: &[u8], _path: &Path) -> io::Result<()> {
        file.write_all(bytes)
    }

    /// Reports that the file at the path has reached a stage.
    pub(in crate::files) fn reached(_stage: Stage, _path: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(feature = "fail-points")]
mod armed {
    use std::{
        env,
        fs::File,
        io::{self, Write},
        path::Path,
        process,
        sync::{
            OnceLock,
            atomic::{AtomicU64, Ordering},
        },
    };

    use super::Stage;

    const VARIABLE: &str = "ONECYCLE_FAIL_POINT";

    #[derive(Debug, PartialEq)]
    enum Action {
        Kill,
        Full,
        Error,
    }

    #[derive(Debug)]
    struct FailPoint {
        action: Action,
        stage: Stage,
        text: String,
        nth: u64,
        times: AtomicU64,
    }

    impl FailPoint {
        fn parse(value: &str) -> Option<Self> {
            let mut parts = value.split(':');
            let action = match parts.next()? {
                "kill" => Action::Kill,
                "full" => Action::Full,
                "error" => Action::Error,
                _ => return None,
            };
            let stage = match parts.next()? {
                "half" => Stage::Half,
                "written" => Stage::Written,
                "synced" => Stage::Synced,
                "renamed" => Stage::Renamed,
                _ => return None,
            };
            let text = parts.next()?.to_owned();
            let nth = parts.next()?.parse().ok().filter(|nth| *nth > 0)?;
            parts.next().is_none().then_some(FailPoint {
                action,
                stage,
                text,
                nth,
                times: AtomicU64::new(0),
            })
        }

        fn reached(&self, stage: Stage, path: &Path) -> io::Result<()> {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if stage != self.stage || !name.contains(&self.text) {
                return Ok(());
            }
            let times = 1 + self.times.fetch_add(1, Ordering::SeqCst);
            match self.action {
                Action::Kill if times == self.nth => process::abort(),
                Action::Full if times >= self.nth => Err(io::ErrorKind::StorageFull.into()),
                Action::Error if times >= self.nth => Err(io::Error::other("the device failed")),
                _ => Ok(()),
            }
        }
    }

    /// Writes all bytes in two halves.
    pub(in crate::files) fn write(file: &mut File, bytes: &[u8], path: &Path) -> io::Result<()> {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        file.write_all(first)?;
        reached(Stage::Half, path)?;
        file.write_all(second)?;
        reached(Stage::Written, path)
    }

    /// Triggers the fail point if it is for this file and stage.
    pub(in crate::files) fn reached(stage: Stage, path: &Path) -> io::Result<()> {
        static POINT: OnceLock<Option<FailPoint>> = OnceLock::new();
        let point = POINT.get_or_init(|| {
            let value = env::var(VARIABLE).ok()?;
            let point = FailPoint::parse(&value);
            // A test with a misspelt fail point would pass without testing anything.
            assert!(
                point.is_some(),
                "{VARIABLE}={value}: expected ACTION:STAGE:TEXT:NTH"
            );
            point
        });
        point
            .as_ref()
            .map_or(Ok(()), |point| point.reached(stage, path))
    }

    #[cfg(test)]
    #[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    mod tests {
        use super::*;

        #[test]
        fn only_the_named_file_at_the_named_time_fails() {
            let point = FailPoint::parse("full:half:.ckpt:2").unwrap();
            let (checkpoint, other) = (Path::new("run/a.ckpt"), Path::new("run/a.ckpt/steps"));
            for (stage, path, fails) in [
                (Stage::Half, checkpoint, false),
                (Stage::Half, other, false),
                (Stage::Synced, checkpoint, false),
                (Stage::Half, checkpoint, true),
                (Stage::Half, checkpoint, true),
            ] {
                assert_eq!(point.reached(stage, path).is_err(), fails);
            }
            for wrong in [
                "",
                "full",
                "full:half:x:0",
                "burn:half:x:1",
                "full:half:x:1:2",
            ] {
                assert!(FailPoint::parse(wrong).is_none(), "{wrong}");
            }
        }
    }
}
