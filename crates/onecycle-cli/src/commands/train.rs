use std::{
    path::Path,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

use onecycle_lab::{
    Experiment, LabError, device, files,
    finish::Summary,
    run_folder::RunFolder,
    train::{Observer, Outcome, Training},
};

use crate::{
    args::{Format, Show, Train},
    output::{self, AnyError},
    progress::{self, Progress, duration},
};

/// Exit code of a run that was stopped by Ctrl-C: 128 + SIGINT.
pub(super) const STOPPED: u8 = 130;

pub(crate) fn run(args: &Train) -> Result<ExitCode, AnyError> {
    if let Some(run) = &args.resume {
        return resume(run, &args.show, args.configuration.threads()?);
    }
    let config = args.configuration.resolve()?;
    device::set_threads(config.threads)?;
    let experiment = Experiment::prepare(config)?;
    let root = args.out.clone().unwrap_or_else(|| {
        let model = experiment.architecture.to_string();
        RunFolder::next_name(Path::new("runs"), &experiment.data.name, &model)
    });
    let folder = RunFolder::create(&root)?;
    let stop = progress::stop_signal();
    train(experiment, folder, &args.show, stop)
}

/// A new run, from its introduction to its result.
pub(super) fn train(
    experiment: Experiment,
    folder: RunFolder,
    show: &Show,
    stop: Arc<AtomicBool>,
) -> Result<ExitCode, AnyError> {
    introduce(&experiment, &folder, show);
    let mut progress = observer(&experiment, show, stop);
    for note in &experiment.data.notes {
        progress.note(note);
    }
    let training = Training::start(experiment, folder.clone())?;
    conclude(training.run(&mut progress)?, progress, &folder, show)
}

pub(crate) fn resume(root: &Path, show: &Show, threads: usize) -> Result<ExitCode, AnyError> {
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
    let configured = folder.read_run_file()?.config.threads;
    device::set_threads(if threads > 0 { threads } else { configured })?;
    let mut notes = Notes::default();
    let training = Training::resume(folder.clone(), &mut notes)?;
    let mut progress = observer(training.experiment(), show, progress::stop_signal());
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
    conclude(training.run(&mut progress)?, progress, &folder, show)
}

/// Keeps what is said before there is a progress bar.
#[derive(Default)]
struct Notes(Vec<String>);

impl Observer for Notes {
    fn note(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }
}

fn observer(experiment: &Experiment, show: &Show, stop: Arc<AtomicBool>) -> Progress {
    let steps = experiment.plan.steps();
    let epochs = experiment.plan.epoch_at(steps).unwrap_or(1.0);
    let table = show.format == Format::Text;
    Progress::new(steps, epochs, show.quiet, table, stop)
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
    progress: Progress,
    folder: &RunFolder,
    show: &Show,
) -> Result<ExitCode, AnyError> {
    drop(progress);
    match outcome {
        Outcome::Finished(summary) => tell(&summary, folder, show),
        Outcome::Stopped { step } => {
            output::note(&format!(
                "stopped after step {step}; go on with: onecycle train --resume {}",
                folder.root().display()
            ));
            Ok(ExitCode::from(STOPPED))
        }
    }
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
    fn threads(&self) -> Result<usize, LabError> {
        Ok(self.resolve()?.threads)
    }
}
