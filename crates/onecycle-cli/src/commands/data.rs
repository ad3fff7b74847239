//! `onecycle data`: known data sets.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use onecycle_vision::{
    catalog,
    download::{self, Progress},
    folder::{self, CachedKind},
    integrity::{self, FileStatus},
    locate::{self, Places},
};
use serde::Serialize;

use crate::{
    args::Format,
    output::{self, AnyError},
};

/// Subcommands of `onecycle data`.
#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// List the known data sets and where each one is
    List {
        /// Output format
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Download the published files of a known data set
    Get {
        /// Name of the data set, as in `onecycle data list`
        name: String,
        /// Folder for the files [default: the user's cache folder]
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
        /// Download from this address [default: the published one]
        #[arg(long, value_name = "URL")]
        from: Option<String>,
    },
    /// List the decoded images and extracted archives that are kept for image folders
    Cache {
        /// Output format
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Remove the decoded images and extracted archives; they are made again when needed
    Clean,
    /// Check the files of a data set against the published checksums
    Verify {
        /// Name of the data set, as in `onecycle data list`
        name: String,
        /// Folder of its files [default: where `onecycle data list` finds it]
        #[arg(long, value_name = "PATH")]
        path: Option<PathBuf>,
        /// Output format
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
}

/// Runs a subcommand of `onecycle data`.
pub(crate) fn run(args: &Data) -> Result<ExitCode, AnyError> {
    match args {
        Data::List { format } => list(*format),
        Data::Get { name, to, from } => get(name, to.as_deref(), from.as_deref()),
        Data::Cache { format } => cache(*format),
        Data::Clean => clean(),
        Data::Verify { name, path, format } => verify(name, path.as_deref(), *format),
    }
}

/// A known data set in the JSON output.
#[derive(Serialize)]
struct Known {
    name: &'static str,
    title: &'static str,
    classes: usize,
    shape: String,
    train: usize,
    test: usize,
    licence: &'static str,
    path: Option<String>,
}

fn list(format: Format) -> Result<ExitCode, AnyError> {
    let sets: Vec<Known> = locate::installed(&Places::of_process())
        .into_iter()
        .map(|(set, path)| Known {
            name: set.name,
            title: set.title,
            classes: set.classes.len(),
            shape: set.shape.to_string(),
            train: set.train,
            test: set.test,
            licence: set.licence,
            path: path.map(|path| path.display().to_string()),
        })
        .collect();
    if format == Format::Json {
        output::json(&sets)?;
        return Ok(ExitCode::SUCCESS);
    }
    output::text(&format!(
        "{:<14} {:>7} {:>8} {:>6} {:>6}  where",
        "name", "classes", "shape", "train", "test"
    ))?;
    for set in &sets {
        let place = match &set.path {
            Some(path) => path.clone(),
            None => format!("not found; run `onecycle data get {}`", set.name),
        };
        output::text(&format!(
            "{:<14} {:>7} {:>8} {:>6} {:>6}  {place}",
            set.name, set.classes, set.shape, set.train, set.test
        ))?;
    }
    output::text("Your own images: --data FOLDER with files train/CLASS/*.png or *.jpg")?;
    Ok(ExitCode::SUCCESS)
}

fn get(name: &str, to: Option<&Path>, from: Option<&str>) -> Result<ExitCode, AnyError> {
    let folder = with_bar(|progress| download::get(name, to, from, progress));
    output::text(&format!("{name} is in {}", folder?.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Calls `get` with a function that shows the progress of a download.
pub(super) fn with_bar<T>(get: impl FnOnce(&mut dyn FnMut(Progress)) -> T) -> T {
    let bar = ProgressBar::new(0);
    if let Ok(style) =
        ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes}, {eta} left")
    {
        bar.set_style(style);
    }
    let result = get(&mut |progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.bytes);
        bar.set_message(format!(
            "{} ({}/{})",
            progress.file,
            progress.index + 1,
            progress.files
        ));
    });
    bar.finish_and_clear();
    result
}

fn cache(format: Format) -> Result<ExitCode, AnyError> {
    let cached = folder::cached(None)?;
    if format == Format::Json {
        output::json(&cached)?;
        return Ok(ExitCode::SUCCESS);
    }
    for entry in &cached {
        let kind = match entry.kind {
            CachedKind::Images => "decoded images",
            CachedKind::Archive => "extracted archive",
        };
        let size = HumanBytes(entry.bytes).to_string();
        output::text(&format!("{kind:<17}  {size:>10}  {}", entry.path.display()))?;
    }
    let bytes = cached.iter().map(|entry| entry.bytes).sum();
    output::text(&format!(
        "{} kept, {}; `onecycle data clean` removes them",
        cached.len(),
        HumanBytes(bytes)
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn clean() -> Result<ExitCode, AnyError> {
    let cached = folder::cached(None)?;
    for entry in &cached {
        entry.remove()?;
    }
    let bytes = cached.iter().map(|entry| entry.bytes).sum();
    output::text(&format!("{} removed, {}", cached.len(), HumanBytes(bytes)))?;
    Ok(ExitCode::SUCCESS)
}

fn verify(name: &str, path: Option<&Path>, format: Format) -> Result<ExitCode, AnyError> {
    let set = catalog::find(name)?;
    let path = match path {
        Some(path) => path.to_path_buf(),
        None => Places::of_process().find(set)?,
    };
    let found = integrity::verify(set, &path)?;
    if format == Format::Json {
        output::json(&found)?;
    } else {
        for file in &found.files {
            let status = match file.status {
                FileStatus::Published => "as published",
                FileStatus::SameContents => "same contents as published",
                FileStatus::Differs => "DIFFERS from the published file",
                FileStatus::Unknown => "no published checksum",
            };
            output::text(&format!(
                "{:<40} {:>11} bytes  {status}",
                file.name, file.bytes
            ))?;
        }
        let verdict = if found.is_published() {
            "all images and labels are as published"
        } else {
            "not the published data set"
        };
        output::text(&format!("{}: {verdict}", found.path.display()))?;
    }
    Ok(if found.is_published() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
