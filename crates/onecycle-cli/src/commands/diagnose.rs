use std::{
    io::IsTerminal,
    process::ExitCode,
    time::{Duration, Instant},
};

use crate::{
    args::{self, Format},
    output::{self, AnyError},
    progress::duration,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use onecycle_train::{
    ConfigError, TrainError, config::DiagnoseConfig, device, diagnose::Diagnosis, diagnose_run,
    observer::Observer,
};

/// Time between two redraws of the bar.
const REDRAW: Duration = Duration::from_millis(200);

pub(crate) fn run(args: &args::Diagnose, start: Instant) -> Result<ExitCode, AnyError> {
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
    let mut watch = Watch::new(args.show.quiet);
    let diagnosis = diagnose_run::diagnose(&args.run, &options, &mut watch).map_err(in_flags)?;
    watch.bar.finish_and_clear();
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

/// Shows a diagnosis in the making.
struct Watch {
    bar: ProgressBar,
    lines: bool,
}

impl Watch {
    fn new(quiet: bool) -> Self {
        let on_terminal = std::io::stderr().is_terminal();
        let target = match (quiet, on_terminal) {
            (false, true) => ProgressDrawTarget::stderr(),
            _ => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let template = "{elapsed_precise} {bar:28} {pos}/{len} batches  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(REDRAW);
        Watch {
            bar,
            lines: !quiet && !on_terminal,
        }
    }
}

impl Observer for Watch {
    fn diagnosis_part(&mut self, name: &str, batches: usize) {
        if self.lines && batches > 0 {
            output::note(name);
        }
        self.bar.set_position(0);
        self.bar.set_length(batches as u64);
        self.bar.set_message(name.to_owned());
    }

    fn diagnosis_batch(&mut self) {
        self.bar.inc(1);
    }

    fn note(&mut self, text: &str) {
        self.bar.suspend(|| output::note(&format!("note: {text}")));
    }
}
