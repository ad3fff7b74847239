use std::{path::Path, process::ExitCode, time::Instant};

use super::divergence;
use crate::{
    args::{Configuration, Course, Format, Show},
    output::{self, AnyError},
    progress::TrainProgress,
    stop::Stop,
};
use onecycle_plot::format::duration;
use onecycle_train::{
    ConfigError, Experiment, device, files,
    finish::Summary,
    observer::Observer,
    run_folder::{RunFile, RunFolder},
    training::{Outcome, ResumeOptions, Training},
};

use clap::Args as ClapArgs;
use std::path::PathBuf;

#[derive(Debug, ClapArgs)]
pub(crate) struct Train {
    #[command(flatten)]
    pub(crate) configuration: Configuration,
    /// Folder of the run; without it, a new one under runs/
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub(crate) out: Option<PathBuf>,
    /// Go on with the run in this folder; its own configuration holds
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "settings", "epochs", "steps", "model", "data",
        "limit", "batch_size", "lr_max", "weight_decay", "seed", "device"])]
    pub(crate) resume: Option<PathBuf>,
    /// Measure gradient noise, sharpness and gap every N updates and at the end, into diagnose.jsonl and the report
    #[arg(long, value_name = "every=N", conflicts_with = "resume")]
    pub(crate) diagnose: Option<String>,
    #[command(flatten)]
    pub(crate) course: Course,
    #[command(flatten)]
    pub(crate) show: Show,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Resume {
    /// Folder of the run
    pub(crate) run: PathBuf,
    #[command(flatten)]
    pub(crate) course: Course,
    #[command(flatten)]
    pub(crate) show: Show,
}

pub(crate) fn run(args: &Train, start: Instant) -> Result<ExitCode, AnyError> {
    let course = &args.course;
    if let Some(run) = &args.resume {
        let threads = args.configuration.threads()?;
        return resume(run, threads, course, &args.show, start);
    }
    if course.accept_changes {
        return Err(Box::new(ConfigError::setting(
            "--accept-changes",
            "given",
            "it together with --resume",
        )));
    }
    let mut layers = args.configuration.layers()?;
    if let Some(word) = &course.on_divergence {
        layers = layers.set_text("on_divergence", word)?;
    }
    if let Some(every) = &args.diagnose {
        layers = layers.set("diagnose.every", every_of(every)?)?;
    }
    let config = layers.resolve()?;
    device::set_threads(config.threads)?;
    let last_words = "stopped before the first step: nothing was written";
    let stop = Stop::listen(start, course.max_time, last_words);
    let experiment = Experiment::prepare(config)?;
    let root = args.out.clone().unwrap_or_else(|| {
        let model = experiment.architecture.to_string();
        RunFolder::next_name(Path::new("runs"), &experiment.data.name, &model)
    });
    stop.after_step();
    let folder = RunFolder::create(&root)?;
    train(experiment, folder, &args.show, &stop)
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

/// A new run, from its introduction to its result.
pub(super) fn train(
    experiment: Experiment,
    folder: RunFolder,
    show: &Show,
    stop: &Stop,
) -> Result<ExitCode, AnyError> {
    introduce(&experiment, &folder, show);
    let mut progress = observer(&experiment, show, stop);
    for note in &experiment.data.notes {
        progress.note(note);
    }
    let training = Training::start(experiment, folder.clone())?;
    let outcome = training.run(&mut progress).map_err(divergence::advise)?;
    conclude(outcome, progress, stop, &folder, show)
}

pub(crate) fn resume(
    root: &Path,
    threads: usize,
    course: &Course,
    show: &Show,
    start: Instant,
) -> Result<ExitCode, AnyError> {
    let stop = Stop::listen(start, course.max_time, go_on_with(root));
    go_on(root, threads, course, show, &stop)
}

/// Goes on with the run in `root`, for a command that listens to signals already.
pub(super) fn go_on(
    root: &Path,
    threads: usize,
    course: &Course,
    show: &Show,
    stop: &Stop,
) -> Result<ExitCode, AnyError> {
    stop.at_once(format!(
        "stopped before a step was made; {}",
        go_on_with(root)
    ));
    let folder = RunFolder::open(root)?;
    if folder.is_finished() {
        let text = files::read_text(&folder.summary())?;
        let summary: Summary = serde_json::from_str(&text)
            .map_err(|error| format!("{}: {error}", folder.summary().display()))?;
        if show.format == Format::Text {
            output::text("this run is finished")?;
        }
        return tell(&summary, &folder, show);
    }
    let options = ResumeOptions {
        accept_changes: course.accept_changes,
        on_divergence: match &course.on_divergence {
            Some(word) => Some(word.parse()?),
            None => None,
        },
    };
    let configured = RunFile::read(&folder.run_file(), options.accept_changes)?
        .config
        .threads;
    device::set_threads(if threads > 0 { threads } else { configured })?;
    let mut notes = Notes::default();
    let training = Training::resume_with(folder.clone(), options, &mut notes)?;
    stop.after_step();
    let mut progress = observer(training.experiment(), show, stop);
    for note in &notes.0 {
        progress.note(note);
    }
    let at = training.progress();
    if !show.quiet {
        output::note(&format!(
            "going on with {} at step {} of {}",
            root.display(),
            at.step,
            training.experiment().plan.steps()
        ));
    }
    let outcome = training.run(&mut progress).map_err(divergence::advise)?;
    conclude(outcome, progress, stop, &folder, show)
}

/// Keeps what is said before there is a progress bar.
#[derive(Default)]
struct Notes(Vec<String>);

impl Observer for Notes {
    fn note(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }
}

fn observer(experiment: &Experiment, show: &Show, stop: &Stop) -> TrainProgress {
    let steps = experiment.plan.steps();
    let epochs = experiment.plan.epoch_at(steps).unwrap_or(1.0);
    let table = show.format == Format::Text;
    TrainProgress::new(steps, epochs, show.quiet, table, stop.clone())
}

fn introduce(experiment: &Experiment, folder: &RunFolder, show: &Show) {
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
}

fn conclude(
    outcome: Outcome,
    progress: TrainProgress,
    stop: &Stop,
    folder: &RunFolder,
    show: &Show,
) -> Result<ExitCode, AnyError> {
    drop(progress);
    match outcome {
        Outcome::Finished(summary) => tell(&summary, folder, show),
        Outcome::Stopped { step } => {
            let why = stop.why();
            output::note(&format!(
                "{why}stopped after step {step}; {}",
                go_on_with(folder.root())
            ));
            Ok(stop.exit_code())
        }
    }
}

fn go_on_with(run: &Path) -> String {
    format!("go on with: onecycle train --resume {}", run.display())
}

fn tell(summary: &Summary, folder: &RunFolder, show: &Show) -> Result<ExitCode, AnyError> {
    match show.format {
        Format::Json => output::json(summary)?,
        Format::Text => output::text(&format!(
            "test accuracy {:.2} %  (loss {:.4})  after {} epochs, {} of training\n\
             model   {}\nreport  {}",
            100.0 * summary.test_accuracy,
            summary.test_loss,
            summary.epochs,
            duration(summary.train_seconds),
            folder.model().display(),
            folder.report().display()
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}

impl crate::args::Configuration {
    /// `--threads` alone, 0 where it is not given.
    fn threads(&self) -> Result<usize, ConfigError> {
        Ok(self.resolve()?.threads)
    }
}
