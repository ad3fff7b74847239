//! `onecycle fit --pretrained`: the last layer on features of the frozen network, then all layers.

use std::{path::PathBuf, process::ExitCode};

use onecycle_train::{
    Config, Experiment, RunError, TrainError, finetune,
    finish::Summary,
    lr_search::{context::Context, fit, journal::Journal, range_test, settings::RangeTestConfig},
    run_folder::RunFolder,
    training::Outcome,
};

use super::Fit;
use crate::{
    args::{Format, RunOptions},
    commands::{
        search::{self, SearchProgress},
        train,
    },
    on_finish,
    output::{self, AnyError},
    processes,
    stop::Stop,
};

/// One of the two runs.
struct Stage {
    /// What it trains, in words.
    trains: &'static str,
    config: Config,
    /// Number of classes.
    classes: usize,
    root: PathBuf,
    /// Whether its result is that of the command.
    is_last: bool,
}

/// How a stage ended.
enum Ended {
    /// It is finished.
    Finished,
    /// It was stopped, or it was the last one. This is the exit code.
    Command(ExitCode),
}

/// Trains the last layer, then all layers unless the configuration freezes them.
pub(super) fn run(args: &Fit, mut config: Config, stop: &Stop) -> Result<ExitCode, AnyError> {
    let experiment = Experiment::prepare(config.clone())?;
    experiment.trainer()?;
    train::print_data(&experiment, &args.show);
    let data = &experiment.data;
    let (images, validation) = (data.train.len(), data.validation.len());
    let classes = data.classes.len();
    if !args.configuration.layers()?.says_length()
        && let (Some(note), false) = (finetune::lengthen(&mut config, images)?, args.show.quiet)
    {
        output::note(&note);
    }
    let root = match &args.out {
        Some(out) => out.clone(),
        None => train::next_folder(&experiment)?.root().to_path_buf(),
    };
    let found = RunFolder::at(&root);
    if RunFolder::look(&root).is_err() || found.is_finished() {
        RunFolder::free(&root)?;
    }
    drop(experiment);
    on_finish::works_in(&root, &found.summary());
    let freezes = config.freezes();
    let head = match freezes {
        true => root.clone(),
        false => found.head(),
    };
    let first = Stage {
        trains: "the last layer",
        config: finetune::head(&config)?,
        classes,
        root: head.clone(),
        is_last: freezes,
    };
    let mut all_layers = finetune::body(&config, &head)?;
    finetune::set_evaluations(&mut all_layers, images, validation);
    let second = Stage {
        trains: "all layers",
        config: all_layers,
        classes,
        root,
        is_last: true,
    };
    if !freezes {
        // Before the first is trained: the flags for the range test are those of both.
        second.range_test(args)?;
    }
    if let Ended::Command(code) = first.run(args, stop)? {
        return Ok(code);
    }
    match second.run(args, stop)? {
        Ended::Command(code) => Ok(code),
        Ended::Finished => Ok(ExitCode::SUCCESS),
    }
}

impl Stage {
    /// Range test and training, or the rest of them.
    fn run(&self, args: &Fit, stop: &Stop) -> Result<Ended, AnyError> {
        let find = self.range_test(args)?;
        if let Ok(run) = RunFolder::look(&self.root) {
            // The range test is done, and the training has started.
            finetune::check_same(&self.root, &run.read_run_file()?, &self.config)?;
            if run.is_finished() {
                return Ok(Ended::Finished);
            }
            Journal::in_folder(&self.root).check(&self.config, &find)?;
            let options = RunOptions {
                max_time: args.max_time,
                log: args.log.clone(),
                ..RunOptions::default()
            };
            let threads = self.config.threads;
            let ended = train::resume_run(run.root(), threads, &options, &args.show, stop)?;
            return self.end(args, &run, ended, stop);
        }
        let how_to_continue = match &args.out {
            Some(out) => search::stopped_message(Some(out)),
            None => search::stopped_in_new_folder(&self.command_root()),
        };
        stop.stop_at_once(how_to_continue.clone());
        if !args.show.quiet {
            output::note(&format!("training {}", self.trains));
        }
        let mut journal = Journal::in_folder(&self.root);
        let mut progress = SearchProgress::new(find.tests(), args.show.mode(), stop.clone());
        let team = processes::team();
        let mut context = Context {
            team: team.as_ref(),
            journal: &mut journal,
            observer: &mut progress,
        };
        let found = range_test::run_from(&self.config, &find, &mut context);
        progress.finish();
        let found = match found {
            Ok(Some(found)) if self.config.freezes() => fit::suggest(found)?,
            Ok(Some(found)) => finetune::suggest_peak(found, self.classes)?,
            Ok(None) | Err(TrainError::Run(RunError::Stopped { .. })) => {
                return Ok(Ended::Command(stop.announce(&how_to_continue)));
            }
            Err(error) => {
                journal.discard_if_empty()?;
                return Err(Box::new(error));
            }
        };
        let text = args.show.format == Format::Text && !args.show.quiet;
        if text && self.is_last {
            output::text(&search::plot(&found))?;
            output::text(&found.table())?;
            output::text(&found.cost())?;
        }
        if let (Some(choice), false) = (&found.choice, args.show.quiet) {
            output::note(&choice.reason);
        }
        let mut experiment = Experiment::prepare(fit::configured(&self.config, &found)?)?;
        let run = RunFolder::create(&self.root)?;
        found.write_json(&run.range_test())?;
        experiment.add_features(Some(&run), &mut progress)?;
        stop.stop_after_step();
        // Releases the lock on the folder, which the run takes.
        drop(journal);
        let ended = train::start_run(experiment, run.clone(), &args.show, stop)?;
        self.end(args, &run, ended, stop)
    }

    /// Prints the result of the run if it is that of the command.
    fn end(
        &self,
        args: &Fit,
        run: &RunFolder,
        outcome: Outcome,
        stop: &Stop,
    ) -> Result<Ended, AnyError> {
        match outcome {
            Outcome::Finished(summary) if !self.is_last => {
                self.note(&summary, args);
                Ok(Ended::Finished)
            }
            Outcome::Stopped { step } if !self.is_last => {
                let message = format!(
                    "stopped after step {step} of the last layer; continue with the same command and --out {}",
                    self.command_root().display()
                );
                Ok(Ended::Command(stop.announce(&message)))
            }
            outcome => {
                if let (Outcome::Finished(summary), false) = (&outcome, args.show.quiet) {
                    note_better_head(summary, run);
                }
                Ok(Ended::Command(train::end_run(
                    outcome, stop, run, &args.show,
                )?))
            }
        }
    }

    fn note(&self, summary: &Summary, args: &Fit) {
        if !args.show.quiet {
            output::note(&format!("{}: {summary}", self.trains));
        }
    }

    /// Folder of the run that the command makes.
    fn command_root(&self) -> PathBuf {
        match self.is_last {
            true => self.root.clone(),
            false => self.root.parent().unwrap_or(&self.root).to_path_buf(),
        }
    }

    /// The range test, with the configured weight decay.
    fn range_test(&self, args: &Fit) -> Result<RangeTestConfig, AnyError> {
        let mut find = search::range_test_config(&args.sweep, false, &self.config)?;
        let ((from, to), steps) = finetune::range_test_rates(&self.config);
        let from = args.sweep.lr_from.unwrap_or(from);
        let to = args.sweep.lr_to.unwrap_or(to);
        let steps = args.sweep.num_steps_or(steps);
        find.sweep = search::exponential(from, to, steps)?;
        // Above a loss near 0, even a harmless rise would end the test.
        find.to_the_end = !self.config.freezes();
        Ok(find)
    }
}

/// Says so if training all layers made the network worse.
fn note_better_head(summary: &Summary, run: &RunFolder) {
    if let Some(head) = summary.head
        && head.test_accuracy > summary.test_accuracy
    {
        output::note(&format!(
            "the last layer alone was better, {:.2} % instead of {:.2} %: its network is in {}",
            100.0 * head.test_accuracy,
            100.0 * summary.test_accuracy,
            run.head().display()
        ));
    }
}
