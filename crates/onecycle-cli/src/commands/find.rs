//! `onecycle find`: the learning rate range test.

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Args as ClapArgs, ValueEnum};
use onecycle_train::{
    device,
    lr_search::{
        context::Context,
        range_test,
        settings::{Overlay, SweptParameter},
    },
    run_folder::RunFolder,
};

use super::search::{self, SearchProgress};
use crate::{
    args::{ConfigOptions, SweepOptions},
    bar::Mode,
    output::{self, AnyError},
    processes,
    stop::{self, Stop},
};

/// Arguments of `onecycle find`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Find {
    #[command(flatten)]
    pub(crate) configuration: ConfigOptions,
    #[command(flatten)]
    pub(crate) sweep: SweepOptions,
    /// Smith's original test: increase the learning rate linearly instead of exponentially, and
    /// measure the validation accuracy
    #[arg(long)]
    pub(crate) linear: bool,
    /// Measure the accuracy on held-out images every N updates, 0 for never [default: 0; with
    /// --linear, num-steps / 40]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) validate_every: Option<usize>,
    /// Draw a curve for each of these weight decays
    #[arg(
        long,
        value_name = "WD,..",
        value_delimiter = ',',
        allow_negative_numbers = true,
        conflicts_with_all = ["momenta", "batch_sizes"]
    )]
    pub(crate) weight_decays: Vec<f64>,
    /// Draw a curve for each of these momenta (Adam: beta1)
    #[arg(
        long,
        value_name = "M,..",
        value_delimiter = ',',
        allow_negative_numbers = true,
        conflicts_with = "batch_sizes"
    )]
    pub(crate) momenta: Vec<f64>,
    /// Draw a curve for each of these batch sizes
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    pub(crate) batch_sizes: Vec<u32>,
    /// Folder for range_test.json and the figure
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Stop after this time (90s, 10m, 2h) with exit code 124; with --out, run the same command
    /// again to continue after the finished tests
    #[arg(long, value_name = "DURATION", value_parser = stop::duration)]
    pub(crate) max_time: Option<Duration>,
    /// Output format
    #[arg(long, value_enum, default_value_t = FindFormat::Text)]
    pub(crate) format: FindFormat,
    /// Show no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FindFormat {
    /// A plot for the terminal and the table of suggestions
    Text,
    /// One line per update
    Csv,
    /// Curves, suggestions and costs
    Json,
}

/// Accuracy measurements during a linear test.
const VALIDATIONS: u64 = 40;

/// Makes the range tests and prints the result.
pub(crate) fn run(args: &Find, start: Instant) -> Result<ExitCode, AnyError> {
    let config = args.configuration.resolve()?;
    device::set_threads(config.threads)?;
    let validations = if args.linear { VALIDATIONS } else { u64::MAX };
    let every = (args.sweep.num_steps() / validations) as usize;
    let mut find = search::range_test_config(&args.sweep, args.linear, &config)?;
    find.validate_every = args
        .validate_every
        .unwrap_or(if args.linear { every.max(1) } else { 0 });
    find.overlay = overlay(args);
    let out = args.out.as_deref();
    if let Some(out) = out {
        // A run's folder is refused: its range_test.json belongs to the run.
        RunFolder::free(out)?;
    }
    let mut journal = search::journal(out);
    let stop = Stop::listen(start, args.max_time, search::stopped_message(out));
    let mut progress = SearchProgress::new(find.tests(), Mode::of(args.quiet), stop.clone());
    let team = processes::team();
    let mut context = Context {
        team: team.as_ref(),
        journal: &mut journal,
        observer: &mut progress,
    };
    let found = range_test::run_from(&config, &find, &mut context)?;
    progress.finish();
    let Some(found) = found else {
        return Ok(stop.announce(&search::stopped_message(out)));
    };
    if let Some(out) = out {
        found.write(out)?;
    }
    journal.remove()?;
    match args.format {
        FindFormat::Json => output::json(&found)?,
        FindFormat::Csv => output::text(&found.csv())?,
        FindFormat::Text => {
            output::text(&search::plot(&found))?;
            output::text(&found.table())?;
            output::text(&found.cost())?;
            if let [group] = found.groups.as_slice() {
                let verdict = group.verdict();
                output::text(&format!("{verdict}: {}", verdict.advice()))?;
            }
            if let Some(out) = out {
                output::text(&format!("record and figure are in {}", out.display()))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The parameter with several values, if there is one.
fn overlay(args: &Find) -> Option<Overlay> {
    let sizes: Vec<f64> = args
        .batch_sizes
        .iter()
        .map(|size| f64::from(*size))
        .collect();
    let lists = [
        (SweptParameter::WeightDecay, &args.weight_decays),
        (SweptParameter::Momentum, &args.momenta),
        (SweptParameter::BatchSize, &sizes),
    ];
    let (parameter, values) = lists.into_iter().find(|(_, values)| !values.is_empty())?;
    Some(Overlay {
        parameter,
        values: values.clone(),
    })
}
