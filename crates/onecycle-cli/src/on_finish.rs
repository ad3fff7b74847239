//! `--on-finish COMMAND`: a command of the user that runs when this one ends.
//!
//! A command has one end, and signals can bring it from another thread. So the command and what is
//! known of the end are in one place, and the first thread that reports the end takes them.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use clap::Args as ClapArgs;
use onecycle_train::files;
use serde_json::{Value, json};

use crate::output;

/// Flag for a command at the end.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct OnFinish {
    /// Run this shell command at the end, however it comes, with the summary as JSON on its standard
    /// input, and ONECYCLE_OUTCOME (finished, stopped, failed or left) and ONECYCLE_RUN (the folder) in
    /// its environment
    #[arg(long = "on-finish", value_name = "COMMAND")]
    pub(crate) command: Option<String>,
}

/// The command to run at the end, until it runs.
static AT_THE_END: Mutex<Option<AtTheEnd>> = Mutex::new(None);

/// A command to run at the end, and what it is told.
#[derive(Debug)]
struct AtTheEnd {
    command: String,
    /// Folder of the run or study, once it is known.
    folder: Option<PathBuf>,
    /// File with the result, which exists if the run or study is finished.
    result: Option<PathBuf>,
    /// How it ended, unless it is finished or failed.
    early: Option<Early>,
}

/// An end before all work was done.
#[derive(Debug)]
struct Early {
    outcome: &'static str,
    reason: String,
    code: u8,
}

impl OnFinish {
    /// Runs the command at the end of this process.
    pub(crate) fn listen(&self) {
        *at_the_end() = self.command.clone().map(|command| AtTheEnd {
            command,
            folder: None,
            result: None,
            early: None,
        });
    }
}

/// The run or study is in this folder, and `result` in it has the final figures.
pub(crate) fn works_in(folder: &Path, result: &Path) {
    if let Some(end) = &mut *at_the_end() {
        // Another folder may be the current one for the command.
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or(path.to_path_buf());
        end.folder = Some(absolute(folder));
        end.result = Some(absolute(result));
    }
}

/// The work was stopped for this reason, and the exit code will be `code`.
pub(crate) fn stopped(reason: &str, code: u8) {
    early("stopped", reason, code);
}

/// Nothing is left of a study for this process, but other processes have not finished.
pub(crate) fn left(reason: &str) {
    early("left", reason, 0);
}

fn early(outcome: &'static str, reason: &str, code: u8) {
    if let Some(end) = &mut *at_the_end() {
        end.early = Some(Early {
            outcome,
            reason: reason.to_owned(),
            code,
        });
    }
}

/// Runs the command. `error` is the message of a failure. Only the first call does anything.
pub(crate) fn run(error: Option<&str>) {
    let Some(end) = at_the_end().take() else {
        return;
    };
    let (outcome, summary) = end.summary(error);
    if let Err(why) = end.run(outcome, &summary) {
        output::note(&format!("warning: --on-finish {}: {why}", end.command));
    }
}

fn at_the_end() -> MutexGuard<'static, Option<AtTheEnd>> {
    // A poisoned lock is fine: the value is always consistent.
    AT_THE_END.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AtTheEnd {
    /// The outcome in a word, and the JSON for the standard input of the command.
    fn summary(&self, error: Option<&str>) -> (&'static str, Value) {
        let folder = self
            .folder
            .as_ref()
            .map(|folder| folder.display().to_string());
        let ended = |outcome: &'static str, reason: &str, code: u8| {
            let summary = json!({
                "outcome": outcome,
                "reason": reason,
                "exit_code": code,
                "run": folder,
            });
            (outcome, summary)
        };
        if let Some(error) = error {
            return ended("failed", error, 1);
        }
        if let Some(Early {
            outcome,
            reason,
            code,
        }) = &self.early
        {
            return ended(outcome, reason, *code);
        }
        let result = self.result.as_ref().map(|path| files::read_json(path));
        match result {
            Some(Ok(summary)) => ("finished", summary),
            Some(Err(error)) => ended("failed", &error.to_string(), 1),
            None => ended("finished", "there was nothing to train", 0),
        }
    }

    /// Runs the command. What it prints goes to standard error, because standard output may be one
    /// JSON document.
    fn run(&self, outcome: &str, summary: &Value) -> Result<(), String> {
        let mut child = shell(&self.command)
            .env("ONECYCLE_OUTCOME", outcome)
            .env("ONECYCLE_RUN", self.folder.clone().unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(io::stderr())
            .spawn()
            .map_err(|error| format!("cannot run the shell: {error}"))?;
        if let Some(input) = child.stdin.take() {
            // The command need not read it.
            let _ = serde_json::to_writer(input, summary);
        }
        let status = child.wait().map_err(|error| error.to_string())?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("ended with {status}")),
        }
    }
}

/// The command in the system's shell.
#[cfg(not(windows))]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command);
    shell
}

/// The command in the system's shell.
#[cfg(windows)]
fn shell(command: &str) -> Command {
    use std::os::windows::process::CommandExt;

    let mut shell = Command::new(std::env::var_os("COMSPEC").unwrap_or_else(|| "cmd".into()));
    // Not quoted: `cmd` takes the rest of its command line as it is.
    shell.arg("/C").raw_arg(command);
    shell
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;

    fn end(result: Option<PathBuf>) -> AtTheEnd {
        AtTheEnd {
            command: String::new(),
            folder: Some("/runs/a".into()),
            result,
            early: None,
        }
    }

    #[test]
    fn a_finished_run_gives_its_summary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.json");
        std::fs::write(&path, r#"{"test_accuracy": 0.5}"#).unwrap();
        let (outcome, summary) = end(Some(path)).summary(None);
        assert_eq!(outcome, "finished");
        assert_eq!(summary, json!({"test_accuracy": 0.5}));
    }

    #[test]
    fn another_end_gives_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let absent = Some(folder.path().join("summary.json"));
        let (outcome, summary) = end(absent.clone()).summary(Some("disk full"));
        assert_eq!(outcome, "failed");
        let wanted =
            json!({"outcome": "failed", "reason": "disk full", "exit_code": 1, "run": "/runs/a"});
        assert_eq!(summary, wanted);
        let stopped = AtTheEnd {
            early: Some(Early {
                outcome: "stopped",
                reason: "time limit reached".to_owned(),
                code: 124,
            }),
            ..end(absent)
        };
        let (outcome, summary) = stopped.summary(None);
        assert_eq!((outcome, &summary["exit_code"]), ("stopped", &json!(124)));
    }
}
