use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use crate::{
    args::{Format, Show, Threads},
    bar::Bar,
    output::{self, AnyError},
};
use onecycle_plot::format::duration;
use onecycle_train::{
    ConfigError, TrainError, config::DiagnoseConfig, device, diagnose::Diagnosis, diagnose_run,
    observer::Observer,
};

use clap::Args as ClapArgs;
use std::path::PathBuf;

#[derive(Debug, ClapArgs)]
pub(crate) struct Diagnose {
    /// Folder of the run: its result is diagnosed, or its newest checkpoint where it is not finished
    pub(crate) run: PathBuf,
    /// Micro-batches for the gradient noise scale, 0 for none; more of them make it surer
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 64
    )]
    pub(crate) batches: usize,
    /// Images of a micro-batch
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 64
    )]
    pub(crate) batch_size: usize,
    /// Training images that curvature, sharpness and slices are measured on, and validation images for the gap
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 1000
    )]
    pub(crate) images: usize,
    /// Largest eigenvalues of the Hessian, 0 for none
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 3
    )]
    pub(crate) eigenvalues: usize,
    /// Half width of the box of Keskar's sharpness, for a weight of 0
    #[arg(
        long,
        value_name = "E",
        default_value_t = 1e-3,
        allow_negative_numbers = true
    )]
    pub(crate) epsilon: f64,
    /// Random directions along which the loss is measured, 0 for none
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 2
    )]
    pub(crate) slices: usize,
    #[command(flatten)]
    pub(crate) threads: Threads,
    #[command(flatten)]
    pub(crate) show: Show,
}

/// Time between two redraws of the bar.
const REDRAW: Duration = Duration::from_millis(200);

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
    let diagnosis = diagnose_run::diagnose(&args.run, &options, &mut progress).map_err(in_flags)?;
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

/// A wrong option under the name of its flag.
fn in_flags(error: TrainError) -> TrainError {
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

/// A finding a paragraph: name and number on a line, below it what that means.
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

/// Shows the parts of a diagnosis.
struct DiagnoseProgress {
    bar: Bar,
}

impl DiagnoseProgress {
    fn new(quiet: bool) -> Self {
        let template = "{elapsed_precise} {bar:28} {pos}/{len} batches  {msg}";
        let bar = Bar::new(template, quiet, Duration::MAX);
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
