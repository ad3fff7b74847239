use std::{path::Path, process::ExitCode, time::Instant};

use crate::{
    args::{Configuration, Course, Format, Show, Sweep},
    output::{self, AnyError},
    stop::Stop,
};
use onecycle::range_test::LrSweep;
use onecycle_train::{
    Config, ConfigError, Experiment, RunError, TrainError, device,
    lr_search::{
        fit,
        found::RangeTestResult,
        journal::Journal,
        range_test,
        settings::{Overlay, RangeTestConfig, SweptParameter},
    },
    run_folder::RunFolder,
};

use super::{
    find::{SearchProgress, how_to_go_on, journal, plot, stopped, test},
    train,
};

use crate::stop;
use clap::Args as ClapArgs;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, ClapArgs)]
pub(crate) struct Fit {
    #[command(flatten)]
    pub(crate) configuration: Configuration,
    /// Folder of the run; without it, a new one under runs/
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Weight decays to choose from, the one to prefer first; the configured one, a fifth and five times of it by default
    #[arg(
        long,
        value_name = "WD,..",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    pub(crate) weight_decays: Vec<f64>,
    /// Stop after this time (90s, 10m, 2h), in the training with a checkpoint; with --out, the same command goes on
    #[arg(long, value_name = "DURATION", value_parser = stop::duration)]
    pub(crate) max_time: Option<Duration>,
    /// One short range test of the configured weight decay, and one epoch
    #[arg(long, conflicts_with = "weight_decays")]
    pub(crate) quick: bool,
    #[command(flatten)]
    pub(crate) sweep: Sweep,
    #[command(flatten)]
    pub(crate) show: Show,
}

/// Epochs with `--quick`.
const QUICK_EPOCHS: f64 = 1.0;
/// The range test with `--quick`: 20 updates a decade. On a sweep that climbs so fast, the rate may have gone beyond what is
/// stable before an instability shows; but the test only says where the short cycles begin, and they go down from there.
const QUICK_SWEEP: (f64, u64) = (1e-3, 80);

pub(crate) fn run(args: &Fit, start: Instant) -> Result<ExitCode, AnyError> {
    let given = &args.configuration;
    if let Some(lr_max) = &given.lr_max {
        return Err(Box::new(ConfigError::setting(
            "--lr-max",
            lr_max.clone(),
            "nothing, as `fit` finds it; `onecycle train` takes one",
        )));
    }
    let mut config = given.resolve()?;
    fit::check(&config)?;
    device::set_threads(config.threads)?;
    // Tests and short cycles keep what is finished; of one in progress nothing could be kept.
    let stop = Stop::listen(start, args.max_time, how_to_go_on(args.out.as_deref()));
    let mut find = test(&args.sweep, false, &config)?;
    let mut values = match (args.quick, &given.weight_decay) {
        (false, None) => fit::weight_decays(&config),
        _ => vec![config.optimizer.config.weight_decay()],
    };
    if !args.weight_decays.is_empty() {
        values.clone_from(&args.weight_decays);
    }
    if args.quick {
        if given.epochs.is_none() && given.steps.is_none() {
            (config.epochs, config.steps) = (Some(QUICK_EPOCHS), None);
        }
        let (from, num_steps) = QUICK_SWEEP;
        let from = args.sweep.lr_from.unwrap_or(from);
        find.sweep = LrSweep::exponential(from, find.sweep.bounds().1, num_steps)?;
    } else if !given.layers()?.says_length() {
        let images = Experiment::prepare(config.clone())?.data.train.len();
        if let (Some(longer), false) = (fit::lengthen(&mut config, images)?, args.show.quiet) {
            output::note(&longer);
        }
    }
    find.overlay = Some(Overlay {
        parameter: SweptParameter::WeightDecay,
        values,
    });
    let mut journal = journal(args.out.as_deref());
    if let Some(out) = &args.out {
        if let Some(run) = begun(out) {
            // The tests are done, and the training under way.
            journal.check(&config, &find)?;
            let course = Course {
                max_time: args.max_time,
                ..Course::default()
            };
            return train::go_on(run.root(), config.threads, &course, &args.show, &stop);
        }
        RunFolder::free(out)?;
    }

    let mut progress = SearchProgress::new(find.tests(), args.show.quiet, stop.clone());
    let found = tested(&config, &find, &mut journal, &mut progress);
    progress.finish();
    let found = match found {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(stopped(args.out.as_deref(), &stop)),
        Err(error @ TrainError::Run(RunError::NoRate { .. })) => {
            // The same tests would come to the same.
            journal.discard()?;
            return Err(Box::new(error));
        }
        Err(error) => return Err(Box::new(error)),
    };
    if args.show.format == Format::Text && !args.show.quiet {
        output::text(&plot(&found))?;
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
    let root = args.out.clone().unwrap_or_else(|| {
        let model = experiment.architecture.to_string();
        RunFolder::next_name(Path::new("runs"), &experiment.data.name, &model)
    });
    stop.after_step();
    let folder = RunFolder::create(&root)?;
    found.write_json(&folder.range_test())?;
    // The run takes the lock.
    drop(journal);
    train::train(experiment, folder, &args.show, &stop)
}

/// The run in a folder that an earlier call has begun and not finished.
fn begun(out: &Path) -> Option<RunFolder> {
    let run = RunFolder::open(out).ok()?;
    (Journal::exists(&run) && !run.is_finished()).then_some(run)
}

/// Range tests, choice and short cycles. `None` where the observer ended them.
fn tested(
    config: &Config,
    find: &RangeTestConfig,
    journal: &mut Journal,
    progress: &mut SearchProgress,
) -> Result<Option<RangeTestResult>, TrainError> {
    match range_test::run_from(config, find, journal, progress)? {
        Some(found) => fit::search(config, fit::choose(found)?, &find.seeds, journal, progress),
        None => Ok(None),
    }
}
