//! `onecycle diagnose`: gradient noise, sharpness and generalisation gap of a run.

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args as ClapArgs;
use onecycle_plot::format::duration;
use onecycle_train::{
    ConfigError, TrainError, config::DiagnoseConfig, device, diagnose::Diagnosis, diagnose_run,
    observer::Observer,
};

use crate::{
    args::{Format, OutputOptions, ThreadsOption},
    bar::{Bar, Mode},
    output::{self, AnyError},
};

/// Arguments of `onecycle diagnose`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Diagnose {
    /// Folder of the run; its final model is diagnosed, or its newest checkpoint if it is
    /// unfinished
    pub(crate) run: PathBuf,
    /// Micro-batches for the gradient noise scale, 0 to skip it; more give a narrower interval
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 64
    )]
    pub(crate) batches: usize,
    /// Images per micro-batch
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 64
    )]
    pub(crate) batch_size: usize,
    /// Training images for curvature, sharpness and slices, and validation images for the
    /// generalisation gap
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 1000
    )]
    pub(crate) images: usize,
    /// Number of largest eigenvalues of the Hessian, at most 100; 0 for none
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 3
    )]
    pub(crate) eigenvalues: usize,
    /// Half width of the box of Keskar's ε-sharpness at a weight of 0; 0 to skip it
    #[arg(
        long,
        value_name = "E",
        default_value_t = 1e-3,
        allow_negative_numbers = true
    )]
    pub(crate) epsilon: f64,
    /// Number of random directions along which the loss is measured, 0 for none
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 2
    )]
    pub(crate) slices: usize,
    #[command(flatten)]
    pub(crate) threads: ThreadsOption,
    #[command(flatten)]
    pub(crate) show: OutputOptions,
}

/// Time between two redraws of the bar.
const REDRAW: Duration = Duration::from_millis(200);

/// Diagnoses the run, writes the record and figures, and prints the findings.
pub(crate) fn run(args: &Diagnose, start: Instant) -> Result<ExitCode, AnyError> {
    device::set_threads(args.threads.count)?;
    let options = DiagnoseConfig {
        batches: args.batches,
        batch_size: args.batch_size,
        images: args.images,
        eigenvalues: args.eigenvalues,
        epsilon: args.epsilon,
        slices: args.slices,
        ..DiagnoseConfig::thorough()
    };
    let mut progress = DiagnoseProgress::new(args.show.quiet);
    let diagnosis =
        diagnose_run::diagnose(&args.run, &options, &mut progress).map_err(with_flags)?;
    progress.bar.finish();
    diagnose_run::write(&args.run, &diagnosis)?;
    match args.show.format {
        Format::Json => output::json(&diagnosis)?,
        Format::Text => {
            output::text(&table(&diagnosis))?;
            output::text(&format!(
                "{}; record and figures are in {}",
                duration(start.elapsed().as_secs_f64()),
                args.run.display()
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Names the flag instead of the configuration key in an error.
fn with_flags(error: TrainError) -> TrainError {
    let TrainError::Config(ConfigError::Setting {
        key,
        value,
        expected,
    }) = error
    else {
        return error;
    };
    let key = match key.strip_prefix("diagnose.") {
        Some(option) => format!("--{}", option.replace('_', "-")),
        None => key,
    };
    ConfigError::setting(key, value, expected).into()
}

/// One paragraph per finding: name and value on one line, its meaning below.
fn table(diagnosis: &Diagnosis) -> String {
    let rows = diagnosis.rows();
    let width = rows.iter().map(|row| row.name.chars().count()).max();
    let width = width.unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let room = " ".repeat(width - row.name.chars().count());
        text += &format!("{}{room}  {}\n", row.name, row.value);
        text += &format!("    {}\n", row.meaning);
    }
    text
}

/// Shows the progress of a diagnosis.
struct DiagnoseProgress {
    bar: Bar,
}

impl DiagnoseProgress {
    fn new(quiet: bool) -> Self {
        let template = "{elapsed_precise} {bar:28} {pos}/{len} batches  {wide_msg}";
        let bar = Bar::new(template, Mode::of(quiet), Duration::MAX);
        bar.redraw_every(REDRAW);
        DiagnoseProgress { bar }
    }
}

impl Observer for DiagnoseProgress {
    fn diagnosis_part(&mut self, name: &str, batches: usize) {
        match batches {
            0 => self.bar.set(0, 0, name.to_owned()),
            _ => self.bar.begin(name, batches as u64),
        }
    }

    fn diagnosis_batch(&mut self) {
        self.bar.advance();
    }

    fn note(&mut self, text: &str) {
        self.bar.hidden(|| output::note(&format!("note: {text}")));
    }
}
