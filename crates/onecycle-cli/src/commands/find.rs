use std::{path::Path, process::ExitCode, time::Instant};

use crate::{
    args::{Configuration, Sweep},
    bar::Bar,
    output::{self, AnyError},
    stop::Stop,
};
use onecycle::range_test::LrSweep;
use onecycle_plot::terminal::Charset;
use onecycle_train::{
    Config, ConfigError, device,
    lr_search::{
        found::RangeTestResult,
        journal::Journal,
        range_test,
        settings::{Overlay, RangeTestConfig, SweptParameter},
    },
    observer::Observer,
    run_folder::RunFolder,
};

use super::plan;

use crate::stop;
use clap::{Args as ClapArgs, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, ClapArgs)]
pub(crate) struct Find {
    #[command(flatten)]
    pub(crate) configuration: Configuration,
    #[command(flatten)]
    pub(crate) sweep: Sweep,
    /// Equal differences in place of equal ratios between rates, and validation accuracy along the way: Smith's own test
    #[arg(long)]
    pub(crate) linear: bool,
    /// Measure the accuracy on held-out images every N updates, 0 for never [default: 0; a fortieth of the test with --linear]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) validate_every: Option<usize>,
    /// A curve for each of these weight decays
    #[arg(long, value_name = "WD,..", value_delimiter = ',', allow_negative_numbers = true, conflicts_with_all = ["momenta", "batch_sizes"])]
    pub(crate) weight_decays: Vec<f64>,
    /// A curve for each of these momenta (Adam: beta1)
    #[arg(
        long,
        value_name = "M,..",
        value_delimiter = ',',
        allow_negative_numbers = true,
        conflicts_with = "batch_sizes"
    )]
    pub(crate) momenta: Vec<f64>,
    /// A curve for each of these batch sizes
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    pub(crate) batch_sizes: Vec<u32>,
    /// Folder for range_test.json and the figure
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Stop after this time (90s, 10m, 2h); with --out, the same command goes on after the tests that are finished
    #[arg(long, value_name = "DURATION", value_parser = stop::duration)]
    pub(crate) max_time: Option<Duration>,
    /// How to show it
    #[arg(long, value_enum, default_value_t = FindFormat::Text)]
    pub(crate) format: FindFormat,
    /// No progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FindFormat {
    /// A plot for the terminal, and the table of suggestions
    Text,
    /// A line an update
    Csv,
    /// Curves, suggestions and costs
    Json,
}

/// Lines of the plot, for each curve.
const HEIGHT: usize = 14;
/// Measurements of the accuracy in the course of a linear test.
const VALIDATIONS: u64 = 40;

pub(crate) fn run(args: &Find, start: Instant) -> Result<ExitCode, AnyError> {
    let config = args.configuration.resolve()?;
    device::set_threads(config.threads)?;
    let validations = if args.linear { VALIDATIONS } else { u64::MAX };
    let every = (args.sweep.num_steps / validations) as usize;
    let mut find = test(&args.sweep, args.linear, &config)?;
    find.validate_every = args
        .validate_every
        .unwrap_or(if args.linear { every.max(1) } else { 0 });
    find.overlay = overlay(args);
    if let Some(out) = &args.out {
        // The record of a run's own range test stays what the run began with.
        RunFolder::free(out)?;
    }
    let mut journal = journal(args.out.as_deref());
    let stop = Stop::listen(start, args.max_time, how_to_go_on(args.out.as_deref()));
    let mut progress = SearchProgress::new(find.tests(), args.quiet, stop.clone());
    let found = range_test::run_from(&config, &find, &mut journal, &mut progress)?;
    progress.finish();
    let Some(found) = found else {
        return Ok(stopped(args.out.as_deref(), &stop));
    };
    if let Some(out) = &args.out {
        found.write(out)?;
    }
    journal.remove()?;
    match args.format {
        FindFormat::Json => output::json(&found)?,
        FindFormat::Csv => output::text(&found.csv())?,
        FindFormat::Text => {
            output::text(&plot(&found))?;
            output::text(&found.table())?;
            output::text(&found.cost())?;
            if let [group] = found.groups.as_slice() {
                let verdict = group.verdict();
                output::text(&format!("{verdict}: {}", verdict.advice()))?;
            }
            if let Some(out) = &args.out {
                output::text(&format!("record and figure are in {}", out.display()))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Where finished tests are kept: in the output folder, if there is one.
pub(super) fn journal(out: Option<&Path>) -> Journal {
    out.map_or_else(Journal::none, Journal::in_folder)
}

/// What tests that are stopped end with.
pub(super) fn how_to_go_on(out: Option<&Path>) -> String {
    match out {
        Some(out) => format!(
            "stopped; the same command goes on from the tests that are finished: {}",
            out.display()
        ),
        None => "stopped; nothing was written: with --out the same command would go on".to_owned(),
    }
}

/// Tells that the tests were stopped, and how to go on.
pub(super) fn stopped(out: Option<&Path>, stop: &Stop) -> ExitCode {
    output::note(&format!("{}{}", stop.why(), how_to_go_on(out)));
    stop.exit_code()
}

/// The smoothed curves, as wide as the terminal.
pub(super) fn plot(found: &RangeTestResult) -> String {
    found.terminal(
        plan::width(),
        HEIGHT * found.groups.len().min(3),
        Charset::Braille,
    )
}

/// The test that the flags ask for.
pub(super) fn test(
    flags: &Sweep,
    linear: bool,
    config: &Config,
) -> Result<RangeTestConfig, ConfigError> {
    let (from, to) = if linear { (0.0, 3.0) } else { (1e-5, 10.0) };
    let (from, to) = (flags.lr_from.unwrap_or(from), flags.lr_to.unwrap_or(to));
    let sweep = if linear {
        LrSweep::linear(from, to, flags.num_steps)
    } else {
        LrSweep::exponential(from, to, flags.num_steps)
    };
    let named = |name: &str| match name {
        "start" => "--lr-from",
        "end" => "--lr-to",
        _ => "--num-steps",
    };
    let sweep = sweep.map_err(|error| explained(error, named))?;
    let seeds = (0..flags.seeds as u64)
        .map(|i| config.seed.wrapping_add(i))
        .collect();
    Ok(RangeTestConfig {
        sweep,
        warm_up: flags.warm_up,
        seeds,
        ..RangeTestConfig::new(config.seed)?
    })
}

/// An impossible sweep, told in the names of the flags.
fn explained(error: onecycle::PolicyError, named: impl Fn(&str) -> &'static str) -> ConfigError {
    use onecycle::PolicyError::{Negative, NotFinite, Order, OutOfRange};
    let (name, value, expected) = match &error {
        NotFinite { name, value } => (*name, *value, "a finite number"),
        Negative { name, value } => (*name, *value, "a number of at least 0"),
        OutOfRange {
            name,
            value,
            expected,
        } => (*name, *value, *expected),
        Order {
            high, high_value, ..
        } => (*high, *high_value, "a rate above --lr-from"),
        _ => return ConfigError::from(error),
    };
    ConfigError::setting(
        named(name).to_owned(),
        value,
        expected.replace("`start`", "--lr-from"),
    )
}

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

/// Shows range tests and short cycles.
pub(super) struct SearchProgress {
    bar: Bar,
    tests: usize,
    stop: Stop,
}

impl SearchProgress {
    pub(super) fn new(tests: usize, quiet: bool, stop: Stop) -> Self {
        let template = "{elapsed_precise} {bar:28} {pos}/{len} updates  {msg}";
        SearchProgress {
            bar: Bar::new(template, quiet, Duration::MAX),
            tests,
            stop,
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish();
    }
}

impl Observer for SearchProgress {
    fn range_test(&mut self, index: usize, label: &str, updates: u64) {
        let text = format!("range test {} of {}: {label}", index + 1, self.tests);
        self.bar.begin(&text, updates);
    }

    fn short_cycle(&mut self, lr_max: f64, seed: u64, updates: u64) {
        let text = format!("short cycle: lr_max {lr_max}, seed {seed}");
        self.bar.begin(&text, updates);
    }

    fn search_step(&mut self, _lr: f64) {
        self.bar.advance();
    }

    fn note(&mut self, text: &str) {
        self.bar.hidden(|| output::note(text));
    }

    fn stop(&mut self) -> bool {
        self.stop.reason().is_some()
    }
}
