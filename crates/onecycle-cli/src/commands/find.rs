use std::{io::IsTerminal, path::Path, process::ExitCode, time::Instant};

use crate::{
    args::{Find, FindFormat, Sweep},
    output::{self, AnyError},
    stop::Stop,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
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
    let mut watch = Watch::new(find.tests(), args.quiet, stop.clone());
    let found = range_test::run_from(&config, &find, &mut journal, &mut watch)?;
    watch.finish();
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

/// Shows tests to a person.
pub(super) struct Watch {
    bar: ProgressBar,
    lines: bool,
    tests: usize,
    stop: Stop,
}

impl Watch {
    pub(super) fn new(tests: usize, quiet: bool, stop: Stop) -> Self {
        let on_terminal = std::io::stderr().is_terminal();
        let target = match (quiet, on_terminal) {
            (false, true) => ProgressDrawTarget::stderr(),
            _ => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let template = "{elapsed_precise} {bar:28} {pos}/{len} updates  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Watch {
            bar,
            lines: !quiet && !on_terminal,
            tests,
            stop,
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Watch {
    fn range_test(&mut self, index: usize, label: &str, updates: u64) {
        let text = format!("range test {} of {}: {label}", index + 1, self.tests);
        if self.lines {
            output::note(&text);
        }
        self.bar.reset();
        self.bar.set_length(updates);
        self.bar.set_message(text);
    }

    fn search_step(&mut self, _lr: f64) {
        self.bar.inc(1);
    }

    fn short_cycle(&mut self, lr_max: f64, seed: u64, updates: u64) {
        let text = format!("short cycle: lr_max {lr_max}, seed {seed}");
        if self.lines {
            output::note(&text);
        }
        self.bar.reset();
        self.bar.set_length(updates);
        self.bar.set_message(text);
    }

    fn note(&mut self, text: &str) {
        self.bar.suspend(|| output::note(text));
    }

    fn stop(&mut self) -> bool {
        self.stop.reason().is_some()
    }
}
