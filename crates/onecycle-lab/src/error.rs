//! What can go wrong in a run, with the file, key or value that it went wrong with.

use std::io;
use std::path::{Path, PathBuf};

/// Any error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// A file or folder could not be read, written, renamed or synced.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: "read", "write", "create the folder", ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// A whole line of a JSON-lines file is not what it should be.
    #[error(
        "{}, line {line}: {source}; repair or remove that line (only a cut last line is passed over)",
        path.display()
    )]
    JsonLine {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1 as editors do.
        line: usize,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },

    /// A JSON-lines file holds fewer whole lines than were asked to be kept.
    #[error(
        "{} holds {found} whole lines, {wanted} are needed; the record and the checkpoint are not of the same run",
        path.display()
    )]
    TooFewLines {
        /// The file.
        path: PathBuf,
        /// Whole lines found.
        found: usize,
        /// Lines asked for.
        wanted: usize,
    },

    /// A value could not be turned into JSON.
    #[error("cannot turn {what} into JSON: {source}")]
    ToJson {
        /// What the value was.
        what: String,
        /// What the serializer said.
        #[source]
        source: serde_json::Error,
    },

    /// A figure has no series, or a series has no points.
    #[error("figure {figure}: {what} is empty; there must be at least one point to draw")]
    EmptyFigure {
        /// The figure's name.
        figure: String,
        /// "the list of series", or the series' name.
        what: String,
    },

    /// The lists of a series differ in length.
    #[error(
        "figure {figure}, series {series:?}: {x} x values, but {y} {list} values; give as many of both"
    )]
    SeriesLength {
        /// The figure's name.
        figure: String,
        /// The series' name.
        series: String,
        /// Number of x values.
        x: usize,
        /// Number of values in the other list.
        y: usize,
        /// The other list: "y" or "upper".
        list: &'static str,
    },

    /// A series is on the right axis of a figure that has none.
    #[error(
        "figure {figure}: series {series:?} is on the right axis, but the figure has none; set `right`"
    )]
    NoRightAxis {
        /// The figure's name.
        figure: String,
        /// The series' name.
        series: String,
    },

    /// A name that cannot be the name of a file.
    #[error(
        "{name:?} cannot name a figure's files: use letters, digits, `-` and `_`, and begin with a letter"
    )]
    FigureName {
        /// The name.
        name: String,
    },

    /// A picture could not be made from a figure.
    #[error("figure {figure}: cannot draw the picture: {why}")]
    Picture {
        /// The figure's name.
        figure: String,
        /// What the renderer said.
        why: String,
    },

    /// A file is no curve of a range test.
    #[error("{}{}: {why}", path.display(), line.map_or(String::new(), |line| format!(", line {line}")))]
    CurveFile {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1, where it is known.
        line: Option<usize>,
        /// What is wrong, and what was expected.
        why: String,
    },

    /// No range test gave a learning rate to train with.
    #[error(
        "the range test names no learning rate ({verdict}): {advice}; or train with one of your own: onecycle train --lr-max LR"
    )]
    NoRate {
        /// What the curve is worth.
        verdict: String,
        /// What to do about it.
        advice: &'static str,
    },

    /// A configuration file is not TOML, or not this program's.
    #[error("{}, line {line}: {why}", path.display())]
    ConfigSyntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What the parser said.
        why: String,
    },

    /// A value of the configuration is of the wrong form.
    #[error("configuration: {why}")]
    Config {
        /// What the parser said, with the key.
        why: String,
    },

    /// A key of the configuration does not exist.
    #[error("unknown key `{key}`: {hint}")]
    UnknownKey {
        /// The key with its tables.
        key: String,
        /// The key that was likely meant, or those that there are.
        hint: String,
    },

    /// A key of the configuration that has no default was not given.
    #[error("{key} is missing: {why}")]
    MissingKey {
        /// The key with its tables.
        key: String,
        /// What needs it.
        why: String,
    },

    /// A value of the configuration is impossible.
    #[error("{key} = {value}: expected {expected}")]
    Setting {
        /// The key with its tables.
        key: String,
        /// The value as given.
        value: String,
        /// What is possible.
        expected: String,
    },

    /// A value could not be turned into TOML.
    #[error("cannot turn the configuration into TOML: {source}")]
    ToToml {
        /// What the serializer said.
        #[source]
        source: Box<toml::ser::Error>,
    },

    /// The policy is impossible, or does not fit the run.
    #[error("policy: {source}")]
    Policy {
        /// What the policy said.
        #[from]
        source: onecycle::PolicyError,
    },

    /// The run goes on beyond its plan.
    #[error("{source}")]
    PastEnd {
        /// What the plan said.
        #[from]
        source: onecycle::PastEnd,
    },

    /// The optimizer or the weights do not fit.
    #[error(transparent)]
    Burn(#[from] onecycle_burn::BurnError),

    /// The data are wrong or not there.
    #[error(transparent)]
    Data(#[from] onecycle_vision::DataError),

    /// The network is unknown or does not fit the images.
    #[error(transparent)]
    Model(#[from] onecycle_vision::models::ModelError),

    /// This build cannot compute on the device.
    #[error(
        "device `{device}` is not in this build; build with `--features {device}`, or take `device = \"cpu\"`"
    )]
    DeviceNotBuilt {
        /// Name of the device.
        device: String,
    },

    /// The pool of threads exists with another size.
    #[error("{wanted} threads were asked for, but the process already computes with {found}")]
    Threads {
        /// As configured.
        wanted: usize,
        /// As they are.
        found: usize,
    },

    /// A result could not be computed or read back.
    #[error("computation failed: {why}")]
    Compute {
        /// What the backend said.
        why: String,
    },

    /// The loss is not finite.
    #[error(
        "the loss is not finite at step {step} with lr = {lr}{}: the learning rate is too large; {known}; lower `{rate}`, \
         set `optimizer.clip_norm`, or let the run go back by itself with `--on-divergence retry`. The last checkpoint is in {}",
        after(*retries), run.display()
    )]
    Diverged {
        /// The update that would have been made; the last one that was made, where the loss on the validation images
        /// is the one that is not finite.
        step: u64,
        /// Learning rate there.
        lr: f64,
        /// Times that the run had gone back before.
        retries: usize,
        /// Key of the configuration by which the learning rate is set.
        rate: String,
        /// What the run's range test said of the rates that are stable, or how to make one.
        known: String,
        /// The run's folder.
        run: PathBuf,
    },

    /// A run could not write what it has to.
    #[error(
        "{source}; the run stopped, its checkpoint after {step} steps is whole: {}, then go on with `onecycle train \
         --resume {}`", remedy(source), run.display()
    )]
    Interrupted {
        /// What could not be done.
        #[source]
        source: Box<LabError>,
        /// Updates made up to the newest checkpoint.
        step: u64,
        /// The run's folder.
        run: PathBuf,
    },

    /// A checkpoint is not whole.
    #[error("checkpoint {} is damaged: {why}", path.display())]
    DamagedCheckpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },

    /// There is no checkpoint to go on from.
    #[error("{} holds no checkpoint to go on from", folder.display())]
    NoCheckpoint {
        /// The folder of checkpoints.
        folder: PathBuf,
    },

    /// A new run would write over another.
    #[error(
        "{} already holds a run; resume it with `onecycle train --resume {}`, or choose another --out",
        path.display(),
        path.display()
    )]
    RunExists {
        /// The folder.
        path: PathBuf,
    },

    /// A run of a study was made by other settings than those it is wanted with.
    #[error(
        "the run in {} was made by other settings: {}; choose another --out, or remove that run",
        run.display(), differences.join(", ")
    )]
    OtherSettings {
        /// The run's folder.
        run: PathBuf,
        /// What differs, in words.
        differences: Vec<String>,
    },

    /// Configurations whose accuracies say nothing about each other.
    #[error(
        "{key} differs ({}): only runs of the same network on the same images can be compared; give all files the same `{key}`",
        values.join(", ")
    )]
    NotComparable {
        /// The key with its tables.
        key: String,
        /// A variant and its value each.
        values: Vec<String>,
    },

    /// What is left of a run lies where a new one is to be.
    #[error(
        "{} holds no run.toml, but {} of some run; remove it, or choose another --out",
        path.display(),
        file.display()
    )]
    Leftovers {
        /// The folder.
        path: PathBuf,
        /// What lies there.
        file: PathBuf,
    },

    /// There is nothing of a run that could be diagnosed.
    #[error(
        "{} holds neither model.safetensors nor a checkpoint: there is no network to diagnose",
        run.display()
    )]
    NoWeights {
        /// The run's folder.
        run: PathBuf,
    },

    /// A run has no model yet.
    #[error(
        "the run in {} has not come to its end and has no model yet; `onecycle resume {}` goes on with it",
        run.display(),
        run.display()
    )]
    NotFinished {
        /// The run's folder.
        run: PathBuf,
    },

    /// A file is no diagnosis.
    #[error("{} is no diagnosis of this version: {source}; run `onecycle diagnose` again", path.display())]
    DiagnosisFile {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },

    /// There is no run in the folder.
    #[error("{} holds no run: there is no run.toml in it", path.display())]
    NoRun {
        /// The folder.
        path: PathBuf,
    },

    /// Another process works on the run.
    #[error(
        "the run in {} is in use by {}; wait until it is done, or choose another --out",
        run.display(), holder(*process)
    )]
    InUse {
        /// The run's folder.
        run: PathBuf,
        /// Number of the process, where it is known.
        process: Option<u32>,
    },

    /// A run was begun by a version with another format of the folder.
    #[error(
        "{}: written by onecycle {version} in {}, this version goes on with format {expected}; use that version, or \
         give --accept-changes to try it all the same",
        path.display(), found.map_or("no known format".to_owned(), |found| format!("format {found}"))
    )]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Format found, where the file says it.
        found: Option<i64>,
        /// Format of this version.
        expected: i64,
        /// Version that wrote it.
        version: String,
    },

    /// A run is to go on with other data than it began with.
    #[error(
        "the data of the run in {} have changed since it began: {}; bring them back, start a new run, or give \
         --accept-changes to go on with them as they are",
        run.display(), differences.join(", ")
    )]
    OtherData {
        /// The run's folder.
        run: PathBuf,
        /// What is other, in words.
        differences: Vec<String>,
    },

    /// With the data as they are now, the run would be over before the step that it has come to.
    #[error(
        "the run in {} has made {step} steps, but with the data as they are now it has only {steps} in all; start a \
         new run",
        run.display()
    )]
    ShorterRun {
        /// The run's folder.
        run: PathBuf,
        /// Updates made.
        step: u64,
        /// Updates of the whole run by its plan.
        steps: u64,
    },

    /// A file is not a model that this program wrote.
    #[error("{} is not a model written by `onecycle train`: {why}", path.display())]
    NotAModel {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl LabError {
    /// A curve, or several, that name no rate.
    pub(crate) fn no_rate(verdict: onecycle::range_test::Verdict) -> Self {
        LabError::NoRate {
            verdict: verdict.to_string(),
            advice: verdict.advice(),
        }
    }

    /// An error of a TOML file as one line: the parser's own goes over several.
    pub(crate) fn toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let lines: Vec<&str> = error.message().lines().map(str::trim).collect();
        let before = error.span().and_then(|span| text.get(..span.start));
        LabError::ConfigSyntax {
            path: path.to_path_buf(),
            line: 1 + before.map_or(0, |before| before.matches('\n').count()),
            why: lines.join("; "),
        }
    }

    /// Turns an [`io::Error`] into one that names the file.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// How often a run had gone back before it diverged again.
fn after(retries: usize) -> String {
    match retries {
        0 => String::new(),
        1 => " after 1 retry".to_owned(),
        n => format!(" after {n} retries"),
    }
}

/// What to do about a file that cannot be written.
fn remedy(error: &LabError) -> &'static str {
    let kind = match error {
        LabError::Io { source, .. } => source.kind(),
        _ => io::ErrorKind::Other,
    };
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "make the folder writable"
        }
        _ => "see to the disk",
    }
}

fn holder(process: Option<u32>) -> String {
    process.map_or("another process".to_owned(), |id| format!("process {id}"))
}
