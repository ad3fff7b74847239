//! `onecycle train` and `onecycle resume`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use clap::Args as ClapArgs;
use onecycle_train::{
    ConfigError, Experiment, TrainError,
    data_report::DataReport,
    device, files,
    finish::Summary,
    observer::Observer,
    run_folder::{RunFile, RunFolder},
    training::{Outcome, ResumeOptions, Training},
};

use super::{divergence, search::SearchProgress};
use crate::{
    args::{self, ConfigOptions, Format, RunOptions, ShowOptions},
    on_finish,
    output::{self, AnyError},
    processes,
    progress::TrainProgress,
    stop::Stop,
};

/// Arguments of `onecycle train`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Train {
    #[command(flatten)]
    pub(crate) configuration: ConfigOptions,
    /// Folder of the run [default: a new one, runs/DATA-MODEL-NUMBER]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub(crate) out: Option<PathBuf>,
    /// Continue the stopped run in this folder with its own configuration, as `onecycle resume`
    #[arg(long, value_name = "DIR")]
    pub(crate) resume: Option<PathBuf>,
    /// Measure gradient noise, sharpness and generalisation gap every N updates and at the end; the
    /// results go to diagnose.jsonl and the report
    #[arg(long, value_name = "every=N", conflicts_with = "resume")]
    pub(crate) diagnose: Option<String>,
    #[command(flatten)]
    pub(crate) run_options: RunOptions,
    #[command(flatten)]
    pub(crate) show: ShowOptions,
}

/// Arguments of `onecycle resume`.
#[derive(Debug, ClapArgs)]
#[command(mut_args(args::hide_settings))]
pub(crate) struct Resume {
    /// Folder of the stopped run
    pub(crate) run: PathBuf,
    #[command(flatten)]
    pub(crate) configuration: ConfigOptions,
    #[command(flatten)]
    pub(crate) run_options: RunOptions,
    #[command(flatten)]
    pub(crate) show: ShowOptions,
}

/// Starts a run, or continues one with `--resume`.
pub(crate) fn run(args: &Train, start: Instant) -> Result<ExitCode, AnyError> {
    let run_options = &args.run_options;
    if let Some(run) = &args.resume {
        return resume(run, &args.configuration, run_options, &args.show, start);
    }
    if run_options.accept_changes {
        return Err(Box::new(ConfigError::setting(
            "--accept-changes",
            "given",
            "this flag only together with --resume",
        )));
    }
    let mut layers = args.configuration.layers()?;
    if let Some(word) = &run_options.on_divergence {
        layers = layers.set_text("on_divergence", word)?;
    }
    if let Some(every) = &args.diagnose {
        layers = layers.set("diagnose.every", every_of(every)?)?;
    }
    let mut config = layers.resolve()?;
    run_options.log.add_to(&mut config);
    device::set_threads(config.threads)?;
    let message = "stopped before the first step; nothing was written";
    let stop = Stop::listen(start, run_options.max_time, message);
    let mut experiment = Experiment::prepare(config)?;
    // Reports settings of the optimizer that do not fit before anything is written.
    experiment.trainer()?;
    print_data(&experiment, &args.show);
    for note in &experiment.data.notes {
        output::note(note);
    }
    let create = |experiment: &Experiment| match &args.out {
        Some(out) => RunFolder::create(out),
        None => RunFolder::create(next_folder(experiment)?.root()),
    };
    let folder = match experiment.config.freezes() {
        false => {
            stop.stop_after_step();
            let folder = create(&experiment)?;
            on_finish::works_in(folder.root(), &folder.summary());
            folder
        }
        true => {
            let folder = create(&experiment)?;
            on_finish::works_in(folder.root(), &folder.summary());
            stop.stop_at_once(format!(
                "stopped before the first step; the features so far are kept in {0}: continue with the same command \
                 and --out {0}",
                folder.root().display()
            ));
            let mut progress = SearchProgress::new(0, args.show.mode(), stop.clone());
            experiment.add_features(Some(&folder), &mut progress)?;
            progress.finish();
            stop.stop_after_step();
            folder
        }
    };
    train(experiment, folder, &args.show, &stop)
}

/// A new, empty, numbered folder in `runs/`.
pub(super) fn next_folder(experiment: &Experiment) -> Result<RunFolder, TrainError> {
    let model = experiment.architecture.to_string();
    RunFolder::create_next(Path::new("runs"), &experiment.data.name, &model)
}

/// The number in `every=N`.
fn every_of(text: &str) -> Result<&str, ConfigError> {
    let number = text.strip_prefix("every=").map(str::trim);
    number
        .filter(|number| number.parse::<u64>().is_ok_and(|n| n > 0))
        .ok_or_else(|| {
            ConfigError::setting(
                "--diagnose",
                text,
                "every=N with a number of steps of at least 1, such as every=100",
            )
        })
}

/// Trains a new run and prints its result.
pub(super) fn train(
    experiment: Experiment,
    folder: RunFolder,
    show: &ShowOptions,
    stop: &Stop,
) -> Result<ExitCode, AnyError> {
    let outcome = start_run(experiment, folder.clone(), show, stop)?;
    end_run(outcome, stop, &folder, show)
}

/// Trains a new run.
pub(super) fn start_run(
    experiment: Experiment,
    folder: RunFolder,
    show: &ShowOptions,
    stop: &Stop,
) -> Result<Outcome, AnyError> {
    print_introduction(&experiment, &folder, show);
    if let Some(note) = experiment.selection_note() {
        output::note(&format!("note: {note}"));
    }
    let mut progress = observer(&experiment, show, stop);
    let training = in_team(Training::start(experiment, folder)?)?;
    training.run(&mut progress).map_err(divergence::advise)
}

/// Continues the run in `root` with the stop and divergence settings of `run_options`. Of the
/// configuration, only the number of threads can be another one; with 0, the run's own is used.
pub(crate) fn resume(
    root: &Path,
    configuration: &ConfigOptions,
    run_options: &RunOptions,
    show: &ShowOptions,
    start: Instant,
) -> Result<ExitCode, AnyError> {
    let given = configuration.given();
    if !given.is_empty() {
        return Err(new_cycle(root, &given).into());
    }
    let threads = configuration.threads()?;
    let stop = Stop::listen(start, run_options.max_time, resume_hint(root));
    continue_run(root, threads, run_options, show, &stop)
}

/// Continues the run in `root`, for a command that already listens to signals.
pub(super) fn continue_run(
    root: &Path,
    threads: usize,
    run_options: &RunOptions,
    show: &ShowOptions,
    stop: &Stop,
) -> Result<ExitCode, AnyError> {
    let folder = RunFolder::open(root)?;
    on_finish::works_in(folder.root(), &folder.summary());
    if folder.is_finished() {
        let text = files::read_text(&folder.summary())?;
        let summary: Summary = serde_json::from_str(&text)
            .map_err(|error| format!("{}: {error}", folder.summary().display()))?;
        if show.format == Format::Text {
            output::text("this run is already finished")?;
        }
        return print_summary(&summary, &folder, show);
    }
    let outcome = resume_run(root, threads, run_options, show, stop)?;
    end_run(outcome, stop, &folder, show)
}

/// Trains the rest of the unfinished run in `root`.
pub(super) fn resume_run(
    root: &Path,
    threads: usize,
    run_options: &RunOptions,
    show: &ShowOptions,
    stop: &Stop,
) -> Result<Outcome, AnyError> {
    stop.stop_at_once(format!(
        "stopped before the next step; {}",
        resume_hint(root)
    ));
    let folder = RunFolder::open(root)?;
    let options = ResumeOptions {
        accept_changes: run_options.accept_changes,
        on_divergence: match &run_options.on_divergence {
            Some(word) => Some(word.parse()?),
            None => None,
        },
        log: run_options.log.formats.clone(),
    };
    let configured = RunFile::read(&folder.run_file(), options.accept_changes)?
        .config
        .threads;
    device::set_threads(if threads > 0 { threads } else { configured })?;
    let mut notes = Notes::default();
    let training = in_team(Training::resume_with(folder, options, &mut notes)?)?;
    stop.stop_after_step();
    let mut progress = observer(training.experiment(), show, stop);
    for note in &notes.0 {
        progress.note(note);
    }
    let at = training.progress();
    if !show.quiet {
        output::note(&format!(
            "continuing {} at step {} of {}",
            root.display(),
            at.step,
            training.experiment().plan.steps()
        ));
    }
    training.run(&mut progress).map_err(divergence::advise)
}

/// Trains together with the other processes, if there are any. The last layer on features takes
/// seconds and trains in this process alone.
fn in_team(training: Training) -> Result<Training, TrainError> {
    match processes::team() {
        Some(team) if !training.experiment().config.freezes() => training.with_team(team),
        _ => Ok(training),
    }
}

/// Explains why the flags `given` cannot be used with a resumed run, and what to do instead.
fn new_cycle(root: &Path, given: &[String]) -> String {
    let (run, given) = (root.display(), given.join(" "));
    format!(
        "{given}: a resumed run keeps the settings that it was started with, because they determine its whole cycle. \
         To finish it as planned: `onecycle resume {run}`. For a new cycle that starts from its weights: \
         `onecycle train --init {run} {given}`"
    )
}

/// Collects the notes from before there is a progress bar.
#[derive(Default)]
struct Notes(Vec<String>);

impl Observer for Notes {
    fn note(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }
}

/// Progress of a training run.
fn observer(experiment: &Experiment, show: &ShowOptions, stop: &Stop) -> TrainProgress {
    let title = format!("{} on {}", experiment.architecture, experiment.data.name);
    let table = show.format == Format::Text;
    TrainProgress::new(&title, show.mode(), table, stop.clone())
}

/// Prints the classes and parts of a folder of images, and what is not used of it.
pub(super) fn print_data(experiment: &Experiment, show: &ShowOptions) {
    if show.quiet {
        return;
    }
    let data = &experiment.data;
    if data.contents.is_some() {
        output::note(&DataReport::new(data).table());
    }
}

/// Prints network, data, length and folder of a new run.
fn print_introduction(experiment: &Experiment, folder: &RunFolder, show: &ShowOptions) {
    if show.quiet {
        return;
    }
    let (config, data) = (&experiment.config, &experiment.data);
    output::note(&format!(
        "{} on {} ({} images of {}), {} steps, batch size {}; run folder {}",
        experiment.architecture,
        data.name,
        data.train.len(),
        data.shape,
        experiment.plan.steps(),
        experiment
            .plan
            .at(0)
            .batch_size
            .unwrap_or(config.batch_size as u64),
        folder.root().display()
    ));
    if config.shards > 1 {
        let shared = processes::team().map_or("one after another".to_owned(), |team| {
            format!("shared by {} processes", team.size())
        });
        output::note(&format!("each batch in {} shards, {shared}", config.shards));
    }
}

/// Prints the result of a finished run, or how to continue a stopped one.
pub(super) fn end_run(
    outcome: Outcome,
    stop: &Stop,
    folder: &RunFolder,
    show: &ShowOptions,
) -> Result<ExitCode, AnyError> {
    match outcome {
        Outcome::Finished(summary) => print_summary(&summary, folder, show),
        Outcome::Stopped { step } => {
            let hint = resume_hint(folder.root());
            Ok(stop.announce(&format!("stopped after step {step}; {hint}")))
        }
    }
}

/// How to continue a stopped run.
fn resume_hint(run: &Path) -> String {
    format!("continue with: onecycle train --resume {}", run.display())
}

/// Prints the final figures of a run and where its files are.
fn print_summary(
    summary: &Summary,
    folder: &RunFolder,
    show: &ShowOptions,
) -> Result<ExitCode, AnyError> {
    match show.format {
        Format::Json => output::json(summary)?,
        Format::Text => output::text(&format!(
            "{summary}\nmodel   {}\nreport  {}",
            folder.model().display(),
            folder.report().display()
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}
