//! TensorBoard's event files of runs, studies and folders of them: [`convert`].

use std::{
    fs,
    path::{Path, PathBuf},
};

use onecycle_train::{
    Config, FileError, RunError,
    event_log::{self, Converted},
    run_folder::RunFolder,
};

use crate::StudyError;

/// Writes the event files of all runs at `path` from their records: of a run, of the runs of a study,
/// or of all runs and studies in a folder. Each file is in `tensorboard/` of its run, or below `out`
/// in a folder with the name of the run. A study also gets an event file that tells TensorBoard's page
/// HParams how its runs differ.
///
/// # Errors
/// [`RunError::NoRun`] if there is no run at `path`; records cannot be read, or files cannot be
/// written.
pub fn convert(path: &Path, out: Option<&Path>) -> Result<Vec<Converted>, StudyError> {
    let converted = convert_any(path, out)?;
    match converted.is_empty() {
        true => Err(RunError::NoRun {
            path: path.to_path_buf(),
        }
        .into()),
        false => Ok(converted),
    }
}

fn convert_any(path: &Path, out: Option<&Path>) -> Result<Vec<Converted>, StudyError> {
    if let Ok(run) = RunFolder::look(path) {
        return convert_run(&run, out);
    }
    let runs = path.join("runs");
    if runs.is_dir() {
        return convert_study(path, &runs, out);
    }
    let mut converted = Vec::new();
    for inner in folders(path)? {
        let is_run_or_study = RunFolder::look(&inner).is_ok() || inner.join("runs").is_dir();
        if is_run_or_study {
            let out = below(out, &inner);
            converted.extend(convert_any(&inner, out.as_deref())?);
        }
    }
    Ok(converted)
}

/// Converts a run, and the run of the last layer before it if there is one.
fn convert_run(run: &RunFolder, out: Option<&Path>) -> Result<Vec<Converted>, StudyError> {
    let mut converted = vec![event_log::convert(run, out)?];
    if let Ok(head) = RunFolder::look(&run.head()) {
        let out = out.map(|out| out.join("head"));
        converted.push(event_log::convert(&head, out.as_deref())?);
    }
    Ok(converted)
}

fn convert_study(
    study: &Path,
    runs: &Path,
    out: Option<&Path>,
) -> Result<Vec<Converted>, StudyError> {
    let mut converted = Vec::new();
    let mut configs: Vec<(String, Config)> = Vec::new();
    for root in folders(runs)? {
        let Ok(run) = RunFolder::look(&root) else {
            continue;
        };
        converted.extend(convert_run(&run, below(out, &root).as_deref())?);
        let config = run.read_run_file()?.config;
        let label = event_log::label_of(&root, config.seed);
        configs.push((label.unwrap_or_else(|| name(&root)), config));
    }
    if !configs.is_empty() {
        let own = RunFolder::at(study).tensorboard();
        let labelled = configs
            .iter()
            .map(|(label, config)| (label.as_str(), config));
        event_log::write_experiment(out.unwrap_or(&own), labelled)?;
    }
    Ok(converted)
}

/// The folder in `out` for a run.
fn below(out: Option<&Path>, root: &Path) -> Option<PathBuf> {
    out.map(|out| out.join(name(root)))
}

fn name(root: &Path) -> String {
    let name = root.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// The folders in `path`, in the order of their names.
fn folders(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    let entries = fs::read_dir(path).map_err(FileError::io("read the folder", path))?;
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry
            .map_err(FileError::io("read the folder", path))?
            .path();
        if entry.is_dir() {
            folders.push(entry);
        }
    }
    folders.sort();
    Ok(folders)
}
