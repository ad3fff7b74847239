//! Range tests and the learning-rate search: what `find`, `fit` and `reproduce suggestions` share.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use onecycle::range_test::LrSweep;
use onecycle_plot::{format::duration, terminal::Charset};
use onecycle_train::{
    Config, ConfigError,
    lr_search::{found::RangeTestResult, journal::Journal, settings::RangeTestConfig},
    observer::{Observer, ShortCycle},
};

use crate::{
    args::SweepOptions,
    bar::{Bar, Mode},
    output,
    stop::Stop,
};

/// Lines of the plot per curve.
const HEIGHT: usize = 14;

/// Journal of finished tests in the output folder. Without a folder, a journal that keeps nothing.
pub(super) fn journal(out: Option<&Path>) -> Journal {
    out.map_or_else(Journal::none, Journal::in_folder)
}

/// Message of a search that was stopped.
pub(super) fn stopped_message(out: Option<&Path>) -> String {
    match out {
        Some(out) => format!(
            "stopped; finished tests are kept in {}: run the same command again to continue",
            out.display()
        ),
        None => {
            "stopped; nothing was written. With --out, the same command could continue".to_owned()
        }
    }
}

/// Message of a stopped search whose numbered folder the command created.
pub(super) fn stopped_in_new_folder(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "stopped; finished tests are kept in {folder}: to continue, run the same command with \
         --out {folder}"
    )
}

/// The smoothed curves, as wide as the terminal.
pub(super) fn plot(found: &RangeTestResult) -> String {
    found.terminal(
        output::plot_width(),
        HEIGHT * found.groups.len().min(3),
        Charset::Braille,
    )
}

/// Range test with the learning rates, the warm-up and the seeds of the flags.
pub(super) fn range_test_config(
    flags: &SweepOptions,
    linear: bool,
    config: &Config,
) -> Result<RangeTestConfig, ConfigError> {
    let (from, to) = if linear { (0.0, 3.0) } else { (1e-5, 10.0) };
    let (from, to) = (flags.lr_from.unwrap_or(from), flags.lr_to.unwrap_or(to));
    let sweep = if linear {
        LrSweep::linear(from, to, flags.num_steps())
    } else {
        LrSweep::exponential(from, to, flags.num_steps())
    };
    let sweep = sweep.map_err(with_sweep_flags)?;
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

/// An exponential sweep. Its errors name the flags that set it.
///
/// # Errors
/// The rates or their number are out of range.
pub(super) fn exponential(from: f64, to: f64, steps: u64) -> Result<LrSweep, ConfigError> {
    LrSweep::exponential(from, to, steps).map_err(with_sweep_flags)
}

fn with_sweep_flags(error: onecycle::PolicyError) -> ConfigError {
    with_flags(error, |name| match name {
        "start" => "--lr-from",
        "end" => "--lr-to",
        _ => "--num-steps",
    })
}

/// Names the flags instead of the parameters in the error of an invalid sweep.
fn with_flags(error: onecycle::PolicyError, flag: impl Fn(&str) -> &'static str) -> ConfigError {
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
        flag(name).to_owned(),
        value,
        expected.replace("`start`", "--lr-from"),
    )
}

/// Shows the progress of range tests and short cycles.
pub(super) struct SearchProgress {
    bar: Bar,
    tests: usize,
    stop: Stop,
    /// Features at their first event, and its time.
    features: Option<(u64, Instant)>,
}

impl SearchProgress {
    /// Progress of `tests` range tests and the short cycles after them.
    pub(super) fn new(tests: usize, mode: Mode, stop: Stop) -> Self {
        let template = "{elapsed_precise} {bar:28} {pos}/{len}  {wide_msg}";
        SearchProgress {
            bar: Bar::new(template, mode, Duration::MAX),
            tests,
            stop,
            features: None,
        }
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        self.bar.finish();
    }
}

impl Observer for SearchProgress {
    fn features(&mut self, done: u64, total: u64) {
        const LINE_EVERY: Duration = Duration::from_secs(10);
        let text = "features of the frozen network";
        let (first, since) = *self.features.get_or_insert_with(|| {
            self.bar.begin(text, total);
            (done, Instant::now())
        });
        let elapsed = since.elapsed().as_secs_f64();
        let left = match done.saturating_sub(first) {
            0 => String::new(),
            made => {
                let seconds = elapsed * total.saturating_sub(done) as f64 / made as f64;
                format!("  {} left", duration(seconds))
            }
        };
        self.bar.set(done, total, format!("{text}{left}"));
        if self.bar.has_line_after(LINE_EVERY) {
            self.bar
                .line(&format!("{text}: {done}/{total} images{left}"));
        }
    }

    fn range_test(&mut self, index: usize, label: &str, updates: u64) {
        let text = format!("range test {} of {}: {label}", index + 1, self.tests);
        self.bar.begin(&text, updates);
    }

    fn short_cycle(&mut self, cycle: &ShortCycle) {
        let ShortCycle { lr_max, seed, .. } = cycle;
        let reason = cycle
            .reason
            .map_or(String::new(), |why| format!(" ({why})"));
        let text = format!("short cycle: lr_max {lr_max}{reason}, seed {seed}");
        self.bar.begin(&text, cycle.updates);
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
