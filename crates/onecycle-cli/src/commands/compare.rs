//! `onecycle compare`: policies side by side over seeds, and runs that are finished already.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use clap::Args as ClapArgs;
use onecycle_studies::{
    compare::{Comparison, ComparisonResult, FinishedRuns},
    study::StudyOutcome,
};
use onecycle_train::{ConfigError, device};

use super::study_progress::{self, StudyProgress};
use crate::{
    args::{Format, LogOption, StudyOptions, at_least_one, pairs},
    on_finish,
    output::{self, AnyError},
    stop::Stop,
};

/// Arguments of `onecycle compare`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Compare {
    /// Configuration files (TOML) with the same network and data; each is a variant, named after
    /// its file. Or folders of finished runs, also of Python's fit_one_cycle: these are compared
    /// without training; folders called LABEL-seed1, LABEL-seed2, ... are one variant
    #[arg(required = true, num_args = 2.., value_name = "FILE|RUN")]
    pub(crate) files: Vec<PathBuf>,
    /// Runs per file; seeds count up from the seed of the first file [default: 3]
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        value_parser = at_least_one
    )]
    pub(crate) seeds: Option<usize>,
    /// Report steps and time until these validation accuracies (0.9 is 90 %) [default: the largest
    /// whole percent that all variants reach]
    #[arg(long, value_name = "A,..", value_delimiter = ',')]
    pub(crate) accuracies: Vec<f64>,
    /// Set any key of the configuration in all files; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
    #[command(flatten)]
    pub(crate) log: LogOption,
    /// Folder of runs and results; run the same command again to continue [default:
    /// runs/compare-NAME-NAME.., and runs/comparison for finished runs]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) study: StudyOptions,
}

/// Default number of runs per file.
const SEEDS: usize = 3;

/// Reads the files.
pub(super) fn comparison(args: &Compare) -> Result<Comparison, AnyError> {
    let mut settings = pairs(&args.settings)?;
    for format in &args.log.formats {
        // The last of several settings applies, and there is one format.
        settings.push(("log".to_owned(), format!("[\"{format}\"]")));
    }
    let seeds = args.seeds.unwrap_or(SEEDS);
    let comparison = Comparison::read(&args.files, &settings, seeds, &args.accuracies)?;
    Ok(comparison)
}

/// Trains all variants and prints the comparison.
pub(crate) fn run(args: &Compare, start: Instant) -> Result<ExitCode, AnyError> {
    if args.files.iter().any(|path| path.is_dir()) {
        return compare_finished(args);
    }
    let comparison = comparison(args)?;
    let part = args.study.part()?;
    device::set_threads(args.study.threads.count)?;
    let out = folder(args, &comparison);
    let stop = Stop::listen(
        start,
        args.study.max_time,
        study_progress::stopped_message((0, 0)),
    );
    on_finish::works_in(&out, &out.join("compare.json"));
    let mut progress =
        StudyProgress::new(&title(&comparison), args.study.show.mode(), stop.clone());
    let outcome = comparison.take_part(&out, part, &mut progress)?;
    progress.finish();
    let compared = match outcome {
        StudyOutcome::Finished(compared) => compared,
        StudyOutcome::Stopped { .. } => return Ok(progress.stopped()),
        StudyOutcome::Left { done, of } => {
            return study_progress::left((done, of), part, args.study.show.format);
        }
    };
    show(&compared, &out, args.study.show.format)?;
    Ok(ExitCode::SUCCESS)
}

/// Compares finished runs, without training.
fn compare_finished(args: &Compare) -> Result<ExitCode, AnyError> {
    if let Some(file) = args.files.iter().find(|path| !path.is_dir()) {
        let expected = "only folders of finished runs, or only configuration files";
        return Err(ConfigError::setting("files", file.display(), expected).into());
    }
    let trains = [
        ("--seeds", args.seeds.is_some()),
        ("--set", !args.settings.is_empty()),
        ("--log", !args.log.formats.is_empty()),
        ("--worker", args.study.worker),
        ("--shard", args.study.shard.is_some()),
        ("--max-time", args.study.max_time.is_some()),
        ("--threads", args.study.threads.count != 0),
    ];
    if let Some((flag, _)) = trains.into_iter().find(|(_, given)| *given) {
        let expected = "no such flag: finished runs are compared as they are";
        return Err(ConfigError::setting(flag.to_owned(), "given", expected).into());
    }
    let runs = FinishedRuns::read(&args.files, &args.accuracies)?;
    let default = || PathBuf::from("runs").join("comparison");
    let out = args.out.clone().unwrap_or_else(default);
    if out.join("runs").exists() {
        let expected =
            "another folder: this one has the runs of a comparison, whose result would be replaced";
        return Err(ConfigError::setting("--out", out.display(), expected).into());
    }
    let compared = runs.compare()?;
    compared.write(&out, runs.variants())?;
    on_finish::works_in(&out, &out.join("compare.json"));
    if !runs.are_known_to_be_comparable() {
        output::note(
            "not every run says which network it trained on which images: whether the accuracies can be \
             compared was not checked",
        );
    }
    show(&compared, &out, args.study.show.format)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a comparison.
fn show(compared: &ComparisonResult, out: &Path, format: Format) -> Result<(), AnyError> {
    match format {
        Format::Json => output::json(compared)?,
        Format::Text => {
            output::text(&compared.table())?;
            for sentence in compared.sentences() {
                output::text(&sentence)?;
            }
            output::text(&format!("page  {}", out.join("compare.html").display()))?;
        }
    }
    Ok(())
}

/// Network and data of all variants, for people.
fn title(comparison: &Comparison) -> String {
    let first = comparison.variants().first().map(|(_, config)| config);
    let data = first.map(|config| match (&config.data.name, &config.data.path) {
        (Some(name), _) => name.clone(),
        (None, Some(path)) => path.display().to_string(),
        (None, None) => String::new(),
    });
    let model = first.map_or("", |config| &config.model);
    format!("{model} on {}", data.unwrap_or_default())
}

/// The folder of the study. The default depends only on the variants' names, so the same command
/// finds it again.
pub(super) fn folder(args: &Compare, comparison: &Comparison) -> PathBuf {
    let names = comparison.variants().iter();
    let names: Vec<&str> = names.map(|(label, _)| label.as_str()).collect();
    let default = || PathBuf::from("runs").join(format!("compare-{}", names.join("-")));
    args.out.clone().unwrap_or_else(default)
}
