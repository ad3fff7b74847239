//! `onecycle log`: the records of runs in the formats of other programs.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args as ClapArgs, ValueEnum};
use onecycle_studies::event_logs;
use onecycle_train::event_log::Converted;

use crate::output::{self, AnyError};

/// Arguments of `onecycle log`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Log {
    /// Folder of a run or a study, or a folder of them such as runs; finished, stopped or in training
    #[arg(required = true, value_name = "RUN|STUDY|FOLDER")]
    paths: Vec<PathBuf>,
    /// Format of the log files, or json for a list of what was written
    #[arg(long, value_enum, default_value_t = LogOutput::Tensorboard)]
    format: LogOutput,
    /// Write into this folder, a folder in it per run [default: tensorboard/ of each run]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Format of the log files, and of the list of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogOutput {
    /// Event files for TensorBoard
    Tensorboard,
    /// Event files for TensorBoard, listed as JSON
    Json,
}

/// Converts the runs and prints where their log files are.
pub(crate) fn run(args: &Log) -> Result<ExitCode, AnyError> {
    let mut converted = Vec::new();
    for path in &args.paths {
        // Several paths get a folder each.
        let out = match (&args.out, args.paths.len()) {
            (Some(out), 2..) => Some(out.join(path.file_name().unwrap_or(path.as_os_str()))),
            (out, _) => out.clone(),
        };
        converted.extend(event_logs::convert(path, out.as_deref())?);
    }
    match args.format {
        LogOutput::Json => output::json(&converted)?,
        LogOutput::Tensorboard => {
            for run in &converted {
                output::text(&line(run))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn line(run: &Converted) -> String {
    let folder = run.folder.display();
    match run.training {
        true => format!("{folder}: written by the run, which is in training"),
        false => format!("{folder}: {} steps, {} epochs", run.steps, run.epochs),
    }
}
