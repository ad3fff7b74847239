//! `onecycle fit`: range test, short cycles, then one cycle with the rate that they found.

mod finetune;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args as ClapArgs;
use onecycle_train::{
    Config, ConfigError, Experiment, RunError, TrainError, device, experiment,
    lr_search::{
        context::Context,
        fit,
        found::RangeTestResult,
        journal::Journal,
        range_test,
        settings::{Overlay, RangeTestConfig, SweptParameter},
    },
    run_folder::RunFolder,
};

use super::{
    search::{self, SearchProgress},
    train,
};
use crate::{
    args::{ConfigOptions, Format, LogOption, RunOptions, ShowOptions, SweepOptions},
    on_finish::{self, OnFinish},
    output::{self, AnyError},
    processes,
    stop::{self, Stop},
};

/// Arguments of `onecycle fit`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Fit {
    #[command(flatten)]
    pub(crate) configuration: ConfigOptions,
    /// Folder of the run [default: a new one, runs/DATA-MODEL-NUMBER]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Weight decays to choose from, the preferred one first [default: the configured one; for runs
    /// of 4000 updates or more also a fifth of it and five times of it]
    #[arg(
        long,
        value_name = "WD,..",
        value_delimiter = ',',
        allow_negative_numbers = true,
        conflicts_with = "weight_decay"
    )]
    pub(crate) weight_decays: Vec<f64>,
    /// Stop after this time (90s, 10m, 2h) with exit code 124, during training with a checkpoint;
    /// with the same --out, the same command continues
    #[arg(long, value_name = "DURATION", value_parser = stop::duration)]
    pub(crate) max_time: Option<Duration>,
    /// Search with a shorter range test and the configured weight decay, then train for one epoch
    #[arg(long, conflicts_with = "weight_decays")]
    pub(crate) quick: bool,
    #[command(flatten)]
    pub(crate) log: LogOption,
    #[command(flatten)]
    pub(crate) on_finish: OnFinish,
    #[command(flatten)]
    pub(crate) sweep: SweepOptions,
    #[command(flatten)]
    pub(crate) show: ShowOptions,
}

/// Epochs with `--quick`.
const QUICK_EPOCHS: f64 = 1.0;
/// First learning rate and updates of the range test, unless flags set them: 20 updates per decade. With
/// a sweep that fast, the rate may exceed what is stable before an instability shows. That is fine here:
/// the test only chooses where the short cycles start, and they search downwards from there.
const SWEEP: (f64, u64) = (1e-4, 100);
/// The same with `--quick`.
const QUICK_SWEEP: (f64, u64) = (1e-3, 80);

/// Searches the learning rate and weight decay, then trains with them.
pub(crate) fn run(args: &Fit, start: Instant) -> Result<ExitCode, AnyError> {
    let given = &args.configuration;
    if let Some(lr_max) = &given.lr_max {
        return Err(Box::new(ConfigError::setting(
            "--lr-max",
            lr_max.clone(),
            "no value, because `fit` finds it; `onecycle train` accepts one",
        )));
    }
    let mut config = given.resolve()?;
    args.log.add_to(&mut config);
    fit::check(&config)?;
    device::set_threads(config.threads)?;
    let out = args.out.as_deref();
    let nothing_yet = match out {
        Some(_) => search::stopped_message(out),
        None => "stopped before the first test; nothing was written".to_owned(),
    };
    let stop = Stop::listen(start, args.max_time, nothing_yet);
    if config.finetune.is_some() {
        return finetune::run(args, config, &stop);
    }
    let mut find = search::range_test_config(&args.sweep, false, &config)?;
    if args.quick && given.epochs.is_none() && given.steps.is_none() {
        (config.epochs, config.steps) = (Some(QUICK_EPOCHS), None);
    }
    let (from, num_steps) = if args.quick { QUICK_SWEEP } else { SWEEP };
    let from = args.sweep.lr_from.unwrap_or(from);
    let num_steps = args.sweep.num_steps_or(num_steps);
    find.sweep = search::exponential(from, find.sweep.bounds().1, num_steps)?;
    let experiment = Experiment::prepare(config.clone())?;
    experiment.trainer()?;
    train::print_data(&experiment, &args.show);
    if !args.quick && !given.layers()?.says_length() {
        let images = experiment.data.train.len();
        if let (Some(longer), false) = (fit::lengthen(&mut config, images)?, args.show.quiet) {
            output::note(&longer);
        }
    }
    if !given.layers()?.says_tta()
        && let (Some(note), false) = (
            fit::average_views(&mut config, experiment.data.shape),
            args.show.quiet,
        )
    {
        output::note(&note);
    }
    let values = match (args.quick, &given.weight_decay) {
        _ if !args.weight_decays.is_empty() => args.weight_decays.clone(),
        (false, None) => {
            let plan = experiment::plan(&config, Some(experiment.data.train.len()))?;
            fit::weight_decays(&config, plan.steps())
        }
        _ => vec![config.optimizer.config.weight_decay()],
    };
    find.overlay = Some(Overlay {
        parameter: SweptParameter::WeightDecay,
        values,
    });
    if let Some(out) = out {
        if let Some(run) = unfinished_run(out) {
            // The tests are done and the training has started.
            Journal::in_folder(out).check(&config, &find)?;
            let run_options = RunOptions {
                max_time: args.max_time,
                log: args.log.clone(),
                ..RunOptions::default()
            };
            return train::continue_run(
                run.root(),
                config.threads,
                &run_options,
                &args.show,
                &stop,
            );
        }
        RunFolder::free(out)?;
    }
    let (root, how_to_continue) = match out {
        Some(out) => (
            out.to_path_buf(),
            search::stopped_message(args.out.as_deref()),
        ),
        None => {
            let root = train::next_folder(&experiment)?.root().to_path_buf();
            let message = search::stopped_in_new_folder(&root);
            (root, message)
        }
    };
    on_finish::works_in(&root, &RunFolder::at(&root).summary());
    stop.stop_at_once(how_to_continue.clone());
    let mut journal = Journal::in_folder(&root);

    let mut progress = SearchProgress::new(find.tests(), args.show.mode(), stop.clone());
    let found = search_rate(&config, &find, &mut journal, &mut progress);
    progress.finish();
    let found = match found {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(stop.announce(&how_to_continue)),
        Err(error @ TrainError::Run(RunError::NoRate { .. })) => {
            // Repeating these tests would give the same result.
            journal.discard()?;
            return Err(Box::new(error));
        }
        Err(error) => {
            journal.discard_if_empty()?;
            return Err(Box::new(error));
        }
    };
    if args.show.format == Format::Text && !args.show.quiet {
        output::text(&search::plot(&found))?;
        output::text(&found.table())?;
        output::text(&found.cost())?;
        if let Some(search) = &found.search {
            output::text(&search.table())?;
        }
    }
    if let (Some(choice), false) = (&found.choice, args.show.quiet) {
        output::note(&choice.reason);
    }

    let experiment = Experiment::prepare(fit::configured(&config, &found)?)?;
    stop.stop_after_step();
    let folder = RunFolder::create(&root)?;
    found.write_json(&folder.range_test())?;
    // Releases the lock on the folder, which the run takes.
    drop(journal);
    train::train(experiment, folder, &args.show, &stop)
}

/// The run in this folder, if an earlier `fit` started it and did not finish.
fn unfinished_run(out: &Path) -> Option<RunFolder> {
    let run = RunFolder::open(out).ok()?;
    (Journal::exists(&run) && !run.is_finished()).then_some(run)
}

/// Range tests, choice of the weight decay, short cycles. `None` if the observer stopped them.
fn search_rate(
    config: &Config,
    find: &RangeTestConfig,
    journal: &mut Journal,
    progress: &mut SearchProgress,
) -> Result<Option<RangeTestResult>, TrainError> {
    let team = processes::team();
    let mut context = Context {
        team: team.as_ref(),
        journal,
        observer: progress,
    };
    match range_test::run_from(config, find, &mut context)? {
        Some(found) => fit::search(config, fit::choose(found)?, &find.seeds, &mut context),
        None => Ok(None),
    }
}
